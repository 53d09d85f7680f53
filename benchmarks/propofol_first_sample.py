"""What one sample of propofol can tell: ways to forecast better, and bounds.

``python benchmarks/propofol_first_sample.py``: the shipped recipe learns from 19 studies. Every patient's log
concentrations are then made linear about the prior's mean, which turns learning into a linear mixed model that is
fitted in seconds, so that many ways can be tried. Each is learned on the 19 studies and judged on the five that are
left out (3, 4, 8, 29 and 30); the held-out errors of the others choose nothing. Bounds on what the first sample could
bring, found with the answers at hand, are of all studies, left out in the five parts of ``metasci study propofol``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci import catalogue, math
from metasci.data.tasks import TaskSet
from metasci.evaluation.protocol import Protocol, split_tasks, with_enough_rows
from metasci.fits.predictive import predictive
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.parameters import Parameter
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.disposition import Modes, modes
from metasci.patients.drugs import propofol
from metasci.patients.effects import Maturation, Power
from metasci.patients.regimen import DoseArrays
from metasci.patients.superposition import given
from metasci.priors.equation import Prior
from metasci.priors.load import load

JUDGED = ("3", "4", "8", "29", "30")
MIXED = 3.0  # minutes
LEVELS = torch.tensor([0.2, 0.7, 1.8], dtype=torch.float64)  # of a patient's noise precision
WIDTHS = (0, 6, 13, 22, 45)  # patients are taken together with those of like numbers of samples
FOLLOWING = Protocol(support="first", query="following", shots=(0, 1, 2, 3))


@dataclass(frozen=True)
class Linear:
    """Log concentrations about the prior's mean: measured = known + slope · coordinates + noise."""

    measured: Tensor
    slope: Tensor
    mask: Tensor
    time: Tensor
    design: Tensor
    study: np.ndarray

    def select(self, rows: Tensor, width: int | None = None) -> Linear:
        """Some patients, and their first samples."""
        cut = {name: getattr(self, name)[rows, :width] for name in ("measured", "slope", "mask", "time")}
        return replace(self, **cut, design=self.design[rows], study=self.study[rows.numpy()])


@dataclass(frozen=True)
class Way:
    """One way to model what is not known of a patient."""

    correlated: bool = False  # parameters vary together
    levels: bool = True  # patients differ in noise
    over: float = 1.0  # minutes over which noise is greater at first
    assay: bool = False  # one factor on all concentrations of a patient
    mixing: bool = False  # a factor of each patient that fades in minutes
    drift: bool = False  # residuals near in log time are alike (Ornstein and Uhlenbeck)
    shrinkage: float = 3.0  # of covariate effects, in patients
    evenly: float = 0.0  # correlation within studies by which patients of large ones weigh less
    held: bool = False  # covariate effects stay as they were learned with the first way
    spread_elsewhere: bool = False  # the spread is learned with effects from other studies


