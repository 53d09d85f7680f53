"""Log density of the hierarchical model as a torch function of one vector, in blocks of its variables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = [
    "blocks_of",
    "coordinates_of",
    "log_density_of",
    "noise_of",
    "normal_log_density",
    "shapes_of",
    "vector_of",
]

# of LKJ, as in `metasci.bayes.hierarchical`: correlations near ±1 are held to be unlikely
_CONCENTRATION = 2.0


def shapes_of(model: Model, tasks: int, covariates: int, task_noise: bool) -> dict[str, tuple[int, ...]]:
    """Shape of every block of the vector, by name."""
    size = len(model.parameters)
    shapes: dict[str, tuple[int, ...]] = {"coordinate_mean": (size,), "log_coordinate_sd": (size,)}
    if size > 1:
        shapes["partial"] = (size * (size - 1) // 2,)
    if covariates:
        shapes |= {"log_effect_scale": (), "effect_offset": (size, covariates)}
    if task_noise:
        shapes |= {"log_noise_shape": (), "log_noise_precision": (tasks,)}
    return shapes | {"log_noise": (len(model.noise.scales),), "coordinate_offset": (tasks, size)}


def blocks_of(vector: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The blocks of a vector (..., size) by their names, each (..., *shape)."""
    parts = torch.split(vector, [math.prod(shape) for shape in shapes.values()], dim=-1)
    lead = vector.shape[:-1]
    return {
        name: part.reshape((*lead, *shape)) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


def _correlation_factor(partial: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cholesky factor of the correlations, and the log density of its partial correlations (LKJ, a C-vine)."""
    later, earlier = np.tril_indices(size, -1)
    shape = torch.as_tensor(_CONCENTRATION + 0.5 * (size - 2 - earlier), dtype=partial.dtype)
    # r = tanh(u/2): Beta(β, β) of (1 + r)/2, with the slope of the map
    half, other = torch.nn.functional.logsigmoid(partial), torch.nn.functional.logsigmoid(-partial)
    density = (shape * (half + other) + torch.lgamma(2.0 * shape) - 2.0 * torch.lgamma(shape)).sum(-1)
    r = torch.tanh(0.5 * partial)
    rows: list[Tensor] = []
    for i in range(size):
        left = torch.ones_like(partial[..., 0])
        row = []
        for j in range(i):
            at = r[..., int(np.nonzero((later == i) & (earlier == j))[0][0])]
            row.append(at * left)
            left = left * (1.0 - at**2).sqrt()
        rows.append(torch.stack([*row, left, *[torch.zeros_like(left)] * (size - i - 1)], -1))
    return torch.stack(rows, -2), density


def coordinates_of(blocks: Mapping[str, Tensor], design: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of every task, (..., task, parameter); the correlations' factor; and the log density of what makes it."""
    mean, log_sd = blocks["coordinate_mean"], blocks["log_coordinate_sd"]
    size = mean.shape[-1]
    sd = log_sd.exp()
    half_normal = math.log(2.0) - 0.5 * math.log(2.0 * math.pi)
    density = normal_log_density(mean, 2.0).sum(-1) + (half_normal - 0.5 * sd**2 + log_sd).sum(-1)
    factor = torch.ones(*mean.shape, 1, dtype=mean.dtype)
    if "partial" in blocks:
        factor, of_correlations = _correlation_factor(blocks["partial"], size)
        density = density + of_correlations
    offset = blocks["coordinate_offset"]
    density = density + normal_log_density(offset, 1.0).sum((-1, -2))
    centre = mean[..., None, :]
    if "effect_offset" in blocks:
        scale = blocks["log_effect_scale"].exp()
        raw = blocks["effect_offset"]
        density = density + half_normal - math.log(0.5) - 2.0 * scale**2 + blocks["log_effect_scale"]
        density = density + normal_log_density(raw, 1.0).sum((-1, -2))
        centre = centre + design @ (scale[..., None, None] * raw).transpose(-1, -2)
    moved = offset @ factor.transpose(-1, -2)
    return centre + sd[..., None, :] * moved, factor, density


def normal_log_density(value: Tensor, sd: float) -> Tensor:
    """Log density of a Gaussian about zero."""
    return -0.5 * (value / sd) ** 2 - math.log(sd) - 0.5 * math.log(2.0 * math.pi)


def noise_of(
    blocks: Mapping[str, Tensor], typical: tuple[float, ...]
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Logarithm of the noise's scales (..., scale); every task's precision (..., task); and the log density of both.

    The precision is None where tasks share their noise.
    """
    log_noise = blocks["log_noise"]
    away = log_noise - torch.tensor(np.log(typical), dtype=log_noise.dtype)
    density = normal_log_density(away, 1.0).sum(-1)
    if "log_noise_precision" not in blocks:
        return log_noise, None, density
    # a Gamma density, and the slope of its logarithm
    log_shape, log_precision = blocks["log_noise_shape"], blocks["log_noise_precision"]
    shape, precision = log_shape.exp(), log_precision.exp()
    each = (
        shape[..., None] * (log_shape[..., None] + log_precision - precision) - torch.lgamma(shape)[..., None]
    )
    return log_noise, precision, density + normal_log_density(log_shape - 1.0, 1.0) + each.sum(-1)


def log_density_of(blocks: Mapping[str, Tensor], problem: Problem, design: Tensor) -> Tensor:
    """Log density of blocks, and of what was measured given them."""
    coordinates, _, density = coordinates_of(blocks, design)
    log_noise, precision, of_noise = noise_of(blocks, problem.model.noise.typical)
    return density + of_noise - problem.negative_log_likelihood(coordinates, log_noise, precision).sum()


def vector_of(
    shapes: Mapping[str, tuple[int, ...]], problem: Problem, initial: Mapping[str, Any]
) -> np.ndarray:
    """The vector of an initial point, zero where it says nothing."""
    values = dict(initial)
    if "coordinate_sd" in values:
        values["log_coordinate_sd"] = np.log(values["coordinate_sd"])
    if "log_noise" not in values:
        values["log_noise"] = np.log(problem.model.noise.typical)
    return np.concatenate(
        [
            np.ravel(np.broadcast_to(np.asarray(values.get(name, 0.0), float), shape))
            for name, shape in shapes.items()
        ]
    )
