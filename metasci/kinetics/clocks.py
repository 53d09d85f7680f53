"""How fast a process runs at a temperature, relative to the temperature at which its rate is stated.

A law of kinetics says what comes about after a time at that reference temperature; a clock turns time at any other
temperature, or along a history of temperatures, into that time. A clock is named parameters and a speed, and says where
the speed is not smooth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from metasci.kinetics.arrhenius import GAS_CONSTANT, arrhenius_factor, power
from metasci.math import exp, maximum
from metasci.quantities import in_unit, takes_quantities

__all__ = ["Arrhenius", "Clock", "Soluble", "Undercooled"]


class Clock(Protocol):
    """What a law needs of a clock."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """Names of the parameters that the speed depends on, with the units that it takes them in."""
        ...

    @property
    def corner(self) -> str | None:
        """The parameter at whose temperature the speed has a corner, where an integral must be split; or None."""
        ...

    def speed(self, temperature: Any, **parameters: Any) -> Any:
        """Time at the reference temperature that passes in a unit of time at this temperature (K)."""
        ...


def _plain(clock: Clock, temperature: Any, parameters: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Temperature and parameters of a clock as numbers in its units."""
    numbers = {key: in_unit(value, clock.parameters.get(key, "1"), key) for key, value in parameters.items()}
    return in_unit(temperature, "K", "temperature"), numbers


@dataclass(frozen=True)
class Arrhenius:
    """One activation energy, s(T) = exp(−Q/R · (1/T − 1/T_ref)); the parameter is ``activation_energy`` in kJ/mol.

    Examples
    --------
    >>> import numpy as np
    >>> Arrhenius(900.0).speed(np.array([900.0, 950.0]), activation_energy=200.0).round(2).tolist()
    [1.0, 4.08]
    """

    reference: float

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"activation_energy": "kJ/mol"}

    @property
    def corner(self) -> None:
        return None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", in_unit(self.reference, "K", "reference"))

    def speed(self, temperature: Any, **parameters: Any) -> Any:
        temperature, parameters = _plain(self, temperature, parameters)
        return arrhenius_factor(temperature, parameters["activation_energy"], self.reference)


@dataclass(frozen=True)
class Undercooled:
    """A transformation on cooling: driven by undercooling, slowed by diffusion, so that it is fastest at a nose.

    s(T) = ((T_e − T)/100 K)^p · exp(−Q/R · (1/T − 1/T_ref)) below the equilibrium temperature, nothing above it.
    Parameters are ``activation_energy`` (kJ/mol) and ``equilibrium_temperature`` (K).

    Source: Zener, Trans AIME 167 (1946) 550; with p from 2 to 3, Kirkaldy and Venugopalan, in Phase Transformations in
    Ferrous Alloys (1984) 125.

    Examples
    --------
    >>> import numpy as np
    >>> clock = Undercooled(reference=900.0, power=2.0)
    >>> said = dict(activation_energy=200.0, equilibrium_temperature=1000.0)
    >>> clock.speed(np.array([800.0, 900.0, 1000.0]), **said).round(3).tolist()
    [0.142, 1.0, 0.0]
    """

    reference: float
    power: float = 3.0

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"activation_energy": "kJ/mol", "equilibrium_temperature": "K"}

    @property
    def corner(self) -> str:
        return "equilibrium_temperature"

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", in_unit(self.reference, "K", "reference"))

    def speed(self, temperature: Any, **parameters: Any) -> Any:
        temperature, parameters = _plain(self, temperature, parameters)
        drive = power(0.01 * (parameters["equilibrium_temperature"] - temperature), self.power)
        return drive * arrhenius_factor(temperature, parameters["activation_energy"], self.reference)


@dataclass(frozen=True)
class Soluble:
    """`Arrhenius`, weighed by the precipitate that is stable at the temperature, relative to that at the reference.

    f(T) = 1 − exp(−Q_s/R · (1/T − 1/T_s)) below the solvus temperature T_s, nothing above it. Parameters are
    ``activation_energy`` (kJ/mol) and ``solvus_temperature`` (K), which has to lie above the reference.

    Source: Shercliff and Ashby, Acta Metall Mater 38 (1990) 1789.

    Parameters
    ----------
    reference : float
        K.
    enthalpy : float
        Q_s, of solution, in kJ/mol.

    Examples
    --------
    >>> import numpy as np
    >>> clock = Soluble(reference=448.15, enthalpy=40.0)
    >>> said = dict(activation_energy=130.0, solvus_temperature=550.0)
    >>> clock.weight(np.array([448.15, 500.0, 550.0, 600.0]), said["solvus_temperature"]).round(3).tolist()
    [1.0, 0.676, 0.0, 0.0]
    """

    reference: float
    enthalpy: float

    @property
    def parameters(self) -> Mapping[str, str]:
        return {"activation_energy": "kJ/mol", "solvus_temperature": "K"}

    @property
    def corner(self) -> str:
        return "solvus_temperature"

    @property
    def above_reference(self) -> str:
        """The parameter that has to lie above the reference: what is stable there is what all is relative to."""
        return "solvus_temperature"

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", in_unit(self.reference, "K", "reference"))
        object.__setattr__(self, "enthalpy", in_unit(self.enthalpy, "kJ/mol", "enthalpy"))

    def speed(self, temperature: Any, **parameters: Any) -> Any:
        temperature, parameters = _plain(self, temperature, parameters)
        weight = self.weight(temperature, parameters["solvus_temperature"])
        return weight * arrhenius_factor(temperature, parameters["activation_energy"], self.reference)

    @takes_quantities(temperature="K", solvus="K")
    def weight(self, temperature: Any, solvus: Any) -> Any:
        """f(T)/f(T_ref)."""
        return self._stable(temperature, solvus) / self._stable(self.reference + 0.0 * solvus, solvus)

    def _stable(self, temperature: Any, solvus: Any) -> Any:
        apart = 1.0 / maximum(temperature, 1.0) - 1.0 / solvus
        return 1.0 - exp(-self.enthalpy / GAS_CONSTANT * maximum(apart, 0.0 * apart))
