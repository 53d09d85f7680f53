"""A plain Gaussian process over many tasks, with no equation: what all share, and a smooth deviation of each.

y = m + g(x, c) + d_t(x) + e, with a Matérn-5/2 kernel over inputs and covariates for g, a constant and a Gaussian
kernel over inputs for each task's own d_t, a length for every coordinate, and one noise. The scales are those
of the greatest marginal likelihood. A new task is conditioned on old tasks and its support exactly.
Sources: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapters 2 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PlainProcess"]

# rows at most, drawn at random from all tasks: a step costs their cube, and 60 steps on so many take some ten seconds
_MOST = 500
_STEPS, _RATE = 60, 0.1
_JITTER = 1e-8
_SQRT5 = 5.0**0.5


@dataclass(frozen=True)
class PlainProcess:
    """A learned process.

    Attributes
    ----------
    centre, width : Tensor, (feature,)
        By which inputs and covariates are put on one scale.
    level, unit : Tensor, ()
        By which the target is.
    scales : dict of Tensor
        Logarithms: ``shared``, ``constant``, ``own`` and ``noise`` of standard deviations; ``length`` (feature,) and
        ``own_length`` (coordinate,).
    rows : Tensor, (row, feature)
    task : Tensor of int, (row,)
    target : Tensor, (row,)
    """

    centre: Tensor
    width: Tensor
    level: Tensor
    unit: Tensor
    scales: dict[str, Tensor]
    rows: Tensor
    task: Tensor
    target: Tensor

    @classmethod
    def learn(cls, place: Tensor, own: Tensor, target: Tensor, seen: Tensor, seed: int = 0) -> PlainProcess:
        """Learn from old tasks.

        Parameters
        ----------
        place, own : Tensor, (task, observation, coordinate), (task, observation, property)
        target : Tensor, (task, observation)
        seen : Tensor of bool, (task, observation)
        seed : int
            Of the choice of rows.
        """
        raw, task = torch.cat([place, own], -1)[seen], seen.nonzero()[:, 0]
        known = torch.isfinite(raw)
        count = known.sum(0).clamp(min=1)
        centre = torch.where(known, raw, 0.0).sum(0) / count
        width = (torch.where(known, raw - centre, 0.0).square().sum(0) / count).sqrt()
        width = torch.where(width > 0, width, torch.ones_like(width))
        value = target[seen]
        level, unit = value.mean(), value.std().clamp(min=1e-12)
        chosen = (
            torch.randperm(len(value), generator=torch.Generator().manual_seed(seed))[:_MOST].sort().values
        )
        zero = value.new_zeros(())
        scales = {
            "shared": zero, "constant": zero - 1.0, "own": zero - 1.0, "noise": zero - 1.5,
            "length": value.new_zeros(raw.shape[1]) + 0.7, "own_length": value.new_zeros(place.shape[-1]) + 0.7,
        }  # fmt: skip
        new = cls(
            centre, width, level, unit, scales, _standard(raw, centre, width)[chosen], task[chosen],
            ((value - level) / unit)[chosen],
        )  # fmt: skip
        return new._climbed()

    def _climbed(self) -> PlainProcess:
        """The same at the greatest marginal likelihood that Adam finds."""
        free = {name: value.clone().requires_grad_() for name, value in self.scales.items()}
        search = torch.optim.Adam(list(free.values()), lr=_RATE)
        with torch.enable_grad():
            for _ in range(_STEPS):
                search.zero_grad()
                cost = self.cost(free)
                cost.backward()
                search.step()
        learned = {name: value.detach() for name, value in free.items()}
        return PlainProcess(
            self.centre, self.width, self.level, self.unit, learned, self.rows, self.task, self.target
        )

    def cost(self, scales: dict[str, Tensor]) -> Tensor:
        """Negative log marginal likelihood of the old tasks, of standardised values; and a faint belief in scales."""
        covariance = self.kernel(self.rows, self.task, self.rows, self.task, scales)
        noise = (2.0 * scales["noise"]).exp() + _JITTER
        root = torch.linalg.cholesky(covariance + noise * torch.eye(len(covariance), dtype=covariance.dtype))
        white = torch.linalg.solve_triangular(root, self.target[:, None], upper=False)
        # lengths that nothing tells stay near one standard deviation of their coordinate
        faint = 0.5 * sum((value / 3.0).square().sum() for value in scales.values())
        return 0.5 * white.square().sum() + root.diagonal().log().sum() + faint

    def kernel(
        self,
        rows: Tensor,
        task: Tensor,
        others: Tensor,
        other_task: Tensor,
        scales: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Covariance of two sets of standardised rows, (row, other)."""
        scales = self.scales if scales is None else scales
        length, own_length = scales["length"].exp(), scales["own_length"].exp()
        far = _SQRT5 * _distance(rows / length, others / length).clamp(min=1e-20).sqrt()
        shared = (2.0 * scales["shared"]).exp() * (1.0 + far + far.square() / 3.0) * (-far).exp()
        size = len(own_length)
        near = (-0.5 * _distance(rows[:, :size] / own_length, others[:, :size] / own_length)).exp()
        same = (task[:, None] == other_task[None]).to(rows.dtype)
        own = (2.0 * scales["constant"]).exp() + (2.0 * scales["own"]).exp() * near
        return shared + same * own

    def given(self, place: Tensor, own: Tensor, target: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of new measurements given each new task's support, (task, observation) each."""
        noise = (2.0 * self.scales["noise"]).exp()
        covariance = self.kernel(self.rows, self.task, self.rows, self.task)
        root = torch.linalg.cholesky(
            covariance + (noise + _JITTER) * torch.eye(len(covariance), dtype=covariance.dtype)
        )
        white = torch.linalg.solve_triangular(root, self.target[:, None], upper=False)[:, 0]
        rows = _standard(torch.cat([place, own], -1), self.centre, self.width)
        means, sds = torch.empty_like(target), torch.empty_like(target)
        new = torch.full((target.shape[1],), -1)
        for at in range(len(target)):
            across = torch.linalg.solve_triangular(
                root, self.kernel(self.rows, self.task, rows[at], new), upper=False
            )
            mean = across.T @ white
            spread = self.kernel(rows[at], new, rows[at], new) - across.T @ across
            known = support[at]
            if bool(known.any()):
                inner = spread[known][:, known] + noise * torch.eye(int(known.sum()), dtype=spread.dtype)
                gain = torch.linalg.solve(inner, spread[known]).T
                off = (target[at][known] - self.level) / self.unit - mean[known]
                mean, spread = mean + gain @ off, spread - gain @ spread[known]
            means[at] = self.level + self.unit * mean
            sds[at] = self.unit * (spread.diagonal().clamp(min=0.0) + noise).sqrt()
        return means, sds


def _standard(raw: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """Features on one scale; what is not known is average."""
    return torch.where(torch.isfinite(raw), (raw - centre) / width, torch.zeros_like(raw))


def _distance(rows: Tensor, others: Tensor) -> Tensor:
    """Squared distances, (row, other)."""
    return (rows[:, None] - others[None]).square().sum(-1)
