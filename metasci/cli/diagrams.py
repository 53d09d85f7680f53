"""Diagrams of a steel's transformations from the times or fractions that were measured: TTT, CCT, Jominy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasci.cli.arguments import (
    FileArgument,
    Json,
    Level,
    OwnModel,
    PriorArgument,
    Seed,
    check_folder,
    given_file,
)
from metasci.errors import InputError
from metasci.quantities import in_unit
from metasci.words import enumerated

if TYPE_CHECKING:
    from metasci.heat_treatment import Martensite, Transformations

__all__ = ["contents_of", "diagram"]

_RATES = "100,60,30,20,10,6,3,2,1,0.6,0.3,0.2,0.1 K/s"
_SIXTEENTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32)


def diagram(
    prior: PriorArgument,
    file: FileArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and tables.")] = Path(
        "diagram"
    ),
    martensite_start: Annotated[str | None, typer.Option(help="Ms, such as '320 degC'.")] = None,
    martensite_start_sd: Annotated[
        str, typer.Option(help="The standard deviation of Ms, such as '10 K'.")
    ] = "0 K",
    composition: Annotated[
        str | None,
        typer.Option(
            help="Weight per cent, 'carbon=0.4,Mn=0.85', or a grade, 'AISI 4140': for Ms and the hardness of "
            "what forms, where they are not given."
        ),
    ] = None,
    largest: Annotated[
        str | None, typer.Option(help="Shares that products come to at most, such as 'ferrite=0.4'.")
    ] = None,
    rates: Annotated[str, typer.Option(help="Cooling rates, fastest first or last.")] = _RATES,
    start: Annotated[str, typer.Option(help="Where cooling begins.")] = "850 degC",
    hardness: Annotated[
        str | None, typer.Option(help="HV of what forms, such as 'martensite=640,bainite=345,pearlite=240'.")
    ] = None,
    model: OwnModel = None,
    level: Level = 0.9,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw TTT and CCT diagrams, and hardness along a Jominy bar.

    From times to fractions at temperatures; each product, such as bainite, has its own curve.
    """
    from metasci.cli.arguments import learned_prior, print_json, quantities
    from metasci.heat_treatment import by_product, constant_rate, transformations

    check_folder(out)
    contents = contents_of(composition)
    martensite = _martensite(martensite_start, martensite_start_sd, contents)
    shares = _numbers(largest, "--largest")
    told, lacking = _hardness(_numbers(hardness, "--hardness"), contents)
    asked = quantities([f"rates={rates}"])["rates"]
    speeds = in_unit(asked, "K/s", "--rates")
    curves = [constant_rate(float(speed), start) for speed in sorted(speeds, reverse=True)]
    with given_file(file) as path:
        fit = by_product(learned_prior(prior, model)).calibrate(path)
    steel = transformations(fit, martensite=martensite, largest=shares, seed=seed)
    cooled = steel.cool(curves)
    tables = {"shares": cooled.shares(level), "cct": cooled.times(level)}
    figures = {"cct": _cct(cooled, martensite, level), **_ttt(steel, fit, martensite, level, tables)}
    if told is not None:
        tables["hardness"] = cooled.hardness(told, level=level)
        figures |= _jominy(steel, told, start, level, tables)
    written = _written(out, tables, figures)
    if as_json:
        print_json({name: table.to_dict("records") for name, table in tables.items()})
        return
    typer.echo(fit.summary(level))
    typer.echo(_said(tables, martensite, level))
    if lacking:
        typer.echo(f"warning: no hardness is told: {lacking}", err=True)
    typer.echo(f"written to {out}: {', '.join(written)}")


def _martensite(start: str | None, sd: str, contents: dict[str, float]) -> Martensite | None:
    from metasci.heat_treatment import Martensite

    if start is not None:
        return Martensite.at(start, sd)
    return Martensite.of_composition(contents) if contents else None


def _hardness(told: dict[str, float], contents: dict[str, float]) -> tuple[Any, str]:
    """Of what forms, by what is said or else by composition, and why there is none where a composition is told."""
    from metasci.heat_treatment import hardness_by_composition

    if told or not contents:
        return told or None, ""
    try:
        return hardness_by_composition(contents), ""
    except InputError as error:  # the diagrams need none
        return None, str(error)


def _cct(cooled: Any, martensite: Martensite | None, level: float) -> Any:
    from metasci.report import cooling_figure

    return cooling_figure(cooled, martensite=martensite, level=level)


