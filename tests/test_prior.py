"""Priors: saved and loaded to the bit, read without trust, and calibrating whatever form the data have."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from known import as_known
from safetensors.torch import load_file, save_file
from scipy import stats

import metasci as ms
from metasci import catalogue
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.library import find
from metasci.math import exp
from metasci.meta import FOMAML, MAML, GaussianPrior, MetaSGD
from metasci.model import Model
from metasci.noise import Combined, LogNormal, Proportional
from metasci.parameters import Parameter, ParameterSpace
from metasci.priors.equation import Prior, meta_calibrate
from metasci.priors.load import load

ORAL = find("patients.one_compartment_oral")
CRACK = find("kinetics.crack_growth")
SHIPPED = ("alloy_fatigue", "phenobarbital", "steel_tempering", "theophylline")


@pytest.fixture(scope="module")
def patients() -> TaskSet:
    return ms.dataset("theophylline")


@pytest.fixture(scope="module")
def cracks() -> TaskSet:
    return ms.dataset("alloy_fatigue")


@pytest.fixture(scope="module")
def prior() -> Prior:
    return load("theophylline")


def same(first: xr.Dataset, second: xr.Dataset) -> None:
    """The same numbers to the bit."""
    xr.testing.assert_identical(first, second)


# what is saved comes back -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        GaussianPrior(iterations=5),
        GaussianPrior(iterations=5, task_noise=True, regularisation=1.0),
        GaussianPrior(iterations=3, penalty=0.5),
        MAML(iterations=3, shots=(2, 4)),
        FOMAML(iterations=3),
        MetaSGD(iterations=3, penalty=0.1),
    ],
    ids=["gaussian", "task noise", "penalty", "MAML", "FOMAML", "Meta-SGD"],
)
def test_a_saved_prior_calibrates_to_the_same_bits(method: Any, patients: TaskSet, tmp_path: Path) -> None:
    learned = meta_calibrate(ORAL, patients, method, seed=3)
    again = load(learned.save(tmp_path / "mine"))
    assert again.method == learned.method
    assert again.training == json.loads(json.dumps(learned.training))
    assert again.card == learned.card
    one, other = learned.calibrate(patients), again.calibrate(patients)
    same(one.to_xarray(), other.to_xarray())
    assert one.noise == other.noise
    same(one.predict(time=[1.0, 30.0]), other.predict(time=[1.0, 30.0]))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["prior.json", "prior.safetensors"]


@pytest.mark.parametrize("noise", [Combined((0.2, 0.1)), LogNormal((0.05,)), Proportional((0.03,))])
def test_the_noise_that_was_learned_under_comes_back(noise: Any, cracks: TaskSet, tmp_path: Path) -> None:
    """The model by that name in the package has another noise; the prior's own must win."""
    learned = meta_calibrate(CRACK.with_noise(noise), cracks, GaussianPrior(iterations=3))
    again = load(learned.save(tmp_path))
    assert again.model.noise == noise
    few = cracks.select(["1", "7"])
    same(learned.calibrate(few).to_xarray(), again.calibrate(few).to_xarray())


def test_the_same_seed_learns_the_same_bits(patients: TaskSet) -> None:
    one, same_, other = (meta_calibrate(ORAL, patients, MAML(iterations=3), seed=seed) for seed in (1, 1, 2))
    tensors, again = one.state.tensors(), same_.state.tensors()
    assert all(torch.equal(value, again[name]) for name, value in tensors.items())
    assert not torch.equal(one.state.mean, other.state.mean)
    assert one.retrain(patients).state.mean.equal(one.state.mean)
    assert one.retrain(patients, seed=2).state.mean.equal(other.state.mean)


