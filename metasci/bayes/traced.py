"""The same hierarchical model for what cannot be written in PyTensor: networks, solutions of differential equations.

The log density is a torch function of one vector, recorded once (traced) and handed to nutpie. Priors, names and
shapes are those of `metasci.bayes.hierarchical`; tasks' coordinates are standardised offsets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metasci.bayes import versions
from metasci.bayes.gradients import check_gradient, gradient_error
from metasci.bayes.recording import Recording, recorded, with_slope
from metasci.bayes.sampling import Posterior
from metasci.bayes.vector_density import blocks_of, coordinates_of, log_density_of, shapes_of, vector_of
from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.meta.covariates import Design
    from metasci.model import Model

__all__ = ["TracedModel", "expanded", "sample_traced", "traced"]

_CHECKED = 20  # draws at which the recorded density is held against the function itself


@dataclass(frozen=True)
class TracedModel:
    """A hierarchical model as a function of one unconstrained vector.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Blocks of the vector, in order.
    log_density : callable
        (size,) → (), in torch, step by step.
    problem : Problem
    design : Tensor, (task, covariate)
    recording : callable, optional
        (size,) → log density and its gradient, as recorded; None where that was not possible, and everything runs
        step by step, many times slower. Differential equations take steps that stay.
    covariates : tuple of str
    """

    shapes: dict[str, tuple[int, ...]]
    log_density: Callable[[Tensor], Tensor]
    problem: Problem
    design: Tensor
    recording: Recording | None
    covariates: tuple[str, ...]

    @property
    def recorded(self) -> bool:
        """Whether the density could be recorded."""
        return self.recording is not None

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def labels(self) -> tuple[dict[str, tuple[str, ...]], dict[str, list[str]]]:
        """Dims of every variable by its name, and their coords."""
        names = list(self.problem.model.parameters.names)
        dims = {
            "coordinate_mean": ("parameter",),
            "coordinate_sd": ("parameter",),
            "coordinate_correlation": ("parameter", "parameter_2"),
            "coordinates": ("task", "parameter"),
            "covariate_effect": ("parameter", "covariate"),
            "log_noise": ("scale",),
            "noise_shape": (),
            "noise_precision": ("task",),
            **dict.fromkeys(names, ("task",)),
        }
        coords = {
            "task": list(self.problem.batch.names),
            "parameter": names,
            "parameter_2": names,
            "scale": list(self.problem.model.noise.scales),
            "covariate": list(self.covariates),
        }
        return dims, coords

    def value_and_slope(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and its gradient."""
        at = torch.tensor(point, dtype=torch.float64)  # a copy: the sampler reuses its array
        if self.recording is None:
            value, slope = with_slope(self.log_density, at)
        else:
            with torch.no_grad():
                value, slope = self.recording(at)
        return float(value), slope.numpy().copy()

    def gradient_error(self, seed: int = 0, step: float = 1e-5) -> float:
        """Greatest relative difference of directional slopes from finite differences, near the start."""
        return gradient_error(self.value_and_slope, np.zeros(self.size), seed, step)

    def recording_error(self, points: Any) -> float:
        """By how much, in nats, the recorded log density is off at some points (point, size), at most.

        It is what steps that stay cost where parameters are far from those for which they were found.
        """
        if self.recording is None:
            return 0.0
        with torch.no_grad():
            return max(
                (abs(float(self.recording(at)[0] - self.log_density(at))) for at in torch.as_tensor(points)),
                default=0.0,
            )


def traced(
    model: Model,
    batch: Batch,
    design: Design | None = None,
    *,
    covariates: tuple[str, ...] | None = None,
    task_noise: bool = False,
    initial: Mapping[str, Any] | None = None,
) -> TracedModel:
    """Build the hierarchical model of a batch of tasks in torch.

    Parameters
    ----------
    model : Model
        Any, also one whose predictions of a task are computed together.
    batch : Batch
    design : Design, optional
        Standardised covariates of the same tasks.
    covariates : tuple of str, optional
        Their names; numbered by default.
    task_noise : bool
        Whether tasks differ in how noisy they are.
    initial : mapping of str to array, optional
        As `initial_point` gives it: where differential equations find the steps that then stay.
    """
    problem = Problem(model, batch)
    values = batch.output.new_zeros(len(batch), 0) if design is None else design.values
    shapes = shapes_of(model, len(batch), values.shape[1], task_noise)

    def density(vector: Tensor) -> Tensor:
        return log_density_of(blocks_of(vector, shapes), problem, values)

    names = covariates or tuple(f"covariate {place + 1}" for place in range(values.shape[1]))
    recording = recorded(density, torch.as_tensor(vector_of(shapes, problem, initial or {})))
    return TracedModel(shapes, density, problem, values, recording, names)


