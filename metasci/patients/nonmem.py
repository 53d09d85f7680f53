"""NONMEM control streams: read by pharmpy, walked into a description, with the final estimates where they stand beside.

ADVAN1 to 4, 11 and 12 become compartments in closed form, every other system of compartments a differential equation.
Random effects are the model's coordinates, so that a patient's estimates are NONMEM's POSTHOC etas.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020); pharmpy (Nordgren and others), which reads
the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.expressions import Expression, Statement, names_in, needed_for, replaced
from metasci.extras import needed
from metasci.model import Model, Output
from metasci.noise import Additive, Noise
from metasci.patients.described import CENTRAL, Described, described_model
from metasci.patients.estimates import Estimates, final_estimates
from metasci.patients.residual import residual_error
from metasci.patients.structure import Structure
from metasci.patients.symbols import expression_from

__all__ = ["ImportedModel", "from_nonmem"]

_OUT = "out of the body"
_UNITS = {"TIME": "h", "AMT": "mg", "DV": "mg/L"}
_REFUSED = {
    "PRED": "a model without compartments; write it as an equation of your own",
    "MIX": "a mixture of populations",
    "LEVEL": "random effects above the patient",
    "SUPER": "a problem within problems",
    "CONTR": "a likelihood of its own",
}
# what a clinician looks for among all that a control stream computes
_PARAMETERS = re.compile(
    r"^(CL[A-Z0-9]{0,2}|V[CPM0-9]?[0-9]?|VSS|VMAX|Q[0-9]?|KA|KM|KEO|KE0|MTT|KIN|KOUT|[EI]C50|[EI]MAX|F[0-9]|ALAG[0-9]|D[0-9])$"
)
_FLOW, _VOLUME, _RATE, _TIME = r"^(CL|Q)", r"^V(?!MAX|M$)", r"^(KA|KE|KOUT)", r"^(ALAG|D[0-9]|MTT)"
_LEVEL, _SPEED = r"^(KM|[EI]C50)$", r"^(VM|VMAX)$"


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
    text = path.read_text(errors="replace")
    _refuse_records(path, text)
    stream = _parsed(path)
    places, etas, epsilons = _effects(stream)
    final = final_estimates(path, len(places), len(etas), len(epsilons))
    notes = (
        [] if final is not None else ["no final estimates stand beside it (.ext): these are the initial ones"]
    )
    numbers = final or _initial(stream, places)
    constants = dict(zip(places, numbers.fixed, strict=True))
    stated = _stated_units(stream, units or {})
    reader = _Reader(path, stream, stated)
    measured = _measured(path, stream)
    statements, along = reader.apart(reader.statements(stream.statements.before_odes))
    after = needed_for((*along, *reader.statements(stream.statements.after_odes)), [measured])
    system = reader.system(along)
    volume = _volume(stated["AMT"], stated["DV"]) if _scaled_by_volume(statements) else ""
    own = _own(statements, stated, volume)
    statements = needed_for(statements, {*own, *_taken(after), *_taken_by(system)})
    covariates = reader.covariates(statements, after, {*constants, *etas, *epsilons})
    moving = _changing(stream, covariates) if changing is None else tuple(changing)
    if odd := [each for each in moving if each not in covariates]:
        raise InputError(
            f"{path}: '{odd[0]}' changes, but is no covariate; they are {', '.join(covariates) or 'none'}."
        )
    described = Described(
        name=name or path.stem,
        random=_labels(stream),
        constants=constants,
        covariates={each: stated.get(each, "1") for each in covariates},
        changing=moving,
        statements=statements,
        after=needed_for([(key, replaced(e, dict.fromkeys(epsilons, 0.0))) for key, e in after], [measured]),
        prediction=measured,
        output=Output("DV", stated["DV"], "measured"),
        own=own,
        time=stated["TIME"],
        amount=stated["AMT"],
        text=f"{stream.description or path.stem}\n\nSource: the control stream {path.name}.",
        **system,
    )
    noise = residual_error(described, after, measured, epsilons, numbers.within, f"{path}, $ERROR")
    if not (units or {}).keys() >= _UNITS.keys():
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
    frame = pd.DataFrame(numbers.between, index=etas, columns=etas)
    return ImportedModel(
        described_model(described, noise),
        frame,
        noise,
        source,
        [f"{each}." for each in notes],
        kind,
        float("nan") if final is None else final.objective,
    )


def _refuse_records(path: Path, text: str) -> None:
    for line in text.splitlines():
        record = re.match(r"\s*\$(\w+)", line)
        for key, what in _REFUSED.items():
            if record and record[1].upper() == key:
                raise InputError(f"{path}: ${key} is not taken ({what}).")
        if line.lstrip().startswith('"'):
            raise InputError(f"{path}: verbatim code is not taken: {line.strip():.60}")


def _parsed(path: Path) -> Any:
    """Pharmpy's model of the file."""
    reader = needed("pharmpy.model", "nonmem", "a NONMEM control stream").Model
    try:
        stream = reader.parse_model(path)
        if stream.statements.ode_system is None:
            raise InputError(f"{path}: there is no $SUBROUTINE with compartments, or $DES is not understood.")
    except InputError:
        raise
    except Exception as error:  # pharmpy's parsers raise many kinds
        message = " ".join(str(error).split())
        raise InputError(f"{path}: pharmpy cannot read it: {message:.200}") from error
    return stream


