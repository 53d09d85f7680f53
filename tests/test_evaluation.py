"""k-shot evaluation: who is support, who is query, what is left out, and figures computed a second time by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st
from known import as_known
from scipy import stats

import metasci as ms
from metasci import catalogue
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.evaluate import evaluate, held_out
from metasci.evaluation.protocol import Protocol, split_tasks, with_enough_rows
from metasci.evaluation.scores import Score
from metasci.library import find
from metasci.meta import GaussianPrior
from metasci.priors.equation import Prior, meta_calibrate
from metasci.priors.load import load

FIGURES = ("rmse", "mae", "mae_sd_over_seeds", "mdape", "mdpe", "f20", "f30", "mdape_of_prediction",
           "mdpe_of_prediction", "coverage90", "nlpd", "seconds_per_task")  # fmt: skip
QUICK = GaussianPrior(iterations=3)


@pytest.fixture(scope="module")
def patients() -> TaskSet:
    return ms.dataset("theophylline")


@pytest.fixture(scope="module")
def prior() -> Prior:
    return load("theophylline")


# support and query ------------------------------------------------------------------------------


@st.composite
def masks(draw: st.DrawFn) -> torch.Tensor:
    """Which places are measured, of tasks of any length, with holes."""
    tasks, width = draw(st.integers(1, 5)), draw(st.integers(1, 14))
    return torch.tensor(draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width),
                                      min_size=tasks, max_size=tasks)))  # fmt: skip


@st.composite
def protocols(draw: st.DrawFn) -> Protocol:
    shots = tuple(sorted(draw(st.sets(st.integers(0, 6), min_size=1, max_size=4))))
    return Protocol(
        support=draw(st.sampled_from(["first", "random", "spread"])),
        shots=shots,
        skip=draw(st.sampled_from([(), (0,), (0, 2)])),
        query=draw(st.sampled_from(["rest", "next"])),
        query_from=draw(st.sampled_from([None, 4, 7])),
    )


def rank_of(measured: torch.Tensor, place: int) -> int:
    return int((measured.nonzero()[:, 0] == place).nonzero())


@given(masks(), protocols(), st.integers(1, 3))
def test_any_split_is_sound(mask: torch.Tensor, protocol: Protocol, seeds: int) -> None:
    for shots in protocol.shots:
        split = split_tasks(mask, shots, protocol, seeds)
        repeats = seeds if protocol.support == "random" else 1
        assert len(split.task) <= repeats * len(mask)
        for task, support, query in zip(split.task.tolist(), split.support, split.query, strict=True):
            assert not (support & query).any()
            assert not ((support | query) & ~mask[task]).any()
            assert int(support.sum()) == shots
            assert int(query.sum()) >= 1
            if protocol.query == "next":
                assert int(query.sum()) == 1
            used = [rank_of(mask[task], place) for place in (support | query).nonzero()[:, 0].tolist()]
            assert not set(used) & set(protocol.skip)


@given(masks(), protocols(), st.integers(1, 3))
def test_support_grows_and_the_query_stays(mask: torch.Tensor, protocol: Protocol, seeds: int) -> None:
    """Figures at different K compare because they are of the same measurements."""
    protocol = replace(
        protocol, query="rest", support="random" if protocol.support == "spread" else protocol.support
    )
    if protocol.query_from is not None:
        protocol = replace(protocol, shots=tuple(k for k in protocol.shots if k <= 2) or (0,))
    splits = [split_tasks(mask, shots, protocol, seeds) for shots in protocol.shots]
    for less, more in pairwise(splits):
        assert less.task.tolist() == more.task.tolist()
        torch.testing.assert_close(less.query, more.query)
        assert not (less.support & ~more.support).any()


def places(split: torch.Tensor) -> list[list[int]]:
    return [row.nonzero()[:, 0].tolist() for row in split]


def test_first_readings_and_what_follows() -> None:
    mask = torch.tensor([[True] * 8, [True] * 5 + [False] * 3])
    protocol = Protocol(support="first", shots=(1, 3), skip=(0,), query="rest")
    split = split_tasks(mask, 1, protocol, 5)
    assert places(split.support) == [[1], [1]]
    assert places(split.query) == [[4, 5, 6, 7], [4]]
    assert places(split_tasks(mask, 3, protocol, 5).support) == [[1, 2, 3], [1, 2, 3]]
    fixed = replace(protocol, query_from=6)
    assert places(split_tasks(mask, 3, fixed, 1).query) == [[6, 7]]
    assert split_tasks(mask, 3, fixed, 1).task.tolist() == [0]


def test_the_next_reading_alone() -> None:
    mask = torch.tensor([[True, False, True, True], [False, True, False, False]])
    protocol = Protocol(support="first", shots=(0, 1, 2), query="next")
    assert places(split_tasks(mask, 0, protocol, 1).query) == [[0], [1]]
    split = split_tasks(mask, 1, protocol, 1)
    assert (places(split.support), places(split.query), split.task.tolist()) == ([[0]], [[2]], [0])
    assert places(split_tasks(mask, 2, protocol, 1).query) == [[3]]


def test_given_positions_are_ranks_of_measured_readings() -> None:
    mask = torch.tensor([[True] * 4 + [False] + [True] * 7])
    protocol = Protocol(support="spread", shots=(3,), positions={3: (2, 5, 8)}, skip=(0,))
    split = split_tasks(mask, 3, protocol, 1)
    assert places(split.support) == [[2, 6, 9]]
    assert places(split.query) == [[1, 3, 5, 7, 8, 10, 11]]


def test_random_choices_repeat_and_differ_between_seeds_and_tasks() -> None:
    mask = torch.ones(3, 30, dtype=torch.bool)
    protocol = Protocol(support="random", shots=(5,))
    one, again = split_tasks(mask, 5, protocol, 2), split_tasks(mask, 5, protocol, 2)
    torch.testing.assert_close(one.support, again.support)
    assert len({tuple(row) for row in places(one.support)}) == 6
    more = split_tasks(mask, 5, protocol, 3)
    torch.testing.assert_close(more.support[:6], one.support)


def test_cards_describe_their_protocol() -> None:
    spread = Protocol.from_card(catalogue.card("theophylline"))
    assert (spread.support, spread.positions, spread.skip) == (
        "spread",
        {1: (5,), 2: (2, 8), 3: (2, 5, 8)},
        (0,),
    )
    steel = Protocol.from_card(catalogue.card("steel_tempering"))
    assert (steel.leave_out, steel.shots, steel.query_from, steel.minimum_rows) == (
        "steel",
        (0, 1, 3, 5, 10),
        10,
        17,
    )
    assert Protocol.from_card(catalogue.card("indomethacin")) == Protocol()
    assert spread.choosing("first").support == "first"
    assert spread.choosing() == spread
    assert spread.choosing(query="next") == replace(spread, support="first", query="next")


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ({"support": "randm"}, "protocol's support is one of first, random, spread, not 'randm'"),
        ({"query": "all"}, "protocol's query is one of rest, next, following, not 'all'"),
        ({"aggregate": "sum"}, "protocol's aggregate is one of mean, root_mean_square, pooled, not 'sum'"),
        ({"shot": [1]}, "unknown key 'shot'"),
    ],
)
def test_protocols_that_make_no_sense(given_: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Protocol.from_card(replace(catalogue.card("indomethacin"), protocol=given_))


def test_tasks_with_too_few_rows_are_named(patients: TaskSet) -> None:
    newborns = ms.dataset("phenobarbital")
    enough, few = with_enough_rows(newborns, Protocol(minimum_rows=4))
    assert (enough.counts >= 4).all()
    assert len(enough) + len(few) == 59
    assert len(enough) == 8
    assert set(few).isdisjoint(enough.names)
    assert with_enough_rows(patients, Protocol(minimum_rows=11))[1] == []


# figures ----------------------------------------------------------------------------------------


def test_three_ways_to_average() -> None:
    errors = [np.array([1.0, -1.0]), np.array([3.0]), np.array([0.0, 0.0, 0.0, 2.0])]
    measured = [10.0 * np.abs(each) for each in errors]
    score = Score(errors, measured, [np.array([1.0, 0.0])], [np.array([-1.0, -3.0])], [0.3])
    rmse = {key: score.figures(key)["rmse"] for key in ("mean", "root_mean_square", "pooled")}
    assert rmse["mean"] == pytest.approx((1.0 + 3.0 + 1.0) / 3.0)
    assert rmse["root_mean_square"] == pytest.approx(np.sqrt((1.0 + 9.0 + 1.0) / 3.0))
    assert rmse["pooled"] == pytest.approx(np.sqrt((1.0 + 1.0 + 9.0 + 4.0) / 7.0))
    figures = score.figures("mean")
    assert figures["mae"] == pytest.approx((1.0 + 3.0 + 0.5) / 3.0)
    assert score.figures("pooled")["mae"] == pytest.approx(7.0 / 7.0)
    assert (figures["mdape"], figures["coverage90"], figures["nlpd"]) == pytest.approx((10.0, 0.5, 2.0))
    assert figures["seconds_per_task"] == pytest.approx(0.1)


def by_hand(prior: Prior, patients: TaskSet, ranks: list[int], skip: int) -> dict[str, float]:
    """The figures from a file's rows and the public face alone, a patient at a time."""
    squares, absolute, relative, covered, density = [], [], [], [], []
    for name in patients.names:
        rows = patients.select([name]).to_frame(units=True)
        query = [r for r in range(skip, len(rows)) if r not in ranks]
        fit = prior.calibrate(rows.iloc[ranks])
        ahead = fit.predict(time=rows["time [h]"].to_numpy()[query])
        measured = rows["concentration [mg/L]"].to_numpy()[query]
        median, lower, upper = (ahead[key].values[0] for key in ("median", "lower", "upper"))
        off = measured - median
        squares.append(np.mean(off**2))
        absolute.append(np.mean(np.abs(off)))
        relative += list(np.abs(off) / measured)
        covered += list((measured >= lower) & (measured <= upper))
        density += list(stats.norm(median, (upper - median) / stats.norm.ppf(0.95)).logpdf(measured))
    return {
        "rmse": float(np.sqrt(np.mean(squares))),
        "mae": float(np.mean(absolute)),
        "mdape": 100.0 * float(np.median(relative)),
        "coverage90": float(np.mean(covered)),
        "nlpd": -float(np.mean(density)),
    }


