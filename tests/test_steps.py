"""Inner steps that know which one they are, and rules that see where they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta import (
    Composition,
    Descent,
    Exact,
    FirstOrder,
    GradientDescent,
    Implicit,
    adapt,
    initial,
    meta_gradient,
    unroll,
)
from metasci.meta.adaptation.rules import StepSizes
from metasci.meta.compositions.adapting import query_loss

FLOAT = torch.float64
RATE = 0.2


@dataclass(frozen=True)
class MiniBatches:
    """Tasks that show another half of their support in every other step; the loss is ½‖θ − half's mean‖²."""

    support_values: Tensor  # (task, half, measurement)
    query_values: Tensor  # (task, measurement)

    def __len__(self) -> int:
        return len(self.query_values)

    def start(self, learned):
        return {"theta": learned["theta"].expand(len(self), 1)}, {}

    def support(self, parameters, step):
        half = self.support_values[:, step % 2]
        return 0.5 * (parameters["theta"] - half.mean(1, keepdim=True)).square().sum(1)

    def query(self, parameters):
        return (parameters["theta"] - self.query_values).square().mean(1)

    def select(self, index):
        return replace(self, support_values=self.support_values[index], query_values=self.query_values[index])


def episode() -> MiniBatches:
    generator = torch.Generator().manual_seed(0)
    return MiniBatches(
        torch.randn(3, 2, 4, generator=generator, dtype=FLOAT),
        torch.randn(3, 5, generator=generator, dtype=FLOAT),
    )


def walked(theta: float, steps: int) -> Tensor:
    """θ ← (1 − α)θ + α·mean, by hand."""
    means = episode().support_values.mean(2)
    here = torch.full((3,), theta, dtype=FLOAT)
    for step in range(steps):
        here = (1.0 - RATE) * here + RATE * means[:, step % 2]
    return here


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize(
    "gradient", [Exact(), Exact(segment=2), Exact(segment="auto"), FirstOrder()], ids=str
)
def test_the_support_of_a_step_is_the_one_of_its_number(steps: int, gradient) -> None:
    composition = Composition(Descent(RATE), steps, gradient)
    learned = initial(composition, {"theta": torch.tensor([0.7], dtype=FLOAT)})
    adapted = adapt(composition, episode(), learned)["theta"][:, 0]
    torch.testing.assert_close(adapted, walked(0.7, steps), rtol=1e-13, atol=1e-13)
    loss, slopes = meta_gradient(composition, episode(), learned)
    end = walked(0.7, steps)[:, None]
    values = episode().query_values
    torch.testing.assert_close(loss, (end - values).square().mean(1), rtol=1e-12, atol=1e-12)
    shrinkage = 1.0 if isinstance(gradient, FirstOrder) else (1.0 - RATE) ** steps
    expected = 2.0 * (end - values).mean() * shrinkage
    torch.testing.assert_close(slopes["theta"][0], expected, rtol=1e-11, atol=1e-12)


def test_segments_walk_every_step_again_as_it_was() -> None:
    """With a learned step size, where the gradient would differ if a step met another's support."""
    whole = Composition(Descent(RATE, "scalar", per_step=True), 5, Exact())
    learned = initial(whole, {"theta": torch.tensor([0.7], dtype=FLOAT)})
    parts = replace(whole, gradient=Exact(segment=2), proximal=0.3)
    expected = meta_gradient(replace(whole, proximal=0.3), episode(), learned)[1]
    slopes = meta_gradient(parts, episode(), learned)[1]
    for name, value in expected.items():
        torch.testing.assert_close(slopes[name], value, rtol=1e-12, atol=1e-14)
    shift = torch.zeros(5, dtype=FLOAT)
    shift[3] = 1e-6
    ends = [
        float(
            query_loss(parts, episode(), {**learned, "rule/rate": learned["rule/rate"] + sign * shift}).mean()
        )
        for sign in (1.0, -1.0)
    ]
    assert float(slopes["rule/rate"][3]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_a_solution_of_many_problems_is_refused() -> None:
    composition = Composition(Descent(RATE), 3, Implicit(), proximal=1.0)
    learned = {"theta": torch.zeros(1, dtype=FLOAT)}
    with pytest.raises(InputError, match="changes with the step"):
        meta_gradient(composition, episode(), learned)


@dataclass(frozen=True)
class Decaying:
    """Descent that also shrinks what it moves, Δ = −α(∇ + λθ)."""

    step_size: StepSizes
    decay: float = 0.5

    def init(self, parameters):
        return {}

    def update(self, gradient, memory, step, parameters):
        plain = GradientDescent(self.step_size)
        pulled = {name: slope + self.decay * parameters[name] for name, slope in gradient.items()}
        return plain.update(pulled, memory, step)


@pytest.mark.parametrize("segment", [None, 2])
def test_a_rule_may_see_where_a_step_sets_out(segment: int | None) -> None:
    """Weight decay: each step multiplies by 1 − α(1 + λ), and the meta-gradient goes through that."""
    composition = Composition(Descent(RATE, rule=Decaying), 3, Exact(segment))
    learned = {"theta": torch.tensor([0.7], dtype=FLOAT)}
    means, here = episode().support_values.mean(2), torch.full((3,), 0.7, dtype=FLOAT)
    for step in range(3):
        here = (1.0 - 1.5 * RATE) * here + RATE * means[:, step % 2]
    torch.testing.assert_close(
        adapt(composition, episode(), learned)["theta"][:, 0], here, rtol=1e-13, atol=0
    )
    _, slopes = meta_gradient(composition, episode(), learned)
    expected = 2.0 * (here[:, None] - episode().query_values).mean() * (1.0 - 1.5 * RATE) ** 3
    torch.testing.assert_close(slopes["theta"][0], expected, rtol=1e-11, atol=1e-13)


def test_in_first_order_what_a_rule_sees_is_a_constant() -> None:
    start = torch.tensor([[0.7]], dtype=FLOAT, requires_grad=True)
    rule = Decaying({"theta": torch.tensor(RATE, dtype=FLOAT)})
    end = unroll(lambda p: 0.5 * p["theta"].square().sum(1), {"theta": start}, rule, 2, second_order=False)
    assert float(end["theta"]) == pytest.approx(0.7 * (1.0 - 1.5 * RATE) ** 2, rel=1e-14)
    assert float(torch.autograd.grad(end["theta"].sum(), start)[0]) == 1.0
