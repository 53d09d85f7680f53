"""Networks of structures that learn from new families on top of old ones, whose data may be gone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import metasci as ms
from metasci.errors import InputError
from metasci.files import tensors_checksum
from metasci.learned.members import members_of
from metasci.learned.networks import NetworkMethod, episode_of
from metasci.learned.ways import WAYS
from metasci.meta import Outer, meta_train
from metasci.priors.networks import NetworkPrior, learn_networks
from metasci.priors.networks_on_top import remembered

pytest.importorskip("rdkit")
pytest.importorskip("torch_geometric")

POOLED, HEAD, MAML = "network, not adapted", "Gaussian-process head", "MAML, everything"
FIRST = ["aliphatic alkene", "aliphatic ether", "alkane", "aliphatic chloride", "aliphatic sulfide"]
LATER = ["aliphatic ketone", "aliphatic aldehyde", "aliphatic nitrile"]  # more polar


def learned_first(tasks: ms.TaskSet, ways: tuple[str, ...], iterations: int) -> NetworkPrior:
    from metasci.materials.architectures import Architecture
    from metasci.materials.properties import boiling_point

    chosen = {name: dataclasses.replace(WAYS[name], iterations=iterations) for name in ways}
    method = NetworkMethod(
        Architecture("smiles", width=8, layers=1), ways=chosen, networks=1, tasks=6, query=6, first=iterations
    )
    return learn_networks(boiling_point, tasks.select(FIRST), method)


@pytest.fixture(scope="module")
def families() -> ms.TaskSet:
    from metasci.materials.properties import boiling_point

    return ms.dataset("boiling_points", model=boiling_point)


@pytest.fixture(scope="module")
def brief(families: ms.TaskSet) -> NetworkPrior:
    return learned_first(families, (POOLED, HEAD, MAML), 5)


def error(prior: NetworkPrior, tasks: ms.TaskSet, way: str) -> float:
    """Mean absolute error (K) of all members, none of them known."""
    batch = prior.batch(tasks)
    said = prior.forecasters(tasks)[way](batch, torch.zeros_like(batch.mask), batch.mask)
    return float((said.median - batch.output)[batch.mask].abs().mean())


@pytest.mark.parametrize("way", [POOLED, pytest.param(HEAD, marks=pytest.mark.slow)])
def test_new_families_are_learned_and_old_ones_less_forgotten_than_by_fine_tuning(
    families: ms.TaskSet, way: str
) -> None:
    old, new = families.select(FIRST), families.select(LATER)
    first = learned_first(families, (way,), 80)
    held, plain = first.update(new), first.update(new, times=0.0)
    assert error(held, new, way) < 0.75 * error(first, new, way)
    rise = {
        name: error(prior, old, way) - error(first, old, way)
        for name, prior in (("held", held), ("plain", plain))
    }
    assert rise["plain"] > 5.0  # there is something to forget
    assert rise["held"] < 0.8 * rise["plain"]


def test_an_updated_prior_goes_through_a_file_and_is_updated_again(
    brief: NetworkPrior, families: ms.TaskSet, tmp_path: Path
) -> None:
    brief.save(tmp_path / "first")
    again = ms.load(tmp_path / "first").update(families.select(LATER[:1]))
    straight = brief.update(families.select(LATER[:1]))
    again.save(tmp_path / "second")
    twice = ms.load(tmp_path / "second").update(families.select(LATER[1:]))
    for way, networks in straight.ways.items():
        for mine, other in zip(networks, again.ways[way], strict=True):
            assert all(torch.equal(mine.tensors[name], other.tensors[name]) for name in mine.tensors)
            assert mine.widths == other.widths
    counts = families.to_frame()["task"].value_counts()
    assert twice.training["tasks"] == len(FIRST) + len(LATER)
    assert twice.training["measurements"] == counts[FIRST + LATER].sum()
    kept = twice.ways[HEAD][0].kept
    assert kept is not None
    # the one network has not seen one of five parts, the largest of the first families
    assert kept.cases == counts[FIRST + LATER].sum() - counts[FIRST].max()
    assert all(
        (kept.precision[name] >= value).all() for name, value in straight.ways[HEAD][0].kept.precision.items()
    )


@pytest.mark.parametrize("way", [POOLED, HEAD, MAML])
def test_nothing_held_is_plain_learning_and_all_held_stays(
    brief: NetworkPrior, families: ms.TaskSet, way: str
) -> None:
    new = families.select(LATER)
    alone = dataclasses.replace(brief, ways={way: brief.ways[way]})
    before = alone.ways[way][0]
    members = members_of(new, alone.model, alone.scales, alone.method.architecture.graph, alone.method.beside)
    everyone, seen = torch.arange(len(new)), round(before.kept.cases)

    def draw(seed: int) -> object:
        choice = members.drawn(everyone, seed + seen, alone.method.tasks, alone.method.query)
        return episode_of(members, before.network, before.way, choice)

    outer = Outer(before.way.iterations, alone.method.rate, schedule="cosine", clip=10.0)
    plain = meta_train(before.way.composition, draw, before.tensors, outer, seed=1_001).learned
    free = alone.update(new, times=0.0).ways[way][0].tensors
    assert all(torch.allclose(free[name], value, atol=1e-7) for name, value in plain.items())
    wholly = {name: torch.full_like(value, 1e12) for name, value in before.start.items()}
    stiff = dataclasses.replace(before, kept=dataclasses.replace(before.kept, precision=wholly))
    held = dataclasses.replace(alone, ways={way: (stiff,)}).update(new).ways[way][0].tensors

    def moved(there: dict[str, torch.Tensor]) -> float:
        off = torch.cat([(there[name] - value).ravel() for name, value in before.start.items()])
        return float(off.square().mean().sqrt())

    assert moved(held) < 0.2 * moved(free)


def test_new_families_judge_before_they_are_learned_from(brief: NetworkPrior, families: ms.TaskSet) -> None:
    new = families.select(LATER)
    before, after = brief.ways[POOLED][0], brief.update(new, times=0.0).ways[POOLED][0]
    # of a network that does not adapt the spread is one: nine tenths of errors reach as far as the width says
    batch = brief.batch(new)
    said = brief.forecasters(new)[POOLED](batch, torch.zeros_like(batch.mask), batch.mask)
    off = (said.median - batch.output).abs() / brief.scales["target_scale"]
    each = [off[row][batch.mask[row]] for row in range(len(new))]
    weight = torch.cat([torch.full_like(values, 1.0 / len(values)) for values in each])
    values, order = torch.cat(each).sort()
    reach = values[int((weight[order].cumsum(0) < 0.9 * len(new)).sum())] / 1.6448536
    assert before.judges[0] == 1
    assert after.judges[0] == 1 + len(new)
    assert after.widths[0] == pytest.approx(float(before.widths[0] ** 0.25 * reach**0.75), rel=1e-4)


def test_random_signs_estimate_the_information_of_the_members_one_by_one(
    brief: NetworkPrior, families: ms.TaskSet
) -> None:
    method, trained = brief.method, brief.ways[POOLED][0]
    longer = dataclasses.replace(trained, way=dataclasses.replace(trained.way, iterations=180), kept=None)
    members = members_of(
        families.select(LATER), brief.model, brief.scales, method.architecture.graph, method.beside
    )
    everyone, off = torch.arange(len(LATER)), []
    for seed in range(20):
        choice = members.drawn(everyone, seed, method.tasks, method.query)
        episode = episode_of(members, trained.network, trained.way, choice)
        outputs = episode.outputs(dict.__or__(*episode.start(trained.tensors))).detach()
        off.append((outputs - episode.query_targets)[..., 0][choice.judged_mask])
    errors = torch.cat(off)
    # of the head's bias the slope of a squared error is twice the error, and the noise is what the errors scatter by
    slopes, variance = 2.0 * errors, errors.square().mean()
    expected = float(members.mask.sum() * slopes.square().mean() / (2.0 * variance))
    kept = remembered(longer, method, members, everyone).kept
    assert kept is not None
    assert float(kept.precision["head.bias"]) == pytest.approx(expected, rel=0.45)
    again = remembered(dataclasses.replace(longer, kept=kept), method, members, everyone).kept
    assert again is not None
    torch.testing.assert_close(again.precision["head.weight"], 2.0 * kept.precision["head.weight"])
    assert again.cases == 2.0 * float(members.mask.sum())


def test_a_prior_saved_without_what_is_kept_loads_and_says_what_to_do(
    brief: NetworkPrior, families: ms.TaskSet, tmp_path: Path
) -> None:
    older = dataclasses.replace(
        brief,
        ways={
            way: tuple(dataclasses.replace(each, kept=None) for each in networks)
            for way, networks in brief.ways.items()
        },
    )
    older.save(tmp_path / "older")
    again = ms.load(tmp_path / "older")
    new = families.select(LATER[:1])
    torch.testing.assert_close(error(again, new, HEAD), error(brief, new, HEAD))
    with pytest.raises(InputError, match="saved without what stands in for its families: learn it anew"):
        again.update(new)
    nothing = pd.DataFrame({"smiles": ["CCCC=O", "CCCCC=O"], "boiling_point [K]": [None, None]})
    with pytest.raises(InputError, match="no member that was measured"):
        brief.update(brief.read(nothing))
    recipe = dataclasses.replace(brief, ways={})
    with pytest.raises(InputError, match="still to be learned"):
        recipe.update(new)


def test_what_a_file_says_of_what_is_kept_is_checked(brief: NetworkPrior, tmp_path: Path) -> None:
    for name, change, reason in (
        ("kept/cases", lambda value: -value - 1.0, "must not be below zero"),
        ("kept/precision/head.bias", lambda value: value * torch.nan, "not finite"),
        ("kept/precision/head.bias", lambda value: value[:0], "another shape"),
        ("kept/judges", lambda value: value - 99.0, "must not be below zero"),
    ):
        brief.save(tmp_path)
        tensors = load_file(tmp_path / "prior.safetensors")
        place = f"way 1/network 1/{name}"
        tensors[place] = change(tensors[place])
        save_file(tensors, tmp_path / "prior.safetensors", {"format": brief.format})
        description = json.loads((tmp_path / "prior.json").read_text())
        description["tensors_sha256"] = tensors_checksum(tensors)
        (tmp_path / "prior.json").write_text(json.dumps(description))
        with pytest.raises(InputError, match=reason):
            ms.load(tmp_path)
