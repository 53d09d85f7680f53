"""What the Gaussian prior has learned, and what learning carries from one iteration to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from metasci.files import State
from metasci.meta.adaptation.inner import Memory
from metasci.meta.laplace.uncertainty import Known
from metasci.meta.named_tensors import NamedTensors

__all__ = ["KNOWN", "GaussianState"]

KNOWN = 1e12
"""Degrees of freedom of what is declared, not learned."""

_MEMORY = "outer/"


@dataclass(frozen=True)
class GaussianState(NamedTensors):
    """The learned population, and where learning stands.

    Attributes
    ----------
    coefficients : Tensor, (parameter, 1 + covariate)
        B: the population's mean, and what covariates add to it, in scaled coordinates.
    covariance : Tensor, (parameter, parameter)
        Σ, between tasks.
    design_covariance : Tensor, (1 + covariate, 1 + covariate)
        V: how uncertain the coefficients are, over the design.
    log_noise : Tensor, (scale,)
    noise_shape : Tensor, ()
        a of the tasks' noise factors, Gamma(a, a).
    widening : Tensor, ()
        On the variance of a new task's prior, for not knowing the spread.
    spread_freedom, noise_freedom : Tensor, ()
        Degrees of freedom with which spread and noise are known; so many that they count as known in older files.
    relevance : Tensor, (max(covariate, 1),)
        Precision of the belief about covariate effects.
    change : Tensor, ()
        By how much the last iteration moved anything, in units of the spread.
    refined : Tensor, ()
        Iterations by gradients, after those of expectation–maximisation.
    iteration : Tensor, ()
        All iterations.
    noise_precision : Tensor, (task,), optional
        Expected factor on each task's noise precision; of the tasks learned from, and not kept with a prior.
    coordinates : Tensor, (task, parameter), optional
        Estimates of the tasks learned from; not kept either.
    memory : dict of Tensor
        Of the rule that climbs the predictive objective.
    """

    coefficients: Tensor
    covariance: Tensor
    design_covariance: Tensor
    log_noise: Tensor
    noise_shape: Tensor
    widening: Tensor
    spread_freedom: Tensor
    noise_freedom: Tensor
    relevance: Tensor
    change: Tensor
    refined: Tensor
    iteration: Tensor
    noise_precision: Tensor | None = None
    coordinates: Tensor | None = None
    memory: Memory = field(default_factory=dict)

    @property
    def mean(self) -> Tensor:
        """The population's mean, (parameter,), in scaled coordinates."""
        return self.coefficients[:, 0]

    @property
    def effects(self) -> Tensor:
        """What covariates add to it, (parameter, covariate)."""
        return self.coefficients[:, 1:]

    def known_as_well_as(self, known: Known) -> GaussianState:
        """The same with how well it is known, of one that was just maximised."""
        one = torch.ones_like(self.widening)
        return replace(
            self,
            design_covariance=self.design_covariance / known.share,
            widening=one * known.widening,
            spread_freedom=one * known.spread_freedom,
            noise_freedom=one * known.noise_freedom,
        )

    def change_from(self, old: GaussianState) -> Tensor:
        """The greatest move: of coefficients in units of the spread, of spread and noise on the logarithm."""
        spread, spread_before = self.covariance.diagonal().sqrt(), old.covariance.diagonal().sqrt()
        moved = (self.coefficients - old.coefficients).abs() / spread[:, None]
        widened = (spread / spread_before).log().abs()
        quieter = (self.log_noise - old.log_noise).abs()
        return torch.cat([moved.ravel(), widened, quieter]).max()

    def tensors(self) -> State:
        """All tensors by their names in files."""
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "memory"}
        kept = {name: value for name, value in own.items() if value is not None}
        return {**kept, **{_MEMORY + name: value for name, value in self.memory.items()}}

    @classmethod
    def of(cls, tensors: State) -> GaussianState:
        """The state of named tensors; older files lack some, which learning alone looks at or which were always one."""
        covariance, covariates = tensors["covariance"], tensors["coefficients"].shape[1] - 1
        zero = torch.zeros_like(covariance[0, 0])
        absent = {
            "widening": zero + 1.0,
            "spread_freedom": zero + KNOWN,
            "noise_freedom": zero + KNOWN,
            "relevance": zero.expand(max(covariates, 1)) + 1.0,
            "change": zero,
            "refined": zero,
            "iteration": zero,
        }
        names = {item.name for item in fields(cls)}
        memory = {n.removeprefix(_MEMORY): v for n, v in tensors.items() if n.startswith(_MEMORY)}
        return cls(**absent | {n: v for n, v in tensors.items() if n in names}, memory=memory)

    def lasting(self) -> GaussianState:
        """What a finished prior keeps: nothing of the tasks that it was learned from, nor of the search."""
        return replace(self, noise_precision=None, coordinates=None, memory={})

    @staticmethod
    def shapes(size: int, covariates: int, scales: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors that every saved state has, for so many parameters, covariates and noise scales."""
        wide = 1 + covariates
        return {
            "coefficients": (size, wide),
            "covariance": (size, size),
            "design_covariance": (wide, wide),
            "log_noise": (scales,),
            "noise_shape": (),
        }
