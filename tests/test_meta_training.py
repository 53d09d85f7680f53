"""Meta-training beyond the plain loop: validation, rates of parts, parts of an episode, going on, and who watches."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, Outer, adapt, initial, meta_gradient, meta_train, named
from metasci.meta.compositions.chunks import in_chunks
from metasci.meta.compositions.compiled import worth_compiling
from metasci.meta.compositions.outer import outer_state, outer_step
from metasci.meta.compositions.validation import Validation
from metasci.meta.compositions.watching import Moment, to_mlflow, to_tensorboard
from metasci.meta.networks.episode import cross_entropy, squared_error
from metasci.meta.networks.metrics import (
    accuracy,
    area_under_curve,
    brier,
    expected_calibration_error,
    of_queries,
    rmse,
)
from metasci.meta.networks.prototypes import prototypes
from metasci.meta.networks.sampling import few_shot_classes, few_shot_regressions

MAML = named.maml(2, 0.1)
LINES = Network(nn.Linear(2, 1))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double())


def lines(network: Network, seed: int, tasks: int = 5) -> NetworkEpisode:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(tasks, 6, 1, generator=generator, dtype=torch.float64)
    y = torch.rand(tasks, 1, 1, generator=generator, dtype=torch.float64) * x
    return NetworkEpisode(network, x[:, :3], y[:, :3], x[:, 3:], y[:, 3:])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_more_iterations_from_a_checkpoint_or_a_state_are_one_run(network: Network, tmp_path: Path) -> None:
    def run(iterations: int, **options: Any) -> Any:
        return meta_train(
            MAML, lambda i: lines(network, i), network.start(), Outer(iterations, 0.01), **options
        )

    whole = run(9)
    run(4, checkpoint=tmp_path / "state")
    assert same(run(9, checkpoint=tmp_path / "state").learned, whole.learned)
    half = run(4)
    assert same(run(9, state=half.state).learned, whole.learned)
    assert set(half.state.memory) == {f"{m}/{name}" for m in ("first", "second") for name in network.start()}
    assert len(run(9, state=half.state).loss) == 5
    with pytest.raises(InputError, match="other tensors"):
        run(9, state=replace(half.state, learned={}))


def test_a_cosine_of_another_length_is_another_run(network: Network, tmp_path: Path) -> None:
    def run(iterations: int) -> Any:
        outer = Outer(iterations, 0.01, schedule="cosine")
        return meta_train(
            MAML, lambda i: lines(network, i), network.start(), outer, checkpoint=tmp_path / "state"
        )

    run(2)
    with pytest.raises(InputError, match="another run"):
        run(3)


def test_validation_gives_the_best_state_and_stops_early(network: Network, tmp_path: Path) -> None:
    """With steps that lead away the first look is the best one; a plain run to there gives its state."""
    held_out = lines(network, 10_000, tasks=7)
    watch = Validation(held_out, every=2, patience=3, metrics={"rmse": of_queries(rmse)})
    outer = Outer(100, 0.5, "descent")

    def run(**options: Any) -> Any:
        def draw(seed: int) -> NetworkEpisode:  # the sign of what is learned turns after two iterations
            episode = lines(network, seed)
            return episode if seed < 2 else replace(episode, query_targets=episode.query_targets - 9.0)

        return meta_train(MAML, draw, network.start(), **{"outer": outer, "validation": watch, **options})

    done = run()
    assert done.validation["iteration"].tolist() == [2.0, 4.0, 6.0, 8.0]
    assert int(done.state.iteration) == 8
    assert same(done.learned, run(outer=replace(outer, iterations=2), validation=None).learned)
    assert not same(done.learned, done.state.learned)
    best = float(done.validation["loss"][0])
    assert bool((done.validation["loss"][1:] > best).all())
    assert math.sqrt(best) == pytest.approx(
        float(done.validation["rmse"][0]), rel=1e-12
    )  # tasks are of one size
    path = tmp_path / "state"
    run(outer=replace(outer, iterations=5), checkpoint=path)
    again = run(checkpoint=path)
    assert torch.equal(again.validation["loss"], done.validation["loss"])
    assert same(again.learned, done.learned)


def test_parts_have_learning_rates_of_their_own(network: Network) -> None:
    start, outer = network.start(), Outer(1, 0.25, "descent", rates={"0.": 0.0, "2.": 0.5, "2.bias": 1.0})
    _, slopes = meta_gradient(MAML, lines(network, 0), start)
    done = meta_train(MAML, lambda i: lines(network, i), start, outer).learned
    for name, rate in {"0.weight": 0.0, "0.bias": 0.0, "2.weight": 0.5, "2.bias": 1.0}.items():
        torch.testing.assert_close(done[name], start[name] - rate * slopes[name], rtol=1e-12, atol=1e-14)
    assert Outer(10, 1.0, schedule="cosine", rates={"a": 3.0}).rate(5, "a") == pytest.approx(1.5)


@pytest.mark.parametrize("composition", [MAML, named.reptile(2, 0.1), named.imaml(5, 0.1)])
def test_an_episode_in_parts_has_the_same_meta_gradient(network: Network, composition: Any) -> None:
    episode = lines(network, 3, tasks=7)
    calls: list[int] = []

    def counted(part: Any, learned: Any) -> Any:
        calls.append(len(part))
        return meta_gradient(composition, part, learned)

    loss, slopes = in_chunks(counted, 3, composition.gradient)(episode, network.start())
    whole, wanted = meta_gradient(composition, episode, network.start())
    assert calls == [3, 3, 1]
    torch.testing.assert_close(loss, whole, rtol=1e-12, atol=0)
    for name, slope in wanted.items():
        torch.testing.assert_close(slopes[name], slope, rtol=1e-8, atol=1e-12)


def test_parts_weigh_tasks_that_have_a_query(network: Network) -> None:
    mask = torch.ones(5, 3, dtype=torch.bool)
    mask[1] = mask[2] = False
    episode = replace(lines(network, 3), query_mask=mask)
    _, wanted = meta_gradient(MAML, episode, network.start())
    _, slopes = in_chunks(lambda *given: meta_gradient(MAML, *given), 2, MAML.gradient)(
        episode, network.start()
    )
    for name, slope in wanted.items():
        torch.testing.assert_close(slopes[name], slope, rtol=1e-10, atol=1e-14)
    whole = meta_train(MAML, lambda i: episode, network.start(), Outer(3, 0.01))
    parts = meta_train(MAML, lambda i: episode, network.start(), Outer(3, 0.01), chunk=2)
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-10, atol=0)
    with pytest.raises(InputError, match="one or more"):
        meta_train(MAML, lambda i: episode, network.start(), Outer(1), chunk=0)


def test_watchers_see_every_iteration_and_may_stop_it(network: Network) -> None:
    seen: list[Moment] = []

    def watch(moment: Moment) -> bool:
        seen.append(moment)
        return moment.iteration == 4

    validation = Validation(lines(network, 99), every=3)
    done = meta_train(
        MAML,
        lambda i: lines(network, i),
        network.start(),
        Outer(50, 0.01),
        watchers=[watch],
        validation=validation,
    )
    assert [moment.iteration for moment in seen] == [1, 2, 3, 4]
    assert [moment.loss for moment in seen] == done.loss.tolist()
    assert [list(moment.validation) for moment in seen] == [[], [], ["loss"], []]
    assert seen[2].validation["loss"] == done.validation["loss"].item()


def test_mlflow_and_tensorboard_get_the_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logged: list[tuple[dict[str, float], int]] = []
    fake: Any = types.ModuleType("mlflow")
    fake.log_metrics = lambda numbers, step: logged.append((numbers, step))
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    moment = Moment(7, 0.5, {}, {"loss": 0.25})
    to_mlflow()(moment)
    assert logged == [({"loss": 0.5, "validation/loss": 0.25}, 7)]

    rows: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            self.folder = folder

        def add_scalar(self, *row: Any) -> None:
            rows.append(row)

        def flush(self) -> None:
            rows.append(("flushed", 0.0, 0))

    board: Any = types.ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    to_tensorboard(tmp_path)(moment)
    assert rows == [("loss", 0.5, 7), ("validation/loss", 0.25, 7), ("flushed", 0.0, 0)]
    for module, watcher in (
        ("mlflow", to_mlflow),
        ("torch.utils.tensorboard", lambda: to_tensorboard(tmp_path)),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match="not installed"):
            watcher()


def test_long_runs_are_compiled_where_they_can_be(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    episode = lines(network, 0)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    assert worth_compiling(MAML, episode, 20_000)
    assert not worth_compiling(MAML, episode, 19_999)
    assert not worth_compiling(named.imaml(5, 0.1), episode, 20_000)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not worth_compiling(MAML, episode, 20_000)


def test_few_shot_classes_are_what_they_say() -> None:
    """Inputs that carry their case's number and class tell what was drawn."""
    labels = torch.arange(40) % 5 + 10
    inputs = torch.stack([torch.arange(40), labels], 1).double()
    draw = few_shot_classes(
        Network(nn.Linear(2, 3)), inputs, labels, ways=3, shots=(1, 4), queries=2, tasks=6
    )
    episode, numbers = draw(5), set()
    for task in range(6):
        seen = episode.inputs[task][episode.mask[task]]
        asked = episode.query_inputs[task]
        assert not set(seen[:, 0].tolist()) & set(asked[:, 0].tolist())
        assert len(set(asked[:, 0].tolist())) == 6
        of_class = {}
        for x, y in [*zip(episode.inputs[task], episode.targets[task], strict=True),
                     *zip(asked, episode.query_targets[task], strict=True)]:  # fmt: skip
            assert of_class.setdefault(int(y), float(x[1])) == float(x[1])
        assert sorted(of_class) == [0, 1, 2]
        assert len(set(of_class.values())) == 3
        numbers |= {int((episode.targets[task][episode.mask[task]] == way).sum()) for way in range(3)}
    assert numbers == {1, 2, 3, 4}
    assert torch.equal(draw(5).inputs, episode.inputs)
    assert not torch.equal(draw(6).inputs, episode.inputs)


