"""Whether a dose or a concentration does something: a logistic line, and a saturating effect on the logit."""

from __future__ import annotations

from typing import Any

from metasci.math import log
from metasci.model import Input, Output, equation
from metasci.outcomes import Bernoulli, Binomial
from metasci.parameters import Parameter

__all__ = ["dose_toxicity", "exposure_response"]


@equation(
    inputs={"dose": Input("mg", lower=0.0), "treated": Input("1", lower=1.0)},
    output=Output("toxic", "1", "patients with a dose-limiting toxicity"),
    parameters=(
        Parameter(
            "median_dose", "mg", 100.0, positive=True, spread=0.7, description="toxic to half of the patients"
        ),
        Parameter(
            "steepness", "1", 2.0, positive=True, spread=0.5, description="log-odds for each factor e of dose"
        ),
    ),
    noise=Binomial(trials="treated"),
)
def dose_toxicity(dose: Any, treated: Any, *, median_dose: Any, steepness: Any) -> Any:
    """Log-odds of toxicity, a line in the logarithm of the dose; of cohorts such as those of a 3 + 3 trial.

    Source: Neuenschwander, Branson and Gsponer, Stat Med 27 (2008) 2420.
    """
    return steepness * log(dose / median_dose)


@equation(
    inputs={"exposure": Input("mg/L", lower=0.0)},
    output=Output("response", "1", "response"),
    parameters=(
        Parameter("log_odds", "1", -1.5, spread=1.0, description="of a response without the drug"),
        Parameter("greatest_effect", "1", 3.0, positive=True, spread=0.5, description="on the log-odds"),
        Parameter(
            "half_exposure", "mg/L", 1.0, positive=True, spread=0.7, description="with half of that effect"
        ),
    ),
    noise=Bernoulli(),
)
def exposure_response(exposure: Any, *, log_odds: Any, greatest_effect: Any, half_exposure: Any) -> Any:
    """Log-odds of a response, E₀ + Emax·C/(EC₅₀ + C).

    Source: Overgaard and others, CPT Pharmacometrics Syst Pharmacol 4 (2015) 565, for exposure and response.
    """
    return log_odds + greatest_effect * exposure / (half_exposure + exposure)
