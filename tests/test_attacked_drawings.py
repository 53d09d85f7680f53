"""Attacks on what is asked of a few-shot classifier: how far they go, that they harm, and learning from them.

Drawings are made up.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from metasci.meta import Network, NetworkEpisode, initial
from metasci.meta.networks.prototypes import prototypical_episode
from metasci.studies import attacked_drawings
from metasci.studies.attacked_drawings import ONE_STEP, PROTOTYPES, convolutions, drawn, learn, task_errors
from metasci.studies.attacked_queries import (
    Attack,
    AttackedQuery,
    Rounded,
    attacked,
    margins,
    worst_of_nearest,
)


def _squares(seed: int = 0, characters: int = 10, people: int = 6) -> Tensor:
    """Made-up drawings: each character a pattern of dots, each person's a little noisy."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.rand(characters, 1, 1, 28, 28, generator=generator).gt(0.8).float()
    noise = 0.3 * torch.rand(characters, people, 1, 28, 28, generator=generator)
    return ((own + noise).clamp(0.0, 1.0)).flatten(0, 1)


def _episode(method: str = PROTOTYPES, module: nn.Module | None = None) -> tuple[NetworkEpisode, Network]:
    torch.manual_seed(0)
    network = Network(module or convolutions(None if method == PROTOTYPES else 5))
    return drawn(network, _squares(), 6, 3, 4, method), network


def _weights(episode: NetworkEpisode, network: Network) -> dict[str, Tensor]:
    return dict.__or__(*episode.start(network.start()))


def test_an_attack_on_the_nearest_of_two_pictures_is_the_worst_that_there_is() -> None:
    generator = torch.Generator().manual_seed(0)
    known, asked = (0.3 + 0.4 * torch.rand(1, 2, 1, 28, 28, generator=generator) for _ in range(2))
    labels = torch.arange(2)[None]
    episode = prototypical_episode(Network(nn.Flatten()), known, labels, asked, labels, 2)
    before = margins(episode.outputs({}), labels)
    after = margins(attacked(episode, {}, Attack(0.1, 4, 0.05)).outputs({}), labels)
    by = 2.0 * 0.1 * (known[0, 0] - known[0, 1]).abs().sum()  # the margin is linear in what is asked
    assert torch.allclose(after - before, by.expand(1, 2), rtol=1e-4)


@pytest.mark.parametrize("rounded", [False, True])
def test_an_attack_on_the_nearest_picture_errs_nearly_where_any_could(rounded: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    grey = torch.rand(60, 1, 28, 28, generator=generator)
    squares = 0.25 * _squares() + 0.75 * grey
    flat = nn.Flatten()
    episode = drawn(Network(Rounded(flat) if rounded else flat), squares, 6, 0, 10, PROTOTYPES)
    before = margins(episode.outputs({}), episode.query_targets)
    assert torch.allclose(before, worst_of_nearest(episode, 0.0, rounded), atol=1e-3)
    reach = 0.02
    reached = margins(attacked(episode, {}, Attack(reach, 20, reach / 8)).outputs({}), episode.query_targets)
    most = worst_of_nearest(episode, reach, rounded)
    assert (reached <= most + 1e-3).all()
    assert ((reached - before) / (most - before)).mean() > 0.95
    assert (before > 0.0).float().mean() + 0.05 < (most > 0.0).float().mean() < 0.95


def test_an_attack_moves_no_dot_further_than_it_says_and_nothing_that_is_known() -> None:
    episode, network = _episode()
    moved = attacked(episode, _weights(episode, network), Attack(0.1, 5, 0.04))
    away = (moved.query_inputs - episode.query_inputs).abs()
    assert 0.09 < away.max() <= 0.1 + 1e-6
    assert moved.query_inputs.min() >= 0.0
    assert moved.query_inputs.max() <= 1.0
    assert torch.equal(moved.inputs, episode.inputs)


@pytest.mark.parametrize("method", [PROTOTYPES, ONE_STEP])
def test_more_steps_and_a_longer_reach_err_more_and_no_reach_errs_as_the_pictures_do(method: str) -> None:
    episode, network = _episode(method)
    learned = initial(attacked_drawings.METHODS[method], network.start())
    error = [
        float(task_errors(method, episode, learned, attack).mean())
        for attack in (None, Attack(0.0, 3, 0.1), Attack(0.1, 1, 0.0125), Attack(0.1, 8, 0.0125))
    ]
    assert error[0] == error[1] <= error[2] < error[3]
    placed = float(task_errors(method, episode, learned, Attack(0.1, 8, 0.0125), seed=0).mean())
    assert placed > error[0]


def test_rounding_is_attacked_through_its_slope() -> None:
    episode, _ = _episode(module=Rounded(nn.Flatten()))
    inner = replace(episode, query_inputs=0.5 + 0.1 * (episode.query_inputs - 0.5))
    assert torch.equal(
        margins(inner.outputs({}), inner.query_targets) > 0, torch.zeros(4, 20, dtype=torch.bool)
    )
    close = attacked(inner, {}, Attack(0.1, 4, 0.05))
    assert (margins(close.outputs({}), inner.query_targets) > 0).all()
    far = replace(episode, query_inputs=episode.query_inputs.round())  # no dot can be moved over the half
    assert torch.equal(attacked(far, {}, Attack(0.1, 4, 0.05)).outputs({}), far.outputs({}))


def test_the_loss_that_is_learned_from_is_that_of_attacked_queries() -> None:
    episode, network = _episode()
    weights = {name: value.requires_grad_() for name, value in _weights(episode, network).items()}
    under = AttackedQuery(episode, Attack(0.1, 3, 0.05))
    loss = under.query(weights)
    assert (loss > episode.query(weights)).all()
    assert torch.allclose(loss, attacked(episode, weights, under.attack).query(weights))
    assert torch.equal(under.support(weights), episode.support(weights))
    slopes = torch.autograd.grad(loss.sum(), list(weights.values()))
    assert all(slope.isfinite().all() for slope in slopes)
    assert len(under.select(torch.tensor([1, 2]))) == 2


def test_what_is_learned_under_attack_errs_less_under_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacked_drawings, "LEARNING", Attack(0.1, 2, 0.06))
    monkeypatch.setattr(attacked_drawings, "_TASKS", 2)
    error = {}
    for under_attack, made in ((False, 36), (True, 12)):  # of equally many slopes
        network, learned = learn(_squares(1, 20), 6, PROTOTYPES, under_attack, 0, made)
        episode = drawn(network, _squares(2), 6, 0, 6, PROTOTYPES)
        error[under_attack] = float(task_errors(PROTOTYPES, episode, learned, Attack(0.07, 4, 0.03)).mean())
    assert error[True] < error[False] - 0.1


def test_all_learning_has_equally_many_slopes() -> None:
    steps = attacked_drawings.LEARNING.steps
    counts = {
        attacked_drawings.iterations(method, under_attack)
        * (1 + attacked_drawings.METHODS[method].steps + under_attack * steps)
        for method in attacked_drawings.METHODS
        for under_attack in (False, True)
    }
    assert max(counts) - min(counts) < 10
