"""A differential equation under several conditions with several outputs, described by data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.expressions import Expression, Statement, compiled, expression_of, names_in, needed_for, run
from metasci.model import Input, Model, Output
from metasci.noise import Noise
from metasci.parameters import Parameter, ParameterSpace
from metasci.patients.dynamics import Dynamics, apart, stacked
from metasci.petab.streamlined import Streamlined, streamlined

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["INITIAL", "KIND", "System", "predictions", "system_model", "system_of"]

KIND = "system"

INITIAL = "the initial "
_LIKE = "like the others"


@dataclass(frozen=True)
class System:
    """What is solved, and what is measured of it.

    Attributes
    ----------
    name : str
    parameters : tuple of str
        What is estimated of the system, in the order of the model's coordinates.
    constants : mapping of str to float
    statements : tuple of Statement
        Of what is constant, before it starts.
    rules : tuple of Statement
        Of states and time.
    states : tuple of (name, slope, initial value)
    conditions : tuple of mapping of str to Expression
        What each condition gives another value: constants, or ``the initial STATE``.
    outputs : tuple of Expression
        What is measured, by the number in the column ``output``.
    stiff : bool
        Whether its rates differ by orders of magnitude.
    time : str
        Unit.
    labels : mapping of str to sequence of str
        What the numbers of conditions and outputs stand for.
    """

    name: str
    parameters: tuple[str, ...]
    constants: Mapping[str, float]
    statements: tuple[Statement, ...]
    rules: tuple[Statement, ...]
    states: tuple[tuple[str, Expression, Expression], ...]
    conditions: tuple[Mapping[str, Expression], ...]
    outputs: tuple[Expression, ...]
    stiff: bool = False
    time: str = "1"
    labels: Mapping[str, Sequence[str]] | None = None

    def recipe(self, parameters: Sequence[Parameter]) -> dict[str, Any]:
        """All of it as plain JSON, with what the parameters were declared as."""
        return {"kind": KIND, **asdict(self), "declared": [asdict(each) for each in parameters]}


def system_of(recipe: Mapping[str, Any], where: str) -> System:
    """The system that `System.recipe` gave, checked."""

    def several(key: str) -> tuple[Statement, ...]:
        return tuple((str(name), expression_of(raw, f"{where}, {name}")) for name, raw in recipe[key])

    return System(
        name=recipe["name"],
        parameters=tuple(recipe["parameters"]),
        constants={str(key): float(value) for key, value in recipe["constants"].items()},
        statements=several("statements"),
        rules=several("rules"),
        states=tuple(
            (str(name), expression_of(slope, where), expression_of(initial, where))
            for name, slope, initial in recipe["states"]
        ),
        conditions=tuple(
            {str(name): expression_of(raw, where) for name, raw in each.items()}
            for each in recipe["conditions"]
        ),
        outputs=tuple(expression_of(raw, where) for raw in recipe["outputs"]),
        stiff=bool(recipe["stiff"]),
        time=recipe["time"],
        labels=recipe["labels"],
    )


def system_model(system: System, parameters: Sequence[Parameter], noise: Noise) -> Model:
    """The model of a system."""
    evaluate = predictions(system, system.outputs)

    def function(**values: Any) -> Any:
        inputs = {name: values.pop(name) for name in ("time", "condition", "output")}
        return evaluate(inputs, values)

    function.__module__ = "metasci.petab.described"
    several = {"condition": len(system.conditions), "output": len(system.outputs)}
    labels = system.labels or {}
    words = [f"{key} {', '.join(f'{i}: {word}' for i, word in enumerate(labels[key], 1))}" for key in labels]
    return Model(
        name=f"imported.{system.name}",
        function=function,
        inputs={
            "time": Input(system.time),
            **{name: Input("1", lower=1.0, upper=float(most)) for name, most in several.items()},
        },
        output=Output("measurement", "1", "measurement"),
        parameters=ParameterSpace(tuple(parameters)),
        noise=noise,
        description="; ".join([f"The system of {system.name}", *words]),
        joint=True,
        recipe=system.recipe(parameters),
    )


def predictions(
    system: System, formulas: Sequence[Expression], relative: float = 1e-8, most: int = 1000
) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Any]:
    """A function of inputs (task, observation) and parameters (task, 1): the formula that each row's output chooses.

    Every condition is solved beside the others, and each observation takes its own. `relative` is what a step of the
    solver may err of a state, and `most` how many it may try from one break to the next.
    """
    names = [name for name, _, _ in system.states]
    _check(system, formulas)
    before = _program(system.statements)
    rules = _program(system.rules)
    overridden = sorted(set().union(*(each.keys() for each in system.conditions)))
    early = _program(_before(system))
    slopes = _slopes(system, overridden)
    taken = set().union(*(names_in(each) for _, each in slopes.shared), *map(names_in, slopes.formulas))
    ruling = _program(needed_for(system.rules, taken))
    still = _program(slopes.still)
    moving = _program(slopes.shared)
    slope_of = [compiled(slope) for slope in slopes.formulas]
    starts = [compiled(initial) for _, _, initial in system.states]
    chosen = [compiled(formula) for formula in formulas]
    values_of = {
        name: [compiled(each[name]) if name in each else None for each in system.conditions]
        for name in overridden
    }
    plain = _moving(system)

    def rate(time: Any, state: Any, values: Mapping[str, Any]) -> Any:
        known = {**values, "t": time, **dict(zip(names, apart(state), strict=True))}
        known = run(moving, run(ruling, known))
        blank = 0.0 * state[:, 0]
        return stacked(*(slope(known) + blank for slope in slope_of))

    def initial(values: Mapping[str, Any]) -> tuple[Any, ...]:
        like = 0.0 * values[_LIKE]
        known = run(early, {**values, "t": like})
        return tuple(
            known.get(INITIAL + name, start(known)) + like for name, start in zip(names, starts, strict=True)
        )

    method = "stiff" if system.stiff else "explicit"
    dynamics = Dynamics(
        rate=rate, initial=initial, method=method, relative=relative, absolute=1e-2 * relative, most=most
    )

    def evaluate(inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        import torch

        time = torch.as_tensor(inputs["time"], dtype=torch.float64)
        parameter_values = {
            name: torch.as_tensor(parameters[name], dtype=torch.float64) for name in system.parameters
        }
        shape = torch.broadcast_shapes(time.shape, *(value.shape for value in parameter_values.values()))
        shape = shape if len(shape) > 1 else (1, *shape) if shape else (1, 1)
        time = time.expand(shape)
        which = (torch.as_tensor(inputs["condition"]).expand(shape).to(torch.int64) - 1).clamp(min=0)
        output = torch.as_tensor(inputs["output"]).expand(shape)
        parameter_values = {name: value.expand(shape[0], 1) for name, value in parameter_values.items()}
        like = torch.zeros(shape[0], 1, dtype=torch.float64)
        for value in parameter_values.values():
            like = like + 0.0 * value
        base = {**system.constants, **parameter_values}
        many = len(system.conditions)

        def of_conditions(name: str) -> Any:
            """(task, condition, 1)"""
            each: list[torch.Tensor] = [
                torch.as_tensor(base.get(name, torch.nan) if formula is None else formula(base)) + like
                for formula in values_of[name]
            ]
            return torch.stack(each, 1)

        wide = {name: value[:, None] for name, value in parameter_values.items()}
        wide |= {name: of_conditions(name) for name in overridden}
        computed = run(before, {**system.constants, **wide})
        columns = {name: computed[name] + like[:, None] for name in {*plain, *overridden} if name in computed}
        columns |= {name: formula(computed) + like[:, None] for name, formula in still}
        columns[_LIKE] = like[:, None].expand(-1, many, -1)
        place, width = _places(time, which)
        place = torch.add(place, which, alpha=width)
        times = torch.zeros(shape[0], many * width, dtype=time.dtype).scatter(1, place, time)
        states = dynamics.states({"time": times.reshape(-1, many, width)}, columns)

        def own(value: Any) -> Any:
            """Of what is (task, condition, 1), what belongs to each observation."""
            if not isinstance(value, torch.Tensor):
                return value
            return value.expand(shape[0], many, 1)[..., 0].gather(1, which)

        known = {name: own(value) for name, value in computed.items()}
        known |= {
            name: value.reshape(shape[0], -1).gather(1, place)
            for name, value in zip(names, states, strict=True)
        }
        known = run(rules, {**known, "t": time})
        total = torch.full(shape, torch.nan, dtype=torch.float64)
        for number, formula in enumerate(chosen, 1):
            if bool((output == number).any()):
                total = torch.where(output == number, formula(known) + like, total)
        return total

    return evaluate


def _slopes(system: System, overridden: Sequence[str]) -> Streamlined:
    """The states' slopes, as they are computed fastest."""
    later = {name for name, *_ in (*system.statements, *system.rules)} | {*overridden, *system.parameters}
    constants = {name: value for name, value in system.constants.items() if name not in later}
    moving = {"t", *(name for name, *_ in system.states), *(name for name, _ in system.rules)}
    return streamlined([slope for _, slope, _ in system.states], constants, moving)


