"""Batch normalisation with values of each inner step's own."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, Outer, adapt, initial, meta_gradient, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.per_step import PerStepEpisode, per_step_averages, per_step_start

FLOAT = torch.float64
METHOD = named.maml(2, 0.3)


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)


def _module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1)).to(FLOAT)


def _episode(network: Network, tasks: int = 3) -> PerStepEpisode:
    return PerStepEpisode(
        network,
        2.0 * _draw(tasks, 6, 2, seed=1) + 1.0,
        _draw(tasks, 6, 1, seed=2),
        _draw(tasks, 4, 2, seed=3),
        _draw(tasks, 4, 1, seed=4),
        method=METHOD,
    )


def _learned(network: Network, scales: bool = True) -> Parameters:
    own = per_step_start(network, network.start(), METHOD.steps, scales=scales)
    moving = {name: value for name, value in network.start().items() if f"step/0/{name}" not in own}
    return {**initial(METHOD, moving), **own}


def test_steps_that_share_their_values_are_running_averages_as_they_are() -> None:
    network = Network(_module(), "running")
    episode = _episode(network)
    plain = NetworkEpisode(network, *list(episode.tensors().values()))
    one = plain.outputs(adapt(METHOD, plain, {**network.start(), **network.buffers()}))
    other = episode.outputs(adapt(METHOD, episode, _learned(network, scales=False)))
    torch.testing.assert_close(one, other)


def test_averages_of_a_step_are_of_what_its_weights_make_of_the_support() -> None:
    network = Network(_module(), "running")
    episode = _episode(network, tasks=1)
    learned = _learned(network)
    way: list[Parameters] = []
    adapt(METHOD, episode, learned, visit=lambda step, here: way.append(dict(here)))
    updated = episode.refreshed(learned)
    means = []
    for step, here in enumerate(way):
        hidden = episode.inputs[0] @ here["0.weight"][0].T + here["0.bias"][0]
        means.append(hidden.mean(0))
        torch.testing.assert_close(updated[f"step/{step}/1.running_mean"], 0.1 * means[-1])
        torch.testing.assert_close(updated[f"step/{step}/1.running_var"], 0.9 + 0.1 * hidden.var(0))
    assert len(way) == 3
    assert float((means[0] - means[2]).abs().max()) > 1e-3  # else nothing was asked of the steps
    assert torch.equal(updated["0.weight"], learned["0.weight"])


def test_a_step_uses_its_own_averages_and_the_query_the_last() -> None:
    network = Network(_module(), "running")
    episode, learned = _episode(network), _learned(network)
    before = adapt(METHOD, episode, learned)
    moved = {name: value + 1.0 if "running" in name else value for name, value in learned.items()}
    first = {**learned, **{n: v for n, v in moved.items() if n.startswith("step/0/")}}
    last = {**learned, **{n: v for n, v in moved.items() if n.startswith("step/2/")}}
    assert not torch.allclose(adapt(METHOD, episode, first)["0.weight"], before["0.weight"])
    after = adapt(METHOD, episode, last)
    assert torch.equal(after["0.weight"], before["0.weight"])
    assert not torch.allclose(episode.outputs(after), episode.outputs(before))
    longer = dataclasses.replace(METHOD, steps=4)  # steps that were not learned take the last values
    patient = dataclasses.replace(episode, method=longer)
    assert bool(patient.outputs(adapt(longer, patient, learned)).isfinite().all())


@pytest.mark.parametrize("statistics", ["task", "running"])
def test_scales_of_each_step_are_learned_and_do_not_adapt(statistics: str) -> None:
    network = Network(_module(), statistics)  # type: ignore[arg-type]
    episode, learned = _episode(network), _learned(network)
    assert adapt(METHOD, episode, learned)["step/1/1.weight"].shape == (5,)
    _, gradient = meta_gradient(METHOD, episode, learned)
    for step in range(3):
        name = f"step/{step}/1.weight"
        along, values = _draw(5, seed=step), []
        for sign in (1e-6, -1e-6):
            moved = {**learned, name: learned[name] + sign * along}
            values.append(float(episode.query(adapt(METHOD, episode, moved)).mean()))
        slope = float((gradient[name] * along).sum())
        assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-9), step
        assert abs(slope) > 1e-6, step


@pytest.mark.parametrize("statistics", ["task", "running"])
def test_what_is_asked_influences_nothing_but_its_own_answer(statistics: str) -> None:
    network = Network(_module(), statistics)  # type: ignore[arg-type]
    episode, learned = _episode(network), _learned(network)
    moved = dataclasses.replace(episode, query_inputs=episode.query_inputs.clone())
    moved.query_inputs[:, 0] += 5.0
    one, other = (part.outputs(adapt(METHOD, part, learned)) for part in (episode, moved))
    torch.testing.assert_close(one[:, 1:], other[:, 1:], rtol=0, atol=1e-14)
    for name, value in episode.refreshed(learned).items():
        assert torch.equal(value, moved.refreshed(learned)[name])


def test_learning_keeps_the_averages_of_each_step_and_masked_cases_are_not_seen() -> None:
    network = Network(_module(), "running")
    episode, learned = _episode(network), _learned(network)
    done = meta_train(METHOD, lambda at: episode, learned, Outer(iterations=2), compile=False)
    kept = [done.learned[f"step/{step}/1.running_mean"] for step in range(3)]
    assert not torch.allclose(kept[0], kept[2])
    inputs = torch.cat([episode.inputs, torch.full_like(episode.inputs[:, :1], 1e3)], 1)
    targets = torch.cat([episode.targets, episode.targets[:, :1]], 1)
    mask = (torch.arange(7) < 6).expand(3, -1)
    padded = dataclasses.replace(episode, inputs=inputs, targets=targets, mask=mask)
    for name, value in per_step_averages(episode, learned).items():
        torch.testing.assert_close(value, per_step_averages(padded, learned)[name])


def test_a_network_without_normalisation_has_nothing_of_each_step() -> None:
    network = Network(nn.Linear(1, 1))
    with pytest.raises(InputError, match="nothing that each step could have"):
        per_step_start(network, network.start(), 1)