def test_few_shot_regressions_keep_support_and_query_apart() -> None:
    x = [torch.arange(9.0)[:, None] + 100.0 * task for task in range(4)]
    episode = few_shot_regressions(Network(nn.Linear(1, 1)), x, x, shots=(2, 5), queries=4, tasks=4)(1)
    every = torch.cat([episode.inputs, episode.query_inputs], 1)[..., 0]
    assert sorted((every[:, 0] // 100).tolist()) == [0.0, 1.0, 2.0, 3.0]
    assert all(len(set(row.tolist())) == 9 for row in every)
    assert set(episode.mask.sum(1).tolist()) <= {2, 3, 4, 5}
    assert torch.equal(episode.targets, episode.inputs)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ways": 6}, "there are 5"),
        ({"queries": 9}, "too few for 1 shots"),
        ({"shots": (3, 2)}, "from the fewer"),
        ({"shots": 0}, "shots: an episode needs a whole number"),
        ({"shots": 1.5}, "shots: an episode needs a whole number"),
        ({"shots": (1, 2, 3)}, "the least and the most"),
        ({"ways": 2.0}, "ways: an episode needs a whole number"),
        ({"ways": 1}, "two ways or more"),
        ({"tasks": 0}, "tasks: an episode needs a whole number"),
    ],
)
def test_impossible_episodes_are_refused(change: dict[str, Any], sentence: str) -> None:
    asked = {"ways": 2, "shots": 1, "queries": 1, "tasks": 1, **change}
    with pytest.raises(InputError, match=sentence):
        few_shot_classes(Network(nn.Linear(1, 2)), torch.zeros(40, 1), torch.arange(40) % 5, **asked)


