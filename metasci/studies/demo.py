"""The main job on real data: an alloy and a patient left out of a prior's training, calibrated from three readings.

``make demo``, or ``python -m metasci.studies.demo [FOLDER]``. A specimen of alloy A is forecast to the end of its test,
a theophylline patient to the end of the day, and both are held against PyMC's hierarchical posterior on
the same data. A steel of a grade left out gets its tempering map.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metasci import catalogue
from metasci.bayes.joint import Joint, joint_posterior
from metasci.data.tasks import TaskSet
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.files import write_atomically
from metasci.library import find
from metasci.priors.calibrated import Calibration
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.comparisons import Band, comparison_figure
from metasci.report.html import Section, figure, page, paragraph, table
from metasci.report.maps import tempering_map
from metasci.report.style import save_figure
from metasci.studies.ship import RECIPES
from metasci.words import label

__all__ = ["Case", "crack_case", "held_out_case", "main", "patient_case", "steel_case"]


@dataclass(frozen=True)
class Case:
    """A task left out, and what calibrates it.

    Attributes
    ----------
    title, short : str
        For people, and for a folder.
    prior : Prior
        Learned without the task.
    old, new : TaskSet
        What the prior learned from; the task left out, whole.
    support : tuple of int
        Ranks of the readings that calibrate.
    axis : str
        Input that the forecast runs along.
    """

    title: str
    short: str
    prior: Prior
    old: TaskSet
    new: TaskSet
    support: tuple[int, ...]
    axis: str

    @property
    def used(self) -> np.ndarray:
        """Which readings calibrate, (observation,)."""
        chosen = np.zeros(int(self.new.counts[0]), dtype=bool)
        chosen[list(self.support)] = True
        return chosen

    @property
    def kept_back(self) -> np.ndarray:
        """Which readings judge the forecast: none that is so by definition, such as a length of 1 at the start."""
        judging = ~self.used
        judging[list(Protocol.from_card(self.new.card).skip)] = False
        return judging

    def calibrate(self) -> tuple[Calibration, float]:
        """Calibrate from the support, and the seconds that took."""
        kept = self.new.to_frame(units=True)[self.used]
        tasks = TaskSet.from_frame(kept, self.new.card, model=self.prior.model)
        self.prior.calibrate(tasks)  # the first call loads libraries
        began = time.perf_counter()
        fit = self.prior.calibrate(tasks)
        return fit, time.perf_counter() - began


def held_out_case(
    title: str,
    short: str,
    data: str,
    column: str,
    value: str,
    task: str | None,
    support: tuple[int, ...],
    axis: str,
) -> Case:
    """Leave a group out of a shipped recipe's data, learn anew, and keep one of its tasks as the new one."""
    recipe = next(recipe for recipe in RECIPES if recipe.data == data)
    model = find(recipe.model)
    tasks = catalogue.dataset(data, model=model)
    tasks, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    out = np.asarray(tasks.groups(column)) == value
    old, new = tasks.select(~out), tasks.select(out)
    prior = meta_calibrate(model, old, recipe.method, covariates=recipe.covariates, seed=recipe.seed)
    new = new.select([new.names[0] if task is None else task])
    return Case(title, short, prior, old, new, support, axis)


