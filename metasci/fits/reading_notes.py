"""What a reader of an event table's calibration has to mind: how the table was read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["reading_attribute", "warnings_of_reading"]


def warnings_of_reading(calibration: AdaptedTasks) -> list[str]:
    """What a reader of an event table's calibration has to mind, one sentence each.

    Parameters
    ----------
    calibration : Calibration
    """
    counts = reading_attribute(calibration, "records")
    notes = list(calibration.tasks.notes)
    if unknown := str(calibration.tasks.dataset.attrs.get("unknown", "")):
        many = ", " in unknown
        notes.append(
            f"column{'s' * many} {unknown} {'are' if many else 'is'} not used, being neither NONMEM's nor of the "
            "model; say what stands there (columns=, or the [events] of a card) if it matters."
        )
    if values := counts.get("values_on_dose_rows", 0):
        many = values > 1
        notes.append(
            f"{values} value{'s' * many} in DV on rows of doses {'are' if many else 'is'} no measurement, as in "
            "NONMEM, since neither EVID nor MDV says so; give a sample a row of its own (or say "
            'dose_rows_measure = "yes" in the [events] of a card).'
        )
    if moved := counts.get("patients_from_first_record", 0):
        notes.append(
            f"the times of {moved} patient{'s' * (moved > 1)} with samples at negative times run from the first record "
            "here."
        )
    if anew := counts.get("starts_of_time_anew", 0):
        notes.append(
            f"time began anew at {anew} record{'s' * (anew > 1)} of the table (EVID 3 or 4): what follows was laid "
            "behind what came before, one unit of time after it, so that times here are later than those in the table."
        )
    if at_doses := counts.get("measurements_at_additional_doses", 0):
        many = at_doses > 1
        notes.append(
            f"{at_doses} measurement{'s' * many} of the table at the very time of an additional dose (ADDL) "
            f"{'are' if many else 'is'} taken to be after it; write that dose in a row of its own, below the "
            "measurement, if the sample was drawn before it."
        )
    return notes


def reading_attribute(calibration: AdaptedTasks, name: str) -> dict[str, Any]:
    """What the reader of event tables has noted, as JSON, of the data; empty where it has not."""
    try:
        read = json.loads(calibration.tasks.dataset.attrs.get(name, "{}"))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        return {}
    return read if isinstance(read, dict) else {}
