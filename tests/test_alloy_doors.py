"""What metallurgists and chemists bring: workbooks, symbols, names, slips of the pen, several specimens in a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

import metasci as ms
from metasci.cli.main import app
from metasci.data.cards import Card, Column
from metasci.errors import InputError
from metasci.materials.compositions import fractions
from metasci.meta.discrepancy.conditioning import TaskProcess

STEEL = pd.DataFrame(
    {
        "time [h]": [1.0, 1.0, 2.0],
        "temperature [degC]": [200.0, 400.0, 600.0],
        "hardness [HRC]": [55.5, 46.5, 31.0],
    }
)
CRACK = pd.DataFrame({"cycles [kcycle]": [10.0, 20.0, 30.0], "relative_length": [1.033, 1.078, 1.111]})


def told(*arguments: str) -> str:
    """What a command prints, and says on standard error."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


# --------------------------------------------------------------------------------------- workbooks


@pytest.fixture
def book(tmp_path: Path) -> Path:
    pytest.importorskip("openpyxl", reason="needs the extra metasci-calibration[tables]: openpyxl")
    with pd.ExcelWriter(tmp_path / "lab.xlsx") as writer:
        pd.DataFrame({"said": ["furnace 3"]}).to_excel(writer, sheet_name="Notes", index=False)
        STEEL.assign(task="a").to_excel(writer, sheet_name="Series 1", index=False)
        STEEL.astype(object).replace(400.0, "hot").to_excel(writer, sheet_name="Series 2", index=False)
    return tmp_path / "lab.xlsx"


def test_a_sheet_is_said_behind_the_workbook_at_every_door(book: Path) -> None:
    prior = ms.load("steel_tempering")
    right = prior.calibrate(STEEL.assign(task="a"))
    fit = prior.calibrate(f"{book}#Series 1")
    pd.testing.assert_frame_equal(fit.parameters, right.parameters)
    tasks = ms.dataset(f"{book}#Series 1", card=prior.card, model=prior.model)
    np.testing.assert_array_equal(tasks.dataset["hardness"].values, right.tasks.dataset["hardness"].values)
    at = ("--at", "time=1 h", "--at", "temperature=300 degC")
    assert "300" in told("predict", "steel_tempering", f"{book}#Series 1", *at)


def test_sheets_and_their_cells_are_named_in_errors(book: Path) -> None:
    prior = ms.load("steel_tempering")
    with pytest.raises(InputError, match=r"lab\.xlsx' has 3 sheets .*say which, as .*lab\.xlsx#Notes"):
        prior.calibrate(book)
    with pytest.raises(
        InputError, match=r"no sheet 'Series 3' \(did you mean 'Series \d'\?\); its sheets are Notes"
    ):
        prior.calibrate(f"{book}#Series 3")
    with pytest.raises(
        InputError, match=r"lab\.xlsx#Series 2, column 'temperature \[degC\]', row 3: 'hot' is not a"
    ):
        prior.calibrate(f"{book}#Series 2")
    with pytest.raises(InputError, match=r"there is no file '.*other\.xlsx'"):
        prior.calibrate(f"{book.parent / 'other.xlsx'}#Series 1")


def test_a_workbook_may_hold_events(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="needs the extra metasci-calibration[tables]: openpyxl")
    events = pd.DataFrame(
        {
            "ID": 1,
            "TIME": [0.0, 2.0, 12.0],
            "AMT": [320.0, None, None],
            "DV": [None, 6.0, 3.0],
            "weight [kg]": 65.0,
        }
    )
    events.to_csv(tmp_path / "one.csv", index=False)
    events.to_excel(tmp_path / "one.xlsx", index=False)
    prior = ms.load("theophylline")
    by_text, by_book = (prior.calibrate(tmp_path / name).parameters for name in ("one.csv", "one.xlsx"))
    pd.testing.assert_frame_equal(by_text, by_book)


# ------------------------------------------------------------------------- several specimens in one


SEVERAL = "no column 'task' and is read as one task, but its conditions begin again in row"


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (pd.concat([CRACK, CRACK.add([0.0, 0.02])], ignore_index=True), 3),
        (pd.concat([CRACK, CRACK.add([-5.0, 0.02])], ignore_index=True), 3),
    ],
)
def test_cracks_of_two_specimens_in_one_table_are_told(table: pd.DataFrame, row: int) -> None:
    warnings = ms.load("alloy_fatigue").calibrate(table).warnings
    assert sum(f"{SEVERAL} {row}" in text for text in warnings) == 1