def test_saving_holds_nothing_of_single_tasks_and_no_pickle(patients: TaskSet, tmp_path: Path) -> None:
    meta_calibrate(ORAL, patients, GaussianPrior(iterations=2, task_noise=True)).save(tmp_path)
    stored = load_file(tmp_path / "prior.safetensors")
    assert not any(len(patients) in value.shape for value in stored.values())
    content = (tmp_path / "prior.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header) == {*stored, "__metadata__"}
    assert b"pickle" not in content


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_priors_load_and_say_what_they_are(name: str) -> None:
    shipped = load(name)
    assert shipped.name == name
    assert isinstance(shipped.method, GaussianPrior)
    assert len(shipped.training["data_sha256"]) == 64
    assert shipped.training["data_sha256"] == shipped.card.sha256
    assert shipped.training["left_out_as_not_finite"] == {}


# what is not a prior is refused -----------------------------------------------------------------


def edit(**changes: Any) -> Callable[[Path], None]:
    """Replace keys of prior.json; None takes one away."""

    def spoil(folder: Path) -> None:
        description = json.loads((folder / "prior.json").read_text())
        kept = {**description, **changes}
        (folder / "prior.json").write_text(json.dumps({k: v for k, v in kept.items() if v is not None}))

    return spoil


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        stored = {name: value.clone() for name, value in load_file(folder / "prior.safetensors").items()}
        change(stored)
        save_file(stored, folder / "prior.safetensors")
        edit(tensors_sha256=None)(folder)

    return spoil


def first_parameter(folder: Path, **changes: Any) -> None:
    description = json.loads((folder / "prior.json").read_text())
    description["parameters"][0].update(changes)
    (folder / "prior.json").write_text(json.dumps(description))


KEYS = ("format", "name", "model", "method", "parameters", "noise", "covariates", "training", "data")
SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no prior.json": (lambda f: (f / "prior.json").unlink(), "no learned prior"),
    "cut short": (lambda f: (f / "prior.json").write_text('{"format'), "not the description"),
    "a list": (lambda f: (f / "prior.json").write_text("[]"), "not the description"),
    "empty": (lambda f: (f / "prior.json").write_text(""), "not the description"),
    "binary": (lambda f: (f / "prior.json").write_bytes(b"\xff\xfe\x00"), "not the description"),
    **{
        f"without {key}": (
            edit(**{key: None}),
            "not the description" if key == "format" else f"'{key}' is missing",
        )
        for key in KEYS
    },
    **{f"7 as {key}": (edit(**{key: 7}), "is not a (text|table|list)") for key in KEYS[1:]},
    "another format": (edit(format="metasci-prior-9"), "format 'metasci-prior-9' is not that of a Prior"),
    "another method": (edit(method={"kind": "Magic"}), "method 'Magic' is not known"),
    "another option": (edit(method={"kind": "GaussianPrior", "magic": 1}), "has no 'magic'"),
    "another noise": (edit(noise={"kind": "Pink", "scales": ["sd"]}), "noise 'Pink' is not known"),
    "another model": (edit(model="kinetics.crack_growth"), "the model has"),
    "another transform": (
        edit(covariates=[{"name": "weight", "unit": "kg", "transform": "cube"}]),
        "transform 'cube' is not known",
    ),
    "fewer covariates": (edit(covariates=[]), "another shape"),
    "another typical value": (lambda f: first_parameter(f, typical=2.5), "'absorption_rate' otherwise"),
    "another unit": (lambda f: first_parameter(f, unit="1/min"), "'absorption_rate' otherwise"),
    "another spread": (lambda f: first_parameter(f, spread=0.7), "'absorption_rate' otherwise"),
    "another name": (lambda f: first_parameter(f, name="ka"), "the model has"),
    "no tensors": (lambda f: (f / "prior.safetensors").unlink(), "not a readable safetensors"),
    "half the tensors": (
        lambda f: (f / "prior.safetensors").write_bytes((f / "prior.safetensors").read_bytes()[:400]),
        "not a readable safetensors",
    ),
    "pickled tensors": (lambda f: torch.save({}, f / "prior.safetensors"), "not a readable safetensors"),
    **{
        f"no {name}": (tensors(lambda t, name=name: t.pop(name)), f"'{name}' is missing")
        for name in (
            "coefficients",
            "covariance",
            "design_covariance",
            "log_noise",
            "noise_shape",
            "covariates/scale",
        )
    },
    "another shape": (
        tensors(lambda t: t.update(coefficients=t["coefficients"][:2].clone())),
        "another shape",
    ),
    "NaN": (tensors(lambda t: t["coefficients"].fill_(torch.nan)), "not finite"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_prior_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "spoiled"
    shutil.copytree(catalogue.shipped("models") / "theophylline", folder)
    spoil, reason = SPOILED[case]
    spoil(folder)
    with pytest.raises(InputError) as caught:
        Prior.load(folder)
    sentence = str(caught.value)
    assert re.search(reason, sentence), sentence
    assert str(folder) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="no learned prior 'magic'; known are alloy_fatigue"):
        load("magic")


# a user's own equation --------------------------------------------------------------------------


def fading(name: str = "mine.fading", typical: float = 0.5) -> Model:
    """A model made by hand, so that nobody can look it up."""
    return Model(
        name=name,
        function=lambda time, start, rate: start * exp(-rate * time),
        inputs={"time": ms.Input("h", lower=0.0)},
        output=ms.Output("brightness", "1"),
        parameters=ParameterSpace(
            (Parameter("start", typical=1.0, positive=True), Parameter("rate", "1/h", typical, positive=True))
        ),
    )


def fading_tasks(count: int = 6, seed: int = 0) -> TaskSet:
    draw = np.random.default_rng(seed)
    time = np.array([0.0, 1.0, 2.0, 4.0])
    rows = [
        (f"lamp {task}", at, start * np.exp(-rate * at) + 0.3 * draw.normal())
        for task, (start, rate) in enumerate(np.exp(draw.normal(0.0, 0.3, (count, 2))) * [1.0, 0.5])
        for at in time
    ]
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "brightness"])
    return TaskSet.from_frame(frame, replace(Card.from_model(fading()), name="lamps"))


