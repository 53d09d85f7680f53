"""Austenite into several products: each with its own TTT curve, along any cooling curve by additivity.

One product alone is isokinetic: X = 1 − exp(−(k θ)ⁿ), θ = ∫ s(T(t)) dt, whatever the path (Scheil 1935, Cahn 1956).
Several share the austenite that is left: with ξ_i = (k_i θ_i)^n_i, dX_i = (1 − ΣX) dξ_i, so that 1 − ΣX = exp(−Σξ).
What is left at Ms becomes martensite by Koistinen and Marburger's law.

Sources: Scheil, Arch Eisenhüttenwes 8 (1935) 565; Jones and Bhadeshia, Acta Mater 45 (1997) 2911, for several products
at once; Koistinen and Marburger, Acta Metall 7 (1959) 59.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.cards import Column
from metasci.data.grades import contents_of_grade
from metasci.errors import InputError, check_level
from metasci.fits.posterior import posterior_draws
from metasci.heat_treatment.cooled import Cooled, Course
from metasci.heat_treatment.cooling import curves_of, magnitude_of
from metasci.kinetics.arrhenius import arrhenius_factor
from metasci.kinetics.clocks import Undercooled
from metasci.kinetics.critical_temperatures import critical_temperature
from metasci.kinetics.transformation import time_to_fraction
from metasci.quantities import in_unit
from metasci.units import convert, magnitude, stated

if TYPE_CHECKING:
    from metasci.heat_treatment.cooling import CoolingCurve
    from metasci.priors.calibrated import Calibration
    from metasci.priors.equation import Prior

__all__ = ["Martensite", "Transformations", "by_product", "transformations"]

Array = NDArray[np.float64]
_LAWS = ("kinetics.transformation_time", "kinetics.undercooled_transformation")
_CLOCK = Undercooled(reference=900.0, power=3.0)  # that of both laws
_STEP = (
    2.0  # kelvin, in which products compete, and each one's own progress is a polynomial of the third degree
)
_NODES = (0.5 - 0.5 / math.sqrt(3.0), 0.5 + 0.5 / math.sqrt(3.0))  # of Gauss and Legendre
_ALL = 1.0 - 1e-16
_HOLD = 60  # parts of a line at one temperature


@dataclass(frozen=True)
class Martensite:
    """Where martensite begins, and how fast it grows below.

    Attributes
    ----------
    start : float
        Ms, K.
    sd : float
        Its standard deviation, K.
    rate : float
        Per kelvin below the start.
    source : str
    outside : tuple of str
        Contents for which a regression that tells the start was not made.
    """

    start: float
    sd: float = 0.0
    rate: float = 0.011
    source: str = ""
    outside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", in_unit(self.start, "K", "start"))
        object.__setattr__(self, "sd", _difference(self.sd))
        object.__setattr__(self, "rate", in_unit(self.rate, "1/K", "rate"))
        if not (self.start > 0.0 and self.sd >= 0.0 and self.rate > 0.0):
            raise InputError(
                "martensite needs a start and a rate above zero, and a standard deviation not below."
            )

    @classmethod
    def at(cls, start: Any, sd: Any = 0.0) -> Martensite:
        """With a start that is known: ``Martensite.at("230 degC", "10 K")``."""
        return cls(magnitude(start, "K", "martensite start"), _difference(sd))

    @classmethod
    def of_composition(cls, composition: Mapping[str, float] | str) -> Martensite:
        """With the start of a low-alloy steel, from weight per cent by symbol or name, or a grade, ``"AISI 4140"``."""
        if isinstance(composition, str):
            composition = contents_of_grade(composition)
        found = critical_temperature("Ms", composition)
        return cls(found.value, found.sd, source=found.source, outside=found.outside)

    @classmethod
    def of_fit(cls, calibration: Calibration) -> Martensite:
        """With the start and rate of a calibration of `metasci.kinetics.koistinen_marburger`."""
        model = calibration.prior.model
        if set(model.parameters.names) != {"martensite_start", "rate"} or len(calibration.batch) != 1:
            raise InputError(
                "martensite is told by a calibration of kinetics.koistinen_marburger, of one steel."
            )
        drawn = model.parameters.to_physical(posterior_draws(calibration).coordinates)
        start, rate = drawn["martensite_start"].numpy(), drawn["rate"].numpy()
        return cls(float(start.mean()), float(start.std()), float(rate.mean()), "measured")


def by_product(prior: Prior) -> Prior:
    """The same prior for tables whose column ``product`` says which transformation a row is of."""
    product = Column(
        "product", "product", "task", description="What austenite becomes: ferrite, pearlite, bainite"
    )
    columns = (product, *(column for column in prior.card.columns if column.role != "task"))
    return replace(prior, card=replace(prior.card, columns=columns, task=("product",), levels=()))


@dataclass(frozen=True)
class Transformations:
    """What one steel's austenite becomes: draws of every product's law, and martensite.

    Attributes
    ----------
    products : tuple of str
    parameters : mapping of str to array, (draw, product)
        Of `metasci.kinetics.undercooled_transformation`.
    largest : array, (product,)
        The share that a product comes to at most.
    martensite : Martensite or None
    martensite_start : array, (draw,)
        K.
    simulated : bool
    """

    products: tuple[str, ...]
    parameters: Mapping[str, Array]
    largest: Array
    martensite: Martensite | None
    martensite_start: Array
    simulated: bool

    def diagram(
        self, temperature: Any, *, reaches: Sequence[float] = (0.01, 0.99), level: float = 0.9
    ) -> xr.Dataset:
        """The TTT diagram: times at constant temperatures until a share of each product's own amount has formed.

        Parameters
        ----------
        temperature : array or quantity
            Kelvin, if it does not say otherwise.
        reaches : sequence of float
        level : float
            Probability of the bands.

        Returns
        -------
        xarray.Dataset
            ``median``, ``lower``, ``upper`` (product, reaches, temperature) in seconds, infinite where a product never
            forms, and ``never``, the probability of that; nothing forms below Ms but martensite, so that curves stand
            there only as far as the law is believed.
        """
        check_level(level)
        kelvin = np.atleast_1d(magnitude_of(temperature, "K", "temperature"))
        wanted = np.atleast_1d(np.asarray(reaches, dtype=np.float64))
        value = {name: numbers[:, :, None, None] for name, numbers in self.parameters.items()}
        said = {name: value[name] for name in _CLOCK.parameters}
        speed = _CLOCK.speed(kelvin[None, None, None, :], **said)
        times = time_to_fraction(wanted[:, None], speed, value["rate"], value["exponent"])
        tail = 0.5 * (1.0 - level)
        found = np.quantile(times, (tail, 0.5, 1.0 - tail), axis=0, method="inverted_cdf")
        dims, unit = ("product", "reaches", "temperature"), {"units": "s"}
        variables = {
            name: (dims, numbers, unit)
            for name, numbers in zip(("lower", "median", "upper"), found, strict=True)
        }
        variables["never"] = (dims, np.isinf(times).mean(0), {"units": "1"})
        coords = {
            "product": list(self.products),
            "reaches": ("reaches", wanted, {"units": "1"}),
            "temperature": ("temperature", kelvin, {"units": "K"}),
        }
        return xr.Dataset(variables, coords, {"level": level, "simulated": str(self.simulated).lower()})

    def cool(
        self, curves: CoolingCurve | Sequence[CoolingCurve] | Any, *, begins: float = 0.01, ends: float = 0.99
    ) -> Cooled:
        """What becomes of the austenite along cooling curves, and when each product begins and ends to form.

        Parameters
        ----------
        curves : CoolingCurve, sequence of them, or rates (K/s)
            From `metasci.heat_treatment.cooling`.
        begins : float
            Share of the whole at which a product is said to begin.
        ends : float
            Share of what it comes to along the curve at which it is said to end.
        """
        if not 0.0 < begins < ends < 1.0:
            raise InputError(
                "a product begins and ends at shares between 0 and 1, the first below the second."
            )
        listed = curves_of(curves)
        courses = tuple(self._course(curve, begins, ends) for curve in listed)
        return Cooled(listed, (*self.products, "martensite", "austenite"), courses, self.simulated)

    def _course(self, curve: CoolingCurve, begins: float, ends: float) -> Course:
        time, kelvin = _refined(curve)
        shares = self._shares(time, kelvin)
        final, formed = shares[:, :, -1], shares.shape[1]
        start, finish = (np.full((len(final), formed, 2), np.nan) for _ in range(2))
        for at in range(formed):
            whole = final[:, at] >= begins
            for place, reached in ((start, np.full(len(final), begins)), (finish, ends * final[:, at])):
                found = _first_passing(shares[:, at], reached, time, kelvin)
                place[whole, at] = found[whole]
        left = self._austenite_at_start_of_martensite(kelvin, shares.sum(1))
        lowest = float(kelvin.min())
        grown = 0.0 if self.martensite is None else _grown(self.martensite, self.martensite_start, lowest)
        martensite = left * grown
        share = np.concatenate(
            [final, martensite[:, None], (1.0 - final.sum(1) - martensite)[:, None]], axis=1
        )
        return Course(share, start, finish, self.martensite_start if self.martensite else np.zeros(0))

    def _shares(self, time: Array, kelvin: Array) -> Array:
        """Share of each product at each point of a path, (draw, product, point)."""
        step, fall = np.diff(time), np.diff(kelvin)
        own = {name: numbers[:, :, None] for name, numbers in self.parameters.items()}
        clock = {name: own[name] for name in _CLOCK.parameters}
        speeds = (_CLOCK.speed(kelvin[:-1] + node * fall, **clock) for node in _NODES)
        passed = np.cumsum(0.5 * step * sum(speeds), axis=-1)
        extended = (own["rate"] * passed) ** own["exponent"]
        if self.martensite is not None:  # below Ms nothing else forms
            frozen = kelvin[None, 1:] < self.martensite_start[:, None]
            extended = np.where(frozen[:, None], 0.0, extended)
            extended = np.maximum.accumulate(extended, axis=-1)
        grown = np.diff(extended, axis=-1, prepend=0.0)
        return self._shared(grown)

    def _shared(self, grown: Array) -> Array:
        """Shares of products that compete for austenite, from what each one's law adds in every step."""
        draws, products, steps = grown.shape
        share = np.zeros((draws, products))
        out = np.zeros((draws, products, steps + 1))
        largest = self.largest[None, :]
        for at in range(steps):
            whole = share.sum(1, keepdims=True)
            # a product that comes to less than the whole follows its law as a share of what it can come to
            room = np.maximum(largest - share, 0.0) / np.maximum(1.0 - share, 1e-300)
            added = -np.log1p(-np.minimum(room * -np.expm1(-grown[:, :, at]), _ALL))
            total = added.sum(1, keepdims=True)
            formed = (1.0 - whole) * -np.expm1(-total)
            share = share + formed * added / np.where(total > 0.0, total, 1.0)
            out[:, :, at + 1] = share
        return out

    def _austenite_at_start_of_martensite(self, kelvin: Array, whole: Array) -> Array:
        """What is left when Ms is passed, (draw,); what is left in the end where it is not."""
        below = kelvin[None, :] < self.martensite_start[:, None]
        first = np.where(below.any(1), below.argmax(1), len(kelvin) - 1)
        return 1.0 - np.take_along_axis(whole, first[:, None], axis=1)[:, 0]


