"""Assays as tasks: what leaks where only assays are left out, and supports out of balance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from metasci.errors import InputError
from metasci.meta import Network
from metasci.responses import linear_predictor
from metasci.studies import assay_ways, assays as study
from metasci.studies.biased_supports import BIASED, episode, pools, shares_of_slope


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assay_ways, "_TREES", 20)
    monkeypatch.setattr(assay_ways, "_MOST", 50)
    monkeypatch.setattr(assay_ways, "PARTS", 2)


def _assays(of_structure: float, of_molecule: float) -> study.Assays:
    """Six assays of 300 molecules that follow from structure, and from what is of the molecule and in no structure."""
    draw = np.random.default_rng(0)
    described, hidden = draw.normal(size=(300, 4)), draw.normal(size=(300, 1))
    odds = of_structure * described[:, :1] + of_molecule * hidden + 0.3 * draw.normal(size=(300, 6))
    labels = (odds > 0.0).astype(float)
    labels[draw.random(labels.shape) < 0.05] = np.nan
    return study.Assays(tuple("abcdef"), labels, described)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.usefixtures("few_trees")
def test_labels_of_the_same_molecules_leak_what_no_structure_tells() -> None:
    found = study.scores(_assays(0.0, 3.0), molecules_too=False, shots=(5,), seeds=1)
    area = found.groupby("method")["auc"].mean()
    assert area["labels of the same molecules, no structure"] > 0.9
    assert area["learned prior on forests of other assays"] < 0.65


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.usefixtures("few_trees")
def test_the_learned_prior_knows_an_assay_before_any_molecule_of_it() -> None:
    found = study.scores(_assays(3.0, 0.0), molecules_too=True, shots=(0, 5), seeds=1)
    area = found.groupby(["method", "shots"])["auc"].mean()
    assert "labels of the same molecules, no structure" not in area
    assert area["learned prior on forests of other assays", 0] > 0.9
    assert area["forests of other assays, alone", 0] == 0.5


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.usefixtures("few_trees")
def test_what_a_forest_says_of_a_molecule_does_not_lean_on_its_own_label() -> None:
    data = _assays(3.0, 0.0)
    seen = np.ones(300, bool)
    other = data.labels.copy()
    at = int(np.argmax(other[:, 0] == 1.0))
    other[at, 0] = 0.0
    honest, repeated = assay_ways.log_odds(data, seen)
    honest_then, repeated_then = assay_ways.log_odds(replace(data, labels=other), seen)
    # only the scale, which is over all molecules, may move it
    assert abs(honest[at, 0] - honest_then[at, 0]) < 0.02
    assert abs(repeated[at, 0] - repeated_then[at, 0]) > 0.1


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.usefixtures("few_trees")
def test_a_study_goes_on_behind_the_parts_that_it_has_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[list[int]] = []

    def told(_: study.Told, part: list[int]) -> pd.DataFrame:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(part)
        return pd.DataFrame({"assay": part})

    monkeypatch.setattr(study, "assays", lambda name: _assays(1.0, 1.0))
    monkeypatch.setattr(study, "scores_of_part", told)
    monkeypatch.setattr(study, "PARTS", 2)
    with pytest.raises(KeyboardInterrupt):
        study.kept(tmp_path, "simulated", True)
    monkeypatch.setattr(study, "scores_of_part", lambda _, part: pd.DataFrame({"assay": part}))
    whole = study.kept(tmp_path, "simulated", True)
    assert sorted(whole["assay"]) == [0, 1, 2, 3, 4, 5]
    assert whole["assay"].tolist()[:3] == done[0]


def test_supports_hold_as_many_of_both_kinds() -> None:
    labels = np.repeat([0.0, 1.0], (90, 10))
    drawn = study.balanced_supports(labels, 5, 3)
    assert (drawn[:, labels == 1.0].sum(1) == 5).all()
    assert (drawn[:, labels == 0.0].sum(1) == 5).all()
    assert not (drawn[0] == drawn[1]).all()


def test_an_assay_is_not_told_by_itself() -> None:
    told, labels = np.ones((40, 3)), np.repeat([[0.0], [1.0]], 20, 0).repeat(3, 1)
    (pool,) = pools(told, labels, [1], [0, 1], np.ones(40, bool))
    assert pool[0].tolist() == [[1.0, 0.0]] * 20


def test_slopes_of_both_kinds_by_hand() -> None:
    draw = torch.Generator().manual_seed(0)
    pool = (torch.randn(60, 2, generator=draw).double(), torch.randn(30, 2, generator=draw).double())
    network = Network(nn.Linear(2, 2).double())
    start = {name: torch.zeros_like(value) for name, value in network.start().items()}
    one = episode(network, [pool], BIASED, 0, 1)
    assert one.targets.sum() == 1
    assert one.query_targets.double().mean() == 0.5
    # of a linear classifier at zero each case pulls both rows by half of itself over the number of cases
    x = torch.cat([one.inputs[0], torch.ones(20, 1).double()], 1)
    lengths = [np.sqrt(2.0) * 0.5 * float(x[one.targets[0] == kind].sum(0).norm()) / 20.0 for kind in (0, 1)]
    assert shares_of_slope(one, start) == pytest.approx(lengths, rel=1e-12)


def test_what_is_wrong_with_a_linear_predictor_or_the_data_is_said() -> None:
    with pytest.raises(InputError, match="one feature at least, and each once"):
        linear_predictor(["age", "age"])
    with pytest.raises(InputError, match="do not ship"):
        study.read_assays("nowhere.csv.gz")
