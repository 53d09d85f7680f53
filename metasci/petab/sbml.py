"""A reaction network in SBML, as a differential equation.

Source: Hucka and others, The Systems Biology Markup Language Level 3 Version 2 Core, J Integr Bioinform 16 (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

from metasci.errors import InputError
from metasci.expressions import Expression, Statement, names_in, replaced
from metasci.petab.formulas import Functions, formula_of, libsbml
from metasci.regular_files import bytes_of

__all__ = ["Network", "read_network"]

_MOST_BYTES = 16 * 2**20  # the greatest of the public benchmarks' models have some two
_MOST_NESTED = 300  # elements within elements: libsbml calls itself for each, until its stack is full


@dataclass(frozen=True)
class Network:
    """What an SBML model says.

    Attributes
    ----------
    states : tuple of (name, slope, initial value)
        Species (as concentrations, unless they are amounts) and whatever else a rate rule moves.
    rules : tuple of Statement
        Assignment rules, each after those that it takes.
    constants : dict of str to float
        Parameters, compartments, and species that nothing moves.
    starts : dict of str to Expression
        Initial assignments of what is constant.
    """

    states: tuple[tuple[str, Expression, Expression], ...]
    rules: tuple[Statement, ...]
    constants: dict[str, float]
    starts: dict[str, Expression]


def read_network(path: Path) -> Network:
    """Read an SBML file.

    Raises
    ------
    InputError
        If it is none, or holds what is not taken: events, delays, algebraic rules, conversion factors.
    """
    content = bytes_of(path, _MOST_BYTES)
    _check_nesting(path, content)
    document = libsbml().readSBMLFromString(content.decode("utf-8", "replace"))
    model = document.getModel()
    if model is None or document.getNumErrors(libsbml().LIBSBML_SEV_ERROR):
        message = document.getError(0).getMessage().strip() if document.getNumErrors() else "no model"
        raise InputError(f"{path}: this is no SBML that can be read: {' '.join(message.split()):.120}")
    if model.getNumEvents():
        raise InputError(f"{path}: events are not taken; the first is '{model.getEvent(0).getId()}'.")
    return _Reader(path, model).network()


def _check_nesting(path: Path, content: bytes) -> None:
    """Refuse what is nested deeper than any model, and what defines its own abbreviations."""
    depth = 0

    def opened(*_: Any) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_NESTED:
            raise InputError(f"{path}: elements are nested more than {_MOST_NESTED} deep.")

    def closed(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    def typed(*_: Any) -> None:
        raise InputError(f"{path}: a document type is not taken.")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.StartDoctypeDeclHandler = typed
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError) as error:  # the second of an encoding that nobody knows
        raise InputError(f"{path}: this is no XML that can be read: {error}.") from None


class _Reader:
    def __init__(self, path: Path, model: Any) -> None:
        self.path, self.model = path, model
        self.functions: Functions = self._functions()

    def formula(self, math: Any, what: str) -> Expression:
        if math is None:
            raise InputError(f"{self.path}: {what} has no formula.")
        return formula_of(math, self.functions, f"{self.path}, {what}")

    def network(self) -> Network:
        model = self.model
        rules, rates = self._rules()
        constants = {each.getId(): each.getSize() for each in model.getListOfCompartments()}
        constants |= {each.getId(): each.getValue() for each in model.getListOfParameters()}
        moved = {name for name in constants if name in rules or name in rates}
        initial: dict[str, Expression] = {name: constants[name] for name in moved}
        starts = {
            each.getSymbol(): self.formula(each.getMath(), f"initial assignment of {each.getSymbol()}")
            for each in model.getListOfInitialAssignments()
        }
        slopes = dict(rates)
        changes = self._changes()
        for species in model.getListOfSpecies():
            name = species.getId()
            if species.isSetConversionFactor() or model.isSetConversionFactor():
                raise InputError(f"{self.path}: the conversion factor of '{name}' is not taken.")
            value = self._at_start(species, constants)
            fixed = species.getConstant() or (species.getBoundaryCondition() and name not in rates)
            if name in rules:
                continue
            if name in rates or (changes.get(name) and not fixed):
                initial[name] = value
                if name not in rates:
                    slopes[name] = self._slope(species, changes[name])
            else:
                constants[name] = value
        for name in moved:
            del constants[name]
        states = tuple(
            (name, slope, starts.pop(name, initial.get(name, 0.0))) for name, slope in slopes.items()
        )
        for name in rules:
            starts.pop(name, None)
        return Network(states, self._sorted(rules), constants, starts)

    def _functions(self) -> Functions:
        functions: dict[str, tuple[tuple[str, ...], Expression]] = {}
        for each in self.model.getListOfFunctionDefinitions():
            arguments = tuple(each.getArgument(i).getName() for i in range(each.getNumArguments()))
            body = formula_of(each.getBody(), functions, f"{self.path}, function {each.getId()}")
            functions[each.getId()] = (arguments, body)
        return functions

    def _rules(self) -> tuple[dict[str, Expression], dict[str, Expression]]:
        """What is assigned, and what has a rate of its own."""
        rules: dict[str, Expression] = {}
        rates: dict[str, Expression] = {}
        for each in self.model.getListOfRules():
            if each.isAlgebraic():
                raise InputError(f"{self.path}: an algebraic rule is not taken.")
            name = each.getVariable()
            (rates if each.isRate() else rules)[name] = self.formula(each.getMath(), f"rule of {name}")
        return rules, rates

    def _changes(self) -> dict[str, list[Expression]]:
        """What reactions add to each species."""
        changes: dict[str, list[Expression]] = {}
        for reaction in self.model.getListOfReactions():
            law = reaction.getKineticLaw()
            what = f"reaction {reaction.getId()}"
            rate = self.formula(None if law is None else law.getMath(), what)
            local = {each.getId(): each.getValue() for each in law.getListOfParameters()}
            local |= {each.getId(): each.getValue() for each in law.getListOfLocalParameters()}
            rate = replaced(rate, local)
            for sign, sides in ((-1.0, reaction.getListOfReactants()), (1.0, reaction.getListOfProducts())):
                for side in sides:
                    if side.isSetStoichiometryMath():
                        raise InputError(
                            f"{self.path}, {what}: a stoichiometry that is computed is not taken."
                        )
                    times = sign * side.getStoichiometry()
                    changes.setdefault(side.getSpecies(), []).append(replaced(("mul", times, rate), {}))
        return changes

    def _slope(self, species: Any, changes: list[Expression]) -> Expression:
        total: Expression = ("add", *changes) if len(changes) > 1 else changes[0]
        if species.getHasOnlySubstanceUnits():
            return total
        return ("div", total, species.getCompartment())

    def _at_start(self, species: Any, constants: dict[str, float]) -> float:
        size = constants.get(species.getCompartment())
        if not size:  # unknown, or zero; one that is not said is NaN, and shows where it is used
            raise InputError(
                f"{self.path}: the compartment '{species.getCompartment()}' of '{species.getId()}' has no size."
            )
        if species.isSetInitialConcentration():
            value = species.getInitialConcentration()
            return float(value * size if species.getHasOnlySubstanceUnits() else value)
        value = species.getInitialAmount() if species.isSetInitialAmount() else 0.0
        return float(value if species.getHasOnlySubstanceUnits() else value / size)

    def _sorted(self, rules: dict[str, Expression]) -> tuple[Statement, ...]:
        """Each rule after those that it takes."""
        ordered: list[Statement] = []
        left = dict(rules)
        while left:
            ready = [name for name, formula in left.items() if not names_in(formula) & left.keys()]
            if not ready:
                raise InputError(f"{self.path}: the rules of {', '.join(left)} take each other.")
            ordered += [(name, left.pop(name)) for name in ready]
        return tuple(ordered)