def test_labels_may_be_a_list_or_an_array() -> None:
    labels = [0, 0, 1, 1, 2, 2]
    network, inputs = Network(nn.Linear(1, 2)), torch.arange(6.0)[:, None]
    draws = [
        few_shot_classes(network, inputs, given, ways=2, shots=1, queries=1, tasks=4)(3)
        for given in (torch.tensor(labels), np.array(labels), labels)
    ]
    assert all(torch.equal(draws[0].inputs, other.inputs) for other in draws)
    assert bool(
        ((draws[0].inputs[:, 0] // 2) != (draws[0].inputs[:, 1] // 2)).all()
    )  # two classes of each task


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"iterations": -1}, "iterations: -1"),
        ({"iterations": 2.5}, "iterations: 2.5"),
        ({"learning_rate": -0.1}, "learning_rate: -0.1"),
        ({"learning_rate": math.nan}, "learning_rate: nan"),
        ({"learning_rate": "fast"}, "learning_rate: 'fast'"),
        ({"rates": {"0.": -1.0}}, "0.: -1.0 is not a learning rate"),
        ({"clip": 0.0}, "clip: 0.0"),
    ],
)
def test_outer_settings_that_are_none_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Outer(**settings)


def test_settings_may_be_numbers_of_numpy_and_serve_a_method_that_learns_nothing_of_its_rule(
    network: Network,
) -> None:
    outer = Outer(np.int64(2), np.float32(0.25), "descent", rates={"0.": np.float32(0.0), "rule/": 0.1})
    method = named.maml(np.int64(2), np.float32(0.125))
    plain = Outer(2, 0.25, "descent", rates={"0.": 0.0})
    ends = [
        meta_train(way, lambda seed: lines(network, seed), network.start(), each).learned
        for way, each in ((method, outer), (named.maml(2, 0.125), plain))
    ]
    for name, value in ends[1].items():
        torch.testing.assert_close(ends[0][name], value, rtol=0.0, atol=0.0)


