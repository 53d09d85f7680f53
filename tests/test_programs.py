"""Calibrators as programs: the same numbers as `calibrate`, without torch, and in files that say what they are."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from known import as_known

import metasci as ms
from metasci import math
from metasci.cli.main import run
from metasci.duals import Dual
from metasci.errors import InputError, MissingExtra
from metasci.fits.predictive import predictive
from metasci.meta.mixtures import mixture_quantile
from metasci.meta.problem import Problem
from metasci.programs import Program, Sizes, calibrator, given_of, onnx_bytes, settled
from metasci.programs.executorch_file import AsModule, taken
from metasci.programs.mixtures import mixture_quantiles
from metasci.programs.recording import Recorder
from metasci.programs.solving import inverse, solved


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: math.where(x > y, math.exp(x) - y**2, x / (1.0 + abs(y))),
        lambda x, y: math.maximum(x, y) * math.minimum(x, 0.3) + math.floor(4.0 * y) - math.sqrt(abs(x)),
        lambda x, y: math.expm1(1e-9 * x) * 1e9 + math.log1p(1e-9 * abs(y)) * 1e9 + math.tanh(x),
        lambda x, y: math.log1p(abs(x)) + math.expm1(-3.0 * abs(y)) + math.cos(x) + math.arccos(0.9 * math.tanh(y)),
        lambda x, y: math.sum(math.stack([x, 2.0 * y, x * 0.0 + 1.0])) + (x @ np.transpose(y, (1, 0)))[:, :1],
        lambda x, y: math.where((x != y) & ~(x >= 0.5) | (y <= 0.0), 1.0 * x[..., :1], y[:, None, 0]) ** 3 / (y + 9.0),
    ],
)  # fmt: skip
def test_what_is_recorded_is_what_numpy_computes(function):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(4, 5)), random.normal(size=(4, 5))
    recorder = Recorder()
    program = recorder.program(z=function(recorder.given("x", (4, 5)), recorder.given("y", (4, 5))))
    np.testing.assert_allclose(program.run({"x": x, "y": y})["z"], function(x, y), rtol=1e-13, atol=1e-15)


def test_duals_record_themselves():
    recorder = Recorder()
    x = recorder.given("x", (3,))
    moving = Dual(x, np.ones((1, 3)))
    slope = (math.exp(-moving) * moving / (1.0 + moving**2)).slope
    values = np.array([0.1, 1.0, 2.5])
    expected = np.exp(-values) * ((1 - values) / (1 + values**2) - 2 * values**2 / (1 + values**2) ** 2)
    np.testing.assert_allclose(recorder.program(d=slope).run({"x": values})["d"][0], expected, rtol=1e-12)


def test_elimination_is_exact():
    root = np.random.default_rng(1).normal(size=(3, 5, 5))
    matrix, right = root @ root.transpose(0, 2, 1) + np.eye(5), root[..., 0]
    np.testing.assert_allclose(
        solved(matrix, right), np.linalg.solve(matrix, right[..., None])[..., 0], rtol=1e-9
    )
    np.testing.assert_allclose(inverse(matrix), np.linalg.inv(matrix), rtol=1e-9, atol=1e-12)


def test_what_cannot_be_recorded_says_so():
    x = Recorder().given("x", (2,))
    for attempt in (lambda: bool(x[0]), lambda: float(x[0]), lambda: np.sort(x), lambda: np.arctan(x)):
        with pytest.raises(TypeError, match="recorded"):
            attempt()


def _compared(name, tasks, exact=False, covariates=None, width=11, data=None, steps=6):
    """The greatest difference of coordinates and of their covariance from `adapt`, over some tasks."""
    prior = ms.load(name)
    batch = prior.batch(prior.read(ms.dataset(data or name)))
    batch = batch.select(torch.tensor(tasks))
    batch = batch.trimmed(batch.mask & (batch.mask.cumsum(1) <= width))
    if covariates is not None:
        batch = replace(batch, covariates=covariates(batch.covariates))
    events = max([v.shape[-1] for k, v in batch.inputs.items() if k in prior.model.event_names] or [1])
    program = calibrator(prior, Sizes(width, width, events, steps=steps, exact=exact))
    adapted = prior.adapt(batch)
    differences = []
    for task in range(len(batch)):
        found = settled(program.run, given_of(prior, program, batch, task))
        differences.append(np.abs(found["coordinates"] - adapted.coordinates[task].numpy()).max())
        differences.append(np.abs(found["covariance"] - adapted.covariance[task].numpy()).max())
    return max(differences)


@pytest.mark.parametrize("exact", [False, True])
def test_the_estimate_is_that_of_calibrate(exact):
    assert _compared("theophylline", [0, 4], exact) < 1e-6


def test_a_search_that_creeps_says_so_and_arrives_with_more_steps(monkeypatch):
    # `calibrate` weighs where its rough search ended, a hundredth of a standard deviation away
    monkeypatch.setattr("metasci.meta.laplace.gaussian._ROUGH", 1e-9)
    assert _compared("theophylline", [8], steps=25) < 1e-6
    prior = ms.load("theophylline")
    batch = prior.batch(prior.read(ms.dataset("theophylline")))
    program = calibrator(prior, Sizes(11, 11))
    found = settled(program.run, given_of(prior, program, batch, 8))
    apart = np.abs(found["coordinates"] - prior.adapt(batch).coordinates[8].numpy()).max()
    assert 1e-6 < apart < 1e-4
    assert float(found["last_step"]) > apart


def test_doses_and_unknown_covariates():
    def some_unknown(values):
        return values.clone().index_put(
            (torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])), torch.tensor(torch.nan, dtype=values.dtype)
        )

    assert _compared("phenobarbital", [0, 1, 2], covariates=some_unknown, width=4) < 1e-6


def test_a_task_that_fits_badly_is_sought_on_and_arrives():
    assert _compared("alloy_fatigue", [0, 20], width=13) < 1e-6


def test_what_few_tasks_left_uncertain_of_noise_and_spread_goes_along():
    prior = ms.load("theophylline_early_noise")
    assert float(prior.state.spread_freedom) < 10.0
    assert _compared("theophylline_early_noise", [0, 1, 2], width=3, data="theophylline") < 1e-5


@pytest.mark.slow
def test_tasks_that_differ_in_their_noise():
    # what `calibrate` weighs is where its rough search ended, within 1e-2 standard deviations
    assert _compared("steel_tempering", [0, 3, 9], width=8) < 1e-5


def test_the_prediction_is_that_of_the_calibration():
    prior = as_known(ms.load("theophylline"))  # whose forecast is the curve at the estimate
    fit = prior.calibrate(ms.dataset("theophylline").select(["3"]))
    batch = prior.batch(prior.read(ms.dataset("theophylline").select(["3"])))
    program = calibrator(prior, Sizes(11, 11))
    found = settled(program.run, given_of(prior, program, batch))
    table = fit.parameters
    for name in ("estimate", "lower", "upper"):
        np.testing.assert_allclose(found[name], table[name], rtol=1e-6)
    line = Problem(prior.model, batch).linearise(fit.adapted.coordinates, fit.adapted.log_noise)
    curve = torch.einsum("toi,tij,toj->to", line.jacobian, fit.adapted.covariance, line.jacobian)
    np.testing.assert_allclose(found["prediction"], line.prediction[0], rtol=1e-6)
    np.testing.assert_allclose(found["curve_sd"], curve[0].sqrt(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found["reading_sd"], (curve + line.variance)[0].sqrt(), rtol=1e-6)
    residual = batch.output[0] - line.prediction[0]
    expected = (float((residual**2 / line.variance[0]).sum()) - 11) / 22**0.5
    assert float(found["misfit"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "data", "readings", "mixed"),
    [("theophylline_early_noise", "theophylline", 3, True), ("phenobarbital", "", 2, False)],
)
def test_intervals_of_readings_are_those_of_the_mixture_that_the_calibration_has(name, data, readings, mixed):
    prior = ms.load(name) if mixed else as_known(ms.load(name))
    batch = prior.batch(prior.read(ms.dataset(data or name))).select(torch.arange(3))
    mask = batch.mask & (torch.arange(batch.mask.shape[1]) < readings)
    adapted = prior.adapt(batch.with_mask(mask))
    lower, upper = predictive(Problem(prior.model, batch), adapted).interval(0.9)
    assert (adapted.mixture.weight.shape[0] > 1) == mixed
    events = max([v.shape[-1] for k, v in batch.inputs.items() if k in prior.model.event_names] or [1])
    program = calibrator(prior, Sizes(readings, batch.mask.shape[1], events))
    for task in range(3):
        given = given_of(prior, program, batch.with_mask(mask), task)
        for each in prior.model.inputs:
            given[f"query_{each}"] = batch.inputs[each].expand(batch.mask.shape)[task].numpy()
        found = settled(program.run, given)
        there = batch.mask[task].numpy()
        for key, expected in (("reading_lower", lower), ("reading_upper", upper)):
            np.testing.assert_allclose(found[key][there], expected[task].numpy()[there], rtol=1e-4, atol=1e-4)


def test_quantiles_of_a_mixture_in_operations_are_those_of_bisection():
    random = np.random.default_rng(0)
    for spread in (0.0, 0.5):
        weight = random.dirichlet(np.ones(7))[:, None]
        shift, sd = spread * random.normal(size=(7, 40)), np.exp(0.8 * random.normal(size=(7, 40)))
        found = mixture_quantiles(shift, sd, weight, 1.6448536269514722)
        for ours, probability in zip(found, (0.05, 0.95), strict=True):
            own = [torch.as_tensor(each)[:, None] for each in (shift, sd)]
            expected = mixture_quantile(*own, torch.as_tensor(weight), probability)[0]
            np.testing.assert_allclose(ours, expected, rtol=0.0, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "why"),
    [("quinidine", "differential equation"), ("epilepsy", "outcomes are no Gaussian measurements")],
)
def test_what_no_program_can_do_is_refused(name, why, tmp_path):
    with pytest.raises(InputError, match=why):
        ms.load(name).export(tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_too_many_measurements_and_limits_are_refused():
    prior = ms.load("theophylline")
    batch = prior.batch(prior.read(ms.dataset("theophylline")))
    program = calibrator(prior, Sizes(3, 3))
    with pytest.raises(InputError, match="11 measurements, and the program takes 3"):
        given_of(prior, program, batch)
    with pytest.raises(InputError, match="whole number from 1 to 10000, not 0"):
        Sizes(readings=0)
    with pytest.raises(InputError, match="the program needs 'output'"):
        program.run({})


def _in_onnxruntime(program: Program, given, precision="double"):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    session = runtime.InferenceSession(onnx_bytes(program, precision), providers=["CPUExecutionProvider"])
    kind = {"double": np.float64, "single": np.float32}[precision]
    fed = {name: value if value.dtype == bool else value.astype(kind) for name, value in given.items()}
    return dict(zip(program.results, session.run(None, fed), strict=True))


def test_onnxruntime_computes_the_same():
    prior = ms.load("theophylline")
    batch = prior.batch(prior.read(ms.dataset("theophylline")))
    program = calibrator(prior, Sizes(11, 11))
    given = given_of(prior, program, batch, 1)
    here, there = program.run(given), _in_onnxruntime(program, given)
    for name, value in here.items():
        np.testing.assert_allclose(there[name], value, rtol=1e-7, atol=1e-8, err_msg=name)


def test_the_inverse_cosine_has_all_its_digits():
    recorder = Recorder()
    program = recorder.program(y=np.arccos(recorder.given("x", (5,))))
    x = np.array([-0.99, -0.3, 0.0, 0.5, 0.999])
    np.testing.assert_allclose(_in_onnxruntime(program, {"x": x})["y"], np.arccos(x), rtol=1e-14)


def test_the_command_writes_a_file_that_says_what_it_is(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "calibrator.onnx"
    assert run(["export", "theophylline", str(path), "--readings", "4", "--steps", "2"]) == 0
    assert "kB" in capsys.readouterr().out
    model = onnx.load(path)
    notes = {each.key: each.value for each in model.metadata_props}
    assert json.loads(notes["parameters"])[2] == {"name": "volume", "unit": "L/kg"}
    assert json.loads(notes["covariates"]) == [{"name": "weight", "unit": "kg"}]
    assert "Boeckmann" in notes["source"]
    assert [each.name for each in model.graph.input][:4] == ["output", "mask", "covariates", "time"]
    with pytest.raises(InputError, match="precision"):
        ms.load("theophylline").export(path, precision="quarter")
    assert run(["export", "boiling_point", str(path)]) == 2


@pytest.mark.parametrize("name", ["theophylline_early_noise", "alloy_fatigue"])
def test_a_program_as_a_module_of_torch_gives_the_same_numbers(name):
    prior = ms.load(name)  # the second has no covariates, of which nothing is given
    batch = prior.batch(prior.read(ms.dataset(name.removesuffix("_early_noise"))))
    batch = batch.trimmed(batch.mask & (batch.mask.cumsum(1) <= 12))
    program = calibrator(prior, Sizes(12, 5))
    given = given_of(prior, program, batch)
    expected = program.run(given)
    tensors = [
        torch.as_tensor(np.asarray(given[each.name], bool if each.flags else float))
        for each in taken(program)
    ]
    assert (len(taken(program)) < len(program.given)) == (name == "alloy_fatigue")
    for name, found in zip(program.results, AsModule(program)(*tensors), strict=True):
        np.testing.assert_allclose(found, expected[name], rtol=1e-7, atol=1e-8)


def test_an_executorch_file_gives_the_same_numbers_and_says_its_order(tmp_path):
    runtime = pytest.importorskip(
        "executorch.runtime",
        reason="ExecuTorch files need the extra metasci-calibration[executorch]: executorch",
    )
    prior = ms.load("phenobarbital")
    sizes = Sizes(2, 2, 15, 1)
    path = prior.export(tmp_path / "x.pte", readings=2, queries=2, events=15, steps=1)
    told = json.loads((tmp_path / "x.pte.json").read_text())
    program = calibrator(prior, sizes)
    batch = prior.batch(prior.read(ms.dataset("phenobarbital"))).select(torch.tensor([0]))
    batch = batch.trimmed(batch.mask & (batch.mask.cumsum(1) <= 2))
    given = given_of(prior, program, batch)
    method = runtime.Runtime.get().load_program(path).load_method("forward")
    tensors = [
        torch.as_tensor(np.asarray(given[each["name"]], bool if each["flags"] else float))
        for each in told["given"]
    ]
    found = dict(zip(told["results"], method.execute(tensors), strict=True))
    for name, expected in program.run(given).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(InputError, match="'half' is not known"):
        prior.export(tmp_path / "y.pte", precision="half")


def test_without_executorch_its_file_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(MissingExtra, match=r"metasci-calibration\[executorch\]"):
        ms.load("theophylline").export(tmp_path / "x.pte")
    assert not list(tmp_path.iterdir())
