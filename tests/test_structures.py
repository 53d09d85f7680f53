"""Families of materials: structures at the door, the process over families, calibration, evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import metasci as ms
from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.errors import InputError
from metasci.evaluation.evaluate import evaluate
from metasci.files import read_tensors
from metasci.learned.places import points_of
from metasci.materials.baselines import Known, baselines
from metasci.materials.properties import (
    alloy_strength,
    boiling_point,
    phonon_peak,
    property_of,
    property_of_card,
)
from metasci.materials.structures import canonical, family, features
from metasci.meta.group_process import (
    GroupProcess,
    Outlook,
    Points,
    covariances,
    left_out_cost,
    noise_variance,
    overlap,
)
from metasci.meta.group_state import ProcessState
from metasci.priors.families import StructurePrior, learn_structures

pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")
pytest.importorskip("sklearn", reason="needs the extra metasci-calibration[materials]: scikit-learn")

ALDEHYDES = pd.DataFrame(
    {
        "smiles": ["CCCCC=O", "C(CCCCC)=O", "CC(C)C=O", "CCCCCCC=O"],
        "boiling_point [degC]": [103.0, 131.0, 64.0, np.nan],
    }
)


def toy(groups: int = 4, each: int = 5) -> tuple[Points, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    points = Points(
        torch.randint(0, 4, (groups * each, 6), generator=generator).double(),
        torch.randn(groups * each, 3, generator=generator, dtype=torch.float64),
    )
    group = torch.arange(groups).repeat_interleave(each)
    values = 300.0 + 20.0 * points.descriptors[:, 0] + 10.0 * group + points.counts[:, 1]
    return points, values, group


@pytest.fixture(scope="module")
def families() -> ms.TaskSet:
    tasks = ms.dataset("boiling_points", model=boiling_point)
    names = [
        "aliphatic nitrile",
        "aliphatic aldehyde",
        "aliphatic thiol",
        "aliphatic iodide",
        "aliphatic acid",
    ]
    rows = tasks.select(names).to_frame().groupby("task").head(16)
    rows = rows.drop(columns=[name for name in ("task", "CAS") if name in rows])
    return ms.TaskSet.from_frame(rows.rename(columns={"boiling_point": "boiling_point [K]"}), tasks.card)


@pytest.fixture(scope="module")
def small(families: ms.TaskSet) -> StructurePrior:
    return learn_structures(boiling_point, families, GroupProcess(members=8, iterations=15))


def test_density_of_a_left_out_group_is_the_conditional_gaussian() -> None:
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(7, 7, generator=generator, dtype=torch.float64)
    covariance, target = (
        root @ root.T + torch.eye(7),
        torch.randn(7, generator=generator, dtype=torch.float64),
    )
    groups = [torch.tensor([0, 3]), torch.tensor([1, 2, 6]), torch.tensor([4, 5])]
    expected = 0.0
    for index in groups:
        rest = torch.tensor([at for at in range(7) if at not in index])
        pull = covariance[index][:, rest] @ torch.linalg.inv(covariance[rest][:, rest])
        law = torch.distributions.MultivariateNormal(
            pull @ target[rest], covariance[index][:, index] - pull @ covariance[rest][:, index]
        )
        expected -= float(law.log_prob(target[index])) / len(target)
    assert float(left_out_cost(covariance, target, groups)) == pytest.approx(expected, rel=1e-10)


def test_students_density_of_a_left_out_group() -> None:
    scale, target = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double(), torch.tensor([0.3, -1.2]).double()
    whole = torch.eye(3).double()
    whole[:2, :2] = scale  # the third point says nothing about the others
    groups = [torch.tensor([0, 1]), torch.tensor([2])]
    values = torch.cat([target, torch.zeros(1).double()])
    said = 3 * left_out_cost(whole, values, groups, torch.tensor(5.0).double())
    pair = stats.multivariate_t(np.zeros(2), scale.numpy(), df=5).logpdf(target.numpy())
    assert float(said) == pytest.approx(-pair - stats.t(5).logpdf(0.0), rel=1e-10)
    many = left_out_cost(whole, values, groups, torch.tensor(1e7).double())
    assert float(many) == pytest.approx(float(left_out_cost(whole, values, groups)), rel=1e-5)


def test_intervals_widen_where_a_family_surprises() -> None:
    outlook = Outlook(torch.zeros(3).double(), torch.eye(3).double() + 0.2, 0.1, freedom=5.0)
    seen = torch.tensor([True, True, False])
    calm, wild = (outlook.given(seen, torch.tensor([v, -v, 0.0]).double()) for v in (0.3, 4.0))
    assert float(calm.scale[2]) < float(outlook.scale[2]) < float(wild.scale[2])
    assert calm.freedom == 7.0
    assert outlook.reach(0.9) == pytest.approx(stats.t(5).ppf(0.95))
    assert Outlook(outlook.mean, outlook.covariance, 0.1).reach(0.9) == pytest.approx(1.6449, abs=1e-4)


def test_overlap_is_shared_over_united_parts() -> None:
    one = Points(torch.tensor([[2.0, 1.0, 0.0]]), torch.zeros(1, 0))
    other = Points(torch.tensor([[1.0, 1.0, 2.0]]), torch.zeros(1, 0))
    assert float(overlap(one, other)) == pytest.approx(2.0 / 5.0)


def test_with_all_members_the_outlook_is_the_exact_posterior() -> None:
    points, values, group = toy()
    state = GroupProcess(members=5, iterations=5).learn(points, values, group)
    new = Points(points.counts[:4].flip(1), points.descriptors[:4] + 0.3)
    said = GroupProcess().outlook(new, state)

    old, here, free = state.standard.points(points), state.standard.points(new), state.covariance
    shared, own = covariances(old, old, free, overlap(old, old))
    whole = shared + own * (group[:, None] == group[None]) + noise_variance(old, free).diag()
    across = covariances(here, old, free, overlap(here, old))[0]
    among, alone = covariances(here, here, free, overlap(here, here))
    pull = across @ torch.linalg.inv(whole)
    size, centre = state.standard.target_scale, state.standard.target_centre
    mean = centre + size * (pull @ ((values - centre) / size))
    torch.testing.assert_close(said.mean, mean, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(
        said.covariance, size**2 * (among + alone - pull @ across.T), rtol=1e-3, atol=1e-3 * float(size**2)
    )


def test_measurements_one_by_one_or_together_say_the_same() -> None:
    points, values, group = toy()
    method = GroupProcess(members=5, iterations=5)
    before = method.outlook(
        points.select(group == 0), method.learn(points.select(group > 0), values[group > 0], group[group > 0])
    )
    both = torch.tensor([True, False, True, False, False])
    one, two = both.clone(), both.clone()
    one[2], two[0] = False, False
    at_once = before.given(both, values[:5])
    in_turn = before.given(one, values[:5]).given(two, values[:5])
    torch.testing.assert_close(at_once.mean, in_turn.mean)
    torch.testing.assert_close(at_once.covariance, in_turn.covariance)
    assert before.given(torch.zeros(5, dtype=torch.bool), values[:5]) is before


def test_learning_repeats_to_the_bit_and_improves_the_objective() -> None:
    points, values, group = toy()
    first, second = (
        GroupProcess(members=4, iterations=8).learn(points, values, group, seed=3) for _ in range(2)
    )
    again = second.tensors()
    assert all(torch.equal(value, again[name]) for name, value in first.tensors().items())

    def cost(state: ProcessState) -> float:
        free, scaled = state.covariance, state.standard.points(points)
        shared, own = covariances(scaled, scaled, free, overlap(scaled, scaled))
        whole = shared + own * (group[:, None] == group[None]) + noise_variance(scaled, free).diag()
        target = state.standard.target(values)
        parts = [(group == label).nonzero()[:, 0] for label in range(4)]
        return float(left_out_cost(whole, target, parts, free.degrees_of_freedom()))

    start, more = (GroupProcess(members=5, iterations=n).learn(points, values, group) for n in (1, 40))
    assert cost(more) < cost(start) - 0.1


def test_descriptors_say_how_far_members_scatter() -> None:
    generator = torch.Generator().manual_seed(2)
    group = torch.arange(12).repeat_interleave(10)
    wild = (group % 2).double()
    descriptors = torch.stack([wild, torch.randn(120, generator=generator).double()], 1)
    points = Points(torch.ones(120, 1).double(), descriptors)
    values = torch.randn(120, generator=generator).double() * torch.where(wild == 1.0, 3.0, 0.5)
    method = GroupProcess(iterations=60)
    outlook = method.outlook(points.select(group < 2), method.learn(points, values, group))
    ratio = float(outlook.scale[10:].mean() / outlook.scale[:10].mean())
    assert 3.0 < ratio < 9.0  # six times, and a belief that it is the same for all


def test_structures_are_numbered_and_written_out_again(families: ms.TaskSet) -> None:
    frame = families.to_frame()
    assert frame["molecule"].str.len().min() >= 2
    index = families.dataset["molecule"].values
    task, place = np.argwhere(~np.isnan(index))[5]
    assert families.structures("molecule")[int(index[task, place])] == frame["molecule"][5]


def test_tasks_with_structures_come_back_from_netcdf(families: ms.TaskSet, tmp_path: Path) -> None:
    again = ms.TaskSet.from_netcdf(families.select([1]).to_netcdf(tmp_path / "a.nc"))
    pd.testing.assert_frame_equal(again.to_frame(), families.select([1]).to_frame())


def test_two_spellings_are_one_molecule() -> None:
    assert canonical("smiles", "OCC") == canonical("smiles", "C(C)O")
    with pytest.raises(InputError, match="several molecules"):
        canonical("smiles", "CC.O")
    counts = features("smiles", ["CCO"]).counts
    assert counts.sum() == 6  # three atoms, each with itself and with its neighbours


@pytest.mark.parametrize(
    ("text", "says"),
    [("CCCC(CC=O", "row 3.*'CCCC\\(CC=O' is not a SMILES"), ("", "row 3.*the cell is empty")],
)
def test_a_row_that_is_no_molecule_is_named(
    small: StructurePrior, tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"smiles,boiling_point [degC]\nCCCCC=O,103\n{text},131\n")
    with pytest.raises(InputError, match=f"mine.csv, column 'smiles', {says}"):
        small.calibrate(path)


def test_units_are_converted_and_unmeasured_members_predicted(small: StructurePrior) -> None:
    kelvin = ALDEHYDES.rename(columns={"boiling_point [degC]": "boiling_point [K]"})
    kelvin["boiling_point [K]"] += 273.15
    celsius, other = small.calibrate(ALDEHYDES), small.calibrate(kelvin)
    pd.testing.assert_frame_equal(celsius.predictions, other.predictions)
    rows = celsius.predictions
    assert rows["predicted"].notna().all()
    assert np.isnan(rows["boiling_point"].iloc[3])
    width = rows["upper"] - rows["lower"]
    assert (width < rows["prior_upper"] - rows["prior_lower"]).all()
    all_four = small.calibrate(ALDEHYDES.fillna(152.8)).predictions
    assert all_four["upper"].iloc[3] - all_four["lower"].iloc[3] < width.iloc[3]
    assert rows["predicted"].iloc[3] == pytest.approx(426.0, abs=15.0)


def test_further_members_are_predicted_as_if_they_stood_in_the_file(small: StructurePrior) -> None:
    fit = small.calibrate(ALDEHYDES.iloc[:3])
    more = fit.predict(["CCCCCCC=O"])
    whole = small.calibrate(ALDEHYDES).predictions
    assert more["predicted"].iloc[0] == pytest.approx(whole["predicted"].iloc[3])
    assert more["upper"].iloc[0] == pytest.approx(whole["upper"].iloc[3])
    with pytest.raises(InputError, match="no calibrated family 'x'"):
        fit.predict(["CCO"], family="x")


def test_an_impossible_value_is_warned_of(small: StructurePrior) -> None:
    wrong = ALDEHYDES.assign(**{"boiling_point [degC]": [103.0, 131.0, 640.0, np.nan]})
    assert any(
        "CC(C)C=O" in warning and "far outside" in warning for warning in small.calibrate(wrong).warnings
    )
    assert small.calibrate(ALDEHYDES).warnings == []


def test_a_prior_is_saved_and_loaded(small: StructurePrior, tmp_path: Path) -> None:
    again = ms.load(small.save(tmp_path / "own"))
    assert isinstance(again, StructurePrior)
    said, saved = small.calibrate(ALDEHYDES).predictions, again.calibrate(ALDEHYDES).predictions
    np.testing.assert_allclose(said["predicted"], saved["predicted"], atol=0.2)  # saved in single precision
    np.testing.assert_allclose(said["upper"], saved["upper"], atol=0.5)
    (tmp_path / "own" / "prior.json").write_text(json.dumps({"format": "metasci-structure-prior-1"}))
    with pytest.raises(InputError, match="'method' is missing"):
        ms.load(tmp_path / "own")


def test_results_are_written(small: StructurePrior, tmp_path: Path) -> None:
    fit = small.calibrate(ALDEHYDES)
    fit.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(fit.files)
    assert "CCCCCCC=O" in (tmp_path / "report.html").read_text()
    assert "3 of 4 members measured" in fit.summary()
    assert fit.to_json()["predictions"][3]["boiling_point"] is None


def test_the_query_reaches_no_forecast(small: StructurePrior, families: ms.TaskSet) -> None:
    batch = small.batch(families.select([1]))
    support = torch.zeros_like(batch.mask)
    support[:, :5] = True
    moved = type(batch)(
        batch.inputs,
        torch.where(support, batch.output, batch.output + 50.0),
        batch.mask,
        batch.covariates,
        batch.names,
    )
    for name, forecaster in small.forecasters(families.select([1])).items():
        one, two = (forecaster(these, support, ~support) for these in (batch, moved))
        torch.testing.assert_close(one.mean, two.mean, msg=name)
        torch.testing.assert_close(one.scale, two.scale, msg=name)


def test_evaluation_leaves_families_out_beside_baselines(small: StructurePrior, families: ms.TaskSet) -> None:
    result = evaluate(small, families, (0, 5), leave_out="family", folds=2, seeds=3)
    mae = {(row["method"], row["shots"]): row["mae"] for row in result["results"]}
    assert {method for method, _ in mae} == {
        "prior", "family mean", "ridge from scratch", "gradient boosting", "gradient boosting, shrunken offset",
    }  # fmt: skip
    assert mae["prior", 5] < mae["family mean", 5]
    assert mae["prior", 5] < mae["prior", 0]
    assert mae["gradient boosting", 5] == mae["gradient boosting", 0]
    spread = {(row["method"], row["shots"]): row["mae_sd_over_seeds"] for row in result["results"]}
    assert spread["prior", 5] > 0
    # intervals of nine in ten: on so few families within a fifth
    assert all(0.7 <= row["coverage90"] <= 1.0 for row in result["results"] if row["method"] == "prior")


def test_baselines_do_what_their_names_say() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    group = np.repeat(np.arange(4), 15)
    known = Known(x, 2, 3.0 * x[:, 0] + 5.0 * group, group)
    made = baselines(known)
    seen = np.arange(15) < 4
    values = 3.0 * x[:15, 0] + 100.0
    mean, _ = made["family mean"](x[:15], values, seen)
    assert mean[0] == pytest.approx(values[:4].mean())
    plain, _ = made["gradient boosting"](x[:15], values, seen)
    shifted, _ = made["gradient boosting, shrunken offset"](x[:15], values, seen)
    off = (values - plain)[:4].mean()
    assert 0.0 < (shifted - plain)[0] / off < 1.0
    assert np.ptp(shifted - plain) < 1e-9


def test_an_outlook_without_noise_passes_through_its_measurements() -> None:
    outlook = Outlook(torch.zeros(2).double(), torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double(), 0.0)
    after = outlook.given(torch.tensor([True, False]), torch.tensor([2.0, 0.0]).double())
    torch.testing.assert_close(after.mean, torch.tensor([2.0, 1.0]).double())
    torch.testing.assert_close(after.covariance.diagonal(), torch.tensor([0.0, 0.75]).double())


STRENGTHS = Card(
    "strengths", task=("system",), compilation=True, without_copies=True,
    columns=(
        Column("system", "system", "task", of="formula"),
        Column("FORMULA", "formula", "input", "1", kind="formula"),
        Column("T", "temperature", "input", "degC"),
        Column("how", "processing", "input", "1", codes={"unknown": 0, "CAST": 1, "WROUGHT": 2}),
        Column("YS", "yield_strength", "output", "MPa"),
    ),
)  # fmt: skip


def test_families_are_said_by_structures_where_the_table_does_not() -> None:
    rows = pd.DataFrame(
        {
            "FORMULA": ["CoNi", "Ni2 Co1", "AlNi", "CoNi"],
            "T": [25, 25, 25, 600],
            "YS": [300, 320, 500, np.nan],
        }
    )
    tasks = ms.TaskSet.from_frame(rows, STRENGTHS)
    assert tasks.names == ("Co-Ni", "Al-Ni")
    assert tasks.groups("system").tolist() == ["Co-Ni", "Al-Ni"]
    assert tasks.counts.tolist() == [2, 1]  # the row without a strength is skipped
    told = ms.TaskSet.from_frame(rows.assign(task="mine"), STRENGTHS)
    assert told.names == ("mine",)
    salt = {"lattice": {"matrix": np.eye(3).tolist()}, "sites": [
        {"species": [{"element": name, "occu": 1}], "abc": [place] * 3} for name, place in (("Na", 0), ("Cl", 0.5))
    ]}  # fmt: skip
    assert family("crystal", json.dumps(salt)) == "Cl"
    with pytest.raises(InputError, match="smiles does not say its family"):
        family("smiles", "CCO")


def test_a_row_whose_family_cannot_be_said_is_named() -> None:
    rows = pd.DataFrame({"FORMULA": ["CoNi", ""], "T": [25, 25], "YS": [300, 320]})
    with pytest.raises(InputError, match="column 'FORMULA', row 1: the cell is empty"):
        ms.TaskSet.from_frame(rows, STRENGTHS)


def test_copies_are_taken_once_whatever_their_categories() -> None:
    rows = pd.DataFrame(
        {"FORMULA": ["CoNi", "NiCo", "CoNi", "CoNi"], "T": [25, 25, 600, 25], "YS": [300, 300, 300, 301],
         "how": ["CAST", "", "CAST", "CAST"]}
    )  # fmt: skip
    tasks = ms.TaskSet.from_frame(rows, STRENGTHS)
    assert sorted(tasks.to_frame()["yield_strength"]) == [300, 300, 301]


def test_the_card_of_a_prior_says_how_a_file_that_several_cards_describe_is_read() -> None:
    prior = ms.load("alloy_strength")
    tasks = ms.dataset("mpea", card=prior.card, model=alloy_strength)
    assert tasks.card.name == "alloy_systems"
    assert (len(tasks), int(tasks.counts.sum())) == (150, 1005)
    assert all(system == "-".join(sorted(system.split("-"))) for system in tasks.names)
    assert ms.dataset("mpea").card.task == ("FORMULA",)


def test_crystals_are_read_in_place_from_json() -> None:
    pytest.importorskip("ase")
    tasks = ms.dataset("phonons", model=phonon_peak)
    assert (len(tasks), int(tasks.counts.sum())) == (16, 1265)
    assert int(tasks.counts[tasks.names.index("O")]) == 351


def test_a_crystal_of_one_element_is_described_as_any_other() -> None:
    pytest.importorskip("ase")
    from metasci.materials.crystals import features

    def diamond(element: str, edge: float) -> str:
        half = edge / 2.0
        sites = [{"species": [{"element": element, "occu": 1}], "abc": [place] * 3} for place in (0.0, 0.25)]
        lattice = {"matrix": [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]}
        return json.dumps({"lattice": lattice, "sites": sites})

    described = features([diamond("Si", 5.43), diamond("Sn", 6.49)])
    assert described.counts[0].argmax() == 13
    assert described.counts.sum(1).tolist() == [1.0, 1.0]


def test_further_members_stay_in_the_family_they_are_said_to_be_of() -> None:
    rows = pd.DataFrame(
        {
            "task": "series",
            "formula": ["Al0.3CoNi", "CoNi"],
            "temperature [degC]": 25.0,
            "yield_strength [MPa]": [400, 250],
        }
    )
    fit = ms.load("alloy_strength").calibrate(rows)
    assert fit.batch.names == ("series",)
    assert fit.predict(["Al0.5CoNi", "Co2Ni"], temperature=300.0)["predicted"].notna().all()


def test_categories_are_descriptors_and_may_be_unknown() -> None:
    rows = pd.DataFrame(
        {
            "FORMULA": ["CoNi", "CoNi2", "Co2Ni"],
            "T": 25,
            "YS": [300, 301, 302],
            "how": ["WROUGHT", "CAST", ""],
        }
    )
    model = property_of(
        "formula", ms.Output("yield_strength", "MPa"), ms.Additive((1.0,)),
        {"temperature": ms.Input("K"), "processing": ms.Input("1")},
    )  # fmt: skip
    tasks = ms.TaskSet.from_frame(rows, STRENGTHS, model=model)
    assert points_of(tasks, model).descriptors[:, -2:].tolist() == [[0, 1], [1, 0], [0, 0]]
    untold = ms.TaskSet.from_frame(rows.drop(columns="how"), STRENGTHS, model=model)
    assert not points_of(untold, model).descriptors[:, -2:].any()
    assert tasks.to_frame()["processing"].tolist() == ["WROUGHT", "CAST", "unknown"]
    again = ms.TaskSet.from_frame(tasks.to_frame(), STRENGTHS, model=model)
    pd.testing.assert_frame_equal(again.to_frame(), tasks.to_frame())
    with pytest.raises(InputError, match="column 'how', row 2: 'FORGED' is none of unknown, CAST, WROUGHT"):
        ms.TaskSet.from_frame(rows.assign(how=["CAST", "CAST", "FORGED"]), STRENGTHS)


def test_a_prior_says_that_it_does_not_use_what_it_was_told() -> None:
    rows = pd.DataFrame({"formula": ["CoNi"], "temperature [degC]": [25.0], "yield_strength [MPa]": [300.0]})
    prior = ms.load("alloy_strength")
    assert prior.calibrate(rows).warnings == []
    told = prior.calibrate(rows.assign(processing="CAST"))
    assert "processing is told, but not used" in told.warnings[0]
    assert told.predictions["predicted"][0] == prior.calibrate(rows).predictions["predicted"][0]


def test_many_families_are_calibrated_some_at_a_time(
    small: StructurePrior, families: ms.TaskSet, tmp_path: Path
) -> None:
    import xarray as xr

    result = small.calibrate_many(families, chunk=2, out=tmp_path / "all.nc")
    assert result["task"].values.tolist() == list(families.names)
    for name in families.names[::2]:
        alone = small.calibrate(families.select([name])).predictions
        one = result.sel(task=name).isel(member=slice(len(alone)))
        assert one["molecule"].values.tolist() == alone["molecule"].tolist()
        np.testing.assert_allclose(one["predicted"], alone["predicted"])
        np.testing.assert_allclose(one["prior_upper"], alone["prior_upper"])
    stored = xr.load_dataset(tmp_path / "all.nc", engine="h5netcdf")
    np.testing.assert_array_equal(stored["lower"], result["lower"])
    assert stored["predicted"].attrs["units"] == "K"
    assert stored["molecule"].values[0, 0] == result["molecule"].values[0, 0]
    with pytest.raises(InputError, match="exists"):
        small.calibrate_many(families, out=tmp_path / "all.nc")


def test_a_property_of_ones_own_is_loaded_without_its_model(families: ms.TaskSet, tmp_path: Path) -> None:
    model = property_of_card("materials.mine", families.card, ms.LogNormal((0.1,)))
    prior = learn_structures(model, families, GroupProcess(members=4, iterations=3))
    again = ms.load(prior.save(tmp_path / "own"))
    assert again.model.name == "materials.mine"
    assert (again.model.inputs, again.model.output) == (model.inputs, model.output)
    assert isinstance(again.model.noise, ms.LogNormal)
    assert again.calibrate(ALDEHYDES).predictions["predicted"].notna().all()


@pytest.mark.parametrize("strength", [0.0, -350.0])
def test_a_strength_that_has_no_logarithm_is_refused(strength: float) -> None:
    rows = pd.DataFrame(
        {"formula": ["CoNi", "Co2Ni"], "temperature [degC]": 25.0, "yield_strength [MPa]": [300, strength]}
    )
    with pytest.raises(InputError, match=f"task 'Co-Ni': yield_strength {strength:g} MPa cannot be measured"):
        ms.load("alloy_strength").calibrate(rows)


def test_intervals_of_a_probability_in_percent_are_refused() -> None:
    fit = ms.load("boiling_point").calibrate(
        pd.DataFrame({"smiles": ["CCO"], "boiling_point [degC]": [78.0]})
    )
    with pytest.raises(InputError, match="level: 90 is not between 0 and 1"):
        fit.table(90)


CIF = """data_x
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""