def transformations(
    calibration: Calibration,
    *,
    martensite: Martensite | None = None,
    largest: Mapping[str, float] | None = None,
    draws: int = 300,
    seed: int = 0,
) -> Transformations:
    """What a steel's austenite becomes, from a calibration in which every product is a task.

    Parameters
    ----------
    calibration : Calibration
        Of `metasci.kinetics.transformation_time` (times to fractions) or `undercooled_transformation` (fractions after
        times); its tasks are the products, such as ferrite, pearlite and bainite.
    martensite : Martensite, optional
        None if there is none, or nothing is known of it.
    largest : mapping of str to float, optional
        The share of the whole that a product comes to at most, such as that of ferrite by the lever rule; 1 by default.
        Fractions in the table are then those of this share.
    draws, seed : int
        From the posterior of each product.

    Raises
    ------
    InputError
        If it is a calibration of another law, or there is no such product.
    """
    model = calibration.prior.model
    if model.name not in _LAWS:
        raise InputError(
            f"'{model.name}' tells no transformation of austenite; calibrate kinetics.transformation_time with times, "
            "or kinetics.undercooled_transformation with fractions."
        )
    products = tuple(str(name) for name in calibration.batch.names)
    said = {name: float(in_unit(share, "1", name)) for name, share in (largest or {}).items()}
    if odd := sorted(set(said) - set(products)):
        raise InputError(f"there is no product '{odd[0]}'; they are {', '.join(products)}.")
    if any(not 0.0 < share <= 1.0 for share in said.values()):
        raise InputError("the largest share of a product is above 0 and at most 1.")
    drawn = [
        model.parameters.to_physical(
            posterior_draws(calibration, task, draws=draws, seed=seed + task).coordinates
        )
        for task in range(len(products))
    ]
    parameters = {name: np.stack([values[name].numpy() for values in drawn], axis=1) for name in drawn[0]}
    if model.reference is not None:  # the rate of the same law, said at the reference of the clock here
        energy = parameters["activation_energy"]
        moved = arrhenius_factor(_CLOCK.reference, energy, model.reference.temperature)
        parameters["rate"] = parameters["rate"] * moved
    generator = np.random.default_rng(seed)
    start = np.zeros(draws)
    if martensite is not None:
        start = martensite.start + martensite.sd * generator.standard_normal(draws)
    shares = np.array([said.get(name, 1.0) for name in products])
    simulated = bool(calibration.tasks.card.simulated)
    return Transformations(products, parameters, shares, martensite, start, simulated)


