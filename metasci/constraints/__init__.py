"""Physical laws a prediction must obey, each with a violation that is zero where the law holds.

A violation is measured in the output's unit at every point of the inputs, so that it can be differentiated,
penalised during adaptation, and reported by place and size. The points are the measured ones and, where a model
declares them, those of a grid or a quasi-random set.
"""

from metasci.constraints.bounds import Bounded, NonNegative
from metasci.constraints.collocation import Collocation, Grid, QuasiRandom
from metasci.constraints.law import Constraint, OfOutput, Predict, Within
from metasci.constraints.limits import Limit
from metasci.constraints.residual import Residual
from metasci.constraints.shape import Concave, Convex, Even, Monotone, Odd
from metasci.constraints.sums import Conserved, Integral

__all__ = [
    "Bounded",
    "Collocation",
    "Concave",
    "Conserved",
    "Constraint",
    "Convex",
    "Even",
    "Grid",
    "Integral",
    "Limit",
    "Monotone",
    "NonNegative",
    "Odd",
    "OfOutput",
    "Predict",
    "QuasiRandom",
    "Residual",
    "Within",
]
