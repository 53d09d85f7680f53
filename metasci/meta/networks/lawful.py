"""Episodes of a network whose outputs must obey physical laws.

The laws are written as for an equation (`metasci.constraints`). What breaks them is added to the losses of an episode:
to the support's, so that adaptation heeds them, and to the query's, so that meta-training learns a start from which
adaptation keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from metasci.constraints import Collocation, Constraint
from metasci.constraints.collocation import with_measured
from metasci.constraints.verdicts import rounding, verdicts
from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import NetworkEpisode

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LawfulEpisode", "law_weights"]

_LEARNED = "log_penalty"


def law_weights(laws: tuple[Constraint, ...], weight: float, like: Parameters) -> Parameters:
    """Weights of the laws' penalties in adaptation as something to be learned: add it to what `initial` gives.

    Logarithms are learned, so that weights stay positive.

    Examples
    --------
    >>> from metasci.constraints import NonNegative
    >>> law_weights((NonNegative(),), 1.0, {"0.bias": torch.zeros(3)})
    {'log_penalty': tensor([0.])}
    """
    if not weight > 0:
        raise InputError(f"a learned weight begins above zero, not at {weight:g}.")
    return {_LEARNED: next(iter(like.values())).new_full((len(laws),), weight).log()}


@dataclass(frozen=True)
class LawfulEpisode:
    """An episode of a network under physical laws; an `Episode`.

    The cost of a law is its weight times the mean square of its violation over the points, in the squared unit of the
    output like a squared error.

    Parameters
    ----------
    episode : NetworkEpisode
        Its network must treat every case by itself.
    laws : tuple of Constraint
    features : tuple of str
        What the laws call the columns of the inputs, (task, case, feature). Inputs that are a dict of tensors, (task,
        case, ...), have names already.
    collocation : Grid or QuasiRandom, optional
        Where the laws are checked beside the episode's own cases.
    inner, outer : float
        Weights of the laws in the support's and in the query's loss; zero leaves them out. Where the learned tensors
        hold ``log_penalty`` (`law_weights`), that takes the place of `inner`, one for each law.

    Raises
    ------
    InputError
        If the inputs do not have as many columns as there are names, or collocation lacks names.

    Examples
    --------
    >>> from metasci.constraints import Even, Grid
    >>> from metasci.meta import Network
    >>> network = Network(torch.nn.Linear(1, 1))
    >>> x = torch.tensor([[[1.0], [2.0]]])
    >>> episode = NetworkEpisode(network, x, 3.0 * x, x, 3.0 * x)
    >>> lawful = LawfulEpisode(episode, (Even("x"),), ("x",), Grid({"x": (0.0, 3.0)}))
    >>> slope = {"weight": torch.full((1, 1, 1), 3.0), "bias": torch.zeros(1, 1)}
    >>> lawful.verdicts(slope)[["law", "satisfied", "violation", "x"]].values.tolist()
    [['even in x', False, 18.0, 3.0]]
    """

    episode: NetworkEpisode
    laws: tuple[Constraint, ...]
    features: tuple[str, ...] = ()
    collocation: Collocation | None = None
    inner: float = 1.0
    outer: float = 1.0

    def __post_init__(self) -> None:
        inputs = self.episode.inputs
        if isinstance(inputs, Tensor) and self.features and inputs.shape[-1] != len(self.features):
            raise InputError(
                f"features: the inputs have {inputs.shape[-1]} columns, but {len(self.features)} are named."
            )
        if self.collocation is not None and not (isinstance(inputs, Tensor) and self.features):
            raise InputError("collocation: name the inputs' columns by `features` first.")
        if self.episode.network.looks_at_support:
            raise InputError(
                "laws look at other points than the support's, so that batch normalisation needs statistics that are "
                "'running' or 'frozen'."
            )

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def asked(self) -> Tensor | None:
        """As the network's episode."""
        return self.episode.asked

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """As the network's episode; the learned weights of laws are shared."""
        own = {name: value for name, value in learned.items() if name != _LEARNED}
        start, shared = self.episode.start(own)
        return start, shared | {name: learned[name] for name in learned if name == _LEARNED}

    def support(self, parameters: Parameters) -> Tensor:
        """Loss of each task's support and cost of the laws broken, (task,)."""
        network, learned = self._split(parameters)
        weight = self.inner if learned is None else learned.exp()
        return self.episode.support(network) + self._cost(network, *self.points(query=False), weight)

    def query(self, parameters: Parameters) -> Tensor:
        """Loss of each task's query and cost of the laws broken, (task,)."""
        network, _ = self._split(parameters)
        return self.episode.query(network) + self._cost(network, *self.points(), self.outer)

    def outputs(self, parameters: Parameters) -> Tensor:
        """What the network says at the query's inputs, (task, case, ...)."""
        return self.episode.outputs(self._split(parameters)[0])

    def points(self, query: bool = True) -> tuple[Mapping[str, Tensor], Tensor]:
        """Inputs by name of the points where the laws are checked, and which of them count."""
        episode = self.episode
        inputs, mask = (episode.query_inputs, episode.query_mask) if query else (episode.inputs, episode.mask)
        if mask is None:
            targets = episode.query_targets if query else episode.targets
            mask = torch.ones(targets.shape[:2], dtype=torch.bool, device=targets.device)
        if isinstance(inputs, Mapping):
            return inputs, mask
        if not self.features:
            return {"inputs": inputs}, mask
        columns = torch.where(mask[..., None], inputs, 0.0).unbind(-1)  # padding may be anything, even NaN
        return with_measured(dict(zip(self.features, columns, strict=True)), mask, self.collocation)

    def violations(self, parameters: Parameters, inputs: Mapping[str, Tensor], mask: Tensor) -> list[Tensor]:
        """By how much each law is broken at each point, (task, point[, output]), in the output's unit."""
        network, _ = self._split(parameters)
        each = [law.violation(lambda here: self._predict(network, here), inputs) for law in self.laws]
        return [values.expand(*mask.shape, *values.shape[2:]) for values in each]

    def verdicts(self, parameters: Parameters, names: tuple[str, ...] = ()) -> pd.DataFrame:
        """Which laws every task keeps, where it breaks them most, and by how much.

        Parameters
        ----------
        parameters : dict of Tensor
            Adapted, from `adapt`.
        names : tuple of str
            Of the tasks; numbers by default.

        Returns
        -------
        DataFrame
            As `metasci.constraints.verdicts.verdicts` gives it, at the query's cases and the collocation.
        """
        inputs, mask = self.points()
        with torch.no_grad():
            prediction = self._predict(self._split(parameters)[0], inputs)
        violations = [
            values.flatten(2).amax(2) if values.dim() > 2 else values
            for values in self.violations(parameters, inputs, mask)
        ]
        prediction = prediction.abs().flatten(2).amax(2) if prediction.dim() > 2 else prediction
        names = names or tuple(str(number) for number in range(len(self)))
        return verdicts(self.laws, violations, rounding(prediction, mask, 0.0), inputs, mask, names)

    def select(self, index: Tensor) -> LawfulEpisode:
        """Some of the tasks, by position."""
        return replace(self, episode=self.episode.select(index))

    def refreshed(self, learned: Parameters) -> Parameters:
        """As the network's episode."""
        return learned | self.episode.refreshed(self._split(learned)[0])

    def fixed(self) -> tuple[Any, ...]:
        """What is not a tensor: a traced program holds for episodes that share it."""
        parts = (self.laws, self.features, self.collocation)
        return (*self.episode.fixed(), parts, self.inner, self.outer)

    def tensors(self) -> dict[str, Any]:
        """All tensors, by field."""
        return self.episode.tensors()

    def with_tensors(self, tensors: dict[str, Any]) -> LawfulEpisode:
        """The same network and laws with other measurements."""
        return replace(self, episode=self.episode.with_tensors(tensors))

    def _split(self, parameters: Parameters) -> tuple[Parameters, Tensor | None]:
        """What the network takes, and the learned weights of the laws."""
        network = {name: value for name, value in parameters.items() if name != _LEARNED}
        return network, parameters.get(_LEARNED)

    def _predict(self, network: Parameters, inputs: Mapping[str, Tensor]) -> Tensor:
        """Outputs at named inputs, (task, point) or, where there are several, (task, point, output)."""
        rows: Any = inputs
        if isinstance(self.episode.inputs, Tensor):
            rows = (
                torch.stack([inputs[name] for name in self.features], -1)
                if self.features
                else inputs["inputs"]
            )
        output = self.episode.network(network, rows)
        return output[..., 0] if output.dim() == 3 and output.shape[-1] == 1 else output

    def _cost(
        self, network: Parameters, inputs: Mapping[str, Tensor], mask: Tensor, weight: float | Tensor
    ) -> Tensor:
        """Weighted mean squares of the violations, (task,)."""
        if not isinstance(weight, Tensor) and not weight:
            return torch.zeros(len(mask), device=mask.device)
        each = []
        for law, values in zip(self.laws, self.violations(network, inputs, mask), strict=True):
            squared = values.square()
            squared = squared.flatten(2).mean(2) if squared.dim() > 2 else squared
            counted = torch.where(mask, squared, 0.0).sum(1) / mask.sum(1).clamp(min=1)
            each.append(law.weight * counted)
        return (torch.stack(each, -1) * weight).sum(-1)
