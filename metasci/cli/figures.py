"""How good a prior is, as its card says: the figures on tasks left out, in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["held_out_figures"]

_ERRORS = re.compile(r"(?:RMSE|MAE)(?:, (?P<unit>.+))?")
_COVERAGE = "coverage of 90 % intervals"


def held_out_figures(card: Path) -> str:
    """Error and coverage of the prior by the number of measurements; empty where the card has no such table.

    Parameters
    ----------
    card : path
        The ``CARD.md`` of a prior, with a table of columns ``method``, ``shots``, an error and the coverage.

    Examples
    --------
    >>> from metasci import catalogue
    >>> held_out_figures(catalogue.shipped("models") / "theophylline" / "CARD.md")
    'RMSE on tasks left out, from 0 / 1 / 3 measurements: 1.66 / 1.65 / 0.893 mg/L; 90 % intervals hold 94 / 91 / 90 %'
    """
    text = card.read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    header = next((row for row in rows if row[:2] == ["method", "shots"] and _COVERAGE in row), None)
    if header is None:
        return ""
    place = next(at for at, name in enumerate(header) if _ERRORS.fullmatch(name))
    matched = _ERRORS.fullmatch(header[place])
    stated = re.search(r"RMSE and MAE in ([^,\n]+),", text)
    unit = (matched["unit"] if matched else None) or (stated[1] if stated else "")
    own = [row for row in rows[rows.index(header) :] if row[0] == "prior" and len(row) == len(header)]
    shots = " / ".join(row[1] for row in own)
    errors = " / ".join(row[place].partition(" ")[0] for row in own)
    held = " / ".join(f"{100 * float(row[header.index(_COVERAGE)]):.0f}" for row in own)
    kind = header[place].partition(",")[0]
    shown = f" {unit}" if unit not in ("", "1") else ""
    return (
        f"{kind} on tasks left out, from {shots} measurements: {errors}{shown}; 90 % intervals hold {held} %"
    )
