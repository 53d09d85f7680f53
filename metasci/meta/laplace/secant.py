"""What Gauss and Newton's Hessian lacks, learned from how the slope changed along the steps that were taken.

Where residuals are large the part of the curvature that Gauss and Newton drop makes their steps creep. Every step tells
that part along itself, for nothing: the slopes at both of its ends are known. A symmetric update of rank one takes it
up, after which a search near its end arrives in about half as many steps. Far from there a step tells little of the
curvature at the end of the next, so that nothing is done with it until steps are short.

Source: Dennis, Gay and Welsch, ACM Trans Math Softw 7 (1981) 348, for a secant of that part alone; Conn, Gould and
Toint, Math Program 50 (1991) 177, for the symmetric update of rank one and when it is left out.
"""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor

from metasci import math

__all__ = ["NEAR", "bent"]

NEAR = 1.0
"""Posterior standard deviations: what was learned counts from a step on that is shorter."""

_ALONG = 1e-8  # of the product of both lengths: what lies across the step is no curvature along it

Numbers = TypeVar("Numbers", NDArray[Any], Tensor)


def bent(bend: Numbers, hessian: Numbers, step: Numbers, change: Numbers, taken: Any) -> Numbers:
    """The part that Gauss and Newton's Hessian lacks, after one more step.

    Parameters
    ----------
    bend : array or Tensor, (task, parameter, parameter)
        What was known of that part before.
    hessian : array or Tensor, (task, parameter, parameter)
        Gauss and Newton's, where the step ended.
    step, change : array or Tensor, (task, parameter)
        The step, and by how much the slope changed along it.
    taken : array or Tensor of bool, (task,)
        Steps that were not taken tell nothing.

    Examples
    --------
    Of a quadratic of which only the first axis was known, a step along the second tells the rest:

    >>> import numpy as np
    >>> known, whole = np.diag([2.0, 0.0])[None], np.diag([2.0, 3.0])[None]
    >>> step = np.array([[0.0, 1.0]])
    >>> nothing = np.zeros((1, 2, 2))
    >>> bent(nothing, known, step, (whole @ step[..., None])[..., 0], np.array([True])).tolist()
    [[[0.0, 0.0], [0.0, 3.0]]]
    """
    lacking = change - ((hessian + bend) @ step[..., None])[..., 0]
    along = (lacking * step).sum(1)
    enough = taken & (abs(along) > _ALONG * ((lacking * lacking).sum(1) * (step * step).sum(1)) ** 0.5)
    lacking = math.where(enough[:, None], lacking, 0.0)
    update: Numbers = lacking[:, :, None] * lacking[:, None, :]
    return bend + update / math.where(enough, along, 1.0)[:, None, None]
