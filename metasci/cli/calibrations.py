"""Commands about one new task: calibrate, predict, plot; and what to do with it: the next dose, the furnace time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasci.cli.arguments import (
    FileArgument,
    Json,
    Level,
    OutFolder,
    OwnModel,
    PriorArgument,
    Seed,
    check_folder,
    given_file,
    learned_prior,
    print_json,
    quantities,
)
from metasci.errors import InputError
from metasci.words import enumerated

if TYPE_CHECKING:
    import xarray as xr

    from metasci.data.cards import Card

LargestMolecule = Annotated[
    bool,
    typer.Option(
        "--largest-molecule",
        help="Of a salt or a solvate in SMILES take the largest molecule, and say so; else it is refused.",
    ),
]

__all__ = ["app", "average", "calibrate", "furnace", "plot", "predict", "recommend"]


def calibrate(
    prior: PriorArgument,
    file: FileArgument,
    out: OutFolder = None,
    model: OwnModel = None,
    level: Level = 0.9,
    largest_molecule: LargestMolecule = False,
    as_json: Json = False,
) -> None:
    """Calibrate a prior's model to your measurements."""
    still_free = check_folder(out)
    fit = _fit(prior, file, model, largest_molecule)
    result = fit.to_json(level)
    if out is not None:
        still_free()
        replaced = _replaced_in(out, fit)
        fit.save(out)
        if replaced:
            typer.echo(f"warning: {replaced}", err=True)
    if as_json:
        print_json(result)
        return
    typer.echo(fit.summary(level))
    if out is not None:
        typer.echo(f"written to {out}: {', '.join(fit.files)}")


