"""Secure aggregation and differential privacy, by Flower's own parts, in its simulation.

With SecAgg+ (Bell and others, CCS 2020; arXiv 2009.11248) the server sees the sum of the sites' answers and none of
them: each is masked by numbers that cancel in the sum. Sums of expectation–maximisation are all that it asks for, so
nothing is lost but digits, as what is masked are whole numbers. What one site's answer cannot be checked for any more
is checked in the sum.

With differential privacy (central, fixed clipping: McMahan and others 2018, arXiv 1710.06963) what a site's weights
move is cut to a length, and the mean gets Gaussian noise in proportion to it. What is hidden is a whole *site*.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.errors import InputError
from metasci.extras import needed
from metasci.federated.gradients import ByWeights
from metasci.federated.learning import Federated, Round, as_procedure, prior_of
from metasci.federated.messages import packed, unpacked
from metasci.federated.procedure import Site, transforms_of
from metasci.federated.statistics import ByStatistics
from metasci.files import State
from metasci.meta.covariates import Covariates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from metasci.data.tasks import TaskSet
    from metasci.model import Model

__all__ = ["Privacy", "SecureSum", "simulate_guarded"]

# what is left of sums that travel as whole numbers: some 1e-5 of their range
_WHOLE_NUMBERS = 1e-3
_PURPOSE = "secure aggregation and differential privacy"


@dataclass(frozen=True)
class SecureSum:
    """How answers are masked.

    Parameters
    ----------
    range : float
        Answers are clipped to ± this; a sum that could be greater must have a greater one.
    levels : int
        Whole numbers that stand for the range; levels times sites must stay below 2³².
    """

    range: float = 2000.0
    levels: int = 2**28


@dataclass(frozen=True)
class Privacy:
    """How much is hidden.

    Parameters
    ----------
    clip : float
        Greatest length that a site may move the weights by in a round.
    noise : float
        Standard deviation of the noise on the sum, in units of the clip.
    """

    clip: float = 1.0
    noise: float = 1.0


@dataclass
class _Averaging:
    """What the strategy carries: the state, and the sums or weights that were averaged last."""

    procedure: Any
    state: Any
    count: int
    rounds: list[Round] = field(default_factory=list)

    def begin(self) -> NDArray[np.float64]:
        """The vector that sites' vectors are averaged into, before the first round."""
        question = self.procedure.question(self.state)
        if isinstance(self.procedure, ByWeights):
            return _flat({"tasks": torch.ones((), dtype=torch.float64), **self.state.state.learned})
        shapes = self.procedure.shapes(question)
        return _flat({name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()})

    def take(self, mean: NDArray[np.float64]) -> None:
        """One round further, by the mean of the sites' vectors."""
        shapes = self.procedure.shapes(self.procedure.question(self.state))
        answer = _unflat(mean, shapes)
        if isinstance(self.procedure, ByStatistics):
            total = {name: self.count * value for name, value in answer.items()}
            answer = self.procedure.of_sums(total)
            if why := self.procedure.fault(self.procedure.question(self.state), answer, _WHOLE_NUMBERS):
                raise InputError(f"the sum of the sites' answers cannot be used: {why}.")
        else:  # weights are averaged with equal shares: a site's number of tasks would tell of it
            answer["tasks"] = torch.ones((), dtype=torch.float64)
        self.state = self.procedure.next(self.state, [answer])


def vector_of(procedure: Any, site: Site, question: bytes, number: int) -> NDArray[np.float64]:
    """A site's answer as one vector, of which the sum or the mean over sites is of use."""
    answer = procedure.answer(site, unpacked(question), number)
    if isinstance(procedure, ByStatistics):
        answer = procedure.as_sums(answer)
    else:
        answer["tasks"] = torch.ones((), dtype=torch.float64)
    return _flat(answer)


def _flat(tensors: State) -> NDArray[np.float64]:
    parts = [tensors[name].detach().numpy().ravel() for name in sorted(tensors)]
    return np.concatenate(parts).astype(np.float64)


def _unflat(vector: NDArray[np.float64], shapes: Mapping[str, tuple[int, ...]]) -> State:
    tensors, at = {}, 0
    for name in sorted(shapes):
        size = int(np.prod(shapes[name], dtype=int))
        tensors[name] = torch.as_tensor(vector[at : at + size].reshape(shapes[name]).copy())
        at += size
    return tensors


