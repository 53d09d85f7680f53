"""Several models of one drug, weighed by a patient's own measurements: which fits, and what they forecast together.

Each model calibrates the patient; its weight is its prior weight times the probability that it gave to what was
measured (`metasci.fits.evidence`). The averaged forecast is the mixture of the models' forecasts.

Source: Hoeting, Madigan, Raftery and Volinsky, Stat Sci 14 (1999) 382, for averaging; Uster et al., Clin Pharmacol Ther
109 (2021) 175, for averaging and selection in the dosing of one patient.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.conditions import asked_for, coded
from metasci.errors import InputError, check_level
from metasci.fits.drawn import drawn_forecast, weighted_quantiles
from metasci.fits.evidence import evidence
from metasci.priors.calibrated import Calibration
from metasci.priors.equation import Prior
from metasci.priors.load import load
from metasci.units import convert

__all__ = ["Average", "average"]

_RARE = 0.01  # probability of measurements as odd as these, below which a model does not expect them
_UNDECIDED = 0.9  # no model has more than this: the forecast is of several
_FEW = 100.0  # effective draws: with fewer a weight is uncertain by more than a tenth of itself
_WEIGHTS = ("marginal likelihood", "prediction")


@dataclass(frozen=True, repr=False)
class Average:
    """Calibrations of one patient by several models, and their weights.

    Attributes
    ----------
    fits : tuple of Calibration
    table : DataFrame
        prior; log_evidence and log_laplace (of the measurements, in the first model's unit), log_prediction (each
        measurement from the others), prior_weight, weight, prediction_weight (each adds up to one), rarity (the
        probability of measurements as far from what the model expects).
    by : str
        Which of the weights is taken.
    """

    fits: tuple[Calibration, ...]
    table: pd.DataFrame
    by: str

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of the models, adding up to one."""
        column = "weight" if self.by == _WEIGHTS[0] else "prediction_weight"
        return self.table[column].to_numpy()

    @property
    def best(self) -> Calibration:
        """The calibration by the model of greatest weight: selection in the place of averaging."""
        return self.fits[int(self.weights.argmax())]

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader has to know, one sentence each."""
        sentences = []
        names, rare = self.table["prior"], self.table["rarity"] < _RARE
        if rare.all():
            sentences.append(
                f"none of these models expects such measurements (probability at most {self.table['rarity'].max():.2g} "
                "under any of them): check units, times and doses, and do not rely on the average."
            )
        else:
            sentences += [
                f"{name} does not expect such measurements (probability {value:.2g})."
                for name, value in zip(names[rare], self.table["rarity"][rare], strict=True)
            ]
        if not rare.all() and self.weights.max() < _UNDECIDED:
            sentences.append("the measurements do not decide between the models: the forecast is of several.")
        if (few := self.table["effective"] < _FEW).any():
            sentences.append(
                f"the weights of {', '.join(names[few])} are uncertain: few draws represent the posterior."
            )
        used = {
            name.lower()
            for fit in self.fits
            for name in (*fit.prior.model.inputs, *fit.prior.model.covariates)
        }
        for fit in self.fits:
            sentences += [
                f"{fit.prior.name}: {sentence}"
                for sentence in fit.warnings
                if not _is_of_another(sentence, used)
            ]
        return sentences

    def predict(self, level: float = 0.9, draws: int = 2000, seed: int = 0, **conditions: Any) -> xr.Dataset:
        """Forecast by all models together: the mixture of their forecasts by weight.

        Parameters
        ----------
        level : float
        draws : int
            From each model's posterior.
        seed : int
        **conditions
            As `Calibration.predict` takes them, ``time="48 h"``.

        Returns
        -------
        Dataset
            ``median``, ``lower``, ``upper`` (of a measurement), ``curve_lower``, ``curve_upper`` (of the curve), dims
            (point...); ``curve_median`` of the curve; ``of_model``, the median of each, (model, point...).
        """
        check_level(level)
        curves, measured = [], []
        for place, fit in enumerate(self.fits):
            curve, value, shape = drawn_forecast(
                fit, conditions, draws, seed + place, self.fits[0].prior.model.output.unit
            )
            curves.append(curve)
            measured.append(value)
        weights: NDArray[np.float64] = np.repeat(self.weights / draws, draws)
        tails = 0.5 * (1.0 - level), 0.5, 0.5 * (1.0 + level)
        low, middle, high = weighted_quantiles(np.concatenate(measured), weights, tails)
        inner, centre, outer = weighted_quantiles(np.concatenate(curves), weights, tails)
        dims = ("point",) if len(shape) <= 1 else tuple(f"point_{i}" for i in range(len(shape)))
        model = self.fits[0].prior.model
        attributes = {"units": model.output.unit}
        named = {
            "median": middle,
            "lower": low,
            "upper": high,
            "curve_median": centre,
            "curve_lower": inner,
            "curve_upper": outer,
        }
        variables: dict[str, Any] = {
            key: (dims, value.reshape(shape or (1,)), attributes) for key, value in named.items()
        }
        each = np.stack([np.median(curve, 0).reshape(shape or (1,)) for curve in curves])
        variables["of_model"] = (("model", *dims), each, attributes)
        points = asked_for(model, self.fits[0].batch, coded(self.fits[0].tasks.card, conditions))
        coords: dict[str, Any] = {"model": self.table["prior"].tolist(), "weight": ("model", self.weights)}
        for name, values in points.items():
            coords[name] = (
                dims,
                np.broadcast_to(values, shape or (1,)).copy(),
                {"units": model.inputs[name].unit},
            )
        return xr.Dataset(variables, coords, {"level": level})

    def summary(self) -> str:
        """Models and weights as a table to read, and warnings."""
        width = max(len(name) for name in self.table["prior"]) + 2
        count = int(self.fits[0].batch.mask.sum())
        task = self.fits[0].batch.names[0]
        lines = [
            f"{task}: {len(self.fits)} models, {count} measurement{'s' * (count != 1)}; weights by {self.by}",
            f"  {'':{width}}{'weight':>7}  {'by evidence':>11}  {'by prediction':>13}  {'ln evidence':>11}"
            f"  {'expected':>8}",
        ]
        for row, weight in zip(self.table.to_dict("records"), self.weights, strict=True):
            lines.append(
                f"  {row['prior']:{width}}{weight:>7.3f}  {row['weight']:>11.3f}  {row['prediction_weight']:>13.3f}"
                f"  {row['log_evidence']:>11.2f}  {row['rarity']:>8.2g}"
            )
        lines.append(
            "  expected: the probability, under the model, of measurements as far from what it expects"
        )
        return "\n".join([*lines, *(f"  warning: {warning}" for warning in self.warnings)])

    def to_json(self) -> dict[str, Any]:
        """Models, weights and warnings as plain numbers and text."""
        rows: Any = json.loads(self.table.to_json(orient="records", double_precision=15))
        return {"by": self.by, "weights": self.weights.tolist(), "models": rows, "warnings": self.warnings}

    def __repr__(self) -> str:
        weights = ", ".join(
            f"{name} {weight:.2f}" for name, weight in zip(self.table["prior"], self.weights, strict=True)
        )
        return f"Average({weights})"


def average(
    priors: Sequence[Prior | str],
    data: Any,
    *,
    prior_weights: Sequence[float] | None = None,
    by: str = "marginal likelihood",
    seed: int = 0,
    read: Mapping[str, Any] | None = None,
) -> Average:
    """Weigh several priors of one drug by a patient's own measurements.

    Parameters
    ----------
    priors : sequence of Prior or str
        Two or more; a text is a name or folder, as `metasci.load` takes it.
    data : path, DataFrame or TaskSet
        Of one patient, with the columns that any of the models needs.
    prior_weights : sequence of float, optional
        How probable each model was before; equal by default.
    by : "marginal likelihood" or "prediction"
        Weights by the density that a model gives to all measurements, or to each of them from the others. The first
        also asks whether a model expected the patient; the second only whether it forecasts.
    seed : int
    read : mapping, optional
        What `Prior.calibrate` takes beside the data.

    Returns
    -------
    Average

    Raises
    ------
    InputError
        If there are fewer than two priors, the data hold several patients, or models read different measurements.

    Examples
    --------
    >>> import metasci as ms
    >>> levels = ms.Regimen().infusion("1000 mg", over="1 h").every("12 h", 3).table(
    ...     times=["26 h", "35.5 h"], values=[32, 18], value_unit="mg/L", weight="60 kg",
    ...     creatinine_clearance="45 mL/min", haemodialysis=0)
    >>> found = average(["vancomycin_goti_2018", "vancomycin_buelga_2005"], levels)
    >>> round(float(found.weights.sum()), 12), sorted(found.predict(time="48 h")["of_model"].sizes)
    (1.0, ['model', 'point'])
    """
    if len(priors) < 2:
        raise InputError("averaging needs two or more models.")
    if by not in _WEIGHTS:
        raise InputError(f"by is {' or '.join(repr(each) for each in _WEIGHTS)}, not '{by}'.")
    known = [load(prior) if isinstance(prior, str | Path) else prior for prior in priors]
    before = np.ones(len(known)) if prior_weights is None else np.asarray(prior_weights, float)
    if before.shape != (len(known),) or not (
        (before >= 0.0).all() and before.sum() > 0.0 and np.isfinite(before).all()
    ):
        raise InputError(f"prior_weights: give {len(known)} numbers, none below zero.")
    fits = tuple(prior.calibrate(data, **(read or {})) for prior in known)
    _check(fits)
    unit = fits[0].prior.model.output.unit
    rows = []
    for place, (fit, weight) in enumerate(zip(fits, before / before.sum(), strict=True)):
        fit_evidence = evidence(fit, seed=seed + place)
        # a density per ug/L is a thousandth of one per mg/L
        numbers = int((fit.batch.mask & fit.batch.numbers).sum())
        scale = -numbers * float(np.log(convert(1.0, fit.prior.model.output.unit, unit, "output")))
        rows.append(
            {
                "prior": fit.prior.name,
                "log_evidence": fit_evidence.log_marginal + scale,
                "log_laplace": fit_evidence.log_laplace + scale,
                "log_prediction": fit_evidence.log_predictive + scale,
                "prior_weight": float(weight),
                "rarity": fit_evidence.rarity,
                "effective": fit_evidence.effective,
            }
        )
    table = pd.DataFrame(rows)
    table["weight"] = _softmax(table["log_evidence"], table["prior_weight"])
    table["prediction_weight"] = _softmax(table["log_prediction"], table["prior_weight"])
    return Average(fits, table, by)


def _softmax(log_density: pd.Series, prior: pd.Series) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        raw = log_density.to_numpy() + np.log(prior.to_numpy())
    share = np.exp(raw - raw.max())
    return np.asarray(share / share.sum())


def _check(fits: Sequence[Calibration]) -> None:
    """Refuse several patients, and models that do not see the same measurements."""
    if (count := len(fits[0].batch)) != 1:
        raise InputError(f"models are averaged for one patient, not for {count}; select one.")
    first = fits[0]
    names = {fit.prior.name for fit in fits}
    if len(names) < len(fits):
        raise InputError("averaging: two of the models have one name; give each a name of its own.")
    for fit in fits[1:]:
        convert(
            1.0, fit.prior.model.output.unit, first.prior.model.output.unit, f"output of '{fit.prior.name}'"
        )
        if int(fit.batch.mask.sum()) != int(first.batch.mask.sum()):
            raise InputError(
                f"'{fit.prior.name}' reads {int(fit.batch.mask.sum())} measurements and '{first.prior.name}' "
                f"{int(first.batch.mask.sum())}: models are compared by the same ones."
            )
    if not int(first.batch.mask.sum()):
        raise InputError("averaging: nothing was measured, so that nothing decides between the models.")


def _is_of_another(warning: str, used: set[str]) -> bool:
    """Whether a warning is about a column that one of the other models takes."""
    match = re.match(r"columns? (.+?) (?:is|are) not used", warning)
    return (
        match is not None and {re.sub(r"\s*\[.*", "", name).lower() for name in match[1].split(", ")} <= used
    )
