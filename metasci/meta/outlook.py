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
    levels : pair of Tensor, optional
        By which the whole group's noise may be more than that, (level,), and the levels' log probabilities.
    """

    mean: Tensor
    covariance: Tensor
    noise: Tensor | float
    freedom: float = math.inf
    levels: tuple[Tensor, Tensor] | None = None

    def given(self, measured: Tensor, values: Tensor) -> Outlook:
        """The same after some members were measured.

        Parameters
        ----------
        measured : Tensor of bool, (point,)
        values : Tensor, (point,)
            Looked at only where measured.
        """
        if not bool(measured.any()):
            return self
        if self.levels is None:
            return self._given(measured, values)[0]
        by, log_weight = self.levels
        each = [
            replace(self, noise=self.noise * factor, levels=None)._given(measured, values) for factor in by
        ]
        weight = torch.softmax(log_weight + log_weight.new_tensor([density for _, density in each]), 0)
        return _as_one([after for after, _ in each], weight)

    def _given(self, measured: Tensor, values: Tensor) -> tuple[Outlook, float]:
        """The same after measurements, of one level of noise; and their log density, but for a constant."""
        count = int(measured.sum())
        along = self.covariance[:, measured]
        known = self.covariance[measured][:, measured]
        noise = torch.as_tensor(self.noise, dtype=known.dtype).expand(len(self.mean))[measured]
        factor = torch.linalg.cholesky(known + noise.diag())
        off = torch.linalg.solve_triangular(factor, (values - self.mean)[measured][:, None], upper=False)
        pull = torch.linalg.solve_triangular(factor, along.T, upper=False)
        stretch, far = 1.0, float(off.square().sum())
        density = -float(factor.diagonal().log().sum())
        if math.isfinite(self.freedom):
            stretch = (self.freedom + far) / (self.freedom + count)
            density -= 0.5 * (self.freedom + count) * math.log1p(far / self.freedom)
        else:
            density -= 0.5 * far
        after = Outlook(
            self.mean + pull.T @ off[:, 0],
            stretch * (self.covariance - pull.T @ pull),
            stretch * self.noise,
            self.freedom + count,
        )
        return after, density

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
        return (self.covariance.diagonal().clamp(min=0.0) + self.expected_noise).sqrt()

    @property
    def expected_noise(self) -> Tensor | float:
        """The noise, averaged over its levels, (point,)."""
        if self.levels is None:
            return self.noise
        by, log_weight = self.levels
        return self.noise * float((by * log_weight.exp()).sum())

    def reach(self, level: float) -> float:
        """Half the width of a central interval, in scales."""
        from scipy.special import ndtri, stdtrit

        check_level(level)
        tail = 0.5 * (1.0 + level)
        return float(stdtrit(self.freedom, tail) if math.isfinite(self.freedom) else ndtri(tail))


def _as_one(parts: list[Outlook], weight: Tensor) -> Outlook:
    """A Student distribution with the mean and the covariance of a mixture of such, of the same degrees of freedom."""
    freedom = parts[0].freedom
    mean = torch.stack([part.mean for part in parts])
    middle = weight @ mean
    # of the scale matrix, of which the covariance is more by ν/(ν − 2)
    less = (freedom - 2.0) / freedom if math.isfinite(freedom) and freedom > 2.0 else 1.0
    apart = less * torch.einsum("l,li,lj->ij", weight, mean - middle, mean - middle)
    within = torch.einsum("l,lij->ij", weight, torch.stack([part.covariance for part in parts]))
    noise = torch.stack([torch.as_tensor(part.noise, dtype=mean.dtype).expand(len(middle)) for part in parts])
    return Outlook(middle, within + apart, weight @ noise, freedom)
