"""Batch normalisation whose averages, scales and shifts are of one inner step each.

A network that adapts is another one after every step, so that averages over what its layers saw at the start do not
fit it later. Here each step has its own: those of step 0 are used where the first gradient is taken, the last ones
where the query is judged. Scales and shifts of a step are learned but do not adapt.

Source: Antoniou, Edwards and Storkey, ICLR 2019 (arXiv 1810.09502), section 4, per-step batch normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import adapt
from metasci.meta.compositions.composition import Composition
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.network import Network
from metasci.meta.networks.normalisation import TaskNormalisation, running_statistics

__all__ = ["PerStepEpisode", "per_step_averages", "per_step_start"]

_STEP = "step/"
_LAYERS = (nn.modules.batchnorm._BatchNorm, TaskNormalisation)


def per_step_start(network: Network, start: Parameters, steps: int, *, scales: bool = True) -> Parameters:
    """What is learned beside the weights: each step's averages, if the network keeps any, scales and shifts.

    Parameters
    ----------
    network : Network
    start : dict of Tensor
        What begins, such as `Network.start`; its values are every step's first ones.
    steps : int
        Of the inner loop; the query has values of its own behind them.
    scales : bool
        Whether each step has scales and shifts of its own, or averages alone.

    Examples
    --------
    >>> network = Network(nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2)), "running")
    >>> sorted(per_step_start(network, network.start(), steps=1, scales=False))
    ['step/0/1.running_mean', 'step/0/1.running_var', 'step/1/1.running_mean', 'step/1/1.running_var']
    """
    own = {**network.buffers(), **start}
    names = list(network.buffers()) if network.statistics == "running" else []
    for at, layer in network.module.named_modules():
        if scales and isinstance(layer, _LAYERS):
            names += [f"{at}.{name}" if at else name for name, _ in layer.named_parameters(recurse=False)]
    if not names:
        raise InputError(
            f"the network {type(network.module).__name__} has nothing that each step could have of its own: give it "
            "batch normalisation."
        )
    return {
        f"{_STEP}{step}/{name}": own[name].detach().clone() for step in range(steps + 1) for name in names
    }


@dataclass(frozen=True)
class PerStepEpisode(NetworkEpisode):
    """Tasks for a network whose normalisation has values of its own at each inner step.

    Parameters
    ----------
    method : Composition
        That adapts: steps beyond those of learning take the last values.

    Examples
    --------
    >>> network = Network(nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)), "running")
    >>> method = Composition(steps=2)
    >>> start = network.start()
    >>> learned = start | network.buffers() | per_step_start(network, start, method.steps)
    >>> import torch
    >>> line = torch.tensor([[[0.0], [1.0]]])
    >>> made = PerStepEpisode(network, line, line, line, line, method=method)
    >>> made.outputs(adapt(method, made, learned)).shape
    torch.Size([1, 2, 1])
    """

    method: Composition = field(default_factory=Composition)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """The weights, and each step's own values, which tasks share."""
        weights, shared = super().start({n: v for n, v in learned.items() if not n.startswith(_STEP)})
        return weights, shared | {n: v for n, v in learned.items() if n.startswith(_STEP)}

    def support(self, parameters: Parameters, step: int = 0) -> Tensor:
        """Loss of each task's support with the step's values, (task,)."""
        return super().support(self._at(parameters, step))

    def outputs(self, parameters: Parameters) -> Tensor:
        """What the network says at the query's inputs with the last values, (task, case, ...)."""
        return super().outputs(self._at(parameters, self.method.steps))

    def refreshed(self, learned: Parameters) -> Parameters:
        """The learned tensors with averages that have seen this support at each step's weights."""
        if self.network.statistics != "running":
            return learned
        return learned | per_step_averages(self, learned)

    def fixed(self) -> tuple[Any, ...]:
        """The method as well."""
        return (*super().fixed(), self.method)

    def _at(self, parameters: Parameters, step: int) -> Parameters:
        buffers = self.network.buffer_names
        own = {name: value for name, value in parameters.items() if not name.startswith(_STEP)}
        for name, value in _values(parameters, step).items():
            own[name] = value if name in buffers else value.expand(len(self), *value.shape)
        return own


def per_step_averages(
    episode: PerStepEpisode, learned: Parameters, keeps: nn.Module | None = None
) -> Parameters:
    """Running averages of every step that have seen the supports, task after task, at that step's weights.

    Parameters
    ----------
    episode : PerStepEpisode
        Tasks adapt to their supports as its network and method do it.
    learned : dict of Tensor
    keeps : torch.nn.Module, optional
        Whose layers keep the averages, at their own momentum, where the episode's network keeps none.
    """
    module = episode.network.module if keeps is None else keeps
    kept = {name for name, value in module.named_buffers() if value.is_floating_point()}
    weights = {name for name, _ in module.named_parameters()}
    averages: Parameters = {}

    def see(step: int, here: Parameters) -> None:
        placed = episode._at(here, step)
        seen = {name: value for name, value in placed.items() if name in kept}
        seen = {**{name: module.get_buffer(name) for name in kept}, **seen}
        for task in range(len(episode)):
            own = {name: value[task] for name, value in placed.items() if name in weights}
            mask = None if episode.mask is None else episode.mask[task : task + 1]
            updated = running_statistics(module, {**own, **seen}, episode.inputs[task : task + 1], mask)
            seen = {name: updated[name] for name in kept}
        averages.update({f"{_STEP}{step}/{name}": value for name, value in seen.items()})

    adapt(episode.method, episode, learned, visit=see)
    return averages


def _values(parameters: Parameters, step: int) -> Parameters:
    """A step's own, by the names that they take the place of; of a step beyond the last, the last ones."""
    last = max(
        (int(n.removeprefix(_STEP).split("/")[0]) for n in parameters if n.startswith(_STEP)), default=0
    )
    start = f"{_STEP}{min(step, last)}/"
    return {name.removeprefix(start): value for name, value in parameters.items() if name.startswith(start)}
