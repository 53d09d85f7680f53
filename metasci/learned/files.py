"""What the files of a prior say, held against the model as it is declared now, and the tensors against both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from metasci.errors import InputError
from metasci.files import State
from metasci.materials.properties import property_of
from metasci.meta.gradient import GradientMethod
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.method import Method
from metasci.model import Input, Model, Output
from metasci.noise import (
    Additive,
    Combined,
    CombinedDeviations,
    EarlyLogNormal,
    LogNormal,
    Noise,
    PowerNoise,
    Proportional,
    Several,
)
from metasci.parameters import parameter_described

__all__ = ["as_declared", "check_state", "described_noise", "described_property", "property_described"]

_NOISES = {
    kind.__name__: kind
    for kind in (Additive, Combined, CombinedDeviations, LogNormal, PowerNoise, Proportional)
}


def as_declared(model: Model, description: dict[str, Any], path: Path) -> Model:
    """The model with the noise the prior was learned under; refused where its parameters mean something else now."""
    declared = {}
    for entry in description["parameters"]:
        declared[entry["name"]] = parameter_described(entry)
    if tuple(declared) != model.parameters.names:
        raise InputError(
            f"{path}: the prior is of parameters {tuple(declared)}, the model has {model.parameters.names}."
        )
    for now in model.parameters:
        if replace(declared[now.name], description=now.description) != now:
            raise InputError(
                f"{path}: the model '{model.name}' declares the parameter '{now.name}' otherwise than when the prior "
                "was learned; learn the prior anew."
            )
    own = described_noise(model.noise)
    if all(own.get(key) == value for key, value in description["noise"].items() if value != []):
        return model
    return model.with_noise(_noise_of(description["noise"], path))


def described_noise(noise: Noise) -> dict[str, Any]:
    """A noise model as plain text and numbers; of several outputs, each one's too."""
    described = {
        "kind": type(noise).__name__,
        "scales": list(noise.scales),
        "typical": list(noise.typical),
    }
    if isinstance(noise, Several):
        return {**described, "by": noise.by, "noises": [described_noise(each) for each in noise.noises]}
    if isinstance(noise, EarlyLogNormal):
        return {**described, "by": noise.by, "over": noise.over}
    return described


def _noise_of(described: Mapping[str, Any], path: Path) -> Noise:
    """The noise model of what `described_noise` says."""
    kind, typical = described["kind"], tuple(described.get("typical", ()))
    if kind == Several.__name__ and "noises" in described:
        return Several(described["by"], tuple(_noise_of(each, path) for each in described["noises"]))
    if kind == EarlyLogNormal.__name__ and "over" in described:
        return EarlyLogNormal(typical, described["by"], float(described["over"]))
    if kind not in _NOISES:
        raise InputError(f"{path}: the noise '{kind}' is not known to this version of metasci.")
    return _NOISES[kind](typical) if typical else _NOISES[kind]()


def described_property(model: Model) -> dict[str, Any]:
    """A property of structures as plain text and numbers: it has no equation, so this is all of it."""
    inputs = {
        name: {"unit": one.unit} | ({"lower": one.lower} if math.isfinite(one.lower) else {})
        for name, one in model.inputs.items()
    }
    return {
        "inputs": inputs,
        "output": asdict(model.output),
        "noise": described_noise(model.noise),
        "description": model.description,
    }


def property_described(name: str, described: Mapping[str, Any], path: Path) -> Model:
    """The property of what `described_property` says."""
    inputs = {key: Input(**one) for key, one in described["inputs"].items()}
    structure = next(iter(inputs))
    conditions = {key: one for key, one in inputs.items() if key != structure}
    output, noise = Output(**described["output"]), _noise_of(described["noise"], path)
    return property_of(structure, output, noise, conditions, described["description"], name)


def check_state(state: State, method: Method, sizes: tuple[int, int, int, int], path: Path) -> None:
    """Refuse tensors that are missing, of another shape, or not finite; sizes are of parameters, covariates, noise
    scales and laws.
    """
    size, covariates, scales, laws = sizes
    shapes: dict[str, tuple[int, ...]] = {
        "covariates/centre": (covariates,),
        "covariates/scale": (covariates,),
        "covariates/correlation": (covariates, covariates),
        "log_noise": (scales,),
    }
    if isinstance(method, GaussianPrior):
        wide = 1 + covariates
        shapes |= {"coefficients": (size, wide), "covariance": (size, size)}
        shapes |= {"design_covariance": (wide, wide), "noise_shape": ()}
    elif isinstance(method, GradientMethod):
        shapes |= method.shapes(size, covariates, scales, laws)
    for name, shape in shapes.items():
        value = state.get(name)
        if value is None or tuple(value.shape) != shape or not bool(torch.isfinite(value).all()):
            raise InputError(
                f"{path.with_name('prior.safetensors')}: '{name}' is missing, not finite, or of another shape than "
                f"{path.name} implies."
            )
