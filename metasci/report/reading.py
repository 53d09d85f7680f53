"""What was read from an event table: counts, what was passed over, units that nobody stated, and what to mind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from metasci.report.html import Section, definitions, paragraph
from metasci.words import pretty_unit

if TYPE_CHECKING:
    from metasci.fits.equation import Calibration

__all__ = ["warnings_of_reading", "what_was_read"]

_COUNTS = {
    "rows": "Rows",
    "comments": "Comments",
    "patients": "Patients",
    "measurements": "Measurements",
    "below_limit": "Of these, below a limit of quantification",
    "doses": "Doses",
    "additional_doses": "Of these, written out from ADDL",
    "steady_states": "Doses at steady state",
    "resets": "Resets",
    "starts_of_time_anew": "Times at which time began anew",
    "measurements_at_additional_doses": "Measurements at the very time of an additional dose",
}
_ALWAYS = ("rows", "patients", "measurements", "doses")


def what_was_read(calibration: Calibration) -> list[Section]:
    """A section on the event table; none where the data were none.

    Parameters
    ----------
    calibration : Calibration
    """
    counts = _attribute(calibration, "records")
    if not counts:
        return []
    pairs = {
        text: str(counts.get(name, 0))
        for name, text in _COUNTS.items()
        if counts.get(name) or name in _ALWAYS
    }
    passed = {name: count for name, count in counts.get("passed_over", {}).items() if count}
    pairs["Passed over"] = ", ".join(f"{name}: {count}" for name, count in passed.items()) or "nothing"
    assumed = _attribute(calibration, "assumed_units")
    units = [f"{name}: {pretty_unit(str(unit)) or 'a pure number'}" for name, unit in assumed.items()]
    pairs["Units that nobody stated, taken to be"] = ", ".join(units)
    pairs["Columns that were not used"] = str(calibration.tasks.dataset.attrs.get("dropped", ""))
    part = len(calibration.batch) < counts.get("patients", 0)
    said = "Counts are those of the whole table, of which only some patients were calibrated."
    return [Section("What was read", definitions(pairs) + (paragraph(said, "note") if part else ""))]


def warnings_of_reading(calibration: Calibration) -> list[str]:
    """What a reader of an event table's calibration has to mind, one sentence each.

    Parameters
    ----------
    calibration : Calibration
    """
    counts = _attribute(calibration, "records")
    found = []
    if anew := counts.get("starts_of_time_anew", 0):
        found.append(
            f"time began anew at {anew} record{'s' * (anew > 1)} of the table (EVID 3 or 4): what follows was laid "
            "behind what came before, one unit of time after it, so that times here are later than those in the table."
        )
    if at_doses := counts.get("measurements_at_additional_doses", 0):
        many = at_doses > 1
        found.append(
            f"{at_doses} measurement{'s' * many} of the table at the very time of an additional dose (ADDL) "
            f"{'are' if many else 'is'} taken to be after it; write that dose in a row of its own, below the "
            "measurement, if the sample was drawn before it."
        )
    return found


def _attribute(calibration: Calibration, name: str) -> dict[str, Any]:
    """What the reader of event tables has noted, as JSON, of the data; empty where it has not."""
    try:
        read = json.loads(calibration.tasks.dataset.attrs.get(name, "{}"))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        return {}
    return read if isinstance(read, dict) else {}
