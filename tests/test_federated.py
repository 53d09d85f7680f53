"""Learning from sites: equal to learning in one place, and not led astray by bad answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci import federated
from metasci.errors import InputError
from metasci.federated.averaging import Averaging, vector_of
from metasci.federated.flower import heard_from
from metasci.federated.guarded import Privacy, SecureSum
from metasci.federated.learning import Federation, Heard, SideBySide, as_procedure, prior_of, reply
from metasci.federated.messages import packed, unpacked
from metasci.federated.procedure import Site
from metasci.meta import GaussianPrior
from metasci.meta.covariates import Covariates, covariate_moments, fault_of_moments
from metasci.outcomes import Bernoulli
from metasci.parameters import Parameter


@ms.equation(
    inputs={"x": "1"},
    output=("y", "1"),
    parameters=(Parameter("level", "1", 0.0, spread=1.0), Parameter("slope", "1", 0.0, spread=1.0)),
    covariates={"age": "1"},
    name="tests.federated_line",
)
def line(x, *, level, slope):
    """A line, linear in its coordinates."""
    return level + slope * x


CARD = ms.Card.from_dict(
    {
        "name": "lines",
        "simulated": True,
        "task": ["task"],
        "columns": [
            {"header": "task", "name": "task", "role": "task"},
            {"header": "x", "name": "x", "role": "input", "unit": "1"},
            {"header": "age", "name": "age", "role": "covariate", "unit": "1"},
            {"header": "y", "name": "y", "role": "output", "unit": "1"},
        ],
    }
)


def lines(tasks: int = 24, seed: int = 0) -> ms.TaskSet:
    """Simulated lines that differ by age, of three to seven measurements each."""
    random = np.random.default_rng(seed)
    rows = []
    for task in range(tasks):
        age = random.normal()
        level, slope = random.normal([1.0 + 0.5 * age, -1.0], [0.7, 0.3])
        for x in random.uniform(-1.0, 1.0, random.integers(3, 8)):
            rows.append((f"t{task:02d}", x, age, level + slope * x + 0.2 * random.normal()))
    return ms.TaskSet.from_frame(pd.DataFrame(rows, columns=["task", "x", "age", "y"]), CARD, model=line)


def shared(tasks: ms.TaskSet, sites: int = 4) -> dict[str, ms.TaskSet]:
    """Tasks dealt to sites of unequal size."""
    place = np.minimum(np.arange(len(tasks)) // 4, sites - 1)
    return {f"site {at}": tasks.select(place == at) for at in range(sites)}


def learned_by_hand(procedure, answerers, **options):
    """What a federation learns whose sites answer as they are told to."""
    return Federation(SideBySide(answerers), **options).run(procedure, line)


def honest(procedure, tasks):
    """Answerers of sites that do as they should."""
    return {
        name: (lambda question, number, site=Site(line, part): reply(procedure, site, question, number))
        for name, part in shared(tasks).items()
    }


@pytest.mark.parametrize(("covariates", "correlated"), [((), True), (("age",), False)])
def test_the_prior_of_sites_is_that_of_all_tasks_saved_and_learns_more_on_top(
    covariates, correlated, tmp_path
):
    method = GaussianPrior(tolerance=1e-9, iterations=400, regularisation=6.0, correlated=correlated)
    tasks = lines(18)
    sites = {"a": tasks.select(slice(0, 5)), "b": tasks.select(slice(5, 12))}
    apart = federated.learn(line, sites, method, covariates=covariates).prior
    together = ms.meta_calibrate(line, tasks.select(slice(0, 12)), method, covariates=covariates)
    for name in ("coefficients", "covariance", "log_noise", "design_covariance", "relevance"):
        one, other = getattr(apart.state, name), getattr(together.state, name)
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-8, msg=f"{name}: {one}, {other}")
    updated = ms.load(apart.save(tmp_path / "prior"), model=line).update(tasks.select(slice(12, 18)))
    again = ms.load(updated.save(tmp_path / "updated"), model=line)
    assert again.training["tasks"] == 18
    torch.testing.assert_close(again.seen.tensors(), updated.seen.tensors())


def test_moments_of_sites_standardise_covariates_as_all_values_do():
    random = np.random.default_rng(3)
    values = torch.tensor(random.lognormal(size=(20, 3)))
    values[2, 0] = values[5, 2] = values[7, 1] = torch.nan
    names, transforms = ("a", "b", "c"), ("identity", "log", "sqrt")
    parts = [covariate_moments(names, transforms, part) for part in values.split([3, 7, 10])]
    whole, summed = (
        Covariates.learn(names, transforms, values),
        Covariates.of_moments(names, transforms, parts),
    )
    for name in ("centre", "scale", "correlation"):
        torch.testing.assert_close(getattr(summed, name), getattr(whole, name), rtol=1e-10, atol=1e-10)


def test_yes_or_no_is_learned_from_sums_too():
    model = ms.equation(
        inputs={"x": "1"},
        output=("ill", "1"),
        parameters=(Parameter("log_odds", "1", 0.0, spread=1.0),),
        noise=Bernoulli(),
        name="tests.federated_odds",
    )(lambda x, *, log_odds: log_odds + x)
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"task": np.repeat([f"h{i}" for i in range(4)], 60), "x": random.normal(size=240)})
    odds = np.repeat(random.normal(1.0, 0.5, 4), 60) + frame["x"]
    frame["ill"] = (random.uniform(size=240) < 1.0 / (1.0 + np.exp(-odds))).astype(float)
    tasks = ms.TaskSet.from_frame(frame, ms.Card.from_model(model), model=model)
    sites = {name: tasks.select([name]) for name in tasks.names}
    method = GaussianPrior(iterations=6)
    prior = federated.learn(model, sites, method).prior
    one_site = federated.learn(model, {"all": tasks}, method).prior
    torch.testing.assert_close(prior.state.coefficients, one_site.state.coefficients, rtol=0.0, atol=1e-8)
    assert 0.5 < float(model.parameters.to_physical(prior.state.mean.numpy())["log_odds"]) < 1.5


@pytest.mark.parametrize("method", [ms.MAML, ms.FOMAML, ms.Reptile, ms.FineTuning])
def test_gradients_of_sites_are_the_gradient_of_all(method):
    """Weighted by tasks, and with supports that are all of the first measurements, so that draws are the same."""
    tasks = lines(8)
    steps = method(steps=2, step_size=0.01, iterations=3, support="first", shots=(2, 2), effect_spread=1e9)
    halves = {"a": tasks.select(slice(0, 5)), "b": tasks.select(slice(5, 8))}
    apart = federated.learn(line, halves, steps).prior
    together = federated.learn(line, {"all": tasks}, steps).prior
    torch.testing.assert_close(apart.state.mean, together.state.mean, rtol=0.0, atol=1e-10)
    assert float(apart.state.mean.abs().max()) > 1e-3


def test_maml_and_fomaml_send_as_many_bytes():
    sites = shared(lines(12))
    runs = [
        federated.learn(line, sites, method(steps=2, step_size=0.01, iterations=2)).frame
        for method in (ms.MAML, ms.FOMAML)
    ]
    assert runs[0]["bytes_up"].tolist() == runs[1]["bytes_up"].tolist()
    assert runs[0]["bytes_down"].tolist() == runs[1]["bytes_down"].tolist()
    question = packed({"mean": torch.zeros(2, dtype=torch.float64)})
    assert unpacked(question)["mean"].tolist() == [0.0, 0.0]


def test_averaged_weights_after_one_local_step_of_descent_are_a_step_along_the_average_gradient():
    sites = shared(lines(16))
    method = ms.Reptile(steps=2, step_size=0.01, iterations=1, support="first", shots=(2, 2))
    by_weights = federated.learn(line, sites, federated.ByWeights(method, local_steps=1)).prior
    by_gradients = federated.learn(line, sites, method).prior
    torch.testing.assert_close(by_weights.state.mean, by_gradients.state.mean, rtol=0.0, atol=1e-9)


def _lie(change):
    def told(answer):
        tensors = unpacked(answer)
        return packed({**tensors, **change(tensors)})

    return told


LIES = {
    "not finite": (_lie(lambda told: {"across": told["across"] * torch.nan}), "not finite"),
    "a part scaled": (_lie(lambda told: {"across": 100.0 * told["across"]}), "those of no tasks"),
    "all moved": (
        _lie(lambda told: {"across": told["across"] * 50.0, "products": told["products"] * 50.0**2}),
        "would move",
    ),
    "more tasks": (_lie(lambda told: {name: 100.0 * told[name] for name in told}), "and said 4 before"),
    "other names": (lambda answer: packed({"weights": torch.ones(3)}), "is missing"),
    "no tensors": (lambda answer: b"0" * 40, "no set of tensors"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_site_that_lies_is_left_out_and_the_others_go_on(lie):
    tell, why = LIES[lie]
    procedure, tasks = as_procedure(GaussianPrior(iterations=3)), lines(16)
    answerers = honest(procedure, tasks)
    liar = answerers["site 3"]
    answerers["site 3"] = lambda question, number: (tell if number else bytes)(liar(question, number))
    state, rounds = learned_by_hand(procedure, answerers)
    assert all(why in each.left_out["site 3"] for each in rounds[1:])
    assert not rounds[0].left_out
    others = {name: part for name, part in shared(tasks).items() if name != "site 3"}
    expected = federated.learn(line, others, procedure).prior.state
    torch.testing.assert_close(state.state.coefficients, expected.coefficients, rtol=0.0, atol=1e-9)
    prior = prior_of(procedure, line, state, CARD, "lines", rounds)
    assert prior.training["sites_left_out_at_times"] == ["site 3"]


FALSE_INTRODUCTIONS = {
    "nothing": (lambda answer: b"", "no set of tensors"),
    "a part is missing": (
        lambda answer: packed({"tasks": torch.ones((), dtype=torch.float64)}),
        "is missing",
    ),
    "no tasks": (_lie(lambda told: {"tasks": -told["tasks"]}), "counts no tasks"),
    "endless tasks": (_lie(lambda told: {"tasks": told["tasks"] * 1e300}), "counts no tasks"),
    "another shape": (_lie(lambda told: {"known": torch.ones(3, 3, dtype=torch.float64)}), "has the shape"),
    "whole numbers": (_lie(lambda told: {"tasks": told["tasks"].long()}), "int64 and not float64"),
    "too many bytes": (_lie(lambda told: {"tasks": torch.ones(10**5)}), "at most"),
    "a text": (lambda answer: "tensors", "no set of tensors"),
}


@pytest.mark.parametrize("lie", FALSE_INTRODUCTIONS)
@pytest.mark.parametrize(
    "method", [GaussianPrior(iterations=1), ms.FOMAML(steps=1, step_size=0.01, iterations=1)]
)
def test_a_site_that_introduces_itself_falsely_is_left_out(lie, method):
    tell, why = FALSE_INTRODUCTIONS[lie]
    procedure = as_procedure(method)
    answerers = honest(procedure, lines(16))
    liar = answerers["site 3"]
    answerers["site 3"] = lambda question, number: (
        liar(question, number) if number else tell(liar(question, 0))
    )
    _, rounds = learned_by_hand(procedure, answerers)
    assert why in rounds[0].left_out["site 3"]


def test_covariates_that_no_tasks_have_are_seen():
    values = torch.tensor([[1.0], [2.0], [torch.nan]], dtype=torch.float64)
    moments = covariate_moments(("x",), ("identity",), values)
    assert not fault_of_moments(moments)
    for name, factor in (("known", 3.0), ("sums", 2.0), ("products", 0.1)):
        assert fault_of_moments({**moments, name: factor * moments[name]})


def test_what_a_node_sends_is_a_site_s_message_or_none():
    sound = {"site": "A", "answer": b"x", "seconds": 0.5}
    assert heard_from({"metasci": sound}) == ("A", Heard(b"x", 0.5))
    for change in (
        {"site": "a" * 81},
        {"site": "a\x1b"},
        {"answer": "x"},
        {"seconds": float("nan")},
        {"seconds": "x"},
    ):
        name, heard = heard_from({"metasci": {**sound, **change}})
        assert not name
        assert heard.why_not
    assert heard_from({})[1].why_not


def test_a_site_that_dies_is_left_out_and_too_many_are_told_of():
    procedure, tasks = as_procedure(GaussianPrior(iterations=4)), lines(16)
    answerers = honest(procedure, tasks)

    def dying(question, number):
        if number > 2:
            raise ConnectionError("the line is dead")
        return answerers["site 1"](question, number)

    state, rounds = learned_by_hand(procedure, {**answerers, "site 1": dying})
    assert "the line is dead" in rounds[-1].left_out["site 1"]
    assert bool(torch.isfinite(state.state.coefficients).all())
    dead = dict.fromkeys(("site 1", "site 2", "site 3"), dying)
    with pytest.raises(InputError, match=r"round 3: only 1 of 4 sites .*the line is dead"):
        learned_by_hand(procedure, {**answerers, **dead})


def test_what_cannot_be_learned_from_sums_is_refused():
    sites = shared(lines(12))
    with pytest.raises(InputError, match="marginal objective"):
        federated.learn(line, sites, GaussianPrior(objective="marginal"))
    with pytest.raises(InputError, match="no sites"):
        federated.learn(line, {})
    with pytest.raises(InputError, match="no sites' sums"):
        federated.combine([])
    prior = ms.meta_calibrate(line, lines(12), covariates=())
    other = ms.meta_calibrate(line, lines(12, seed=2), covariates=())
    sums = [federated.site_statistics(each, lines(4)) for each in (prior, other)]
    with pytest.raises(InputError, match="different populations"):
        federated.combine(sums)
    assert float(federated.combine([sums[0], sums[0]]).tasks) == 8.0


def test_the_mean_of_sites_vectors_leads_where_their_answers_do():
    """Masks leave the sum of answers, and of that a mean is enough: with covariates, and where a round is lost."""
    tasks, procedure = lines(16), as_procedure(GaussianPrior(iterations=3))
    parts = shared(tasks)
    sites = [Site(line, part, ("age",)) for part in parts.values()]
    averaging = Averaging(procedure, line, ("age",), tuple(parts))
    for number in range(4):
        question = packed(averaging.question()) if number else b""
        vectors = np.array([vector_of(procedure, site, question, number) for site in sites])
        if number == 2:  # nobody could be unmasked: the round is asked again
            assert not averaging.take(vectors.mean(0), 0, (0, 0, 0.0), {1: "dead"}, set())
        assert averaging.take(vectors.mean(0), 4, (100 * number, 0, 0.0), {}, {0, 1, 2, 3})
    expected = federated.learn(line, parts, procedure, covariates=("age",)).prior.state
    for name in ("coefficients", "covariance", "log_noise"):
        torch.testing.assert_close(
            getattr(averaging.state.state, name), getattr(expected, name), rtol=0.0, atol=1e-9
        )
    assert [each.down for each in averaging.rounds] == [0, 100, 100, 100]
    with pytest.raises(InputError, match=r"round 4: too few of 4 sites answered .*no answer \(dead\)"):
        averaging.take(vectors.mean(0), 1, (0, 0, 0.0), {0: "dead", 1: "dead"}, {2})


def test_vectors_are_scaled_for_masks_and_back_and_refused_where_they_do_not_fit():
    site = Site(line, lines(6), ("age",))
    vector = vector_of(as_procedure(None), site, b"", 0)
    guard = SecureSum(range=50.0, moments=1000.0)
    np.testing.assert_allclose(guard.unscaled(guard.scaled(vector, 0), 0), vector)
    assert guard.levels(24) * 24 < 2**32 <= guard.levels(24) * 48
    for bad in (np.full(3, 51.0), np.array([np.nan])):
        with pytest.raises(InputError, match="range=50"):
            guard.scaled(bad, 3)


def test_promises_of_noise_add_up_over_rounds():
    assert Privacy(noise=0.0).epsilon(1) == np.inf
    one, four = Privacy(noise=2.0).epsilon(1, 1e-5), Privacy(noise=2.0).epsilon(4, 1e-5)
    assert four == pytest.approx(
        Privacy(noise=1.0).epsilon(1, 1e-5)
    )  # a round of half the noise counts four times
    assert one < four < 4 * one
    for wrong in (
        {"clipping": "median"},
        {"noised_by": "nobody"},
        {"clip": 0.0},
        {"clipping": "adaptive", "noised_by": "site"},
    ):
        with pytest.raises(InputError, match="Privacy"):
            Privacy(**wrong)
