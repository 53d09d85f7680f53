"""Methods as small records of plain text and numbers, and back: what a saved prior says of how it was learned.

A record is the class's name (`kind`), what it is called (`name`) and its fields; parts that are objects are records
themselves. Nothing but the classes listed here is ever made of a file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from functools import partial
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from metasci.errors import InputError
from metasci.meta.adaptation.learnable_rules import Curvature, Descent
from metasci.meta.adaptation.recurrent import RecurrentOptimiser
from metasci.meta.adaptation.rules import Adam, GradientDescent, Momentum, RMSProp
from metasci.meta.baselines import FineTuning, FromScratch, Pooled
from metasci.meta.composed import Composed
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.gradients import Displacement, Exact, FirstOrder, Implicit, MetaGradient
from metasci.meta.gradient import Learning
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.methods import ANIL, FOMAML, IMAML, MAML, LearnedOptimiser, MetaCurvature, MetaSGD, Reptile
from metasci.meta.step_sizes import RULES, descent, number_or_none
from metasci.methods import METHODS, method_class

__all__ = ["describe", "method_from"]

_EXACT = 2**53  # whole numbers beyond it are none in double precision, nor in a tensor soon after
_MOST = 10**7  # of steps, iterations, members, ways to start: numbers that people choose
_RULES = {kind.__name__: kind for kind in (Adam, GradientDescent, Momentum, RMSProp)}
_PARTS = {
    kind.__name__: kind
    for kind in (
        Composition,
        Curvature,
        Descent,
        Displacement,
        Exact,
        FirstOrder,
        GaussianPrior,
        Implicit,
        RecurrentOptimiser,
    )
}


def describe(method: Any) -> dict[str, Any]:
    """A method as plain text and numbers.

    Raises
    ------
    InputError
        If a part of it is not one of the package's own: nothing is ever executed from a file.

    Examples
    --------
    >>> from metasci.meta import MAML
    >>> description = describe(MAML(3, rule="adam"))
    >>> description["kind"], description["steps"], description["rule"]
    ('MAML', 3, 'adam')
    """
    described: dict[str, Any] = {"kind": type(method).__name__, "name": method.name}
    for item in dataclasses.fields(method):
        if item.name != "label":
            described[item.name] = _plain(getattr(method, item.name), type(method).__name__)
    return described


def method_from(description: Mapping[str, Any], where: str = "") -> Any:
    """The method of its description; also of descriptions as they were written before methods were classes.

    Parameters
    ----------
    description : mapping
    where : str
        Which file it stands in, for messages.

    Raises
    ------
    InputError
        If the kind or a field is not known, or a value makes no sense.

    Examples
    --------
    >>> from metasci.meta import IMAML
    >>> method_from(describe(IMAML(proximal=2.0))) == IMAML(proximal=2.0)
    True
    """
    try:
        return _method_from(dict(description))
    except InputError as error:
        raise InputError(f"{where}: {error}" if where else str(error)) from None


def _method_from(fields: dict[str, Any]) -> Any:
    kind, name = fields.pop("kind", None), fields.pop("name", "")
    if kind == "GradientMethod":
        return _of_seventeen_fields(fields, name)
    classes = {method.name: method.name for method in METHODS} | {"Composed": "Composed"}
    if kind not in classes:
        raise InputError(f"the method '{kind}' is not known to this version of metasci.")
    own = Composed if kind == "Composed" else method_class(kind)
    if own is GaussianPrior:
        # a switch once; what it did stands in the file's tensors
        fields.pop("spread_uncertainty", None)
    declared = {item.name for item in dataclasses.fields(own)}
    if unknown := sorted(set(fields) - declared):
        raise InputError(f"this is not the description of a {kind}: it has no '{unknown[0]}'.")
    values = {key: _value(value) for key, value in fields.items()}
    if "label" in declared and name != own.title:
        values["label"] = str(name)
    return _made(own, values)


def _made(kind: Any, values: dict[str, Any]) -> Any:
    """An object of its fields; what its class refuses as a type is an error of the file."""
    _check_types(kind, values)
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is not the description of a {kind.__name__}: {error}.") from error


def _check_types(kind: Any, values: Mapping[str, Any]) -> None:
    """Refuse what a file says of a field that is not of the type that the field declares."""
    hints = {} if issubclass(kind, Enum) else get_type_hints(kind)
    for key, value in values.items():
        if key in hints and not _is_of(value, hints[key]):
            raise InputError(f"{key}: {str(value)[:40]!r} is no {_called(hints[key])}.")


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value that a file says is of the type that a field declares; numbers are finite, and bounded if whole.

    Examples
    --------
    >>> _is_of(0.5, float | str), _is_of((0.5,), float | str), _is_of(float("nan"), float)
    (True, False, False)
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is_of(value, part) for part in parts)
    if origin is tuple and isinstance(value, tuple):
        each = parts[:1] * len(value) if Ellipsis in parts else parts
        return len(each) == len(value) and all(map(_is_of, value, each))
    if hint in (int, float):
        if not isinstance(value, int | hint) or isinstance(value, bool):
            return False
        if isinstance(value, int):
            return abs(value) <= (_MOST if hint is int else _EXACT)
        return math.isfinite(value)
    if getattr(hint, "_is_protocol", False):  # one of the parts, which are made here
        return type(value) in _PARTS.values()
    return isinstance(value, origin or hint)


def _called(hint: Any) -> str:
    """A type in words."""
    return {int: f"whole number up to {_MOST:,}", float: "number", str: "text", bool: "true or false"}.get(
        hint, str(getattr(hint, "__name__", hint)).replace("tuple[", "list of [")
    )


def _plain(value: Any, of: str) -> Any:
    """A field's value as JSON can carry it."""
    if isinstance(value, Enum):
        return {"kind": type(value).__name__, "value": value.value}
    if isinstance(value, tuple):
        return [_plain(each, of) for each in value]
    rule = value.func if isinstance(value, partial) else value
    if rule in _RULES.values():
        keywords = value.keywords if isinstance(value, partial) and not value.args else {}
        return {"kind": rule.__name__, **{key: _plain(each, of) for key, each in keywords.items()}}
    if type(value) in _PARTS.values():
        own = {item.name: _plain(getattr(value, item.name), of) for item in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **own}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(
        f"this {of} cannot be saved: its {type(value).__name__} is not one of the package's own."
    )


