"""Networks in the engine: batch normalisation, prototypes, a learned optimiser, sinusoids."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from metasci.errors import InputError
from metasci.meta import (
    Composition,
    Descent,
    Network,
    NetworkEpisode,
    Outer,
    adapt,
    cross_entropy,
    initial,
    meta_gradient,
    meta_train,
    named,
)
from metasci.meta.networks.normalisation import running_statistics
from metasci.meta.networks.prototypes import class_scores, prototypes, prototypical_episode
from metasci.studies import sinusoids
from metasci.studies.quadratics import noisy_quadratics

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOAT = torch.float64


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT).to(DEVICE)


def normalised(statistics: str) -> tuple[NetworkEpisode, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))
    module.to(device=DEVICE, dtype=FLOAT)
    module[1].running_mean += 0.3
    network = Network(module, statistics)  # type: ignore[arg-type]
    inputs = 2.0 * draw(3, 6, 2, seed=1) + 1.0
    episode = NetworkEpisode(
        network, inputs, draw(3, 6, 1, seed=2), draw(3, 4, 2, seed=3), draw(3, 4, 1, seed=4)
    )
    return episode, {**network.start(), **network.buffers()}


def stacked(learned, tasks: int = 3):
    return {name: value.expand(tasks, *value.shape) for name, value in learned.items()}


@pytest.mark.parametrize("statistics", ["task", "running", "frozen"])
def test_a_query_case_influences_nothing_but_its_own_output(statistics: str) -> None:
    episode, learned = normalised(statistics)
    composition = named.maml(2, 0.05)
    adapted = adapt(composition, episode, learned)
    outputs = episode.outputs(adapted)
    moved = dataclasses.replace(episode, query_inputs=episode.query_inputs.clone())
    moved.query_inputs[:, 0] += 5.0
    again = adapt(composition, moved, learned)
    for name in adapted:
        assert torch.equal(adapted[name], again[name])
    torch.testing.assert_close(moved.outputs(again)[:, 1:], outputs[:, 1:], rtol=0, atol=1e-14)
    assert float((moved.outputs(again)[:, 0] - outputs[:, 0]).abs().min()) > 1e-6


def test_statistics_of_the_task_are_its_support() -> None:
    episode, learned = normalised("task")
    assert not episode.network.buffers()
    layer = nn.BatchNorm1d(5).to(device=DEVICE, dtype=FLOAT)
    start = stacked(learned)
    for task in range(3):
        hidden = episode.inputs[task] @ learned["0.weight"].T + learned["0.bias"]
        normal = layer(hidden)  # in training mode: by the batch's own mean and variance
        expected = torch.tanh(normal) @ learned["3.weight"].T + learned["3.bias"]
        torch.testing.assert_close(episode.network(start, episode.inputs)[task], expected)
        query = episode.query_inputs[task] @ learned["0.weight"].T + learned["0.bias"]
        by_support = (query - hidden.mean(0)) / (hidden.var(0, correction=0) + layer.eps).sqrt()
        expected = torch.tanh(by_support) @ learned["3.weight"].T + learned["3.bias"]
        torch.testing.assert_close(episode.outputs(start)[task], expected)


@pytest.mark.parametrize("images", [0, 1, 2])
def test_a_support_of_one_image_has_the_statistics_of_its_pixels(images: int) -> None:
    """As torch's own layer in training mode; without any support, as one whose averages have seen nothing."""
    module = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(18, 1)).to(device=DEVICE, dtype=FLOAT)
    network = Network(module, "task")
    pictures = 3.0 * draw(1, 3, 2, 3, 3, seed=5) + 1.0
    mask = (torch.arange(3, device=DEVICE) < images)[None]
    targets = draw(1, 3, 1, seed=6)
    episode = NetworkEpisode(network, pictures, targets, pictures, targets, mask=mask)
    module[0].momentum = 1.0
    if images:
        module(pictures[0, :images])  # leaves its mean and variance in the layer
    count = 9 * max(images, 1)
    module[0].running_var *= (count - 1.0) / count if images else 1.0  # torch keeps the one with n − 1
    expected = module.eval()(pictures[0])
    torch.testing.assert_close(episode.outputs(stacked(network.start(), 1))[0], expected)


def test_padding_is_not_part_of_the_statistics() -> None:
    episode, learned = normalised("task")
    mask = torch.ones(3, 6, dtype=torch.bool, device=DEVICE)
    mask[:, 4:] = False
    masked = dataclasses.replace(episode, mask=mask)
    short = dataclasses.replace(episode, inputs=episode.inputs[:, :4], targets=episode.targets[:, :4])
    start = stacked(learned)
    torch.testing.assert_close(masked.support(start), short.support(start))
    torch.testing.assert_close(masked.query(start), short.query(start))


def test_running_averages_see_supports_only_and_frozen_ones_nothing() -> None:
    episode, learned = normalised("running")
    updated = running_statistics(episode.network.module, learned, episode.inputs)
    hidden = episode.inputs.flatten(0, 1) @ learned["0.weight"].T + learned["0.bias"]
    expected = 0.9 * learned["1.running_mean"] + 0.1 * hidden.mean(0)
    torch.testing.assert_close(updated["1.running_mean"], expected)
    assert torch.equal(updated["0.weight"], learned["0.weight"])

    trained = meta_train(named.maml(1, 0.05), lambda i: episode, learned, Outer(3, 0.01))
    assert not torch.equal(trained.learned["1.running_mean"], learned["1.running_mean"])
    with pytest.raises(InputError, match="not among what is learned"):
        meta_train(named.maml(1, 0.05), lambda i: episode, episode.network.start(), Outer(1))
    padded = torch.cat([episode.inputs, torch.full_like(episode.inputs[:, :2], 1e3)], 1)
    mask = torch.ones(3, 8, dtype=torch.bool, device=DEVICE)
    mask[:, 6:] = False
    again = running_statistics(episode.network.module, learned, padded, mask)
    torch.testing.assert_close(again["1.running_mean"], updated["1.running_mean"])
    frozen, own = normalised("frozen")
    trained = meta_train(named.maml(1, 0.05), lambda i: frozen, own, Outer(3, 0.01))
    assert torch.equal(trained.learned["1.running_mean"], own["1.running_mean"])
    assert not torch.equal(trained.learned["0.weight"], own["0.weight"])
    with pytest.raises(InputError, match="statistics"):
        Network(nn.Linear(1, 1), "batch")  # type: ignore[arg-type]


