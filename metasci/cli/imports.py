"""The command that takes models from other programs' files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from metasci.cli.arguments import check_folder
from metasci.errors import InputError

__all__ = ["import_model"]


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
