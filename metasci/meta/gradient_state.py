"""What a gradient method has learned, and what it carries from one meta-iteration to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.files import State
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.composition import Composition, initial
from metasci.meta.compositions.outer import OuterState
from metasci.meta.named_tensors import NamedTensors

__all__ = ["GradientState"]

_RULE = "rule/"


@dataclass(frozen=True)
class GradientState(NamedTensors):
    """Where meta-training stands, what the first step was, and what adaptation was found to imply.

    Attributes
    ----------
    outer : OuterState
        What is learned: ``mean`` (parameter,), ``effects`` (parameter, covariate), ``log_noise`` (scale,),
        ``log_penalty`` (law,) where weights of laws are learned, and, under ``rule/``, the inner rule's own; beside it
        the outer rule's memory and the number of iterations.
    first_step : Tensor, ()
        The step size, or where a learned one began.
    implied_precision : Tensor, (parameter, parameter), optional
        Of the prior that adaptation implies, where it has no closed form.
    """

    outer: OuterState
    first_step: Tensor
    implied_precision: Tensor | None = None

    @property
    def learned(self) -> Parameters:
        """All that is learned, by name."""
        return self.outer.learned

    @property
    def iteration(self) -> Tensor:
        """Meta-iterations made, ()."""
        return self.outer.iteration

    @property
    def mean(self) -> Tensor:
        """Where tasks start, (parameter,), in scaled coordinates."""
        return self.learned["mean"]

    @property
    def effects(self) -> Tensor:
        """By how much covariates shift that, (parameter, covariate)."""
        return self.learned["effects"]

    @property
    def log_noise(self) -> Tensor:
        """Logarithm of the noise's scales, (scale,)."""
        return self.learned["log_noise"]

    @property
    def log_penalty(self) -> Tensor | None:
        """Logarithm of the weights of laws, (law,), where they are learned."""
        return self.learned.get("log_penalty")

    @property
    def of_rule(self) -> Parameters:
        """What is learned of the inner rule, by the rule's own names."""
        return {n.removeprefix(_RULE): value for n, value in self.learned.items() if n.startswith(_RULE)}

    @property
    def beside_rule(self) -> Parameters:
        """What is learned of the tasks, without the inner rule."""
        return {name: value for name, value in self.learned.items() if not name.startswith(_RULE)}

    def with_learned(self, **tensors: Tensor) -> GradientState:
        """The same with other values of some learned tensors."""
        return replace(self, outer=replace(self.outer, learned={**self.learned, **tensors}))

    def tensors(self) -> State:
        """All tensors by their names in files."""
        tensors = {**self.outer.tensors(), "first_step": self.first_step}
        if self.implied_precision is not None:
            tensors["implied_precision"] = self.implied_precision
        return tensors

    @classmethod
    def of(cls, tensors: State) -> GradientState:
        """The state of named tensors."""
        beside = ("first_step", "implied_precision")
        outer = {name: value for name, value in tensors.items() if name not in beside}
        outer.setdefault("iteration", tensors["first_step"].new_zeros(()))
        return cls(OuterState.of(outer), tensors["first_step"], tensors.get("implied_precision"))

    def lasting(self) -> GradientState:
        """What a finished prior keeps: all but the outer rule's memory."""
        return replace(self, outer=replace(self.outer, memory={}))

    @staticmethod
    def shapes(
        composition: Composition, adapted: int, size: int, covariates: int, scales: int, weights: int
    ) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors that every saved state has.

        Parameters
        ----------
        composition : Composition
        adapted, size : int
            Parameters that are adapted, and all.
        covariates, scales : int
        weights : int
            Of laws, if they are learned; 0 otherwise.
        """
        coordinates = {"coordinates": torch.zeros(adapted)}
        of_rule = {n: value for n, value in initial(composition, coordinates).items() if n not in coordinates}
        return {
            "mean": (size,),
            "effects": (size, covariates),
            "log_noise": (scales,),
            "first_step": (),
            **({"log_penalty": (weights,)} if weights else {}),
            **{name: tuple(value.shape) for name, value in of_rule.items()},
        }