def spread_support(tasks: TaskSet, hours: float = 1.0) -> tuple[int, ...]:
    """Ranks of three readings after one time: at its lowest, middle and highest temperature."""
    frame = tasks.to_frame()
    after = frame.index[np.isclose(frame["time"], 3600.0 * hours)]
    order = frame.loc[after, "temperature"].sort_values().index
    return tuple(sorted(int(order[i]) for i in (0, len(order) // 2, len(order) - 1)))


def against_pymc(case: Case, fit: Calibration, seconds: float, folder: Path) -> None:
    """Print and draw the calibration beside PyMC's posterior of old tasks and the new one's support."""
    old, new = case.prior.batch(case.old), case.prior.batch(case.new)
    support = torch.tensor(case.used)[None]
    joint = joint_posterior(case.prior, old, new, support)
    rows = _parameters(case, fit, joint)
    header = ("parameter", "unit", "learned prior, 90 % interval", "PyMC, 90 % interval")
    figures = _figures(case, fit, joint, seconds)
    _show(header, rows)
    _show(("", "learned prior", "PyMC"), figures)
    print(f"  {joint.posterior.verdict}")
    drawing = _overlay(case, fit, joint)
    sections = [
        Section("Parameters", table(header, rows)),
        Section(
            "Forecast",
            figure(drawing, _caption(case)) + table(("", "learned prior", "PyMC"), figures),
        ),
        Section("The chains", paragraph(joint.posterior.verdict)),
    ]
    text = page(
        f"{case.title}: learned prior and PyMC",
        sections,
        "Both have seen the same old tasks and the same three readings.",
    )
    write_atomically(folder / "against_pymc.html", text.encode())


def _caption(case: Case) -> str:
    """What points of the figure are, and which of them do not judge."""
    beside = int((~case.used & ~case.kept_back).sum())
    such = "one is so" if beside == 1 else f"{beside} are so"
    of_course = f", but {such} by definition, at the start, and does not judge" if beside else ""
    return f"Filled: used to calibrate. Hollow: kept back{of_course}."


def _parameters(case: Case, fit: Calibration, joint: Joint) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in fit.parameters.itertuples():
        draws = joint.posterior.draws[str(row.name)][:, joint.first_new]
        low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95))
        ours = f"{row.estimate:.3g} ({row.lower:.3g} to {row.upper:.3g})"
        rows.append(
            (str(row.name).replace("_", " "), str(row.unit), ours, f"{middle:.3g} ({low:.3g} to {high:.3g})")
        )
    return rows


def _figures(case: Case, fit: Calibration, joint: Joint, seconds: float) -> list[tuple[str, ...]]:
    frame = case.new.to_frame()
    model, back = case.prior.model, case.kept_back
    conditions: dict[str, Any] = {
        name: frame[name].to_numpy()[back] for name in model.inputs if name in frame
    }
    ours = fit.predict(**conditions).isel(task=0)
    theirs = joint.forecast(case.prior, 0, torch.tensor(back))
    measured = frame[model.output.name].to_numpy()[back]
    inside = [
        float(np.mean((measured >= low) & (measured <= high)))
        for low, high in ((ours["lower"].values, ours["upper"].values), theirs.interval())
    ]
    errors = [
        float(np.sqrt(np.mean((middle - measured) ** 2))) for middle in (ours["median"].values, theirs.median)
    ]
    unit = "" if model.output.unit == "1" else f", {model.output.unit}"
    spent = joint.posterior.seconds + joint.posterior.compile_seconds
    return [
        (f"RMSE on {len(measured)} readings kept back{unit}", f"{errors[0]:.3g}", f"{errors[1]:.3g}"),
        ("share of them inside the 90 % interval", f"{100 * inside[0]:.0f} %", f"{100 * inside[1]:.0f} %"),
        ("seconds for the new task", f"{seconds:.3f}", f"{spent:.1f}"),
    ]


def _overlay(case: Case, fit: Calibration, joint: Joint):  # type: ignore[no-untyped-def]
    from metasci.bayes.forecast import predictive

    model, frame = case.prior.model, case.new.to_frame()
    x = frame[case.axis].to_numpy()
    points = np.linspace(x.min(), x.max(), 121)
    conditions: dict[str, Any] = {case.axis: points}
    ours = fit.predict(**conditions).isel(task=0)
    batch = case.prior.batch(case.new)
    inputs = {
        name: torch.tensor(points)[None] if name == case.axis else values[:, :1].expand(-1, len(points))
        for name, values in batch.inputs.items()
    }
    grid = replace(
        batch,
        inputs=inputs,
        output=torch.ones(1, len(points), dtype=torch.float64),
        mask=torch.ones(1, len(points), dtype=torch.bool),
    )
    theirs = predictive(joint.posterior, model, grid, 0)
    bands = [
        Band(
            "learned prior, 90 %", points, ours["median"].values, ours["lower"].values, ours["upper"].values
        ),
        Band("PyMC, 90 %", points, theirs.median, *theirs.interval()),
        Band(
            "prior alone, 90 %",
            points,
            ours["prior"].values,
            ours["prior_lower"].values,
            ours["prior_upper"].values,
            True,
        ),
    ]
    return comparison_figure(
        bands,
        x,
        frame[model.output.name].to_numpy(),
        case.used,
        xlabel=label(case.axis, model.inputs[case.axis].unit),
        ylabel=label(model.output.label or model.output.name, model.output.unit),
        title=case.title,
    )


def crack_case() -> Case:
    """A specimen in the middle of the pack, from its first three readings after the start."""
    return held_out_case(
        "Alloy A, specimen 11", "alloy", "alloy_fatigue", "specimen", "11", None, (1, 2, 3), "cycles"
    )


def patient_case() -> Case:
    """A patient, from samples near 1, 5 and 9 hours."""
    return held_out_case(
        "Theophylline, patient 6", "patient", "theophylline", "subject", "6", None, (2, 5, 8), "time"
    )


def steel_case() -> Case:
    """A steel of a grade left out, from three readings after one hour."""
    case = held_out_case(
        "AISI 4140, a grade left out",
        "steel",
        "steel_tempering",
        "steel",
        "AISI 4140",
        "Grange and Baughman / AISI 4140 / 0.37",
        (),
        "temperature",
    )
    return replace(case, support=spread_support(case.new))


def _show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def main() -> None:
    """Run the three cases and say where the reports lie."""
    torch.set_num_threads(1)
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    began = time.perf_counter()
    print("\n1. A specimen of alloy A, left out: three crack readings, forecast to the end of its test")
    _run(crack_case(), out)
    print("\n2. A theophylline patient, left out: three concentrations")
    _run(patient_case(), out)
    print("\n3. A steel: three hardness readings, and its tempering map")
    steel = steel_case()
    fit, seconds = steel.calibrate()
    fit.save(out / steel.short)
    print(fit.summary())
    kept = steel.new.to_frame()[steel.kept_back]
    forecast = fit.predict(time=kept["time"].to_numpy(), temperature=kept["temperature"].to_numpy()).isel(
        task=0
    )
    measured = kept["hardness"].to_numpy()
    error = float(np.sqrt(np.mean((forecast["median"].values - measured) ** 2)))
    inside = float(np.mean((measured >= forecast["lower"].values) & (measured <= forecast["upper"].values)))
    print(
        f"  RMSE on {len(kept)} readings kept back: {error:.2f} HRC; {100 * inside:.0f} % inside the 90 % interval; "
        f"{seconds:.3f} s"
    )
    save_figure(tempering_map(fit), out / steel.short / "tempering_map.png", dpi=200)
    print(f"\nDone in {time.perf_counter() - began:.0f} s. Reports:")
    for path in sorted(out.glob("*/*.html")):
        print(f"  {path}")
    print(f"  {out / steel.short / 'tempering_map.png'}")


def _run(case: Case, out: Path) -> None:
    fit, seconds = case.calibrate()
    folder = fit.save(out / case.short)
    against_pymc(case, fit, seconds, folder)


if __name__ == "__main__":
    main()
