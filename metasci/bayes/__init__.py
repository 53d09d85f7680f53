"""Hierarchical Bayes in PyMC: what the learned prior is held against."""

from metasci.bayes.forecast import Forecast, curve, predictive
from metasci.bayes.hierarchical import hierarchical, initial_point
from metasci.bayes.sampling import Posterior, sample

__all__ = ["Forecast", "Posterior", "curve", "hierarchical", "initial_point", "predictive", "sample"]
