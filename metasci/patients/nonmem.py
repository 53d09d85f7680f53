"""NONMEM control streams: read by pharmpy, walked into a description, with the final estimates where they stand beside.

Statements and compartments are walked by `metasci.patients.control_stream`. Random effects are the model's coordinates,
so that a patient's estimates are NONMEM's POSTHOC etas.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020); pharmpy (Nordgren and others), which reads
the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from metasci.errors import InputError
from metasci.expressions import Expression, names_in, needed_for, replaced
from metasci.extras import needed
from metasci.model import Model, Output
from metasci.noise import Additive, Noise, Several
from metasci.patients.control_stream import StreamReader
from metasci.patients.described import described_model
from metasci.patients.description import Described, Measured
from metasci.patients.estimates import final_estimates
from metasci.patients.residual import residual_error
from metasci.patients.stream_checks import check_stream
from metasci.patients.stream_estimates import effects_of, initial_estimates, labels_of
from metasci.patients.stream_limits import without_limits
from metasci.patients.stream_outputs import CODES, StreamOutput, outputs_of
from metasci.patients.stream_rates import rates_of_exponents
from metasci.patients.stream_text import unread_line, usual_text
from metasci.patients.stream_units import USUAL, own_units, scaled_by_volume, stated_units, volume_of

__all__ = ["ImportedModel", "from_nonmem"]


@dataclass(frozen=True)
class ImportedModel:
    """A model that another program's file describes, and the numbers that stand with it.

    Attributes
    ----------
    model : Model
    variability : DataFrame
        Ω of the random effects.
    noise : Noise
    source : str
        The file, and which estimates these are.
    notes : list of str
        What was taken for granted.
    estimates : "final" or "initial"
    objective : float
        NONMEM's, NaN where there are only initial estimates.
    """

    model: Model
    variability: pd.DataFrame
    noise: Noise
    source: str
    notes: list[str]
    estimates: str
    objective: float

    @property
    def numbers(self) -> dict[str, Any]:
        """What `metasci.Prior.published` asks for beside the model."""
        return {
            "variability": self.variability,
            "noise": self.noise,
            "source": self.source,
            "remarks": self.notes,
            "name": self.model.name.partition(".")[2],
        }


def from_nonmem(
    path: str | Path,
    *,
    units: Mapping[str, str] | None = None,
    changing: Sequence[str] | None = None,
    name: str = "",
) -> ImportedModel:
    """A control stream as a model, with final estimates where an ``.ext`` file stands beside it, else the initial ones.

    Parameters
    ----------
    path : path
        The control stream.
    units : mapping of str to str, optional
        Of ``TIME``, ``AMT``, ``DV`` and covariates: a control stream names none, so that h, mg, mg/L and plain numbers
        are taken, which the notes say.
    changing : sequence of str, optional
        Covariates that change from record to record; by default those that do in the data file, if it is there.
    name : str
        What to call the model; the file's name by default.

    Raises
    ------
    MissingExtra
        If pharmpy is not installed.
    InputError
        If there is no such file, or it says what is not taken; the sentence names the statement.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no control stream '{path}'.")
    check_stream(path)
    stream = _parsed(path)
    places, etas, epsilons = effects_of(path, stream)
    final = final_estimates(path, len(places), len(etas), len(epsilons))
    notes = (
        [] if final is not None else ["no final estimates stand beside it (.ext): these are the initial ones"]
    )
    numbers = final or initial_estimates(path, stream, places)
    constants = dict(zip(places, numbers.fixed, strict=True))
    stated = stated_units(stream, units or {})
    reader = StreamReader(path, stream, stated)
    statements, along = reader.apart(reader.statements(stream.statements.before_odes))
    statements += rates_of_exponents(reader.defined, "DEPOT" in reader.compartments)
    of_error = reader.statements(stream.statements.after_odes)
    after = (*along, *((key, replaced(formula, {"TIME": "t"})) for key, formula in of_error))
    after, limited = without_limits(f"{path}, $ERROR", after, "Y", epsilons, numbers.within, CODES)
    if limited:
        notes.append(
            "where F_FLAG is not 0 a measurement lies below its limit, which BLQ and LLOQ tell in the table"
        )
    outputs = outputs_of(f"{path}, $ERROR", stream, after, reader.numbers, epsilons)
    outputs = tuple(
        replace(each, statements=needed_for(each.statements, [each.measured])) for each in outputs
    )
    system = reader.system(along)
    volume = volume_of(stated["AMT"], stated["DV"]) if scaled_by_volume(statements) else ""
    own = own_units(statements, stated, volume)
    statements = needed_for(statements, {*own, *_taken(outputs), *_taken_by(system)})
    taken = (
        set().union(*(names_in(formula) for _, formula in statements)) | _taken(outputs) | _taken_by(system)
    )
    kept = [each for each in etas if each in taken]
    if odd := [each for each in etas if each not in taken]:
        notes.append(f"{', '.join(odd)}: left out, since no statement that counts takes them")
    written = "$DES" if "$DES" in stream.code else "$SUBROUTINES (ADVAN and TRANS)"
    of_system = [(written, formula) for formula in _formulas(system)]
    covariates = reader.covariates([*statements, *of_system], {*constants, *etas, *epsilons})
    computed = {name for name, _ in statements}
    for each in outputs:
        more = reader.covariates(each.statements, {*constants, *etas, *epsilons, *computed})
        covariates += [name for name in more if name not in covariates]
    moving = _changing(stream, covariates) if changing is None else tuple(changing)
    if odd := [each for each in moving if each not in covariates]:
        raise InputError(
            f"{path}: '{odd[0]}' changes, but is no covariate; they are {', '.join(covariates) or 'none'}."
        )
    if odd := [each for each in moving if each in reader.firsts]:
        raise InputError(
            f"{path}: {reader.firsts[odd[0]]} is the first {odd[0]} of a patient, but {odd[0]} changes: give the first "
            "one in a column of its own."
        )
    without = dict.fromkeys(epsilons, 0.0)
    first = outputs[0]
    several: tuple[Measured, ...] = ()
    if len(outputs) > 1:
        first = StreamOutput("DV", (), outputs[0].measured)
        several = tuple(
            Measured(
                each.name,
                stated.get(each.name, stated["DV"]),
                replaced(each.value, without),
                each.state,
                each.compartment,
            )
            for each in outputs
        )
        notes.append(f"outputs are {', '.join(f'{n} ({each.name})' for n, each in enumerate(several, 1))}")
    described = Described(
        name=name or path.stem,
        random={each: label for each, label in labels_of(stream).items() if each in kept},
        constants=constants,
        covariates={each: stated.get(each, "1") for each in covariates},
        changing=moving,
        statements=statements,
        after=tuple((key, replaced(e, without)) for key, e in first.statements),
        prediction=first.measured,
        measured=several,
        output=Output("DV", stated["DV"] if len({each.unit for each in several}) < 2 else "1", "measured"),
        own=own,
        time=stated["TIME"],
        amount=stated["AMT"],
        text=f"{stream.description or path.stem}\n\nSource: the control stream {path.name}.",
        **system,
    )
    noises = [
        residual_error(described, each.statements, each.measured, epsilons, numbers.within, f"{path}, $ERROR")
        for each in outputs
    ]
    noise = noises[0] if len(noises) == 1 else Several(by="output", noises=tuple(noises))
    if not (units or {}).keys() >= USUAL.keys():
        notes.append(
            f"units are taken to be {stated['TIME']} (TIME), {stated['AMT']} (AMT) and {stated['DV']} (DV), of which "
            "a control stream says nothing"
        )
    if isinstance(noise, Additive) and _is_logarithm(described):
        described = replace(described, output=Output("DV", "1", "logarithm of what is measured"))
        notes.append("DV is the logarithm of what is measured")
    kind = "initial" if final is None else "final"
    source = f"{path.name}, {kind} estimates" + (
        "" if final is None else f", objective {final.objective:.6f}"
    )
    frame = pd.DataFrame(numbers.between, index=etas, columns=etas).loc[kept, kept]
    return ImportedModel(
        described_model(described, noise),
        frame,
        noise,
        source,
        [f"{each}." for each in notes],
        kind,
        float("nan") if final is None else final.objective,
    )