def test_a_prior_of_a_users_own_equation_needs_that_equation(tmp_path: Path) -> None:
    model, tasks = fading(), fading_tasks()
    learned = meta_calibrate(model, tasks)
    learned.save(tmp_path)
    with pytest.raises(
        InputError, match=r"'mine\.fading', which is not one of the package's own; load it with `model=`"
    ):
        load(tmp_path)
    again = load(tmp_path, model)
    same(again.calibrate(tasks).to_xarray(), learned.calibrate(tasks).to_xarray())
    with pytest.raises(InputError, match="declares the parameter 'rate' otherwise"):
        load(tmp_path, fading(typical=0.7))
    with pytest.raises(InputError, match="the model has"):
        load(tmp_path, CRACK)


# data in any form -------------------------------------------------------------------------------

ROWS = pd.DataFrame(
    {
        "time [h]": [1.0, 5.0, 9.0],
        "dose [mg/kg]": 4.0,
        "weight [kg]": 70.0,
        "concentration [mg/L]": [6.0, 7.0, 4.5],
    }
)


def test_file_frame_dataset_and_taskset_agree(prior: Prior, tmp_path: Path) -> None:
    path = tmp_path / "task.csv"
    ROWS.to_csv(path, index=False)
    from_path = prior.calibrate(path).to_xarray()
    same(prior.calibrate(str(path)).to_xarray(), from_path)
    same(prior.calibrate(ROWS).to_xarray(), from_path)
    tasks = prior.read(path)
    same(prior.calibrate(tasks).to_xarray(), from_path)
    same(prior.calibrate(tasks.dataset).to_xarray(), from_path)


def test_units_make_no_difference(prior: Prior) -> None:
    plain = prior.calibrate(ROWS)
    other = pd.DataFrame(
        {
            "time [min]": [60.0, 300.0, 540.0],
            "dose [g/kg]": 0.004,
            "weight [g]": 7e4,
            "concentration [ug/L]": [6e3, 7e3, 4.5e3],
        }
    )
    pd.testing.assert_frame_equal(prior.calibrate(other).parameters, plain.parameters, rtol=1e-9)
    dataset = prior.read(ROWS).dataset
    dataset["concentration"] = (dataset["concentration"] * 1000.0).assign_attrs(units="ug/L")
    scaled = prior.calibrate(TaskSet.from_dataset(dataset, prior.card))
    pd.testing.assert_frame_equal(scaled.parameters, plain.parameters, rtol=1e-9)
    pd.testing.assert_frame_equal(scaled.at_measurements(), plain.at_measurements(), rtol=1e-9)