def test_steels_one_below_the_other_are_told() -> None:
    two = pd.concat([STEEL, STEEL - [0.0, 0.0, 3.0]], ignore_index=True)
    assert any(SEVERAL in text for text in ms.load("steel_tempering").calibrate(two).warnings)


@pytest.mark.parametrize(
    "table",
    [
        CRACK,
        CRACK.iloc[::-1],
        CRACK.loc[[0, 0, 1, 1, 2, 2]].add([0.0, 1e-3]),
        pd.concat([CRACK, CRACK.add([0.0, 0.02])], ignore_index=True).assign(task=list("aaabbb")),
    ],
    ids=["one", "downwards", "in pairs", "named"],
)
def test_one_specimen_is_none_of_several(table: pd.DataFrame) -> None:
    assert not any(SEVERAL in text for text in ms.load("alloy_fatigue").calibrate(table).warnings)


def test_temperatures_in_any_order_are_one_steel() -> None:
    shuffled = STEEL.iloc[[2, 0, 1]]
    assert not any(SEVERAL in text for text in ms.load("steel_tempering").calibrate(shuffled).warnings)


# --------------------------------------------------------------------------- what is bent too far


FALLING = pd.DataFrame(
    {"cycles [kcycle]": [10.0, 20.0, 30.0, 60.0], "relative_length": [1.2, 1.15, 1.1, 1.05]}
)
UNLIKE = "taken together, are unlike anything that the prior was learned from"


def test_a_crack_that_shrinks_is_unlike_all_that_a_discrepancy_has_seen() -> None:
    prior = ms.load("alloy_fatigue_discrepancy")
    assert any(UNLIKE in text for text in prior.calibrate(FALLING).warnings)
    known = prior.calibrate(ms.dataset("alloy_fatigue").select(slice(0, 10)))
    assert sum(UNLIKE in text for text in known.warnings) <= 1  # those it was learned from


def test_its_rarity_is_that_of_a_mean_square_under_students_distribution() -> None:
    prior = ms.load("alloy_fatigue_discrepancy")
    fit = prior.calibrate(CRACK)
    process = fit.adapted.discrepancy
    assert isinstance(process, TaskProcess)
    with torch.no_grad():
        covariance = process.state.covariance(process.rows, process.rows)[0] + process.variance[0].diag()
        off = (process.left - process.state.mean_of(process.rows))[0]
        far = float(off @ torch.linalg.solve(covariance, off))
        stretch, freedom = float(process.state.stretch), float(process.state.freedom)
        rarity = float(process.rarity()[0])
    assert rarity == pytest.approx(stats.f.sf(far / (3 * stretch), 3, freedom), rel=1e-6)


# ------------------------------------------------------------------------------- units and classes


def test_a_number_beside_a_power_reads_as_a_product() -> None:
    later = FALLING.assign(**{"cycles [kcycle]": [100.0, 120.0, 180.0, 200.0]})
    text = "\n".join(ms.load("alloy_fatigue").calibrate(later).warnings)
    assert "0.2 × 10⁶ cycles" in text
    assert "(0 cycles to" in text
    assert " 10⁶" not in text.replace("× 10⁶", "")


def test_classes_are_named_where_a_file_is_made() -> None:
    assert "one of FCC, BCC or other" in told("info", "alloy_phases")
    assert "phase: phase, measured: one of FCC, BCC or other" in told("template", "alloy_phases")


# ------------------------------------------------------------------------------------ compositions


def test_compositions_take_symbols_and_refuse_what_is_no_element() -> None:
    named = {"carbon": 0.4, "manganese": 0.85, "chromium": 0.95}
    symbols = {"C": 0.4, "Mn": 0.85, "Cr": 0.95}
    for which in ("Ac1", "Ac3", "Bs", "Ms"):
        assert ms.kinetics.critical_temperature(which, symbols) == ms.kinetics.critical_temperature(
            which, named
        )
    from metasci.heat_treatment import hardness_by_composition

    assert hardness_by_composition(symbols)(10.0) == hardness_by_composition(named)(10.0)
    with pytest.raises(InputError, match=r"no element 'carbn' \(did you mean 'carbon'"):
        ms.kinetics.critical_temperature("Ms", {"carbn": 0.4})
    with pytest.raises(InputError, match="carbon is given twice"):
        hardness_by_composition({"C": 0.4, "carbon": 0.4})