class Mixed:
    """The linear mixed model of a way, with its numbers."""

    def __init__(self, way: Way, prior: Prior, parameters: int, width: int) -> None:
        self.way, old = way, prior.state.coefficients
        effects = torch.zeros(parameters, width, dtype=old.dtype)
        effects[: old.shape[0], : old.shape[1]] = old
        log_sd = torch.full((parameters,), -0.3, dtype=old.dtype)
        log_sd[: old.shape[0]] = 0.5 * prior.state.covariance.diagonal().log()
        self.numbers = {"effects": effects, "log_sd": log_sd, "noise": prior.state.log_noise.clone()}
        self.numbers["shape"] = torch.tensor(0.7).double()
        optional = {"assay": [-1.9], "mixing": [-1.6, 0.7], "drift": [-2.3, 0.0]}
        self.numbers |= {k: torch.tensor(v).double() for k, v in optional.items() if getattr(way, k)}
        if way.correlated:
            self.numbers["below"] = torch.zeros(parameters, parameters, dtype=old.dtype)

    def signal(self, data: Linear) -> Tensor:
        """Covariance of the samples of a patient but for noise."""
        it = self.numbers
        sd = it["log_sd"].exp()
        root = torch.diag(sd)
        if self.way.correlated:
            unit = torch.tril(it["below"], -1) + torch.eye(len(sd), dtype=sd.dtype)
            root = sd[:, None] * unit / unit.norm(dim=1, keepdim=True)
        within = data.slope @ root
        total = within @ within.transpose(1, 2)
        if self.way.assay:
            total = total + (2.0 * it["assay"][0]).exp()
        if self.way.mixing:
            fading = (it["mixing"][0] - data.time / it["mixing"][1].exp()).exp()
            total = total + fading[:, :, None] * fading[:, None, :]
        if self.way.drift:
            apart = (data.time.log()[:, :, None] - data.time.log()[:, None, :]).abs()
            total = total + (2.0 * it["drift"][0] - apart / it["drift"][1].exp()).exp()
        return total

    def residual(self, data: Linear, means: Tensor | None = None) -> Tensor:
        """Measured less forecast a priori, on the logarithm."""
        at = data.design @ self.numbers["effects"].T if means is None else means
        return torch.where(data.mask, data.measured - torch.einsum("top,tp->to", data.slope, at), 0.0)

    def at_levels(self, data: Linear, residual: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Log density of each patient with each noise level, and the Cholesky factors."""
        both = data.mask[:, :, None] & data.mask[:, None, :]
        signal = torch.where(both, self.signal(data), 0.0)
        noise = self.numbers["noise"]
        variance = (2.0 * noise[0]).exp() * (1.0 + (2.0 * (noise[1] - data.time / self.way.over)).exp())
        factors, densities = [], []
        shape = self.numbers["shape"].exp()
        levels = LEVELS if self.way.levels else torch.ones_like(LEVELS[:1])
        weight = torch.log_softmax(shape * levels.log() - shape * levels, 0)
        for level, share in zip(levels, weight, strict=True):
            root = torch.linalg.cholesky(
                signal + torch.diag_embed(torch.where(data.mask, variance / level, 1.0))
            )
            white = torch.linalg.solve_triangular(root, residual[..., None], upper=False)[..., 0]
            fit = -0.5 * white.square().sum(1) - root.diagonal(dim1=1, dim2=2).log().sum(1)
            densities.append(fit + share)
            factors.append(root)
        return torch.stack(densities), factors

    def fit(self, data: Linear, steps: int = 40, means: Tensor | None = None) -> Mixed:
        """Make the measurements most likely."""
        fixed = {"effects"} if self.way.held or means is not None else set()
        free = [value.requires_grad_() for name, value in self.numbers.items() if name not in fixed]
        search = torch.optim.LBFGS(free, max_iter=steps, line_search_fn="strong_wolfe", tolerance_change=1e-7)
        sizes = data.mask.sum(1)
        parts = []
        for low, high in itertools.pairwise(WIDTHS):
            rows = ((sizes > low) & (sizes <= high)).nonzero()[:, 0]
            parts.append((rows, data.select(rows, high)))
        members = pd.Series(data.study).groupby(data.study).transform("size").to_numpy()
        weight = torch.tensor(1.0 / (1.0 + self.way.evenly * (members - 1)))
        weight = weight * len(weight) / weight.sum()

        def cost() -> Tensor:
            search.zero_grad()
            total = 0.5 * self.way.shrinkage * self.numbers["effects"][:, 1:].square().sum()
            for rows, part in parts:
                own = None if means is None else means[rows]
                density = torch.logsumexp(self.at_levels(part, self.residual(part, own))[0], 0)
                total = total - (weight[rows] * density).sum()
            total.backward()
            return total

        search.step(cost)
        for value in free:
            value.requires_grad_(False)
        return self

    def left(self, data: Linear, samples: int) -> Tensor:
        """Logarithm of each sample that follows the first ones over its forecast; NaN of the others."""
        rank = data.mask.cumsum(1)
        known = replace(data, mask=data.mask & (rank <= samples))
        residual = self.residual(data)
        left = residual
        if samples:
            seen = torch.where(known.mask, residual, 0.0)
            density, roots = self.at_levels(known, seen)
            share, signal = torch.softmax(density, 0), self.signal(data)
            for weight, root in zip(share, roots, strict=True):
                pull = torch.where(known.mask, torch.cholesky_solve(seen[..., None], root)[..., 0], 0.0)
                left = left - weight[:, None] * (signal @ pull[..., None])[..., 0]
        return torch.where(data.mask & (rank > samples), left, torch.nan)


def absolute(left: Tensor) -> float:
    """Median absolute error relative to the forecast, in per cent."""
    return 100.0 * float(left[torch.isfinite(left)].expm1().abs().quantile(0.5))


@dataclass(frozen=True)
class _Transit(Structure):
    """What is injected reaches the centre at a first-order rate."""

    def parameters(self, time: str, volume: str) -> tuple[Parameter, ...]:
        mixing = Parameter("mixing_rate", "1/min", 2.2, positive=True, spread=0.4)
        return (*super().parameters(time, volume), mixing)

    def concentration(self, time: Any, given_doses: DoseArrays, values: Any) -> Any:
        volume, rate = values["central_volume"], values["mixing_rate"] + 0.0 * time
        pairs = [(values["exchange_clearance"], values["peripheral_volume"]),
                 (values["deep_exchange_clearance"], values["deep_volume"])]  # fmt: skip
        before = modes(values["clearance"], volume, *pairs)
        entering = rate[..., None]
        share = before.share * entering / (entering - before.rate)
        together = (before.rate, entering), (share, -share.sum(-1, keepdim=True))
        after = Modes(*(torch.cat(pair, -1) for pair in together))
        return math.maximum(given(time, given_doses, after) / volume, 1e-9)


def _transit_model() -> Model:
    sizes = {"clearance": 0.75, "central_volume": 1.0, "peripheral_volume": 1.0, "deep_volume": 1.0,
             "exchange_clearance": 0.75, "deep_exchange_clearance": 0.75}  # fmt: skip
    effects: dict[str, list[Any]] = {
        name: [Power("weight", "kg", 70.0, power)] for name, power in sizes.items()
    }
    effects["clearance"].append(Maturation("postmenstrual_age", "year", 42.3 / 52.18, 9.06))
    declared = {parameter.name: parameter.typical for parameter in propofol.parameters}
    return compartment_model(
        _Transit(3), name="with_transit", time="min", effects=effects, noise=propofol.noise, typical=declared,
        covariates=propofol.covariates, transforms=propofol.transforms,
    )  # fmt: skip


def linearise(prior: Prior, tasks: TaskSet, transit: bool = False) -> Linear:
    """Every patient about the prior's mean."""
    model = _transit_model() if transit else prior.model
    batch = tasks.batch(model, covariates=prior.covariates.names)
    design = prior.covariates.design(batch.covariates).with_intercept
    at = torch.zeros(len(batch), len(model.parameters), dtype=design.dtype)
    at[:, : len(prior.model.parameters)] = design @ prior.state.coefficients.T
    problem = Problem(model, batch)
    line = problem.linearise(at, prior.state.log_noise)
    slope = torch.where(batch.mask[..., None], line.jacobian, 0.0)
    measured = torch.where(batch.mask, problem.target - line.prediction, 0.0)
    measured = measured + torch.einsum("top,tp->to", slope, at)
    time = torch.where(batch.mask, batch.inputs["time"].expand(batch.mask.shape), 1.0)
    return Linear(measured, slope, batch.mask, time, design, np.asarray(tasks.groups("study")))


def elsewhere(first: Mixed, data: Linear, prior: Prior, parts: int = 7) -> Tensor:
    """Every patient's mean, with effects learned without studies like hers, (patient, parameter)."""
    means = data.design @ first.numbers["effects"].T
    mixed = np.random.default_rng(2).permutation(np.unique(data.study))
    for part in np.array_split(mixed, parts):
        out = torch.tensor(np.isin(data.study, part))
        other = Mixed(first.way, prior, *first.numbers["effects"].shape)
        other.numbers = {name: value.clone() for name, value in first.numbers.items()}
        other.fit(data.select((~out).nonzero()[:, 0]), steps=12)
        means[out] = data.design[out] @ other.numbers["effects"].T
    return means


def _medians(mixed: Mixed, data: Linear) -> list[float]:
    early = (data.time[:, 0] < MIXED)[:, None]
    each = [mixed.left(data, samples) for samples in FOLLOWING.shots]
    by_first = [absolute(torch.where(part, each[1], torch.nan)) for part in (early, ~early)]
    return [*map(absolute, each), *by_first]


def ways(prior: Prior, tasks: TaskSet, judged: np.ndarray) -> pd.DataFrame:
    """Median absolute errors on the studies left out, way by way."""
    plain = linearise(prior, tasks)
    learn, judge = (torch.tensor(np.flatnonzero(side)) for side in (~judged, judged))
    x = plain.design
    kilograms, years, tall, opioids = x[:, 1], x[:, 2], x[:, 3], x[:, 6]
    products = [x[:, i] * x[:, j] for i, j in itertools.combinations(range(1, 7), 2)]
    products += [column.square() for column in (kilograms, years, tall)]

    def added(*columns: Tensor) -> Linear:
        scaled = [(column - column[learn].mean()) / column[learn].std() for column in columns]
        return replace(plain, design=torch.cat([x, torch.stack(scaled, 1)], 1))

    def kept(*columns: int) -> Linear:
        none = torch.zeros_like(x)
        none[:, [0, *columns]] = x[:, [0, *columns]]
        return replace(plain, design=none)

    tried: dict[str, tuple[Way, Linear]] = {
        "the shipped recipe, linearised": (Way(), plain),
        "covariates: weight and age only": (Way(), kept(1, 2)),
        "covariates: age × opioids too": (Way(), added(years * opioids)),
        "covariates: all squares and products too": (Way(shrinkage=30.0), added(*products)),
        "covariates: effects shrunk more": (Way(shrinkage=100.0), plain),
        "large studies weigh less": (Way(evenly=0.2), plain),
        "spread learned across studies": (Way(spread_elsewhere=True), plain),
        "all patients equally noisy": (Way(levels=False), plain),
        "parameters correlated": (Way(correlated=True), plain),
        "an assay factor of each patient": (Way(assay=True), plain),
        "noise greater at first for half as long": (Way(over=0.5), plain),
        "a fading mixing factor of each patient": (Way(mixing=True), plain),
        "a transit before the centre": (Way(), linearise(prior, tasks, transit=True)),
        "drifting residuals": (Way(drift=True), plain),
        "drifting residuals, covariate effects held": (Way(drift=True, held=True), plain),
        "drift, mixing and correlation, effects held": (
            Way(drift=True, mixing=True, correlated=True, held=True), plain,
        ),
        "age × opioids, half as long": (Way(over=0.5), added(years * opioids)),
    }  # fmt: skip
    rows, first = {}, None
    for name, (way, data) in tried.items():
        mixed = Mixed(way, prior, data.slope.shape[2], data.design.shape[1])
        if way.held and first is not None:
            mixed.numbers["effects"] = first.numbers["effects"].clone()
        means = None
        if way.spread_elsewhere and first is not None:
            mixed.numbers["effects"] = first.numbers["effects"].clone()
            means = elsewhere(first, data.select(learn), prior)
        mixed.fit(data.select(learn), means=means)
        first = first or mixed
        rows[name] = _medians(mixed, data.select(judge))
        if len(rows) == 1:
            rows["  the same on the 19 studies it learned from"] = _medians(mixed, data.select(learn))
    columns = ["0 samples", "1", "2", "3", "1, early first", "1, later first"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def centres(prior: Prior, tasks: TaskSet) -> pd.DataFrame:
    """Errors of what may be reported as the forecast, nothing linearised."""
    batch, rows = prior.batch(tasks), {}
    for samples in FOLLOWING.shots:
        split = split_tasks(batch.mask, samples, FOLLOWING, 1)
        chosen = batch.select(split.task)
        said = predictive(
            prior.problem(chosen.with_mask(split.query)), prior.adapt(chosen.with_mask(split.support))
        )
        middle = replace(said, noise_sd=torch.zeros_like(said.noise_sd))
        mean = (said.centre + (said.weight[:, :, None] * said.shift).sum(0)).exp()
        forecasts: dict[str, Tensor] = {
            "at the estimates": said.median,
            "median of the measurement": said.interval(0.0)[0],
            "median of the curve": middle.interval(0.0)[0] if samples else said.median,
            "mean of the curve's logarithm": mean,
        }
        error = {name: (chosen.output / value - 1.0).abs()[split.query] for name, value in forecasts.items()}
        rows[samples] = {name: 100.0 * float(value.median()) for name, value in error.items()}
    return pd.DataFrame(rows)


def bounds(prior: Prior, tasks: TaskSet, parts: int = 5) -> pd.DataFrame:
    """How well the first sample could be used, and what is owed to whole studies, of samples after the first."""
    data = linearise(prior, tasks)
    before, after = torch.full_like(data.time, torch.nan), torch.full_like(data.time, torch.nan)
    for part in np.array_split(np.random.default_rng(0).permutation(np.unique(data.study)), parts):
        out = torch.tensor(np.isin(data.study, part))
        mixed = Mixed(Way(), prior, data.slope.shape[2], data.design.shape[1])
        mixed.fit(data.select((~out).nonzero()[:, 0]))
        kept = data.select(out.nonzero()[:, 0])
        before[out], after[out] = mixed.left(kept, 0), mixed.left(kept, 1)
    asked, first, time = torch.isfinite(after), before[:, :1].expand_as(before), data.time
    begun = time[:, :1].expand_as(time).contiguous()
    edges = (
        torch.tensor([1.0, 2.0, 3.0, 6.0, 10.0, 15.0, 30.0]),
        torch.tensor([2.0, 3, 5, 8, 15, 30, 60, 120, 300]),
    )
    cells = 100 * torch.bucketize(begun, edges[0].double(), right=True)
    cells = torch.where(asked, cells + torch.bucketize(time, edges[1].double(), right=True), -1)
    sloped, shifted = torch.full_like(before, torch.nan), torch.full_like(before, torch.nan)
    slopes = torch.linspace(-0.5, 1.5, 41).double()[:, None]
    for cell in cells.unique()[1:]:
        left = before[cells == cell] - slopes * first[cells == cell]
        sloped[cells == cell] = left[left.expm1().abs().median(1).values.argmin()]
    for study in np.unique(data.study):
        rows = asked & torch.tensor(data.study == study)[:, None]
        shifted[rows] = before[rows] - before[rows].median()
    tried = {
        "before any sample": torch.where(asked, before, torch.nan),
        "after one": after,
        f"after one, the best slope in each of {len(cells.unique()) - 1} cells of times": sloped,
        "before any, with the median error of every study known": shifted,
    }
    early = begun < MIXED
    return pd.DataFrame({
        "all": {name: absolute(left) for name, left in tried.items()},
        "early first": {name: absolute(left[early]) for name, left in tried.items()},
        "later first": {name: absolute(left[~early]) for name, left in tried.items()},
    })  # fmt: skip


def _print(title: str, make: Callable[..., pd.DataFrame], *given_to: Any) -> None:
    print(f"\n{title}")
    print(make(*given_to).round(1).to_string(), flush=True)


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    tasks, _ = with_enough_rows(catalogue.dataset("propofol"), Protocol(minimum_rows=1))
    judged = np.isin(tasks.groups("study"), JUDGED)
    prior = load("propofol").retrain(tasks.select(~judged))
    _print("Five studies left out: MDAPE by samples known", centres, prior, tasks.select(judged))
    _print("Five studies left out, models linearised: MDAPE by samples known", ways, prior, tasks, judged)
    _print(
        "All studies, left out in five parts, models linearised: MDAPE after the first sample",
        bounds,
        prior,
        tasks,
    )


if __name__ == "__main__":
    main()