def _value(plain: Any) -> Any:
    """The value of what `_plain` says."""
    if isinstance(plain, list):
        return tuple(_value(each) for each in plain)
    if not isinstance(plain, Mapping):
        return plain
    fields = dict(plain)
    kind = fields.pop("kind", None)
    if kind == Learning.__name__:
        return _made(Learning, fields)
    values = {key: _value(each) for key, each in fields.items()}
    if kind in _RULES:
        _check_types(_RULES[kind], {key: each for key, each in values.items() if key != "step_size"})
        return partial(_RULES[kind], **values) if values else _RULES[kind]
    if kind not in _PARTS:
        raise InputError(f"the part '{kind}' of a method is not known to this version of metasci.")
    return _made(_PARTS[kind], values)


# -------------------------------------------------------------- descriptions before methods were classes

_SEVENTEEN: dict[str, Any] = {
    "steps": 5,
    "step_size": "learned",
    "per_parameter": False,
    "per_step": False,
    "rule": "descent",
    "gradient": "exact",
    "proximal": 0.0,
    "frozen": [],
    "penalty": 0.0,
    "learn_penalty": False,
    "shots": [1, 10],
    "support": "random",
    "iterations": 400,
    "learning_rate": 0.03,
    "effect_spread": 0.3,
    "segment": 0,
    "compile": False,
}
_SHARED = (
    "frozen",
    "penalty",
    "learn_penalty",
    "shots",
    "support",
    "iterations",
    "learning_rate",
    "effect_spread",
    "compile",
)
_LEARNING = {"joint": Learning.JOINT, "none": Learning.NOTHING}