def _ttt(
    steel: Transformations, fit: Any, martensite: Martensite | None, level: float, tables: dict[str, Any]
) -> dict[str, Any]:
    """The TTT diagram over the temperatures at which anything forms."""
    import numpy as np
    import pandas as pd

    from metasci.report import products_figure

    highest = float(np.quantile(steel.parameters["equilibrium_temperature"], 0.95, axis=0).max()) + 10.0
    seen = fit.batch.inputs["temperature"].expand(fit.batch.mask.shape)[fit.batch.mask].numpy()
    lowest = min(float(seen.min()) - 30.0, martensite.start if martensite else np.inf)
    found = steel.diagram(np.linspace(lowest, highest, 160), level=level)
    table = found.to_dataframe().reset_index()
    table["temperature [degC]"] = table.pop("temperature") - 273.15
    tables["ttt"] = table.rename(columns={name: f"{name} [s]" for name in ("lower", "median", "upper")})
    measured = None
    if fit.prior.model.output.unit == "s":
        product = np.repeat(fit.batch.names, fit.batch.mask.sum(1).numpy())
        times = fit.batch.output[fit.batch.mask].numpy()
        measured = pd.DataFrame({"product": product, "temperature": seen, "time": times})
    return {"ttt": products_figure(found, martensite=martensite, measured=measured)}


def _jominy(
    steel: Transformations, told: Any, start: str, level: float, tables: dict[str, Any]
) -> dict[str, Any]:
    import numpy as np

    from metasci.heat_treatment import end_quench
    from metasci.report import jominy_figure

    distance = np.array([25.4 / 16.0 * at for at in _SIXTEENTHS])
    along = steel.cool([end_quench(float(at), start) for at in distance]).hardness(told, level=level)
    along.insert(0, "distance [mm]", distance)
    tables["jominy"] = along
    return {"jominy": jominy_figure(distance, along, simulated=steel.simulated)}


def _written(out: Path, tables: dict[str, Any], figures: dict[str, Any]) -> list[str]:
    from metasci.data.frames import csv_bytes
    from metasci.files import write_atomically
    from metasci.report.style import save_figure

    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_atomically(out / f"{name}.csv", csv_bytes(table, digits=6))
    for name, figure in figures.items():
        save_figure(figure, out / f"{name}.png", dpi=150)
    return sorted([*(f"{name}.csv" for name in tables), *(f"{name}.png" for name in figures)])


def _said(tables: dict[str, Any], martensite: Martensite | None, level: float) -> str:
    """Shares after every rate, and the hardness, as a table to be read."""
    shares = tables["shares"].pivot(index="cooling", columns="constituent", values="median")
    order = list(dict.fromkeys(tables["shares"]["cooling"]))
    named = [name for name in dict.fromkeys(tables["shares"]["constituent"]) if shares[name].max() > 5e-3]
    shown = (100.0 * shares.loc[order, named]).round(0).astype(int).add_suffix(" %")
    if "hardness" in tables:
        hard = tables["hardness"].set_index("cooling")
        shown["HV"] = hard["hardness [HV]"].round(0).astype(int)
        shown[f"{100 * level:.0f} %"] = [
            f"{low:.0f} to {high:.0f}"
            for low, high in zip(hard["lower [HV]"], hard["upper [HV]"], strict=True)
        ]
    shown.index.name, shown.columns.name = None, None
    lines = [] if martensite is None else [_said_of(martensite)]
    return "\n".join([*lines, shown.to_string()])


def _said_of(martensite: Martensite) -> str:
    scatter = f", give or take {1.645 * martensite.sd:.0f} K (90 %)" if martensite.sd else ""
    source = f"; {martensite.source}" if martensite.source else ""
    said = f"Ms {martensite.start - 273.15:.0f} °C{scatter}{source}"
    if martensite.outside:
        said += (
            f"\n  warning: that regression was not made for {enumerated(martensite.outside)}; "
            "give Ms yourself (--martensite-start)."
        )
    return said


def contents_of(composition: str | None) -> dict[str, float]:
    """Contents by the elements' names, also of a grade."""
    from metasci.data.grades import contents_of_grade, grade_named, near_grades

    if composition is None or "=" in composition:
        return _numbers(composition, "--composition")
    if grade_named(composition) is None and not near_grades(
        composition
    ):  # meant as an element's, with no number
        return _numbers(composition, "--composition")
    return contents_of_grade(composition, "--composition")


def _numbers(text: str | None, option: str) -> dict[str, float]:
    """Names and numbers, ``carbon=0.4,manganese=0.85``."""
    if text is None:
        return {}
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            if not equals:
                raise ValueError
            found[name.strip()] = float(value)
        except ValueError:
            raise InputError(
                f"{option} takes names and numbers, such as 'carbon=0.4,manganese=0.85', not '{text}'."
            ) from None
    return found
