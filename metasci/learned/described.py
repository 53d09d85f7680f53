"""Models, noises and methods as the plain text and numbers of ``prior.json``, and back: each held against what is
declared now.
"""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import Any

from metasci.errors import InputError
from metasci.learned.checked import Table, dataclass_of
from metasci.materials.properties import property_of
from metasci.model import Input, Model, Output
from metasci.noise import (
    Additive,
    Combined,
    CombinedDeviations,
    EarlyAdditive,
    EarlyLogNormal,
    LogNormal,
    Noise,
    PowerNoise,
    Proportional,
    Several,
)
from metasci.outcomes import (
    Bernoulli,
    Binomial,
    Categorical,
    Deviation,
    Exponential,
    Gompertz,
    LogLogistic,
    LogNormalTime,
    Mixed,
    NegativeBinomial,
    Ordinal,
    Outcome,
    PiecewiseExponential,
    Poisson,
    StudentAdditive,
    StudentDeviation,
    Weibull,
    ZeroInflatedPoisson,
)
from metasci.parameters import BoxCox, Parameter
from metasci.rockwell import LogNormalVickers

__all__ = ["as_declared", "described_noise", "described_property", "noise_described", "property_described"]

_NOISES = {
    kind.__name__: kind
    for kind in (
        Additive,
        Combined,
        CombinedDeviations,
        LogNormal,
        LogNormalVickers,
        PowerNoise,
        Proportional,
    )
}

_OUTCOMES: dict[str, type[Outcome]] = {
    kind.__name__: kind
    for kind in (
        Bernoulli,
        Binomial,
        Categorical,
        Deviation,
        Exponential,
        Gompertz,
        LogLogistic,
        LogNormalTime,
        NegativeBinomial,
        Ordinal,
        PiecewiseExponential,
        Poisson,
        StudentAdditive,
        StudentDeviation,
        Weibull,
        ZeroInflatedPoisson,
    )
}


def as_declared(model: Model, description: Table) -> Model:
    """The model with the noise the prior was learned under; refused where its parameters mean something else now."""
    rows = description.tables("parameters")
    declared = [dataclass_of(BoxCox if "skew" in row.values else Parameter, row) for row in rows]
    names = tuple(parameter.name for parameter in declared)
    if names != model.parameters.names:
        raise InputError(
            f"{description.where}: the prior is of parameters {names}, the model has {model.parameters.names}."
        )
    for then, now in zip(declared, model.parameters, strict=True):
        if _without_words(then) != _without_words(now):
            raise InputError(
                f"{description.where}: the model '{model.name}' declares the parameter '{now.name}' otherwise than "
                "when the prior was learned; learn the prior anew."
            )
    noise = description.table("noise")
    own = described_noise(model.noise)
    if all(own.get(key) == value for key, value in noise.values.items() if value != []):
        return model
    return model.with_noise(noise_described(noise))


def _without_words(parameter: Parameter) -> dict[str, Any]:
    """What a parameter means: all of it but its description."""
    return {key: value for key, value in asdict(parameter).items() if key != "description"}


def described_noise(noise: Noise) -> dict[str, Any]:
    """A noise model as plain text and numbers; of several outputs, each one's too."""
    described = {
        "kind": type(noise).__name__,
        "scales": list(noise.scales),
        "typical": list(noise.typical),
    }
    if isinstance(noise, Several):
        return {**described, "by": noise.by, "noises": [described_noise(each) for each in noise.noises]}
    if isinstance(noise, Mixed):
        kinds = [described_noise(each) for each in noise.kinds]
        returns = {} if noise.returns == "prediction" else {"returns": noise.returns}
        return {**described, "by": noise.by, "kinds": kinds, **returns}
    if isinstance(noise, EarlyAdditive):
        return {**described, "by": noise.by}
    if isinstance(noise, EarlyLogNormal):
        return {**described, "by": noise.by, "over": noise.over}
    if not noise.gaussian:
        own = {item.name: getattr(noise, item.name) for item in fields(noise) if item.init}
        lists = {key: list(value) for key, value in own.items() if isinstance(value, tuple)}
        return {**described, **own, **lists}
    return described


def noise_described(table: Table) -> Noise:
    """The noise model of what `described_noise` says."""
    kind = table.get("kind", str)
    typical = table.get_or("typical", tuple[float, ...], ())
    if any(not 0.0 < value < math.inf for value in typical):
        raise InputError(f"{table.where}, typical: a noise's scales are above zero.")
    if kind == Several.__name__ and "noises" in table.values:
        return Several(table.get("by", str), tuple(noise_described(row) for row in table.tables("noises")))
    if kind == Mixed.__name__ and "kinds" in table.values:
        kinds = tuple(noise_described(row) for row in table.tables("kinds"))
        return Mixed(table.get("by", str), kinds, table.get_or("returns", str, "prediction"))
    if kind in _OUTCOMES:
        own = {key: value for key, value in table.values.items() if key not in ("kind", "scales")}
        outcome: Outcome = dataclass_of(_OUTCOMES[kind], Table(own, table.where))
        return outcome
    if kind == EarlyLogNormal.__name__ and "over" in table.values:
        noise: Noise = EarlyLogNormal(typical, table.get("by", str), table.get("over", float))
    elif kind == EarlyAdditive.__name__ and "by" in table.values:
        noise = EarlyAdditive(typical, table.get("by", str))
    elif kind in _NOISES:
        noise = _NOISES[kind](typical) if typical else _NOISES[kind]()
    else:
        raise InputError(f"{table.where}: the noise '{kind}' is not known to this version of metasci.")
    if len(noise.typical) != len(noise.scales):
        raise InputError(
            f"{table.where}, typical: the noise '{kind}' has {len(noise.scales)} scales, not {len(typical)}."
        )
    return noise


def described_property(model: Model) -> dict[str, Any]:
    """A property of structures as plain text and numbers: it has no equation, so this is all of it."""
    inputs = {
        name: {"unit": declared.unit}
        | ({"lower": declared.lower} if math.isfinite(declared.lower) else {})
        | ({"simulates": True} if declared.simulates else {})
        for name, declared in model.inputs.items()
    }
    return {
        "inputs": inputs,
        "output": asdict(model.output),
        "noise": described_noise(model.noise),
        "description": model.description,
    }


def property_described(name: str, table: Table) -> Model:
    """The property of what `described_property` says; the first of its inputs is the structure."""
    inputs = {}
    for key in table.get("inputs", dict[str, dict[str, Any]]):
        row = Table(table.values["inputs"][key], f"{table.where}, inputs, {key}")
        row.unit("unit")
        inputs[key] = dataclass_of(Input, row)
    if not inputs:
        raise InputError(f"{table.where}, inputs: there is none, but a structure is one.")
    structure, *conditions = inputs
    table.table("output").unit("unit")
    return property_of(
        structure,
        dataclass_of(Output, table.table("output")),
        noise_described(table.table("noise")),
        {key: inputs[key] for key in conditions},
        table.get_or("description", str, ""),
        name,
    )