def test_missing_covariates_widen_the_prior_and_are_told(prior: Prior) -> None:
    given, blank = prior.calibrate(ROWS), prior.calibrate(ROWS.drop(columns="weight [kg]"))
    before = torch.linalg.cholesky(given.adapted.start_covariance)
    inverse = torch.linalg.inv(before)
    ratio = torch.linalg.eigvalsh(inverse @ blank.adapted.start_covariance @ inverse.mT)
    assert float(ratio.max()) > 1.05
    assert float(ratio.min()) > 0.995  # but for where the weight lies among those seen
    assert given.warnings == []
    assert any("weight not given: the prior is wider" in warning for warning in blank.warnings)


def test_without_a_measurement_the_prior_stands(prior: Prior, patients: TaskSet) -> None:
    """An unmeasured patient is the typical one; shrinkage is 1 and the two predictions are one."""
    for each in (prior, load("steel_tempering"), meta_calibrate(ORAL, patients, MAML(iterations=2))):
        tasks = patients if each.model.name == ORAL.name else steels()
        dataset = tasks.dataset.copy(deep=True)
        dataset[tasks.card.output.name].values[...] = np.nan
        fit = each.calibrate(TaskSet.from_dataset(dataset, tasks.card))
        adapted = fit.adapted
        assert torch.equal(adapted.coordinates, adapted.start)
        torch.testing.assert_close(adapted.covariance, adapted.start_covariance, rtol=1e-9, atol=1e-12)
        assert adapted.converged.all()
        np.testing.assert_allclose(fit.parameters["shrinkage"], 1.0, rtol=1e-9)
        ahead = fit.predict(
            time="2 h", **({"temperature": 700.0} if "temperature" in each.model.inputs else {})
        )
        for now, before in (("median", "prior"), ("lower", "prior_lower"), ("upper", "prior_upper")):
            np.testing.assert_allclose(ahead[now], ahead[before], rtol=1e-9)


def steels() -> TaskSet:
    frame = pd.DataFrame(
        {
            "task": ["a", "a", "b"],
            "time [h]": [1.0, 2.0, 1.0],
            "temperature [degC]": [200.0, 500.0, 600.0],
            "carbon [percent]": [0.4, 0.4, 0.9],
            "hardness [HRC]": [52.0, 35.0, 30.0],
        }
    )
    return load("steel_tempering").read(frame)


def test_a_row_without_a_measurement_is_refused_unless_all_are_so(prior: Prior, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    ROWS.assign(**{"concentration [mg/L]": ["", *ROWS["concentration [mg/L]"][1:]]}).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"empty\.csv, column 'concentration \[mg/L\]', row 2: .*empty"):
        prior.calibrate(path)
    ROWS.assign(**{"concentration [mg/L]": ""}).to_csv(path, index=False)
    fit = prior.calibrate(path)
    assert fit.parameters["estimate"].tolist() == pytest.approx(fit.parameters["prior"].tolist(), rel=1e-6)
    assert any("nothing was measured" in warning for warning in fit.warnings)


def test_no_task_at_all(prior: Prior, patients: TaskSet) -> None:
    with pytest.raises(InputError, match="no task to calibrate"):
        prior.calibrate(patients.select([]))


@pytest.mark.parametrize("name", ["theophylline", "steel_tempering"])
def test_ten_thousand_tasks_are_what_each_alone_is(name: str, patients: TaskSet) -> None:
    """Tasks do not touch each other: neither their number nor the company they keep changes an estimate."""
    prior = load(name)
    few = patients if name == "theophylline" else steels()
    count = 10_000 if name == "theophylline" else 2_000
    many = few.dataset.isel(task=np.arange(count) % len(few)).assign_coords(
        task=[f"{i}" for i in range(count)]
    )
    found = prior.calibrate_many(TaskSet.from_dataset(many, few.card))
    assert found["estimate"].shape == (count, len(prior.model.parameters))
    alone = xr.concat([prior.calibrate_many(few.select([task])) for task in few.names], "task")
    for key in ("estimate", "lower", "upper", "prior_lower", "prior_upper", "shrinkage"):
        expected = alone[key].values[np.arange(count) % len(few)]
        np.testing.assert_allclose(found[key].values, expected, rtol=1e-6)


# learning ---------------------------------------------------------------------------------------


