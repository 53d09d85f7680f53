"""What becomes of signals and gradients from layer to layer, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from metasci.diagnostics import initialisation, initialisation_figure, unit_variance
from metasci.errors import InputError

RANDOM = torch.Generator().manual_seed(0)
X = torch.randn(50, 6, generator=RANDOM, dtype=torch.float64)
Y = torch.randn(50, 6, generator=RANDOM, dtype=torch.float64)


def _stack(depth, activation, gain):
    layers = []
    for _ in range(depth):
        linear = nn.Linear(6, 6, dtype=torch.float64)
        nn.init.orthogonal_(linear.weight, gain, generator=RANDOM)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()] if activation else [linear]
    return nn.Sequential(*layers)


def test_orthogonal_layers_keep_signal_and_gradient_and_scaled_ones_multiply_them():
    for gain in (1.0, 0.5):
        result = initialisation(_stack(5, None, gain), X, Y)
        signal = result["signal"].values
        size = result["gradient"].values
        rms = float(
            (X**2).mean().sqrt()
        )  # what turns keep is the mean square, about which the mean is little
        np.testing.assert_allclose(signal / rms, gain ** np.arange(1, 6), rtol=0.02)
        np.testing.assert_allclose(size[:-1] / size[1:], gain, rtol=1e-9)
        assert np.isnan(result["saturated"]).all()


def test_the_curvature_is_that_of_least_squares():
    line = nn.Linear(6, 1, bias=False, dtype=torch.float64)
    result = initialisation(line, X, Y[:, :1])
    expected = 2.0 * torch.linalg.eigvalsh(X.T @ X / len(X)).max()
    assert float(result["curvature"]) == pytest.approx(float(expected), rel=0.02)
    slope = 2.0 * X.T @ (line(X) - Y[:, :1]) / len(X)
    assert float(result["gradient_norm"]) == pytest.approx(float(slope.detach().norm()), rel=1e-9)


def test_saturation_is_told():
    alive, dead = (initialisation(_stack(4, nn.Tanh, gain), X, Y) for gain in (0.1, 500.0))
    assert float(alive["saturated"].max()) == 0.0
    assert float(dead["saturated"].min()) > 0.95
    assert "saturated" in dead.attrs["verdict"]
    assert "hardly learn" in initialisation(_stack(20, nn.Sigmoid, 1.0), X, Y).attrs["verdict"]
    # tanh′ = 1 − tanh² is below 5 % of its greatest where |x| > artanh √0.95
    edge = float(np.arctanh(np.sqrt(0.95)))
    one = nn.Sequential(nn.Linear(1, 1, dtype=torch.float64), nn.Tanh())
    nn.init.ones_(one[0].weight), nn.init.zeros_(one[0].bias)
    x = torch.tensor([[edge - 0.01], [edge + 0.01], [-edge - 0.01], [0.0]], dtype=torch.float64)
    assert float(initialisation(one, x, x)["saturated"][0]) == 0.5


def test_scaled_on_the_data_every_layer_has_unit_variance():
    stack = unit_variance(_stack(6, nn.Tanh, 3.0), X)
    here = X
    for layer in stack:
        here = layer(here)
        if isinstance(layer, nn.Linear):
            assert float(here.detach().std()) == pytest.approx(1.0, rel=1e-6)


def test_the_figure_has_a_line_for_each_start_and_the_module_is_not_touched():
    stack = _stack(3, nn.Tanh, 1.0)
    before = {n: v.clone() for n, v in stack.state_dict().items()}
    figure = initialisation_figure({"a": initialisation(stack, X, Y), "b": initialisation(stack, X, Y)})
    assert [len(axis.lines) for axis in figure.axes] == [2, 2, 2]
    assert all(torch.equal(v, before[n]) for n, v in stack.state_dict().items())
    assert all(p.grad is None for p in stack.parameters())
    with pytest.raises(InputError, match="no linear layer"):
        initialisation(nn.Tanh(), X, Y)
