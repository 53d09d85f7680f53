"""Classes from a Gaussian process on meta-learned features: a new task is adapted to without descent, by Laplace.

Each class c of a task has a score f_c(φ) ~ GP(0, k) of its own on the features φ of one network, and a case is of class
c with probability softmax(f)_c. Given a support the posterior of the scores is Gaussian about its mode, which Newton's
steps find; the query's probabilities are means over it. The covariance is that of `metasci.meta.networks.process_head`:
of a level and a plane alone it is a Bayesian linear head, with a bend a process. What is learned, network and scales,
maximises the probability of the query. Where classes mean the same in every task, scores have a mean of their own,
which the network gives beside the features; else the mean is zero, and no class is preferred.

Sources: Williams and Barber, IEEE Trans Pattern Anal 20 (1998) 1342, and Rasmussen and Williams, Gaussian Processes for
Machine Learning (2006), algorithms 3.3 and 3.4, for the mode and the posterior; MacKay, Neural Comput 4 (1992) 720, and
Lu, Ie and Sha 2020 (arXiv 2006.07584), for the mean of the probabilities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import NetworkEpisode, cross_entropy
from metasci.meta.networks.network import Network
from metasci.meta.networks.process_head import covariance

__all__ = [
    "ClassHeadEpisode",
    "class_head_episode",
    "class_head_start",
    "class_posterior",
    "log_chances",
    "log_scales",
    "mean_log_chances",
]

_HEAD = "head/"
# standard deviations, and a length among features, where learning starts: all of them are learned
_START = {"level": 0.3, "plane": 2.0, "bend": 2.0, "length": 1.0}
_STEPS = 8  # of Newton: the posterior has one mode, near which digits double with every step
_JITTER = 1e-4  # of unit variances, in single precision
_LEAST = 1e-12  # of a chance, whose root has a slope


def log_scales(bend: bool = True) -> Parameters:
    """Logarithms of the scales of the covariance where learning starts; without a bend scores are linear.

    Examples
    --------
    >>> sorted(log_scales(bend=False))
    ['log_level', 'log_plane']
    """
    names = _START if bend else ("level", "plane")
    return {f"log_{name}": torch.tensor(math.log(_START[name])) for name in names}


def class_head_start(network: Network, bend: bool = True) -> Parameters:
    """What is learned: the network's weights, and `log_scales`.

    Parameters
    ----------
    network : Network
        To (task, case, feature).
    bend : bool
        Whether scores may bend; without, they are linear in the features.

    Examples
    --------
    >>> sorted(name for name in class_head_start(Network(torch.nn.Linear(1, 3)), bend=False) if "/" in name)
    ['head/log_level', 'head/log_plane']
    """
    start = network.start()
    unit = next(iter(start.values())).new_ones(())
    return {**start, **{f"{_HEAD}{name}": unit * value for name, value in log_scales(bend).items()}}


def class_posterior(
    among: Tensor,
    across: Tensor,
    itself: Tensor,
    labels: Tensor,
    classes: int,
    mask: Tensor | None = None,
    means: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the scores of every class at the query, (task, query, class) each.

    Parameters
    ----------
    among : Tensor, (task, case, case)
        Prior covariance of a class's scores in the support.
    across : Tensor, (task, case, query)
    itself : Tensor, (task, query)
        Prior variance at the query.
    labels : Tensor of int, (task, case)
    classes : int
    mask : Tensor of bool, (task, case), optional
        Cases of the support that there are; a negative label is none either.
    means : pair of Tensor, (task, case, class) and (task, query, class), optional
        Of the scores, before anything is known; zero by default.

    Examples
    --------
    One case of the first of two classes, of unit variance: scores ±a with a = 1/(1 + e^(2a)).

    >>> one = torch.ones(1, 1, 1, dtype=torch.float64)
    >>> mean, variance = class_posterior(one, one, one[0], torch.zeros(1, 1).long(), 2)
    >>> mean.flatten().round(decimals=4).tolist(), variance.flatten().round(decimals=4).tolist()
    ([0.3374, -0.3374], [0.8455, 0.8455])
    """
    seen = labels >= 0 if mask is None else mask & (labels >= 0)
    there = seen.to(among.dtype)[:, None, :]  # (task, 1, case)
    kernel = among * there * there.mT
    eye = torch.eye(labels.shape[1], dtype=among.dtype, device=among.device)
    truth = torch.nn.functional.one_hot(labels.clamp(min=0), classes).to(among.dtype).mT * there

    expected = torch.zeros_like(truth) if means is None else means[0].mT * there

    with torch.no_grad():
        scores = torch.zeros_like(truth)
        for _ in range(_STEPS - 1):
            scores = _newton(scores, expected, kernel, truth, there, eye)
    # at the mode a step does not depend on where it starts: one step with its slopes has those of the mode
    scores = _newton(scores, expected, kernel, truth, there, eye)
    chance = torch.softmax(expected + scores, 1) * there
    weighed, joint = _weighed(chance, kernel, there, eye)
    reach = (across * there.mT)[:, None]
    told = weighed @ reach
    down = (reach * (told - weighed @ torch.cholesky_solve(told, joint[:, None]))).sum(2)
    mean = ((truth - chance) @ reach[:, 0]).mT
    return mean if means is None else mean + means[1], (itself[:, None] - down).clamp(min=0.0).mT


def _newton(
    scores: Tensor, expected: Tensor, kernel: Tensor, truth: Tensor, there: Tensor, eye: Tensor
) -> Tensor:
    """The scores less their means, (task, class, case), after a step."""
    chance = torch.softmax(expected + scores, 1) * there
    weighed, joint = _weighed(chance, kernel, there, eye)
    along = chance * scores
    aim = along - chance * along.sum(1, keepdim=True) + truth - chance
    told = (weighed @ (kernel[:, None] @ aim[..., None]))[..., 0]
    common = torch.cholesky_solve(told.sum(1)[..., None], joint)[:, None]
    weights = aim - told + (weighed @ common)[..., 0]
    return (kernel[:, None] @ weights[..., None])[..., 0]


