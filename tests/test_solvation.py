"""Energies of solvation as inputs of the prior of boiling points: looked up, told in a table, or computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci import extras
from metasci.cli.recipes import structures_and_tasks
from metasci.data.cards import Card, Column
from metasci.data.simulators import simulator_named
from metasci.errors import InputError
from metasci.materials import solvation
from metasci.materials.molecules import canonical
from metasci.materials.properties import boiling_point, property_of_card
from metasci.materials.solvation import UNITS, Solvation, known
from metasci.noise import Additive
from metasci.report.structures import structure_report

pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")

ALKANOLS = ["CCCCO", "CCCCCO", "CCCCCCO", "CCCCCCCO"]
POINTS = [390.9, 411.1, 430.8, 449.6]  # K, as the handbook has them


def test_the_table_that_ships_holds_finite_numbers_of_every_molecule_of_the_data() -> None:
    table, molecules = known(), ms.dataset("boiling_points").to_frame()["molecule"]
    assert set(molecules) == set(table)
    numbers = np.array([[getattr(each, name) for name in UNITS] for each in table.values()])
    assert np.isfinite(numbers).all()
    assert (numbers[:, list(UNITS).index("dipole")] >= 0.0).all()


def test_the_table_knows_what_is_polar() -> None:
    """Measured free energies of hydration (FreeSolv) order these as the method does."""
    table = known()
    order = ["C=CCCCC", "c1ccccc1", "CCCCC=O", "CCCCCO"]  # 1.6, -0.9, -3.0, -4.6 kcal/mol
    found = [table[text].water_solvation for text in order]
    assert found == sorted(found, reverse=True)


def test_another_molecule_asks_for_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, extra: str, purpose: str) -> None:
        raise extras.missing(module.partition(".")[0], extra, purpose)

    monkeypatch.setattr(solvation, "needed", absent)
    monkeypatch.setattr(solvation, "known", lambda: {ALKANOLS[0]: Solvation(-1.0, 2.0, 3.0, 4.0, 5.0, 6.0)})
    solvation.computed.cache_clear()
    dipole = simulator_named("dipole").values
    assert dipole(ALKANOLS[:1]).tolist() == [3.0]
    with pytest.raises(InputError, match=r"metasci-calibration\[solvation\]"):
        dipole(ALKANOLS[1:2])


def test_what_says_another_quantity_than_the_output_describes_and_is_no_trend() -> None:
    columns = (
        Column("smiles", "molecule", "input", "1", kind="smiles"),
        Column("dipole", "dipole", "input", "debye", simulator="dipole"),
        Column("joback", "joback", "input", "K", simulator="joback_boiling_point"),
        Column("y", "melting_point", "output", "K"),
    )
    model = property_of_card("materials.melting_point", Card("mine", columns=columns), Additive((5.0,)))
    assert {name: one.simulates for name, one in model.inputs.items()} == {
        "molecule": False,
        "dipole": False,
        "joback": True,
    }


def test_the_prior_takes_numbers_of_the_table_or_of_ones_own_and_listens_to_members() -> None:
    prior = ms.load("boiling_point_solvation")
    rows = pd.DataFrame({"molecule": ALKANOLS, "boiling_point [K]": [*POINTS[:3], None]})
    last = prior.calibrate(rows).predictions.iloc[-1]
    assert abs(last["predicted"] - POINTS[3]) < 5.0
    assert last["lower"] < POINTS[3] < last["upper"]
    told = rows.assign(**{"dipole [debye]": 5.0})
    assert prior.calibrate(told).predictions.iloc[-1]["prior"] != last["prior"]


def test_the_data_are_read_with_what_the_prior_computes_of_them() -> None:
    prior = ms.load("boiling_point_solvation")
    tasks = ms.dataset("boiling_points", card=prior.card, model=prior.model)
    assert set(UNITS) <= set(tasks.dataset.data_vars)
    assert tasks.dataset["dipole"].attrs["units"] == "debye"
    assert "dipole" not in ms.dataset("boiling_points").dataset


def _needing_no_library(text: str) -> Solvation:
    """Numbers that tell texts apart, so that it shows which text was computed."""
    size = float(sum(place * ord(letter) for place, letter in enumerate(text, 1)))
    return Solvation(size, size, size, size, size, size)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CC[C@H](C)O", "CC[C@@H](C)O"),  # of the table without its hand
        ("CC[C@H](C)O", "CCC(C)O"),
        ("CC[C@H](C)[Si](C)(C)C", "CC[C@@H](C)[Si](C)(C)C"),
        ("CC[C@H](C)[Si](C)(C)C", "CCC(C)[Si](C)(C)C"),
        ("OC(=O)[C@H](O)[C@@H](O)C(=O)O", "OC(=O)[C@@H](O)[C@H](O)C(=O)O"),  # dextro- and laevotartaric acid
    ],
)
def test_mirror_images_boil_alike(one: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvation, "computed", _needing_no_library)
    first, second = solvation.solvation([canonical(one), canonical(other)], "dipole")
    assert first == second


def test_what_is_no_mirror_image_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvation, "computed", _needing_no_library)
    meso, handed = "OC(=O)[C@H](O)[C@H](O)C(=O)O", "OC(=O)[C@H](O)[C@@H](O)C(=O)O"
    for one, other in ((meso, handed), (r"F/C=C/F", r"F/C=C\F")):
        first, second = solvation.solvation([canonical(one), canonical(other)], "dipole")
        assert first != second


def test_each_molecule_of_the_data_keeps_the_numbers_that_the_prior_was_learned_with() -> None:
    table = known()
    told = [text for text in table if "@" in text]
    assert len(told) == 26
    assert solvation.solvation(told, "dipole").tolist() == [table[text].dipole for text in told]


def test_the_warning_of_stereochemistry_says_what_looks_at_it() -> None:
    rows = pd.DataFrame({"molecule": ["CCCCO", "CC[C@H](C)O"], "boiling_point [K]": [390.9, 372.7]})
    warned = {
        name: ms.load(name).calibrate(rows).warnings for name in ("boiling_point", "boiling_point_solvation")
    }
    assert any("not looked at" in each for each in warned["boiling_point"])
    assert any("only by what is computed" in each for each in warned["boiling_point_solvation"])
    assert not any("predicted alike" in each for each in warned["boiling_point_solvation"])


def test_a_molecule_that_cannot_be_computed_is_named_by_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(text: str) -> Solvation:
        raise InputError(f"'{text}' is refused.")

    monkeypatch.setattr(solvation, "computed", refusing)
    molecules = ["CCCCO", "C[Si](C)(C)CO", "CCCCCO", "C[Si](C)(C)CO"]
    rows = pd.DataFrame({"molecule": molecules, "boiling_point [K]": [390.9, None, 411.1, None]})
    with pytest.raises(InputError, match=r"row 1: 'C\[Si\]\(C\)\(C\)CO' is refused\.$"):
        ms.load("boiling_point_solvation").calibrate(rows)


def test_what_no_force_field_knows_is_refused_and_may_be_told_in_columns(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tblite", reason="needs the extra metasci-calibration[solvation]: tblite")
    for text in ("FS(F)(F)(F)(F)F", "C[CH2][Pb]([CH2]C)([CH2]C)[CH2]C"):
        with pytest.raises(InputError, match=r"no force field.*water_solvation"):
            solvation.computed(text)
    with pytest.raises(InputError, match=r"cannot take '\[U\]': .*[^.]\.$"):
        solvation.computed("[U]")
    assert solvation.computed("[Ar]").dipole == pytest.approx(0.0, abs=1e-6)
    assert capfd.readouterr().err == ""  # the force field's own complaints
    prior = ms.load("boiling_point_solvation")
    told = dict.fromkeys(UNITS, 1.0)
    assert np.isfinite(prior.typical(molecule="FS(F)(F)(F)(F)F", **told).predictions["upper"]).all()


def test_a_simulator_of_ones_own_card_is_learned_from_under_the_name_of_a_property_that_ships(
    tmp_path: Path,
) -> None:
    data = ms.dataset("boiling_points").select(["aliphatic thiol", "aliphatic nitrile"]).to_frame()
    data["family"] = data["task"]
    data[["family", "molecule", "boiling_point"]].to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "dataset.toml").write_text(
        'name = "own"\ntitle = "Own"\nfile = "data.csv"\ntask = ["family"]\n[columns.family]\nrole = "task"\n'
        '[columns.molecule]\nrole = "input"\nunit = "1"\nkind = "smiles"\n'
        '[columns.dipole]\nrole = "input"\nunit = "debye"\nsimulator = "dipole"\n'
        '[columns.boiling_point]\nrole = "output"\nunit = "K"\n'
    )
    prior, tasks = structures_and_tasks("materials.boiling_point", str(tmp_path), members=3)
    assert list(prior.model.inputs) == ["molecule", "dipole"]
    assert prior.model.noise == boiling_point.noise
    assert np.isfinite(tasks.to_frame()["dipole"]).all()


def test_numbers_that_are_computed_are_those_of_the_table() -> None:
    pytest.importorskip("tblite", reason="needs the extra metasci-calibration[solvation]: tblite")
    for text in (ALKANOLS[0], "c1ccncc1", "CC(C)(C)CC(=O)O"):
        solvation.computed.cache_clear()
        found, stored = solvation.computed(text), known()[text]
        for name in UNITS:
            assert getattr(found, name) == pytest.approx(getattr(stored, name), rel=1e-2, abs=0.02)
    with pytest.raises(InputError, match=r"in space"):
        solvation.computed("[U]C[U]")


def test_what_is_computed_stands_in_the_data_and_not_in_a_readers_way() -> None:
    rows = pd.DataFrame({"molecule": ALKANOLS, "boiling_point [K]": [*POINTS[:3], None]})
    fit = ms.load("boiling_point_solvation").calibrate(rows)
    assert set(UNITS) <= set(fit.predictions)
    printed, drawn = fit.summary(), structure_report(fit)
    for name in UNITS:
        assert name not in printed
        assert name not in drawn
    assert ALKANOLS[3] in printed
    assert ALKANOLS[3] in drawn