def test_figures_against_a_computation_by_hand(prior: Prior, patients: TaskSet) -> None:
    prior = as_known(prior)  # whose forecasts are normal
    report = evaluate(prior, patients, [3])
    (row,) = [row for row in report["results"] if row["method"] == "prior"]
    expected = by_hand(prior, patients, [2, 5, 8], skip=1)
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-6)
    assert row["shots"] == 3
    assert 0.0 < row["seconds_per_task"] < 5.0
    assert (report["tasks"], report["measurements"], report["unit"]) == (12, 132, "mg/L")
    assert (report["support"], report["aggregate"], report["seeds"]) == ("spread", "root_mean_square", 1)


def test_every_method_at_every_number_of_shots(prior: Prior, patients: TaskSet) -> None:
    report = evaluate(prior, patients, [0, 3, 3, 1], protocol=Protocol(support="random"), seeds=2)
    found = [(row["method"], row["shots"]) for row in report["results"]]
    assert found == [(m, k) for m in ("prior", "start only", "per-task least squares") for k in (0, 3, 1)]
    for row in report["results"]:
        assert set(row) == {"method", "shots", "tasks", "left_out", *FIGURES}
        assert (row["tasks"], row["left_out"]) == (12, {})
        assert all(np.isfinite(row[key]) for key in FIGURES)
    table = pd.DataFrame(report["results"]).set_index(["method", "shots"])
    for key in ("rmse", "nlpd", "coverage90"):
        assert table.loc[("prior", 0), key] == pytest.approx(table.loc[("start only", 0), key], rel=1e-9)
        start = table.loc["start only", key]
        assert start.max() == pytest.approx(start.min(), rel=1e-9)  # measurements do not reach it
    assert table.loc[("prior", 3), "rmse"] < table.loc[("prior", 0), "rmse"]