def test_learning_refuses_what_it_cannot_learn_from(patients: TaskSet, cracks: TaskSet) -> None:
    with pytest.raises(InputError, match="at least two tasks"):
        meta_calibrate(ORAL, patients.select(["1"]))
    with pytest.raises(InputError, match="no 'time'"):
        meta_calibrate(ORAL, cracks)
    with pytest.raises(InputError, match="no 'weigth'"):
        meta_calibrate(ORAL, patients, covariates=("weigth",))


def test_noise_that_cannot_have_made_a_measurement_is_refused(patients: TaskSet) -> None:
    """Nine patients start at exactly zero, which has no logarithm; and no proportional error at zero."""
    with pytest.raises(
        InputError, match="task '2': concentration 0 mg/L cannot be measured under LogNormal noise"
    ):
        meta_calibrate(ORAL.with_noise(LogNormal()), patients)
    with pytest.raises(
        InputError, match=r"nothing could be learned: .* Proportional noise gives no finite numbers"
    ):
        meta_calibrate(ORAL.with_noise(Proportional()), patients, GaussianPrior(iterations=2))


def test_learning_says_what_it_learned_from(patients: TaskSet) -> None:
    learned = meta_calibrate(ORAL, patients, GaussianPrior(iterations=1), name="mine", seed=5)
    assert learned.name == "mine"
    told = learned.training
    assert (told["seed"], told["tasks"], told["measurements"], told["iterations"]) == (5, 12, 132, 1)
    assert told["ranges"] == {"time": [0.0, 24.65], "dose": [3.1, 5.86]}
    assert told["data_sha256"] == patients.card.sha256


def test_a_prior_learned_from_data_in_other_units_is_the_same(patients: TaskSet) -> None:
    dataset = patients.dataset.copy()
    dataset["concentration"] = (dataset["concentration"] * 1000.0).assign_attrs(units="ug/L")
    dataset["time"] = (dataset["time"] * 60.0).assign_attrs(units="min")
    other = meta_calibrate(ORAL, TaskSet.from_dataset(dataset, patients.card), GaussianPrior(iterations=3))
    usual = meta_calibrate(ORAL, patients, GaussianPrior(iterations=3))
    torch.testing.assert_close(other.state.coefficients, usual.state.coefficients, rtol=1e-8, atol=1e-10)


# what a calibration says ------------------------------------------------------------------------


def test_estimates_lie_within_their_intervals_and_intervals_narrow(prior: Prior) -> None:
    table = prior.calibrate(ROWS).table(0.9)
    assert ((table["lower"] < table["estimate"]) & (table["estimate"] < table["upper"])).all()
    assert (table["shrinkage"] < 1.0).all()
    assert (table["upper"] - table["lower"] < table["prior_upper"] - table["prior_lower"]).all()
    half = prior.calibrate(ROWS).table(0.5)
    assert ((half["lower"] > table["lower"]) & (half["upper"] < table["upper"])).all()


def test_intervals_of_parameters_hold_as_much_of_the_mixture_as_they_say(prior: Prior) -> None:
    """Of the Gaussians, one for each level of what is not known of the scales, in the coordinate."""
    fit = prior.calibrate(ROWS)
    mixture, unit = fit.adapted.mixture, np.array([p.spread for p in prior.model.parameters])
    sd = mixture.covariance[:, 0].diagonal(dim1=1, dim2=2).sqrt().numpy()
    shift, weight = mixture.shift[:, 0].numpy(), mixture.weight.numpy()
    table = fit.table(0.9)
    assert len(weight) > 1
    for name, p in (("lower", 0.05), ("upper", 0.95)):
        off = np.log(table[name] / table["estimate"]).to_numpy() / unit
        np.testing.assert_allclose((weight * stats.norm.cdf((off - shift) / sd)).sum(0), p, atol=1e-9)