def test_a_steel_outside_of_a_regression_is_drawn_and_told(tmp_path: Path) -> None:
    bearing = (
        "product,temperature [degC],fraction [%],time [s]\n"
        "pearlite,700,1,60\npearlite,700,99,700\npearlite,650,1,6\npearlite,650,99,40\npearlite,600,1,4\npearlite,600,99,18\n"
    )
    (tmp_path / "ttt.csv").write_text(bearing)
    arguments = (
        "diagram",
        "kinetics.transformation_time",
        str(tmp_path / "ttt.csv"),
        "-o",
        str(tmp_path / "out"),
    )
    assert "was not made for chromium 12 %" in told(*arguments, "--composition", "C=1.5,Cr=12")
    text = told(*arguments, "--composition", "100Cr6", "--rates", "100,1 K/s")
    assert "van Bohemen" in text
    assert "was not made for" not in text
    assert "no hardness is told" in text
    assert (tmp_path / "out" / "cct.csv").exists()
    assert not (tmp_path / "out" / "jominy.csv").exists()


def test_helpers_take_texts_with_units() -> None:
    assert ms.kinetics.hollomon_jaffe("1 h", "600 degC") == pytest.approx(17463.0)
    assert ms.kinetics.larson_miller("592680 min", "900 degF") == pytest.approx(18124.9, abs=0.1)
    with pytest.raises(InputError, match="cannot be converted to 'h'"):
        ms.kinetics.hollomon_jaffe("1 kg", "600 degC")


# -------------------------------------------------------------------------------- families' members


def aldehydes(**changed: float) -> pd.DataFrame:
    pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")
    measured = {"CCCCC=O": 103.0, "CCCCCC=O": 131.0, "CC(C)C=O": 64.0, "CCC(C)C=O": 92.0, "CCCCCCCC=O": 171.0}
    rows = [*measured.items(), ("CCCCCCC=O", np.nan), *((name, value) for name, value in changed.items())]
    return pd.DataFrame(rows, columns=["smiles", "boiling_point [degC]"])


def test_a_mistyped_duplicate_is_set_aside_and_named() -> None:
    prior = ms.load("boiling_point")
    right, slip = prior.calibrate(aldehydes()), prior.calibrate(aldehydes(**{"CCCCCC=O": 313.0}))
    columns = ["predicted", "lower", "upper"]
    np.testing.assert_allclose(slip.predictions[columns][:6], right.predictions[columns], rtol=1e-9)
    assert sum("CCCCCC=O: boiling_point 586.1" in text and "set aside" in text for text in slip.warnings) == 1
    assert any("404.1 and 586.1 K are at odds, 586.1 being set aside" in text for text in slip.warnings)
    assert "6 of 7 members measured, 1 of them set aside" in slip.summary()
    assert not right.aside.any()


def test_a_mistyped_member_is_set_aside_and_a_family_that_agrees_is_not() -> None:
    prior = ms.load("boiling_point")
    slip = aldehydes()
    slip.loc[4, "boiling_point [degC]"] = 711.0
    assert prior.calibrate(slip).aside[0].tolist() == [False] * 4 + [True, False]
    odd = aldehydes()
    odd["boiling_point [degC]"] += 120.0  # all of a family far from what was expected
    assert not prior.calibrate(odd).aside.any()
    assert not prior.calibrate(slip.iloc[4:]).aside.any()  # one measurement alone is all there is


def test_members_keep_their_names(tmp_path: Path) -> None:
    prior = ms.load("boiling_point")
    table = aldehydes().assign(Name=["pentanal", "hexanal", "", "2-methylbutanal", "octanal", "heptanal"])
    named, bare = prior.calibrate(table), prior.calibrate(aldehydes())
    assert named.predictions["name"].tolist()[:2] == ["pentanal", "hexanal"]
    pd.testing.assert_frame_equal(named.predictions.drop(columns="name"), bare.predictions)
    assert "name" not in bare.predictions
    assert "pentanal" in named.summary()
    assert "unknown" not in named.summary()
    assert named.to_xarray()["name"].values[0, 4] == "octanal"
    named.save(tmp_path / "out")
    again = prior.calibrate(tmp_path / "out" / "predictions.csv")
    np.testing.assert_allclose(again.predictions["predicted"], named.predictions["predicted"], rtol=1e-6)
    twice = pd.concat([table, table.iloc[:1].assign(Name="pentanal, second line")], ignore_index=True)
    assert any("counts once" in text for text in prior.calibrate(twice).warnings)


