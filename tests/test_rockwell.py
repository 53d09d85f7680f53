"""Noise of Rockwell readings: even on the logarithm of the Vickers hardness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, stats

import metasci as ms
from metasci.errors import InputError
from metasci.forecasts import stretch
from metasci.noises import noise_named

TABLE = {20.0: 238.0, 30.0: 302.0, 40.0: 392.0, 50.0: 513.0, 60.0: 697.0, 65.0: 832.0}  # ASTM E140, table 1


def test_a_reading_is_the_vickers_hardness_of_the_table() -> None:
    noise = ms.LogNormalVickers()
    for rockwell, vickers in TABLE.items():
        assert float(noise.unlink(np.log(vickers))) == pytest.approx(rockwell, abs=1.3)
    values = np.linspace(-5.0, 70.0, 31)
    np.testing.assert_allclose(noise.unlink(noise.link(values)), values, atol=1e-12)


def test_soft_steels_scatter_more() -> None:
    """By the width of a forecast where nothing but noise is unknown: as the depth of indentation, 116 − H."""
    noise = noise_named("log-normal-vickers", (0.04,))
    centre = noise.link(np.array([20.0, 60.0]))
    low, high = (noise.unlink(centre + sign * 1.645 * 0.04) for sign in (-1.0, 1.0))
    np.testing.assert_allclose((high - low) / np.array([96.0, 56.0]), 1.645 * 0.04, rtol=1e-3)
    np.testing.assert_allclose(noise.variance(centre, np.log([0.04])), 0.0016)


def test_densities_are_those_of_the_vickers_hardness() -> None:
    noise = ms.LogNormalVickers((0.1,))
    at = torch.tensor([20.0, 60.0], dtype=torch.float64)
    torch.testing.assert_close(stretch(noise, at), 2.0 / (116.0 - at))
    centre = float(noise.link(np.float64(40.0)))

    def density(reading: float) -> float:
        slope = float(stretch(noise, torch.tensor(reading, dtype=torch.float64)))
        return float(stats.norm(centre, 0.1).pdf(float(noise.link(np.float64(reading)))) * slope)

    whole, _ = integrate.quad(density, -100.0, 115.9, points=[40.0], limit=300)
    assert whole == pytest.approx(1.0, abs=1e-6)


def test_a_saved_prior_keeps_it_and_an_impossible_reading_is_told(tmp_path: Path) -> None:
    prior = ms.load("steel_tempering_discrepancy")
    assert prior.model.noise == ms.LogNormalVickers()
    prior.save(tmp_path / "mine")
    assert ms.load(tmp_path / "mine").model.noise == ms.LogNormalVickers()
    table = pd.DataFrame(
        {"task": "a", "time [h]": 1.0, "temperature [degC]": [200, 400], "hardness [HRC]": [58.5, 120.0]}
    )
    with pytest.raises(InputError, match="cannot be measured under LogNormalVickers noise"):
        prior.calibrate(table)