def predict(
    prior: PriorArgument,
    file: FileArgument,
    at: Annotated[
        list[str],
        typer.Option(
            help="A condition, such as 'temperature=200,400 degC'; once for each input. Several values go with each "
            "other's, one by one."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A CSV file for the table.")] = None,
    model: OwnModel = None,
    level: Level = 0.9,
    as_json: Json = False,
) -> None:
    """Calibrate, then predict at new conditions."""
    from metasci.data.frames import csv_bytes
    from metasci.files import write_atomically
    from metasci.fits.equation import EquationFit

    check_folder(out.parent if out else None)
    fit = _fit(prior, file, model)
    asked = quantities(at, fit.tasks.card)
    if not isinstance(fit, EquationFit):
        raise InputError(
            f"'{prior}' predicts members: add rows whose {fit.prior.model.output.name} is empty to the file, and "
            "calibrate."
        )
    predictions = _as_asked(fit.predict(level=level, **asked), at, fit.tasks.card)
    cautions = [*fit.warnings, *filter(None, [predictions.attrs["extrapolates"]])]
    units = {name: predictions[name].attrs.get("units", "") for name in predictions.variables}
    table = predictions.to_dataframe().reset_index()
    table = table.drop(columns=[name for name in table if str(name).startswith("point")])
    conditions = [str(name) for name in predictions.coords if name in table and name != "task"]
    table = table[["task", *conditions, *(name for name in table if name not in ("task", *conditions))]]
    if as_json:
        rows = table.to_dict("records")
        print_json(
            {"prior": prior, "level": level, "units": units, "predictions": rows, "warnings": cautions}
        )
        return
    for caution in cautions:
        typer.echo(f"warning: {caution}", err=True)
    table = table.rename(
        columns={name: f"{name} [{unit}]" for name, unit in units.items() if unit not in ("", "1")}
    )
    if out is not None:
        # twelve digits: the last ones differ from machine to machine, and nobody measures them
        write_atomically(out, csv_bytes(table, digits=12))
        typer.echo(f"written to {out}")
        return
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def plot(
    prior: PriorArgument,
    file: FileArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture: .png, .svg or .pdf.")] = Path(
        "calibration.png"
    ),
    model: OwnModel = None,
    within: Annotated[
        str | None, typer.Option(help="A range to aim at, in the output's unit, such as '10,20'.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="How far to forecast, such as '72 h'.")] = None,
    log: Annotated[bool | None, typer.Option(help="A logarithmic axis of the output, or none.")] = None,
    largest_molecule: LargestMolecule = False,
) -> None:
    """Calibrate, then draw measurements and curve.

    With its 90 % band, and what the prior alone would have said.
    """
    check_folder(out.parent)
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--out: a picture ends in .png, .svg or .pdf, not '{out.name}'.")
    from metasci.report.style import save_figure

    look: dict[str, Any] = {}  # what a family of structures draws has none of these
    look |= {} if within is None else {"within": _range(within)}
    look |= {} if until is None else {"until": until}
    look |= {} if log is None else {"logarithmic": log}
    figure = _fit(prior, file, model, largest_molecule).plot(**look)
    save_figure(figure, out, dpi=200)
    typer.echo(f"written to {out}")


def recommend(
    prior: PriorArgument,
    file: FileArgument,
    target: Annotated[
        str, typer.Option(help="What is to be reached: trough, peak, auc, time_above or concentration.")
    ],
    doses: Annotated[
        str | None,
        typer.Option(
            help="Sizes that can be given, such as '250,500,750 mg' or '10,15 mg/kg'; with --solve, those to round to."
        ),
    ] = None,
    *,
    intervals: Annotated[str, typer.Option(help="Times between doses, such as '8,12,24 h'.")],
    low: Annotated[float, typer.Option(help="Of the target, in the output's unit.")] = 0.0,
    high: Annotated[float, typer.Option(help="Of the target, in the output's unit.")] = float("inf"),
    threshold: Annotated[float | None, typer.Option(help="Of time_above, in the output's unit.")] = None,
    per: Annotated[
        float | None, typer.Option(help="Of an auc: the time it is scaled to, such as 24 (h).")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Of a concentration: how long after the last dose begins, such as '90 min'."),
    ] = None,
    after_infusion: Annotated[
        str | None,
        typer.Option(help="Of a concentration: how long after the infusion ends, such as '30 min'."),
    ] = None,
    solve: Annotated[
        bool, typer.Option(help="Solve for the dose whose median is the middle of the target.")
    ] = False,
    loading: Annotated[bool, typer.Option(help="With --solve: a loading dose, too.")] = False,
    multiple: Annotated[
        str | None, typer.Option(help="With --solve: real sizes are multiples of this, such as '250 mg'.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A picture of the forecast: .png, .svg or .pdf.")
    ] = None,
    number: Annotated[
        int,
        typer.Option(
            min=1,
            help="Doses to be given, after the last of which is judged: a trough with 2 is before the third.",
        ),
    ] = 10,
    start: Annotated[
        str | None,
        typer.Option(help="When the first is given, such as '36 h'; by default when it is due."),
    ] = None,
    duration: Annotated[str, typer.Option(help="Of each infusion, such as '1 h'.")] = "0 h",
    probability: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="With which to reach the target.")
    ] = 0.8,
    model: OwnModel = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find the dose that reaches a target (research only).

    From a patient's levels so far; a recommendation is no prescription.
    """
    from metasci.dosing import Target, recommend as regimen_for
    from metasci.dosing.recommendation import NO_DEVICE

    if doses is None and not solve:
        raise InputError(
            "recommend: give sizes to try, --doses '250,500 mg', or let the dose be solved for, --solve."
        )
    if not solve and (loading or multiple is not None):
        raise InputError(f"recommend: {'--loading' if loading else '--multiple'} goes with --solve.")
    if doses is not None and multiple is not None:
        raise InputError("recommend: real sizes are told by --doses or by --multiple, not by both.")
    if out is not None and out.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--out: a picture ends in .png, .svg or .pdf, not '{out.name}'.")
    fit = _fit(prior, file, model)
    later = _later(fit, at, after_infusion, duration)
    goal = Target(target, low, high, threshold, per, later)
    gaps, sizes = _several(intervals), [] if doses is None else _several(doses)
    shared: dict[str, Any] = {"number": number, "start": start, "duration": duration, "seed": seed}
    solved = [_solved(fit, goal, gap, sizes, multiple, loading, shared) for gap in gaps] if solve else []
    best = None
    if sizes:
        best = regimen_for(fit, goal, doses=sizes, intervals=gaps, probability=probability, **shared)
    if out is not None:
        drawn: dict[str, Any] = {}
        if best is not None:
            drawn = {"dose": best.dose, "interval": best.interval}
        if solved:
            place = max(range(len(gaps)), key=lambda at: solved[at][-1].probability)
            first = (solved[place][0].rounded or None) if loading else None
            drawn = {"dose": solved[place][-1].rounded, "interval": gaps[place], "first": first}
        _draw_regimen(fit, goal, {**drawn, **shared}, out)
    if as_json:
        said: dict[str, Any] = {}
        if solved:
            said["doses"] = [vars(each) for several in solved for each in several]
        if best is not None:
            said |= {"words": best.words, "table": best.table.to_dict("records"), "warnings": best.warnings}
        print_json(said)
        return
    for each in (each for several in solved for each in several):
        typer.echo(each.words)
    if best is None:
        typer.echo(f"  warning: {NO_DEVICE}")
        return
    typer.echo(f"of the sizes that can be given: {best}" if solved else str(best))
    dosed = fit.prior.model
    history = next(iter(dosed.histories.values()))
    units = {"dose": history.unit, "interval": dosed.inputs[history.at].unit}
    measure = goal.measure(dosed.first_output.unit, units["interval"])
    units |= dict.fromkeys(("median", "lower", "upper"), measure)
    headers = {name: f"{name} [{symbol}]" for name, symbol in units.items() if symbol}
    shown = best.table.rename(columns=headers)
    typer.echo(shown.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def _later(fit: Any, at: str | None, after_infusion: str | None, duration: str) -> float | None:
    """How long after the dose begins a concentration is asked for, in the model's unit of time."""
    from metasci.units import magnitude

    if at is not None and after_infusion is not None:
        raise InputError("give --at or --after-infusion, not both.")
    unit = fit.prior.model.inputs["time"].unit
    if after_infusion is not None:
        return magnitude(duration, unit, "--duration") + magnitude(after_infusion, unit, "--after-infusion")
    return None if at is None else magnitude(at, unit, "--at")


def _solved(
    fit: Any,
    goal: Any,
    interval: str,
    sizes: list[str],
    multiple: str | None,
    loading: bool,
    shared: dict[str, Any],
) -> tuple[Any, ...]:
    """The dose that is solved for, after the loading dose if there is to be one."""
    from metasci.dosing import loading_and_maintenance, solve_dose

    asked = {"interval": interval, "multiple": multiple, "sizes": sizes, **shared}
    return loading_and_maintenance(fit, goal, **asked) if loading else (solve_dose(fit, goal, **asked),)


def _draw_regimen(fit: Any, goal: Any, regimen: dict[str, Any], out: Path) -> None:
    from metasci.report.regimens import regimen_figure

    check_folder(out.parent)
    regimen_figure(fit, goal, **regimen).savefig(out, dpi=200)
    typer.echo(f"written to {out}", err=True)


def average(
    file: FileArgument,
    priors: Annotated[
        list[str], typer.Argument(metavar="PRIOR PRIOR ...", help="Two or more priors of one drug.")
    ],
    at: Annotated[
        list[str] | None, typer.Option(help="Where to forecast, such as 'time=40,48 h'; once for each input.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="Weights: 'marginal likelihood' or 'prediction'.")
    ] = "marginal likelihood",
    level: Level = 0.9,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Weigh several models of one drug by a patient's levels.

    And forecast by all of them together; a warning says where none fits.
    """
    from metasci.priors.averaging import average as weighed

    with given_file(file) as path:
        averaged = weighed([learned_prior(name) for name in priors], path, by=by, seed=seed)
    card = averaged.fits[0].tasks.card
    asked = quantities(at or [], card)
    forecast = None
    if asked:
        predictions = _as_asked(averaged.predict(level=level, seed=seed, **asked), at or [], card)
        names = [*asked, "median", "lower", "upper", "curve_lower", "curve_upper"]
        forecast = predictions[names].drop_vars(["model", "weight"], errors="ignore").to_dataframe()[names]
    if as_json:
        rows = {} if forecast is None else {"level": level, "forecast": forecast.to_dict("records")}
        print_json({**averaged.to_json(), **rows})
        return
    typer.echo(averaged.summary())
    if forecast is not None:
        typer.echo(forecast.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def furnace(
    prior: PriorArgument,
    file: FileArgument,
    temperature: Annotated[str, typer.Option(help="Of the furnace, such as '600 degC'.")],
    at_least: Annotated[
        str | None, typer.Option(help="What the output is to reach, such as '30 HRC'.")
    ] = None,
    at_most: Annotated[
        str | None, typer.Option(help="What the output is not to exceed, such as '40 HRC'.")
    ] = None,
    probability: Annotated[float, typer.Option(min=0.0, max=1.0, help="With which it is to hold.")] = 0.9,
    model: OwnModel = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find the furnace time that reaches a hardness."""
    from metasci.heat_treatment import furnace_time

    if at_least is None and at_most is None:
        raise InputError("say what is required: --at-least '30 HRC', --at-most '40 HRC', or both.")
    fit = _fit(prior, file, model)
    best = furnace_time(
        fit, temperature, at_least=at_least, at_most=at_most, probability=probability, seed=seed
    )
    if as_json:
        print_json({"words": best.words, "table": best.table.to_dict("records"), "warnings": best.warnings})
        return
    typer.echo(str(best))


def app(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to serve; 0 for any that is free.")
    ] = 8000,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Calibrate in the browser, on this machine only.

    For those who do not write code; it needs the extra 'app'.
    """
    from metasci.app.serving import run

    run(port, browser)


def _replaced_in(out: Path, fit: Any) -> str:
    """What is to be said where a folder holds another calibration, which this one takes the place of."""
    import pandas as pd

    before = out / "predictions.csv"
    if not before.is_file() or before.read_bytes() == fit.contents()[before.name]:
        return ""
    try:
        tasks = enumerated(list(pd.read_csv(before, usecols=["task"], dtype=str)["task"].unique()), most=3)
    except (ValueError, OSError):  # a file of somebody else's
        return ""
    return f"{out} held another calibration, of {tasks}, which this one has replaced."


def _as_asked(predictions: xr.Dataset, asked: Sequence[str], card: Card) -> xr.Dataset:
    """The conditions in the units in which they were asked for; codes as the texts that they stand for."""
    import numpy as np

    from metasci.units import convert

    for column in card.columns:
        if column.codes and column.name in predictions.coords:
            coordinate = predictions[column.name]
            texts = {code: text for text, code in column.codes.items()}
            said = [texts.get(float(number), f"{number:g}") for number in coordinate.values.ravel()]
            shaped = np.array(said, object).reshape(coordinate.shape)
            predictions = predictions.assign_coords(
                {column.name: (coordinate.dims, shaped, coordinate.attrs)}
            )
    for text in asked:
        name, _, value = (part.strip() for part in text.partition("="))
        _, _, unit = value.partition(" ")
        if name in predictions.coords and unit:
            coordinate = predictions[name]
            numbers = convert(coordinate.values, coordinate.attrs["units"], unit.strip(), name)
            # twelve digits: what a change of unit adds in the last places was not asked for
            rounded = [float(f"{number:.12g}") for number in numbers.ravel()]
            values = np.reshape(rounded, coordinate.shape)
            predictions = predictions.assign_coords(
                {name: (coordinate.dims, values, {"units": unit.strip()})}
            )
    return predictions


def _fit(prior: str, file: str, model: str | None, largest_molecule: bool = False) -> Any:
    learned = learned_prior(prior, model)
    if largest_molecule:
        from metasci.learned.families import LearnedMembers

        if not isinstance(learned, LearnedMembers):
            raise InputError(f"--largest-molecule: '{prior}' is of no structures that are written as SMILES.")
        learned = learned.of_largest_molecules()
    with given_file(file) as path:
        return learned.calibrate(path)


def _range(text: str) -> tuple[float, float]:
    """Two numbers, ``10,20``."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--within takes two numbers, such as '10,20', not '{text}'.") from None
    if not low < high:
        raise InputError(f"--within: {low:g} does not lie below {high:g}.")
    return low, high


def _several(text: str) -> list[str]:
    """Numbers and their unit, ``250,500 mg``, each with the unit."""
    numbers, _, symbol = text.strip().partition(" ")
    return [f"{number} {symbol}".strip() for number in numbers.split(",")]