def _effects(stream: Any) -> tuple[list[str], list[str], list[str]]:
    """Names of the fixed effects, of the random ones between patients and occasions, and of the residual ones."""
    random = stream.random_variables
    scattering = set(random.parameter_names)
    fixed = [each.name for each in stream.parameters if each.name not in scattering]
    if not random.etas.names:
        raise InputError(f"'{stream.name}': there is no $OMEGA, so that patients do not differ.")
    return fixed, list(random.etas.names), list(random.epsilons.names)


def _measured(path: Path, stream: Any) -> str:
    """The name of what is measured."""
    several = [str(symbol) for symbol in stream.dependent_variables]
    if len(several) != 1:
        raise InputError(f"{path}, $ERROR: several outputs ({', '.join(several)}, by DVID) are not taken.")
    return several[0]


def _initial(stream: Any, fixed: Sequence[str]) -> Estimates:
    inits = stream.parameters.inits

    def matrix(variables: Any) -> NDArray[np.float64]:
        symbols = variables.covariance_matrix
        size = len(variables.names)
        return np.array([[float(symbols[i, j].subs(inits)) for j in range(size)] for i in range(size)])

    random = stream.random_variables
    return Estimates(
        [float(inits[each]) for each in fixed], matrix(random.etas), matrix(random.epsilons), float("nan")
    )


def _labels(stream: Any) -> dict[str, str]:
    """Random effects, and of those that are one quantity on several occasions its label."""
    random = stream.random_variables
    matrix, names = random.etas.covariance_matrix, list(random.etas.names)
    variances = [str(matrix[i, i]) for i in range(len(names))]
    alone = [all(i == j or str(matrix[i, j]) == "0" for j in range(len(names))) for i in range(len(names))]
    return {
        name: variances[i] if alone[i] and variances.count(variances[i]) > 1 else ""
        for i, name in enumerate(names)
    }


def _stated_units(stream: Any, units: Mapping[str, str]) -> dict[str, str]:
    """Units that are given, else those of pharmpy's description of the data, else the usual ones."""
    described = {
        column.name: str(column.variables[0].properties["unit"])
        for column in stream.datainfo
        if "unit" in column.variables[0].properties
    }
    return {**_UNITS, **described, **units}


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


def _taken(statements: Sequence[Statement]) -> set[str]:
    return set().union(*(names_in(formula) for _, formula in statements))


def _taken_by(system: Mapping[str, Any]) -> set[str]:
    """The names that the compartments take."""
    formulas = [*system["rates"].values(), *(each for _, *both in system.get("states", ()) for each in both)]
    return set().union(*(names_in(formula) for formula in formulas))


def _is_logarithm(described: Described) -> bool:
    """Whether the last thing done to the prediction is to take its logarithm."""
    values: dict[str, Expression] = {}
    for name, formula in described.after:
        values[name] = replaced(formula, values)
    last = values.get(str(described.prediction), 0.0)
    while isinstance(last, tuple) and last[0] == "where":
        last = last[2]
    return isinstance(last, tuple) and last[0] == "log"