def test_figures_repeat_and_depend_on_the_number_of_seeds(prior: Prior, patients: TaskSet) -> None:
    def figures(seeds: int) -> list[float]:
        report = evaluate(prior, patients, [2], protocol=Protocol(support="random", shots=(2,)), seeds=seeds)
        assert report["seeds"] == seeds
        return [row[key] for row in report["results"] for key in FIGURES[:-1]]

    assert figures(2) == figures(2)
    assert figures(2) != figures(3)


def test_order_of_shots_does_not_matter(prior: Prior, patients: TaskSet) -> None:
    up, down = (evaluate(prior, patients, shots)["results"] for shots in ([0, 1, 3], [3, 1, 0]))
    key = {(row["method"], row["shots"]): row["rmse"] for row in up}
    assert key == {(row["method"], row["shots"]): row["rmse"] for row in down}


# leaving out ------------------------------------------------------------------------------------


def test_what_is_held_out_is_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group is judged by a prior that saw every other group and none of its own."""
    tasks = ms.dataset("phenobarbital").select(slice(0, 20))
    recipe = replace(load("phenobarbital"), method=QUICK)
    learned_from: list[tuple[str, ...]] = []
    original = Prior.retrain

    def spy(self: Prior, tasks: TaskSet, **options: object) -> Prior:
        learned_from.append(tasks.names)
        return original(self, tasks, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Prior, "retrain", spy)
    label = dict(zip(tasks.names, tasks.groups("apgar"), strict=True))
    judged: list[str] = []
    for fold, (fold_prior, fold_tasks) in enumerate(held_out(recipe, tasks, "apgar")):
        assert set(fold_tasks.names) | set(learned_from[fold]) == set(tasks.names)
        assert {label[name] for name in fold_tasks.names}.isdisjoint(
            label[name] for name in learned_from[fold]
        )
        assert fold_prior.training["tasks"] == len(learned_from[fold])
        judged += fold_tasks.names
    assert sorted(judged) == sorted(tasks.names)
    assert len(learned_from) == len(set(label.values())) >= 4


def test_measurements_of_the_held_out_reach_nothing_that_judges_them(patients: TaskSet) -> None:
    """Spoil one patient: the prior that judges it must not move, and the others' must."""
    few = patients.select(["1", "2", "3", "4"])
    dataset = few.dataset.copy(deep=True)
    dataset["concentration"][0] *= 3.0
    spoiled = TaskSet.from_dataset(dataset, few.card)
    recipe = meta_calibrate(find("patients.one_compartment_oral"), few, QUICK)
    sound, hurt = (
        {fold.names[0]: learned.state.coefficients for learned, fold in held_out(recipe, tasks, "subject")}
        for tasks in (few, spoiled)
    )
    assert torch.equal(sound["1"], hurt["1"])
    for name in ("2", "3", "4"):
        assert not torch.allclose(sound[name], hurt[name], rtol=1e-3)


