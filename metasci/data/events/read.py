"""Event tables, as NONMEM reads them: doses, measurements and changes of a patient, one record a row.

One way: cells, a table of numbers, records, histories, a Dataset. Nothing is guessed or repaired: what does not fit is
an `InputError` of one sentence, and what is left out is counted in the attribute ``records``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.checks import check_density
from metasci.data.events.cells import Cells, headers_of, read_cells, texts
from metasci.data.events.coherence import check_order, check_representable, compartments_by_name
from metasci.data.events.columns import (
    COLUMNS,
    Wanted,
    bare_header,
    looks_like_events,
    tells_events,
    wanted_by,
)
from metasci.data.events.dataset import assemble_events
from metasci.data.events.headers import Found, Located, locate
from metasci.data.events.histories import Carried, Events, clock, events_of, order_at_equal_times
from metasci.data.events.outputs import with_numbered_outputs
from metasci.data.events.quantities import Quantities, check_quantities, quantities_of
from metasci.data.events.records import ON_OTHER_ROWS, Records, records_of
from metasci.data.events.table import Floats, Table, table_of
from metasci.data.events.times import by_clock
from metasci.errors import InputError
from metasci.molar import checked_molar_mass

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["EventReader", "headers_of", "looks_like_events", "read_events", "tells_events"]

_CARRIED = ("backward", "forward")


_ONLY_PATIENT = "patient"  # the name of who is alone in a table


@dataclass(frozen=True)
class EventReader:
    """Reads event tables with NONMEM's columns for a model: ID, TIME, DV, AMT, EVID, MDV, CMT, RATE, ADDL, II, SS and
    more, which `metasci.data.events.columns.COLUMNS` declares.

    Parameters
    ----------
    model : Model
        Says which inputs, covariates and properties of doses are wanted.
    columns : mapping of str to str
        NONMEM's or the model's name to the header in the table, where they differ: ``{"DV": "CP", "weight": "WGT"}``.
    units : mapping of str to str
        Units of columns whose headers do not say them, by name or header.
    carried : "backward" or "forward"
        Whether what stands on a row holds in the interval before it (the next observation carried backward, NONMEM's
        reading) or after it (the last one carried forward).
    molar_mass : str
        ``"232.2 g/mol"``, if amounts or concentrations are in moles and the model's are not, or the other way round.
    dose_rows_measure : bool
        Whether, where neither EVID nor MDV says so, DV on the row of a dose is a measurement made before it. To NONMEM
        it is none.
    allow_before_dose : bool
        Whether measurements before a patient's first dose are taken, as they are if the model has a baseline. One
        without predicts zero there.
    require_output : bool
        Whether every row of a measurement must hold one. Else rows without, or with MDV 1, ask for a prediction.
    where : str
        What errors call the table; by default its path.
    explained : tuple of str
        Headers that a card tells of, which are none of the reader's business.

    Notes
    -----
    Headers may be in any case and carry units, ``AMT [ug]``. An event table has no units: where nobody says them, TIME,
    AMT and DV are taken to be in the model's units (times by the clock in hours), RATE, DUR, II and LLOQ in what
    follows. Other columns need a unit, unless it is 1. A header that is nearly a known one that is absent is refused;
    what nobody knows is named in the attribute ``unknown`` and in a warning of the calibration.

    *Kinds of records.* EVID 0 is a measurement, 1 a dose, 2 another event, 3 a reset, 4 a reset and dose; rxode2's 101
    is a dose into compartment 1. Without EVID a row with an amount is a dose, whatever stands in DV, any other with a
    value a measurement. MDV 1 passes a measurement over. With BLQ (or CENS) 1 the true value lies below LLOQ, or below
    DV if that is empty; ``<0.1`` in DV says the same, as does, where there is no BLQ, a value below LLOQ. A value above
    a limit is written ``>65`` (or has CENS -1), one between two numbers ``10..20`` (or CENS 1 with LIMIT).

    *Order.* What is recorded first happens first. A dose recorded after a measurement of the same time is moved one
    rounding error up, so that the measurement does not see it. Additional doses (ADDL) come before whatever is recorded
    at the same time, as in NONMEM; end ADDL earlier and write such a dose in a row of its own if a sample was drawn
    before it.

    *Resets.* After EVID 3 or 4, and at a dose with SS 1, what was given before counts no more, and additional doses
    that were still due are not given. Time may begin anew at EVID 3 or 4: that part is then laid behind the one before,
    one unit of time after its last record.

    *Steady states.* A dose with SS has been given every II since forever: a measurement before a patient's first dose,
    if that is at steady state, sees the doses before it. An infusion may last longer than II, and with AMT 0 and a RATE
    it has gone on since forever and ends at its row.

    *Times.* Numbers, also negative ones; clocks of one day; or dates and clocks: a column DATE (2024-03-01 or
    2024/03/01) with TIME (08:30, or hours of the day), or one column DATETIME or TIME (2024-03-01 08:30, with a zone or
    without). Time then runs from the patient's first record, as it does for a patient who is measured at a negative
    time.

    *Covariates* that are the same throughout each patient become (task,); other inputs (task, observation). What a
    history is told at every event is told at every change, by an event of amount zero where there is no dose.
    Additional doses come with the values of the row that orders them.

    Examples
    --------
    >>> from metasci.library import find
    >>> table = pd.DataFrame({"ID": [1, 1, 1], "TIME": [0, 2, 8], "AMT": [20, ".", "."], "DV": [".", 17.3, 16.8],
    ...                       "EVID": [1, 0, 0], "weight [g]": 1400})
    >>> dataset, card = EventReader(find("patients.one_compartment_bolus")).read(table)
    >>> dataset["concentration"].values, dataset["dose_time"].values, dataset["weight"].values
    (array([[17.3, 16.8]]), array([[0.]]), array([1.4]))
    >>> dataset.attrs["assumed_units"]
    '{"TIME": "h", "DV": "mg/L", "AMT": "mg"}'
    """

    model: Model
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    carried: str = "backward"
    molar_mass: str = ""
    dose_rows_measure: bool = False
    allow_before_dose: bool = False
    require_output: bool = True
    where: str = ""
    explained: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.carried not in _CARRIED:
            raise InputError(f"carried is one of {', '.join(_CARRIED)}, not '{self.carried}'.")
        if self.molar_mass:
            checked_molar_mass(self.molar_mass)

    def read(self, source: str | Path | pd.DataFrame) -> tuple[xr.Dataset, Card]:
        """The Dataset of a table, as `metasci.TaskSet` has it, and its card.

        Parameters
        ----------
        source : path or DataFrame
            A CSV file (may be gzipped), or a frame of numbers or texts. A dot and an empty cell hold nothing; lines
            that start with ``#`` are comments.

        Returns
        -------
        dataset : Dataset
            ``attrs["records"]`` counts, as JSON, what was read and what was passed over, ``attrs["assumed_units"]``
            names the units that nobody stated, ``attrs["unknown"]`` the headers that nobody knows.
        card : Card

        Raises
        ------
        InputError
            At the first thing that does not fit.
        """
        where = self.where or ("table" if isinstance(source, pd.DataFrame) else str(source))
        cells = read_cells(source, where)
        if not len(cells.frame.columns) or not len(cells.frame):
            raise InputError(f"{where} has no rows.")
        cells = with_numbered_outputs(cells, self.model, self.columns, where)
        wanted = wanted_by(self.model, where)
        cells = self._with_patient(cells, wanted)
        located = self._locate(cells, wanted, where)
        table = table_of(cells, located, wanted, self.molar_mass, where)
        records = self._records(table, wanted)
        quantities = quantities_of(table, located, self.model, wanted, records, self.carried == "backward")
        time, moved = self._from_first(table, records)
        check_quantities(table.fault, self.model, wanted, time, records.measures, quantities.values)
        if "DV" in table.fault.headers:
            measured = np.where(records.measures, table["DV"], np.nan)
            check_density("DV", measured, self.model.output.unit, table.fault)
        time, restarts = clock(records, time)
        observed, given_time = order_at_equal_times(records, time)
        carried_values = {name: quantities.values[name] for name in wanted.carried}
        carried = Carried(carried_values, self.carried == "backward")
        events = events_of(records, time, observed, given_time, carried)
        notes = _notes(cells, located, table)
        dataset, card = assemble_events(
            table.labels, records, observed, events, quantities, notes, self.model, wanted
        )
        unknown = [item.header for item in located.unused if self._is_unknown(item)]
        dropped = [item.header for item in located.unused if item.bare not in dataset.coords]
        counts = _counts(table, records, events, restarts)
        counts |= {"patients_from_first_record": moved, "comments": cells.comments, "rows": len(cells.frame)}
        if not {"EVID", "MDV"} & located.found.keys():
            counts["values_on_dose_rows"] = records.passed_over[ON_OTHER_ROWS]
        if _any_changes(quantities, wanted, table):
            counts["carried"] = self.carried
        dataset.attrs |= {
            "dropped": ", ".join(dropped),
            "unknown": ", ".join(unknown),
            "checksum": cells.checksum,
            "rows": len(cells.frame),
            "records": json.dumps(counts),
            "assumed_units": json.dumps(located.assumed),
            "written_units": json.dumps(self._written_units(located, wanted)),
        }
        return dataset, replace(card, events=self._events_of_card(located))

    def _with_patient(self, cells: Cells, wanted: Wanted) -> Cells:
        """The same, all of one patient where no column can be the patients' names."""
        names = {wanted.name(bare_header(str(header))[0]) for header in cells.frame.columns}
        if "ID" in names or "ID" in self.columns or None in names:
            return cells
        frame = cells.frame.copy()
        frame.insert(0, "ID", _ONLY_PATIENT)
        return replace(cells, frame=frame)

    def _locate(self, cells: Cells, wanted: Wanted, where: str) -> Located:
        """Which column is which; refused if one is lacking."""
        frame = cells.frame
        written = frame.attrs.get("units", {})
        headers = [str(header) for header in frame.columns]
        with_units = [
            f"{header} [{written[header]}]" if header in written and "[" not in header else header
            for header in headers
        ]
        clocked = [header for place, header in enumerate(with_units) if by_clock(frame.iloc[:, place])]
        located = locate(
            with_units,
            wanted,
            self.columns,
            self.units,
            where,
            by_clock=clocked,
            explained=self.explained,
            molar=bool(self.molar_mass),
        )
        needed = ["ID", *(["DV"] if self.require_output else [])]
        needed += [name for name in wanted.quantities if name in self.model.inputs]
        for name in dict.fromkeys((*needed, *wanted.carried)):
            if name not in located.found:
                others = ", ".join(item.header for item in located.unused)
                unit = wanted.quantities.get(name, "")
                header = name if unit in ("", "1") else f"{name} [{unit}]"
                raise InputError(
                    f"{where} has no column '{name}', which is needed; name it '{header}', or say which it is, columns="
                    "{...} in Python, [events] in a card"
                    + (f" (columns not in use: {others})." if others else ".")
                )
        return located

    def _written_units(self, located: Located, wanted: Wanted) -> dict[str, str]:
        """In what unit each column of the table is, by the name that it has here."""
        names = {"TIME": wanted.time, "DV": self.model.output.name, "AMT": wanted.dose or "AMT"}
        return {names.get(key, key): item.unit for key, item in located.found.items() if item.unit}

    def _records(self, table: Table, wanted: Wanted) -> Records:
        """What the rows are, checked against one another and the model."""
        history = self.model.histories[wanted.dose] if wanted.dose else None
        records = records_of(
            table,
            require_output=self.require_output,
            dose_rows_measure=self.dose_rows_measure,
            lasts=history.lasts if history else "",
            flows=history.flows if history else "",
            words=compartments_by_name(self.model),
        )
        check_order(
            table,
            records,
            allow_before_dose=self.allow_before_dose or (history is not None and history.baseline),
            takes_doses=wanted.dose is not None,
        )
        check_representable(table, records, self.model)
        return records

    def _from_first(self, table: Table, records: Records) -> tuple[Floats, int]:
        """Times that run from the first record where a patient who is given doses is measured at a negative one.

        Of what is given at times only differences of time count; without doses zero may be the begin of a therapy.
        """
        early = np.zeros(len(table.labels), dtype=bool)
        early[table.codes[records.measures & (table.time < 0)]] = True
        if not self.model.histories or not early.any():
            return table.time, 0
        begins = np.where(early, table.time[table.starts], 0.0)
        return table.time - begins[table.codes], int(early.sum())

    def _is_unknown(self, item: Found) -> bool:
        return item.header not in self.explained and item.bare.upper() not in COLUMNS

    def _events_of_card(self, located: Located) -> dict[str, Any]:
        """What the card says of the columns and of how they are read, so that another such table is read alike."""
        headers = {key: located.found[name].bare for key, name in self._named(located).items()}
        options = {name: getattr(self, name) for name in OPTIONS}
        options = {name: "yes" if value is True else value for name, value in options.items()}
        return {
            "ID": located.found["ID"].bare,
            **headers,
            **{key: value for key, value in options.items() if value},
        }

    def _named(self, located: Located) -> dict[str, str]:
        wanted = wanted_by(self.model, self.where)
        return {key: str(wanted.name(key)) for key in self.columns if wanted.name(key) in located.found}