def _parsed(path: Path) -> Any:
    """Pharmpy's model of the file."""
    parse = needed("pharmpy.model.external.nonmem", "nonmem", "a NONMEM control stream").parse_model
    text = usual_text(path.read_text("latin-1"), str(path))
    try:
        stream = parse(text, path)
        if stream.statements.ode_system is None:
            raise InputError(f"{path}: there is no $SUBROUTINE with compartments, or $DES is not understood.")
    except InputError:
        raise
    except Exception as error:  # pharmpy's parsers raise many kinds
        if line := unread_line(text, error):
            raise InputError(f"{path}: pharmpy cannot read {line}.") from error
        message = " ".join(str(error).split())
        raise InputError(f"{path}: pharmpy cannot read it: {message:.200}") from error
    return stream


def _changing(stream: Any, covariates: Sequence[str]) -> tuple[str, ...]:
    """Covariates that change within a patient of the data file; none where it cannot be read."""
    try:
        frame, patient = stream.dataset, stream.datainfo.id_column.name
    except Exception:  # the file is not there, or not of this kind: nothing is known of it
        return ()
    if frame is None:
        return ()
    several = frame.groupby(patient)[list(covariates)].nunique().max()
    return tuple(name for name in covariates if several[name] > 1)


def _taken(outputs: Sequence[StreamOutput]) -> set[str]:
    return set().union(*(names_in(formula) for each in outputs for _, formula in each.statements))


def _taken_by(system: Mapping[str, Any]) -> set[str]:
    """The names that the compartments take."""
    return set().union(*(names_in(formula) for formula in _formulas(system)))


def _formulas(system: Mapping[str, Any]) -> list[Expression]:
    of_ways = [formula for way in system.get("ways", ()) for formula in way.formulas]
    of_states = [each for _, *both in system.get("states", ()) for each in both]
    return [*system.get("rates", {}).values(), *of_ways, *of_states]


def _is_logarithm(described: Described) -> bool:
    """Whether the last thing done to the prediction is to take its logarithm."""
    values: dict[str, Expression] = {}
    for name, formula in described.after:
        values[name] = replaced(formula, values)
    last = values.get(str(described.prediction), 0.0)
    while isinstance(last, tuple) and last[0] == "where":
        last = last[2]
    return isinstance(last, tuple) and last[0] == "log"
