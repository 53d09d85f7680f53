"""Units of what a control stream computes, which it does not name: as given, as the data have them, or as usual."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metasci.expressions import Statement

__all__ = ["USUAL", "own_units", "scaled_by_volume", "stated_units", "volume_of"]

USUAL = {"TIME": "h", "AMT": "mg", "DV": "mg/L"}
# what a clinician looks for among all that a control stream computes
_PARAMETERS = re.compile(
    r"^(CL[A-Z0-9]{0,2}|V[CPM0-9]?[0-9]?|VSS|VMAX|Q[0-9]?|KA|KM|KEO|KE0|MTT|KIN|KOUT|[EI]C50|[EI]MAX|F[0-9]|ALAG[0-9]|D[0-9])$"
)
_FLOW, _VOLUME, _RATE, _TIME = r"^(CL|Q)", r"^V(?!MAX|M$)", r"^(KA|KE|KOUT)", r"^(ALAG|D[0-9]|MTT)"
_LEVEL, _SPEED = r"^(KM|[EI]C50)$", r"^(VM|VMAX)$"


def stated_units(stream: Any, units: Mapping[str, str]) -> dict[str, str]:
    """Units that are given, else those of pharmpy's description of the data, else the usual ones."""
    described = {
        column.name: str(column.variables[0].properties["unit"])
        for column in stream.datainfo
        if "unit" in column.variables[0].properties
    }
    return {**USUAL, **described, **units}


def scaled_by_volume(statements: Sequence[Statement]) -> bool:
    """Whether amounts are divided by a volume as it is, so that its unit follows from those of amount and output."""
    scales = [formula for name, formula in statements if re.match(r"^S[0-9C]$", name)]
    return all(isinstance(formula, str) for formula in scales)


def volume_of(amount: str, output: str) -> str:
    """The unit of a volume, where an output is an amount in one; else nothing."""
    above, _, below = output.partition("/")
    return below if above == amount else ""


def own_units(statements: Sequence[Statement], stated: Mapping[str, str], volume: str) -> dict[str, str]:
    """What is reported of a patient, with units where they follow."""
    own: dict[str, str] = {}
    for name, formula in statements:
        if not _PARAMETERS.match(name) or (isinstance(formula, str) and formula in own):
            continue
        time = stated["TIME"]
        usual = {_RATE: f"1/{time}", _TIME: time}
        if volume:  # else amounts are divided by something whose unit is not known
            usual |= {
                _FLOW: f"{volume}/{time}",
                _VOLUME: volume,
                _LEVEL: stated["DV"],
                _SPEED: f"{stated['AMT']}/{time}",
            }
        own[name] = stated.get(name) or next((u for form, u in usual.items() if re.match(form, name)), "1")
    return own
