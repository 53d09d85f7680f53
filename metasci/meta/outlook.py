"""What is known of the members of one group, jointly, before and after some of them were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metasci.errors import check_level

__all__ = ["Outlook"]


@dataclass(frozen=True)
class Outlook:
    """A joint Student distribution over measurements of the members of one group.

    Attributes
    ----------
    mean : Tensor, (point,)
    covariance : Tensor, (point, point)
        Scale matrix of the members' true values; the covariance where the degrees of freedom are many.
    noise : Tensor, (point,), or float
        Squared scale of a measurement about it.
    freedom : float
        Degrees of freedom; infinite for a Gaussian.
    """

    mean: Tensor
    covariance: Tensor
    noise: Tensor | float
    freedom: float = math.inf

    def given(self, measured: Tensor, values: Tensor) -> Outlook:
        """The same after some members were measured.

        Parameters
        ----------
        measured : Tensor of bool, (point,)
        values : Tensor, (point,)
            Looked at only where measured.
        """
        count = int(measured.sum())
        if not count:
            return self
        along = self.covariance[:, measured]
        known = self.covariance[measured][:, measured]
        noise = torch.as_tensor(self.noise, dtype=known.dtype).expand(len(self.mean))[measured]
        factor = torch.linalg.cholesky(known + noise.diag())
        off = torch.linalg.solve_triangular(factor, (values - self.mean)[measured][:, None], upper=False)
        pull = torch.linalg.solve_triangular(factor, along.T, upper=False)
        stretch = 1.0
        if math.isfinite(self.freedom):
            stretch = (self.freedom + float(off.square().sum())) / (self.freedom + count)
        return Outlook(
            self.mean + pull.T @ off[:, 0],
            stretch * (self.covariance - pull.T @ pull),
            stretch * self.noise,
            self.freedom + count,
        )

    def wider(self, deviation: float, loadings: Tensor) -> Outlook:
        """The same where members are strange, each way of which adds a level that nothing is known of.

        Parameters
        ----------
        deviation : float
            Of such a level.
        loadings : Tensor, (point, way)
            How far each member is strange in each way.

        Examples
        --------
        >>> alike = torch.eye(2, dtype=torch.float64)
        >>> outlook = Outlook(alike[0], alike, 0.0).wider(2.0, torch.tensor([[0.0], [1.0]], dtype=torch.float64))
        >>> outlook.covariance.tolist()
        [[1.0, 0.0], [0.0, 5.0]]
        """
        return replace(self, covariance=self.covariance + deviation**2 * loadings @ loadings.T)

    @property
    def scale(self) -> Tensor:
        """Scale of a measurement of each member, (point,)."""
        return (self.covariance.diagonal().clamp(min=0.0) + self.noise).sqrt()

    def reach(self, level: float) -> float:
        """Half the width of a central interval, in scales."""
        from scipy.special import ndtri, stdtrit

        check_level(level)
        tail = 0.5 * (1.0 + level)
        return float(stdtrit(self.freedom, tail) if math.isfinite(self.freedom) else ndtri(tail))