def test_stereochemistry_is_said_and_salts_name_their_largest_part() -> None:
    prior = ms.load("boiling_point")
    handed = pd.DataFrame(
        {"smiles": ["CC/C=C/C", "CC/C=C\\C", "CCCCO"], "boiling_point [degC]": [36.0, 37.0, 118.0]}
    )
    told_of = [text for text in prior.calibrate(handed).warnings if "stereochemistry" in text]
    assert len(told_of) == 1
    assert "CCCCO" not in told_of[0]
    assert not any("stereochemistry" in text for text in prior.calibrate(aldehydes()).warnings)
    with pytest.raises(
        InputError, match=r"of several molecules; give one, such as its largest, 'CC\(=O\)\[O-\]'"
    ):
        prior.typical(molecule="[Na+].CC(=O)[O-]")


def test_ions_and_radicals_are_told_and_uncertain_and_deuterium_is_hydrogen() -> None:
    prior = ms.load("boiling_point")
    molecules = ["CC[NH3+]", "C[CH2]", "CC[N+](=O)[O-]", "[2H]OCC", "CCN"]
    table = pd.DataFrame({"family": "any", "molecule": molecules, "boiling_point [K]": [None] * 4 + [290.0]})
    fit = prior.calibrate(table)
    told = [text for text in fit.warnings if "was learned from" in text]
    assert [text.partition(":")[0] for text in told] == ["CC[NH3+]", "[CH2]C"]
    assert "a net charge" in told[0]
    assert "an unpaired electron" in told[1]
    width = (fit.predictions["prior_upper"] - fit.predictions["prior_lower"]).tolist()
    assert min(width[:2]) > 4.0 * max(width[2:])


def test_isotopes_boil_as_their_elements_and_are_told() -> None:
    from metasci.materials.graphs import molecule_graph
    from metasci.materials.structures import canonical, features

    prior = ms.load("boiling_point")
    plain = prior.typical(molecule="CCO").predictions
    marked = ("[2H]C([2H])([2H])CO", "[13CH3]CO", "C[C@]([2H])([H])O", "CC[18OH]")
    for text in marked:
        with pytest.warns(UserWarning, match=r"is read as 'CCO': isotopes are not looked at"):
            pd.testing.assert_frame_equal(prior.typical(molecule=text).predictions, plain)
        np.testing.assert_array_equal(features("smiles", [text]).counts, features("smiles", ["CCO"]).counts)
        assert molecule_graph(text)["node"].shape == (3, 15)
    with pytest.warns(UserWarning, match="isotopes"):
        assert canonical("smiles", "[2H]O[2H]") == "O"


@pytest.mark.parametrize(
    "salt", ["[Na+].CC(=O)[O-]", "CCCCN.Cl", "Cl.CCCCN", "O.O.OCCCO", "CCO", "C1.C1CCO", "[Na+].[Cl-]"]
)
def test_the_largest_molecule_is_the_one_that_rdkit_chooses(salt: str) -> None:
    from rdkit import Chem
    from rdkit.Chem.MolStandardize import rdMolStandardize

    from metasci.materials.molecules import parts

    whole = Chem.MolFromSmiles(salt)
    each = parts(salt)
    assert sorted(".".join(each).split(".")) == sorted(Chem.MolToSmiles(whole).split("."))
    if salt != "[Na+].[Cl-]":  # of two as large the first is taken here, and the heavier one there
        chosen = rdMolStandardize.LargestFragmentChooser().choose(whole)
        assert each[0] == Chem.MolToSmiles(chosen)


