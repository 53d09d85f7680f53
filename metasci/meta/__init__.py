"""The meta-learning engine: inner rules, meta-gradients, and what is learned.

Two floors. Below, compositions (`Composition`, named in `metasci.meta.compositions.named`) adapt
anything that can say where tasks start and what their measurements cost: equations, torch modules, graph
networks. Above, methods (`MAML`, `GaussianPrior`, …) put scientific models through them, with covariates,
noise and Laplace posteriors.
"""

import warnings
from typing import Any

from metasci.files import State
from metasci.meta.adaptation.inner import InnerRule, unroll
from metasci.meta.adaptation.learnable_rules import Curvature, Descent, LearnableRule
from metasci.meta.adaptation.recurrent import RecurrentOptimiser
from metasci.meta.adaptation.rules import Adam, GradientDescent, Momentum, Preconditioned, RMSProp
from metasci.meta.adapted import Adapted
from metasci.meta.baselines import FineTuning, FromScratch, Pooled
from metasci.meta.composed import Composed
from metasci.meta.compositions import named
from metasci.meta.compositions.adapting import adapt, meta_gradient, query_loss
from metasci.meta.compositions.compiled import compile_meta_gradient
from metasci.meta.compositions.composition import Composition, initial
from metasci.meta.compositions.episode import Episode
from metasci.meta.compositions.gradients import Displacement, Exact, FirstOrder, Implicit
from metasci.meta.compositions.outer import Outer, Trained, meta_train
from metasci.meta.compositions.training import learn
from metasci.meta.covariates import Covariates, Design
from metasci.meta.descriptions import describe, method_from
from metasci.meta.discrepancy.method import DiscrepancyPrior
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.gradient import GradientMethod, Learning
from metasci.meta.gradient_state import GradientState
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.method import Method
from metasci.meta.methods import (
    ANIL,
    FOMAML,
    IMAML,
    MAML,
    LearnedOptimiser,
    MetaCurvature,
    MetaSGD,
    Reptile,
)
from metasci.meta.networks.episode import NetworkEpisode, cross_entropy, squared_error
from metasci.meta.networks.lawful import LawfulEpisode, law_weights
from metasci.meta.networks.network import Network
from metasci.meta.networks.prototypes import prototypical_episode
from metasci.meta.problem import Problem

__all__ = [
    "ANIL",
    "FOMAML",
    "IMAML",
    "MAML",
    "Adam",
    "Adapted",
    "Composed",
    "Composition",
    "Covariates",
    "Curvature",
    "Descent",
    "Design",
    "DiscrepancyPrior",
    "DiscrepancyState",
    "Displacement",
    "Episode",
    "Exact",
    "FineTuning",
    "FirstOrder",
    "FromScratch",
    "GaussianPrior",
    "GaussianState",
    "GradientDescent",
    "GradientMethod",
    "GradientState",
    "Implicit",
    "InnerRule",
    "LawfulEpisode",
    "LearnableRule",
    "LearnedOptimiser",
    "Learning",
    "MetaCurvature",
    "MetaSGD",
    "Method",
    "Momentum",
    "Network",
    "NetworkEpisode",
    "Outer",
    "Pooled",
    "Preconditioned",
    "Problem",
    "RMSProp",
    "RecurrentOptimiser",
    "Reptile",
    "State",
    "Trained",
    "adapt",
    "compile_meta_gradient",
    "cross_entropy",
    "describe",
    "initial",
    "law_weights",
    "learn",
    "meta_gradient",
    "meta_train",
    "method_from",
    "named",
    "prototypical_episode",
    "query_loss",
    "squared_error",
    "unroll",
]


def __getattr__(name: str) -> Any:
    """Names that have changed: the old one still works for a while, and says the new."""
    if name == "RuleFamily":
        warnings.warn("metasci.meta.RuleFamily is now LearnableRule.", DeprecationWarning, stacklevel=2)
        return LearnableRule
    raise AttributeError(f"module 'metasci.meta' has no attribute '{name}'")
