"""Can a network learn from where it starts: what becomes of signals, gradients and units from layer to layer.

In a deep stack a signal may die or explode on its way up, its gradient on the way down, and units may saturate, where
they pass nothing on. The curvature of the loss at the start says which steps descent can take at all.

Sources: Glorot and Bengio 2010 (AISTATS 9, 249), for signals, gradients and saturation by layer; Mishkin and Matas
2016 (arXiv 1511.06422), for the start that `unit_variance` makes (LSUV).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from metasci.errors import InputError
from metasci.words import number

__all__ = ["initialisation", "unit_variance"]

_SATURATED = 0.05  # of an activation's greatest slope: a unit that passes on less hardly learns
_HEALTHY = 10.0  # by how much signal or gradient may change between the first and the last layer
_ITERATIONS = 30  # of the power method, for the leading curvature to a few per cent


def initialisation(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.mse_loss,
) -> xr.Dataset:
    """Signal, gradient and saturation of every layer of a stack, and the curvature of the loss, where it stands.

    Parameters
    ----------
    module : torch.nn.Module
        Layers are its linear ones in the order in which they run, each with the activation that follows it.
    inputs, targets : Tensor
        Cases first.
    loss : callable

    Returns
    -------
    xarray.Dataset
        By ``layer``, from 1: ``signal``, the standard deviation over cases and units of what the layer passes on;
        ``gradient``, the root mean square of the loss's gradient for that, times the number of cases; ``saturated``,
        the share of units and cases where the activation's slope is below 5 % of its greatest (missing where no
        activation follows). ``loss``, ``gradient_norm`` and ``curvature``, the greatest eigenvalue of the loss's
        Hessian: descent is stable up to a step of 2/curvature.

    Raises
    ------
    InputError
        If the module has no linear layer.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 20)[:, None]
    >>> stack = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> initialisation(stack, x, x.square()).sizes["layer"]
    2
    """
    module = copy.deepcopy(module)
    watched = [m for m in module.modules() if isinstance(m, nn.Linear) or _is_activation(m)]
    if not any(isinstance(m, nn.Linear) for m in watched):
        raise InputError(f"{type(module).__name__} has no linear layer to look at.")
    passed: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        result.retain_grad()
        passed.append((layer, given[0], result))

    handles = [m.register_forward_hook(note) for m in watched]
    weights = [p for p in module.parameters() if p.requires_grad]
    with torch.enable_grad():
        value = loss(module(inputs), targets)
        value.backward(retain_graph=True)
    for handle in handles:
        handle.remove()
    rows = _layers(passed, len(inputs))
    slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
    norm = float(torch.sqrt(sum((s.square().sum() for s in slopes), torch.zeros(()))))
    curvature = _leading_curvature(lambda: loss(module(inputs), targets), weights)
    result = xr.Dataset(
        {name: ("layer", [row[name] for row in rows]) for name in ("signal", "gradient", "saturated")},
        coords={"layer": np.arange(1, len(rows) + 1)},
    ).assign(loss=float(value.detach()), gradient_norm=norm, curvature=curvature)
    return result.assign_attrs(verdict=_verdict(result))


def unit_variance(module: nn.Module, inputs: Tensor, rounds: int = 3, seed: int = 0) -> nn.Module:
    """A copy whose layers are orthogonal and scaled until each one's output has unit variance on the inputs (LSUV).

    Source: Mishkin and Matas 2016 (arXiv 1511.06422).
    """
    module = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    for layer in [m for m in module.modules() if isinstance(m, nn.Linear)]:
        seen: list[Tensor] = []
        with torch.no_grad():
            nn.init.orthogonal_(layer.weight, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
            handle = layer.register_forward_hook(lambda m, given, result, seen=seen: seen.append(result))
            for _ in range(rounds):
                module(inputs)
                layer.weight /= seen[-1].std().clamp(min=1e-12)
            handle.remove()
    return module


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation" and not list(module.parameters())


def _layers(passed: list[tuple[nn.Module, Tensor, Tensor]], cases: int) -> list[dict[str, float]]:
    """A row for each linear layer, with the activation that comes right after it."""
    rows: list[dict[str, float]] = []
    for place, (layer, _, result) in enumerate(passed):
        if not isinstance(layer, nn.Linear):
            continue
        after = passed[place + 1] if place + 1 < len(passed) else None
        saturated = float("nan")
        if after is not None and not isinstance(after[0], nn.Linear):
            saturated, result = _saturated(after[0], after[1]), after[2]
        grad = result.grad if result.grad is not None else torch.zeros_like(result)
        rows.append(
            {
                "signal": float(result.detach().std()) if result.numel() > 1 else 0.0,
                "gradient": float(grad.square().mean().sqrt()) * cases,
                "saturated": saturated,
            }
        )
    return rows


def _saturated(activation: nn.Module, before: Tensor) -> float:
    """The share of numbers at which an activation hardly has a slope, beside its greatest anywhere near."""
    with torch.enable_grad():
        range_ = torch.linspace(-6.0, 6.0, 601, dtype=before.dtype)
        slopes = []
        for at in (before.detach().flatten(), range_):
            free = at.clone().requires_grad_()
            slopes.append(torch.autograd.grad(activation(free).sum(), free)[0].abs())
    return float((slopes[0] < _SATURATED * slopes[1].max()).double().mean())


def _leading_curvature(value: Callable[[], Tensor], weights: Sequence[Tensor]) -> float:
    """The eigenvalue of the Hessian that is greatest in size, by the power method."""
    with torch.enable_grad():
        slopes = torch.autograd.grad(value(), weights, create_graph=True)
        generator = torch.Generator().manual_seed(0)
        vector = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
        eigenvalue = 0.0
        for _ in range(_ITERATIONS):
            size = torch.sqrt(sum((v.square().sum() for v in vector), torch.zeros(())))
            if not float(size) > 0.0:
                return 0.0
            vector = [v / size for v in vector]
            image = torch.autograd.grad(slopes, weights, vector, retain_graph=True, allow_unused=True)
            following = [torch.zeros_like(w) if i is None else i for i, w in zip(image, weights, strict=True)]
            eigenvalue = float(sum((v * f).sum() for v, f in zip(vector, following, strict=True)))
            vector = following
    return eigenvalue


def _verdict(result: xr.Dataset) -> str:
    """In one sentence."""
    hidden = result.isel(layer=slice(None, -1)) if result.sizes["layer"] > 1 else result
    signal = float(hidden["signal"][-1] / hidden["signal"][0]) if float(hidden["signal"][0]) else 0.0
    gradient = float(hidden["gradient"][0] / hidden["gradient"][-1]) if float(hidden["gradient"][-1]) else 0.0
    saturated = float(hidden["saturated"].mean(skipna=True)) if hidden["saturated"].notnull().any() else 0.0
    trouble = [
        f"the {what} {'dies' if share < 1.0 else 'explodes'} on its way {way} (a factor of {number(share)})"
        for what, way, share in (("signal", "up", signal), ("gradient", "down", gradient))
        if not 1.0 / _HEALTHY <= share <= _HEALTHY
    ]
    if saturated > 0.5:
        trouble.append(f"{100 * saturated:.0f} % of the units are saturated")
    if not trouble:
        return (
            f"The network can learn from here: signal and gradient pass all {result.sizes['layer']} layers, and "
            f"{100 * saturated:.0f} % of the units are saturated."
        )
    return f"The network will hardly learn from here: {'; '.join(trouble)}."
