"""Groups of measurements of one Gaussian process: what each tells of what all share, and what the others say of it.

Members of a family, measurements of a task: in either case groups have a process in common and one of their own. So the
same two steps serve both, whatever the covariances are.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["given_others", "terms_of"]


def terms_of(basis: Tensor, rest: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """What a group adds to the precision of the shared process at few points, and to that times the mean.

    Given the shared process at these points groups are taken to be independent, and each is exact within itself (the
    partially independent conditional of Snelson and Ghahramani, AISTATS 2007).

    Parameters
    ----------
    basis : Tensor, (member, point)
        The shared process at the group's members by its whitened values at the points.
    rest : Tensor, (member, member)
        Covariance of the group's measurements given these.
    values : Tensor, (member,)
        The measurements, of mean zero.

    Examples
    --------
    >>> one = torch.ones(2, 1, dtype=torch.float64)
    >>> precision, pull = terms_of(one, 0.5 * torch.eye(2, dtype=torch.float64), 3.0 * one[:, 0])
    >>> precision.item(), pull.item()
    (4.0, 12.0)
    """
    seen = torch.cat([basis, values[:, None]], 1)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(rest), seen, upper=False)
    here = white[:, :-1]
    return here.T @ here, here.T @ white[:, -1]


def given_others(inverse: Tensor, weights: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """How far a group's measurements lie from what all others say of them, and with which covariance.

    Parameters
    ----------
    inverse : Tensor, (measurement, measurement)
        P, of the covariance of all measurements.
    weights : Tensor, (measurement,)
        P y.
    group : Tensor of int, (member,)
        Which measurements are the group's.

    Returns
    -------
    off, covariance : Tensor, (member,) and (member, member)

    Notes
    -----
    The covariance is the inverse of P's block, and the distance that times the block of P y (the group version of
    Sundararajan and Keerthi, Neural Comput 13 (2001) 1103).

    Examples
    --------
    >>> whole = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    >>> y = torch.tensor([2.0, 3.0], dtype=torch.float64)
    >>> inverse = torch.linalg.inv(whole)
    >>> off, covariance = given_others(inverse, inverse @ y, torch.tensor([1]))  # 3 - 0.5 * 2, and 1 - 0.5²
    >>> round(off.item(), 9), round(covariance.item(), 9)
    (2.0, 0.75)
    """
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(inverse[group][:, group]))
    return covariance @ weights[group], covariance
