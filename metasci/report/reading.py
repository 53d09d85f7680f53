"""What was read from an event table: counts, what was passed over, units that nobody stated, and what to mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasci.fits.warnings import reading_attribute
from metasci.report.html import Section, definitions, paragraph
from metasci.words import pretty_unit

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["what_was_read"]

_COUNTS = {
    "rows": "Rows",
    "comments": "Comments",
    "patients": "Patients",
    "measurements": "Measurements",
    "below_limit": "Of these, below a limit of quantification",
    "above_limit": "Of these, above a limit of quantification",
    "between_limits": "Of these, between two numbers",
    "doses": "Doses",
    "additional_doses": "Of these, written out from ADDL",
    "steady_states": "Doses at steady state",
    "resets": "Resets",
    "patients_from_first_record": "Patients whose times run from the first record, since one was negative",
    "starts_of_time_anew": "Times at which time began anew",
    "measurements_at_additional_doses": "Measurements at the very time of an additional dose",
}
_CARRIED = {
    "backward": "the next value holds in the interval before it, as in NONMEM",
    "forward": "the last value holds until the next",
}
_ALWAYS = ("rows", "patients", "measurements", "doses")


def what_was_read(calibration: EquationFit) -> list[Section]:
    """A section on the event table; none where the data were none.

    Parameters
    ----------
    calibration : Calibration
    """
    counts = reading_attribute(calibration, "records")
    if not counts:
        return []
    pairs = {
        text: str(counts.get(name, 0))
        for name, text in _COUNTS.items()
        if counts.get(name) or name in _ALWAYS
    }
    if carried := counts.get("carried"):
        pairs["Covariates that change"] = _CARRIED.get(str(carried), str(carried))
    passed = {name: count for name, count in counts.get("passed_over", {}).items() if count}
    pairs["Passed over"] = ", ".join(f"{name}: {count}" for name, count in passed.items()) or "nothing"
    assumed = reading_attribute(calibration, "assumed_units")
    units = [f"{name}: {pretty_unit(str(unit)) or 'a pure number'}" for name, unit in assumed.items()]
    pairs["Units that nobody stated, taken to be"] = ", ".join(units)
    attrs = calibration.tasks.dataset.attrs
    unused = [str(attrs.get(name, "")) for name in ("unknown", "dropped")]
    pairs["Columns that were not used"] = ", ".join(
        dict.fromkeys(", ".join(filter(None, unused)).split(", "))
    )
    part = len(calibration.batch) < counts.get("patients", 0)
    sentence = "Counts are those of the whole table, of which only some patients were calibrated."
    return [Section("What was read", definitions(pairs) + (paragraph(sentence, "note") if part else ""))]
