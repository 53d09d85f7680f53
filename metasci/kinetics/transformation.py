"""Phase transformation: at one temperature, along a cycle, after an incubation, and on cooling below equilibrium."""

from __future__ import annotations

from typing import Any

import numpy as np

from metasci.constraints import Bounded, Monotone, NonNegative
from metasci.errors import InputError
from metasci.kinetics.arrhenius import arrhenius_factor, power
from metasci.kinetics.clocks import Arrhenius, Undercooled
from metasci.kinetics.laws import kinetic_law
from metasci.math import absolute, exp, expm1, log, log1p, sqrt, where
from metasci.model import Input, Output, equation
from metasci.noise import Additive, LogNormal
from metasci.parameters import Parameter
from metasci.quantities import takes_quantities

__all__ = [
    "avrami",
    "avrami_incubation",
    "koistinen_marburger",
    "time_to_fraction",
    "transformation_time",
    "undercooled_transformation",
    "undercooling",
]

_CORNER = (
    1.0  # kelvin, over which an undercooling leaves zero, so that data on the wrong side of it still pull
)
_DRIVE = 3.0  # of the undercooling, as in `undercooled_transformation`

_RATE = Parameter("rate", "1/s", 1e-3, positive=True, spread=1.0, description="at 873 K")
_ENERGY = Parameter("activation_energy", "kJ/mol", 250.0, bounds=(50.0, 600.0), spread=0.4)
_EXPONENT = Parameter("exponent", "1", 2.0, bounds=(0.5, 4.0), spread=0.5, description="Avrami exponent")
_FRACTION: dict[str, Any] = {
    "output": Output("fraction", "1", "transformed fraction"),
    "noise": Additive((0.02,)),
    "constraints": (Monotone("time", increasing=True), Bounded(0.0, 1.0)),
}


@kinetic_law(Arrhenius(873.15), parameters=(_RATE, _ENERGY, _EXPONENT), **_FRACTION)
def avrami(equivalent_time: Any, *, rate: Any, exponent: Any) -> Any:
    """Transformed fraction X = 1 − exp(−(k t)ⁿ), with an Arrhenius rate k(T) stated at 873.15 K.

    Sources: Johnson and Mehl, Trans AIME 135 (1939) 416; Avrami, J Chem Phys 7 (1939) 1103.
    """
    return -expm1(-power(rate * equivalent_time, exponent))


@kinetic_law(
    Arrhenius(873.15),
    parameters=(
        _RATE,
        _ENERGY,
        _EXPONENT,
        Parameter("incubation", "s", 100.0, positive=True, spread=1.0, description="at 873 K"),
    ),
    **_FRACTION,
)
def avrami_incubation(equivalent_time: Any, *, rate: Any, exponent: Any, incubation: Any) -> Any:
    """Transformed fraction X = 1 − exp(−(k (t − t₀))ⁿ) after an incubation t₀, both by one activation energy.

    Along a history the incubation is used up by additivity, ∫ dt/t₀(T) = 1. Sources: as of `avrami`; Scheil, Arch
    Eisenhüttenwes 8 (1935) 565, for the incubation.
    """
    return -expm1(-power(rate * (equivalent_time - incubation), exponent))


@kinetic_law(
    Undercooled(reference=900.0, power=3.0),
    parameters=(
        Parameter(
            "rate", "1/s", 5e-2, positive=True, spread=1.0, description="at 900 K, undercooled by 100 K"
        ),
        Parameter(
            "activation_energy", "kJ/mol", 150.0, bounds=(30.0, 400.0), spread=0.5, description="of growth"
        ),
        Parameter(
            "equilibrium_temperature",
            "K",
            1000.0,
            bounds=(700.0, 1300.0),
            spread=0.15,
            description="above which nothing transforms",
        ),
        _EXPONENT,
    ),
    **_FRACTION,
)
def undercooled_transformation(equivalent_time: Any, *, rate: Any, exponent: Any) -> Any:
    """Transformed fraction X = 1 − exp(−(k t)ⁿ) below an equilibrium temperature, fastest at the nose of a C-curve.

    k(T) = rate · ((T_e − T)/100 K)³ · exp(−Q/R (1/T − 1/900 K)). Sources: as of `avrami`; Kirkaldy and Venugopalan, in
    Phase Transformations in Ferrous Alloys (1984) 125, for the rate.
    """
    return -expm1(-power(rate * equivalent_time, exponent))


