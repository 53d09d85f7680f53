"""Ordinary differential equations of many tasks at once, with doses, differentiable to any order."""

from metasci.ode.events import Doses
from metasci.ode.fixed import FixedSteps
from metasci.ode.plan import Plan, Solution
from metasci.ode.solution import make_plan, solve

__all__ = ["Doses", "FixedSteps", "Plan", "Solution", "make_plan", "solve"]
