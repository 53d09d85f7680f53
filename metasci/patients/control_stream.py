"""The statements and compartments of a NONMEM control stream, as pharmpy has them, walked into formulas.

ADVAN1 to 4, 11 and 12 become compartments in closed form, every other system of compartments a differential equation,
as does one into which doses enter in a way that has no closed form here.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metasci.errors import InputError
from metasci.expressions import Expression, Statement, bounded, names_in, replaced
from metasci.extras import needed
from metasci.patients.description import CENTRAL, Way
from metasci.patients.stream_text import HIDDEN
from metasci.patients.structure import Structure
from metasci.patients.symbols import expression_from

__all__ = ["StreamReader"]

_OUT = "out of the body"
_FIRST = re.compile(r"first\((\w+), ID\)")  # IF (NEWIND.NE.2) BWT = WT
_MEANT: dict[str, Expression] = {**HIDDEN, "A_0FLG": 1.0}
"""Names that stand for others, and what is 1 where amounts begin."""
_PREDPP = ("DEPOT", "CENTRAL", "PERIPHERAL", "PERIPHERAL1", "PERIPHERAL2")
"""The compartments of ADVAN1 to 4, 10, 11 and 12 in the order of their numbers, as pharmpy calls them."""


class StreamReader:
    """Walks pharmpy's statements and compartments into formulas."""

    def __init__(self, path: Path, stream: Any, stated: Mapping[str, str]) -> None:
        self.path, self.stream, self.stated = path, stream, stated
        self.compartments = list(stream.statements.ode_system.compartment_names)
        self.numbers = _numbered(path.read_text(errors="replace"), self.compartments)
        self.defined: set[str] = set()
        self.firsts: dict[str, str] = {}
        self._refused: dict[str, InputError] = {}

    def formula(self, expression: Any, where: str) -> Expression:
        return replaced(expression_from(expression, f"{self.path}, {where}"), _MEANT)

    def statements(self, several: Any) -> tuple[Statement, ...]:
        """Assignments in their order; one under a condition that is given no value before is zero elsewhere.

        What cannot be taken is refused only where it is needed: many a statement is there for a table alone.
        """
        assignments = []
        for each in several:
            name = str(each.symbol)
            if first := _FIRST.fullmatch(str(each.expression)):
                self.firsts[first[1]] = name
                formula: Expression = first[1]
            else:
                try:
                    formula = self.formula(each.expression, f"{name} = {each.expression}")
                except InputError as error:
                    self._refused[formula := f"{name}?"] = error
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

    def covariates(self, several: Sequence[Statement], estimated: set[str]) -> list[str]:
        """The columns of the data that statements take."""
        columns = [column.name for column in self.stream.datainfo]
        states = {f"A_{name}" for name in self.compartments}
        known, taken = {*estimated, *states, "t"}, []
        for name, formula in several:
            for each in sorted(names_in(formula) - known):
                if each in self._refused:
                    raise self._refused[each]
                if each not in columns or each in ("TIME", "AMT", "DV", "RATE", "EVID", "MDV", "CMT"):
                    why = "which is not taken: it is no covariate."
                    if name.startswith("$SUBROUTINES"):
                        why = (
                            "which $PK does not compute (TRANS4 takes CL, V2, Q, V3; TRANS1 takes K and K23)."
                        )
                    raise InputError(f"{self.path}: the statement of {name} takes {each}, {why}")
                if each not in taken:
                    taken.append(each)
            known.add(name)
        return taken

    def system(self, along: Sequence[Statement]) -> dict[str, Any]:
        """The compartments: in closed form where they have one, else as a differential equation."""
        ways = self._ways()
        closed = None if along else self._closed(ways)
        return closed if closed is not None else self._equation(ways, along)

    def _ways(self) -> tuple[Way, ...]:
        """The compartments that doses may enter, as $PK says they do; the first is that of doses that name none."""
        text = self.path.read_text(errors="replace")
        options = {name: words.upper() for name, words in _declared(text)}
        open_ones = [name for name in self.numbers if "NODOSE" not in options.get(name, "")]
        usual = next((name for name in open_ones if "DEFDOSE" in options.get(name, "")), "")
        usual = usual or ("DEPOT" if "DEPOT" in open_ones else next(iter(open_ones), ""))
        if not usual:
            raise InputError(f"{self.path}: no compartment takes doses.")

        def stated(key: str, else_: Expression | None) -> Any:
            return key if key in self.defined else else_

        order = [usual, *(name for name in open_ones if name != usual)]
        return tuple(
            Way(
                f"A_{name}",
                number,
                fraction=stated(f"F{number}", 1.0),
                lag=stated(f"ALAG{number}", 0.0),
                duration=stated(f"D{number}", None),
                rate=stated(f"R{number}", None),
            )
            for name in order
            for number in (self.numbers[name],)
        )

    def _closed(self, ways: tuple[Way, ...]) -> dict[str, Any] | None:
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
        if central is None or f"A_{central}" != CENTRAL or sum(b == _OUT for _, b in flows) != 1:
            return None
        flows = {pair: self.formula(flow, f"flow {pair[0]} to {pair[1]}") for pair, flow in flows.items()}
        around = [n for n in self.compartments if (central, n) in flows and (n, central) in flows]
        depots = [n for n in self.compartments if n not in around and n != central]
        if len(depots) > 1 or len(around) > 2 or len(flows) != 1 + 2 * len(around) + len(depots):
            return None
        by_name = {way.into.removeprefix("A_"): way for way in ways}
        entry_name = depots[0] if depots else central
        entry, others = by_name.get(entry_name), [way for name, way in by_name.items() if name != entry_name]
        if entry is not ways[0] or (depots and (depots[0], central) not in flows):
            return None
        if depots and (self.numbers[depots[0]], self.numbers[central]) != (1, 2):
            return None
        if depots and (entry.duration, entry.rate) != (None, None):
            return None
        if any(way.formulas != (1.0, 0.0) for way in others):
            return None
        amounts = {f"A_{name}" for name in self.compartments if name != central}
        taken = set().union(*(names_in(e) for _, e in self.statements(self.stream.statements.after_odes)))
        if amounts & taken or self._initial_amounts():
            return None
        structure = Structure(
            compartments=1 + len(around),
            absorption="first-order" if depots else "none",
            lag=entry.lag != 0.0,
            bioavailability=entry.fraction != 1.0,
        )
        rates: dict[str, Expression] = {"clearance": flows[central, _OUT]}
        for exchange, size, name in zip(structure.exchanges, structure.volumes[1:], around, strict=True):
            rates[exchange] = flows[central, name]
            rates[size] = ("div", flows[central, name], flows[name, central])
        extra = {"lag": entry.lag, "bioavailability": entry.fraction}
        if depots:
            extra["absorption_rate"] = flows[depots[0], central]
        wanted = {each.name for each in structure.parameters("h", "L")}
        rates |= {key: value for key, value in extra.items() if key in wanted}
        modelled = entry.duration is not None or entry.rate is not None
        return {"structure": structure, "rates": rates, "ways": (entry,) if modelled else ()}

    def _initial_amounts(self) -> dict[str, Expression]:
        """What $PK says of A_0, by state."""
        return {
            name: formula
            for name, formula in self.statements(self.stream.statements.before_odes)
            if name.startswith("A_") and name.endswith("(0)")
        }

    def _equation(self, ways: tuple[Way, ...], along: Sequence[Statement]) -> dict[str, Any]:
        """Any other system."""
        ode = self.stream.statements.ode_system
        starts = self._initial_amounts()
        within: dict[str, Expression] = {}
        for name, formula in along:
            within[name] = bounded(replaced(formula, within), f"{self.path}, $DES, {name}")
        slopes = {}
        for equation in ode.eqs:
            left, right = equation.lhs, equation.rhs
            state = str(left.args[0]).removesuffix("(t)")
            where = f"$DES of {state}"
            slopes[state] = bounded(replaced(self.formula(right, where), within), f"{self.path}, {where}")
        text = self.path.read_text(errors="replace")
        return {
            "states": tuple(
                (state, slope, starts.get(f"{state}(0)", 0.0)) for state, slope in slopes.items()
            ),
            "ways": tuple(way for way in ways if way.into in slopes),
            "stiff": re.search(r"ADVAN\s*=?\s*(8|13|14|15)\b", text, re.IGNORECASE) is not None,
        }