def _of_seventeen_fields(fields: dict[str, Any], name: str) -> Any:
    """The method of a description of kind "GradientMethod": the class whose composition it is, or a `Composed`."""
    if unknown := sorted(set(fields) - set(_SEVENTEEN)):
        raise InputError(f"this is not the description of a GradientMethod: it has no '{unknown[0]}'.")
    old = {key: _value(value) for key, value in {**_SEVENTEEN, **fields}.items()}
    shared = {key: old[key] for key in _SHARED}
    if old["gradient"] == "reptile":
        del shared["learning_rate"]  # it was said, but not heard
    composed = Composed(
        _composition(old),
        number_or_none(old["step_size"]) is not None,
        _LEARNING.get(old["gradient"], Learning.THROUGH_ADAPTATION),
        **{**shared, "learning_rate": old["learning_rate"] if "learning_rate" in shared else 0.3},
        label=name,
    )
    own = _named(old, shared)
    same = own is not None and own.composition == composed.parts and own.learning is composed.learns
    if own is None or not same:
        return composed
    return own if own.title == name else dataclasses.replace(own, label=name)


def _named(old: dict[str, Any], shared: dict[str, Any]) -> Any:
    """The class that these fields come closest to."""
    steps, step_size = old["steps"], old["step_size"]
    rule = {"rule": old["rule"]}
    if old["rule"] == "curvature":
        return MetaCurvature(steps, **shared)
    if old["rule"] == "recurrent":
        return LearnedOptimiser(steps, **shared) if steps else None
    if old["gradient"] == "implicit":
        return IMAML(steps, old["proximal"], **shared)
    if old["gradient"] == "reptile":
        return Reptile(steps, step_size, **rule, **shared)
    if old["gradient"] == "none":
        return FromScratch(steps, step_size, **rule, **shared)
    if old["gradient"] == "joint":
        return FineTuning(steps, step_size, **rule, **shared) if steps else Pooled(**shared)
    rule["per_step"] = old["per_step"]
    if old["gradient"] == "first-order":
        return FOMAML(steps, step_size, **rule, **shared)
    if old["per_parameter"]:
        return MetaSGD(steps, **rule, **shared)
    if old["frozen"] and not old["segment"]:
        return ANIL(shared.pop("frozen"), steps, step_size, **rule, **shared)
    return MAML(steps, step_size, **rule, segment=old["segment"], **shared)


def _composition(old: dict[str, Any]) -> Composition:
    """The composition that the seventeen fields chose."""
    gradients: dict[str, MetaGradient] = {
        "exact": Exact(old["segment"] or None),
        "first-order": FirstOrder(),
        "reptile": Displacement(),
        "implicit": Implicit(newton=10),
        "joint": FirstOrder(),
        "none": FirstOrder(),
    }
    if old["gradient"] not in gradients:
        raise InputError(f"gradient: '{old['gradient']}' is not known; say one of {', '.join(gradients)}.")
    if old["rule"] not in (*RULES, "curvature", "recurrent"):
        raise InputError(f"rule: '{old['rule']}' is not known to this version of metasci.")
    size = number_or_none(old["step_size"])
    rule: Any = RecurrentOptimiser()
    if old["rule"] == "curvature":
        rule = Curvature(1.0 if size is None else size)
    elif old["rule"] in RULES:
        each = "parameter" if old["per_parameter"] else "scalar"
        rule = descent(old["step_size"], old["rule"], each, old["per_step"])
    return Composition(
        rule,
        old["steps"],
        gradients[old["gradient"]],
        proximal=old["proximal"],
        trajectory=old["rule"] == "recurrent",
    )
