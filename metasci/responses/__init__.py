"""Equations of outcomes: yes or no, counts, grades, times to an event, volatilities, of anything that has them."""

from metasci.responses.dose import dose_toxicity, exposure_response
from metasci.responses.lifetimes import stress_life
from metasci.responses.linear import linear_predictor
from metasci.responses.phases import alloy_phase
from metasci.responses.trials import (
    bacteria_present,
    bitterness,
    catheter_infection,
    seizures,
    survival_with_lung_cancer,
)
from metasci.responses.volatility import past_volatility, volatility

__all__ = [
    "alloy_phase",
    "bacteria_present",
    "bitterness",
    "catheter_infection",
    "dose_toxicity",
    "exposure_response",
    "linear_predictor",
    "past_volatility",
    "seizures",
    "stress_life",
    "survival_with_lung_cancer",
    "volatility",
]