def test_the_meta_gradient_goes_through_the_supports_statistics() -> None:
    episode, learned = normalised("task")
    composition = named.maml(2, 0.05)
    _, gradient = meta_gradient(composition, episode, learned)
    direction = {name: draw(*value.shape, seed=9) for name, value in learned.items()}
    values = []
    for sign in (1e-6, -1e-6):
        moved = {name: value + sign * direction[name] for name, value in learned.items()}
        values.append(float(episode.query(adapt(composition, episode, moved)).mean()))
    exact = sum(float((gradient[name] * direction[name]).sum()) for name in learned)
    assert exact == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


def clusters(tasks: int, seed: int) -> NetworkEpisode:
    """Two simulated Gaussian classes in ten dimensions that differ in the first two only, task by task."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.zeros(tasks, 2, 10)
    centres[:, :, :2] = 1.5 * torch.randn(tasks, 2, 2, generator=generator)
    labels = torch.arange(2).repeat(8).expand(tasks, 16)
    spread = torch.ones(10)
    spread[2:] = 3.0
    x = centres.gather(1, labels[..., None].expand(-1, -1, 10))
    x = (x + spread * torch.randn(tasks, 16, 10, generator=generator)).to(DEVICE)
    labels = labels.to(DEVICE)
    torch.manual_seed(0)
    network = Network(nn.Linear(10, 4).to(DEVICE))
    return prototypical_episode(network, x[:, :4], labels[:, :4], x[:, 4:], labels[:, 4:], classes=2)


def right(episode: NetworkEpisode, learned) -> float:
    parameters = episode.start(learned)[0]
    return float((episode.outputs(parameters).argmax(-1) == episode.query_targets).float().mean())


def test_prototypes_are_the_bayes_rule_of_isotropic_classes() -> None:
    """With known centres and unit covariance, softmax of the scores is Bayes' rule for N(centre, ½I)."""
    support = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]], dtype=FLOAT)
    centres = prototypes(support, torch.tensor([[0, 0, 1]]), 2)
    assert centres[0].tolist() == [[1.0, 0.0], [1.0, 3.0]]
    case = torch.tensor([[[0.3, 1.0]]], dtype=FLOAT)
    chance = torch.softmax(class_scores(case, centres), -1)[0, 0]
    density = [
        torch.distributions.MultivariateNormal(centre, 0.5 * torch.eye(2, dtype=FLOAT)).log_prob(case[0, 0])
        for centre in centres[0]
    ]
    torch.testing.assert_close(chance, torch.softmax(torch.stack(density), 0))
    with pytest.raises(InputError, match="no support of class 1"):
        prototypes(support, torch.tensor([[0, 0, 0]]), 2)


def test_a_prototypical_network_learns_which_features_tell_classes_apart() -> None:
    test = clusters(300, 10**6)
    start = initial(named.pooled_training(), test.network.start())
    before = right(test, start)
    done = meta_train(named.pooled_training(), lambda i: clusters(32, i), start, Outer(150, 0.02))
    after = right(test, done.learned)
    assert before < 0.70
    assert after > before + 0.1
    weight = done.learned["weight"].abs().mean(0)
    assert float(weight[:2].min()) > 2.0 * float(weight[2:].max())
    assert test.loss is cross_entropy


def test_a_learned_optimiser_beats_descent_on_ill_conditioned_noisy_quadratics() -> None:
    """Against the best constant step size on the very tasks that judge, which no learned rule is given."""
    test, steps = noisy_quadratics(300, 10, seed=10**9), 20
    start = {"x": torch.zeros(10, dtype=FLOAT)}

    def score(composition: Composition, learned) -> float:
        return float(test.query(adapt(composition, test, learned)).mean())

    best = min(score(Composition(Descent(rate), steps), start) for rate in (0.2, 0.5, 1.0, 1.3, 1.6, 1.9))
    learned_rule = named.learned_optimiser(steps)
    done = meta_train(
        learned_rule, lambda i: noisy_quadratics(16, 10, i), initial(learned_rule, start),
        Outer(160, 0.02, schedule="cosine", clip=1.0),
    )  # fmt: skip
    assert score(learned_rule, done.learned) < 0.6 * best


def test_adaptation_learned_on_sinusoids_beats_joint_training() -> None:
    network = sinusoids.network(0)
    test = sinusoids.episode(network, 300, 10, 50, seed=10**9)

    def error(trained_as: Composition, adapted_as: Composition) -> float:
        done = meta_train(
            trained_as, lambda i: sinusoids.episode(network, 16, 10, 10, i),
            initial(trained_as, network.start()), Outer(700, 0.003, schedule="cosine", clip=10.0),
        )  # fmt: skip
        return float(test.query(adapt(adapted_as, test, done.learned)).mean())

    meta_sgd = named.meta_sgd(1, 0.01)
    joint, tuned = named.fine_tuning(1, 0.01)
    assert error(meta_sgd, meta_sgd) < 0.6 * error(joint, tuned)
