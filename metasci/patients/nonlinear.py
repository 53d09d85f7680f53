"""Patients' equations that have no closed form: saturable elimination, and a response that a drug inhibits.

Each is a differential equation solved by `metasci.ode`, whose error the model's `solution` reports; a task whose steps
do not meet the tolerance is predicted as NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metasci.constraints import NonNegative
from metasci.math import where
from metasci.model import Input, Output, equation
from metasci.noise import Proportional, Several
from metasci.parameters import Parameter
from metasci.patients.dynamics import Dynamics, apart, events, stacked
from metasci.patients.regimen import doses
from metasci.patients.viral import viral_decay_biphasic, viral_load

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "indirect_response",
    "michaelis_menten",
    "michaelis_menten_oral",
    "viral_decay_biphasic",
    "viral_load",
]

# saturable elimination ----------------------------------------------------------------------------

_CONCENTRATION = Output("concentration", "mg/L", "plasma concentration")
_TIME = {"time": Input("h", lower=0.0)}
_MAXIMUM_RATE = Parameter(
    "maximum_rate", "mg/h", 17.0, positive=True, spread=0.3, description="of elimination, Vmax"
)
_HALF = Parameter(
    "michaelis_constant",
    "mg/L",
    4.0,
    positive=True,
    spread=0.5,
    description="concentration of half that rate, Km",
)
_VOLUME = Parameter("volume", "L", 45.0, positive=True, spread=0.25)
_ABSORPTION = Parameter("absorption_rate", "1/h", 0.6, positive=True, spread=0.5)


def _saturable(concentration: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    return p["maximum_rate"] * concentration / (p["volume"] * (p["michaelis_constant"] + concentration))


_INTRAVENOUS = Dynamics(
    rate=lambda time, state, p: -_saturable(state[:, 0], p)[:, None],
    initial=lambda p: (0.0 * p["volume"],),
    entering=lambda p: 1.0 / p["volume"],
)


def _oral_rate(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    gut, concentration = apart(state)
    absorbed = p["absorption_rate"] * gut
    return stacked(-absorbed, absorbed / p["volume"] - _saturable(concentration, p))


_ORAL = Dynamics(
    rate=_oral_rate,
    initial=lambda p: (0.0 * p["volume"], 0.0 * p["volume"]),
    entering=lambda p: 1.0 + 0.0 * p["volume"],
    relative=1e-7,
    depot=True,
)


@equation(
    inputs=_TIME,
    histories={"dose": doses()},
    output=_CONCENTRATION,
    parameters=(_MAXIMUM_RATE, _HALF, _VOLUME),
    noise=Proportional((0.15,)),
    constraints=(NonNegative(),),
    joint=True,
    solution=_INTRAVENOUS.solution,
)
def michaelis_menten(
    time: Any,
    dose: Any,
    dose_time: Any,
    dose_duration: Any,
    dose_interval: Any,
    dose_until: Any,
    *,
    maximum_rate: Any,
    michaelis_constant: Any,
    volume: Any,
) -> Any:
    """Concentration under saturable elimination after intravenous doses, V·dC/dt = input − Vmax·C/(Km + C).

    Typical values are of phenytoin in adults. Source: Michaelis and Menten 1913; Wagner, J Pharmacokinet
    Biopharm 1 (1973) 363; phenytoin: Ludden, Clin Pharmacokinet 2 (1977) 365.
    """
    inputs = events(time, dose, dose_time, dose_duration, dose_interval, dose_until)
    parameters = {"maximum_rate": maximum_rate, "michaelis_constant": michaelis_constant, "volume": volume}
    (concentration,) = _INTRAVENOUS.states(inputs, parameters)
    return concentration


@equation(
    inputs=_TIME,
    histories={"dose": doses()},
    output=_CONCENTRATION,
    parameters=(_ABSORPTION, _MAXIMUM_RATE, _HALF, _VOLUME),
    noise=Proportional((0.15,)),
    constraints=(NonNegative(),),
    joint=True,
    solution=_ORAL.solution,
)
def michaelis_menten_oral(
    time: Any,
    dose: Any,
    dose_time: Any,
    dose_duration: Any,
    dose_interval: Any,
    dose_until: Any,
    *,
    absorption_rate: Any,
    maximum_rate: Any,
    michaelis_constant: Any,
    volume: Any,
) -> Any:
    """Concentration under saturable elimination after doses by mouth, dA/dt = −kₐA, V·dC/dt = kₐA − Vmax·C/(Km + C).

    Volume and maximum rate are apparent, over the bioavailability. Source: Wagner, J Pharmacokinet Biopharm 1
    (1973) 363.
    """
    inputs = events(time, dose, dose_time, dose_duration, dose_interval, dose_until)
    parameters = {
        "absorption_rate": absorption_rate,
        "maximum_rate": maximum_rate,
        "michaelis_constant": michaelis_constant,
        "volume": volume,
    }
    _, concentration = _ORAL.states(inputs, parameters)
    return concentration


# indirect response --------------------------------------------------------------------------------


def _response_rate(time: Tensor, state: Tensor, p: Mapping[str, Tensor]) -> Tensor:
    gut, concentration, response = apart(state)
    absorbed = p["absorption_rate"] * gut
    cleared = p["clearance"] * concentration
    inhibited = p["maximum_inhibition"] * concentration / (p["half_inhibition"] + concentration)
    return stacked(
        -absorbed,
        (absorbed - cleared) / p["volume"],
        p["production_rate"] - p["production_rate"] * inhibited - p["loss_rate"] * response,
    )


_RESPONSE = Dynamics(
    rate=_response_rate,
    initial=lambda p: (0.0 * p["volume"], 0.0 * p["volume"], p["production_rate"] / p["loss_rate"]),
    entering=lambda p: 1.0 + 0.0 * p["volume"],
    relative=1e-7,
    depot=True,
)


@equation(
    inputs={**_TIME, "output": Input("1", lower=1.0, upper=2.0)},
    histories={"dose": doses(baseline=True)},
    output=Output("value", "1", "concentration (mg/L) or response"),
    parameters=(
        Parameter("absorption_rate", "1/h", 1.0, positive=True, spread=0.5),
        Parameter("clearance", "L/h", 0.13, positive=True, spread=0.3, description="apparent, CL/F"),
        Parameter("volume", "L", 8.0, positive=True, spread=0.25, description="apparent, V/F"),
        Parameter(
            "production_rate", "1/h", 5.0, positive=True, spread=0.3, description="of the response, kin"
        ),
        Parameter("loss_rate", "1/h", 0.05, positive=True, spread=0.3, description="of the response, kout"),
        Parameter("half_inhibition", "mg/L", 1.5, positive=True, spread=0.4, description="IC50"),
        Parameter("maximum_inhibition", "1", 0.9, bounds=(0.0, 1.0), spread=0.5, description="Imax"),
    ),
    noise=Several(by="output", noises=(Proportional((0.15,)), Proportional((0.1,)))),
    constraints=(NonNegative(),),
    joint=True,
    solution=_RESPONSE.solution,
)
def indirect_response(
    time: Any,
    output: Any,
    dose: Any,
    dose_time: Any,
    dose_duration: Any,
    dose_interval: Any,
    dose_until: Any,
    *,
    absorption_rate: Any,
    clearance: Any,
    volume: Any,
    production_rate: Any,
    loss_rate: Any,
    half_inhibition: Any,
    maximum_inhibition: Any,
) -> Any:
    """Turnover whose production a drug inhibits, dR/dt = kin·(1 − Imax·C/(IC50 + C)) − kout·R, R(0) = kin/kout.

    The drug is given by mouth and has one compartment. `output` says which was measured: 1, concentration C; 2,
    response R. Typical values are of warfarin and prothrombin activity in percent. Source: Dayneka, Garg and
    Jusko, J Pharmacokinet Biopharm 21 (1993) 457, model I.
    """
    inputs = events(time, dose, dose_time, dose_duration, dose_interval, dose_until)
    parameters = {
        "absorption_rate": absorption_rate,
        "clearance": clearance,
        "volume": volume,
        "production_rate": production_rate,
        "loss_rate": loss_rate,
        "half_inhibition": half_inhibition,
        "maximum_inhibition": maximum_inhibition,
    }
    _, concentration, response = _RESPONSE.states(inputs, parameters)
    return where(output < 1.5, concentration, response)
