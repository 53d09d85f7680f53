"""What a process over groups has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from metasci.files import State
from metasci.meta.group_covariance import SOURCE, TREND, GroupCovariance, Points, root_among
from metasci.meta.named_tensors import NamedTensors

__all__ = ["ProcessState", "Standardisation"]

_LOGARITHM = "log/"


@dataclass(frozen=True)
class Standardisation:
    """Centre and scale of what the known groups' members are described by, and of what was measured.

    Attributes
    ----------
    descriptor_centre, descriptor_scale : Tensor, (descriptor,)
    target_centre, target_scale : Tensor, ()
        On the noise's linked scale.
    simulated_centre, simulated_scale : Tensor, (simulator,), optional
        Of what simulators say, where there are any.
    """

    descriptor_centre: Tensor
    descriptor_scale: Tensor
    target_centre: Tensor
    target_scale: Tensor
    simulated_centre: Tensor | None = None
    simulated_scale: Tensor | None = None

    @classmethod
    def of(cls, points: Points, values: Tensor) -> Standardisation:
        """Of the known groups; a descriptor that does not vary is left as it is."""
        centre, scale = points.descriptors.mean(0), points.descriptors.std(0)
        scale = torch.where(scale > 1e-9 * (1.0 + centre.abs()), scale, torch.ones_like(scale))
        target = values.mean(), values.std().clamp(min=1e-12)
        if points.simulated is None:
            return cls(centre, scale, *target)
        simulated = points.simulated.mean(0), points.simulated.std(0).clamp(min=1e-12)
        return cls(centre, scale, *target, *simulated)

    def points(self, points: Points) -> Points:
        """With standardised descriptors, and what simulators say standardised, too."""
        descriptors = (points.descriptors - self.descriptor_centre) / self.descriptor_scale
        if points.simulated is None or self.simulated_centre is None or self.simulated_scale is None:
            return replace(points, descriptors=descriptors)
        simulated = (points.simulated - self.simulated_centre) / self.simulated_scale
        return replace(points, descriptors=descriptors, simulated=simulated)

    def target(self, values: Tensor) -> Tensor:
        """Measurements, standardised."""
        return (values - self.target_centre) / self.target_scale


@dataclass(frozen=True)
class ProcessState(NamedTensors):
    """The learned covariances, some members that stand for all, and what is known of the shared function.

    Attributes
    ----------
    standard : Standardisation
    covariance : GroupCovariance
    members : Points
        Of the known groups, standardised; they span the shared function's features.
    weights : Tensor, (member,)
        Posterior mean of the features' weights.
    factor : Tensor, (member, member)
        F, with F Fᵀ as their covariance.
    """

    standard: Standardisation
    covariance: GroupCovariance
    members: Points
    weights: Tensor
    factor: Tensor

    @cached_property
    def root(self) -> Tensor:
        """Cholesky factor of the shared function's covariance at the members, which every new group needs."""
        return root_among(self.members, self.covariance)

    @property
    def deviation(self) -> float:
        """Standard deviation of the shared function where nothing is known of it, on the values' scale."""
        free = self.covariance
        variance = (2.0 * free.shared_parts).exp() + (2.0 * free.shared_whole).exp()
        return float(self.standard.target_scale * variance.sqrt())

    def tensors(self) -> State:
        """All tensors by their names in files."""
        standard = {item.name: getattr(self.standard, item.name) for item in fields(self.standard)}
        simulated = {"simulated": self.members.simulated}
        return {
            **{name: value for name, value in (standard | simulated).items() if value is not None},
            **{_LOGARITHM + name: value for name, value in self.covariance.tensors().items()},
            "counts": self.members.counts,
            "descriptors": self.members.descriptors,
            "weights": self.weights,
            "factor": self.factor,
        }

    @classmethod
    def of(cls, tensors: State) -> ProcessState:
        """The state of named tensors."""
        return cls(
            Standardisation(*(tensors.get(item.name) for item in fields(Standardisation))),  # type: ignore[arg-type]
            GroupCovariance(*(tensors.get(_LOGARITHM + item.name) for item in fields(GroupCovariance))),  # type: ignore[arg-type]
            Points(tensors["counts"], tensors["descriptors"], tensors.get("simulated")),
            tensors["weights"],
            tensors["factor"],
        )

    @staticmethod
    def shapes(tensors: State) -> dict[str, tuple[int, ...]]:
        """Shapes of all that a file must hold, by those of its standing members."""

        def size(name: str, axis: int) -> int:
            shape: Sequence[int] = tensors[name].shape if name in tensors else ()
            return shape[axis] if len(shape) == 2 else 0

        members, parts, descriptors = size("counts", 0), size("counts", 1), size("descriptors", 1)
        by_descriptor = {"lengths", "noise_slopes"}
        simulators = size("simulated", 1)
        simulated: dict[str, tuple[int, ...]] = {
            "simulated": (members, simulators),
            "simulated_centre": (simulators,),
            "simulated_scale": (simulators,),
        }
        without = set() if "simulated" in tensors else {*TREND}
        without |= {name for name in (*SOURCE, "noise_between") if _LOGARITHM + name not in tensors}
        return {
            **(simulated if "simulated" in tensors else {}),
            "counts": (members, parts),
            "descriptors": (members, descriptors),
            "weights": (members,),
            "factor": (members, members),
            "descriptor_centre": (descriptors,),
            "descriptor_scale": (descriptors,),
            "target_centre": (),
            "target_scale": (),
            **{
                _LOGARITHM + item.name: (descriptors,) if item.name in by_descriptor else ()
                for item in fields(GroupCovariance)
                if item.name not in without
            },
        }