def test_a_learning_rate_of_a_part_that_is_not_there_is_refused(network: Network) -> None:
    """It would have had no effect, without a word."""
    with pytest.raises(
        InputError, match=r"nothing that is learned begins with .body\..; there are 0\.weight"
    ):
        meta_train(MAML, lambda seed: lines(network, seed), network.start(), Outer(1, rates={"body.": 1e-4}))


def test_scores_of_classes_against_hand_computation() -> None:
    """Binned by hand; the rank statistic by all pairs; masked and unlabelled cases do not count."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(3, 20, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 4, (3, 20), generator=generator)
    mask = torch.rand(3, 20, generator=generator) < 0.8
    seen = [
        (s.softmax(0), int(y))
        for s, y, m in zip(scores.reshape(-1, 4), labels.flatten(), mask.flatten(), strict=True)
        if m and y >= 0
    ]
    assert float(accuracy(scores, labels, mask)) == pytest.approx(
        sum(int(p.argmax()) == y for p, y in seen) / len(seen)
    )
    squares = [sum((float(p[k]) - (k == y)) ** 2 for k in range(4)) for p, y in seen]
    assert float(brier(scores, labels, mask)) == pytest.approx(sum(squares) / len(seen))
    gap = 0.0
    for b in range(10):
        inside = [
            (float(p.max()), int(p.argmax()) == y) for p, y in seen if b / 10 < float(p.max()) <= (b + 1) / 10
        ]
        gap += abs(sum(c - r for c, r in inside))
    assert float(expected_calibration_error(scores, labels, mask, bins=10)) == pytest.approx(gap / len(seen))
    two = torch.tensor([[0.2, 0.7, 0.7, 0.1, 0.9]])
    truth = torch.tensor([[0, 1, 0, 0, 1]])
    pairs = [(a > b) + 0.5 * (a == b) for a in (0.7, 0.9) for b in (0.2, 0.7, 0.1)]
    assert float(area_under_curve(two, truth)) == pytest.approx(sum(pairs) / 6)
    both = torch.stack([torch.zeros_like(two), two], -1)
    assert float(area_under_curve(both, truth)) == pytest.approx(sum(pairs) / 6)
    with pytest.raises(InputError, match="both classes"):
        area_under_curve(two, torch.ones(1, 5))


def test_meta_training_on_classes_beats_chance_on_unseen_ones() -> None:
    """Blobs on a ring: a start from which three shots tell classes apart that were never drawn."""
    torch.manual_seed(0)
    angle = torch.arange(12) * 2 * math.pi / 12
    centres = 3.0 * torch.stack([angle.cos(), angle.sin()], 1)
    labels = torch.arange(12).repeat_interleave(20)
    inputs = centres[labels] + 0.3 * torch.randn(240, 2)
    network = Network(nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3)))
    plan: dict[str, Any] = {"ways": 3, "shots": 3, "queries": 5, "loss": cross_entropy}
    old, new = labels % 4 != 0, labels % 4 == 0
    draw = few_shot_classes(network, inputs[old], labels[old], tasks=8, **plan)
    held_out = few_shot_classes(network, inputs[new], labels[new], tasks=20, **plan)(0)
    watch = Validation(held_out, every=60, metrics={"accuracy": of_queries(accuracy)})
    done = meta_train(named.maml(3, 0.4), draw, network.start(), Outer(60, 0.02), validation=watch)
    assert float(done.validation["accuracy"][-1]) > 0.9


def drawn_lines(network: Network, dtype: torch.dtype = torch.float32) -> Callable[[int], NetworkEpisode]:
    """Lines through two numbers, in any precision."""

    def draw(seed: int) -> NetworkEpisode:
        generator = torch.Generator().manual_seed(seed)
        x, slopes = (torch.randn(4, n, 2, generator=generator) for n in (8, 1))
        x, y = x.to(dtype), (x * slopes).sum(-1, keepdim=True).to(dtype)
        return NetworkEpisode(network, x[:, :4], y[:, :4], x[:, 4:], y[:, 4:], loss=distance)

    return draw


def distance(output: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    return (output - target).abs().square().flatten(1).mean(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64])
def test_weights_of_any_precision_are_learned_and_go_on(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(
        torch.nn.Sequential(torch.nn.Linear(2, 4, dtype=dtype), torch.nn.Linear(4, 1, dtype=dtype))
    )
    method, draw, file = named.maml(1, 0.05), drawn_lines(network, dtype), tmp_path / "run"
    for iterations in (3, 6):
        halted = meta_train(method, draw, network.start(), Outer(iterations, 0.01), checkpoint=file)
    whole = meta_train(method, draw, network.start(), Outer(6, 0.01))
    assert all(value.dtype == dtype for value in whole.learned.values())
    assert all(torch.equal(halted.learned[name], value) for name, value in whole.learned.items())


def test_complex_weights_move_as_torchs_adam_moves_them() -> None:
    torch.manual_seed(1)
    start = {"z": torch.randn(3, dtype=torch.complex128)}
    slopes = [torch.randn(3, dtype=torch.complex128) for _ in range(4)]
    leaf = start["z"].clone().requires_grad_()
    optimiser, outer = torch.optim.Adam([leaf], lr=0.1), Outer(4, 0.1)
    state = outer_state(outer, start)
    for slope in slopes:
        leaf.grad = slope.clone()
        optimiser.step()
        state = outer_step(outer, state, {"z": slope})
    torch.testing.assert_close(state.learned["z"], leaf.detach(), rtol=1e-12, atol=1e-12)
    clipped = outer_step(Outer(1, 1.0, "descent", clip=0.5), outer_state(outer, start), {"z": slopes[0]})
    moved = (clipped.learned["z"] - start["z"]).abs().square().sum().sqrt()
    assert float(moved) == pytest.approx(0.5)


def test_a_number_in_the_beginning_of_a_name_is_read_whole() -> None:
    network = Network(torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(11))))
    inputs = torch.randn(3, 4, 2)
    episode = NetworkEpisode(network, inputs, inputs, inputs, inputs)
    head = named.anil(("1",), 1, 0.1)
    adapted = adapt(head, episode, initial(head, network.start()))
    still = [name for name, value in adapted.items() if torch.equal(value[0], value[1])]
    assert still == ["1.weight", "1.bias"]
    done = meta_train(
        named.maml(1, 0.1), lambda seed: episode, network.start(), Outer(1, 1.0, rates={"1": 0.0})
    )
    still = [name for name, value in network.start().items() if torch.equal(value, done.learned[name])]
    assert still == ["1.weight", "1.bias"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draw": lambda seed: None}, "it gives a NoneType, and not an episode"),
        ({"draw": lambda seed: [drawn_lines(LINES)(seed)]}, "it gives a list, and not an episode"),
        ({"draw": "none"}, "give a function from an integer to an episode, not a str"),
        ({"learned": {"weight": np.zeros((1, 2))}}, "'weight' is to be learned, and is a ndarray"),
        ({"learned": {"weight": torch.zeros(1, 2, dtype=torch.long)}}, "is to be learned, and is of torch.int64"),
        ({"learned": {"wieght": torch.zeros(1, 2), **Network(torch.nn.Linear(2, 1)).start()}}, "no parameter 'wieght'"),
        ({"seed": 0.5}, "seed: 0.5 is not a whole number"),
        (
            {"validation": Validation(drawn_lines(Network(torch.nn.Linear(2, 1)))(9), every=1,
                                      metrics={"three": lambda episode, adapted: torch.ones(3)})},
            r"the metric 'three' is to give one number, and gives \(3,\)",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_said(change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {
        "draw": drawn_lines(LINES),
        "learned": LINES.start(),
        "outer": Outer(2, 0.01),
    } | change
    with pytest.raises(InputError, match=words):
        meta_train(named.maml(1, 0.1), given.pop("draw"), given.pop("learned"), **given)


def test_masked_inputs_may_be_anything() -> None:
    """Also for the slopes: zero times NaN would be NaN for the whole task."""
    torch.manual_seed(3)
    network = Network(torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)))
    inputs, classes, mask = (
        torch.randn(2, 5, 2),
        torch.arange(10).reshape(2, 5) % 3,
        torch.arange(5).expand(2, 5) < 4,
    )
    wrong = inputs.where(mask[..., None], torch.nan)
    for loss, targets in ((cross_entropy, classes), (squared_error, torch.randn(2, 5, 3))):
        kept, marred = (
            meta_gradient(
                named.maml(2, 0.1),
                NetworkEpisode(network, x, targets, x, targets, mask=mask, query_mask=mask, loss=loss),
                network.start(),
            )
            for x in (inputs, wrong)
        )
        torch.testing.assert_close(marred, kept)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a", "b"] * 6, "list cannot be read as a tensor of numbers"),
        (torch.arange(12) / 4.0, r"one whole number for each case, \(case,\); these are of shape \(12,\)"),
        (torch.full((12,), torch.nan), "one whole number for each case"),
        (torch.eye(12)[:, :3], r"these are of shape \(12, 3\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        few_shot_classes(LINES, torch.randn(12, 2), labels, ways=2, shots=1, queries=1, tasks=2)


def test_arrays_are_sampled_as_tensors_are() -> None:
    x, labels = torch.randn(12, 2), torch.arange(12) % 3
    numbers = {"ways": 2, "shots": 1, "queries": 2, "tasks": 2}
    ours, theirs = (few_shot_classes(LINES, each, labels, **numbers)(0) for each in (x, x.numpy()))
    assert torch.equal(ours.inputs, theirs.inputs)
    with pytest.raises(InputError, match=r"by a whole number, not by 0\.5"):
        few_shot_classes(LINES, x, labels, **numbers)(0.5)


def test_scores_that_cannot_be_judged_are_no_figures() -> None:
    """A network that has diverged has no accuracy; shapes that torch would broadcast are refused."""
    lost = torch.full((1, 4, 2), torch.nan)
    classes = torch.tensor([[0, 0, 1, 1]])
    for figure in (accuracy, brier, area_under_curve):
        assert math.isnan(float(figure(lost, classes)))
        with pytest.raises(InputError, match=r"one for each class|two classes"):
            figure(torch.zeros(1, 4, 2), classes + 5)
    with pytest.raises(InputError, match="cannot be compared"):
        rmse(torch.zeros(4, 4, 1), torch.zeros(4, 4))
    with pytest.raises(InputError, match="whole numbers of classes from 0 to 1"):
        prototypes(torch.zeros(1, 4, 3), classes + 1, 2)
