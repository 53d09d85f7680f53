"""A cheap model's output as an input of a prior of families: computed at the door, followed as far as it is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.data.cards import Card, Column
from metasci.data.simulators import Simulator, register
from metasci.errors import InputError
from metasci.materials.properties import property_of_card
from metasci.meta.group_covariance import START, TREND, GroupCovariance, Points, covariances, overlap
from metasci.meta.group_process import GroupProcess
from metasci.noise import Additive
from metasci.priors.families import StructurePrior, learn_structures

pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")


def nine_kelvin_a_carbon(texts: list[str]) -> np.ndarray:
    return np.array([9.0 * text.count("C") + 100.0 for text in texts])


register("nine_kelvin_a_carbon", Simulator("smiles", "K", nine_kelvin_a_carbon))
CARD = Card(
    "mine",
    columns=(
        Column("family", "family", "task"),
        Column("smiles", "molecule", "input", "1", kind="smiles"),
        Column("guess", "guess", "input", "K", simulator="nine_kelvin_a_carbon"),
        Column("melting_point", "melting_point", "output", "K"),
    ),
    task=("family",),
)
MODEL = property_of_card("materials.simulated_melting_point", CARD, Additive((5.0,)))


def chains(factors: dict[str, float]) -> pd.DataFrame:
    """Families of chains whose property is a multiple of the simulator's, the multiple the family's own (simulated)."""
    draw = np.random.default_rng(3)
    rows = []
    for head, factor in factors.items():
        for length in range(1, 13):
            text = "C" * length + head
            value = factor * nine_kelvin_a_carbon([text])[0] + draw.normal()
            rows.append({"family": head, "smiles": text, "melting_point [K]": value})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def prior() -> StructurePrior:
    factors = {"O": 1.3, "N": 1.5, "S": 1.4, "F": 1.2, "Cl": 1.6, "Br": 1.5, "I": 1.3, "C#N": 1.4}
    tasks = ms.TaskSet.from_frame(chains(factors), CARD, model=MODEL)
    return learn_structures(MODEL, tasks, GroupProcess(members=12, iterations=25))


def test_covariances_are_linear_in_what_simulators_say() -> None:
    simulated = torch.tensor([[1.0, 0.5], [2.0, -1.0]]).double()
    points = Points(torch.ones(2, 1).double(), torch.zeros(2, 1).double(), simulated)
    zero = torch.zeros((), dtype=torch.float64)
    free = GroupCovariance(
        **dict.fromkeys((*START, *TREND), zero), freedom=zero, lengths=zero[None], noise_slopes=zero[None]
    )
    alike = overlap(points, points)
    with_trend = covariances(points, points, free, alike)
    without = covariances(replace(points, simulated=None), points, free, alike)
    for one, other in zip(with_trend, without, strict=True):  # amplitudes are 1
        torch.testing.assert_close(one - other, simulated @ simulated.T)


def test_a_column_that_is_absent_or_has_gaps_is_computed() -> None:
    frame = chains({"O": 1.0}).head(3)
    absent = ms.TaskSet.from_frame(frame, CARD, model=MODEL)
    np.testing.assert_allclose(absent.dataset["guess"].values[0], [109.0, 118.0, 127.0])
    partly = ms.TaskSet.from_frame(frame.assign(**{"guess [degC]": [np.nan, 0.0, np.nan]}), CARD, model=MODEL)
    np.testing.assert_allclose(partly.dataset["guess"].values[0], [109.0, 273.15, 127.0])


def test_a_simulator_wrong_by_a_factor_of_the_family_is_put_right_by_two_members(
    prior: StructurePrior,
) -> None:
    frame = chains({"CC(C)=O": 1.9})  # farther from one than any family learned from
    truth = frame["melting_point [K]"].to_numpy()
    seen = frame.assign(**{"melting_point [K]": np.where(np.isin(np.arange(12), [2, 5]), truth, np.nan)})
    off = {
        shots: np.abs(prior.calibrate(data).table()["predicted"].to_numpy() - truth)[6:].mean()
        for shots, data in ((0, frame.assign(**{"melting_point [K]": np.nan})), (2, seen))
    }
    assert off[2] < 0.25 * off[0]  # extrapolated to twice the length


def test_saved_and_loaded_it_says_the_same(prior: StructurePrior, tmp_path: Path) -> None:
    frame = chains({"O": 1.3}).assign(**{"melting_point [K]": [320.0, *[np.nan] * 11]})
    loaded = ms.load(prior.save(tmp_path / "mine"))
    one, other = (each.calibrate(frame).table()["predicted"].to_numpy() for each in (prior, loaded))
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (Column("guess", "guess", "input", "K", simulator="nobody"), "there is no simulator 'nobody'"),
        (Column("guess", "guess", "input", "MPa", simulator="nine_kelvin_a_carbon"), "says 'K'"),
        (Column("guess", "guess", "covariate", "K", simulator="given"), "belongs to inputs that are numbers"),
    ],
)
def test_a_card_with_a_simulator_that_is_none_is_refused(column: Column, sentence: str) -> None:
    columns = tuple(column if each.name == "guess" else each for each in CARD.columns)
    with pytest.raises(InputError, match=sentence):
        replace(CARD, columns=columns)


def test_a_given_simulation_must_stand_in_the_table() -> None:
    columns = tuple(
        replace(each, simulator="given") if each.name == "guess" else each for each in CARD.columns
    )
    with pytest.raises(InputError, match="guess"):
        ms.TaskSet.from_frame(chains({"O": 1.0}), replace(CARD, columns=columns), model=MODEL)


def test_what_a_simulator_cannot_take_is_refused_where_it_stands() -> None:
    def refuses(texts: list[str]) -> np.ndarray:
        raise InputError("a ring of five is beyond this potential.")

    register("refuses", Simulator("smiles", "K", refuses))
    columns = tuple(
        replace(each, simulator="refuses") if each.name == "guess" else each for each in CARD.columns
    )
    with pytest.raises(InputError, match=r"column 'smiles', row .*ring of five"):
        ms.TaskSet.from_frame(chains({"O": 1.0}), replace(CARD, columns=columns), model=MODEL)
