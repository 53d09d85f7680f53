"""Calibrate a scientific model to a new alloy or patient from a few measurements, with a prior learned from many.

>>> import metasci as ms
>>> ms.load("theophylline").model.output.unit
'mg/L'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "ANIL": "metasci.meta.gradient",
    "FOMAML": "metasci.meta.gradient",
    "IMAML": "metasci.meta.gradient",
    "MAML": "metasci.meta.gradient",
    "MetaCurvature": "metasci.meta.gradient",
    "MetaSGD": "metasci.meta.gradient",
    "Reptile": "metasci.meta.gradient",
    "LearnedOptimiser": "metasci.meta.gradient",
    "FineTuning": "metasci.meta.gradient",
    "FromScratch": "metasci.meta.gradient",
    "Pooled": "metasci.meta.gradient",
    "GaussianPrior": "metasci.meta.laplace.gaussian",
    "Additive": "metasci.noise",
    "Combined": "metasci.noise",
    "CombinedDeviations": "metasci.noise",
    "EarlyLogNormal": "metasci.noise",
    "LogNormal": "metasci.noise",
    "PowerNoise": "metasci.noise",
    "Proportional": "metasci.noise",
    "Several": "metasci.noise",
    "Bounded": "metasci.constraints",
    "Monotone": "metasci.constraints",
    "NonNegative": "metasci.constraints",
    "History": "metasci.model",
    "Input": "metasci.model",
    "Model": "metasci.model",
    "Output": "metasci.model",
    "equation": "metasci.model",
    "Parameter": "metasci.parameters",
    "ParameterSpace": "metasci.parameters",
    "InputError": "metasci.errors",
    "Card": "metasci.data.cards",
    "Regimen": "metasci.data.regimen",
    "TaskSet": "metasci.data.tasks",
    "Calibration": "metasci.priors.calibrated",
    "Prior": "metasci.priors.equation",
    "load": "metasci.priors.load",
    "meta_calibrate": "metasci.priors.equation",
    "evaluate": "metasci.evaluation.evaluate",
    "dataset": "metasci.catalogue",
    "Target": "metasci.dosing",
    "recommend": "metasci.dosing",
    "unit": "metasci.units",
}
_MODULES = (
    "bayes", "constraints", "diagnostics", "dosing", "heat_treatment", "kinetics", "math", "meta", "noise", "ode",
    "patients", "report",
)  # fmt: skip

__all__ = ["__version__", *_WHERE, *_MODULES]

if TYPE_CHECKING:
    from metasci import (
        bayes,
        constraints,
        diagnostics,
        dosing,
        heat_treatment,
        kinetics,
        math,
        meta,
        noise,
        ode,
        patients,
        report,
    )
    from metasci.catalogue import dataset
    from metasci.constraints import Bounded, Monotone, NonNegative
    from metasci.data.cards import Card
    from metasci.data.regimen import Regimen
    from metasci.data.tasks import TaskSet
    from metasci.dosing import Target, recommend
    from metasci.errors import InputError
    from metasci.evaluation.evaluate import evaluate
    from metasci.meta.gradient import (
        ANIL,
        FOMAML,
        IMAML,
        MAML,
        FineTuning,
        FromScratch,
        LearnedOptimiser,
        MetaCurvature,
        MetaSGD,
        Pooled,
        Reptile,
    )
    from metasci.meta.laplace.gaussian import GaussianPrior
    from metasci.model import History, Input, Model, Output, equation
    from metasci.noise import (
        Additive,
        Combined,
        CombinedDeviations,
        EarlyLogNormal,
        LogNormal,
        PowerNoise,
        Proportional,
        Several,
    )
    from metasci.parameters import Parameter, ParameterSpace
    from metasci.priors.calibrated import Calibration
    from metasci.priors.equation import Prior, meta_calibrate
    from metasci.priors.load import load
    from metasci.units import unit


def __getattr__(name: str) -> Any:
    """Load a public name, and the heavy libraries behind it, when it is first used."""
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"metasci.{name}")
    raise AttributeError(f"module 'metasci' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