def test_predictions_are_asked_for_in_any_unit(prior: Prior) -> None:
    fit = as_known(prior).calibrate(
        ROWS
    )  # whose median is the curve at the estimate: proportional to the dose
    hours = fit.predict(time=[2.0, 8.0])
    for asked in ([2.0, 8.0] * ms.unit("h"), [120.0, 480.0] * ms.unit("min")):
        np.testing.assert_allclose(fit.predict(time=asked)["median"], hours["median"], rtol=1e-12)
    np.testing.assert_allclose(fit.predict(time="2 h")["median"], hours["median"][:, :1], rtol=1e-12)
    np.testing.assert_array_equal(fit.predict(time=["2 h", "120 min"])["time"], hours["time"][[0, 0]])
    assert hours["median"].attrs["units"] == "mg/L"
    grid = fit.predict(time=[[1.0], [2.0]], dose=[1.0, 2.0, 4.0])
    assert grid["median"].shape == (1, 2, 3)
    np.testing.assert_allclose(grid["median"][..., 1], 2.0 * grid["median"][..., 0], rtol=1e-9)
    for inner, outer in (
        ("lower", "curve_lower"),
        ("curve_lower", "median"),
        ("median", "curve_upper"),
        ("curve_upper", "upper"),
    ):
        assert (hours[inner] <= hours[outer]).all()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, r"say at which time \(h\)"),
        ({"time": "h2"}, "such as '2 h'"),
        ({"time": "soon"}, "such as '2 h'"),
        ({"time": "2 kg"}, "cannot be converted to 'h'"),
        ({"time": "2 parsnip"}, "'parsnip' is not a unit|such as '2 h'"),
        ({"time": ["a", "b"]}, "are not numbers in h"),
        ({"time": [1.0, np.nan]}, "must be finite and at least 0 h"),
        ({"time": -1.0}, "must be finite and at least 0 h"),
        ({"time": 1.0, "colour": 3.0}, "'colour' is not an input"),
    ],
)
def test_predictions_that_cannot_be_made(prior: Prior, asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        prior.calibrate(ROWS).predict(**asked)


def test_laws_are_kept_and_told(prior: Prior) -> None:
    laws = prior.calibrate(ROWS).laws()
    assert laws["law"].tolist() == ["not below zero"]
    assert laws["satisfied"].all()


def test_real_steels_from_three_readings() -> None:
    """Training steels, so no figure of merit: only that all ends meet on real rows."""
    prior, tasks = load("steel_tempering"), ms.dataset("steel_tempering")
    mean_squares = []
    for name in tasks.names:
        rows = tasks.select([name]).to_frame(units=True)
        told = np.linspace(2, len(rows) - 3, 3).astype(int)
        ahead = prior.calibrate(rows.iloc[told]).predict(
            time=rows["time [s]"].to_numpy(),
            temperature=rows["temperature [degC]"].to_numpy() * ms.unit("degC"),
        )
        off = ahead["median"].values[0] - rows["hardness [HRC]"].to_numpy()
        mean_squares.append(np.mean(off**2))
    assert np.sqrt(np.mean(mean_squares)) < 2.0


@pytest.mark.parametrize(
    ("name", "covariates"),
    [
        ("phenobarbital", {"weight": "1500 g", "apgar": 7}),
        ("remifentanil", {"weight": "70 kg", "age": "40 year"}),
        ("alloy_fatigue", {}),
    ],
)
def test_the_typical_task_is_the_prior_s_start(name: str, covariates: dict[str, object]) -> None:
    fit = ms.load(name).typical(**covariates)
    table = fit.parameters
    np.testing.assert_array_equal(table["estimate"], table["prior"])
    known = [list(fit.prior.covariates.names).index(key) for key in covariates]
    assert not bool(torch.isnan(fit.batch.covariates[0, known]).any())
    with pytest.raises(InputError, match="knows no covariate 'length'"):
        ms.load(name).typical(length=3)


def test_a_dataset_in_which_nobody_has_a_measurement_is_told_the_prior() -> None:
    prior, newborn = ms.load("phenobarbital"), ms.dataset("phenobarbital").select([0])
    untold = newborn.dataset.isel(observation=slice(0, 0))
    once = newborn.dataset.isel(observation=slice(0, 1))
    once["concentration"] = once["concentration"] * np.nan
    many, one = prior.calibrate_many(replace(newborn, dataset=untold)), prior.calibrate(untold)
    blank = prior.calibrate_many(replace(newborn, dataset=once))
    assert many["estimate"].values == pytest.approx(blank["estimate"].values, rel=1e-12)
    assert one.to_xarray()["estimate"].values == pytest.approx(many["estimate"].values, rel=1e-9)