def _difference(value: Any) -> float:
    """A difference of temperatures in kelvin, of a number, a text or a quantity: 10 K, 10 °C and 18 °F are one."""
    number, symbol = stated(value, "standard deviation of the martensite start")
    if not symbol:
        return float(number)
    zero, shifted = (float(convert(each, symbol, "K", "standard deviation")) for each in (0.0, number))
    return shifted - zero


def _grown(martensite: Martensite, start: Array, kelvin: float) -> Array:
    return -np.expm1(-martensite.rate * np.maximum(start - kelvin, 0.0))


def _refined(curve: CoolingCurve) -> tuple[Array, Array]:
    """The curve's points and others between them, so close that shares hardly change from one to the next."""
    times, kelvins = [np.array([curve.time[0]])], [np.array([curve.temperature[0]])]
    for at in range(len(curve.time) - 1):
        change = abs(curve.temperature[at + 1] - curve.temperature[at])
        parts = max(1, int(np.ceil(change / _STEP))) if change > 0.0 else _HOLD
        within = np.linspace(0.0, 1.0, parts + 1)[1:]
        if change == 0.0:  # a hold begins with what is fast
            within = np.geomspace(1e-4, 1.0, parts)
        times.append(curve.time[at] + within * (curve.time[at + 1] - curve.time[at]))
        kelvins.append(curve.temperature[at] + within * (curve.temperature[at + 1] - curve.temperature[at]))
    return np.concatenate(times), np.concatenate(kelvins)


def _first_passing(share: Array, reached: Array, time: Array, kelvin: Array) -> Array:
    """Time and temperature at which a rising share (draw, point) passes a value (draw,), (draw, 2)."""
    past = share >= reached[:, None]
    after = np.clip(past.argmax(1), 1, share.shape[1] - 1)
    rows = np.arange(len(share))
    # on logarithms: what has just begun grows like a power of time
    low, high, wanted = (
        np.log(np.maximum(each, 1e-12)) for each in (share[rows, after - 1], share[rows, after], reached)
    )
    part = np.clip(
        np.where(high > low, (wanted - low) / np.where(high > low, high - low, 1.0), 1.0), 0.0, 1.0
    )
    found = np.stack(
        [values[after - 1] + part * (values[after] - values[after - 1]) for values in (time, kelvin)], axis=1
    )
    found[~past.any(1)] = np.nan
    return found
