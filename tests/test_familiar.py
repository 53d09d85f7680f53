"""Structures unlike all that a prior of families was learned from: told in a sentence, and their intervals wider."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.learned.familiar import Familiar
from metasci.meta.outlook import Outlook
from metasci.priors.families import StructurePrior

pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")

# normal boiling points (K) of the CRC Handbook of Chemistry and Physics, 97th edition
UNLIKE = {"[H][H]": 20.38, "[Xe]": 165.05, "C": 111.67, "[SiH3]O[SiH3]": 257.9}


@pytest.fixture(scope="module")
def prior() -> StructurePrior:
    loaded = ms.load("boiling_point")
    assert isinstance(loaded, StructurePrior)
    return loaded


@pytest.mark.parametrize("molecule", UNLIKE)
def test_what_is_unlike_all_that_was_learned_from_is_told_and_covered(
    prior: StructurePrior, molecule: str
) -> None:
    fit = prior.typical(molecule=molecule)
    row = fit.predictions.iloc[0]
    assert row["lower"] < UNLIKE[molecule] < row["upper"]
    assert row["lower"] >= 0.0  # no temperature lies below absolute zero
    assert len(fit.warnings) == 1
    assert fit.warnings[0].startswith(f"{molecule}: ")
    assert fit.warnings[0].endswith("its interval is wider for it.")


def test_intervals_of_what_is_familiar_are_as_they_were(prior: StructurePrior) -> None:
    blind = StructurePrior(
        **{**vars(prior), "training": {k: v for k, v in prior.training.items() if k != "familiar"}}
    )
    rows = pd.DataFrame({"smiles": ["CCO", "C[SiH2]C"], "boiling_point [degC]": [78.3, None]})
    then, now = blind.calibrate(rows), prior.calibrate(rows)
    columns = ["predicted", "lower", "upper"]
    assert then.predictions.loc[0, columns].tolist() == pytest.approx(
        now.predictions.loc[0, columns].tolist()
    )
    wider = (
        now.predictions["upper"]
        - now.predictions["lower"]
        - then.predictions["upper"]
        + then.predictions["lower"]
    )
    assert wider[1] > 100.0
    assert now.predictions["predicted"].tolist() == pytest.approx(then.predictions["predicted"].tolist())
    assert then.warnings == []
    assert prior.typical(molecule="CCCC").warnings == []


def test_strange_members_tell_of_one_another(prior: StructurePrior) -> None:
    silanes = pd.DataFrame(
        {
            "smiles": ["C[Si](C)(C)C", "CC[Si](C)(C)C", "CC[SiH2]CC", "C[SiH2]C"],
            "boiling_point [degC]": [26.6, 62.0, 56.0, None],
        }
    )
    after = prior.calibrate(silanes).predictions.iloc[3]
    assert after["upper"] - after["lower"] < 0.5 * (after["prior_upper"] - after["prior_lower"])
    dimethylsilane = 253.15  # K; CRC Handbook
    assert abs(after["predicted"] - dimethylsilane) < 0.5 * abs(after["prior"] - dimethylsilane)


def test_the_level_that_strangeness_adds_is_one_for_all_that_are_strange_alike() -> None:
    covariance = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    loadings = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    wider = Outlook(torch.zeros(3, dtype=torch.float64), covariance, 0.1, 5.0).wider(2.0, loadings)
    assert wider.covariance.tolist() == [[5.0, 4.0, 0.0], [4.0, 10.0, 0.0], [0.0, 0.0, 3.0]]
    assert (wider.freedom, wider.noise) == (5.0, 0.1)


def test_what_leaving_out_has_taught_is_not_added_again() -> None:
    each_its_own = Familiar.of("formula", [["LiF"], ["MgO"], ["ZnS"]])
    assert each_its_own.novel == 1.0
    assert each_its_own.strange(["KCl"]).loadings.abs().sum() == 0.0
    assert each_its_own.strange(["KCl"]).sentences == ("",)
    overlapping = Familiar.of("formula", [["CoNi"], ["AlCoNi"], ["AlNi", "CoAl"]])
    assert overlapping.novel == 0.0
    assert overlapping.strange(["CoNi", "CuNi", "CuZn"]).loadings.tolist() == [
        [0.0, 0.0],
        [1.0, 0.0],
        [1.0, 1.0],
    ]


def test_familiar_is_saved_joined_and_checked(prior: StructurePrior, tmp_path: Path) -> None:
    prior.save(tmp_path / "again")
    again = ms.load(tmp_path / "again")
    assert again.training["familiar"] == prior.training["familiar"]
    known = Familiar.of_dict(prior.training["familiar"])
    assert Familiar.of_dict(known.to_dict()) == known
    joined = known.join(Familiar.of("smiles", [["[SiH4]"]]))
    assert "Si" in joined.elements
    assert (joined.least, joined.most) == (1, 80)
    with pytest.raises(InputError, match="learn it anew"):
        Familiar.of_dict({**known.to_dict(), "least": 90})
    with pytest.raises(InputError, match="broken"):
        Familiar.of_dict({"kind": "smiles"})
