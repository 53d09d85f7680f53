"""Learning from means alone: what sites answer as one vector each, and what the server makes of the vectors' mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.errors import InputError
from metasci.federated.gradients import ByWeights
from metasci.federated.learning import Round
from metasci.federated.messages import unpacked
from metasci.federated.procedure import Site, transforms_of
from metasci.federated.statistics import ByStatistics
from metasci.files import State
from metasci.meta.covariates import Covariates, fault_of_moments, moment_shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from metasci.model import Model

__all__ = ["Averaging", "flat", "unflat", "vector_of"]

# what is left of sums that travel as whole numbers: some 1e-5 of their range
_WHOLE_NUMBERS = 1e-3
# share of the sites that must answer: of fewer a sum says too much of each
_LEAST = 0.5
_ONE = torch.ones((), dtype=torch.float64)


@dataclass
class Averaging:
    """What the server carries from mean to mean.

    Parameters
    ----------
    procedure : Procedure
        `ByStatistics`, whose first mean is of the covariates' moments, or `ByWeights`, which was introduced.
    model : Model
    covariates : tuple of str
    names : tuple of str
        Of the sites.
    """

    procedure: Any
    model: Model
    covariates: tuple[str, ...]
    names: tuple[str, ...]
    state: Any = None
    rounds: list[Round] = field(default_factory=list)
    _sent: tuple[int, int, float] = (0, 0, 0.0)

    _failed: dict[int, str] = field(default_factory=dict)
    _lost: int = 0

    @property
    def count(self) -> int:
        """Of sites."""
        return len(self.names)

    @property
    def spare(self) -> int:
        """Rounds that may be lost since sites died, and are asked again of the others.

        None with noise, which is made for all sites.
        """
        return 2 if isinstance(self.procedure, ByStatistics) else 0

    @property
    def number(self) -> int:
        """Of the round that comes."""
        return len(self.rounds)

    def introduced(self, moments: list[State], said: list[State]) -> None:
        """Begin with what sites said in the clear."""
        self.state = self.procedure.begin(self.model, self._covariates(moments), said)
        tasks = int(sum(float(each["tasks"]) for each in moments))
        self.rounds.append(Round(0, 0, 0, tasks, dict.fromkeys(self.names, 0.0)))

    def _covariates(self, moments: list[State]) -> Covariates:
        return Covariates.of_moments(self.covariates, transforms_of(self.model, self.covariates), moments)

    def question(self) -> State:
        """What sites are told."""
        told: State = self.procedure.question(self.state)
        return told

    def begin(self) -> NDArray[np.float64]:
        """The vector that sites' vectors are averaged into, before the first round."""
        if isinstance(self.procedure, ByWeights):
            return flat({"tasks": _ONE, **self.state.state.learned})
        size = sum(math.prod(shape) for shape in self._shapes().values())
        return np.zeros(size)

    def _shapes(self) -> Mapping[str, tuple[int, ...]]:
        if self.state is None:
            return moment_shapes(len(self.covariates))
        shapes: Mapping[str, tuple[int, ...]] = self.procedure.shapes(self.question())
        return shapes

    def take(
        self,
        mean: NDArray[np.float64],
        answered: int,
        sent: tuple[int, int, float],
        failed: Mapping[int, str],
        there: set[int],
    ) -> bool:
        """One round further, by the mean of the vectors of those who answered, and what had been sent by then.

        `failed` says why sites did not answer, and `there` which ones did, where that is known.

        Returns
        -------
        bool
            False where the round is lost and has to be asked again.
        """
        self._failed = {**self._failed, **failed}
        said = {self.names[at]: f"no answer ({why})" for at, why in self._failed.items() if at not in there}
        if answered < _LEAST * self.count:
            self._lost += 1
            if self._lost <= self.spare and not answered:
                return False
            reasons = "; ".join(dict.fromkeys(said.values()))  # often all the same
            raise InputError(
                f"round {self.number}: too few of {self.count} sites answered until its end, and nothing can be made "
                f"of the others' answers{f' ({reasons})' if said else ''}: ask again when they do."
            )
        answer = unflat(mean, self._shapes())
        if isinstance(self.procedure, ByWeights):  # equal shares: a site's number of tasks would tell of it
            answer["tasks"] = _ONE
            self.state = self.procedure.next(self.state, [answer])
        else:
            self._take_sums({name: answered * value for name, value in answer.items()})
        down, up, seconds = (now - before for now, before in zip(sent, self._sent, strict=True))
        self._sent, self._failed = sent, {}
        tasks = self.rounds[0].tasks if self.rounds else round(answered * float(answer["tasks"]))
        each = {self.names[at]: seconds / answered for at in sorted(there)}
        self.rounds.append(Round(self.number, int(down), int(up), tasks, each, said))
        return True

    def _take_sums(self, total: State) -> None:
        if self.state is None:
            moments = {name: value.round() if name in _COUNTS else value for name, value in total.items()}
            if why := fault_of_moments(moments):
                raise InputError(f"the sum of the sites' answers cannot be used: {why}.")
            self.state = self.procedure.begin(self.model, self._covariates([moments]), [])
            return
        answer = self.procedure.of_sums(total)
        if why := self.procedure.fault(self.question(), answer, _WHOLE_NUMBERS):
            raise InputError(f"the sum of the sites' answers cannot be used: {why}.")
        self.state = self.procedure.next(self.state, [answer])


_COUNTS = ("tasks", "known")


def vector_of(procedure: Any, site: Site, question: bytes, number: int) -> NDArray[np.float64]:
    """A site's answer as one vector, of which the sum or the mean over sites is of use."""
    if isinstance(procedure, ByStatistics):
        if number == 0:
            return flat(site.moments())
        return flat(procedure.as_sums(procedure.answer(site, unpacked(question), number)))
    return flat({**procedure.answer(site, unpacked(question), number), "tasks": _ONE})


def flat(tensors: State) -> NDArray[np.float64]:
    """Tensors as one vector, one behind the other, by name."""
    parts = [tensors[name].detach().numpy().ravel() for name in sorted(tensors)]
    return np.concatenate(parts).astype(np.float64)


def unflat(vector: NDArray[np.float64], shapes: Mapping[str, tuple[int, ...]]) -> State:
    """Tensors of a vector that has them one behind the other, by name."""
    tensors, at = {}, 0
    for name in sorted(shapes):
        size = int(np.prod(shapes[name], dtype=int))
        tensors[name] = torch.as_tensor(np.array(vector[at : at + size]).reshape(shapes[name]))
        at += size
    return tensors
