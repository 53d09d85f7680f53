"""A Gaussian-process head on meta-learned features: like the linear head, but of any smooth function of the features.

The targets of a task are y = m(x) + f(φ(x)) + e, with a mean m and features φ of one network, a function f ~ GP(0, k)
of its own for each task, and noise. The covariance is a level, a plane and a bounded smooth function of the features::

    k(φ, φ′) = s₀² + s₁² φ·φ′/F + s₂² exp(−‖φ − φ′‖²/(2 F l²))

Given a support of n cases the query is Gaussian in closed form, at the cost of one n × n system; what is learned,
network and scales, maximises its density. Sources: Wilson et al. 2016 (deep kernels, arXiv 1511.02222); Patacchiola et
al. 2020 (learned over tasks, arXiv 1910.05199).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.linear_head import LinearHeadEpisode
from metasci.meta.networks.network import Network

__all__ = ["ProcessHeadEpisode", "covariance", "process_posterior", "process_start"]

_HEAD = "head/"
# standard deviations, and a length among features, where learning starts: all of them are learned
_START = {"level": 0.3, "plane": 0.3, "bend": 0.3, "length": 1.0, "noise": 0.2}
# of unit variances: features are in single precision, whose rounding a Cholesky factor must bear
_JITTER = 1e-5


def process_start(network: Network) -> Parameters:
    """What is learned: the network's weights, and logarithms of s₀, s₁, s₂, l and σ, in units of the targets.

    Examples
    --------
    >>> sorted(name for name in process_start(Network(torch.nn.Linear(1, 3))) if "/" in name)
    ['head/log_bend', 'head/log_length', 'head/log_level', 'head/log_noise', 'head/log_plane']
    """
    start = network.start()
    unit = next(iter(start.values())).new_ones(())
    return {**start, **{f"{_HEAD}log_{name}": unit * math.log(value) for name, value in _START.items()}}


def covariance(first: Tensor, second: Tensor, scales: dict[str, Tensor]) -> Tensor:
    """Covariance of a task's function at features of two sets of cases, (task, case, other case).

    Parameters
    ----------
    one, other : Tensor, (task, case, feature)
    scales : dict of Tensor
        ``level``, ``plane``, ``bend`` and ``length``: s₀, s₁, s₂ and l.
    """
    size = first.shape[-1]
    along = first @ second.mT / size
    far = first.square().mean(-1)[..., :, None] + second.square().mean(-1)[..., None, :] - 2.0 * along
    bent = (-0.5 * far.clamp(min=0.0) / scales["length"] ** 2).exp()
    return scales["level"] ** 2 + scales["plane"] ** 2 * along + scales["bend"] ** 2 * bent


def process_posterior(
    features: Tensor, residual: Tensor, mask: Tensor, new: Tensor, scales: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean and variance, without noise, of f at new cases given measured ones.

    Parameters
    ----------
    features : Tensor, (task, case, feature)
    residual : Tensor, (task, case)
        y − m at the measured cases.
    mask : Tensor of bool, (task, case)
    new : Tensor, (task, query, feature)
    scales : dict of Tensor
        As for `covariance`, and ``noise``.

    Examples
    --------
    A level alone, known with noise as large as its spread:

    >>> scales = {name: torch.tensor(float(name in ("level", "noise", "length"))) for name in _START}
    >>> one = torch.ones(1, 1, 1)
    >>> mean, variance = process_posterior(one, 2 * one[..., 0], torch.ones(1, 1).bool(), one, scales)
    >>> round(float(mean), 3), round(float(variance), 3)
    (1.0, 0.5)
    """
    both = mask[:, :, None] & mask[:, None, :]
    eye = torch.eye(mask.shape[1], dtype=features.dtype, device=features.device)
    among = torch.where(both, covariance(features, features, scales), 0.0)
    factor = torch.linalg.cholesky(among + (scales["noise"] ** 2 + _JITTER) * eye)
    across = torch.where(mask[:, :, None], covariance(features, new, scales), 0.0)
    pulled = torch.linalg.solve_triangular(factor, across, upper=False)
    known = torch.where(mask, residual, 0.0)[..., None]
    mean = pulled.mT @ torch.linalg.solve_triangular(factor, known, upper=False)
    itself = scales["level"] ** 2 + scales["plane"] ** 2 * new.square().mean(-1) + scales["bend"] ** 2
    return mean[..., 0], (itself - pulled.square().sum(-2)).clamp(min=0.0)


@dataclass(frozen=True)
class ProcessHeadEpisode(LinearHeadEpisode):
    """Episodes whose query is predicted by a Gaussian process on the network's features.

    Train with ``named.pooled_training()`` (no inner steps) from `process_start`. The network gives (task, case,
    1 + feature): the mean, then the features.

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [1.0], [2.0]]])
    >>> network = Network(torch.nn.Linear(1, 3))
    >>> made = ProcessHeadEpisode(network, line, 2 * line, line, 2 * line)
    >>> mean, sd = made.predicted(dict.__or__(*made.start(process_start(network))))
    >>> mean.shape, bool((sd > 0).all())
    (torch.Size([1, 3]), True)
    """

    def predicted(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each query measurement, (task, case)."""
        own = {name: value for name, value in parameters.items() if not name.startswith(_HEAD)}
        scales = {name: parameters[f"{_HEAD}log_{name}"].exp() for name in _START}
        mask = self._support_mask
        seen = self.network(own, self.inputs, mask if self.network.looks_at_support else None)
        new = super(LinearHeadEpisode, self).outputs(own)
        residual = self.targets[..., 0] - seen[..., 0]
        mean, variance = process_posterior(seen[..., 1:], residual, mask, new[..., 1:], scales)
        return new[..., 0] + mean, (variance + scales["noise"] ** 2).sqrt()