@pytest.mark.parametrize(
    ("sites", "wrong"),
    [
        ("Na1 Na 0 0 0 0.6\nK1 K 0 0 0 0.4\nCl1 Cl 0.5 0.5 0.5 1.0", "Na 0.6, K 0.4"),
        ("Na1 Na 0 0 0 0.5\nCl1 Cl 0.5 0.5 0.5 1.0", "Na 0.5"),
        ("Na1 Na 0 0 0 1.0\nCl1 Cl 0.5 0.5 0.5 1.0", ""),
    ],
)
def test_a_site_that_is_partly_occupied_is_refused(tmp_path: Path, sites: str, wrong: str) -> None:
    pytest.importorskip("ase")
    path = tmp_path / "salt.cif"
    path.write_text(CIF.format(sites=sites))
    if not wrong:
        assert canonical("crystal", str(path)) == str(path)
        return
    with pytest.raises(InputError, match=rf"partly occupied \({wrong}\): give an ordered structure"):
        canonical("crystal", str(path))


def test_files_of_crystals_are_found_beside_their_table(tmp_path: Path) -> None:
    pytest.importorskip("ase")
    (tmp_path / "salt.cif").write_text(CIF.format(sites="Na1 Na 0 0 0 1.0\nCl1 Cl 0.5 0.5 0.5 1.0"))
    table = tmp_path / "mine.csv"
    columns = (
        Column("crystal", "crystal", "input", "1", kind="crystal"),
        Column("phonon_peak", "phonon_peak", "output", "1/cm"),
    )
    table.write_text("crystal,phonon_peak\nsalt.cif,300\n")
    tasks = ms.TaskSet.from_csv(table, Card("mine", columns=columns), phonon_peak)
    assert tasks.structures("crystal") == [str(tmp_path / "salt.cif")]
    table.write_text("crystal,phonon_peak\nsugar.cif,300\n")
    with pytest.raises(InputError, match=r"row 2: there is no CIF file 'sugar\.cif'"):
        ms.TaskSet.from_csv(table, Card("mine", columns=columns), phonon_peak)