@takes_quantities(limit="K", temperature="K")
def undercooling(limit: Any, temperature: Any) -> Any:
    """How far a temperature lies below a limit, K; above it next to nothing, but not zero.

    The corner at the limit is rounded over a kelvin, by a hyperbola: a measurement on its wrong side still moves it.

    Examples
    --------
    >>> undercooling(1000.0, np.array([900.0, 990.0, 1010.0])).round(2).tolist()
    [100.01, 10.1, 0.1]
    """
    below = limit - temperature
    root = sqrt(below**2 + 4.0 * _CORNER**2)
    # either form loses its digits by cancellation on one side of the limit
    return where(below > 0.0, 0.5 * (root + below), 2.0 * _CORNER**2 / (root + absolute(below)))


@equation(
    inputs={"temperature": Input("K", lower=0.0), "fraction": Input("1", lower=1e-4, upper=0.9999)},
    output=Output("time", "s", "time to a fraction"),
    parameters=(
        # of ferrite, pearlite and bainite of any steel, and of precipitates: wider than of one kind of transformation
        Parameter(
            "rate", "1/s", 5e-2, positive=True, spread=2.0, description="at 900 K, undercooled by 100 K"
        ),
        Parameter(
            "activation_energy", "kJ/mol", 150.0, bounds=(30.0, 400.0), spread=0.5, description="of growth"
        ),
        Parameter(
            "equilibrium_temperature",
            "K",
            1000.0,
            bounds=(600.0, 1500.0),
            spread=0.4,
            description="above which nothing transforms",
        ),
        Parameter("exponent", "1", 2.0, bounds=(0.5, 6.0), spread=0.5, description="Avrami exponent"),
    ),
    noise=LogNormal((0.2,)),
    constraints=(Monotone("fraction", increasing=True), NonNegative()),
)
def transformation_time(
    temperature: Any,
    fraction: Any,
    *,
    rate: Any,
    activation_energy: Any,
    equilibrium_temperature: Any,
    exponent: Any,
) -> Any:
    """Time at one temperature until a fraction has transformed: the curves of a TTT diagram, as they are read off one.

    The law of `undercooled_transformation`, with the same parameters, solved for time:
    t = (−ln(1 − X))^(1/n)/k(T), k(T) = rate · ((T_e − T)/100 K)³ · exp(−Q/R (1/T − 1/900 K)). Times scatter on their
    logarithm. The corner at T_e is rounded over a kelvin. Sources: as of `undercooled_transformation`.
    """
    drive = 0.01 * undercooling(equilibrium_temperature, temperature)
    pace = rate * arrhenius_factor(temperature, activation_energy, 900.0)
    progress = log(-log1p(-fraction)) / exponent
    return exp(progress - _DRIVE * log(drive)) / pace


@equation(
    inputs={"temperature": Input("K", lower=0.0)},
    output=Output("fraction", "1", "martensite"),
    parameters=(
        Parameter("martensite_start", "K", 570.0, bounds=(100.0, 900.0), spread=0.5),
        Parameter("rate", "1/K", 0.011, positive=True, spread=0.3, description="per kelvin below the start"),
    ),
    noise=Additive((0.03,)),
    constraints=(Monotone("temperature", increasing=False), Bounded(0.0, 1.0)),
)
def koistinen_marburger(temperature: Any, *, martensite_start: Any, rate: Any) -> Any:
    """Martensite X = 1 − exp(−a·(Ms − T)) below its start Ms, whatever the time; the corner is rounded over a kelvin.

    Source: Koistinen and Marburger, Acta Metall 7 (1959) 59, with a = 0.011/K for iron and carbon.
    """
    return -expm1(-rate * undercooling(martensite_start, temperature))


@takes_quantities(fraction="1", speed="1", rate="1/s", exponent="1", incubation="s")
def time_to_fraction(fraction: Any, speed: Any, rate: Any, exponent: Any, incubation: Any = 0.0) -> Any:
    """Time at one temperature until a fraction has transformed, t = (t₀ + (−ln(1 − X))^(1/n)/k)/s(T).

    Start and finish of a time–temperature–transformation diagram are those of 1 and 99 %.

    Parameters
    ----------
    fraction : array
        Between 0 and 1.
    speed : array
        Of the clock at the temperature.
    rate, exponent, incubation : array
        Of the law; rate and incubation at the reference temperature. The time is in the incubation's unit, the inverse
        of the rate's; in seconds where these are quantities.

    Examples
    --------
    >>> time_to_fraction(np.array([0.01, 0.5, 0.99]), 1.0, 1e-3, 2.0).round(1).tolist()
    [100.3, 832.6, 2146.0]
    """
    share = np.asarray(fraction, dtype=float)
    if not ((share > 0.0) & (share < 1.0)).all():
        raise InputError("a fraction must lie between 0 and 1, both excluded.")
    with np.errstate(divide="ignore"):  # where nothing moves it takes forever
        return (incubation + (-np.log1p(-share)) ** (1.0 / exponent) / rate) / speed