def _weighed(chance: Tensor, kernel: Tensor, there: Tensor, eye: Tensor) -> tuple[Tensor, Tensor]:
    """E = D^½ (1 + D^½ K D^½)⁻¹ D^½ of every class, D being its chances, and a factor of their sum."""
    root = chance.clamp(min=_LEAST).sqrt() * there
    factor = torch.linalg.cholesky(eye + root[..., :, None] * kernel[:, None] * root[..., None, :])
    half = torch.linalg.solve_triangular(factor, torch.diag_embed(root), upper=False)
    weighed = half.mT @ half
    return weighed, torch.linalg.cholesky(weighed.sum(1) + (1.0 - there[:, 0, :, None]) * eye)


def mean_log_chances(mean: Tensor, variance: Tensor) -> Tensor:
    """Logarithms of the mean probabilities of classes whose scores are Gaussian, (…, class).

    The mean field's approximation, each score shrunken by its own variance: of two classes too sure by up to four
    points.

    Examples
    --------
    >>> mean_log_chances(torch.zeros(2), torch.tensor([4.0, 0.0])).exp().tolist()
    [0.5, 0.5]
    """
    return torch.log_softmax(mean / (1.0 + math.pi / 8.0 * variance).sqrt(), -1)


def log_chances(
    scales: Parameters,
    seen: Tensor,
    new: Tensor,
    labels: Tensor,
    classes: int,
    mask: Tensor | None = None,
    means: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Log probabilities of the classes of a query, (task, query, class), by features alone.

    Parameters
    ----------
    scales : dict of Tensor
        As `log_scales` gives them.
    seen, new : Tensor, (task, case, feature)
        Features of the support and of the query.
    labels, classes, mask, means
        As for `class_posterior`.
    """
    level, plane = scales["log_level"].exp(), scales["log_plane"].exp()
    bend, length = level.new_zeros(()), level.new_ones(())
    if "log_bend" in scales:
        bend, length = scales["log_bend"].exp(), scales["log_length"].exp()
    known = {"level": level, "plane": plane, "bend": bend, "length": length}
    jitter = _JITTER * torch.eye(seen.shape[1], dtype=seen.dtype, device=seen.device)
    among, across = covariance(seen, seen, known) + jitter, covariance(seen, new, known)
    itself = level**2 + plane**2 * new.square().mean(-1) + bend**2 + _JITTER
    return mean_log_chances(*class_posterior(among, across, itself, labels, classes, mask, means))


@dataclass(frozen=True)
class ClassHeadEpisode(NetworkEpisode):
    """Episodes whose query is named by a process on the network's features; see `class_head_episode`."""

    classes: int = 2
    with_means: bool = False

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """The network's weights, and the head's scales, which tasks share."""
        weights, shared = super().start({n: v for n, v in learned.items() if not n.startswith(_HEAD)})
        return weights, shared | {n: v for n, v in learned.items() if n.startswith(_HEAD)}

    def support(self, parameters: Parameters) -> Tensor:
        """There is nothing to descend on: Newton's steps find the mode."""
        return parameters[f"{_HEAD}log_plane"].new_zeros(len(self))

    def outputs(self, parameters: Parameters) -> Tensor:
        """Log probabilities of the query's classes, (task, case, class)."""
        own = {name: value for name, value in parameters.items() if not name.startswith(_HEAD)}
        mask = self._support_mask
        seen = self.network(own, self.inputs, mask if self.network.looks_at_support else None)
        scales = {n.removeprefix(_HEAD): v for n, v in parameters.items() if n.startswith(_HEAD)}
        new, means = super().outputs(own), None
        if self.with_means:
            means = seen[..., : self.classes], new[..., : self.classes]
            seen, new = seen[..., self.classes :], new[..., self.classes :]
        return log_chances(scales, seen, new, self.targets, self.classes, self.mask, means)


def class_head_episode(
    network: Network,
    inputs: Any,
    labels: Tensor,
    query_inputs: Any,
    query_labels: Tensor,
    classes: int,
    mask: Tensor | None = None,
    query_mask: Tensor | None = None,
    with_means: bool = False,
) -> ClassHeadEpisode:
    """Classification tasks for a head by Laplace, linear or a process as `class_head_start` says.

    Train with ``named.pooled_training()`` (no inner steps) from `class_head_start`.

    Parameters
    ----------
    network : Network
        To features, (task, case, feature), behind the means if there are any.
    inputs, query_inputs : Tensor or nested tensors, (task, case, ...)
    labels, query_labels : Tensor of int, (task, case)
        Class numbers from 0 on, negative where there is none.
    classes : int
    mask, query_mask : Tensor of bool, (task, case), optional
    with_means : bool
        Whether classes mean the same in every task: the network gives the mean score of each, then the features.

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [1.0]]])
    >>> network = Network(torch.nn.Linear(1, 3))
    >>> made = class_head_episode(
    ...     network, line, torch.tensor([[0, 1]]), line, torch.tensor([[0, 1]]), classes=2
    ... )
    >>> made.outputs(dict.__or__(*made.start(class_head_start(network)))).argmax(-1).tolist()
    [[0, 1]]
    """
    return ClassHeadEpisode(
        network,
        inputs,
        labels,
        query_inputs,
        query_labels,
        mask,
        query_mask,
        cross_entropy,
        classes,
        with_means,
    )
