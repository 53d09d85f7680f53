"""Draws about the modes of the hierarchical model, tasks within the population, with their densities.

`laplace` takes a traced model, where to start, how many draws, and a random generator; it gives points (draw, size),
their log densities (draw,), and what was climbed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from metasci.bayes.traced import TracedModel
from metasci.bayes.vector_density import blocks_of, coordinates_of, noise_of
from metasci.errors import InputError
from metasci.meta.laplace.evidence import Population, log_marginal
from metasci.meta.laplace.gauss_newton import map_estimate

__all__ = ["Proposal", "gaussian_draws", "laplace", "log_densities"]

Proposal = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Points (draw, size), their log densities (draw,), and what was climbed, step by step."""
_LOG_TWO_PI = math.log(2.0 * math.pi)
_AT_ONCE = 2000  # tasks whose predictions are computed together


def log_densities(built: TracedModel, points: np.ndarray) -> np.ndarray:
    """Of the model at many points (draw, size), all their tasks together."""
    tasks = len(built.problem)
    densities = []
    for part in torch.as_tensor(points).split(max(1, _AT_ONCE // tasks)):
        blocks = blocks_of(part, built.shapes)
        with torch.no_grad():
            at, _, density = coordinates_of(blocks, built.design)
            many = built.problem.select(torch.arange(tasks).repeat(len(part)))
            log_noise, precision, of_noise = noise_of(blocks, built.problem.model.noise.typical)
            cost = many.negative_log_likelihood(
                at.reshape(-1, at.shape[-1]),
                log_noise.repeat_interleave(tasks, 0).T[:, :, None],
                None if precision is None else precision.reshape(-1),
            )
        value = density + of_noise - cost.reshape(len(part), tasks).sum(1)
        densities.append(value.numpy())
    return np.concatenate(densities)


def laplace(built: TracedModel, start: np.ndarray, draws: int, random: np.random.Generator) -> Proposal:
    """Tasks about their modes given the population, and the population about the mode that this leaves.

    Raises
    ------
    InputError
        If tasks differ in noise: then they are not Gaussian given the population.
    """
    if "log_noise_precision" in built.shapes:
        raise InputError(
            "Laplace's approximation takes one noise for all tasks: say task_noise=False, or another method."
        )
    tasks, size = built.shapes["coordinate_offset"]
    length = built.size - tasks * size
    modes: list[Tensor] = []

    def population(head: Tensor) -> tuple[Population, Tensor]:
        blocks = blocks_of(
            torch.cat([head, head.new_zeros(*head.shape[:-1], tasks * size)], -1), built.shapes
        )
        centre, factor, density = coordinates_of(blocks, built.design)
        root = blocks["log_coordinate_sd"].exp()[..., :, None] * factor
        log_noise, _, of_noise = noise_of(blocks, built.problem.model.noise.typical)
        return Population(centre, root, log_noise), density + of_noise

    def climbed(head: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.tensor(head, requires_grad=True)
        of_population, density = population(free)
        with torch.enable_grad():
            value, mode = log_marginal(built.problem, of_population, modes[-1] if modes else None)
            total = value.sum() + density
            (slope,) = torch.autograd.grad(total, free)
        if not bool(torch.isfinite(total)) or not bool(torch.isfinite(slope).all()):
            return 1e10, np.zeros_like(head)
        modes[:] = [mode]
        history.append(float(total.detach()))
        return -float(total.detach()), -slope.numpy()

    history: list[float] = []
    best = minimize(
        climbed, start[:length], jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-5}
    )
    climb, step = np.array(history), 1e-3
    slopes = [[climbed(best.x + sign * step * axis)[1] for sign in (1.0, -1.0)] for axis in np.eye(length)]
    curvature = np.array([ahead - behind for ahead, behind in slopes]) / (2.0 * step)
    root, log_determinant = _root(np.linalg.inv(0.5 * (curvature + curvature.T)))
    head, log_q = gaussian_draws(best.x, root, log_determinant, draws, random)
    centre = population(torch.as_tensor(best.x))[0]
    offsets, log_q_tasks = _tasks(built, population(torch.as_tensor(head))[0], centre, modes[-1], random)
    return np.concatenate([head, offsets], 1), log_q + log_q_tasks, climb


def _tasks(
    built: TracedModel, population: Population, centre: Population, modes: Tensor, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised offsets of every task (draw, task × parameter) given draws of the population, and their density.

    The tasks' modes at the population's own mode say how a draw's noise compares with the noise there.
    """
    tasks, size = built.shapes["coordinate_offset"]
    draws = len(population.mean)
    precision = torch.cholesky_inverse(population.factor).repeat_interleave(tasks, 0)
    trust = _quietness(built, population.log_noise, centre.log_noise, modes).reshape(-1)
    mean = population.mean.reshape(-1, size)
    each = torch.arange(tasks).repeat(draws)
    at, covariance = [], []
    for rows in torch.arange(draws * tasks).split(_AT_ONCE):
        near = map_estimate(
            built.problem.select(each[rows]), mean[rows], precision[rows], centre.log_noise, trust[rows]
        )
        at.append(near.coordinates)
        covariance.append(near.covariance)
    root = torch.linalg.cholesky_ex(torch.cat(covariance)).L
    white = torch.as_tensor(random.standard_normal((draws * tasks, size)))
    moved = torch.cat(at) + torch.einsum("rij,rj->ri", root, white) - mean
    spread = population.factor.repeat_interleave(tasks, 0)
    offset = torch.linalg.solve_triangular(spread, moved[..., None], upper=False)[..., 0]
    log_q = -0.5 * white.square().sum(1) - 0.5 * size * _LOG_TWO_PI
    log_q = log_q - root.diagonal(dim1=1, dim2=2).log().sum(1) + spread.diagonal(dim1=1, dim2=2).log().sum(1)
    return offset.reshape(draws, -1).numpy(), log_q.reshape(draws, tasks).sum(1).numpy()


def _quietness(built: TracedModel, log_noise: Tensor, typical: Tensor, at: Tensor) -> Tensor:
    """By what the typical noise's variance exceeds that of each draw, a task's measurements averaged, (draw, task)."""
    problem = built.problem
    with torch.no_grad():
        curve = problem.predict(at)
        ratio = problem.variance(curve, typical) / problem.variance(
            curve[None], log_noise.T[:, :, None, None]
        )
    mask = problem.batch.mask
    mean = torch.where(mask, ratio, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)
    return torch.where(mask.any(-1), mean, 1.0).expand(len(log_noise), -1)


def _root(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """A square root of a covariance, flat directions bounded, and the logarithm of its determinant."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.where(values > 0, values, values.max()).clip(1e-12, 1e4)
    return vectors * np.sqrt(values), 0.5 * float(np.log(values).sum())


def gaussian_draws(
    centre: np.ndarray, root: np.ndarray, log_determinant: float, draws: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of a Gaussian with a root of its covariance, and their log densities."""
    white = random.standard_normal((draws, len(centre)))
    log_q = -0.5 * (white**2).sum(1) - 0.5 * len(centre) * _LOG_TWO_PI - log_determinant
    return centre + white @ root.T, log_q