OPTIONS = ("carried", "molar_mass", "dose_rows_measure", "allow_before_dose")
"""What a card of events may say beside names of columns."""


def read_events(source: str | Path | pd.DataFrame, model: Model, **options: Any) -> tuple[xr.Dataset, Card]:
    """Read an event table for a model; `options` are those of `EventReader`."""
    return EventReader(model, **options).read(source)


def _notes(cells: Cells, located: Located, table: Table) -> dict[Found, NDArray[Any]]:
    """What columns that nobody asked for say of whole patients."""
    sentences = {
        item: np.array(texts(cells.frame.iloc[:, item.position]), dtype=object) for item in located.unused
    }
    first = {item: values[table.starts] for item, values in sentences.items()}
    return {item: values for item, values in first.items() if (sentences[item] == values[table.codes]).all()}


def _any_changes(quantities: Quantities, wanted: Wanted, table: Table) -> bool:
    each = (quantities.values[name] for name in wanted.carried)
    return any(bool((values != values[table.starts][table.codes]).any()) for values in each)


def _counts(table: Table, records: Records, events: Events, restarts: int) -> dict[str, Any]:
    return {
        "patients": len(table.labels),
        "measurements": int((records.measures & ~np.isnan(records.value)).sum()),
        "below_limit": int(records.below.sum()),
        "above_limit": int(records.above.sum()),
        "between_limits": int((~np.isnan(records.upper)).sum()),
        "doses": int(records.gives.sum()) + events.additional,
        "additional_doses": events.additional,
        "steady_states": int((records.gives & (records.steady > 0)).sum()),
        "resets": int(records.resets.sum()),
        "starts_of_time_anew": restarts,
        "measurements_at_additional_doses": events.at_measurements,
        "passed_over": {**records.passed_over, "additional doses due after a reset": events.cut_off},
    }
