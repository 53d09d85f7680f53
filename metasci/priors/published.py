"""A prior of published numbers: typical values, variability, covariate formulas and residual error of a paper.

Population models of a published kind give a patient's parameter as θ·f(covariates)·e^η, η ~ N(0, Ω). That is a Gaussian
prior of logarithms, so that a patient is calibrated under it as under a learned one: the maximum a posteriori estimate
(NONMEM's POSTHOC etas), its Laplace posterior, forecasts, doses. Parameters without variability, such as the
intercompartmental clearances of most publications, are held fixed.

Source: Sheiner, Beal, Rosenberg and Marathe, Clin Pharmacol Ther 26 (1979) 294, for forecasting by population
parameters; Beal and Sheiner, NONMEM Users Guides (1989), for the forms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.errors import InputError
from metasci.learned.equation import LearnedEquation
from metasci.meta.covariates import Covariates
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.model import Model
from metasci.noise import Noise
from metasci.parameters import ParameterSpace, described_parameter
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.effects import Effect, Formula, Occasion, described_effect
from metasci.priors.variability import Amount, covariance_of
from metasci.units import magnitude

if TYPE_CHECKING:
    from metasci.model import Output

__all__ = ["published"]

P = TypeVar("P", bound=LearnedEquation)

_NO_TASK_NOISE = 1e8  # a noise that all tasks share, as `GaussianPrior` writes it


def published(
    prior_class: type[P],
    model: Model | Structure,
    *,
    variability: Mapping[Any, Amount] | pd.DataFrame,
    noise: Noise,
    source: str,
    typical: Mapping[str, Amount | Formula] | None = None,
    correlation: Mapping[tuple[str, str], float] | None = None,
    occasions: Mapping[str, Amount] | None = None,
    most_occasions: int = 4,
    covariates: Mapping[str, Effect | Sequence[Effect]] | None = None,
    distributions: Mapping[str, str | float] | None = None,
    amount: str = "mg",
    time: str = "h",
    volume: str = "L",
    output: Output | None = None,
    changing: Sequence[str] = (),
    population: str = "",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    remarks: Sequence[str] = (),
    name: str = "",
) -> P:
    """Make a prior of published numbers.

    Parameters
    ----------
    prior_class : type
        `metasci.priors.equation.Prior`, whose class method `published` asks for this.
    model : Structure or Model
        How the drug enters and spreads; or a model that is complete, with its covariates.
    variability : mapping or DataFrame
        Between patients, on the scale of each parameter's distribution (the logarithm, as a rule). For a parameter: a
        number is the variance ω², ``"39.8 %"`` a coefficient of variation (ω² = ln(1 + CV²) of a log-normal parameter),
        ``"sd 0.39"`` ω itself. A pair of parameters has their covariance. A DataFrame is the whole matrix Ω. A
        parameter that is not named, or whose variance is zero, does not vary.
    noise : Noise
        The residual error with its published scales: `Additive`, `Proportional`, `Combined` (variances add up),
        `CombinedDeviations` (standard deviations add up), `LogNormal`, `PowerNoise`.
    source : str
        The publication.
    typical : mapping of str to number, str or Formula
        Typical values, with units where they are texts, ``"4.5 L/h"``; a `Formula` with a reference patient where the
        typical value is a formula of its own, such as nonrenal + renal·creatinine clearance.
    correlation : mapping of pairs of str to float, optional
        Instead of covariances.
    occasions : mapping of str to number or str, optional
        Variability between occasions, as `variability` says it; the table then has a column ``occasion``.
    most_occasions : int
        That a patient may have.
    covariates : mapping of str to Effect, or several, optional
        What multiplies each parameter, see `metasci.patients.effects`.
    distributions : mapping of str to str or float, optional
        ``"normal"``, ``"log-normal"``, ``"logit"``, or the λ of Box and Cox.
    amount, time, volume, output, changing
        Of the model that is made, see `metasci.patients.compartment_model`.
    population : str
        Whom the numbers are of.
    ranges : mapping of str to pair of float, optional
        Of the covariates in that population: who lies outside is warned of.
    remarks : sequence of str
        What a user should know.
    name : str
        What to call it.

    Returns
    -------
    Prior

    Raises
    ------
    InputError
        If a name is no parameter, a unit does not fit, or the variances are no covariance.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.Prior.published(
    ...     ms.patients.Structure(2), name="vancomycin", source="an example",
    ...     typical={"clearance": "4.5 L/h", "central_volume": "58.4 L", "peripheral_volume": "38.4 L",
    ...              "exchange_clearance": "6.5 L/h"},
    ...     variability={"clearance": "39.8 %", "central_volume": "81.6 %", "peripheral_volume": "57.1 %"},
    ...     noise=ms.Combined((3.4, 0.227)),
    ...     covariates={"central_volume": ms.patients.Power("weight", "kg", 70.0, 1.0)},
    ... )
    >>> prior.model.parameters.names, [held.name for held in prior.model.fixed]
    (('clearance', 'central_volume', 'peripheral_volume'), ['exchange_clearance'])
    """
    record: dict[str, Any] = {"source": source, "population": population, "remarks": list(remarks)}
    if isinstance(model, Structure):
        structure = model
        numbers = _typical(structure, typical or {}, time, volume)
        if odd := [key for key in (*(occasions or {}), *(covariates or {})) if key not in numbers]:
            raise InputError(
                f"occasions and covariates: '{odd[0]}' is no parameter; they are {', '.join(numbers)}."
            )
        effects = _effects(typical or {}, covariates or {}, occasions or {}, most_occasions)
        options: dict[str, Any] = {
            "amount": amount,
            "time": time,
            "volume": volume,
            "changing": list(changing),
        }
        title = name or "published"
        model = compartment_model(
            structure,
            name=title,
            effects=effects,
            typical=numbers,
            noise=noise,
            output=output,
            distributions=distributions,
            description=f"{population or title}.\n\nSource: {source}.",
            listed=False,
            **options,
        )
        record["structure"] = _recipe(structure, effects, options, output)
    else:
        if covariates or distributions or output is not None or changing:
            raise InputError(
                f"'{model.name}' is a complete model: give covariates and distributions to it, or give a Structure."
            )
        model = _at_typical(model.with_noise(noise), typical or {})
    matrix = covariance_of(model.parameters, variability, correlation or {}, occasions or {})
    return _prior(prior_class, model, matrix, record, name, ranges or {})


def _effects(
    typical: Mapping[str, Amount | Formula],
    covariates: Mapping[str, Effect | Sequence[Effect]],
    occasions: Mapping[str, Amount],
    count: int,
) -> dict[str, list[Effect]]:
    effects = {
        key: [several] if isinstance(several, Effect) else list(several)
        for key, several in covariates.items()
    }
    for key, value in typical.items():
        if isinstance(value, Formula):
            effects.setdefault(key, []).append(value)
    for key in occasions:
        effects.setdefault(key, []).append(Occasion(parameter=key, count=count))
    return effects


def _typical(
    structure: Structure, typical: Mapping[str, Amount | Formula], time: str, volume: str
) -> dict[str, float]:
    """Typical values in the units of the structure; one for every parameter."""
    units = {parameter.name: parameter.unit for parameter in structure.parameters(time, volume)}
    if odd := sorted(set(typical) ^ set(units)):
        what = "is no parameter" if odd[0] in typical else "is missing"
        raise InputError(f"typical: '{odd[0]}' {what}; the parameters are {', '.join(units)}.")
    if by_weight := [key for key, value in typical.items() if str(value).replace(" ", "").endswith("/kg")]:
        raise InputError(
            f"typical '{by_weight[0]}': '{typical[by_weight[0]]}' is by weight; give it for a body of 70 kg, and "
            f"covariates={{'{by_weight[0]}': Power('weight', 'kg', 70, 1)}}."
        )
    return {
        key: value.typical if isinstance(value, Formula) else magnitude(value, units[key], f"typical '{key}'")
        for key, value in typical.items()
    }


def _at_typical(model: Model, typical: Mapping[str, Amount | Formula]) -> Model:
    """The model with other typical values."""
    if odd := [key for key in typical if key not in model.parameters.names]:
        raise InputError(
            f"typical: '{odd[0]}' is no parameter of '{model.name}'; they are {', '.join(model.parameters.names)}."
        )
    if formula := [key for key, value in typical.items() if isinstance(value, Formula)]:
        raise InputError(
            f"typical: '{formula[0]}' is a formula, which a complete model cannot take; give a Structure."
        )
    numbers = {
        parameter.name: magnitude(typical[parameter.name], parameter.unit, f"typical '{parameter.name}'")
        for parameter in model.parameters
        if parameter.name in typical
    }
    moved = tuple(replace(p, typical=numbers.get(p.name, p.typical)) for p in model.parameters)
    return replace(model, parameters=ParameterSpace(moved))


def _recipe(
    structure: Structure,
    effects: Mapping[str, Sequence[Effect]],
    options: Mapping[str, Any],
    output: Output | None,
) -> dict[str, Any] | None:
    """How the model is made, as numbers and text; None where a formula is code."""
    described = {key: [described_effect(effect) for effect in several] for key, several in effects.items()}
    if any(effect is None for several in described.values() for effect in several):
        return None
    return {
        **asdict(structure),
        "effects": described,
        "options": dict(options),
        "output": None if output is None else asdict(output),
    }


def _prior(
    prior_class: type[P],
    model: Model,
    matrix: NDArray[np.float64],
    record: dict[str, Any],
    name: str,
    ranges: Mapping[str, tuple[float, float]],
) -> P:
    """The prior of a model whose parameters scatter by a covariance on their own scales."""
    names = model.parameters.names
    varies = np.diag(matrix) > 0.0
    deviations = dict(zip(names, np.sqrt(np.diag(matrix)), strict=True))
    scaled = tuple(replace(p, spread=float(deviations[p.name]) or p.spread) for p in model.parameters)
    whole = replace(model, parameters=ParameterSpace(scaled))
    model = whole.with_fixed({p.name: p.typical for p, free in zip(scaled, varies, strict=True) if not free})
    part = matrix[np.ix_(varies, varies)]
    roots = np.sqrt(np.diag(part))
    size, kind = len(part), torch.float64
    state = {
        "coefficients": torch.zeros(size, 1, dtype=kind),
        "design_covariance": torch.zeros(1, 1, dtype=kind),
        "covariance": torch.as_tensor(part / np.outer(roots, roots)),
        "widening": torch.ones((), dtype=kind),
        "relevance": torch.ones(1, dtype=kind),
        "log_noise": torch.tensor([math.log(value) for value in model.noise.typical], dtype=kind),
        "noise_shape": torch.tensor(_NO_TASK_NOISE, dtype=kind),
    }
    blank = torch.zeros(0, dtype=kind)
    title = name or model.name.partition(".")[2]
    card = replace(
        Card.from_model(model),
        name=title,
        source=record["source"],
        title=record["population"] or f"Published numbers: {title}",
    )
    record["fixed"] = [described_parameter(parameter) for parameter in model.fixed]
    training = {
        "published": record,
        "left_out_as_not_finite": {},
        "ranges": {key: [float(low), float(high)] for key, (low, high) in ranges.items()},
    }
    return prior_class(
        title,
        model,
        GaussianPrior(),
        state,
        Covariates((), (), blank, blank, torch.zeros(0, 0, dtype=kind)),
        card,
        training,
    )