def simulate_guarded(
    model: Model, sites: Mapping[str, TaskSet], procedure: Any, guard: SecureSum | Privacy, rounds: int
) -> Federated:
    """Learn in Flower's simulation with sums masked, or with weights made noisy.

    Parameters
    ----------
    model : Model
    sites : mapping of str to TaskSet
        Without covariates that shift starts.
    procedure : ByStatistics, GaussianPrior or ByWeights
    guard : SecureSum or Privacy
        Sums can be masked, and weights can be made noisy.
    rounds : int

    Raises
    ------
    InputError
        If guard and procedure do not go together.
    """
    chosen = as_procedure(procedure)
    if isinstance(guard, SecureSum) != isinstance(chosen, ByStatistics):
        raise InputError(
            "sums are masked (SecureSum), and weights made noisy (Privacy): give the one that fits."
        )
    if isinstance(guard, Privacy) and not isinstance(chosen, ByWeights):
        raise InputError("differential privacy is for ByWeights.")
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    here = [Site(model, tasks) for tasks in sites.values()]
    scaled = Covariates.of_moments((), transforms_of(model, ()), [site.moments() for site in here])
    begun = chosen.begin(model, scaled, [chosen.introduction(site) for site in here])
    carried = _Averaging(chosen, begun, len(here))
    common = needed("flwr.common", "federated", _PURPOSE)
    legacy = needed("flwr.server", "federated", _PURPOSE)
    strategies = needed("flwr.server.strategy", "federated", _PURPOSE)

    class Averaged(strategies.FedAvg):  # type: ignore[name-defined]
        """The mean of the sites' vectors; the state takes it before the next question."""

        def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
            if server_round > 1:
                carried.take(common.parameters_to_ndarrays(parameters)[0])
            question = packed(chosen.question(carried.state))
            told = common.FitIns(parameters, {"question": question, "number": server_round})
            clients = client_manager.sample(len(here), min_num_clients=len(here))
            carried.rounds.append(Round(server_round, len(question) * len(here), 0, len(here)))
            return [(each, told) for each in clients]

    strategy: Any = Averaged(
        fraction_evaluate=0.0,
        min_fit_clients=len(here),
        min_available_clients=len(here),
        initial_parameters=common.ndarrays_to_parameters([carried.begin()]),
    )
    if isinstance(guard, Privacy):
        wrapped = strategies.DifferentialPrivacyServerSideFixedClipping
        strategy = wrapped(strategy, guard.noise, guard.clip, len(here))
    # the last round is asked for only so that the strategy takes the one before
    _run(legacy, _workflow(guard), strategy, _client_app(chosen, here, guard), rounds + 1, len(here))
    if len(carried.rounds) <= rounds:
        raise InputError("Flower's simulation ended early; its own messages say why.")
    card = next(iter(sites.values())).card
    done = tuple(carried.rounds[:rounds])
    return Federated(prior_of(chosen, model, carried.state, card, card.name, done), done)


def _workflow(guard: SecureSum | Privacy) -> Any:
    workflows = needed("flwr.server.workflow", "federated", _PURPOSE)
    if isinstance(guard, Privacy):
        return workflows.DefaultWorkflow()
    secure = workflows.SecAggPlusWorkflow(
        num_shares=1.0,
        reconstruction_threshold=0.6,
        max_weight=1.0,
        clipping_range=guard.range,
        quantization_range=guard.levels,
        modulus_range=2**32,
    )
    return workflows.DefaultWorkflow(fit_workflow=secure)


def _client_app(procedure: Any, here: list[Site], guard: SecureSum | Privacy) -> Any:
    clients = needed("flwr.client", "federated", _PURPOSE)

    class Answering(clients.NumPyClient):  # type: ignore[name-defined]
        def __init__(self, site: Site) -> None:
            self.site = site

        def fit(self, parameters: Any, config: Any) -> Any:
            vector = vector_of(procedure, self.site, config["question"], int(config["number"]))
            return [vector], 1, {}

    def client_fn(context: Any) -> Any:
        return Answering(here[int(context.node_config["partition-id"])]).to_client()

    mods = []
    if isinstance(guard, SecureSum):
        mods = [needed("flwr.client.mod", "federated", _PURPOSE).secaggplus_mod]
    return clients.ClientApp(client_fn=client_fn, mods=mods)


def _run(legacy: Any, workflow: Any, strategy: Any, client_app: Any, rounds: int, count: int) -> None:
    app = legacy.ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        config = legacy.ServerConfig(num_rounds=rounds)
        workflow(grid, legacy.LegacyContext(context=context, config=config, strategy=strategy))

    simulation = needed("flwr.simulation", "federated", _PURPOSE)
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    simulation.run_simulation(app, client_app, num_supernodes=count, backend_config=resources)
