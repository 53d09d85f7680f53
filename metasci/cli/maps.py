"""A steel's tempering map: hardness over time and temperature, of its readings or of its composition alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasci.cli.arguments import (
    OwnModel,
    PriorArgument,
    check_folder,
    given_file,
    learned_prior,
    quantities,
)
from metasci.cli.diagrams import contents_of
from metasci.cli.voice import remark
from metasci.elements import element_of
from metasci.errors import InputError
from metasci.quantities import in_unit
from metasci.words import enumerated

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["map_tempering"]


def map_tempering(
    prior: PriorArgument,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="Your measurements (CSV), or - for standard input; without them the map is of the composition alone.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture: .png, .svg or .pdf.")] = Path(
        "map.png"
    ),
    composition: Annotated[
        str | None,
        typer.Option(
            help="Of a steel without measurements: weight per cent, 'carbon=0.4,Mn=0.85', or a grade, 'AISI 4140'."
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Which of several tasks in the file.")] = None,
    times: Annotated[str | None, typer.Option(help="From and to, such as '0.1,100 h'.")] = None,
    temperatures: Annotated[str | None, typer.Option(help="From and to, such as '200,650 degC'.")] = None,
    model: OwnModel = None,
) -> None:
    """Draw a tempering map: hardness over time and temperature.

    With the width of its 90 % interval and, of a law of tempering, Hollomon and Jaffe's parameter on the right. Hatched
    is what lies off the scale of hardness, or above Ac1, where austenite forms.
    """
    from metasci.report import tempering_map
    from metasci.report.style import save_figure

    check_folder(out.parent)
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--out: a picture ends in .png, .svg or .pdf, not '{out.name}'.")
    shortest, longest = (None, None) if times is None else _two(times, "times", "s")
    heat = None if temperatures is None else _two(temperatures, "temperatures", "K")
    if (file is None) == (composition is None):
        raise InputError(
            "give either a file with measurements or --composition, such as 'carbon=0.4,Mn=0.85'."
        )
    learned = learned_prior(prior, model)
    unknown: list[str] = []
    if composition is not None:
        fit, unknown = _of_composition(learned, composition)
    else:
        with given_file(str(file)) as path:
            fit = learned.calibrate(path)
    place = _position(fit, task)
    figure = tempering_map(fit, place, shortest=shortest, longest=longest, temperatures=heat)
    save_figure(figure, out, dpi=200)
    if unknown:
        remark(f"the prior '{learned.name}' knows nothing of {enumerated(unknown)}")
    for warning in fit.warnings:
        typer.echo(f"warning: {warning}", err=True)
    hatched = figure.get_supxlabel()
    typer.echo("; ".join(filter(None, [f"written to {out}", hatched])))


def _two(text: str, option: str, unit: str) -> tuple[float, float]:
    """Two numbers and their unit, ``0.1,100 h``, in another."""
    (asked,) = quantities([f"{option}={text}"]).values()
    if not hasattr(asked, "to") or len(asked) != 2:
        raise InputError(f"--{option} takes two numbers and their unit, not '{text}'.")
    low, high = (float(value) for value in in_unit(asked, unit, f"--{option}"))
    if not low < high:
        raise InputError(f"--{option}: the first of '{text}' does not lie below the second.")
    return low, high


def _of_composition(learned: Any, composition: str) -> tuple[EquationFit, list[str]]:
    """What is expected of a steel of which only contents are known, and those that the prior knows nothing of."""
    from metasci.priors.equation import Prior

    if not isinstance(learned, Prior):
        raise InputError(f"a map is of an equation of time and temperature, which '{learned.name}' is not.")
    contents = {element_of(name) or name: value for name, value in contents_of(composition).items()}
    known = learned.covariates.names
    told = {name: f"{content:g} wt%" for name, content in contents.items() if name in known}
    if not told:
        raise InputError(
            f"--composition: the prior '{learned.name}' knows none of what '{composition}' tells."
        )
    fit = learned.typical(**told)
    unknown = [name for name in contents if name not in known]
    return replace(fit, batch=replace(fit.batch, names=(composition,))), unknown


def _position(fit: EquationFit, task: str | None) -> int:
    """Of the task that is asked for, by its name, or of the only one."""
    names = list(fit.batch.names)
    if task is None and len(names) == 1:
        return 0
    if task not in names:
        asked = "there are several tasks" if task is None else f"there is no task '{task}'"
        raise InputError(f"--task: {asked}; say one of {enumerated(names)}.")
    return names.index(task)
