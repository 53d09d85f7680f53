"""Calibrated tasks of an equation: parameters and predictions with intervals, and what a reader should be warned of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
import xarray as xr

from metasci.class_forecasts import ClassForecast
from metasci.constraints.verdicts import greatest
from metasci.data.cards import owning_up
from metasci.data.conditions import asked_for, batch_at, coded, followed
from metasci.errors import check_level
from metasci.fits.adapted_tasks import AdaptedTasks
from metasci.fits.beside import beside_line, beside_table
from metasci.fits.crossing import Crossing, crossing
from metasci.fits.data_checks import forecasts_beyond
from metasci.fits.predictive import predictive
from metasci.fits.warnings import warnings_of
from metasci.forecasts import Forecast
from metasci.meta.discrepancy.conditioning import TaskProcess
from metasci.meta.discrepancy.lawful import LawfulProcess, grid_of_laws, lawful
from metasci.meta.problem import Problem
from metasci.mixed_forecasts import MixedForecast
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes import Ordinal

if TYPE_CHECKING:
    from metasci.constraints import Collocation

__all__ = ["EquationFit"]


@dataclass(frozen=True, repr=False)
class EquationFit(AdaptedTasks):
    """Calibrated tasks of an equation, as numbers; `metasci.priors.calibrated.Calibration` reports them, too.

    Examples
    --------
    >>> import metasci as ms
    >>> patients = ms.dataset("theophylline")
    >>> fit = ms.load("theophylline").calibrate(patients.select(["1"]))
    >>> fit.parameters["unit"].tolist()
    ['1/h', 'L/h/kg', 'L/kg']
    """

    files: ClassVar[tuple[str, ...]] = ("calibration.nc", "parameters.csv", "predictions.csv", "report.html")

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """Estimates with 90 % intervals beside the prior; see `table`."""
        return self.table()

    def table(self, level: float = 0.9) -> pd.DataFrame:
        """Every parameter of every task.

        Columns: task, name, unit, estimate, lower, upper, prior, prior_lower, prior_upper, shrinkage.
        Shrinkage is the posterior variance over the prior's, in unconstrained coordinates: near 1 the
        estimate is the prior's, near 0 the measurements'.
        """
        data = self.to_xarray(level=level, predictions=False).drop_vars("unit")
        frame: pd.DataFrame = data[
            ["estimate", "lower", "upper", "prior", "prior_lower", "prior_upper", "shrinkage"]
        ].to_dataframe()
        frame = frame.reset_index().rename(columns={"parameter": "name"})
        units = {parameter.name: parameter.unit for parameter in self.prior.model.parameters}
        frame.insert(2, "unit", frame["name"].map(units))
        return frame

    @cached_property
    def beside_equation(self) -> pd.DataFrame:
        """How much of each task's predictions is not the equation's; see `metasci.fits.beside.beside_table`."""
        return beside_table(self)

    @cached_property
    def individual(self) -> pd.DataFrame:
        """Each task's own parameters, after its covariates; see `metasci.fits.individual.individual_table`."""
        from metasci.fits.individual import individual_table

        return individual_table(self)

    def _lines(self, level: float) -> list[str]:
        """A block for each task: its measurements, then a line for each parameter."""
        lines, beside = [], {row["task"]: row for row in self.beside_equation.to_dict("records")}
        width = max(len(name) for name in self.prior.model.parameters.names) + 2
        for task, rows in self.table(level).groupby("task", sort=False):
            count = int(self.batch.mask[list(self.batch.names).index(str(task))].sum())
            label = owning_up(str(task), self.tasks.card.simulated)
            lines.append(f"{label}: {self.prior.model.name}, {count} measurement{'s' * (count != 1)}")
            lines.append(
                f"  {'':{width}}{'estimate':>10}  {f'{100 * level:.0f} % interval':>21}  {'prior':>10}  shrinkage"
            )
            for row in rows.itertuples():
                unit = "" if row.unit == "1" else f" {row.unit}"
                interval = f"{row.lower:.4g} to {row.upper:.4g}"
                lines.append(
                    f"  {row.name:{width}}{row.estimate:>10.4g}  {interval:>21}  "
                    f"{row.prior:>10.4g}  {row.shrinkage:>9.2f} {unit}"
                )
            if str(task) in beside:
                lines.append(f"  {beside_line(beside[str(task)], self.prior.model.output.unit)}")
        return lines

    def at_measurements(self, level: float = 0.9) -> pd.DataFrame:
        """Measured and predicted values at every measured condition, with the prior's beside them."""
        frame = self.tasks.to_frame()
        measured = self.batch.mask
        blank = self.prior.problem(self.batch)
        frame = frame[frame[self.prior.model.output.name].notna()].reset_index(drop=True)
        for label, use_prior in (("predicted", False), ("prior", True)):
            forecast = predictive(blank, self.adapted, prior=use_prior)
            if isinstance(forecast, ClassForecast):
                names = np.array(forecast.outcome.classes, object)
                frame[label] = names[forecast.median[measured].long().numpy()]
                for at, name in enumerate(names):
                    frame[f"{label}_probability_{name}"] = forecast.probabilities[..., at][measured].numpy()
                continue
            lower, upper = forecast.interval(level)
            for suffix, values in (("", forecast.median), ("_lower", lower), ("_upper", upper)):
                frame[label + suffix] = values[measured].numpy()
        return frame

    def predict(self, level: float = 0.9, **conditions: Any) -> xr.Dataset:
        """Predict at new conditions, for every task.

        Parameters
        ----------
        level : float
            Probability of the intervals.
        **conditions
            One for each input of the model: a number or array in the model's unit, a string such as
            ``"2 h"``, or a quantity such as ``[200, 400] * ms.unit("degC")``; they broadcast together. An
            input that is constant for a task (a dose) may be left out: the task's own value is used. So may a
            covariate that changes with time, which is told at doses, too: it is carried forward from the task's
            records, the last value told by then, or the first one before any.

        Returns
        -------
        xarray.Dataset
            ``median``, ``lower``, ``upper`` (of a measurement), ``curve_lower``, ``curve_upper`` (of the
            curve), and ``prior``, ``prior_lower``, ``prior_upper``; dims (task, point...). With a prior that knows
            what the equation leaves out also ``equation``: what that says alone. A covariate that was carried forward
            is a coordinate. The attribute ``extrapolates`` says which conditions lie outside of those that the prior
            was learned from; it is empty where none does. Of classes there are instead ``likeliest``, and of each its
            ``probability_…``, with ``_lower`` and ``_upper``, and ``prior_probability_…``.
        """
        check_level(level)
        model = self.prior.model
        points = asked_for(model, self.batch, coded(self.tasks.card, conditions))
        batch, shape = batch_at(model, self.batch, points)
        size = int(np.prod(shape))
        dims = ("point",) if len(shape) <= 1 else tuple(f"point_{i}" for i in range(len(shape)))
        full = (len(self.batch), *(shape or (1,)))
        variables: dict[str, Any] = {
            name: (("task", *dims), values[:, :size].numpy().reshape(full), {"units": model.output.unit})
            for name, values in self._curves(Problem(model, batch, 0.0), level).items()
        }
        if "likeliest" in variables:
            names = np.array(tuple(model.noise.codes))
            variables["likeliest"] = (("task", *dims), names[variables["likeliest"][1].astype(int)])
        coords: dict[str, Any] = {"task": list(self.batch.names)}
        for name in (*points, *(name for name in followed(model) if name not in points)):
            if name in points:
                spread = dims, np.broadcast_to(points[name], shape or (1,)).copy()
            else:
                spread = ("task", *dims), batch.inputs[name][:, :size].numpy().reshape(full)
            coords[name] = (*spread, {"units": model.inputs[name].unit})
        given = {name: torch.as_tensor(np.array(value, float)) for name, value in points.items()}
        beyond = "; ".join(forecasts_beyond(self.prior, given))
        named = {"level": level, "model": model.name, "prior": self.prior.name}
        return xr.Dataset(variables, coords, {**named, "extrapolates": beyond})

    def when(self, value: Any, along: str, **asked: Any) -> Crossing:
        """When each task's curve first reaches a value along an input; see `metasci.fits.crossing.crossing`."""
        return crossing(self, value, along, **asked)

    def _curves(self, problem: Problem, level: float) -> dict[str, torch.Tensor]:
        after, before = predictive(problem, self.adapted), predictive(problem, self.adapted, prior=True)
        if isinstance(after, ClassForecast):
            assert isinstance(before, ClassForecast)
            return _of_classes(after, before, level)
        lower, upper = after.interval(level)
        curve_lower, curve_upper = after.interval(level, noise=False)
        prior_lower, prior_upper = before.interval(level)
        return {
            "median": after.median,
            "lower": lower,
            "upper": upper,
            "curve_lower": curve_lower,
            "curve_upper": curve_upper,
            "prior": before.median,
            "prior_lower": prior_lower,
            "prior_upper": prior_upper,
            **self._equation_alone(problem),
            **_expected(after),
        }

    def _equation_alone(self, problem: Problem) -> dict[str, torch.Tensor]:
        """What the equation says at the estimate, where the prior knows that it leaves something out."""
        if self.adapted.discrepancy is None:
            return {}
        with torch.no_grad():
            return {"equation": problem.predict(self.adapted.coordinates)}

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader of this calibration has to know, one sentence each."""
        return warnings_of(self)

    def lawful(self, collocation: Collocation | None = None) -> Self:
        """The same calibration with predictions that keep monotone laws and non-negativity.

        An equation keeps its laws by itself; what it leaves out may break them. The curve that keeps them and is
        nearest to the expected one takes its place; intervals keep their width, and parameters stay.

        Parameters
        ----------
        collocation : metasci.constraints.Grid or QuasiRandom, optional
            Where the laws are kept, by default where the model says, or on a grid over the conditions that the prior
            was learned from. Between its places they are kept nearly; see `laws`.
        """
        process, model = self.adapted.discrepancy, self.prior.model
        if isinstance(process, LawfulProcess):
            process = process.process
        if not isinstance(process, TaskProcess):
            return self
        chosen = collocation or model.collocation
        chosen = chosen or grid_of_laws(model.constraints, self.prior.training.get("ranges", {}))
        if chosen is None:
            return self
        batch, _ = batch_at(model, self.batch, dict(chosen.points))
        kept = lawful(process, Problem(model, batch))
        return replace(self, adapted=replace(self.adapted, discrepancy=kept))

    def to_xarray(self, level: float = 0.9, predictions: bool = True) -> xr.Dataset:
        """Everything as a labelled Dataset (task, parameter[, observation]), and each law's greatest violation."""
        check_level(level)
        model, adapted = self.prior.model, self.adapted
        variables: dict[str, Any] = {}
        for label, centre, mixture in (
            ("", adapted.coordinates, adapted.mixture),
            ("prior", adapted.start, adapted.start_mixture),
        ):
            low, high = mixture.bounds(level)
            for suffix, off in (("", torch.zeros_like(low)), ("lower", low), ("upper", high)):
                name = "_".join(part for part in (label, suffix) if part) or "estimate"
                physical = model.parameters.to_physical((centre + off).numpy())
                stacked = np.stack([physical[key] for key in model.parameters.names], 1)
                variables[name] = (("task", "parameter"), stacked)
        share = adapted.covariance.diagonal(dim1=1, dim2=2) / adapted.start_covariance.diagonal(
            dim1=1, dim2=2
        )
        variables["shrinkage"] = (("task", "parameter"), share.numpy())
        variables["coordinates"] = (("task", "parameter"), adapted.coordinates.numpy())
        variables["coordinate_covariance"] = (
            ("task", "parameter", "parameter_other"),
            adapted.covariance.numpy(),
        )
        variables["converged"] = (("task",), adapted.converged.numpy())
        if model.constraints:
            violations, negligible = self._broken(self.problem)
            worst = greatest(model.constraints, violations, negligible, *self._checked(self.problem))
            attributes = {"units": model.output.unit, "long_name": "greatest violation of each physical law"}
            variables["law_violation"] = (("task", "law"), worst.numpy(), attributes)
        if self.local_error is not None:
            variables["local_error"] = (
                ("task",),
                self.local_error,
                {"units": "1", "long_name": "of the tolerance"},
            )
        coords = {
            "task": list(self.batch.names),
            "parameter": list(model.parameters.names),
            "unit": ("parameter", [parameter.unit for parameter in model.parameters]),
        }
        if model.constraints:
            coords["law"] = [law.law for law in model.constraints]
        data = xr.Dataset(variables, coords, {"model": model.name, "prior": self.prior.name, "level": level})
        if predictions:
            forecast = predictive(self.problem, adapted)
            blank = ~self.batch.mask
            predicted = {"measured": self.batch.output}
            if isinstance(forecast, ClassForecast):
                predicted |= {
                    f"probability_{name}": forecast.probabilities[..., at]
                    for at, name in enumerate(forecast.outcome.classes)
                }
            else:
                lower, upper = forecast.interval(level)
                predicted |= {"median": forecast.median, "low": lower, "high": upper}
            for name, values in predicted.items():
                shown = values.detach().masked_fill(blank, torch.nan).numpy()
                data[f"{name}_{model.output.name}"] = (
                    ("task", "observation"),
                    shown,
                    {"units": model.output.unit},
                )
            for name in model.inputs:
                conditions = self.batch.inputs[name].expand(blank.shape).masked_fill(blank, torch.nan).numpy()
                data[name] = (("task", "observation"), conditions, {"units": model.inputs[name].unit})
        return data

    def _numbers(self, level: float) -> dict[str, Any]:
        """Parameters, noise and physical laws."""
        rows = self.table(level).replace({np.nan: None}).to_dict("records")
        if len(self.tasks) == 1:
            rows = [{key: value for key, value in row.items() if key != "task"} for row in rows]
        beside = self.beside_equation.replace({np.nan: None}).to_dict("records")
        return {
            "parameters": rows,
            **({"beside_equation": beside} if beside else {}),
            "noise": self.noise,
            "laws": self.laws().astype(object).replace({np.nan: None}).to_dict("records"),
        }


def _of_classes(after: ClassForecast, before: ClassForecast, level: float) -> dict[str, torch.Tensor]:
    """The likeliest class by its number, and of each class its probability with an interval, and before adaptation."""
    lower, upper = after.bands(level)
    found = {"likeliest": after.median}
    for at, name in enumerate(after.outcome.classes):
        found |= {
            f"probability_{name}": after.probabilities[..., at],
            f"probability_{name}_lower": lower[..., at],
            f"probability_{name}_upper": upper[..., at],
            f"prior_probability_{name}": before.probabilities[..., at],
        }
    return found


def _expected(forecast: Forecast) -> dict[str, torch.Tensor]:
    """Of outcomes that are no Gaussian measurements: their mean, and the probability of every grade."""
    if isinstance(forecast, MixedForecast):
        return {"mean": forecast.mean}
    if not isinstance(forecast, OutcomeForecast) or forecast.outcome.kind == "time":
        return {}
    outcome = forecast.outcome
    if not isinstance(outcome, Ordinal):
        return {"probability" if outcome.kind == "yes or no" else "mean": forecast.mean}
    each = forecast.probabilities
    return {"mean": forecast.mean} | {
        f"probability_{level:.0f}": each[..., at] for at, level in enumerate(outcome.levels)
    }
