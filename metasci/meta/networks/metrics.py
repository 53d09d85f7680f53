"""How good a network's outputs are at its queries, as one number: accuracy, area under the curve, error, calibration.

Each is a function of outputs, targets and mask, (task, case, ...) as a `TaskLoss` takes them, gathered over all cases;
`of_queries` makes a metric of it that `metasci.meta.compositions.validation.Validation` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters

__all__ = ["accuracy", "area_under_curve", "brier", "expected_calibration_error", "of_queries", "rmse"]

Figure = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def of_queries(figure: Figure) -> Callable[[Any, Parameters], Tensor]:
    """The figure of a `NetworkEpisode`'s queries at adapted parameters."""

    def metric(episode: Any, adapted: Parameters) -> Tensor:
        return figure(episode.outputs(adapted), episode.query_targets, episode.query_mask)

    return metric


def accuracy(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Share of cases whose greatest score is that of their class.

    Parameters
    ----------
    output : Tensor, (task, case, class)
        Scores, as `cross_entropy` takes them.
    target : Tensor of int, (task, case)
        Numbers of classes; negative ones do not count.
    mask : Tensor of bool, (task, case), optional

    Examples
    --------
    >>> scores = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [3.0, 1.0], [0.0, 1.0]]])
    >>> accuracy(scores, torch.tensor([[0, 1, 1, -1]])).item()
    0.6666...
    """
    scores, classes = _cases(output, target, mask)
    right = (scores.argmax(1) == classes).double().mean()
    return torch.where(scores.isnan().any(), torch.nan, right)  # of what is no number none is greatest


def expected_calibration_error(
    output: Tensor, target: Tensor, mask: Tensor | None = None, bins: int = 15
) -> Tensor:
    """How far confidence and accuracy are apart, the mean over bins of confidence weighted by their cases.

    Sources: Naeini, Cooper and Hauskrecht, AAAI 29 (2015) 2901; Guo et al., ICML 2017, eq. 3.

    Parameters
    ----------
    output, target, mask
        As for `accuracy`.
    bins : int
        Of equal width from 0 to 1.

    Examples
    --------
    Of two cases with confidence 0.8 one is right:

    >>> scores = torch.log(torch.tensor([[[0.8, 0.2], [0.8, 0.2]]], dtype=torch.float64))
    >>> round(expected_calibration_error(scores, torch.tensor([[0, 1]])).item(), 6)
    0.3
    """
    if bins < 1:
        raise InputError(f"bins: {bins} is not a number of bins; give one or more.")
    scores, classes = _cases(output, target, mask)
    confidence, predicted = torch.softmax(scores.double(), 1).max(1)
    right = (predicted == classes).double()
    place = (confidence * bins).ceil().long().clamp(
        1, bins
    ) - 1  # a bin holds its upper end, as in the papers
    gaps = torch.zeros(bins, dtype=torch.float64).index_add(0, place, confidence - right)
    return gaps.abs().sum() / len(classes)


def brier(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared distance of the probabilities from the class that came true, Σₖ(pₖ − yₖ)²; 0 to 2.

    Source: Brier, Mon Weather Rev 78 (1950) 1.

    Examples
    --------
    >>> scores = torch.log(torch.tensor([[[0.8, 0.2]]], dtype=torch.float64))
    >>> round(brier(scores, torch.tensor([[0]])).item(), 6)
    0.08
    """
    scores, classes = _cases(output, target, mask)
    chance = torch.softmax(scores.double(), 1)
    truth = torch.nn.functional.one_hot(classes, chance.shape[1])
    return (chance - truth).square().sum(1).mean()


def area_under_curve(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Probability that a case of class 1 has a greater score than one of class 0, ties by half (Mann and Whitney).

    Parameters
    ----------
    output : Tensor, (task, case), (task, case, 1) or (task, case, 2)
        One score a case, or those of both classes.
    target : Tensor, (task, case)
        0 or 1; negative ones do not count.
    mask : Tensor of bool, (task, case), optional

    Raises
    ------
    InputError
        If only one class is there, or there are more than two.

    Examples
    --------
    >>> area_under_curve(torch.tensor([[0.1, 0.4, 0.35, 0.8]]), torch.tensor([[0, 0, 1, 1]])).item()
    0.75
    """
    whole = output[..., None] if output.dim() == target.dim() else output
    scores, classes = _cases(whole, target, mask)
    if scores.shape[1] > 2 or not bool(((classes == 0) | (classes == 1)).all()):
        raise InputError("the area under the curve is of two classes, 0 and 1.")
    score = scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]
    above, below = score[classes == 1].double(), score[classes == 0].double()
    if not len(above) or not len(below):
        raise InputError("the area under the curve needs cases of both classes.")
    if bool(score.isnan().any()):  # which has no place among others
        return torch.tensor(torch.nan, dtype=torch.float64)
    order = torch.sort(below).values
    fewer, most = torch.searchsorted(order, above), torch.searchsorted(order, above, right=True)
    return (0.5 * (fewer + most).double()).mean() / len(below)


def rmse(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root of the mean squared error of all cases.

    Examples
    --------
    >>> rmse(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[1.0], [5.0]]]), torch.tensor([[True, False]])).item()
    0.0
    """
    if output.shape != target.shape:
        raise InputError(
            f"outputs of shape {tuple(output.shape)} cannot be compared with targets of shape {tuple(target.shape)}."
        )
    off = (output - target).flatten(2) if output.dim() > 2 else (output - target)[..., None]
    seen = torch.ones(off.shape[:2], dtype=torch.bool) if mask is None else mask
    return off[seen].double().square().mean().sqrt()


def _cases(output: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scores (case, class) and classes (case,) of what counts.

    Raises
    ------
    InputError
        If nothing does, or a class has no score.
    """
    seen = target >= 0 if mask is None else mask & (target >= 0)
    if not bool(seen.any()):
        raise InputError("no case of the query has a class, so that there is nothing to judge.")
    scores, classes = output[seen], target[seen].long()
    if scores.dim() != 2 or (scores.shape[1] > 1 and int(classes.max()) >= scores.shape[1]):
        raise InputError(
            f"scores of shape {tuple(output.shape)} do not go with classes of shape {tuple(target.shape)} up to "
            f"{int(classes.max())}: they are (task, case, class), one for each class from 0 on."
        )
    return scores, classes
