"""Online Laplace: what a network keeps of cases whose data are gone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, Outer, initial, meta_train, named
from metasci.meta.networks.online_laplace import Kept, Remembering, squared_slopes


def test_of_a_linear_model_with_one_weight_nothing_is_forgotten():
    """Least squares of two data sets in turn is least squares of both, as in closed form."""
    torch.manual_seed(0)
    parts = [(torch.randn(40, 1).double(), 0.0) for _ in range(2)]
    parts = [(x, 1.3 * x[:, 0] + torch.randn(len(x)).double()) for x, _ in parts]
    kept, weight = Kept.nothing({"w": torch.zeros(1).double()}), torch.zeros(1).double()
    for x, y in parts:
        before = kept

        def whole(w, x=x, y=y, before=before):
            return 0.5 * (y - x @ w).square().sum() + before.cost({"w": w})

        weight = torch.linalg.solve(
            torch.autograd.functional.hessian(whole, weight),
            -torch.autograd.functional.jacobian(whole, 0.0 * weight),
        )
        # the exact curvature, in the place of squared slopes, whose expectation it is
        kept = kept.also({"w": weight}, {"w": x.square().sum(0)}, len(x))
    x, y = (torch.cat([part[at] for part in parts]) for at in (0, 1))
    assert float(weight) == pytest.approx(float((x[:, 0] * y).sum() / x.square().sum()), abs=1e-12)
    assert kept.cases == 80


def test_squared_slopes_are_the_information_of_a_regression():
    """Where noise has variance one, the expectation of a case's squared slope is its input's square."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20_000, 3, generator=generator).double()
    y = x @ torch.tensor([1.0, -1.0, 0.5]).double() + torch.randn(len(x), generator=generator).double()
    weights = {"w": torch.tensor([1.0, -1.0, 0.5]).double()}

    def cost(w, case):
        return 0.5 * (case[1] - case[0] @ w["w"]).square()

    found = squared_slopes(cost, weights, (x, y), chunk=1000)["w"]
    assert found / x.square().sum(0) == pytest.approx(1.0, abs=0.05)
    one_by_one = torch.stack([x[k] * (x[k] @ weights["w"] - y[k]) for k in range(50)]).square().sum(0)
    assert squared_slopes(cost, weights, (x[:50], y[:50]))["w"].numpy() == pytest.approx(one_by_one.numpy())


def episode(network, x, y):
    return NetworkEpisode(network, x[None, :1], y[None, :1], x[None], y[None])


def test_a_start_that_remembers_is_pulled_to_where_old_cases_had_it():
    """Joint learning ends at ridge regression's closed form, with the old cases' precision as its ridge."""
    torch.manual_seed(2)
    network = Network(torch.nn.Linear(2, 1, bias=False).double())
    x, y = torch.randn(30, 2).double(), torch.randn(30, 1).double()
    mean, precision = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[50.0, 5.0]]).double()
    kept = Kept({"weight": mean}, {"weight": precision}, 10.0)
    method = named.pooled_training()
    start = initial(method, network.start())

    def draw(_):  # the squared error is twice minus the log-likelihood of noise of variance one
        return Remembering(episode(network, x, y), kept, total=30.0 / 2.0)

    found = meta_train(method, draw, start, Outer(3000, 0.05, schedule="cosine"), seed=0).learned["weight"]
    ridge = torch.diag(precision[0])
    expected = torch.linalg.solve(x.T @ x + ridge, x.T @ y[:, 0] + ridge @ mean[0])
    assert found[0].numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_maml_remembers_too():
    """The cost is of the start, whatever the steps do: without new evidence the start stays where it was."""
    network = Network(torch.nn.Linear(1, 1).double())
    x, y = torch.randn(5, 1).double(), torch.randn(5, 1).double()
    method = named.maml(2, 0.1)
    start = initial(method, network.start())
    kept = Kept(network.start(), {name: torch.full_like(v, 1e6) for name, v in network.start().items()}, 1.0)
    draw = lambda _: Remembering(episode(network, x, y), kept, 1.0)  # noqa: E731
    after = meta_train(method, draw, start, Outer(200, 0.01), seed=0).learned
    assert all(float((after[name] - start[name]).abs().max()) < 1e-2 for name in network.start())
    free = meta_train(method, lambda _: episode(network, x, y), start, Outer(200, 0.01), seed=0).learned
    assert any(float((free[name] - start[name]).abs().max()) > 0.1 for name in network.start())


def test_what_is_kept_goes_through_a_file_and_says_what_is_missing():
    kept = Kept.nothing({"a": torch.ones(2)}).also({"a": torch.zeros(2), "b": torch.ones(1)}, {
        "a": torch.ones(2), "b": torch.ones(1)
    }, 3.0)  # fmt: skip
    again = Kept.of_tensors(kept.tensors())
    assert again.cases == 3.0
    weights = {"a": torch.ones(2), "b": torch.zeros(1), "new": torch.ones(5)}
    assert float(again.cost(weights)) == float(kept.cost(weights)) == 1.5
    assert float(again.cost(weights, times=4.0)) == 6.0
    with pytest.raises(InputError, match="'b', of which something is kept, is not among them"):
        kept.cost({"a": torch.ones(2)})
    with pytest.raises(InputError, match="'a', of which something is kept, is not among them"):
        kept.also({"b": torch.ones(1)}, {"b": torch.ones(1)}, 1.0)


def test_online_laplace_forgets_less_than_fine_tuning():
    """Two regressions that one network has room for: the first is kept where its weights are held."""
    torch.manual_seed(3)
    network = Network(torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)))
    generator = torch.Generator().manual_seed(4)
    inputs = torch.rand(200, 2, generator=generator)
    first, second = inputs * torch.tensor([1.0, 0.0]), inputs * torch.tensor([0.0, 1.0]) + 2.0
    tasks = [(first, (3.0 * first[:, :1]).sin()), (second, (2.0 * second[:, 1:]).cos())]
    method, outer = named.pooled_training(), Outer(800, 0.03, schedule="cosine")
    learned = meta_train(
        method, lambda _: episode(network, *tasks[0]), network.start(), outer, seed=0
    ).learned

    def cost(w, case):
        output = torch.func.functional_call(network.module, w, (case[0][None],))[0]
        return 0.5 * (output - case[1]).square().sum() / 0.05**2

    kept = Kept.nothing(learned).also(learned, squared_slopes(cost, learned, tasks[0]), 200.0)

    def error(weights):
        output = torch.func.functional_call(network.module, weights, (tasks[0][0],))
        return float(functional.mse_loss(output, tasks[0][1]))

    plain = meta_train(method, lambda _: episode(network, *tasks[1]), learned, outer, seed=0).learned
    held = meta_train(
        method, lambda _: Remembering(episode(network, *tasks[1]), kept, 200.0), learned, outer, seed=0
    ).learned
    assert error(held) < 0.3 * error(plain)
    assert error(learned) < 0.01