def sample_traced(
    built: TracedModel,
    *,
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    seed: int = 0,
    initial: Mapping[str, Any] | None = None,
    progress: bool = True,
    target_accept: float = 0.9,
    cores: int = 2,
) -> Posterior:
    """Sample with nutpie; the results are those that `metasci.bayes.sample` gives.

    Parameters
    ----------
    built : TracedModel
    draws, tune, chains, seed, progress, target_accept, cores
        See `metasci.bayes.sample`.
    initial : mapping of str to array, optional
        As `initial_point` gives it.

    Raises
    ------
    InputError
        If the gradient is not that of finite differences: the model is not differentiable, or not in double precision.
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    began = time.perf_counter()
    start = vector_of(built.shapes, built.problem, initial or {})
    check_gradient(built.value_and_slope, start, built.problem.model.name)
    blank = expanded(built, torch.zeros(1, built.size, dtype=torch.float64))
    dims, coords = built.labels

    def expand(*_: Any) -> Callable[..., dict[str, np.ndarray]]:
        def one(point: np.ndarray) -> dict[str, np.ndarray]:
            values = expanded(built, torch.tensor(point, dtype=torch.float64)[None])
            return {name: value[0].numpy() for name, value in values.items()}

        return one

    compiled = from_pyfunc(
        built.size,
        lambda: built.value_and_slope,
        expand,
        [np.dtype("float64")] * len(blank),
        [tuple(value.shape[1:]) for value in blank.values()],
        list(blank),
        coords=coords,
        dims={name: dims[name] for name in blank},
        make_initial_point_fn=lambda s: start + 0.05 * np.random.default_rng(s).standard_normal(built.size),
    )
    compiled_at = time.perf_counter()
    with versions.quiet():
        data = versions.nuts(
            compiled,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=min(cores, chains),
            seed=seed,
            progress_bar=progress,
            target_accept=target_accept,
            store_unconstrained=True,
        )
    vectors = np.asarray(versions.group(data, "sample_stats")["unconstrained_draw"]).reshape(-1, built.size)
    named_draws = versions.draws(data)
    for place, parameter in enumerate(built.problem.model.parameters):
        named_draws[parameter.name] = np.asarray(
            parameter.to_physical(named_draws["coordinates"][..., place])
        )
    judged = tuple(name for name in blank if name != "coordinate_correlation")
    with versions.quiet():
        rhat, size = versions.worst(data, judged)
    return Posterior(
        draws=named_draws,
        tasks=tuple(built.problem.batch.names),
        data=data,
        seconds=time.perf_counter() - compiled_at,
        compile_seconds=compiled_at - began,
        rhat=rhat,
        effective_size=size,
        divergences=int(np.asarray(data["sample_stats"]["diverging"]).sum()),
        density_error=built.recording_error(vectors[:: max(len(vectors) // _CHECKED, 1)]),
        chains=chains,
        judged=judged,
    )


def expanded(built: TracedModel, vectors: Tensor) -> dict[str, Tensor]:
    """Every variable by its name, (draw, ...), from vectors (draw, size)."""
    blocks = blocks_of(vectors, built.shapes)
    with torch.no_grad():
        coordinates, factor, _ = coordinates_of(blocks, built.design)
    variables = {
        "coordinate_mean": blocks["coordinate_mean"],
        "coordinate_sd": blocks["log_coordinate_sd"].exp(),
        "coordinate_correlation": factor @ factor.transpose(-1, -2),
        "coordinates": coordinates,
        "log_noise": blocks["log_noise"],
    }
    if "effect_offset" in blocks:
        variables["covariate_effect"] = (
            blocks["log_effect_scale"].exp()[..., None, None] * blocks["effect_offset"]
        )
    if "log_noise_precision" in blocks:
        variables["noise_shape"] = blocks["log_noise_shape"].exp()
        variables["noise_precision"] = blocks["log_noise_precision"].exp()
    return variables