def _declared(text: str) -> list[tuple[str, str]]:
    """The compartments of $MODEL, in their order, and what is said of each.

    Examples
    --------
    >>> _declared("$MODEL NCOMP=2 COMP=(DEPOT,DEFDOSE) COMP=(CENTRAL NOOFF) ; two")
    [('DEPOT', ',DEFDOSE'), ('CENTRAL', ' NOOFF')]
    """
    plain = re.sub(r";.*", "", text)
    record = re.search(r"^\s*\$MOD\w*\b([^$]*)", plain, re.MULTILINE | re.IGNORECASE)
    if record is None:
        return []
    found = re.finditer(r"\bCOMP\w*\s*=?\s*(?:\(\s*(\w+)([^)]*)\)|(\w+))", record[1], re.IGNORECASE)
    return [((each[1] or each[3]).upper(), each[2] or "") for each in found]


def _numbered(text: str, names: Sequence[str]) -> dict[str, int]:
    """Compartments by NONMEM's numbers: in the order of $MODEL, else in that of PREDPP's own models."""
    declared = [name for name, _ in _declared(text)]
    order = declared if set(names) <= {*declared} else [n for n in _PREDPP if n in names]
    if set(names) - {*order}:
        order = list(names)
    return {name: place for place, name in enumerate(order, 1) if name in names}
