"""Commands about one new task: calibrate, predict, plot; and what to do with it: the next dose, the furnace time."""

from __future__ import annotations

from collections.abc import Mapping
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

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["app", "calibrate", "furnace", "plot", "predict", "recommend"]


def calibrate(
    prior: PriorArgument,
    file: FileArgument,
    out: OutFolder = None,
    model: OwnModel = None,
    level: Level = 0.9,
    as_json: Json = False,
) -> None:
    """Calibrate a prior's model to your measurements."""
    check_folder(out)
    fit = _fit(prior, file, model)
    result = fit.to_json(level)
    if out is not None:
        fit.save(out)
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
    from metasci.files import write_atomically

    check_folder(out.parent if out else None)
    fit = _fit(prior, file, model)
    asked = quantities(at)
    predictions = _as_asked(fit.predict(level=level, **asked), asked)
    units = {name: predictions[name].attrs.get("units", "") for name in predictions.variables}
    table = predictions.to_dataframe().reset_index()
    table = table.drop(columns=[name for name in table if str(name).startswith("point")])
    if as_json:
        print_json({"prior": prior, "level": level, "units": units, "predictions": table.to_dict("records")})
        return
    table = table.rename(
        columns={name: f"{name} [{unit}]" for name, unit in units.items() if unit not in ("", "1")}
    )
    if out is not None:
        write_atomically(out, table.to_csv(index=False).encode())
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
) -> None:
    """Calibrate, then draw measurements and curve.

    With its 90 % band, and what the prior alone would have said.
    """
    check_folder(out.parent)
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--out: a picture ends in .png, .svg or .pdf, not '{out.name}'.")
    figure = _fit(prior, file, model).plot()
    figure.savefig(out, dpi=200)
    typer.echo(f"written to {out}")


def recommend(
    prior: PriorArgument,
    file: FileArgument,
    target: Annotated[str, typer.Option(help="What is to be reached: trough, peak, auc or time_above.")],
    doses: Annotated[str, typer.Option(help="Sizes that can be given, such as '250,500,750 mg'.")],
    intervals: Annotated[str, typer.Option(help="Times between doses, such as '8,12,24 h'.")],
    low: Annotated[float, typer.Option(help="Of the target, in the output's unit.")] = 0.0,
    high: Annotated[float, typer.Option(help="Of the target, in the output's unit.")] = float("inf"),
    threshold: Annotated[float | None, typer.Option(help="Of time_above, in the output's unit.")] = None,
    per: Annotated[
        float | None, typer.Option(help="Of an auc: the time it is scaled to, such as 24 (h).")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Doses to be given.")] = 10,
    duration: Annotated[str, typer.Option(help="Of each infusion, such as '1 h'.")] = "0 h",
    probability: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="With which to reach the target.")
    ] = 0.8,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find the dose that reaches a target (research only).

    From a patient's levels so far; a recommendation is no prescription.
    """
    from metasci.dosing import Target, recommend as regimen_for

    fit = _fit(prior, file, None)
    best = regimen_for(
        fit, Target(target, low, high, threshold, per), doses=_several(doses), intervals=_several(intervals),
        number=number, duration=duration, probability=probability, seed=seed,
    )  # fmt: skip
    if as_json:
        print_json({"words": best.words, "table": best.table.to_dict("records"), "warnings": best.warnings})
        return
    typer.echo(str(best))
    typer.echo(best.table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


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


def _as_asked(predictions: xr.Dataset, asked: Mapping[str, Any]) -> xr.Dataset:
    """The conditions in the units in which they were asked for."""
    from metasci.units import convert

    for name, value in asked.items():
        if name in predictions.coords and hasattr(value, "units"):
            unit, coordinate = f"{value.units:~}", predictions[name]
            numbers = convert(coordinate.values, coordinate.attrs["units"], unit, name)
            predictions = predictions.assign_coords({name: (coordinate.dims, numbers, {"units": unit})})
    return predictions


def _fit(prior: str, file: str, model: str | None) -> Any:
    with given_file(file) as path:
        return learned_prior(prior, model).calibrate(path)


def _several(text: str) -> list[str]:
    """Numbers and their unit, ``250,500 mg``, each with the unit."""
    numbers, _, symbol = text.strip().partition(" ")
    return [f"{number} {symbol}".strip() for number in numbers.split(",")]
