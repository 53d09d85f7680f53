"""The list of priors to choose from, read without the libraries that calibrate: the page shows it while they load."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from metasci.catalogue import names, published_source, shipped

__all__ = ["FACES", "Choice", "choice_of", "choices"]

FACES = {
    "alloy": "Alloys",
    "patient": "Patients (research only)",
    "family": "Families of materials",
    "outcome": "Yes or no, classes, counts, grades and times (research only)",
}
"""The ways in which a fit is shown, and what the list of priors calls them."""


@dataclass(frozen=True)
class Choice:
    """A prior in the list."""

    name: str
    title: str
    face: str


@lru_cache(maxsize=1)
def choices() -> tuple[Choice, ...]:
    """All priors that ship, those that were learned first; their tensors are not read.

    Not those of crystals, which are files: a table that is typed or pasted holds none.

    Examples
    --------
    >>> {each.face for each in choices()} == set(FACES)
    True
    """
    priors = []
    for name in names("models"):
        description = json.loads((shipped("models") / name / "prior.json").read_text(encoding="utf-8"))
        if any(column.get("kind") == "crystal" for column in description["data"].get("columns", [])):
            continue
        title = published_source(name) or str(description["data"].get("title", ""))
        priors.append(Choice(name, title, _face(description)))
    return tuple(
        sorted(
            priors,
            key=lambda each: (list(FACES).index(each.face), bool(published_source(each.name)), each.name),
        )
    )


def choice_of(name: str) -> Choice:
    """The choice of a name; the first one for a name that is none."""
    return next((each for each in choices() if each.name == name), choices()[0])


def _face(description: dict[str, Any]) -> str:
    model = str(
        description["model"]["name"] if isinstance(description["model"], dict) else description["model"]
    )
    faces = {"patients": "patient", "kinetics": "alloy", "responses": "outcome"}
    return faces.get(model.partition(".")[0], "family")
