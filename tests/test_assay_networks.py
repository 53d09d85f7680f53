"""Networks of graphs of assays: what they say of molecules that they have not seen, and how they adapt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit", reason="rdkit is not installed")

from metasci.studies import assay_networks as study
from metasci.studies.assays import Assays, scores

CHAINS = tuple(f"{'C' * (1 + at % 9)}C({('O', 'N', 'F', 'Cl')[at % 4]}){'C' * (at % 5)}" for at in range(320))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "_EPOCHS", 12)
    monkeypatch.setattr(study, "_RATE", 1e-2)
    ways = {name: study.Adapting(way.method, 10, way.head, draws=2) for name, way in study.WAYS.items()}
    monkeypatch.setattr(study, "WAYS", ways)


def assays(count: int = 6) -> Assays:
    """Simulated: active with oxygen or nitrogen, each assay with a noise of its own, some not measured."""
    draw = np.random.default_rng(0)
    tells = np.array([[float(symbol in text) for symbol in "ONF"] for text in CHAINS])
    odds = 4.0 * tells[:, :1] + 3.0 * tells[:, 1:2] - 2.0 + 0.5 * draw.normal(size=(len(CHAINS), count))
    labels = (odds > 0.0).astype(float)
    labels[draw.random(labels.shape) < 0.05] = np.nan
    described = np.hstack([tells, draw.normal(size=(len(CHAINS), 3))])
    return Assays(tuple(f"assay {at}" for at in range(count)), labels, described, CHAINS)


def test_molecules_together_are_told_as_each_alone_in_their_order() -> None:
    data, seen = assays(), np.ones(len(CHAINS), bool)
    of = study.molecules(data.smiles, data.described, seen)
    network = study.fitted(of, data.labels, np.arange(40))
    places = np.array([7, 200, 3, 151])
    together = study.told_by(network, of, places)
    with torch.no_grad():
        alone = torch.cat([network(of.at([place])) for place in places])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_what_a_network_says_of_a_molecule_does_not_lean_on_its_own_label() -> None:
    data, seen = assays(), np.ones(len(CHAINS), bool)
    seen[::3] = False
    of = study.molecules(data.smiles, data.described, seen)
    before = study.odds_of_networks(of, data.labels, seen)
    at = int(np.flatnonzero(seen & (data.labels[:, 0] == 1.0))[0])
    turned = data.labels.copy()
    turned[at, 0] = 0.0
    after = study.odds_of_networks(of, turned, seen)
    # the network that tells of it has not seen it, so that only the common scale moves
    assert abs(after[at, 0] - before[at, 0]) < 0.1
    assert np.corrcoef(before[~seen, 0], np.nan_to_num(data.labels[~seen, 0]))[0, 1] > 0.7


def test_networks_that_learn_to_adapt_tell_a_new_assay() -> None:
    data, seen = assays(), np.ones(len(CHAINS), bool)
    seen[::3] = False
    of, who = study.molecules(data.smiles, data.described, seen), np.flatnonzero(~seen)
    labels = np.nan_to_num(data.labels[who, 5])
    supports = np.zeros((2, len(who)), bool)
    supports[1, :8] = True
    for name, way in study.WAYS.items():
        made = study.learn_adapting(of, data.labels[:, :5], seen, way)
        odds = np.mean([one.odds(of, who, labels, supports) for one in made], axis=0)
        assert odds.shape == (2, len(who)), name
        assert np.corrcoef(odds[1], labels)[0, 1] > 0.5, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
def test_the_study_tells_all_ways_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from metasci.studies import assay_ways, assays as whole

    monkeypatch.setattr(whole, "_ENOUGH", 10)
    for name, value in {"_TREES": 10, "_MOST": 40, "PARTS": 2}.items():
        monkeypatch.setattr(assay_ways, name, value)
    found = scores(assays(4), molecules_too=True, shots=(3,), seeds=1).groupby("method")["auc"].mean()
    assert "learned prior on forests and graph networks of other assays" in found
    assert "graph network, process head by Laplace" in found
    assert found["learned prior on graph networks of other assays"] > 0.8