def test_of_salts_the_largest_molecule_is_taken_where_asked_and_told(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "smiles": ["CCCN.Cl", "CCCCN", "[Na+].CC(=O)[O-]", "CCCCCN"],
            "boiling_point [degC]": [48.0, 78.0, None, None],
        }
    )
    bare = table.assign(smiles=["CCCN", "CCCCN", "CC(=O)[O-]", "CCCCCN"])
    prior = ms.load("boiling_point")
    asked = prior.of_largest_molecules().calibrate(table)
    pd.testing.assert_frame_equal(asked.predictions, prior.calibrate(bare).predictions)
    sentence = (
        "of salts and solvates the largest molecule is taken: 'CCCN' of 'CCCN.Cl' and 'CC(=O)[O-]' of "
        "'[Na+].CC(=O)[O-]'"
    )
    assert sum(sentence in text for text in asked.warnings) == 1
    assert not any("salts" in text for text in prior.of_largest_molecules().calibrate(bare).warnings)
    asked.report(tmp_path / "report.html")
    assert "of salts and solvates the largest" in (tmp_path / "report.html").read_text(encoding="utf-8")

    table.to_csv(tmp_path / "salts.csv", index=False)
    refused = CliRunner().invoke(app, ["calibrate", "boiling_point", str(tmp_path / "salts.csv")])
    assert refused.exit_code != 0
    assert sentence in told("calibrate", "boiling_point", str(tmp_path / "salts.csv"), "--largest-molecule")

    asked_of_steel = CliRunner().invoke(
        app, ["calibrate", "steel_tempering", str(tmp_path / "salts.csv"), "--largest-molecule"]
    )
    assert "is of no structures" in str(asked_of_steel.exception)
    with pytest.raises(InputError, match="not written as SMILES"):
        ms.load("alloy_strength").of_largest_molecules()
    column = Column("formula", "formula", "input", "1", kind="formula", largest_molecule=True)
    with pytest.raises(InputError, match="it holds no SMILES"):
        dataclasses.replace(prior.card, columns=(*prior.card.columns, column))
    mine = prior.of_largest_molecules().card
    assert Card.from_dict(mine.to_dict()) == mine
    assert all("largest_molecule" not in column for column in prior.card.to_dict()["columns"])


def test_numbers_before_elements_are_contents() -> None:
    pytest.importorskip("chemicals", reason="needs the extra metasci-calibration[materials]: chemicals")
    from metasci.materials.compositions import fractions

    assert fractions("Fe 18Cr 8Ni wt%") == fractions("Fe-18Cr-8Ni wt%")
    assert fractions("Al0.25 Co1 Ni")["Co"] == pytest.approx(1.0 / 2.25)
    with pytest.raises(InputError, match="by weight or of atoms"):
        fractions("Fe 18Cr 8Ni")
    with pytest.raises(InputError, match="does not come to 100 %; write 'Ti-6Al-4V wt%'"):
        fractions("Ti6Al4V wt%")


def test_a_prior_is_evaluated_on_a_few_steels_of_ones_own() -> None:
    prior = ms.load("steel_tempering")
    several = pd.concat([STEEL.assign(task=name) for name in "ab"], ignore_index=True)
    report = ms.evaluate(
        prior, prior.read(several), shots=(1,)
    )  # whose own data need 17 readings of each steel
    assert report["tasks"] == 2
    assert all(np.isfinite(row["rmse"]) for row in report["results"])


@pytest.mark.parametrize("text", ["Ni20Cr wt%", "Ni 20 Cr wt%", "Fe 18 Cr 8 Ni wt%"])
def test_per_cent_that_do_not_come_to_a_hundred_are_no_shares_of_the_whole(text: str) -> None:
    with pytest.raises(InputError, match=r"does not come to 100 %; write '(Ni-20Cr|Fe-18Cr-8Ni) wt%'"):
        fractions(text)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    pytest.importorskip("openpyxl", reason="needs the extra metasci-calibration[tables]: openpyxl")
    with pd.ExcelWriter(tmp_path / "lab.xlsx") as writer:
        for number in (1, 2):
            STEEL.assign(**{"hardness [HRC]": STEEL["hardness [HRC]"] - number}).to_excel(
                writer, sheet_name=f"Series {number}", index=False
            )
    return tmp_path / "lab.xlsx"


def test_sheets_of_one_workbook_are_tasks_of_different_names(series: Path) -> None:
    prior = ms.load("steel_tempering")
    first, second = (prior.calibrate(f"{series}#Series {number}") for number in (1, 2))
    assert (first.tasks.names, second.tasks.names) == (("lab#Series 1",), ("lab#Series 2",))
    assert first.tasks.dataset.attrs["checksum"] != second.tasks.dataset.attrs["checksum"]


def test_a_calibration_that_takes_another_ones_place_says_so(series: Path, tmp_path: Path, capsys) -> None:
    from metasci.cli.main import run

    def said(sheet: str) -> str:
        assert run(["calibrate", "steel_tempering", f"{series}#{sheet}", "--out", str(tmp_path / "out")]) == 0
        return capsys.readouterr().err

    assert "held another calibration" not in said("Series 1") + said("Series 1")
    assert "out held another calibration, of lab#Series 1, which this one has replaced." in said("Series 2")
