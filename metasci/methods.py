"""The methods by their names, one list: the command line, the documentation and the package's names come from it.

Light on purpose: nothing that a method needs is loaded before it is used.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

__all__ = ["METHODS", "Listed", "command_names", "method_class", "method_of_command"]


@dataclass(frozen=True)
class Listed:
    """A method's place in the list.

    Attributes
    ----------
    name : str
        Of its class, which is also what saved priors call it.
    says : str
        What it does, in a line.
    command : str
        What the command line calls it; empty where it needs more than a command line can say.
    module : str
        Where its class stands.
    """

    name: str
    says: str
    command: str = ""
    module: str = "metasci.meta.methods"


_BASELINES = "metasci.meta.baselines"

METHODS = (
    Listed(
        "GaussianPrior",
        "a Gaussian over the parameters, learned by empirical Bayes; Gauss–Newton adaptation, Laplace intervals",
        "gaussian",
        "metasci.meta.laplace.gaussian",
    ),
    Listed(
        "DiscrepancyPrior",
        "the equation and what it leaves out as one Gaussian process, of tasks and of each task; Student's tails",
        "discrepancy",
        "metasci.meta.discrepancy.method",
    ),
    Listed("MAML", "a start, and a step size, from which a few gradient steps do best", "maml"),
    Listed("FOMAML", "the same without second derivatives", "fomaml"),
    Listed("Reptile", "a start that moves towards where adaptation leads", "reptile"),
    Listed("MetaSGD", "MAML with a step size for every parameter", "meta-sgd"),
    Listed("ANIL", "MAML with some parameters that are learned but not adapted"),
    Listed("IMAML", "a start that adaptation is pulled to, by the solution's own derivative", "imaml"),
    Listed("MetaCurvature", "MAML with a learned matrix before the gradient", "meta-curvature"),
    Listed("LearnedOptimiser", "a recurrent network that proposes the steps", "learned-optimiser"),
    Listed("FineTuning", "baseline: one joint fit, then descent on the new task", "fine-tuning", _BASELINES),
    Listed("Pooled", "baseline: one joint fit, which never adapts", "pooled", _BASELINES),
    Listed(
        "FromScratch",
        "baseline: Adam from the typical values, which learns nothing",
        "from-scratch",
        _BASELINES,
    ),
)


def command_names() -> tuple[str, ...]:
    """What the command line calls the methods that it offers.

    Examples
    --------
    >>> command_names()[:3]
    ('gaussian', 'discrepancy', 'maml')
    """
    return tuple(method.command for method in METHODS if method.command)


def method_class(name: str) -> Any:
    """The class of a listed name.

    Examples
    --------
    >>> method_class("MAML")(steps=3).steps
    3
    """
    module = next(method.module for method in METHODS if method.name == name)
    return getattr(importlib.import_module(module), name)


def method_of_command(command: str) -> Any:
    """The class that the command line calls so."""
    return method_class(next(method.name for method in METHODS if method.command == command))
