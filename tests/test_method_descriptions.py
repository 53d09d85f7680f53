"""Methods by their names, as records in files, and the states that they learn."""

from __future__ import annotations

import dataclasses
import inspect
import json
from functools import partial

import pytest
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.meta import (
    Adam,
    Composed,
    Composition,
    Curvature,
    Descent,
    Exact,
    FirstOrder,
    GaussianState,
    GradientMethod,
    GradientState,
    Implicit,
    Learning,
    Momentum,
    RecurrentOptimiser,
    describe,
    method_from,
)
from metasci.meta.laplace.gaussian_state import KNOWN
from metasci.meta.step_sizes import RULES
from metasci.methods import METHODS, command_names, method_class, method_of_command

FLOAT = torch.float64

# as metasci 0.1.0 wrote them, when methods were one class
SEVENTEEN = {
    "kind": "GradientMethod", "name": "MAML", "steps": 5, "step_size": "learned", "per_parameter": False,
    "per_step": False, "rule": "descent", "gradient": "exact", "proximal": 0.0, "frozen": [], "penalty": 0.0,
    "learn_penalty": False, "shots": [1, 10], "support": "random", "iterations": 400, "learning_rate": 0.03,
    "effect_spread": 0.3, "segment": 0, "compile": False,
}  # fmt: skip
OLDER = [
    ({}, ms.MAML()),
    ({"segment": 2, "shots": [2, 3]}, ms.MAML(segment=2, shots=(2, 3))),
    ({"step_size": 0.02, "rule": "nesterov", "name": "mine"}, ms.MAML(step_size=0.02, rule="nesterov", label="mine")),
    ({"name": "FOMAML", "gradient": "first-order"}, ms.FOMAML()),
    ({"name": "Meta-SGD", "per_parameter": True, "per_step": True}, ms.MetaSGD(per_step=True)),
    ({"name": "Reptile", "step_size": "stable", "gradient": "reptile"}, ms.Reptile()),
    ({"name": "ANIL", "frozen": ["volume"]}, ms.ANIL(("volume",))),
    ({"name": "iMAML", "step_size": "stable", "gradient": "implicit", "proximal": 2.0}, ms.IMAML(proximal=2.0)),
    ({"name": "Meta-Curvature", "rule": "curvature"}, ms.MetaCurvature()),
    (
        {"name": "learned optimiser", "steps": 10, "rule": "recurrent", "gradient": "first-order"},
        ms.LearnedOptimiser(),
    ),
    ({"name": "pooled", "steps": 0, "step_size": "stable", "gradient": "joint"}, ms.Pooled()),
    ({"name": "fine-tuning", "step_size": "stable", "gradient": "joint"}, ms.FineTuning()),
    (
        {"name": "from scratch", "steps": 200, "step_size": 0.05, "rule": "adam", "gradient": "none"},
        ms.FromScratch(),
    ),
    (
        {"name": "pulled", "proximal": 0.7},
        Composed(Composition(Descent(1.0, "scalar"), 5, Exact(), proximal=0.7), label="pulled"),
    ),
    (
        {"name": "first-order Meta-SGD", "gradient": "first-order", "per_parameter": True},
        Composed(Composition(Descent(1.0, "parameter"), 5, FirstOrder()), label="first-order Meta-SGD"),
    ),
    (
        {"name": "whole", "rule": "recurrent", "steps": 3},
        Composed(Composition(RecurrentOptimiser(), 3, Exact(), trajectory=True), label="whole"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "method"), OLDER, ids=lambda part: getattr(part, "name", ""))
def test_descriptions_of_seventeen_fields_are_the_methods_that_they_were(fields, method) -> None:
    read = method_from({**SEVENTEEN, **fields})
    assert type(read) is type(method)
    assert read == method
    assert read.name == fields.get("name", "MAML")


@pytest.mark.parametrize(
    "method",
    [
        *(method for _, method in OLDER),
        ms.GaussianPrior(task_noise=True, shots=(2, 4)),
        Composed(Composition(Curvature(0.1), 2), stated=True),
        Composed(
            Composition(Descent(0.1, rule=Momentum), 2, Implicit("neumann"), proximal=1.0),
            learns=Learning.THROUGH_ADAPTATION,
        ),
    ],
    ids=lambda method: method.name,
)
def test_what_is_described_is_read_back_the_same(method) -> None:
    described = json.loads(json.dumps(describe(method)))
    assert described["kind"] == type(method).__name__
    assert method_from(described) == method


def test_a_rule_with_options_is_read_back() -> None:
    method = Composed(Composition(Descent(0.1, "scalar", rule=partial(Adam, epsilon=1e-3)), 2))
    rule = method_from(describe(method)).parts.rule.rule
    assert (rule.func, rule.keywords) == (Adam, {"epsilon": 1e-3})


def test_a_rule_of_ones_own_is_used_but_not_saved() -> None:
    method = Composed(Composition(Descent(0.1, rule=lambda sizes: Momentum(sizes, 0.5)), 2))
    assert "at 0x" not in repr(method)
    with pytest.raises(InputError, match="function is not one of the package's own"):
        describe(method)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"kind": "Evil"}, "'Evil' is not known"),
        ({}, "'None' is not known"),
        ({"kind": "MAML", "magic": 1}, "not the description of a MAML: it has no 'magic'"),
        ({"kind": "GradientMethod", "magic": 1}, "has no 'magic'"),
        ({"kind": "GradientMethod", "gradient": "evolution"}, "'evolution' is not known"),
        ({"kind": "GradientMethod", "rule": "newton"}, "'newton' is not known"),
        ({"kind": "MAML", "steps": "many"}, "steps: 'many' is no whole number"),
        ({"kind": "MAML", "step_size": -1.0}, "step_size"),
        (
            {"kind": "Composed", "parts": {"kind": "Popen", "args": ["rm"]}},
            "'Popen' of a method is not known",
        ),
        ({"kind": "Composed", "parts": {"kind": "Composition", "magic": 1}}, "description of a Composition"),
        ({"kind": "ANIL"}, "not the description of a ANIL"),
    ],
)
def test_what_is_not_known_is_refused_by_name(description, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        method_from(description, "prior.json")
    assert str(error.value).startswith("prior.json: ")


def test_one_list_names_every_method() -> None:
    from metasci.meta import baselines, methods

    listed = {method.name for method in METHODS}
    gradient = {*methods.__all__, *baselines.__all__} - {"ByDescent"}  # what several of them share
    assert listed == gradient | {"GaussianPrior", "DiscrepancyPrior"}
    assert listed <= set(ms.__all__)
    for method in METHODS:
        kind = method_class(method.name)
        assert getattr(ms, method.name) is kind
        assert kind.__name__ == method.name
        assert dataclasses.is_dataclass(kind)
    assert len(set(command_names())) == len(command_names()) == len(METHODS) - 1
    assert method_of_command("meta-sgd") is ms.MetaSGD


def test_methods_are_of_a_kind_with_arguments_that_an_editor_completes() -> None:
    assert isinstance(ms.MAML(), ms.MAML)
    assert isinstance(ms.FOMAML(), GradientMethod)
    assert not isinstance(ms.FOMAML(), ms.MAML)
    parameters = inspect.signature(ms.MAML).parameters
    assert list(parameters)[:2] == ["steps", "step_size"]
    assert {"rule", "penalty", "shots", "segment"} <= set(parameters)
    assert list(inspect.signature(ms.ANIL).parameters)[:3] == ["frozen", "steps", "step_size"]
    with pytest.raises(TypeError, match="stepps"):
        ms.MAML(stepps=3)


def test_compositions_say_what_the_names_mean() -> None:
    assert ms.MAML(3, 0.1).composition == Composition(Descent(0.1), 3, Exact())
    assert ms.MAML(rule="adam").composition.rule.rule is RULES["adam"]
    assert ms.FineTuning().training(0.1) == Composition(steps=0)
    assert ms.FromScratch().training(0.1) == Composition(steps=0, start_learned=False)
    assert ms.MAML().training(0.1) == ms.MAML().adaptation(0.1)
    assert ms.MAML().adaptation(0.1).rule.step_size == 0.1
    assert ms.MAML(label="short").name == "short"


def gaussian_tensors(covariates: int = 1) -> dict[str, torch.Tensor]:
    """What older files of two parameters hold."""
    return {
        "coefficients": torch.randn(2, 1 + covariates, dtype=FLOAT),
        "covariance": torch.eye(2, dtype=FLOAT),
        "design_covariance": torch.zeros(1 + covariates, 1 + covariates, dtype=FLOAT),
        "log_noise": torch.zeros(1, dtype=FLOAT),
        "noise_shape": torch.tensor(2.0, dtype=FLOAT),
    }


def test_a_gaussian_state_is_its_tensors() -> None:
    full = {
        **gaussian_tensors(), "spread_freedom": torch.tensor(9.0), "noise_freedom": torch.tensor(40.0),
        "widening": torch.tensor(1.5), "relevance": torch.ones(1), "change": torch.tensor(0.1),
        "refined": torch.tensor(2.0), "iteration": torch.tensor(9.0), "noise_precision": torch.ones(3),
        "coordinates": torch.zeros(3, 2), "outer/first/factor": torch.ones(2, 2),
    }  # fmt: skip
    state = GaussianState.of(full)
    tensors = state.tensors()
    assert tensors.keys() == full.keys()
    assert all(tensors[name] is value for name, value in full.items())
    assert set(full) - set(state.lasting().tensors()) == {
        "noise_precision",
        "coordinates",
        "outer/first/factor",
    }
    older = GaussianState.of(gaussian_tensors())
    assert float(older.widening) == 1.0
    assert float(older.spread_freedom) == float(older.noise_freedom) == KNOWN
    assert older.shapes(2, 1, 1) == {name: tuple(value.shape) for name, value in gaussian_tensors().items()}


def test_a_gradient_state_is_its_tensors() -> None:
    full = {
        "mean": torch.zeros(2), "effects": torch.zeros(2, 1), "log_noise": torch.zeros(1), "rule/rate": torch.zeros(()),
        "first_step": torch.tensor(0.1), "iteration": torch.tensor(3.0), "implied_precision": torch.eye(2),
        "outer/first/mean": torch.ones(2),
    }  # fmt: skip
    state = GradientState.of(full)
    tensors = state.tensors()
    assert tensors.keys() == full.keys()
    assert all(tensors[name] is value for name, value in full.items())
    assert set(state.of_rule) == {"rate"}
    assert set(state.beside_rule) == {"mean", "effects", "log_noise"}
    assert "outer/first/mean" not in state.lasting().tensors()
    assert float(state.with_learned(mean=torch.ones(2)).mean.sum()) == 2.0
    assert ms.MAML().shapes(2, 1, 1, 0) == {
        name: tuple(full[name].shape) for name in ("mean", "effects", "log_noise", "first_step", "rule/rate")
    }


def test_reading_a_state_by_names_still_works_and_says_what_to_write() -> None:
    prior = ms.load("theophylline")
    with pytest.warns(DeprecationWarning, match=r"write state\.log_noise"):
        assert prior.state["log_noise"] is prior.state.log_noise
    assert "covariance" in prior.state
    with pytest.warns(DeprecationWarning, match="goes"):
        moved = {**prior.state, "log_noise": prior.state.log_noise + 1.0}
    changed = dataclasses.replace(prior, state=moved)
    assert isinstance(changed.state, GaussianState)
    assert float(changed.state.log_noise[0]) == float(prior.state.log_noise[0]) + 1.0


def test_the_old_name_of_learnable_rules_says_the_new() -> None:
    with pytest.warns(DeprecationWarning, match="LearnableRule"):
        assert ms.meta.RuleFamily is ms.meta.LearnableRule
    assert not hasattr(ms.meta, "RuleFamly")


def test_a_momentum_that_adds_up_gets_a_smaller_stable_step() -> None:
    tasks, model = ms.dataset("theophylline"), ms.patients.one_compartment_oral
    steps = [
        float(ms.meta_calibrate(model, tasks, ms.MAML(2, "stable", rule=rule, iterations=1)).state.first_step)
        for rule in ("descent", "momentum", "nesterov")
    ]
    assert steps[1:] == pytest.approx([0.1 * steps[0]] * 2, rel=1e-12)


@pytest.mark.parametrize("number", [10**19, 10**400])
def test_a_whole_number_that_no_tensor_holds_is_refused(number: int) -> None:
    told = {**describe(ms.GaussianPrior()), "penalty": number}
    with pytest.raises(InputError, match="penalty"):
        method_from(told)
