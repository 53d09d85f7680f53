"""The command that asks when: a crack is of a length, a concentration below an effect."""

from __future__ import annotations

from typing import Annotated

import typer

from metasci.cli.arguments import (
    FileArgument,
    Json,
    Level,
    OwnModel,
    PriorArgument,
    given_file,
    learned_prior,
    print_json,
    quantities,
)
from metasci.errors import InputError

__all__ = ["when"]


def when(
    prior: PriorArgument,
    file: FileArgument,
    reaches: Annotated[str, typer.Option(help="The value of the output, such as '10 mg/L'.")],
    along: Annotated[str, typer.Option(help="The input to follow, such as time.")] = "time",
    start: Annotated[str | None, typer.Option(help="From where on to look, such as '2 h'.")] = None,
    until: Annotated[str | None, typer.Option(help="Until where to look, such as '72 h'.")] = None,
    at: Annotated[
        list[str] | None, typer.Option(help="Another condition, such as 'temperature=500 degC'.")
    ] = None,
    model: OwnModel = None,
    level: Level = 0.9,
    as_json: Json = False,
) -> None:
    """Calibrate, then say when the curve reaches a value."""
    from metasci.fits.equation import EquationFit

    with given_file(file) as path:
        fit = learned_prior(prior, model).calibrate(path)
    conditions = quantities(at or [], fit.tasks.card)
    if not isinstance(fit, EquationFit):
        raise InputError(f"'{prior}' predicts members, which have no curve to follow.")
    found = fit.when(reaches, along, start=start, until=until, level=level, **conditions)
    cautions = [*fit.warnings, *filter(None, [found.extrapolates])]
    if as_json:
        rows = found.table.astype(object).where(found.table.notna(), None).to_dict("records")
        about = {
            "along": along,
            "unit": found.unit,
            "output": found.output,
            "output_unit": found.output_unit,
            "value": found.value,
            "start": found.start,
            "until": found.until,
        }
        print_json({"prior": prior, "level": level, **about, "when": rows, "warnings": cautions})
        return
    typer.echo(str(found))
    for caution in cautions:
        typer.echo(f"warning: {caution}", err=True)
