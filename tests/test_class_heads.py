"""Heads that name classes by Laplace: held against a penalised fit by SciPy, plain matrices and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch
from torch import Tensor, nn

from metasci.meta import Network, NetworkEpisode, Outer, initial, meta_train, named
from metasci.meta.networks.class_head import (
    class_head_episode,
    class_head_start,
    class_posterior,
    log_chances,
    log_scales,
    mean_log_chances,
)
from metasci.meta.networks.metrics import accuracy
from metasci.meta.networks.sampling import few_shot_classes
from metasci.studies import noisy_shots
from metasci.studies.omniglot_heads import HeadInTurn, head_scores, right_in_turn

CLASSES = 4


def joint(count: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    at = torch.randn(1, count, 2, generator=draw, dtype=torch.float64)
    return 4.0 * torch.exp(-0.5 * torch.cdist(at, at).square()) + at @ at.mT


def parts(whole: Tensor, known: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        whole[:, :known, :known],
        whole[:, :known, known:],
        whole[:, known:, known:].diagonal(dim1=1, dim2=2),
    )


@pytest.mark.parametrize("with_means", [False, True])
def test_mode_and_variance_are_those_of_a_penalised_fit(with_means: bool) -> None:
    draw, count, asked = torch.Generator().manual_seed(1), 7, 3
    whole, labels = joint(count + asked), torch.randint(0, CLASSES, (1, count), generator=draw)
    means = tuple(torch.randn(1, n, CLASSES, generator=draw).double() for n in (count, asked))
    found = class_posterior(*parts(whole, count), labels, CLASSES, None, means if with_means else None)
    kernel, across = whole[0, :count, :count].numpy(), whole[0, :count, count:].numpy()
    level = means[0][0].T.numpy() if with_means else np.zeros((CLASSES, count))
    inverse, truth = np.linalg.inv(kernel), np.eye(CLASSES)[labels[0].numpy()].T

    def cost(flat: np.ndarray) -> float:
        each = flat.reshape(CLASSES, count)
        penalty = 0.5 * np.einsum("ci,ij,cj", each, inverse, each)
        at = each + level
        return float(penalty - (at * truth).sum() + scipy.special.logsumexp(at, 0).sum())

    best = scipy.optimize.minimize(cost, np.zeros(CLASSES * count), options={"gtol": 1e-9}).x
    mode = best.reshape(CLASSES, count)
    expected = (mode @ inverse @ across).T + (means[1][0].numpy() if with_means else 0.0)
    np.testing.assert_allclose(found[0][0], expected, atol=1e-5)
    p = scipy.special.softmax(mode + level, 0)
    bend = np.diag(p.ravel()) - np.einsum("ci,dj,ij->cidj", p, p, np.eye(count)).reshape(
        (CLASSES * count,) * 2
    )
    spread = np.linalg.inv(np.kron(np.eye(CLASSES), inverse) + bend)
    gain = np.kron(np.eye(CLASSES), across.T @ inverse)
    left = whole[0, count:, count:].numpy() - across.T @ inverse @ across
    covariance = np.kron(np.eye(CLASSES), left) + gain @ spread @ gain.T
    np.testing.assert_allclose(found[1][0], np.diag(covariance).reshape(CLASSES, asked).T, atol=1e-5)


def test_cases_that_are_masked_or_of_no_class_say_nothing() -> None:
    whole = joint(8)
    labels = torch.tensor([[0, 1, 2, 3, -1]])
    mask = torch.tensor([[True, True, False, True, True]])
    found = class_posterior(*parts(whole, 5), labels, CLASSES, mask)
    kept = [0, 1, 3, 5, 6, 7]
    alone = class_posterior(*parts(whole[:, kept][:, :, kept], 3), torch.tensor([[0, 1, 3]]), CLASSES)
    torch.testing.assert_close(found, alone)


def test_slopes_of_scales_are_those_of_the_mode() -> None:
    draw = torch.Generator().manual_seed(2)
    seen, new = (torch.randn(2, n, 3, generator=draw, dtype=torch.float64) for n in (6, 4))
    labels = torch.randint(0, 3, (2, 6), generator=draw)
    start = {name: value.double() for name, value in log_scales().items()}

    def told(scales: dict[str, Tensor]) -> Tensor:
        return log_chances(scales, seen, new, labels, 3)[..., 0].sum()

    for name in start:
        free = {**start, name: start[name].clone().requires_grad_()}
        (slope,) = torch.autograd.grad(told(free), free[name])
        step = 1e-5
        ends = [told({**start, name: start[name] + side * step}) for side in (-1.0, 1.0)]
        assert float(slope) == pytest.approx(float(ends[1] - ends[0]) / (2.0 * step), rel=1e-4, abs=1e-8)


def test_probabilities_average_over_scores() -> None:
    """The approximation against quadrature over two classes: too sure by up to four points, and the right side."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    for mean, variance in ((0.5, 0.3), (1.5, 2.0), (3.0, 4.0)):
        exact = (
            scipy.special.expit(2.0 * mean + nodes * np.sqrt(2.0 * variance)) * weights
        ).sum() / weights.sum()
        told = mean_log_chances(torch.tensor([mean, -mean]), torch.tensor([variance, variance])).exp()
        assert exact < float(told[0]) < exact + 0.04


