"""Does a robust prior mend the first measurement? ``python benchmarks/robust_prior.py [DATA ...]``.

A robust prior is a mixture of the learned one and of a weak one, here with half of the weight each, which a task's
measurements shift by how probable either finds them (Schmidli and others, Biometrics 70 (2014) 1023). The weak one is
normal about the declared typical values with twice the declared spreads, as `metasci.Prior.declared` is, and has the
learned noise. Groups are left out by the protocol of each card; beside the mixture stand the learned prior alone, the
weak one alone and a fit alone. What it printed is in ``one_measurement.md``.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

import metasci as ms
from metasci.data.batch import Batch
from metasci.evaluation.evaluate import held_out
from metasci.evaluation.protocol import Protocol, split_tasks, with_enough_rows
from metasci.evaluation.scores import Score
from metasci.fits.equation import EquationFit
from metasci.fits.evidence import laplace_evidence
from metasci.fits.predictive import predictive
from metasci.forecasts import MixtureForecast
from metasci.learned.declared import WIDER
from metasci.meta.laplace.gaussian_state import KNOWN
from metasci.meta.problem import Problem

ALONE = "per-task least squares"
DATA = {"theophylline_early_noise": "theophylline", "phenobarbital_heavy_tails": "phenobarbital"}
SHOTS = (0, 1, 2, 3)


def weak(prior: ms.Prior) -> ms.Prior:
    """Of the declared typical values and twice the declared spreads, with the learned noise."""
    state = prior.state
    wide = WIDER**2 * torch.eye(len(state.covariance), dtype=state.covariance.dtype)
    one, known = torch.ones_like(state.widening), torch.full_like(state.spread_freedom, KNOWN)
    return replace(
        prior,
        state=replace(
            state,
            coefficients=torch.zeros_like(state.coefficients),
            design_covariance=torch.zeros_like(state.design_covariance),
            covariance=wide,
            widening=one,
            spread_freedom=known,
        ),
    )


def forecast(prior: ms.Prior, batch: Batch, support: Tensor, query: Tensor) -> tuple[MixtureForecast, Tensor]:
    """Of one prior, and the log evidence of each task's support."""
    known = batch.with_mask(support)
    adapted = prior.adapt(known)
    fit = EquationFit(prior, cast(Any, None), known, adapted)
    log_evidence = torch.tensor([laplace_evidence(fit, task) for task in range(len(batch))])
    made = predictive(Problem(prior.model, batch.with_mask(query)), adapted)
    assert isinstance(made, MixtureForecast)
    return made, log_evidence


def mixed(parts: list[tuple[MixtureForecast, Tensor]], share: float = 0.5) -> tuple[MixtureForecast, Tensor]:
    """The mixture of two forecasts by share and evidence, and what is left of the first one's share."""
    (first, likely), (second, otherwise) = parts
    after = torch.sigmoid(likely - otherwise + torch.logit(torch.tensor(share)))
    levels = {
        name: torch.cat([getattr(first, name), getattr(second, name)]) for name in ("curve_sd", "noise_sd")
    }
    whole = replace(
        first,
        shift=torch.cat([first.shift, second.shift + second.centre - first.centre]),
        weight=torch.cat([first.weight * after, second.weight * (1.0 - after)]),
        **levels,
    )
    return whole, after


def main(names: list[str]) -> None:
    """Print a table for each prior."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in names:
        tasks, recipe = ms.dataset(DATA.get(name, name)), ms.load(name)
        protocol = replace(Protocol.from_card(tasks.card), shots=SHOTS)
        tasks, _ = with_enough_rows(tasks, protocol)
        scores: dict[tuple[str, int], Score] = {}
        left: dict[int, list[Tensor]] = {k: [] for k in SHOTS}
        for prior, new in held_out(recipe, tasks, protocol.leave_out, protocol.folds):
            batch, alone = prior.batch(new), prior.forecasters(new)[ALONE]
            for k in SHOTS:
                split = split_tasks(batch.mask, k, protocol, seeds=1)
                if not len(split.task):
                    continue
                chosen = batch.select(split.task)
                both = [forecast(each, chosen, split.support, split.query) for each in (prior, weak(prior))]
                robust, share = mixed(both)
                left[k].append(share)
                ways = {"learned prior": both[0][0], "robust": robust, "weak prior": both[1][0]}
                ways["a fit alone"] = alone(chosen, split.support, split.query)
                for way, made in ways.items():
                    score = scores.setdefault((way, k), Score([], [], [], [], []))
                    lower, upper = made.interval(0.9)
                    parts = (chosen.output, made.median, lower, upper, made.log_density())
                    for row, query in enumerate(split.query):
                        score.add(*(values[row, query] for values in parts))
        print(f"\n{name}: share left to the learned prior " + ", ".join(
            f"{torch.cat(shares).mean():.2f} after {k}" for k, shares in left.items() if shares
        ))  # fmt: skip
        print("| prior | readings | RMSE | MDAPE, % | 90 % coverage | negative log density |")
        print("|---|---|---|---|---|---|")
        for (way, k), score in scores.items():
            of = score.figures(protocol.aggregate)
            print(
                f"| {way} | {k} | {of['rmse']:.3g} | {of['mdape']:.1f} | {100 * of['coverage90']:.0f} % "
                f"| {of['nlpd']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:] or ["theophylline", "theophylline_early_noise", "phenobarbital", "alloy_fatigue"])
