"""Hierarchical Bayes in PyMC: what the learned prior is held against."""

import warnings
from typing import Any

from metasci.bayes import libraries as libraries  # first: what is missing is said in a sentence
from metasci.bayes.bands import ecdf_bands, leaves_bands
from metasci.bayes.baselines import complete_pooling, no_pooling
from metasci.bayes.comparison import compare
from metasci.bayes.discrepancy import forecast_with_discrepancy, with_discrepancy
from metasci.bayes.forecast import curve, predictive
from metasci.bayes.hierarchical import hierarchical, initial_point
from metasci.bayes.implied import empirical_prior, implied_prior
from metasci.bayes.joint import Joint, joint_posterior, posterior_of_new_task
from metasci.bayes.populations import gaussian_distances, start_against_mean
from metasci.bayes.process_ranks import process_ranks
from metasci.bayes.quick import Approximation, quick
from metasci.bayes.replicates import posterior_predictive, prior_predictive
from metasci.bayes.sampling import Posterior, sample
from metasci.bayes.simulation_based import importance_ranks, laplace_ranks, nuts_ranks, uniformity
from metasci.bayes.summary import summary
from metasci.bayes.traced import TracedModel, sample_traced, traced

__all__ = [
    "Approximation",
    "Joint",
    "Posterior",
    "TracedModel",
    "compare",
    "complete_pooling",
    "curve",
    "ecdf_bands",
    "empirical_prior",
    "forecast_with_discrepancy",
    "gaussian_distances",
    "hierarchical",
    "implied_prior",
    "importance_ranks",
    "initial_point",
    "joint_posterior",
    "laplace_ranks",
    "leaves_bands",
    "no_pooling",
    "nuts_ranks",
    "posterior_of_new_task",
    "posterior_predictive",
    "predictive",
    "prior_predictive",
    "process_ranks",
    "quick",
    "sample",
    "sample_traced",
    "start_against_mean",
    "summary",
    "traced",
    "uniformity",
    "with_discrepancy",
]


def __getattr__(name: str) -> Any:
    """Names that have changed: the old one still works for a while, and says the new."""
    if name == "Forecast":
        from metasci.forecasts import DrawsForecast

        warnings.warn(
            "metasci.bayes.Forecast is now metasci.forecasts.DrawsForecast.", DeprecationWarning, stacklevel=2
        )
        return DrawsForecast
    raise AttributeError(f"module 'metasci.bayes' has no attribute '{name}'")
