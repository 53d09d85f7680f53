"""Diagnostics against closed forms, finite differences and learners whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import metasci as ms
from metasci.diagnostics import (
    inner_loop_curve,
    inner_loop_figure,
    leave_one_task_out,
    leave_one_task_out_figure,
    risk_inflation,
    simulated_tasks,
    validation_split,
    with_steps,
)
from metasci.errors import InputError
from metasci.meta import Composition, Descent, Network, NetworkEpisode, adapt, initial
from metasci.tasks import TaskSet

FLOAT = torch.float64


@ms.equation(
    inputs={"time": "h"},
    output=("fraction", "1"),
    parameters=[
        ms.Parameter("size", typical=1.0, positive=True),
        ms.Parameter("rate", "1/h", typical=0.3, positive=True),
    ],
    noise=ms.Additive((0.03,)),
    name="test.diagnosed_decay",
)
def decay(time, *, size, rate):
    """Exponential decay."""
    return size * ms.math.exp(-rate * time)


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=[ms.Parameter("level", spread=1.0)],
    noise=ms.Additive((1.0,)),
    name="test.diagnosed_level",
)
def level(x, *, level):
    """A constant."""
    return level + 0.0 * x


def levels(tasks: int, seed: int = 0) -> TaskSet:
    """Simulated constants that scatter by 0.6 about 2."""
    values = 2.0 + 0.6 * np.random.default_rng(seed).standard_normal(tasks)
    return simulated_tasks(level, {"level": values}, {"x": np.zeros(30)}, seed=seed)


def decays(tasks: int, sd: float, seed: int = 0) -> TaskSet:
    """Simulated tasks whose parameters scatter by so much on the logarithm."""
    draw = np.random.default_rng(seed)
    values = {
        "size": np.exp(sd * draw.standard_normal(tasks)),
        "rate": 0.3 * np.exp(sd * draw.standard_normal(tasks)),
    }
    return simulated_tasks(decay, values, {"time": np.linspace(0.5, 8.0, 8)}, seed=seed)


def test_simulated_tasks_say_so_and_scatter_by_the_noise() -> None:
    tasks = simulated_tasks(decay, {"size": np.ones(500), "rate": 0.3}, {"time": [1.0, 2.0]}, seed=1)
    assert tasks.card.simulated
    off = tasks.dataset["fraction"].values - np.exp(-0.3 * np.array([1.0, 2.0]))
    assert off.std() == pytest.approx(0.03, rel=0.06)
    with pytest.raises(InputError, match="give its parameter 'rate'"):
        simulated_tasks(decay, {"size": [1.0]}, {"time": [1.0]})


# leave one task out -------------------------------------------------------------------------------


def test_risk_ratio_of_the_mean_is_the_closed_form() -> None:
    """A task's distance from the mean of the others is T/(T − 1) times that from the mean of all."""
    truth = np.array([0.0, 1.0, 5.0, -2.0])
    result = risk_inflation(
        lambda index: truth[index].mean(),
        lambda mean, index, seed: (1 + seed) * (truth[index] - mean) ** 2,
        4,
    )
    assert float(result["ratio"]) == pytest.approx((4 / 3) ** 2, rel=1e-12)
    assert float(result["ratio_upper"]) == pytest.approx(
        float(result["ratio_lower"])
    )  # the same for every seed
    assert "overfits" in result.attrs["verdict"]


@pytest.mark.parametrize(
    "method",
    [ms.GaussianPrior(regularisation=0.0), ms.FOMAML(steps=3, step_size=1e-7, iterations=30)],
    ids=["collapsed prior", "steps that lead nowhere"],
)
def test_a_memorising_learner_on_near_duplicates_is_called_so(method) -> None:
    result = leave_one_task_out(decay, decays(3, 0.01), method, seeds=5)
    assert result.attrs["verdict"].startswith("The learner memorises")
    assert float(result["use"]) < 0.5
    assert float(result["ratio_task_lower"]) < 1.0  # the ratio alone could not have told
    if method.name == "FOMAML":
        assert abs(float(result["use"])) < 1e-3  # it does not move at all


@pytest.mark.parametrize(
    "tasks", [decays(15, 0.4), ms.dataset("theophylline")], ids=["simulated", "patients"]
)
def test_a_sound_learner_is_cleared(tasks: TaskSet) -> None:
    model = decay if tasks.card.simulated else ms.load("theophylline").model
    result = leave_one_task_out(model, tasks, seeds=8)
    assert result.attrs["verdict"].startswith("The learner is sound")
    assert float(result["use_lower"]) > 0.85
    assert 1.0 < float(result["ratio"]) < 1.5
    assert result.sizes == {"task": len(tasks), "seed": 8, "probe": result.sizes["probe"]}


def test_leaving_one_out_repeats_to_the_bit() -> None:
    one, other = (leave_one_task_out(decay, decays(3, 0.4), seeds=2) for _ in range(2))
    assert one.identical(other)


