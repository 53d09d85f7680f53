"""How draws are proposed about modes of the hierarchical model, with their densities.

Each function takes a traced model, where to start, how many draws, and a random generator; it gives points
(draw, size), their log densities (draw,), and what was climbed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from metasci.bayes.traced import TracedModel, blocks_of, coordinates_of, normal_log_density
from metasci.meta.evidence import Population, log_marginal
from metasci.meta.gauss_newton import map_estimate

__all__ = ["METHODS", "log_densities"]

Proposal = tuple[np.ndarray, np.ndarray, np.ndarray]
_LOG_TWO_PI = math.log(2.0 * math.pi)
_AT_ONCE = 2000  # tasks whose predictions are computed together


def _noise_prior(built: TracedModel, log_noise: Tensor) -> Tensor:
    typical = torch.tensor(np.log(built.problem.model.noise.typical), dtype=log_noise.dtype)
    return normal_log_density(log_noise - typical, 1.0).sum(-1)


def log_densities(built: TracedModel, points: np.ndarray) -> np.ndarray:
    """Of the model at many points (draw, size), all their tasks together."""
    tasks = len(built.problem)
    found = []
    for part in torch.as_tensor(points).split(max(1, _AT_ONCE // tasks)):
        blocks = blocks_of(part, built.shapes)
        with torch.no_grad():
            at, _, density = coordinates_of(blocks, built.design)
            many = built.problem.select(torch.arange(tasks).repeat(len(part)))
            noise = blocks["log_noise"].repeat_interleave(tasks, 0).T[:, :, None]
            cost = many.negative_log_likelihood(at.reshape(-1, at.shape[-1]), noise)
        value = density + _noise_prior(built, blocks["log_noise"]) - cost.reshape(len(part), tasks).sum(1)
        found.append(value.numpy())
    return np.concatenate(found)


def laplace(built: TracedModel, start: np.ndarray, draws: int, random: np.random.Generator) -> Proposal:
    """Tasks about their modes given the population, and the population about the mode that this leaves."""
    tasks, size = built.shapes["coordinate_offset"]
    length = built.size - tasks * size
    modes: list[Tensor] = []

    def population(head: Tensor) -> tuple[Population, Tensor]:
        blocks = blocks_of(
            torch.cat([head, head.new_zeros(*head.shape[:-1], tasks * size)], -1), built.shapes
        )
        centre, factor, density = coordinates_of(blocks, built.design)
        root = blocks["log_coordinate_sd"].exp()[..., :, None] * factor
        density = density + _noise_prior(built, blocks["log_noise"])
        return Population(centre, root, blocks["log_noise"]), density

    def climbed(head: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.tensor(head, requires_grad=True)
        given, density = population(free)
        with torch.enable_grad():
            value, mode = log_marginal(built.problem, given, modes[-1] if modes else None)
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
    head, log_q = _gaussian(best.x, root, log_determinant, draws, random)
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


def pathfinder(
    built: TracedModel, start: np.ndarray, draws: int, random: np.random.Generator, climbs: int = 4
) -> Proposal:
    """Of the Gaussians along climbs by L-BFGS from about the start, the one nearest to the posterior."""

    def cost(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = built.value_and_slope(point)
        sound = np.isfinite(value) and np.isfinite(slope).all()
        return (-value, -slope) if sound else (1e10, np.zeros_like(slope))

    best, history = (-np.inf, start, np.eye(built.size), 0.0), []
    for _ in range(climbs):
        trail = [(begin := start + 0.5 * random.standard_normal(built.size), cost(begin)[1])]
        minimize(
            cost, begin, jac=True, method="L-BFGS-B", options={"maxiter": 200},
            callback=lambda point, trail=trail: trail.append((point.copy(), cost(point)[1])),
        )  # fmt: skip
        for centre, covariance in _gaussians(trail):
            root, size = _root(covariance)
            points, log_q = _gaussian(centre, root, size, 25, random)
            history.append(float(np.mean(log_densities(built, points) - log_q)))
            if history[-1] > best[0]:
                best = (history[-1], centre, root, size)
    return *_gaussian(*best[1:], draws, random), np.array(history)


def _gaussian(
    centre: np.ndarray, root: np.ndarray, log_determinant: float, draws: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of a Gaussian with a root of its covariance, and their log densities."""
    white = random.standard_normal((draws, len(centre)))
    log_q = -0.5 * (white**2).sum(1) - 0.5 * len(centre) * _LOG_TWO_PI - log_determinant
    return centre + white @ root.T, log_q


def _gaussians(trail: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Centre and covariance at every point of a climb, from the last six changes of the slope."""
    found = []
    diagonal = np.ones(len(trail[0][0]))
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for (before, slope_before), (here, slope) in itertools.pairwise(trail):
        moved, changed = here - before, slope - slope_before
        if moved @ changed > 1e-12 * (changed @ changed):
            a, b, c = changed @ (diagonal * changed), changed @ moved, moved @ (moved / diagonal)
            inverse = a / (b * diagonal) + changed**2 / b - a * (moved / diagonal) ** 2 / (b * c)
            diagonal = np.where(inverse > 0, 1.0 / np.where(inverse > 0, inverse, 1.0), diagonal)
            pairs = [*pairs, (moved, changed)][-6:]
        covariance = np.diag(diagonal)
        for s, y in pairs:
            rho = 1.0 / (s @ y)
            left = np.eye(len(s)) - rho * np.outer(s, y)
            covariance = left @ covariance @ left.T + rho * np.outer(s, s)
        found.append((here - covariance @ slope, covariance))
    return found


def advi(
    built: TracedModel, start: np.ndarray, draws: int, random: np.random.Generator, full: bool = False,
    steps: int = 6000, rate: float = 0.03,
) -> Proposal:  # fmt: skip
    """The Gaussian that maximises the evidence's lower bound, by stochastic gradients (Adam, its rate falling)."""
    size = built.size
    centre, log_sd, below = start.copy(), np.full(size, -2.0), np.zeros((size, size))
    free = [centre, log_sd, below] if full else [centre, log_sd]
    first, second = [[np.zeros_like(v) for v in free] for _ in range(2)]
    history = []
    for step in range(1, steps + 1):
        white = random.standard_normal(size)
        root = np.diag(np.exp(log_sd)) + below
        value, slope = built.value_and_slope(centre + root @ white)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            continue
        history.append(value + float(log_sd.sum()) + 0.5 * size * (1.0 + _LOG_TWO_PI))
        slopes = [slope, slope * white * np.exp(log_sd) + 1.0, np.tril(np.outer(slope, white), -1)]
        pace = rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        for v, g, m, s in zip(free, slopes, first, second, strict=False):
            m += 0.1 * (g - m)
            s += 0.001 * (g**2 - s)
            v += pace * (m / (1.0 - 0.9**step)) / (np.sqrt(s / (1.0 - 0.999**step)) + 1e-8)
    root = np.diag(np.exp(log_sd)) + below
    return *_gaussian(centre, root, float(log_sd.sum()), draws, random), np.array(history)


def fullrank_advi(built: TracedModel, start: np.ndarray, draws: int, random: np.random.Generator) -> Proposal:
    """The same with correlations."""
    return advi(built, start, draws, random, full=True, steps=15_000, rate=0.02)


METHODS: dict[str, Callable[[TracedModel, np.ndarray, int, np.random.Generator], Proposal]] = {
    "laplace": laplace,
    "pathfinder": pathfinder,
    "advi": advi,
    "fullrank_advi": fullrank_advi,
}