def _places(time: Tensor, which: Tensor) -> tuple[Tensor, int]:
    """Of each observation (task, observation) its place among those of its condition, and how many there are at most.

    Observations of one time share a place, if all tasks are observed at the same times.
    """
    import torch

    alike = bool((time == time[:1]).all()) and bool((which == which[:1]).all())
    if alike and not time.requires_grad:
        both = torch.stack([which[0].to(time.dtype), time[0].detach()])
        pairs, place = torch.unique(both, dim=1, return_inverse=True)  # sorted by condition, then by time
        first = torch.searchsorted(pairs[0].contiguous(), both[0].contiguous())
        place = (place - first).expand(which.shape)
    else:
        ordered, order = torch.sort(which, dim=1, stable=True)
        first = torch.searchsorted(ordered, ordered)
        place = torch.empty_like(which).scatter(1, order, torch.arange(which.shape[1]) - first)
    return place, int(place.max()) + 1 if place.numel() else 1


def _program(statements: Sequence[Statement]) -> list[tuple[str, Callable[[Mapping[str, Any]], Any]]]:
    return [(name, compiled(formula)) for name, formula in statements]


def _moving(system: System) -> set[str]:
    """What the equation and its start take, but states, time and rules."""
    formulas = [each for _, *both in system.states for each in both]
    formulas += [formula for _, formula in system.rules]
    taken = set().union(*(names_in(formula) for formula in formulas))
    return taken - {name for name, _, _ in system.states} - {name for name, _ in system.rules} - {"t"}


def _before(system: System) -> list[Statement]:
    """The rules that hold before any state is known."""
    later = {name for name, _, _ in system.states}
    state_free = []
    for name, formula in system.rules:
        if names_in(formula) & later:
            later.add(name)
        else:
            state_free.append((name, formula))
    return state_free


def _check(system: System, formulas: Sequence[Expression]) -> None:
    known = {*system.constants, *system.parameters, "t"}
    known |= {name for each in system.conditions for name in each}
    known |= {str(name) for name, *_ in (*system.states, *system.rules, *system.statements)}
    every = [*formulas, *(e for _, *both in system.states for e in both), *(e for _, e in system.rules)]
    every += [e for each in system.conditions for e in each.values()]
    if odd := sorted(set().union(*(names_in(formula) for formula in every)) - known):
        raise InputError(f"'{system.name}': a formula takes '{odd[0]}', which nothing gives.")
    # what a condition sets is known before anything moves
    given = set().union(*(names_in(e) for each in system.conditions for e in each.values()))
    if odd := sorted(given - {*system.constants, *system.parameters}):
        raise InputError(
            f"'{system.name}': a condition takes '{odd[0]}', which is neither a parameter nor a constant."
        )
