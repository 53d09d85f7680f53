"""The statements and compartments of a NONMEM control stream, as pharmpy has them, walked into formulas.

ADVAN1 to 4, 11 and 12 become compartments in closed form, every other system of compartments a differential equation.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metasci.errors import InputError
from metasci.expressions import Expression, Statement, names_in, replaced
from metasci.extras import needed
from metasci.patients.described import CENTRAL
from metasci.patients.structure import Structure
from metasci.patients.symbols import expression_from

__all__ = ["StreamReader"]

_OUT = "out of the body"


class StreamReader:
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
