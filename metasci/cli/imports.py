"""The commands that take models from other programs' files, and give calibrators to other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from metasci.cli.arguments import PriorArgument, check_folder, learned_prior
from metasci.errors import InputError
from metasci.extras import require

__all__ = ["export", "import_model"]


def import_model(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A NONMEM control stream, or a PEtab problem (.yaml).")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the prior; the file's name by default.")
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(help="Of a column of a control stream, such as WT=kg or DV=ng/mL; once for each."),
    ] = None,
    changing: Annotated[
        list[str] | None, typer.Option(help="A covariate that changes within a patient; once for each.")
    ] = None,
) -> None:
    """Import a NONMEM control stream or a PEtab problem.

    With its estimates it becomes a prior, in a folder like that of any other, for `metasci calibrate FOLDER FILE`.
    """
    from metasci.files import write_atomically
    from metasci.priors.equation import Prior

    folder = out or Path(file.stem)
    check_folder(folder)
    if folder.exists():
        raise InputError(f"{folder} is there already; say with --out where the prior is to be written.")
    if not file.is_file():
        raise InputError(f"there is no file '{file}'.")
    if file.suffix in (".yaml", ".yml"):
        prior = Prior.from_petab(file)
    else:
        prior = Prior.from_nonmem(file, units=_units(unit or ()), changing=changing)
    prior.save(folder)
    write_atomically(folder / file.name, file.read_bytes())
    typer.echo(f"written to {folder}: {prior!r}")
    for remark in prior.training.get("published", {}).get("remarks", ()):
        typer.echo(f"  {remark}")


def export(
    prior: PriorArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write, such as calibrator.onnx.")],
    readings: Annotated[int, typer.Option(help="Measurements it takes at most.")] = 12,
    queries: Annotated[int, typer.Option(help="Conditions at which it predicts, at most.")] = 24,
    events: Annotated[int, typer.Option(help="Doses it takes at most.")] = 12,
    steps: Annotated[int, typer.Option(help="Steps to the estimate; it always takes all of them.")] = 6,
    precision: Annotated[str, typer.Option(help="double, single or half.")] = "double",
) -> None:
    """Write a prior's calibrator as an ONNX program.

    Where FILE ends in .pte it is a program of ExecuTorch's.
    """
    require("executorch" if file.suffix == ".pte" else "export", "an exported calibrator")
    learned = learned_prior(prior)
    if not hasattr(learned, "export"):
        raise InputError(f"'{prior}' is no prior of an equation, and only those are exported as programs.")
    written = learned.export(
        file, readings=readings, queries=queries, events=events, steps=steps, precision=precision
    )
    typer.echo(f"written to {written}: {written.stat().st_size / 1000:.0f} kB")


def _units(texts: Sequence[str]) -> dict[str, str]:
    """Units as they are typed, ``WT=kg``, by column.

    Examples
    --------
    >>> _units(["WT=kg", "DV=ng/mL"])
    {'WT': 'kg', 'DV': 'ng/mL'}
    """
    unit_of = {}
    for text in texts:
        name, equals, symbol = text.partition("=")
        if not (name and equals and symbol):
            raise InputError(f"--unit takes a column and its unit, such as WT=kg, not '{text}'.")
        unit_of[name.strip()] = symbol.strip()
    return unit_of
