"""The study of delayed rewards: its simulator against the package's own equation, its gradient against differences."""

from __future__ import annotations

import numpy as np
import torch

from metasci.patients import propofol
from metasci.studies.delayed_reward import Anaesthesias, compartments, patients, run


def test_a_minute_of_the_simulator_is_the_equation_of_propofol() -> None:
    weight = torch.tensor([70.0], dtype=torch.float64)
    own = {p.name: torch.tensor([p.typical], dtype=torch.float64) for p in propofol.parameters}
    who = compartments(own, weight)
    state = torch.zeros(1, 4, dtype=torch.float64)
    found = []
    for _ in range(20):
        state = (who.forward @ state[:, :, None])[:, :, 0] + who.entering * 10.0
        found.append(float(state[0, 0] / own["central_volume"]))
    minutes = np.arange(1.0, 21.0)
    inputs = {
        "time": minutes, "weight": np.full(20, 70.0), "postmenstrual_age": np.full(20, 1e9),
        "dose": np.array([[200.0]]), "dose_time": np.array([[0.0]]), "dose_duration": np.array([[20.0]]),
        "dose_interval": np.array([[0.0]]), "dose_until": np.array([[np.inf]]),
    }  # fmt: skip
    expected = propofol(inputs, {name: float(value) for name, value in own.items()})
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-6)


def test_the_likelihood_ratio_points_where_the_expected_cost_falls() -> None:
    """Averaged over anaesthesias it is the slope of the expected cost of doses that are tried, by differences."""
    one = patients(1, 0)
    many = type(one)(
        *(value.expand(20_000, *value.shape[1:]) for value in (one.forward, one.entering, one.weight))
    )
    policy = torch.tensor([3.0, 2.5, 2.3, 2.0, 1.8, 0.3], dtype=torch.float64)
    at = policy.expand(20_000, 6).clone().requires_grad_()
    (slope,) = torch.autograd.grad(Anaesthesias(many, 1).support({"policy": at}, 0).sum(), at)
    mean, error = slope.mean(0), slope.std(0) / 20_000**0.5
    for place in (3, 4):
        moved = torch.zeros(6, dtype=torch.float64)
        moved[place] = 0.05
        ends = [
            run((policy + sign * moved).expand(20_000, 6), many, 1000).cost.mean() for sign in (1.0, -1.0)
        ]
        assert abs(float(mean[place] - (ends[0] - ends[1]) / 0.1)) < 4.0 * float(error[place])
        assert abs(float(mean[place])) > 4.0 * float(error[place])


def test_every_step_has_an_anaesthesia_of_its_own_and_the_same_step_the_same() -> None:
    episode = Anaesthesias(patients(4, 0), 3)
    policy = {"policy": torch.full((4, 6), 2.0, dtype=torch.float64)}
    first, again, other = (episode.support(policy, step) for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
