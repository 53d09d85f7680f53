"""Drawings of characters: how they are read, laid and warped, and what judges networks that learned from them."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, adapt, initial
from metasci.meta.networks.episode import cross_entropy
from metasci.meta.networks.prototypes import prototypical_episode
from metasci.meta.networks.sampling import few_shot_classes
from metasci.studies import batch_statistics, batch_statistics_adapting as adapting, feature_reuse
from metasci.studies.batch_statistics import asked_alone, styled_tasks
from metasci.studies.omniglot import errors, hausdorff_scores, pairs_of
from metasci.studies.omniglot_drawings import Alphabet, Run, Warp, background, laid, runs, warped
from metasci.studies.omniglot_networks import (
    ADAPTING,
    Together,
    Way,
    adapted_scores,
    by_people,
    in_turn,
    learn_prototypes,
    nearest_scores,
    settled,
    with_head,
)

DATA = Path(os.environ.get("METASCI_DATA_DIR", ""), "omniglot")


def _strokes(seed: int, count: int) -> Tensor:
    """Ink of drawings, each of three straight strokes, (drawing, 105, 105)."""
    draw = np.random.default_rng(seed)
    ink = torch.zeros(count, 105, 105)
    for one in ink:
        for start, end in draw.integers(25, 80, size=(3, 2, 2)):
            for x, y in np.linspace(start, end, 120).round().astype(int):
                one[y, x : x + 2] = 1.0
    return ink


def _alphabet(seed: int, characters: int = 20, people: int = 4) -> Alphabet:
    """Characters that people draw one like the other but for their place."""
    draw = np.random.default_rng(seed)
    own = _strokes(seed, characters)
    shifts = draw.integers(-15, 16, size=(characters, people, 2)).tolist()
    ink = [one.roll(shift, (0, 1)) for one, by in zip(own, shifts, strict=True) for shift in by]
    return Alphabet(f"made up {seed}", laid(torch.stack(ink)), characters, people)


def _picture(ink: Tensor) -> bytes:
    held = io.BytesIO()
    Image.fromarray(ink.numpy() < 0.5).save(held, format="png")  # of one bit a dot, as published
    return held.getvalue()


def test_background_and_runs_are_read_from_their_archives(tmp_path: Path) -> None:
    ink = _strokes(0, 20)
    with zipfile.ZipFile(tmp_path / "images_background_small1.zip", "w") as archive:
        for at in range(12):
            character, person = divmod(at, 3)
            alphabet = ("Old_Script", "Other")[character // 2]
            name = (
                f"images_background_small1/{alphabet}/character{character % 2 + 1:02d}/{person + 1:02d}.png"
            )
            archive.writestr(name, _picture(ink[at]))
    first, second = background(1, tmp_path)
    assert (first.name, first.characters, first.people, second.name) == ("Old Script", 2, 3, "Other")
    assert torch.equal(first.drawings.ink, laid(ink[:6]).ink)
    with zipfile.ZipFile(tmp_path / "all_runs.zip", "w") as archive:
        for run in range(1, 21):
            order = np.random.default_rng(run).permutation(20)
            lines = []
            for at, which in enumerate(order, 1):
                archive.writestr(f"run{run:02d}/training/class{at:02d}.png", _picture(ink[at - 1]))
                archive.writestr(f"run{run:02d}/test/item{at:02d}.png", _picture(ink[which]))
                lines.append(
                    f"run{run:02d}/test/item{at:02d}.png run{run:02d}/training/class{which + 1:02d}.png"
                )
            archive.writestr(f"run{run:02d}/class_labels.txt", "\n".join(lines))
    read = runs(tmp_path)
    assert len(read) == 20
    assert not torch.equal(read[0].truth, read[1].truth)
    # what is asked is the very drawing that is known
    assert float(errors(nearest_scores(lambda squares: squares, read), read).max()) == 0.0
    assert float(errors(hausdorff_scores(read[:2]), read[:2]).max()) == 0.0


def test_where_the_characters_are_missing_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'all_runs\.zip' is not there: set METASCI_DATA_DIR"):
        runs(tmp_path)


@pytest.mark.skipif(not (DATA / "all_runs.zip").is_file(), reason="the characters do not ship")
def test_the_published_runs_are_whole_and_the_distance_that_they_came_with_errs() -> None:
    read = runs()
    assert all(run.truth.sort().values.equal(torch.arange(20)) for run in read)
    assert errors(hausdorff_scores(read[:1]), read[:1]).tolist() == pytest.approx([0.45])


def test_the_distance_of_dots_is_the_greater_mean_of_nearest_ones() -> None:
    ink = _strokes(11, 4)
    run = Run(laid(ink[:2]), laid(ink[2:]), torch.arange(2), (ink[:2], ink[2:].roll(3, 1)))
    found = -hausdorff_scores([run])[0]
    for asked in range(2):
        for known in range(2):
            one, other = (part.nonzero().double().numpy() for part in (ink[known], ink[2 + asked]))
            far = np.linalg.norm((one - one.mean(0))[:, None] - (other - other.mean(0)), axis=2)
            assert found[asked, known].item() == pytest.approx(
                max(far.min(0).mean(), far.min(1).mean()), rel=1e-4
            )


def test_a_drawing_is_laid_the_same_wherever_and_however_large_it_was() -> None:
    ink = _strokes(1, 4)
    moved = ink.roll((12, -8), (1, 2))
    middle = ink[:, 20:85, 20:85]  # as many dots, each of four
    large = middle.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, 12:117, 12:117]
    plain, whole = warped(laid(ink)), warped(laid(ink), centred=False)
    assert (warped(laid(moved)) - plain).abs().mean() < 0.01
    assert (warped(laid(large)) - plain).abs().mean() < 0.5 * plain.mean()
    assert (warped(laid(moved), centred=False) - whole).abs().mean() > whole.mean()


def test_turns_and_mirrors_are_those_of_the_picture() -> None:
    drawings = laid(_strokes(2, 3))
    plain = warped(drawings)
    assert torch.allclose(warped(drawings, quarters=2), plain.flip(2, 3), atol=1e-4)
    assert torch.allclose(warped(drawings, mirrored=True), plain.flip(3), atol=1e-4)
    once = warped(drawings, quarters=1)
    assert min((once - plain.rot90(way, (2, 3))).abs().max() for way in (1, 3)) < 1e-4


def test_warps_repeat_with_their_seed_and_bend_what_they_are_told_to() -> None:
    drawings = laid(_strokes(3, 5))

    def drawn(warp: Warp) -> Tensor:
        return warped(drawings, warp, torch.Generator().manual_seed(1))

    assert torch.equal(drawn(Warp()), drawn(Warp()))
    assert not torch.equal(drawn(Warp()), warped(drawings))
    assert torch.allclose(drawn(Warp(0.0, 0.0, 0.0, 0.0, 0.0)), warped(drawings), atol=1e-5)


def test_each_person_is_the_support_of_each_other_in_turn() -> None:
    torch.manual_seed(0)
    embedded = torch.randn(3, 4, 5)
    labels = torch.arange(4)[None]
    costs = []
    for known in range(3):
        for asked in range(3):
            if known != asked:
                episode = prototypical_episode(
                    Network(nn.Identity()), embedded[known][None], labels, embedded[asked][None], labels, 4
                )
                costs.append(cross_entropy(episode.outputs({}) / 7.0, labels, None))
    assert in_turn(embedded.flatten(0, 1), 3, 7.0).item() == pytest.approx(
        float(torch.cat(costs).mean()), rel=1e-5
    )


def test_an_episode_is_of_one_alphabet_and_each_row_by_one_person() -> None:
    ink = torch.zeros(2, 5, 3, 105, 105)  # alphabet, character, person: told apart by how dark the ink is
    ink[..., 30:70, 30:70] = 1.0
    dark = torch.arange(1, 31).reshape(2, 5, 3) / 31.0
    made = [
        Alphabet(name, laid((ink * dark[..., None, None])[at].flatten(0, 1)), 5, 3)
        for at, name in enumerate("ab")
    ]
    plain = Way(warp=None, turned=False)
    for seed in range(6):
        seen = (by_people(made, seed, 2, plain).amax((2, 3, 4)) * 31.0).round().long() - 1
        assert seen.shape == (2, 5)
        assert len((seen // 15).unique()) == 1
        assert torch.equal(seen[0] // 3, seen[1] // 3)  # the same characters
        assert len((seen[0] % 3).unique()) == len((seen[1] % 3).unique()) == 1
        assert seen[0, 0] % 3 != seen[1, 0] % 3
    mixed = by_people(made, 0, 2, replace(plain, within=False))
    assert mixed.shape[1] == 10
    assert torch.equal(by_people(made, 4, 2, Way()), by_people(made, 4, 2, Way()))


def test_a_network_learned_on_made_up_alphabets_names_those_of_another() -> None:
    old, new = [_alphabet(seed) for seed in range(2)], _alphabet(9)
    way = Way(iterations=12)
    learned = learn_prototypes(old, 0, way, people=3)
    pairs = pairs_of(new, 3)
    assert float(errors(nearest_scores(learned, pairs), pairs).mean()) < 0.2
    alone = learned(warped(pairs[0].asked[:1]))
    assert torch.allclose(
        learned(warped(pairs[0].asked))[:1], alone, atol=1e-4
    )  # nothing hangs on the others


def test_settled_statistics_are_means_over_episodes() -> None:
    module = nn.Sequential(nn.BatchNorm2d(1))
    parts = [torch.randn(4, 1, 2, 2) + at for at in range(50)]
    settled(module, lambda at: Together(module, parts[at], lambda output: output.sum()))
    layer = module[0]
    assert isinstance(layer, nn.BatchNorm2d)
    assert layer.running_mean is not None
    assert layer.running_mean.item() == pytest.approx(float(torch.stack(parts).mean()), rel=1e-4)
    assert not module.training


def test_methods_that_adapt_name_a_run() -> None:
    (pair,) = pairs_of(_alphabet(5), 1)
    for name, method in ADAPTING.items():
        torch.manual_seed(0)
        network = Network(with_head(4))
        scores = adapted_scores(network, initial(method, network.start()), method, [pair])
        assert scores.shape == (1, 20, 20), name
        assert float(errors(scores, [pair]).mean()) < 0.85, name  # 0.95 by chance


def _task(whole: bool, network: Network, unlike: bool = False) -> NetworkEpisode:
    squares = warped(laid(_strokes(4, 40)))
    sampler = few_shot_classes(network, squares, torch.arange(40) // 10, ways=4, shots=2, queries=3, tasks=2)
    return styled_tasks(sampler, 4, whole=whole, unlike=unlike)(0)


@pytest.mark.parametrize(("whole", "hangs"), [(True, True), (False, False)])
def test_only_statistics_of_the_whole_task_let_drawings_answer_for_one_another(
    whole: bool, hangs: bool
) -> None:
    torch.manual_seed(0)
    network = Network(batch_statistics.embedding(4))
    episode = _task(whole, network)
    weights = dict.__or__(*episode.start(network.start()))
    together = episode.outputs(weights)[:, ::6]
    apart = asked_alone(episode, 6)
    alone = apart.outputs(dict.__or__(*apart.start(network.start())))[:, 0].unflatten(0, together.shape[:2])
    assert (not torch.allclose(together, alone, atol=1e-3)) is hangs


@pytest.mark.parametrize("whole", [True, False])
def test_drawings_answer_for_one_another_in_adaptation_where_the_whole_task_is_looked_at(whole: bool) -> None:
    torch.manual_seed(0)
    network = Network(adapting.classifier(batch_statistics.embedding(16)))
    squares = functional.avg_pool2d(warped(laid(_strokes(5, 60))), 2)
    episode = adapting.tasks(network, (squares, torch.arange(60) // 10), 2, 2, whole=whole, unlike=True)(0)
    learned = adapting.start(network, False)
    apart = asked_alone(episode, 5)
    together, alone = (part.outputs(adapt(adapting.METHOD, part, learned)) for part in (episode, apart))
    same = torch.allclose(together[:, ::5].flatten(0, 1), alone[:, 0], atol=1e-3)
    assert same is not whole


def test_averages_of_each_step_answer_as_the_support_that_they_were_taken_over() -> None:
    torch.manual_seed(0)
    network = Network(adapting.classifier(batch_statistics.embedding(16)))
    squares = functional.avg_pool2d(warped(laid(_strokes(5, 60))), 2)
    drawings = (squares, torch.arange(60) // 10)
    learned = adapting.start(network, False)
    keeper, means = adapting.averaged(network, learned, drawings, unlike=False, count=1)
    (episode,) = (adapting.tasks(network, drawings, (1, 5), 1)(0),)
    adapted = adapt(adapting.METHOD, episode, learned)
    last = {name.removeprefix("step/3/"): value for name, value in means.items() if "step/3/" in name}
    own = episode.outputs(adapted)
    kept = replace(episode, network=keeper).outputs({**adapted, **last})
    assert (own - kept).abs().max() < 0.1 * own.std()  # variances are of so many less one
    assert adapting.judged_error(episode, learned, (keeper, last)) == adapting.judged_error(episode, learned)


def test_tasks_of_their_own_ink_show_the_same_drawings() -> None:
    network = Network(nn.Flatten())
    plain, own = (_task(False, network, unlike) for unlike in (False, True))
    for one, other in zip(plain.inputs, own.inputs, strict=True):
        assert abs(np.corrcoef(one.flatten(), other.flatten())[0, 1]) == pytest.approx(1.0, abs=1e-4)
    assert not torch.allclose(own.inputs[0].amax(), own.inputs[1].amax())


def test_in_tasks_of_colours_the_character_says_nothing_and_the_colour_all() -> None:
    squares = warped(laid(_strokes(6, 60)))
    network = Network(feature_reuse.coloured_network())
    by_kind = {
        kind: feature_reuse.drawn(network, squares, 10, (kind,), 3, 8)
        for kind in ("colours", "strokes", "outlines")
    }
    shown = {kind: episode.inputs.sum((3, 4)) for kind, episode in by_kind.items()}
    colour = {kind: ink / ink.sum(2, keepdim=True) for kind, ink in shown.items()}
    within = {kind: float(value.unflatten(1, (5, 5)).std(2).mean()) for kind, value in colour.items()}
    assert within["colours"] < 0.3 * within["strokes"]
    strokes, outlines = (
        by_kind["strokes"].inputs,
        by_kind["outlines"].inputs,
    )  # of the same drawings and colours
    assert (strokes * outlines).sum() < 0.3 * strokes.square().sum()


def test_the_head_alone_adapts_where_that_is_said() -> None:
    network = Network(feature_reuse.coloured_network())
    episode = feature_reuse.drawn(network, warped(laid(_strokes(7, 60))), 10, ("strokes",), 0, 2)
    for name, whole in (("head alone (ANIL)", False), ("everything (MAML)", True)):
        method = feature_reuse.METHODS[name]
        fit = adapt(method, episode, initial(method, network.start()))
        first = fit["0.0.weight"]
        assert torch.equal(first[0], first[1]) is not whole
        assert not torch.equal(fit["1.weight"][0], fit["1.weight"][1])


def test_a_run_without_its_ink_has_no_distance_of_dots() -> None:
    drawings = laid(_strokes(8, 2))
    with pytest.raises(InputError, match="read it by `runs`"):
        hausdorff_scores([Run(drawings, drawings, torch.arange(2))])