@pytest.mark.parametrize(("steps", "verdict"), [(0, "memorises"), (20, "sound")])
def test_a_network_is_judged_by_the_same_core(steps: int, verdict: str) -> None:
    """Lines of slopes near 1, and probes of slopes far from it. A network that takes no step memorises."""
    network = Network(torch.nn.Linear(1, 1))
    slopes = torch.tensor([0.97, 1.0, 1.02, 1.05])
    composition = Composition(Descent(0.3), steps)

    def episode(support: torch.Tensor, query: torch.Tensor, seed: int) -> NetworkEpisode:
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(2, len(support), 6, 1, generator=generator) * 2 - 1
        noise = 0.05 * torch.randn(len(query), 6, 1, generator=generator)
        return NetworkEpisode(
            network, x[0], support[:, None, None] * x[0], x[1], query[:, None, None] * x[1] + noise
        )

    def learn(index: list[int]):
        zero = {name: torch.zeros_like(value) for name, value in network.start().items()}
        return initial(composition, {**zero, "weight": slopes[index].mean().reshape(1, 1)})

    def risk(learned, support: torch.Tensor, query: torch.Tensor, seed: int) -> np.ndarray:
        made = episode(support, query, seed)
        return made.query(adapt(composition, made, learned)).detach().numpy()

    def use(learned, seed: int):
        unlike, usual = slopes + 1.0, slopes
        return risk(learned, unlike, unlike, seed), risk(learned, usual, unlike, seed), np.full(4, 0.05**2)

    result = risk_inflation(
        learn, lambda w, index, seed: risk(w, slopes[index], slopes[index], seed), 4, use=use
    )
    assert f"The learner {'is ' * (verdict == 'sound')}{verdict}" in result.attrs["verdict"]


def test_leave_one_task_out_refuses_what_cannot_be() -> None:
    with pytest.raises(InputError, match="at least three tasks"):
        leave_one_task_out(decay, decays(2, 0.1))
    with pytest.raises(InputError, match="none is left to judge by"):
        leave_one_task_out(decay, decays(3, 0.1), shots=8)


def test_leave_one_task_out_is_drawn() -> None:
    figure = leave_one_task_out_figure(leave_one_task_out(decay, decays(4, 0.3), seeds=2))
    assert isinstance(figure, Figure)
    assert "simulated" in figure.axes[0].get_title(loc="left")
    assert figure.axes[0].get_ylabel() == "RMSE of fraction"


# the inner loop -----------------------------------------------------------------------------------


def test_inner_loop_of_constants_follows_the_closed_form() -> None:
    """k steps go a share s of the way to the mean of n: the query's risk is τ²(1 − s)² + σ²(s²/n + 1)."""
    tasks, shots, most = levels(400), 4, 40
    prior = ms.meta_calibrate(level, tasks, ms.FOMAML(steps=5, step_size=0.02, iterations=1))
    curve = inner_loop_curve(prior, tasks, most=most, shots=shots, seeds=5)
    variance = float(prior.state["log_noise"][0].exp()) ** 2
    share = 1.0 - (1.0 - 0.02 * shots / variance) ** np.arange(most + 1)
    expected = 0.36 * (1 - share) ** 2 + share**2 / shots + 1.0
    loss = 0.5 * (expected / variance + np.log(2 * np.pi * variance))
    np.testing.assert_allclose(curve["mean_query_loss"], loss, atol=0.02)
    best = np.argmin(expected)
    assert 0 < best < most
    assert abs(int(curve["stop_at_steps"]) - best) <= 3
    assert float(curve["excess"][int(curve["stop_at_steps"])]) == 0.0
    assert (np.diff(curve["mean_support_loss"]) < 0).all()


def test_a_u_shape_is_found_and_the_stop_survives_saving(tmp_path) -> None:
    learn, validate = validation_split(levels(300), share=0.7)
    assert (len(learn), len(validate)) == (90, 210)
    prior = ms.meta_calibrate(level, learn, ms.FOMAML(steps=5, step_size=0.05, iterations=1))
    curve = inner_loop_curve(prior, validate, most=60, shots=3, seeds=5)
    assert bool(curve["is_u_shaped"])
    stop = int(curve["stop_at_steps"])
    assert curve.attrs["verdict"].startswith(f"Stop after {stop}: ")
    stopped = with_steps(prior, curve)
    again = ms.load(stopped.save(tmp_path))
    assert again.method.steps == again.training["stop_at_steps"] == stop != prior.method.steps
    assert again.training["validation"]["query_loss"] == float(curve["mean_query_loss"][stop])
    few = validate.select([0, 1])
    np.testing.assert_array_equal(
        again.calibrate(few).adapted.coordinates, stopped.calibrate(few).adapted.coordinates
    )
    assert not torch.equal(
        stopped.calibrate(few).adapted.coordinates, prior.calibrate(few).adapted.coordinates
    )


def test_other_step_rules_get_the_prior_that_the_new_steps_imply() -> None:
    tasks = levels(20)
    method = ms.meta.GradientMethod("momentum", 4, 0.03, rule="momentum", iterations=2, shots=(3, 3))
    prior = ms.meta_calibrate(level, tasks, method)
    curve = inner_loop_curve(prior, tasks, most=8, seeds=2)
    with pytest.raises(InputError, match="give `tasks`"):
        with_steps(prior, curve.assign(stop_at_steps=2))
    few, many = (with_steps(prior, curve.assign(stop_at_steps=k), tasks) for k in (2, 4))
    assert float(few.state["implied_precision"]) > float(many.state["implied_precision"])
    torch.testing.assert_close(many.state["implied_precision"], prior.state["implied_precision"])


def test_inner_loop_refuses_what_has_no_steps() -> None:
    with pytest.raises(InputError, match="not by inner steps"):
        inner_loop_curve(ms.load("theophylline"), ms.dataset("theophylline"))
    prior = ms.meta_calibrate(level, levels(5), ms.FOMAML(steps=2, step_size=0.02, iterations=1))
    with pytest.raises(InputError, match="ask for fewer shots"):
        inner_loop_curve(prior, levels(5), shots=30)
    curve = inner_loop_curve(prior, levels(5), seeds=1)
    with pytest.raises(InputError, match="make no step"):
        with_steps(prior, curve.assign(stop_at_steps=0))
    figure = inner_loop_figure(curve)
    assert [axes.get_xlabel() for axes in figure.axes] == ["inner steps"] * 2
