"""One compartment per kilogram of body weight, in closed form: a single dose by mouth, boluses into a vein.

Each has a sister of the same parameters that takes whatever an event table tells: infusions, steady states, resets.
"""

from __future__ import annotations

from typing import Any

from metasci.constraints import NonNegative
from metasci.math import exp, sum, where
from metasci.model import History, Input, Output, equation
from metasci.noise import Additive
from metasci.parameters import Parameter
from metasci.patients.disposition import modes
from metasci.patients.regimen import DoseArrays, doses
from metasci.patients.superposition import absorbed, exponential_difference, given

__all__ = [
    "one_compartment_bolus",
    "one_compartment_oral",
    "one_compartment_oral_per_kilogram",
    "one_compartment_per_kilogram",
]

_CONCENTRATION = Output("concentration", "mg/L", "plasma concentration")
_ORAL = (
    Parameter("absorption_rate", "1/h", 1.5, positive=True, spread=0.6),
    Parameter("clearance", "L/h/kg", 0.04, positive=True, spread=0.3, description="apparent, CL/F"),
    Parameter("volume", "L/kg", 0.5, positive=True, spread=0.2, description="apparent, V/F"),
)
_VEIN = (
    Parameter("clearance", "L/h/kg", 0.005, positive=True, spread=0.3),
    Parameter("volume", "L/kg", 1.0, positive=True, spread=0.2),
)


@equation(
    inputs={"time": Input("h", lower=0.0), "weight": Input("kg", lower=0.0, constant=True)},
    histories={"dose": doses(infusions=False)},
    output=_CONCENTRATION,
    parameters=_ORAL,
    noise=Additive((0.7,)),
    constraints=(NonNegative(),),
    covariates={"weight": "kg"},
    transforms={"weight": "log"},
)
def one_compartment_oral_per_kilogram(
    time: Any,
    weight: Any,
    dose: Any,
    dose_time: Any,
    dose_interval: Any,
    dose_until: Any,
    *,
    absorption_rate: Any,
    clearance: Any,
    volume: Any,
) -> Any:
    """Concentration after any doses by mouth, with parameters per kilogram of body weight.

    `one_compartment_oral` for one dose at time zero. Source: superposition, Gibaldi and Perrier, Pharmacokinetics, 2nd
    ed. (1982).
    """
    what = DoseArrays.of(dose, dose_time, interval=dose_interval, until=dose_until)
    return absorbed(time, what, modes(clearance, volume), absorption_rate) / (volume * weight)


@equation(
    inputs={"time": Input("h", lower=0.0), "weight": Input("kg", lower=0.0, constant=True)},
    histories={"dose": doses()},
    output=_CONCENTRATION,
    parameters=_VEIN,
    noise=Additive((2.5,)),
    constraints=(NonNegative(),),
    covariates={"weight": "kg", "apgar": "1"},
    transforms={"weight": "log"},
)
def one_compartment_per_kilogram(
    time: Any,
    weight: Any,
    dose: Any,
    dose_time: Any,
    dose_duration: Any,
    dose_interval: Any,
    dose_until: Any,
    *,
    clearance: Any,
    volume: Any,
) -> Any:
    """Concentration after any boluses and infusions, with parameters per kilogram of body weight.

    `one_compartment_bolus` for boluses. Source: superposition, Gibaldi and Perrier, Pharmacokinetics, 2nd ed. (1982).
    """
    what = DoseArrays(dose, dose_time, dose_duration, dose_interval, dose_until)
    return given(time, what, modes(clearance, volume)) / (volume * weight)


@equation(
    inputs={"time": Input("h", lower=0.0), "dose": Input("mg/kg", lower=0.0)},
    output=_CONCENTRATION,
    parameters=_ORAL,
    noise=Additive((0.7,)),
    constraints=(NonNegative(),),
    covariates={"weight": "kg"},
    transforms={"weight": "log"},
    after_doses=one_compartment_oral_per_kilogram,
)
def one_compartment_oral(time: Any, dose: Any, *, absorption_rate: Any, clearance: Any, volume: Any) -> Any:
    """Concentration after one dose by mouth, C = D/V · kₐ/(kₐ − kₑ) · (e^(−kₑt) − e^(−kₐt)) with kₑ = CL/V.

    Doses and parameters are per kilogram of body weight. Stable where kₐ meets kₑ. Source: Bateman 1910;
    Gabrielsson and Weiner, Pharmacokinetic and Pharmacodynamic Data Analysis, 5th ed.
    """
    return dose / volume * absorption_rate * exponential_difference(clearance / volume, absorption_rate, time)


@equation(
    inputs={"time": Input("h", lower=0.0), "weight": Input("kg", lower=0.0, constant=True)},
    histories={"dose": History("mg", at="time")},
    output=_CONCENTRATION,
    parameters=_VEIN,
    noise=Additive((2.5,)),
    constraints=(NonNegative(),),
    covariates={"weight": "kg", "apgar": "1"},
    transforms={"weight": "log"},
    after_doses=one_compartment_per_kilogram,
)
def one_compartment_bolus(
    time: Any, weight: Any, dose: Any, dose_time: Any, *, clearance: Any, volume: Any
) -> Any:
    """Concentration after repeated intravenous doses, C(t) = Σ Dⱼ/(V·w) · e^(−CL/V·(t − tⱼ)) over doses given by t.

    Clearance and volume are in proportion to the body weight w. Source: superposition of single doses,
    Gibaldi and Perrier, Pharmacokinetics, 2nd ed. (1982); weights as in Grasela and
    Donn, Dev Pharmacol Ther 8 (1985) 374.
    """
    elapsed = time[..., None] - dose_time
    after = elapsed >= 0.0
    elimination = (clearance / volume + 0.0 * time)[..., None]
    remaining = where(after, exp(-elimination * where(after, elapsed, 0.0 * elapsed)), 0.0 * elapsed)
    return sum(dose * remaining) / (volume * weight)