def _scaled_by_volume(statements: Sequence[Statement]) -> bool:
    """Whether amounts are divided by a volume as it is, so that its unit follows from those of amount and output."""
    scales = [formula for name, formula in statements if re.match(r"^S[0-9C]$", name)]
    return all(isinstance(formula, str) for formula in scales)


def _volume(amount: str, output: str) -> str:
    above, _, below = output.partition("/")
    return below if above == amount else ""


def _own(statements: Sequence[Statement], stated: Mapping[str, str], volume: str) -> dict[str, str]:
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


class _Reader:
    """Walks pharmpy's statements and compartments into formulas."""

    def __init__(self, path: Path, stream: Any, stated: Mapping[str, str]) -> None:
        self.path, self.stream, self.stated = path, stream, stated
        self.compartments = list(stream.statements.ode_system.compartment_names)
        self.defined: set[str] = set()

    def formula(self, expression: Any, where: str) -> Expression:
        return expression_from(expression, f"{self.path}, {where}")

    def statements(self, several: Any) -> tuple[Statement, ...]:
        """Assignments in their order; one under a condition that is given no value before is zero elsewhere."""
        assignments = []
        for each in several:
            name = str(each.symbol)
            formula = self.formula(each.expression, f"{name} = {each.expression}")
            if name not in self.defined and name in names_in(formula):
                formula = replaced(formula, {name: 0.0})
            self.defined.add(name)
            assignments.append((name, formula))
        return tuple(assignments)

    def apart(self, several: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """The statements of a patient, and those that follow amounts and time ($DES)."""
        moving = {f"A_{name}" for name in self.compartments} | {"t"}
        still, along = [], []
        for name, formula in several:
            if names_in(formula) & moving:
                moving.add(name)
                along.append((name, formula))
            else:
                still.append((name, formula))
        return tuple(still), tuple(along)

    def covariates(
        self, before: Sequence[Statement], after: Sequence[Statement], estimated: set[str]
    ) -> list[str]:
        """The columns of the data that statements take."""
        columns = [column.name for column in self.stream.datainfo]
        states = {f"A_{name}" for name in self.compartments}
        known, taken = {*estimated, *states, "t"}, []
        for name, formula in (*before, *after):
            for each in sorted(names_in(formula) - known):
                if each not in columns or each in ("TIME", "AMT", "DV", "RATE", "EVID", "MDV", "CMT"):
                    raise InputError(
                        f"{self.path}: the statement of {name} takes {each}, which is not taken: it is no covariate."
                    )
                if each not in taken:
                    taken.append(each)
            known.add(name)
        return taken

    def system(self, along: Sequence[Statement]) -> dict[str, Any]:
        """The compartments: in closed form where they have one, else as a differential equation."""
        entry_compartment = self._entry()
        closed = None if along else self._closed(entry_compartment)
        return closed if closed is not None else self._equation(entry_compartment, along)

    def _entry(self) -> Any:
        """The compartment that doses enter."""
        ode = self.stream.statements.ode_system
        dosed = [ode.find_compartment(name) for name in self.compartments if ode.find_compartment(name).doses]
        if len(dosed) != 1:
            names = ", ".join(each.name for each in dosed) or "none"
            raise InputError(
                f"{self.path}: doses enter the compartments {names}; a model has one where nothing else is said."
            )
        return dosed[0]

    def _duration(self, entry_compartment: Any) -> Expression | None:
        """The parameter that says how long a dose takes to enter ($PK's D1, for RATE -2), if one does."""
        number = self.compartments.index(entry_compartment.name) + 1
        if f"R{number}" in self.defined:
            raise InputError(f"{self.path}: R{number}, a rate of infusion that is modelled, is not taken.")
        return f"D{number}" if f"D{number}" in self.defined else None

    def _closed(self, entry_compartment: Any) -> dict[str, Any] | None:
        ode = self.stream.statements.ode_system
        outside = needed("pharmpy.model", "nonmem", "a NONMEM control stream").output
        every = [ode.find_compartment(name) for name in self.compartments]
        flows = {
            (a.name, _OUT if b is outside else b.name): ode.get_flow(a, b)
            for a in every
            for b in [*(each for each in every if each is not a), outside]
            if str(ode.get_flow(a, b)) != "0"
        }
        if any(
            "A_" in str(flow) or "(t)" in str(flow) or re.search(r"\bt\b", str(flow))
            for flow in flows.values()
        ):
            return None
        if any(str(each.input) != "0" for each in every):
            return None
        central = next((a for a, b in flows if b == _OUT), None)
        if central is None or sum(b == _OUT for _, b in flows) != 1:
            return None
        flows = {pair: self.formula(flow, f"flow {pair[0]} to {pair[1]}") for pair, flow in flows.items()}
        around = [n for n in self.compartments if (central, n) in flows and (n, central) in flows]
        depots = [n for n in self.compartments if n not in around and n != central]
        if len(depots) > 1 or len(around) > 2 or len(flows) != 1 + 2 * len(around) + len(depots):
            return None
        if depots and ((depots[0], central) not in flows or entry_compartment.name != depots[0]):
            return None
        if not depots and entry_compartment.name != central:
            return None
        amounts = {f"A_{name}" for name in self.compartments if name != central}
        taken = set().union(*(names_in(e) for _, e in self.statements(self.stream.statements.after_odes)))
        if amounts & taken or self._initial_amounts():
            return None
        lasting = self._duration(entry_compartment)
        if depots and lasting is not None:
            return None
        lag, fraction = (
            self.formula(entry_compartment.lag_time, "lag"),
            self.formula(entry_compartment.bioavailability, "F"),
        )
        structure = Structure(
            compartments=1 + len(around),
            absorption="first-order" if depots else "none" if lasting is None else "zero-order",
            lag=lag != 0.0,
            bioavailability=fraction != 1.0,
        )
        rates: dict[str, Expression] = {"clearance": flows[central, _OUT]}
        for exchange, size, name in zip(structure.exchanges, structure.volumes[1:], around, strict=True):
            rates[exchange] = flows[central, name]
            rates[size] = ("div", flows[central, name], flows[name, central])
        extra = {"lag": lag, "bioavailability": fraction, "absorption_duration": lasting}
        if depots:
            extra["absorption_rate"] = flows[depots[0], central]
        wanted = {each.name for each in structure.parameters("h", "L")}
        rates |= {key: value for key, value in extra.items() if key in wanted and value is not None}
        self._rename(central)
        return {"structure": structure, "rates": rates}

    def _rename(self, central: str) -> None:
        if f"A_{central}" != CENTRAL:
            raise InputError(f"{self.path}: the central compartment is called {central}.")

    def _initial_amounts(self) -> dict[str, Expression]:
        """What $PK says of A_0, by state."""
        return {
            name: formula
            for name, formula in self.statements(self.stream.statements.before_odes)
            if name.startswith("A_") and name.endswith("(0)")
        }

    def _equation(self, entry_compartment: Any, along: Sequence[Statement]) -> dict[str, Any]:
        """Any other system; its first state is where doses enter."""
        ode = self.stream.statements.ode_system
        if str(entry_compartment.lag_time) != "0":
            raise InputError(
                f"{self.path}: {entry_compartment.lag_time}, a lag in a model of differential equations, is not taken."
            )
        if self._duration(entry_compartment) is not None:
            raise InputError(
                f"{self.path}: a duration that is modelled (RATE -2) is not taken in a model of differential equations."
            )
        starts = self._initial_amounts()
        within: dict[str, Expression] = {}
        for name, formula in along:
            within[name] = replaced(formula, within)
        slopes = {}
        for equation in ode.eqs:
            left, right = equation.lhs, equation.rhs
            state = str(left.args[0]).removesuffix("(t)")
            slopes[state] = replaced(self.formula(right, f"$DES of {state}"), within)
        first = f"A_{entry_compartment.name}"
        order = [first, *(state for state in slopes if state != first)]
        text = self.path.read_text(errors="replace")
        return {
            "states": tuple((state, slopes[state], starts.get(f"{state}(0)", 0.0)) for state in order),
            "rates": {"bioavailability": self.formula(entry_compartment.bioavailability, "F")},
            "stiff": re.search(r"ADVAN\s*=?\s*(8|13|14|15)\b", text, re.IGNORECASE) is not None,
        }
