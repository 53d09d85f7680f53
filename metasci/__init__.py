"""Calibrate a scientific model to a new alloy or patient from a few measurements, with a prior learned from many.

>>> import metasci as ms
>>> ms.load("theophylline").model.output.unit
'mg/L'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metasci.methods import METHODS

__version__ = "0.1.0"

_WHERE = {
    **{method.name: method.module for method in METHODS},
    "Additive": "metasci.noise",
    "Combined": "metasci.noise",
    "CombinedDeviations": "metasci.noise",
    "EarlyAdditive": "metasci.noise",
    "EarlyLogNormal": "metasci.noise",
    "LogNormal": "metasci.noise",
    "LogNormalVickers": "metasci.rockwell",
    "PowerNoise": "metasci.noise",
    "Proportional": "metasci.noise",
    "Several": "metasci.noise",
    "StudentAdditive": "metasci.outcomes.measurements",
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
    "average": "metasci.priors.averaging",
    "load": "metasci.priors.load",
    "meta_calibrate": "metasci.priors.equation",
    "evaluate": "metasci.evaluation.evaluate",
    "dataset": "metasci.catalogue",
    "Target": "metasci.dosing",
    "recommend": "metasci.dosing",
    "unit": "metasci.units",
}
_MODULES = (
    "bayes",
    "constraints",
    "diagnostics",
    "dosing",
    "federated",
    "heat_treatment",
    "kinetics",
    "math",
    "meta",
    "noise",
    "ode",
    "outcomes",
    "patients",
    "report",
    "responses",
)

__all__ = ["__version__", *_WHERE, *_MODULES]

if TYPE_CHECKING:
    from metasci import (
        bayes as bayes,
        constraints as constraints,
        diagnostics as diagnostics,
        dosing as dosing,
        federated as federated,
        heat_treatment as heat_treatment,
        kinetics as kinetics,
        math as math,
        meta as meta,
        noise as noise,
        ode as ode,
        outcomes as outcomes,
        patients as patients,
        report as report,
        responses as responses,
    )
    from metasci.catalogue import (
        dataset as dataset,
    )
    from metasci.constraints import (
        Bounded as Bounded,
        Monotone as Monotone,
        NonNegative as NonNegative,
    )
    from metasci.data.cards import (
        Card as Card,
    )
    from metasci.data.regimen import (
        Regimen as Regimen,
    )
    from metasci.data.tasks import (
        TaskSet as TaskSet,
    )
    from metasci.dosing import (
        Target as Target,
        recommend as recommend,
    )
    from metasci.errors import (
        InputError as InputError,
    )
    from metasci.evaluation.evaluate import (
        evaluate as evaluate,
    )
    from metasci.meta.baselines import (
        FineTuning as FineTuning,
        FromScratch as FromScratch,
        Pooled as Pooled,
    )
    from metasci.meta.discrepancy.method import (
        DiscrepancyPrior as DiscrepancyPrior,
    )
    from metasci.meta.laplace.gaussian import (
        GaussianPrior as GaussianPrior,
    )
    from metasci.meta.methods import (
        ANIL as ANIL,
        FOMAML as FOMAML,
        IMAML as IMAML,
        MAML as MAML,
        LearnedOptimiser as LearnedOptimiser,
        MetaCurvature as MetaCurvature,
        MetaSGD as MetaSGD,
        Reptile as Reptile,
    )
    from metasci.model import (
        History as History,
        Input as Input,
        Model as Model,
        Output as Output,
        equation as equation,
    )
    from metasci.noise import (
        Additive as Additive,
        Combined as Combined,
        CombinedDeviations as CombinedDeviations,
        EarlyAdditive as EarlyAdditive,
        EarlyLogNormal as EarlyLogNormal,
        LogNormal as LogNormal,
        PowerNoise as PowerNoise,
        Proportional as Proportional,
        Several as Several,
    )
    from metasci.outcomes.measurements import (
        StudentAdditive as StudentAdditive,
    )
    from metasci.parameters import (
        Parameter as Parameter,
        ParameterSpace as ParameterSpace,
    )
    from metasci.priors.averaging import (
        average as average,
    )
    from metasci.priors.calibrated import (
        Calibration as Calibration,
    )
    from metasci.priors.equation import (
        Prior as Prior,
        meta_calibrate as meta_calibrate,
    )
    from metasci.priors.load import (
        load as load,
    )
    from metasci.rockwell import (
        LogNormalVickers as LogNormalVickers,
    )
    from metasci.units import (
        unit as unit,
    )


def __getattr__(name: str) -> Any:
    """Load a public name, and the heavy libraries behind it, when it is first used."""
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"metasci.{name}")
    raise AttributeError(f"module 'metasci' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