def test_left_out_figures_are_worse_than_those_of_a_prior_that_has_seen_all(patients: TaskSet) -> None:
    recipe = meta_calibrate(find("patients.one_compartment_oral"), patients, QUICK)
    seen, honest = (
        evaluate(recipe, patients, [0], leave_out=column)["results"] for column in (None, "subject")
    )
    assert honest[0]["rmse"] > seen[0]["rmse"]
    assert evaluate(recipe, patients, [0], leave_out="subject")["leave_out"] == "subject"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shots": [-1]}, "must not be below zero"),
        ({"shots": []}, "at least one number of shots"),
        ({"shots": [11]}, "no task of 'theophylline' has measurements left .* after 11 measurements"),
        ({"shots": [1], "leave_out": "colour"}, "no column 'colour'"),
        ({"shots": [1], "leave_out": "concentration"}, "not constant within the tasks"),
        ({"shots": [1], "protocol": Protocol(minimum_rows=100)}, "no task has the 100 rows"),
    ],
)
def test_what_cannot_be_evaluated(prior: Prior, patients: TaskSet, options: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        evaluate(prior, patients, **options)


def test_a_column_of_one_value_leaves_nothing_to_learn_from(prior: Prior, patients: TaskSet) -> None:
    with pytest.raises(InputError, match="'subject' has only one value, '1': nothing is left"):
        evaluate(prior, patients.select(["1"]), [1], leave_out="subject")


# real figures -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crack_figures() -> dict[int, float]:
    """RMSE by number of shots, each specimen left out in turn."""
    report = evaluate(load("alloy_fatigue"), ms.dataset("alloy_fatigue"), [1, 3, 5], leave_out="specimen")
    return {row["shots"]: row["rmse"] for row in report["results"] if row["method"] == "prior"}


@pytest.mark.parametrize(
    ("shots", "reference"),
    [
        (1, 0.090),
        (3, 0.054),
        (5, 0.028),
    ],
)
def test_cracks_are_forecast_as_well_as_the_reference(
    crack_figures: dict, shots: int, reference: float
) -> None:
    """In the digits that the reference has."""
    assert round(crack_figures[shots], 3) <= reference


def test_forecasts_of_cracks_do_not_get_worse(crack_figures: dict) -> None:
    assert crack_figures == pytest.approx({1: 0.0864, 3: 0.0540, 5: 0.0280}, rel=0.01)


def test_groups_may_share_a_fold(patients: TaskSet) -> None:
    recipe = meta_calibrate(find("patients.one_compartment_oral"), patients, GaussianPrior(iterations=1))
    parts = [
        (learned.training["tasks"], fold.names)
        for learned, fold in held_out(recipe, patients, "subject", folds=5)
    ]
    assert sorted(size for size, _ in parts) == [9, 9, 10, 10, 10]
    assert sorted(name for _, names in parts for name in names) == sorted(patients.names)


def test_steels_of_a_grade_are_held_out_together() -> None:
    """AISI 4140 and 4340 occur in both sources: both go."""
    tasks, few = with_enough_rows(ms.dataset("steel_tempering"), Protocol(minimum_rows=17))
    assert (len(tasks), len(few)) == (27, 4)
    recipe = replace(load("steel_tempering"), method=GaussianPrior(iterations=1))
    sizes = {fold.groups("steel")[0]: (len(fold), learned.training["tasks"])
             for learned, fold in held_out(recipe, tasks, "steel")}  # fmt: skip
    assert sizes["AISI 4140"] == sizes["AISI 4340"] == (2, 25)
    assert sum(size for size, _ in sizes.values()) == 27


def test_percentage_errors_have_the_sign_and_the_base_that_they_say() -> None:
    score = Score([], [], [], [], [])
    measured, median = torch.tensor([10.0, 10.0, 10.0]), torch.tensor([8.5, 12.5, 15.0])
    score.add(measured, median, median - 1.0, median + 1.0, torch.zeros(3))
    score.seconds.append(0.1)
    figures = score.figures("pooled")
    assert figures["mdpe"] == pytest.approx(25.0)
    assert figures["mdape"] == pytest.approx(25.0)
    assert (figures["f20"], figures["f30"]) == pytest.approx((100 / 3, 200 / 3))
    assert figures["mdpe_of_prediction"] == pytest.approx(-20.0)


def test_a_forecast_below_a_limit_is_no_error_where_the_truth_lies_below_it() -> None:
    score = Score([], [], [], [], [])
    limit, median = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 3.0])
    score.add(limit, median, median - 0.5, median + 0.5, torch.zeros(2), torch.tensor([True, True]))
    assert score.errors[0].tolist() == [0.0, -1.0]
    assert score.covered[0].tolist() == [1.0, 0.0]