def test_what_is_no_crystal_is_said() -> None:
    pytest.importorskip("ase")

    def crystal(size: float, *sites: tuple[str, float, float]) -> str:
        told = [{"species": [{"element": name, "occu": share}], "abc": [at] * 3} for name, share, at in sites]
        return json.dumps({"lattice": {"matrix": (size * np.eye(3)).tolist()}, "sites": told})

    salt = (("Na", 1.0, 0.0), ("Cl", 1.0, 0.5))
    assert np.isfinite(features("crystal", [crystal(4.0, *salt)]).descriptors).all()
    for text, wrong in (
        (crystal(4.0, ("Na", 0.5, 0.0), salt[1]), "partly occupied"),
        (crystal(4.0), "no atoms"),
        (crystal(0.0, *salt), "cell has no volume"),
        (crystal(float("nan"), *salt), "cell has no volume"),
    ):
        with pytest.raises(InputError, match=wrong):
            canonical("crystal", text)
    with pytest.raises(InputError, match="two atoms of the crystal ClNa lie at one place"):
        features("crystal", [crystal(4.0, salt[0], ("Cl", 1.0, 0.0))])


@pytest.mark.parametrize(
    ("kind", "text", "wrong"),
    [
        ("formula", "(CoCrNi)94Al3Ti3", "give each element its own amount"),
        ("formula", "Fe3+", "is not a formula"),
        ("smiles", "*CC", "an atom of no element"),
        ("smiles", "[Na+].[Cl-]", "of several molecules"),
    ],
)
def test_what_is_no_such_structure_is_said(kind: str, text: str, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        canonical(kind, text)


def test_conditions_of_further_members_are_read_with_their_units_and_told_apart() -> None:
    rows = pd.DataFrame(
        {"formula": ["CoNi", "CoNi2"], "temperature [degC]": 25.0, "yield_strength [MPa]": [300, 310]}
    )
    fit = ms.load("alloy_strength").calibrate(rows)
    plain = fit.predict(["CoNi3", "CoNi4"], temperature=[873.15, 973.15])
    for told in ([600, 700] * ms.unit("degC"), ["600 degC", "700 degC"]):
        pd.testing.assert_frame_equal(fit.predict(["CoNi3", "CoNi4"], temperature=told), plain)
    pd.testing.assert_frame_equal(fit.predict("CoNi3", temperature="600 degC"), plain.iloc[:1])
    for structures, conditions, wrong in (
        (["CoNi3"], {"temperature": [600.0, 700.0]}, "temperature: give one for all or one for each of 1"),
        (["CoNi3"], {"temperature": "600 kg"}, "cannot be converted to 'K'"),
        (["CoNi3"], {"temperature": 900.0, "pressure": 1.0}, "'pressure' is no condition"),
        (["CoNi3", "Xx"], {"temperature": 900.0}, "row 1: 'Xx' is not a formula"),
    ):
        with pytest.raises(InputError, match=wrong):
            fit.predict(structures, **conditions)
    water = ms.load("boiling_point").calibrate(
        pd.DataFrame({"smiles": ["CCO"], "boiling_point [degC]": [78.0]})
    )
    with pytest.raises(InputError, match="it takes no conditions"):
        water.predict(["CCCO"], temperature=300.0)


def test_a_process_keeps_the_names_that_its_tensors_have_in_files() -> None:
    prior = ms.load("boiling_point")
    shipped, _ = read_tensors(catalogue.shipped("models") / "boiling_point" / "prior.safetensors")
    assert set(prior.learned_state.tensors()) == set(shipped)
    assert all(torch.equal(value, shipped[name]) for name, value in prior.tensors().items())
    with pytest.warns(DeprecationWarning, match=r"state\.weights"):
        assert prior.state["weights"] is prior.learned_state.weights


def test_a_recipe_that_is_still_to_be_learned_says_so(families: ms.TaskSet) -> None:
    recipe = StructurePrior("recipe", boiling_point, GroupProcess(), None, families.card)
    with pytest.raises(ms.InputError, match="still to be learned"):
        recipe.calibrate(families.select([0]))
