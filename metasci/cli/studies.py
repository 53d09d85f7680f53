"""The documented cases: one list of their names, and the command that runs them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from metasci.cli.arguments import check_folder, choice
from metasci.extras import require

__all__ = ["STUDIES", "study"]

STUDIES: dict[str, tuple[str, ...]] = {
    "alloy-fatigue": (),
    "assays": ("materials",),
    "attacked-drawings": (),
    "avrami": (),
    "batch-statistics": (),
    "biased-supports": ("materials",),
    "broken-sensors": (),
    "continual": (),
    "continual-drawings": (),
    "continual-propofol": (),
    "crystal-potential": ("materials",),
    "delayed-reward": (),
    "drifting-sensors": (),
    "fairness": ("studies",),
    "families": ("materials",),
    "feature-reuse": (),
    "federated": ("studies",),
    "federated-sites": ("studies",),
    "few-bits": (),
    "graph-networks": ("materials",),
    "high-entropy-alloys": ("materials",),
    "hiv": (),
    "hospitals": ("studies",),
    "hypergradients": ("studies",),
    "learned-prior-against-posterior": ("bayes",),
    "markets": ("markets",),
    "omniglot": (),
    "phenobarbital": (),
    "physics-instinct": (),
    "private-sites": ("federated", "studies"),
    "propofol": (),
    "sepsis": ("rewards",),
    "solvation": ("materials",),
    "steel-tempering": ("studies",),
    "unlike-sites": ("studies",),
    "warfarin": ("studies",),
}
"""What they are called, with the extras that each needs; a case is the module of its name in `metasci.studies`."""


def _known(name: str) -> str:
    return choice(name, tuple(STUDIES))


def study(
    name: Annotated[
        str,
        typer.Argument(parser=_known, metavar="NAME", help=f"Which case to run: {', '.join(STUDIES)}."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for figures and tables.")] = Path("study"),
) -> None:
    """Run a documented case and print its tables."""
    check_folder(out)
    for extra in STUDIES[name]:
        require(extra, f"the study {name}")
    importlib.import_module(f"metasci.studies.{name.replace('-', '_')}").main(out)
    typer.echo(f"figures are in {out}")
