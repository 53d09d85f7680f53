"""Scores: errors, coverage and log density, gathered over tasks and folds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

__all__ = ["Score"]

_FIGURES = (
    "rmse",
    "mae",
    "mae_sd_over_seeds",
    "mdape",
    "mdpe",
    "f20",
    "f30",
    "mdape_of_prediction",
    "mdpe_of_prediction",
    "coverage90",
    "nlpd",
    "seconds_per_task",
)


@dataclass(frozen=True)
class Score:
    """Errors of one method at one number of shots, gathered over folds; which tasks they are of, and of which not."""

    errors: list[np.ndarray]
    measured: list[np.ndarray]
    covered: list[np.ndarray]
    density: list[np.ndarray]
    seconds: list[float]
    seeds: list[int] = field(default_factory=list)
    tasks: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        measured: Tensor,
        median: Tensor,
        lower: Tensor,
        upper: Tensor,
        log_density: Tensor,
        censored: Tensor | None = None,
        up_to: Tensor | None = None,
    ) -> None:
        """Record one task's query, (measurement,) each.

        Of a measurement that lies below a limit a forecast below the limit is no error, and an interval that reaches
        below it covers. So it is above a limit and between two numbers, of which `up_to` is the upper, infinite or
        not, and NaN of a number.
        """
        off = measured - median
        if up_to is not None:
            known = ~torch.isnan(up_to)
            beyond = torch.where(median > up_to, up_to - median, off.clamp(min=0.0))
            off = torch.where(known, beyond, off)
            # an interval that reaches into that of the measurement covers
            lower = torch.where(known & (lower <= up_to), torch.minimum(lower, measured), lower)
        if censored is not None:
            off = torch.where(censored & (median <= measured), torch.zeros_like(off), off)
            upper = torch.where(censored, torch.full_like(upper, torch.inf), upper)
        self.errors.append(off.detach().numpy())
        self.measured.append(measured.detach().numpy())
        self.covered.append(((measured >= lower) & (measured <= upper)).double().numpy())
        self.density.append(log_density.detach().numpy())

    def figures(self, aggregate: str) -> dict[str, float]:
        """RMSE, MAE, percentage errors, coverage, negative log density, seconds a task.

        Percentages are of the measurement: ``mdape`` and ``mdpe``, medians of |p − y|/y and (p − y)/y, and ``f20`` and
        ``f30``, the share within 20 and 30 % (Sheiner and Beal 1981); ``mdape_of_prediction`` and
        ``mdpe_of_prediction`` are of the prediction, (y − p)/p, as anaesthetists have them (Varvel and others 1992).
        Without a task all are NaN.
        """
        if not self.errors:
            return dict.fromkeys(_FIGURES, float("nan"))
        flat = np.concatenate(self.errors)
        measured = np.concatenate(self.measured)
        error = -flat / np.maximum(np.abs(measured), 1e-12)
        of_prediction = flat / np.maximum(np.abs(measured - flat), 1e-12)
        squares = [np.mean(e**2) for e in self.errors]
        rmse = {
            "mean": float(np.mean(np.sqrt(squares))),
            "root_mean_square": float(np.sqrt(np.mean(squares))),
            "pooled": float(np.sqrt(np.mean(flat**2))),
        }[aggregate]
        mae = (
            np.mean(np.abs(flat))
            if aggregate == "pooled"
            else np.mean([np.mean(np.abs(e)) for e in self.errors])
        )
        return {
            "rmse": rmse,
            "mae": float(mae),
            "mae_sd_over_seeds": self._spread(aggregate),
            "mdape": float(100.0 * np.median(np.abs(error))),
            "mdpe": float(100.0 * np.median(error)),
            "f20": float(100.0 * np.mean(np.abs(error) <= 0.2)),
            "f30": float(100.0 * np.mean(np.abs(error) <= 0.3)),
            "mdape_of_prediction": float(100.0 * np.median(np.abs(of_prediction))),
            "mdpe_of_prediction": float(100.0 * np.median(of_prediction)),
            "coverage90": float(np.mean(np.concatenate(self.covered))),
            "nlpd": float(-np.mean(np.concatenate(self.density))),
            "seconds_per_task": float(np.sum(self.seconds) / len(self.errors)),
        }

    def _spread(self, aggregate: str) -> float:
        """Standard deviation of the MAE between random choices of the support; zero where there was one."""
        each = []
        for seed in sorted(set(self.seeds)):
            errors = [np.abs(e) for e, drawn in zip(self.errors, self.seeds, strict=True) if drawn == seed]
            each.append(
                np.mean(np.concatenate(errors) if aggregate == "pooled" else [e.mean() for e in errors])
            )
        return float(np.std(each, ddof=1)) if len(each) > 1 else 0.0
