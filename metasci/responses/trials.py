"""Outcomes of well-known trials, in the equations that they are usually analysed by."""

from __future__ import annotations

from typing import Any

from metasci.math import exp, log, where
from metasci.model import Input, Output, equation
from metasci.outcomes import Bernoulli, Exponential, NegativeBinomial, Ordinal, Weibull
from metasci.parameters import Parameter

__all__ = ["bacteria_present", "bitterness", "catheter_infection", "seizures", "survival_with_lung_cancer"]

_ORDINARY_BASELINE = 23.4  # seizures in eight weeks, the geometric mean of the trial
_ORDINARY_AGE = 28.0  # years


def _effect(name: str, description: str, spread: float = 1.0) -> Parameter:
    """What a condition adds to the predictor, for every task the same."""
    return Parameter(name, "1", 0.0, spread=spread, description=description, shared=True)


@equation(
    inputs={
        "visit": Input("1", lower=1.0),
        "treatment": Input("1", constant=True),
        "baseline": Input("1", lower=0.0, constant=True),
        "age": Input("year", lower=0.0, constant=True),
    },
    output=Output("seizures", "1", "seizures in two weeks"),
    parameters=(
        Parameter("usual_count", "1", 6.0, positive=True, spread=0.5, description="of seizures in two weeks"),
        _effect("baseline_power", "of the baseline's count that the count grows with"),
        _effect("treatment_effect", "of progabide on the logarithm of the count, at an ordinary baseline"),
        _effect("treatment_baseline", "by which the baseline's power differs under progabide"),
        _effect("age_power", "of age that the count grows with"),
        _effect("last_visit", "effect of the fourth visit on the logarithm of the count"),
    ),
    noise=NegativeBinomial((0.2,)),
)
def seizures(
    visit: Any,
    treatment: Any,
    baseline: Any,
    age: Any,
    *,
    usual_count: Any,
    baseline_power: Any,
    treatment_effect: Any,
    treatment_baseline: Any,
    age_power: Any,
    last_visit: Any,
) -> Any:
    """Expected seizures in two weeks, log-linear in baseline, treatment, age and the last visit.

    Source: Breslow and Clayton, JASA 88 (1993) 9, section 6.2; Thall and Vail, Biometrics 46 (1990) 657.
    """
    before, years = log(baseline / _ORDINARY_BASELINE), log(age / _ORDINARY_AGE)
    moved = (baseline_power + treatment * treatment_baseline) * before + treatment * treatment_effect
    return usual_count * exp(moved + age_power * years + last_visit * where(visit > 3.5, 1.0, 0.0))


@equation(
    inputs={
        "week": Input("1", lower=0.0),
        "active": Input("1", constant=True),
        "compliance": Input("1", constant=True),
    },
    output=Output("present", "1", "bacteria found"),
    parameters=(
        Parameter("log_odds", "1", 2.0, spread=1.0, description="of finding them, under placebo at first"),
        _effect("drug_effect", "on the log-odds, with low compliance"),
        _effect("compliant_drug_effect", "on the log-odds, with high compliance"),
        _effect("later", "effect of more than two weeks on the log-odds"),
    ),
    noise=Bernoulli(),
)
def bacteria_present(
    week: Any,
    active: Any,
    compliance: Any,
    *,
    log_odds: Any,
    drug_effect: Any,
    compliant_drug_effect: Any,
    later: Any,
) -> Any:
    """Log-odds of finding bacteria at a visit.

    Source: Venables and Ripley, Modern Applied Statistics with S (2002), section 10.4.
    """
    drug = active * where(compliance > 0.5, compliant_drug_effect, drug_effect)
    return log_odds + drug + later * where(week > 2.0, 1.0, 0.0)


@equation(
    inputs={"temperature": "1", "contact": "1"},
    output=Output("rating", "1", "bitterness"),
    parameters=(
        Parameter(
            "log_odds", "1", 1.0, spread=1.0, description="of more than the lowest grade: cold, no contact"
        ),
        _effect("warm", "effect of grapes crushed warm on the log-odds of a higher grade"),
        _effect("skins", "effect of contact with skins on the log-odds of a higher grade"),
    ),
    noise=Ordinal(grades=5, first=1),
)
def bitterness(temperature: Any, contact: Any, *, log_odds: Any, warm: Any, skins: Any) -> Any:
    """Log-odds of a grade above the lowest.

    Source: Christensen, R package ordinal (2022), of the data of Randall, Biometrical J 31 (1989) 781.
    """
    return log_odds + warm * temperature + skins * contact


@equation(
    inputs={"age": Input("year", lower=0.0), "sex": Input("1", constant=True)},
    output=Output("time", "day", "time to infection"),
    parameters=(
        Parameter(
            "mean_time", "day", 60.0, positive=True, spread=1.0, description="to infection, of men of 45"
        ),
        _effect("woman", "effect of being a woman on the logarithm of the time"),
        _effect("decade", "effect of ten years of age on the logarithm of the time", 0.5),
    ),
    noise=Exponential(),
)
def catheter_infection(age: Any, sex: Any, *, mean_time: Any, woman: Any, decade: Any) -> Any:
    """Mean time to infection at a catheter; what differs between patients is their frailty.

    Source: McGilchrist and Aisbett, Biometrics 47 (1991) 461.
    """
    return mean_time * exp(woman * sex + decade * (age - 45.0) / 10.0)


@equation(
    inputs={"age": Input("year", lower=0.0), "sex": "1"},
    output=Output("time", "day", "survival"),
    parameters=(
        Parameter(
            "time_scale",
            "day",
            350.0,
            positive=True,
            spread=0.3,
            description="that 63 % of men of 62 live for",
        ),
        _effect("woman", "effect of being a woman on the logarithm of the time", 0.5),
        _effect("decade", "effect of ten years of age on the logarithm of the time", 0.3),
    ),
    noise=Weibull(),
)
def survival_with_lung_cancer(age: Any, sex: Any, *, time_scale: Any, woman: Any, decade: Any) -> Any:
    """Time scale of a Weibull survival.

    Source: Loprinzi and others, J Clin Oncol 12 (1994) 601, for the data.
    """
    return time_scale * exp(woman * sex + decade * (age - 62.0) / 10.0)
