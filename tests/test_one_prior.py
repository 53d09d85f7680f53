"""Priors of equations, families and networks are one: one set of verbs, one record, one reader."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import metasci as ms
from metasci import catalogue
from metasci.errors import InputError
from metasci.evaluation.evaluate import evaluate, who_was_left_out
from metasci.evaluation.protocol import Protocol
from metasci.files import tensors_checksum, write_folder
from metasci.meta.group_process import GroupProcess
from metasci.priors.base import AnyCalibration, AnyPrior
from metasci.priors.calibrated import Calibration, StructureCalibration
from metasci.priors.equation import Prior
from metasci.priors.families import StructurePrior, learn_structures
from metasci.priors.load import FORMATS, load
from metasci.priors.networks import NetworkPrior

KINDS = (Prior, StructurePrior, NetworkPrior)
CALIBRATIONS = (Calibration, StructureCalibration)


def verbs(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_") and name != "name"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_prior_has_every_verb_with_the_same_arguments(kind: type) -> None:
    for verb in verbs(AnyPrior):
        own, asked = (inspect.signature(inspect.getattr_static(one, verb).__func__
                      if isinstance(inspect.getattr_static(one, verb), classmethod) else getattr(one, verb))
                      for one in (kind, AnyPrior))  # fmt: skip
        missing = set(asked.parameters) - set(own.parameters) - {"conditions"}
        assert not missing, (verb, missing)
    assert FORMATS[kind.format] is kind  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_every_kind_of_calibration_has_every_verb(kind: type) -> None:
    assert verbs(AnyCalibration)
    assert not [verb for verb in verbs(AnyCalibration) if not hasattr(kind, verb)]


# one record --------------------------------------------------------------------------------------


def copied(name: str, tmp_path: Path) -> Path:
    folder = tmp_path / "prior"
    shutil.copytree(catalogue.shipped("models") / name, folder)
    return folder


def rewritten(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    description = json.loads((folder / "prior.json").read_text())
    change(description)
    (folder / "prior.json").write_text(json.dumps(description))


@pytest.mark.parametrize("name", ["theophylline", "boiling_point"])
def test_keys_may_stand_in_any_order(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    description = json.loads((folder / "prior.json").read_text())
    (folder / "prior.json").write_text(json.dumps(description, sort_keys=True))
    assert repr(load(folder)) == repr(load(name))


@pytest.mark.parametrize("name", ["theophylline", "boiling_point"])
def test_another_format_is_refused(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    rewritten(folder, lambda d: d.update(format=d["format"].replace("-1", "-9")))
    with pytest.raises(InputError, match=r"-9' is not known to this version"):
        load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_or_broken_folder_is_refused(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no learned prior in this folder"):
        kind.load(tmp_path / "nowhere")
    (tmp_path / "prior.json").write_text("{" * 100_000)
    with pytest.raises(InputError, match="not the description of a learned prior"):
        kind.load(tmp_path)
    (tmp_path / "prior.json").write_text(json.dumps({"format": kind.format}))
    with pytest.raises(InputError, match="not a readable safetensors file"):
        kind.load(tmp_path)


def test_a_prior_of_another_kind_is_not_taken_for_this_one() -> None:
    with pytest.raises(InputError, match="is not that of a StructurePrior"):
        StructurePrior.load(catalogue.shipped("models") / "theophylline")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.update(covariance=-t["covariance"]), "'covariance' is no covariance"),
        (lambda t: t["covariance"][0].neg_(), "'covariance' is no covariance"),
        (lambda t: t["covariance"].fill_(1.0), "'covariance' is no covariance"),
        (lambda t: t.update(widening=torch.tensor(torch.nan, dtype=torch.float64)), "not finite"),
        (lambda t: t.update(coefficients=t["coefficients"].float()), "float32 and not float64"),
        (lambda t: t.update(noise_shape=-t["noise_shape"]), "above zero"),
    ],
)
def test_tensors_that_cannot_be_what_they_say(change: Any, reason: str, tmp_path: Path) -> None:
    folder = copied("theophylline", tmp_path)
    stored = {name: value.clone() for name, value in load_file(folder / "prior.safetensors").items()}
    change(stored)
    save_file(stored, folder / "prior.safetensors")
    rewritten(folder, lambda d: d.pop("tensors_sha256"))
    with pytest.raises(InputError, match=reason) as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_tensors_of_another_prior_are_seen_by_their_checksum(tmp_path: Path) -> None:
    patients = ms.dataset("theophylline")
    for name, some in (("one", patients), ("other", patients.select(slice(0, 9)))):
        ms.meta_calibrate(ms.patients.one_compartment_oral, some, ms.GaussianPrior(iterations=2)).save(
            tmp_path / name
        )
    assert load(tmp_path / "one").training["tasks"] == 12
    shutil.copy(tmp_path / "other" / "prior.safetensors", tmp_path / "one" / "prior.safetensors")
    with pytest.raises(InputError, match=r"not the tensors that prior.json was written with"):
        load(tmp_path / "one")


def test_a_covariate_whose_unit_is_another_now_is_refused(tmp_path: Path) -> None:
    folder = copied("theophylline", tmp_path)
    rewritten(folder, lambda d: d["covariates"][0].update(unit="g"))
    with pytest.raises(InputError, match="learned with the unit 'g'"):
        load(folder)


_ODD = (None, 0, -1, 1.5, "x", [], {}, [1], True, float("nan"), 10**400, "[h,h]")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in _places(inner, (*path, key)))]


def refusal(folder: Path) -> str:
    """Why a prior is refused; empty where it is not."""
    try:
        load(folder)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["theophylline", "alloy_fatigue", "boiling_point"])
def test_whatever_stands_in_a_file_no_traceback_comes_of_it(name: str, tmp_path: Path) -> None:
    folder, chance = copied(name, tmp_path), random.Random(1)
    whole = json.loads((folder / "prior.json").read_text())
    refused = 0
    for _ in range(60):
        description = json.loads(json.dumps(whole))
        *way, last = chance.choice(_places(description)[1:])
        parent = functools.reduce(lambda inner, key: inner[key], way, description)
        if chance.random() < 0.3:
            del parent[last]
        else:
            parent[last] = chance.choice(_ODD)
        (folder / "prior.json").write_text(json.dumps(description))
        sentence = refusal(folder)
        refused += bool(sentence)
        assert not sentence or (str(folder) in sentence and "\n" not in sentence)
    assert refused > 15


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    class Odd:
        def items(self) -> Any:
            yield "a", b"1"
            raise OSError("full")

    with pytest.raises(InputError, match="full"):
        write_folder(tmp_path / "new", Odd())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    write_folder(tmp_path / "new", {"a": b"1", "b": b"2"})
    write_folder(tmp_path / "new", {"a": b"3"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {"a": b"3", "b": b"2"}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


# learning on top ----------------------------------------------------------------------------------


@ms.equation(
    inputs={"time": "h"}, output=("level", "1"), name="tests.straight_line", noise=ms.Additive((0.3,)),
    parameters=[ms.Parameter("intercept"), ms.Parameter("slope", "1/h")],
)  # fmt: skip
def line(time: Any, *, intercept: Any, slope: Any) -> Any:
    """A straight line."""
    return intercept + slope * time


def lines(tasks: int, points: Callable[[np.random.Generator], int]) -> ms.TaskSet:
    chance, rows = np.random.default_rng(0), []
    for task in range(tasks):
        intercept, slope = chance.normal(1.0, 0.5), chance.normal(-0.5, 0.4)
        for time in np.linspace(0.0, 2.0, points(chance)):
            rows.append((f"t{task}", time, intercept + slope * time + 0.3 * chance.normal()))
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "level"])
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(line), model=line)


def off(one: Prior, other: Prior) -> float:
    """By how much the populations of two priors differ, at most."""
    names = ("coefficients", "covariance", "design_covariance", "log_noise")
    return max(float((getattr(one.state, name) - getattr(other.state, name)).abs().max()) for name in names)


def test_learning_in_two_halves_is_learning_at_once_where_all_is_linear_and_alike(tmp_path: Path) -> None:
    tasks = lines(24, lambda chance: 5)
    method = ms.GaussianPrior(tolerance=1e-9, iterations=500)
    whole = ms.meta_calibrate(line, tasks, method)
    ms.meta_calibrate(line, tasks.select(slice(0, 12)), method).save(tmp_path)
    half = load(tmp_path, line)  # the old tasks are gone, their sums are in the file
    assert off(half, whole) > 1e-2
    both = half.update(tasks.select(slice(12, None)))
    assert off(both, whole) < 1e-6
    assert isinstance(both, Prior)
    assert both.training["tasks"] == 24
    assert both.training["measurements"] == 120
    thirds = ms.meta_calibrate(line, tasks.select(slice(0, 8)), method)
    for start in (8, 16):
        thirds = thirds.update(tasks.select(slice(start, start + 8)))
    assert off(thirds, whole) < 1e-6


def test_learning_in_two_halves_is_near_where_tasks_are_measured_unlike() -> None:
    tasks = lines(24, lambda chance: int(chance.integers(2, 8)))
    method = ms.GaussianPrior(tolerance=1e-6, iterations=500)
    whole = ms.meta_calibrate(line, tasks, method)
    half = ms.meta_calibrate(line, tasks.select(slice(0, 12)), method)
    assert off(half.update(tasks.select(slice(12, None))), whole) < 0.1 * off(half, whole)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (ms.GaussianPrior(iterations=2, task_noise=True), "noise of its own"),
        (ms.GaussianPrior(iterations=2, objective="marginal"), "marginal objective"),
        (ms.MAML(iterations=2), "learned by MAML"),
    ],
)
def test_priors_that_cannot_learn_on_top_say_so(method: Any, reason: str) -> None:
    tasks = lines(3, lambda chance: 3)
    with pytest.raises(InputError, match=reason) as caught:
        ms.meta_calibrate(line, tasks, method).update(tasks)
    assert "retrain" in str(caught.value)


def test_a_prior_saved_without_sums_says_so(tmp_path: Path) -> None:
    folder = copied("theophylline", tmp_path)
    stored = load_file(folder / "prior.safetensors")
    kept = {name: value.clone() for name, value in stored.items() if not name.startswith("seen/")}
    assert len(kept) < len(stored)
    save_file(kept, folder / "prior.safetensors")
    rewritten(folder, lambda d: d.pop("tensors_sha256"))
    with pytest.raises(InputError, match="without statistics"):
        load(folder).update(ms.dataset("theophylline"))


# faults mended ------------------------------------------------------------------------------------


def test_a_solver_of_ones_own_reports_its_local_error() -> None:
    from metasci.patients import michaelis_menten

    own = dataclasses.replace(michaelis_menten, name="tests.mine")
    silent = dataclasses.replace(own, solution=None)
    rows = pd.DataFrame(
        {"ID": 1, "TIME": [0.0, 1.0, 4.0, 12.0], "AMT": [300.0, 0, 0, 0], "DV": ["", 6.2, 5.5, 4.0],
         "EVID": [1, 0, 0, 0]}
    )  # fmt: skip
    tasks = ms.TaskSet.from_events(rows, own, units={"TIME": "h", "AMT": "mg", "DV": "mg/L"})
    assert len(tasks) == 1
    from metasci.fits.equation import EquationFit
    from metasci.meta.covariates import Covariates
    from metasci.meta.laplace.gaussian import GaussianPrior

    size, one = len(own.parameters), torch.ones((), dtype=torch.float64)
    nothing = torch.zeros(0, dtype=torch.float64)
    state = {
        "coefficients": torch.zeros(size, 1, dtype=torch.float64), "covariance": torch.eye(size, dtype=torch.float64),
        "design_covariance": torch.zeros(1, 1, dtype=torch.float64), "log_noise": -2.0 * one[None],
        "noise_shape": 1e8 * one,
    }  # fmt: skip
    covariates = Covariates((), (), nothing, nothing, nothing.reshape(0, 0))
    prior = Prior("mine", own, GaussianPrior(), state, covariates, tasks.card)
    error = EquationFit.of(prior, tasks).local_error
    assert error is not None
    assert 0.0 < float(error[0]) <= 1.0
    assert EquationFit.of(dataclasses.replace(prior, model=silent), tasks).local_error is None


def test_a_model_points_at_the_one_that_takes_doses() -> None:
    from metasci.patients import one_compartment_oral, one_compartment_oral_per_kilogram

    assert one_compartment_oral.after_doses is one_compartment_oral_per_kilogram
    assert one_compartment_oral.parameters == one_compartment_oral_per_kilogram.parameters


def test_a_course_runs_along_the_first_input_whatever_its_name() -> None:
    @ms.equation(
        inputs={"strain": "1", "temperature": "K"}, output=("stress", "MPa"), name="tests.hardening",
        parameters=[ms.Parameter("strength", "MPa", 500.0, positive=True)],
    )  # fmt: skip
    def hardening(strain: Any, temperature: Any, *, strength: Any) -> Any:
        return strength * strain**0.2 * (1.0 - temperature / 3000.0)

    frame = pd.DataFrame(
        {
            "task": ["a", "b", "b"],
            "strain": [0.1, 0.1, 0.2],
            "temperature [K]": 300.0,
            "stress [MPa]": [300.0, 310.0, 350.0],
        }
    )
    tasks = ms.TaskSet.from_frame(frame, ms.Card.from_model(hardening), model=hardening)
    fit = ms.meta_calibrate(hardening, tasks, ms.GaussianPrior(iterations=2)).calibrate(tasks.select(["a"]))
    with pytest.raises(InputError, match="say at which strain"):
        fit.predict(temperature=400.0)
    assert fit.predict(strain=0.2)["median"].shape == (1, 1)  # the temperature is the task's own


def test_an_empty_set_of_tasks_is_refused() -> None:
    for name, data in (("theophylline", "theophylline"), ("boiling_point", "boiling_points")):
        with pytest.raises(InputError, match="no task to calibrate"):
            load(name).calibrate(ms.dataset(data).select([]))


def test_a_row_says_which_tasks_it_is_not_of_and_why() -> None:
    tasks = lines(6, lambda chance: 6)
    short = tasks.dataset["level"].values.copy()
    short[0, 2:] = np.nan
    values = tasks.dataset.assign(level=tasks.dataset["level"].copy(data=short))
    values["time"] = values["time"].where(~np.isnan(short))
    fewer = ms.TaskSet.from_dataset(values, tasks.card, model=line)
    prior = ms.meta_calibrate(line, tasks, ms.GaussianPrior(iterations=2))
    protocol = Protocol(support="first", shots=(1, 3, 6), query="following")
    report = evaluate(prior, fewer, protocol=protocol)
    rows = {(row["method"], row["shots"]): row for row in report["results"]}
    assert {shots for _, shots in rows} == {1, 3, 6}
    assert (rows["prior", 1]["tasks"], rows["prior", 3]["tasks"], rows["prior", 6]["tasks"]) == (6, 5, 0)
    assert rows["prior", 3]["left_out"] == {"t0": "2 measurements give no support of 3"}
    assert set(rows["prior", 6]["left_out"]) == set(fewer.names)
    assert np.isnan(rows["prior", 6]["rmse"])
    assert np.isfinite(rows["prior", 3]["rmse"])
    told = "left out at 3 shots: t0 (2 measurements give no support of 3)"
    assert told in who_was_left_out(report)
    assert told in repr(report)
    assert told in report._repr_html_()


# families and networks ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def organic() -> ms.TaskSet:
    pytest.importorskip("rdkit")
    some = [
        "aliphatic thiol",
        "aliphatic iodide",
        "aliphatic ether",
        "aliphatic aldehyde",
        "aliphatic bromide",
    ]
    return ms.dataset("boiling_points").select(some)


def test_families_in_celsius_are_read_in_the_prior_s_unit(organic: ms.TaskSet) -> None:
    degrees = organic.dataset.copy()
    kelvin = degrees["boiling_point"]
    degrees["boiling_point"] = (kelvin - 273.15).assign_attrs({**kelvin.attrs, "units": "degC"})
    data = ms.TaskSet(degrees, organic.card).select(["aliphatic thiol"])
    found = load("boiling_point").calibrate(data).to_xarray()
    assert found["boiling_point"].attrs["units"] == "K"
    measured = kelvin.sel(task="aliphatic thiol").dropna("observation").values
    np.testing.assert_allclose(found["boiling_point"].values[0], measured)
    assert abs(found["boiling_point"] - found["predicted"]).max() < 20.0


def test_a_condition_in_celsius_is_read_in_kelvin() -> None:
    tasks = ms.dataset("alloy_systems").select([0])
    assert load("alloy_strength").calibrate(tasks).to_xarray()["temperature"].values[0, 0] == 298.15


def test_learning_structures_shows_its_progress_where_asked(
    organic: ms.TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metasci.materials.properties import boiling_point

    seen: list[tuple[str, int, bool]] = []

    class Bar:
        def __init__(self, title: str, total: int, show: bool) -> None:
            seen.append((title, total, show))

        def __enter__(self) -> Callable[[int], None]:
            return lambda iteration: seen.append(("done", iteration, True))

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr("metasci.priors.families.bar", Bar)
    recipe = StructurePrior("r", boiling_point, GroupProcess(members=3, iterations=2), None, organic.card)
    recipe.retrain(organic, progress=True)
    assert seen == [("Gaussian process over families", 2, True), ("done", 1, True), ("done", 2, True)]


def test_a_process_learns_new_families_on_top_as_if_all_had_come_at_once(organic: ms.TaskSet) -> None:
    from metasci.learned.places import points_of
    from metasci.materials.properties import boiling_point
    from metasci.meta.group_process import condensed

    method = GroupProcess(members=4, iterations=3)
    first, rest = organic.select(slice(0, 3)), organic.select(slice(3, None))
    old = learn_structures(boiling_point, first, method)
    new = old.update(rest)
    assert new.training["tasks"] == 5
    assert new.known is not None
    assert len(np.unique(new.known.group)) == 5
    # the closed form of all five, under the covariances of the first three
    batch, points = organic.batch(boiling_point), points_of(organic, boiling_point)
    seen = batch.mask
    group = torch.arange(5)[:, None].expand(seen.shape)[seen]
    state, learned = old.learned_state, new.learned_state
    target, seen_points = state.standard.target(batch.output[seen]), points.select(seen.ravel())
    weights, factor = condensed(
        state.standard.points(seen_points), target, group, state.members, state.covariance
    )
    torch.testing.assert_close(learned.weights, weights, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(learned.factor @ learned.factor.T, factor @ factor.T, rtol=1e-6, atol=1e-8)


@pytest.fixture(scope="module")
def networks(organic: ms.TaskSet) -> NetworkPrior:
    pytest.importorskip("torch_geometric")
    from metasci.learned.networks import NetworkMethod
    from metasci.learned.ways import WAYS
    from metasci.materials.architectures import Architecture
    from metasci.materials.properties import boiling_point
    from metasci.priors.networks import learn_networks

    ways = {
        name: dataclasses.replace(WAYS[name], iterations=8)
        for name in ("CAVIA, code of 8", "Gaussian-process head")
    }
    method = NetworkMethod(Architecture("smiles", width=8, layers=1), ways=ways, networks=2, parts=2, first=8)
    return learn_networks(boiling_point, organic, method)


def test_networks_are_saved_loaded_and_calibrate_like_every_prior(
    networks: NetworkPrior, tmp_path: Path
) -> None:
    networks.save(tmp_path / "mine")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["prior.json", "prior.safetensors"]
    again = load(tmp_path / "mine")
    assert isinstance(again, NetworkPrior)
    assert repr(again) == "NetworkPrior('boiling_points': materials.boiling_point, learned from 5 families)"
    assert again.method == networks.method
    rows = pd.DataFrame(
        {"smiles": ["CCCC#N", "CCCCC#N", "CCCCCC#N"], "boiling_point [degC]": [117.6, 141.3, None]}
    )
    fits = [prior.calibrate(rows) for prior in (networks, again)]
    pd.testing.assert_frame_equal(fits[0].table(), fits[1].table())
    table = fits[1].table()
    assert (table["lower"] < table["predicted"]).all()
    assert (table["predicted"] < table["upper"]).all()
    assert (table["lower"] < table["upper"]).all()
    wider = fits[1].table(0.99)
    assert (wider["upper"] - wider["lower"] > table["upper"] - table["lower"]).all()
    assert fits[1].warnings == fits[0].warnings
    fits[1].save(tmp_path / "fit")
    assert {path.name for path in (tmp_path / "fit").iterdir()} == set(fits[1].files)
    both = ms.dataset("boiling_points").select(["aliphatic nitrile", "aliphatic ketone"])
    many = again.calibrate_many(both, chunk=1)
    np.testing.assert_allclose(
        many["predicted"].sel(task="aliphatic ketone").dropna("member"),
        again.calibrate(both.select(["aliphatic ketone"])).to_xarray()["predicted"].values[0],
        rtol=1e-6,
    )


def test_what_a_file_of_networks_says_is_checked(networks: NetworkPrior, tmp_path: Path) -> None:
    networks.save(tmp_path)
    whole = json.loads((tmp_path / "prior.json").read_text())
    assert whole["tensors_sha256"] == tensors_checksum(load_file(tmp_path / "prior.safetensors"))
    for change, reason in (
        ({"architecture": {"structure": "smiles", "width": 16, "layers": 1}}, "another shape"),
        ({"architecture": {"structure": "smiles", "kind": "os.system"}}, "'os.system' is not known"),
        ({"architecture": {"structure": "smiles", "width": 10**9}}, "not between 1 and"),
        ({"ways": [{"name": "my own", "iterations": 1}]}, "way 'my own' is not known"),
        ({"networks": 3}, "is missing"),
        ({"beside": "everything"}, "'everything' is not one of"),
    ):
        described = {**whole, "method": {**whole["method"], **change}}
        (tmp_path / "prior.json").write_text(json.dumps(described))
        with pytest.raises(InputError, match=reason):
            load(tmp_path)


def test_a_way_of_ones_own_cannot_be_saved(networks: NetworkPrior, tmp_path: Path) -> None:
    way = dataclasses.replace(networks.method.ways["CAVIA, code of 8"], code=4)
    own = dataclasses.replace(networks, method=dataclasses.replace(networks.method, ways={"mine": way}))
    with pytest.raises(InputError, match="the way 'mine' is one of your own"):
        own.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
