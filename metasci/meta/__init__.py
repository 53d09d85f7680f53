"""The meta-learning engine: inner rules, meta-gradients, and what is learned."""

from metasci.meta.adapted import Adapted, State
from metasci.meta.covariates import Covariates, Design
from metasci.meta.gaussian import GaussianPrior
from metasci.meta.gradient import FOMAML, MAML, GradientMethod, MetaSGD
from metasci.meta.inner import GradientDescent, unroll
from metasci.meta.problem import Problem
from metasci.meta.training import Method, learn

__all__ = [
    "FOMAML",
    "MAML",
    "Adapted",
    "Covariates",
    "Design",
    "GaussianPrior",
    "GradientDescent",
    "GradientMethod",
    "MetaSGD",
    "Method",
    "Problem",
    "State",
    "learn",
    "unroll",
]
