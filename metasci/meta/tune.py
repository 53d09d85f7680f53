"""Tuning by hypergradient: what a training loop ends with, differentiated for what it was told.

An inner loop trains parameters φ on an objective J(φ, λ) in steps that may use the outer numbers λ (learning rates,
weights of a penalty, starts, shapes). The hypergradient is that of the validation loss Q(φ_K(λ), λ) for λ. Three ways:
backwards through all steps (`Unrolled`), forwards with one tangent for each outer number (`ForwardMode`: memory does
not grow with the steps), and by the implicit function theorem where the loop has converged (`Implicit`).

Sources: Maclaurin et al. 2015 (arXiv 1502.03492), unrolled; Franceschi et al. 2017 (arXiv 1703.01785), both modes;
Lorraine et al. 2020 (arXiv 1911.02590), implicit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

from metasci.errors import InputError
from metasci.meta.adaptation.implicit import (
    Operator,
    conjugate_gradients,
    implicit_gradient,
    neumann_series,
)

__all__ = ["ForwardMode", "Implicit", "InnerLoop", "Tuned", "Unrolled", "Way", "descent", "tune"]

Named = dict[str, Tensor]


@dataclass(frozen=True)
class InnerLoop:
    """A training loop, and what judges its end.

    Attributes
    ----------
    start : callable
        From the outer numbers to the first parameters.
    step : callable
        ``step(parameters, outer, number)``: the parameters after a step, differentiable in both.
    steps : int
    validation : callable
        ``validation(parameters, outer)``, a scalar.
    objective : callable, optional
        ``objective(parameters, outer)``, a scalar that the loop minimises; `Implicit` needs it.
    """

    start: Callable[[Named], Named]
    step: Callable[[Named, Named, int], Named]
    steps: int
    validation: Callable[[Named, Named], Tensor]
    objective: Callable[[Named, Named], Tensor] | None = None

    def trained(self, outer: Named) -> Named:
        """The parameters in the end."""
        parameters = self.start(outer)
        for number in range(self.steps):
            parameters = self.step(parameters, outer, number)
        return parameters


def descent(
    objective: Callable[[Named, Named], Tensor], rate: Callable[[Named], Named | Tensor | float]
) -> Callable[[Named, Named, int], Named]:
    """A step of gradient descent on an objective, at a rate (or one for each parameter) that the outer numbers say."""

    def step(parameters: Named, outer: Named, number: int) -> Named:
        with torch.enable_grad():
            moving = {n: p if p.requires_grad else p.clone().requires_grad_() for n, p in parameters.items()}
            slopes = torch.autograd.grad(objective(moving, outer), list(moving.values()), create_graph=True)
            speed = rate(outer)
            return {
                n: moving[n] - (speed[n] if isinstance(speed, dict) else speed) * slope
                for n, slope in zip(moving, slopes, strict=True)
            }

    return step


class Way(Protocol):
    """How a hypergradient is computed."""

    def __call__(self, loop: InnerLoop, outer: Named) -> tuple[Tensor, Named]:
        """Validation loss, and its gradient for each outer tensor."""


@dataclass(frozen=True)
class Unrolled:
    """Backwards through every step: exact for any number of outer numbers; memory grows with the steps.

    Examples
    --------
    >>> loop = InnerLoop(
    ...     start=lambda outer: {"x": torch.ones(1, dtype=torch.float64)},
    ...     step=descent(lambda p, outer: 0.5 * p["x"].square().sum(), lambda outer: outer["rate"]),
    ...     steps=2, validation=lambda p, outer: p["x"].sum())
    >>> loss, slope = Unrolled()(loop, {"rate": torch.tensor(0.1, dtype=torch.float64)})  # (1 − λ)²
    >>> round(float(loss), 6), round(float(slope["rate"]), 6)
    (0.81, -1.8)
    """

    def __call__(self, loop: InnerLoop, outer: Named) -> tuple[Tensor, Named]:
        with torch.enable_grad():
            free = {name: value.detach().clone().requires_grad_() for name, value in outer.items()}
            loss = loop.validation(loop.trained(free), free)
            slopes = torch.autograd.grad(loss, list(free.values()), allow_unused=True)
        return loss.detach(), _filled(free, slopes)


@dataclass(frozen=True)
class ForwardMode:
    """Forwards, with a tangent for each outer number: exact, for few of them; nothing of the steps is kept."""

    def __call__(self, loop: InnerLoop, outer: Named) -> tuple[Tensor, Named]:
        slopes = {name: torch.zeros_like(value) for name, value in outer.items()}
        loss = torch.zeros(())
        for name, place in _places(outer):
            tangents = {n: torch.zeros_like(v) for n, v in outer.items()}
            tangents[name].view(-1)[place] = 1.0
            loss, slope = _along(loop, outer, tangents)
            slopes[name].view(-1)[place] = slope
        return loss, slopes


@dataclass(frozen=True)
class Implicit:
    """By the implicit function theorem: right as far as the loop has converged, at the memory of one step.

    Parameters
    ----------
    solve : "conjugate gradients" or "neumann"
        How the linear system is solved, from Hessian-vector products.
    iterations : int
    rate : float
        Of Neumann's series: it converges where it is below 2 / the greatest curvature.
    """

    solve: str = "conjugate gradients"
    iterations: int = 50
    rate: float = 0.1

    def __post_init__(self) -> None:
        if self.solve not in ("conjugate gradients", "neumann"):
            raise InputError(f"solve: '{self.solve}' is not known; say 'conjugate gradients' or 'neumann'.")

    def __call__(self, loop: InnerLoop, outer: Named) -> tuple[Tensor, Named]:
        objective = loop.objective
        if objective is None:
            raise InputError("an implicit hypergradient needs the loop's `objective`.")
        solution = {n: v.detach()[None] for n, v in loop.trained(_detached(outer)).items()}
        free = {name: value.detach().clone().requires_grad_() for name, value in outer.items()}

        def solved(operator: Operator, right: Named) -> Named:
            if self.solve == "neumann":
                return neumann_series(operator, right, self.iterations, self.rate)
            return conjugate_gradients(operator, right, self.iterations)

        loss, slopes = implicit_gradient(
            lambda p: objective(_first(p), free)[None],
            lambda p: loop.validation(_first(p), free)[None],
            solution,
            list(free.values()),
            solved,
        )
        return loss[0], dict(zip(free, slopes, strict=True))


@dataclass(frozen=True)
class Tuned:
    """What tuning led to.

    Attributes
    ----------
    outer : dict of Tensor
        Of the least validation loss seen.
    loss : float
        There.
    path : list of (float, float)
        Validation loss and seconds so far, of every evaluation.
    """

    outer: Named
    loss: float
    path: list[tuple[float, float]] = field(default_factory=list)


def tune(
    loop: InnerLoop, outer: Named, way: Way | None = None, *, evaluations: int = 50, rate: float = 0.1
) -> Tuned:
    """Tune the outer numbers by Adam on their hypergradient.

    Parameters
    ----------
    loop : InnerLoop
    outer : dict of Tensor
        Where to begin, best on a scale where a step of `rate` is small: logarithms of rates and weights.
    way : callable, optional
        `Unrolled` by default.
    evaluations : int
        Of validation loss and hypergradient.
    rate : float
        Of Adam; it falls to zero along a cosine.

    Raises
    ------
    InputError
        If the validation loss or its gradient is not finite where tuning begins.

    Notes
    -----
    Where a step leads to numbers that are not finite, tuning goes back to the best ones with half the rate.
    """
    way = way or Unrolled()
    free = {name: value.detach().clone() for name, value in outer.items()}
    best, best_loss, scale = free, float("inf"), 1.0
    memory = {name: (torch.zeros_like(v), torch.zeros_like(v)) for name, v in free.items()}
    path: list[tuple[float, float]] = []
    began = time.perf_counter()
    for number in range(evaluations):
        loss, slopes = way(loop, free)
        path.append((float(loss), time.perf_counter() - began))
        sound = bool(torch.isfinite(loss)) and all(bool(torch.isfinite(s).all()) for s in slopes.values())
        if not sound and number == 0:
            raise InputError("the validation loss or its gradient is not finite where tuning begins.")
        if not sound:
            free, scale = best, 0.5 * scale
            memory = {name: (torch.zeros_like(v), torch.zeros_like(v)) for name, v in free.items()}
            continue
        if float(loss) < best_loss:
            best, best_loss = free, float(loss)
        falling = 0.5 * (1.0 + torch.cos(torch.tensor(torch.pi * number / evaluations)))
        free, memory = _adam(free, slopes, memory, number + 1, rate * scale * float(falling))
    return Tuned(best, best_loss, path)


def _adam(
    free: Named, slopes: Named, memory: dict[str, tuple[Tensor, Tensor]], count: int, rate: float
) -> tuple[Named, dict[str, tuple[Tensor, Tensor]]]:
    """Kingma and Ba 2015 (arXiv 1412.6980), with a shorter second memory: evaluations are few."""
    first, second = 0.9, 0.99
    moved, kept = {}, {}
    for name, value in free.items():
        mean = first * memory[name][0] + (1.0 - first) * slopes[name]
        square = second * memory[name][1] + (1.0 - second) * slopes[name].square()
        size = (square / (1.0 - second**count)).sqrt() + 1e-12
        moved[name], kept[name] = value - rate * mean / (1.0 - first**count) / size, (mean, square)
    return moved, kept


def _along(loop: InnerLoop, outer: Named, tangents: Named) -> tuple[Tensor, Tensor]:
    """Validation loss and its slope along one direction of the outer numbers."""
    with forward_ad.dual_level():
        told = {n: forward_ad.make_dual(outer[n].detach(), tangents[n]) for n in outer}
        parameters = loop.start(told)
        for number in range(loop.steps):
            after = loop.step(parameters, told, number)
            parameters = {n: _without_history(value) for n, value in after.items()}
        value, slope = forward_ad.unpack_dual(loop.validation(parameters, told))
        return value.detach(), (torch.zeros_like(value) if slope is None else slope).detach()


def _without_history(value: Tensor) -> Tensor:
    plain, tangent = forward_ad.unpack_dual(value)
    return plain.detach() if tangent is None else forward_ad.make_dual(plain.detach(), tangent.detach())


def _places(outer: Named) -> Iterator[tuple[str, int]]:
    return ((name, place) for name, value in outer.items() for place in range(value.numel()))


def _detached(outer: Named) -> Named:
    return {name: value.detach() for name, value in outer.items()}


def _first(stacked: Named) -> Named:
    return {name: value[0] for name, value in stacked.items()}


def _filled(free: Named, slopes: tuple[Tensor | None, ...]) -> Named:
    return {
        name: torch.zeros_like(value) if slope is None else slope
        for (name, value), slope in zip(free.items(), slopes, strict=True)
    }