@pytest.mark.parametrize("bend", [False, True])
def test_a_head_learns_to_name_classes_of_new_tasks(bend: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(40, 2, generator=draw) * 2.0
    labels = torch.arange(40).repeat_interleave(20)
    hidden = centres[labels] + 0.3 * torch.randn(800, 2, generator=draw)
    inputs = torch.cat([hidden, 3.0 * torch.randn(800, 4, generator=draw)], 1)  # of which two numbers tell
    torch.manual_seed(0)
    network = Network(nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8)))

    def episodes(of: slice) -> object:
        chosen = (labels >= of.start) & (labels < of.stop)
        sampler = few_shot_classes(
            network, inputs[chosen], labels[chosen], ways=5, shots=(1, 3), queries=5, tasks=8
        )

        def made(seed: int) -> NetworkEpisode:
            plain = sampler(seed)
            return class_head_episode(
                network, plain.inputs, plain.targets, plain.query_inputs, plain.query_targets, 5, plain.mask
            )

        return made

    start = initial(named.pooled_training(), class_head_start(network, bend))
    test = episodes(slice(30, 40))(10**6)  # type: ignore[operator]
    before = accuracy(test.outputs(dict.__or__(*test.start(start))), test.query_targets)
    done = meta_train(named.pooled_training(), episodes(slice(0, 30)), start, Outer(150, 1e-2), compile=False)  # type: ignore[arg-type]
    after = accuracy(test.outputs(dict.__or__(*test.start(done.learned))), test.query_targets)
    assert float(after) > float(before) + 0.15


def test_a_head_on_drawings_is_asked_of_each_by_every_other_person() -> None:
    torch.manual_seed(0)
    module = HeadInTurn(people=3, bend=True).eval()
    drawings = torch.rand(3 * 4, 1, 28, 28)
    with torch.no_grad():
        told = module(drawings)
        embedded = module.body(drawings).unflatten(0, (3, 4))
        alone = module.named(embedded[:1], torch.cat([embedded[1], embedded[2]])[None])
    assert told.shape == (3, 8, 4)
    torch.testing.assert_close(told[:1], alone)
    right = torch.cat([told[:, :4].diagonal(dim1=1, dim2=2), told[:, 4:].diagonal(dim1=1, dim2=2)])
    torch.testing.assert_close(right_in_turn(told), -right.mean())
    assert callable(head_scores)


def test_noise_of_few_shots_is_the_same_for_both_methods_and_left_out_of_what_judges() -> None:
    network = Network(nn.Linear(2, 1))
    noisy, clean = (noisy_shots.drawn(network, 5, 40, noisy) for noisy in (True, False))
    torch.testing.assert_close(noisy.targets, clean.targets)
    spread = (noisy.query_targets - clean.query_targets).std()
    assert float(spread) == pytest.approx(1.0, abs=0.05)
    found = noisy_shots.errors(0, iterations=2)
    assert set(found["method"]) == set(noisy_shots.METHODS)
    assert np.isfinite(found["error"]).all()
