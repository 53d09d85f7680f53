"""Secure aggregation and differential privacy, by Flower's own parts.

With SecAgg+ (Bell and others, CCS 2020; arXiv 2009.11248) the server sees the sum of the sites' answers and none of
them: each is masked by numbers that cancel in the sum. Sums of expectation–maximisation are all that it asks for, so
nothing is lost but digits, as what is masked are whole numbers. What one site's answer cannot be checked for any more
is checked in the sum.

With differential privacy what a site's weights move is cut to a length, and the mean gets Gaussian noise in
proportion to it (`metasci.federated.privacy`). What is hidden is a whole *site*.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.errors import InputError
from metasci.extras import needed
from metasci.federated.averaging import Averaging, flat, vector_of
from metasci.federated.gradients import ByWeights
from metasci.federated.here import GridHere, run_here
from metasci.federated.learning import Federated, as_procedure, prior_of
from metasci.federated.messages import packed
from metasci.federated.privacy import Privacy
from metasci.federated.procedure import Site
from metasci.federated.statistics import ByStatistics
from metasci.meta.covariates import moment_shapes

if TYPE_CHECKING:
    from metasci.data.tasks import TaskSet
    from metasci.model import Model

__all__ = ["Privacy", "SecureSum", "learn_guarded", "simulate_guarded"]

_PURPOSE = "secure aggregation and differential privacy"
_WORDS = 2**32  # of the whole numbers that are added up


@dataclass(frozen=True)
class SecureSum:
    """How answers are masked.

    Parameters
    ----------
    range : float
        No number of an answer may lie beyond ± this: a site that has one says so and does not answer.
    moments : float
        The same for a site's sums of squared covariates, which are asked for once.
    threshold : float
        Share of the sites that must stay until the end of a round for the masks of the others to be taken off.
    """

    range: float = 2000.0
    moments: float = 2000.0
    threshold: float = 0.6

    def levels(self, sites: int) -> int:
        """Whole numbers that stand for the range: as many as can be added up without running over.

        Examples
        --------
        >>> SecureSum().levels(24) == 2**27
        True
        """
        return int(2 ** np.floor(np.log2((_WORDS - 1) / sites)))

    def scaled(self, vector: Any, number: int) -> Any:
        """What a site gives to be masked; moments, of round 0, in the range that other sums have."""
        scaled = vector if number else vector * self._scale(len(vector))
        if not float(np.abs(scaled).max()) <= self.range:
            name = f"range={self.range:g}" if number else f"moments={self.moments:g}"
            raise InputError(f"SecureSum({name}) is too small for a site's sums: give a greater one.")
        return scaled

    def unscaled(self, vector: Any, number: int) -> Any:
        """The reverse."""
        return vector if number else vector / self._scale(len(vector))

    def _scale(self, size: int) -> Any:
        """Of moments as one vector: counts as they are, squares by most, and sums, by Cauchy and Schwarz, by its
        root.
        """
        covariates = math.isqrt((size - 1) // 3)
        ratio = self.range / self.moments
        by_name = {"products": ratio, "sums": math.sqrt(ratio)}
        shapes = moment_shapes(covariates)
        return flat(
            {name: torch.full(shape, by_name.get(name, 1.0)).double() for name, shape in shapes.items()}
        )


Guard = SecureSum | Privacy


def learn_guarded(
    model: Model,
    sites: Mapping[str, TaskSet],
    procedure: Any,
    guard: Guard,
    rounds: int,
    *,
    covariates: tuple[str, ...] = (),
    fails: Callable[[int, int], bool] = lambda site, messages: False,
    change: Callable[[int, int, Any], Any] = lambda site, number, vector: vector,
    watch: Callable[[int, Any], None] = lambda number, state: None,
) -> Federated:
    """Learn in this process with sums masked, or with weights made noisy, by Flower's workflows, strategies and mods.

    Parameters
    ----------
    model : Model
    sites : mapping of str to TaskSet
    procedure : ByStatistics, GaussianPrior or ByWeights
    guard : SecureSum or Privacy
        Sums can be masked, and weights can be made noisy.
    rounds : int
    covariates : tuple of str
        Known properties of tasks that shift the start; with masked sums only.
    fails : callable
        Of a site and the number of messages that it has had: whether it is dead.
    change : callable
        Of a site, the round and its vector: what it sends, to try what a site does that lies.
    watch : callable
        Called after every round with its number and the procedure's state.

    Raises
    ------
    InputError
        If guard and procedure do not go together, or a round is lost since too few sites answered.
    """
    chosen, averaging, here = _begun(model, sites, procedure, guard, covariates)
    grid = GridHere(_client_app(chosen, here, guard, change), len(here), fails)
    if isinstance(guard, Privacy):
        np.random.seed(guard.seed)  # noqa: NPY002 - Flower draws its noise from there
    strategy = _strategy(averaging, guard, grid, rounds + 1, watch)
    run_here(_workflow(guard, len(here)), strategy, grid, rounds + 1 + averaging.spare)
    return _learned(chosen, model, sites, averaging)


def simulate_guarded(
    model: Model, sites: Mapping[str, TaskSet], procedure: Any, guard: Guard, rounds: int
) -> Federated:
    """The same in Flower's simulation, each site a client with a process.

    Arguments are those of `learn_guarded`; sites have no covariates that shift starts.
    """
    chosen, averaging, here = _begun(model, sites, procedure, guard, ())
    # Flower reports its use to its makers unless it is told not to; nothing leaves this machine
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    legacy = needed("flwr.server", "federated", _PURPOSE)
    simulation = needed("flwr.simulation", "federated", _PURPOSE)
    strategy = _strategy(averaging, guard, None, rounds + 1, lambda number, state: None)
    workflow, app = _workflow(guard, len(here)), legacy.ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        config = legacy.ServerConfig(num_rounds=rounds + 1 + averaging.spare)
        workflow(grid, legacy.LegacyContext(context=context, config=config, strategy=strategy))

    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    client = _client_app(chosen, here, guard, lambda site, number, vector: vector)
    simulation.run_simulation(app, client, num_supernodes=len(here), backend_config=resources)
    return _learned(chosen, model, sites, averaging)


def _begun(
    model: Model, sites: Mapping[str, TaskSet], procedure: Any, guard: Guard, covariates: tuple[str, ...]
) -> tuple[Any, Averaging, list[Site]]:
    chosen = as_procedure(procedure)
    if isinstance(guard, SecureSum) != isinstance(chosen, ByStatistics):
        raise InputError(
            "sums are masked (SecureSum), and weights made noisy (Privacy): give the one that fits."
        )
    if isinstance(guard, Privacy) and (not isinstance(chosen, ByWeights) or covariates):
        raise InputError("differential privacy is for ByWeights, without covariates that shift starts.")
    here = [Site(model, tasks, covariates) for tasks in sites.values()]
    averaging = Averaging(chosen, model, covariates, tuple(sites))
    if isinstance(guard, Privacy):
        # told in the clear, and in no ε: how many tasks a site has, and which step is stable for them
        averaging.introduced([site.moments() for site in here], [chosen.introduction(site) for site in here])
    return chosen, averaging, here


def _learned(procedure: Any, model: Model, sites: Mapping[str, TaskSet], averaging: Averaging) -> Federated:
    if averaging.state is None:
        raise InputError("Flower ended before anything was learned; its own messages say why.")
    card, rounds = next(iter(sites.values())).card, tuple(averaging.rounds)
    return Federated(prior_of(procedure, model, averaging.state, card, card.name, rounds), rounds)


def _strategy(
    averaging: Averaging,
    guard: Guard,
    grid: GridHere | None,
    rounds: int,
    watch: Callable[[int, Any], None],
) -> Any:
    """Flower's mean of the sites' vectors, which the state takes after each round; where asked for, with noise.

    `rounds` are all that there shall be, with the introduction.
    """
    common = needed("flwr.common", "federated", _PURPOSE)
    strategies = needed("flwr.server.strategy", "federated", _PURPOSE)
    count = averaging.count

    class Averaged(strategies.FedAvg):  # type: ignore[name-defined]
        answered = 0

        def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
            self.answered = 0
            if averaging.number >= rounds:
                return []
            question = packed(averaging.question()) if averaging.state is not None else b""
            told = common.FitIns(parameters, {"question": question, "number": averaging.number})
            # all are waited for at first; later on those that are still there are asked
            asked = client_manager.num_available() if server_round > 1 else count
            return [(each, told) for each in client_manager.sample(asked, min_num_clients=asked)]

        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            self.answered = len(results)
            return super().aggregate_fit(server_round, results, failures)

        def evaluate(self, server_round: int, parameters: Any) -> None:
            """Not to judge, but since the mean is here with its noise."""
            if server_round == 0 or averaging.number >= rounds:
                return
            traffic, failed, there = (0, 0, 0.0), {}, set(range(count))
            if grid is not None:
                traffic, failed, there = (grid.down, grid.up, grid.seconds), grid.failed, grid.answered
                grid.failed = {}
            mean = common.parameters_to_ndarrays(parameters)[0]
            mean = guard.unscaled(mean, averaging.number) if isinstance(guard, SecureSum) else mean
            if averaging.take(mean, self.answered, traffic, failed, there):
                watch(averaging.number - 1, averaging.state)

    inner = Averaged(
        fraction_evaluate=0.0,
        min_fit_clients=count,
        min_available_clients=count,
        initial_parameters=common.ndarrays_to_parameters([averaging.begin()]),
    )
    if isinstance(guard, SecureSum) or guard.noised_by == "site":
        return inner
    if guard.clipping == "fixed":
        return strategies.DifferentialPrivacyServerSideFixedClipping(inner, guard.noise, guard.clip, count)
    # its noise is in proportion to the clip after its step, which is at worst e⁻⁰·¹ of the one that was used
    noise = guard.noise * math.exp(0.1)
    adaptive = strategies.DifferentialPrivacyServerSideAdaptiveClipping(
        inner,
        noise,
        count,
        initial_clipping_norm=guard.clip,
        clipped_count_stddev=max(count / 20.0, noise),
    )
    # Flower 1.42 counts the moves that were clipped, and takes the step that is right for those that were not: a clip
    # that is too small would shrink for ever
    adaptive.clip_norm_lr = -abs(adaptive.clip_norm_lr)
    return adaptive


def _workflow(guard: Guard, count: int) -> Any:
    workflows = needed("flwr.server.workflow", "federated", _PURPOSE)
    if isinstance(guard, Privacy):
        return workflows.DefaultWorkflow()
    secure = workflows.SecAggPlusWorkflow(
        num_shares=1.0,
        reconstruction_threshold=guard.threshold,
        max_weight=1.0,
        clipping_range=guard.range,
        quantization_range=guard.levels(count),
        modulus_range=_WORDS,
    )
    return workflows.DefaultWorkflow(fit_workflow=secure)


def _client_app(
    procedure: Any, here: list[Site], guard: Guard, change: Callable[[int, int, Any], Any]
) -> Any:
    clients = needed("flwr.client", "federated", _PURPOSE)

    class Answering(clients.NumPyClient):  # type: ignore[name-defined]
        def __init__(self, at: int) -> None:
            self.at = at

        def fit(self, parameters: Any, config: Any) -> Any:
            number = int(config["number"])
            vector = vector_of(procedure, here[self.at], config["question"], number)
            if isinstance(guard, SecureSum):
                vector = guard.scaled(vector, number)
            elif not np.any(vector - parameters[0]):
                # Flower 1.42 divides by the length of a move
                vector = vector + np.finfo(float).eps * (1.0 + np.abs(vector))
            return [change(self.at, number, vector)], 1, {}

    def client_fn(context: Any) -> Any:
        return Answering(int(context.node_config["partition-id"])).to_client()

    return clients.ClientApp(client_fn=client_fn, mods=_mods(guard))


def _mods(guard: Guard) -> list[Any]:
    if isinstance(guard, SecureSum):
        return [needed("flwr.client.mod", "federated", _PURPOSE).secaggplus_mod]
    if guard.noised_by == "server":
        return []
    mod = needed("flwr.client.mod", "federated", _PURPOSE).LocalDpMod
    # Flower has the standard deviation as sensitivity √(2 ln 1.25/δ)/ε: with this δ and ε it is noise times sensitivity
    delta = 1e-3
    epsilon = np.sqrt(2.0 * np.log(1.25 / delta)) / guard.noise if guard.noise else np.inf
    return [mod(guard.clip, 2.0 * guard.clip, float(epsilon), delta)]
