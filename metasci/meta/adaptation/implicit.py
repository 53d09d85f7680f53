"""The gradient of what a solved problem says, without the way to its solution: the implicit function theorem.

Where φ*(ψ) makes the inner objective J(φ, ψ) stationary in φ, a query loss Q has the gradient
dQ/dψ = ∂Q/∂ψ − (∂²J/∂φ∂ψ)ᵀ v with v from (∂²J/∂φ²) v = ∂Q/∂φ (Rajeswaran et al. 2019, arXiv 1909.04630, for the
start of a proximal problem; Lorraine et al. 2020, arXiv 1911.02590, for hyperparameters and Neumann's series).
The linear system is solved for every task at once from Hessian-vector products, so memory does not grow with
the inner steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Loss, Parameters
from metasci.meta.adaptation.slopes import slopes as slopes_of

_GAIN = 1e-18  # of the objective: far below the rounding of its sum, so that a step no longer counts

__all__ = ["conjugate_gradients", "implicit_gradient", "neumann_series", "newton"]

Operator = Callable[[Parameters], Parameters]
"""A symmetric matrix for each task, applied to a vector of each."""


def conjugate_gradients(
    operator: Operator, right: Parameters, iterations: int = 20, tolerance: float = 1e-10
) -> Parameters:
    """Solve A v = b for every task, A symmetric and positive definite.

    Parameters
    ----------
    operator : callable
        v ↦ A v, all tasks at once.
    right : dict of Tensor, (task, ...)
        b.
    iterations : int
        At most so many (Hestenes and Stiefel 1952).
    tolerance : float
        A task is done when its residual is this much shorter than b.

    Examples
    --------
    >>> diagonal = torch.tensor([[2.0, 4.0]])
    >>> conjugate_gradients(lambda v: {"x": diagonal * v["x"]}, {"x": torch.ones(1, 2)}, 2)["x"].tolist()
    [[0.5, 0.25]]
    """
    solution = {name: torch.zeros_like(value) for name, value in right.items()}
    residual = direction = dict(right)
    square = _dot(residual, residual)
    target = tolerance**2 * square
    for _ in range(iterations):
        active = square > target
        if not bool(active.any()):
            break
        image = operator(direction)
        curvature = _dot(direction, image)
        length = torch.where(
            active & (curvature > 0), square / torch.where(curvature > 0, curvature, 1.0), 0.0
        )
        solution = _add(solution, direction, length)
        residual = _add(residual, image, -length)
        new = _dot(residual, residual)
        share = torch.where(active, new / torch.where(square > 0, square, 1.0), 0.0)
        direction = _add(residual, direction, share)
        square = torch.where(active, new, square)
    return solution


def neumann_series(
    operator: Operator, right: Parameters, iterations: int = 20, rate: float = 0.1
) -> Parameters:
    """Solve A v = b for every task by v ≈ η Σⱼ (I − ηA)ʲ b, j = 0 … iterations − 1.

    It converges where every eigenvalue of A lies in (0, 2/η), and leans towards v = ηb; a task whose terms
    grow gets NaN.

    Examples
    --------
    >>> v = neumann_series(lambda v: {"x": 2.0 * v["x"]}, {"x": torch.ones(1, 1)}, iterations=200, rate=0.1)
    >>> round(float(v["x"]), 6)
    0.5
    """
    term = {name: rate * value for name, value in right.items()}
    total, first = dict(term), _dot(term, term)
    for _ in range(iterations - 1):
        image = operator(term)
        term = {name: term[name] - rate * image[name] for name in term}
        total = {name: total[name] + term[name] for name in total}
    # where the last term is longer than the first, the series diverges, and no number is better than a wrong one
    wrong = torch.where(_dot(term, term) > first, math.nan, 0.0)
    return {name: value + wrong.reshape(-1, *[1] * (value.dim() - 1)) for name, value in total.items()}


def newton(objective: Loss, start: Parameters, steps: int, iterations: int = 20) -> Parameters:
    """Go on to where an objective is stationary, by Newton steps (truncated: Nocedal and Wright 2006, chapter 7).

    A task's step is halved until its objective falls; a task that none of ten halvings helps stays where it is.

    Parameters
    ----------
    objective : callable
        To (task,).
    start : dict of Tensor, (task, ...)
    steps : int
    iterations : int
        Hessian-vector products a step.

    Examples
    --------
    >>> end = newton(lambda p: (p["x"] - 3.0).square().sum(1), {"x": torch.zeros(1, 2)}, steps=1)
    >>> end["x"].tolist()
    [[3.0, 3.0]]
    """
    here = {name: value.detach() for name, value in start.items()}
    for _ in range(steps):
        with torch.enable_grad():
            at = {name: value.clone().requires_grad_() for name, value in here.items()}
            values = list(at.values())
            before = objective(at)
            slopes = slopes_of(before.sum(), values, create_graph=True)

            def hessian(
                vector: Parameters, at: Parameters = at, slopes: tuple[Tensor, ...] = slopes
            ) -> Parameters:
                values = list(at.values())
                image = slopes_of(
                    slopes, values, [vector[name] for name in at], retain_graph=True, allow_unused=True
                )
                return {n: _or_zero(s, v) for (n, v), s in zip(at.items(), image, strict=True)}

            pull = {name: -slope.detach() for name, slope in zip(at, slopes, strict=True)}
            step = conjugate_gradients(hessian, pull, iterations)
        before = before.detach()
        if bool((_dot(pull, step) <= _GAIN * before.abs().clamp(min=1.0)).all()):
            break  # what there is still to gain is less than rounding
        share, settled = torch.ones_like(before), torch.zeros_like(before, dtype=torch.bool)
        for _ in range(10):
            with torch.no_grad():
                settled = objective(_add(here, step, share)) <= before
            if bool(settled.all()):
                break
            share = torch.where(settled, share, 0.5 * share)
        here = _add(here, step, torch.where(settled, share, 0.0))
    return here


def implicit_gradient(
    objective: Loss,
    query: Loss,
    solution: Parameters,
    learned: list[Tensor],
    solve: Callable[[Operator, Parameters], Parameters],
    weight: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Query loss of every task at a solution, and the gradient of its mean for every learned tensor.

    Parameters
    ----------
    objective : callable
        J, to (task,); it must depend on the learned tensors through its closure.
    query : callable
        Q, to (task,).
    solution : dict of Tensor, (task, ...)
        φ*; detached. The gradient is exact as far as J is stationary there.
    learned : list of Tensor
        ψ, requiring gradients.
    solve : callable
        `conjugate_gradients` or `neumann_series`, with their settings.
    weight : Tensor, (task,), optional
        Of each task in the mean; the same for all by default.

    Returns
    -------
    loss : Tensor, (task,)
    gradient : list of Tensor
    """
    with torch.enable_grad():
        at = {name: value.detach().requires_grad_() for name, value in solution.items()}
        loss = query(at)
        share = torch.full_like(loss, 1.0 / len(loss)) if weight is None else weight
        slopes = slopes_of(
            (share * loss).sum(), [*at.values(), *learned], retain_graph=True, allow_unused=True
        )
        pull = {name: _or_zero(s, v) for (name, v), s in zip(at.items(), slopes, strict=False)}
        direct = [_or_zero(s, v) for s, v in zip(slopes[len(at) :], learned, strict=True)]
        values = list(at.values())
        inner = slopes_of(objective(at).sum(), values, create_graph=True)

        def hessian(vector: Parameters) -> Parameters:
            image = slopes_of(
                inner, values, [vector[name] for name in at], retain_graph=True, allow_unused=True
            )
            return {name: _or_zero(s, v) for (name, v), s in zip(at.items(), image, strict=True)}

        answer = solve(hessian, pull)
        through = slopes_of(inner, learned, [answer[name] for name in at], allow_unused=True)
    total = [d if t is None else d - t for d, t in zip(direct, through, strict=True)]
    return loss.detach(), total


def _or_zero(slope: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if slope is None else slope


def _dot(first: Parameters, second: Parameters) -> Tensor:
    return torch.stack([(first[name] * second[name]).flatten(1).sum(1) for name in first]).sum(0)


def _add(first: Parameters, second: Parameters, factor: Tensor) -> Parameters:
    return {
        name: value + factor.reshape(-1, *[1] * (value.dim() - 1)) * second[name]
        for name, value in first.items()
    }
