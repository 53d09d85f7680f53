"""Codes and process heads in the engine; networks of graphs on real families."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch

from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, Outer, adapt, initial, meta_gradient, meta_train, named
from metasci.meta.networks.codes import Coded, with_code
from metasci.meta.networks.linear_head import posterior
from metasci.meta.networks.process_head import (
    ProcessHeadEpisode,
    covariance,
    process_posterior,
    process_start,
)

FLOAT = torch.float64
WAYS = ("CAVIA, code of 8", "Gaussian-process head")


# codes --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["molecules", "compositions"])
def test_meta_gradients_of_a_code_are_exact_and_only_the_code_moves(kind: str) -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("ase")
    from metasci.materials.graphs import composition_graph, molecule_graph, stacked
    from metasci.materials.networks import CompositionNetwork, GraphNetwork

    torch.manual_seed(0)
    if kind == "molecules":
        graphs = [molecule_graph(text) for text in ("CCO", "CCCO", "CO", "CC=O", "c1ccccc1C=O", "CCC=O")]
        module: torch.nn.Module = GraphNetwork(15, 5, width=6, conditions=1 + 2)
    else:
        graphs = [
            composition_graph(text) for text in ("CoNi", "CoCrFeNi", "AlCoNi", "TiZr", "NbTi2", "HfTiZr")
        ]
        module = CompositionNetwork(7, width=6, conditions=1 + 2)
    flat = stacked(graphs, FLOAT)
    batch = {name: values.reshape(2, 3, *values.shape[1:]) for name, values in flat.items()}
    batch["conditions"] = torch.linspace(-1, 1, 6, dtype=FLOAT).reshape(2, 3, 1)
    network = Network(Coded(module.to(FLOAT), 2))
    targets = torch.linspace(-1, 1, 6, dtype=FLOAT).reshape(2, 3, 1)
    episode = NetworkEpisode(network, batch, targets, batch, targets.flip(1))
    method = named.cavia(3, 0.5, learned="scalar")
    learned = initial(method, network.start())
    _, gradient = meta_gradient(method, episode, learned)
    generator = torch.Generator().manual_seed(1)
    along = {n: torch.randn(v.shape, generator=generator, dtype=FLOAT) for n, v in learned.items()}

    def moved(step: float) -> float:
        there = {name: value + step * along[name] for name, value in learned.items()}
        return float(meta_gradient(method, episode, there)[0].mean())

    exact = sum(float((gradient[name] * along[name]).sum()) for name in learned)
    assert exact == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, rel=1e-5)
    adapted = adapt(method, episode, learned)
    for name, value in network.start().items():
        still = torch.equal(adapted[name], value.expand(2, *value.shape))
        assert still == (name != "code"), name


def test_a_code_finds_the_one_hidden_number_by_which_tasks_differ() -> None:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(1 + 1, 24), torch.nn.Tanh(), torch.nn.Linear(24, 1))
    network = Network(Coded(layers, 1))
    method = named.cavia(4, 1.0, learned="scalar")

    def draw(seed: int, tasks: int = 16) -> tuple[NetworkEpisode, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        hidden = 2 * torch.rand(tasks, 1, 1, generator=generator) - 1
        x = 4 * torch.rand(tasks, 20, 1, generator=generator) - 2
        y = torch.sin(x + hidden)
        return NetworkEpisode(network, x[:, :5], y[:, :5], x[:, 5:], y[:, 5:]), hidden[:, 0, 0]

    start = initial(method, network.start())
    done = meta_train(
        method, lambda seed: draw(seed)[0], start, Outer(400, 0.02, schedule="cosine", clip=10.0)
    )
    test, hidden = draw(10**6, tasks=100)
    adapted = adapt(method, test, done.learned)
    unmoved = test.query(
        {n: v.expand(100, *v.shape) for n, v in done.learned.items() if n in network.start()}
    )
    assert float(test.query(adapted).mean()) < 0.1 * float(unmoved.mean())
    assert abs(float(torch.corrcoef(torch.stack([adapted["code"][:, 0], hidden]))[0, 1])) > 0.97


def test_what_a_code_cannot_be() -> None:
    with pytest.raises(InputError, match="at least one"):
        Coded(torch.nn.Linear(1, 1), 0)
    with pytest.raises(InputError, match="dict of tensors"):
        with_code([torch.zeros(2, 1)], torch.zeros(1))


# the process head ---------------------------------------------------------------------------------
def test_the_process_head_is_the_conditional_of_a_joint_gaussian() -> None:
    generator = torch.Generator().manual_seed(0)
    seen, new, y = (torch.randn(*s, generator=generator, dtype=FLOAT) for s in ((2, 4, 3), (2, 5, 3), (2, 4)))
    mask = torch.tensor([[True] * 4, [False, True, True, False]])
    values = {"level": 0.6, "plane": 0.8, "bend": 0.5, "length": 0.9, "noise": 0.3}
    scales = {name: torch.tensor(value, dtype=FLOAT) for name, value in values.items()}
    mean, variance = process_posterior(seen, y, mask, new, scales)
    for task in range(2):
        points = torch.cat([seen[task][mask[task]], new[task]])
        far = (points[:, None] - points[None]).square().mean(-1)
        joint = 0.36 + 0.64 * (points @ points.T) / 3 + 0.25 * torch.exp(-0.5 * far / 0.81)
        count = int(mask[task].sum())
        known = joint[:count, :count] + (0.09 + 1e-5) * torch.eye(count, dtype=FLOAT)
        gain = joint[count:, :count] @ torch.linalg.inv(known)
        torch.testing.assert_close(mean[task], gain @ y[task][mask[task]])
        torch.testing.assert_close(
            variance[task], (joint[count:, count:] - gain @ joint[:count, count:]).diagonal()
        )


def test_a_process_head_with_a_plane_alone_is_the_linear_head() -> None:
    generator = torch.Generator().manual_seed(1)
    seen, new, y = (torch.randn(*s, generator=generator, dtype=FLOAT) for s in ((2, 4, 3), (2, 5, 3), (2, 4)))
    mask = torch.ones(2, 4, dtype=torch.bool)
    tiny, spread, noise = (torch.tensor(v, dtype=FLOAT) for v in (1e-6, 0.7, 0.5))
    scales = {"level": tiny, "plane": spread, "bend": tiny, "length": spread, "noise": noise}
    torch.testing.assert_close(
        process_posterior(seen, y, mask, new, scales), posterior(seen, y, mask, new, spread, noise),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert covariance(seen, new, scales).shape == (2, 4, 5)


# real families ------------------------------------------------------------------------------------
@functools.cache
def organic():  # type: ignore[no-untyped-def]
    """Families of boiling points: some to learn from, and three that boil higher than their size says."""
    pytest.importorskip("rdkit")
    from metasci.studies.graph_networks import CASES

    tasks = CASES["boiling-points"].tasks()
    out = ["aliphatic alcohol", "aliphatic nitrile", "aliphatic acid"]
    known = [
        "aliphatic alkene",
        "aliphatic ether",
        "aliphatic ketone",
        "aliphatic chloride",
        "aliphatic bromide",
    ]
    known += ["aliphatic primary amine", "aliphatic secondary amine", "aliphatic aldehyde", "aliphatic thiol"]
    return tasks.select(known), tasks.select(out)


@functools.cache
def learned():  # type: ignore[no-untyped-def]
    from metasci.priors.networks import learn_networks
    from metasci.studies.graph_networks import CASES

    case = CASES["boiling-points"]
    ways = {name: dataclasses.replace(case.networks.ways[name], iterations=50) for name in WAYS}
    method = dataclasses.replace(case.networks, ways=ways, networks=1, first=60)
    return learn_networks(case.model, organic()[0], method)


def shares(prior, tasks, shots: int, seeds: int = 3):  # type: ignore[no-untyped-def]
    from metasci.evaluation.protocol import split_tasks
    from metasci.studies.graph_networks import PROTOCOL

    batch = prior.batch(tasks)
    split = split_tasks(batch.mask, shots, PROTOCOL, seeds)
    return batch.select(split.task), split


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_five_members_help_on_families_that_were_left_out(way: str) -> None:
    prior, tasks = learned(), organic()[1]
    error, covered, mean_error = {}, {}, 0.0
    for shots in (0, 5):
        batch, split = shares(prior, tasks, shots)
        said = prior.forecasters(tasks)[way](batch, split.support, split.query)
        off = torch.where(split.query, (said.median - batch.output).abs(), 0.0).sum(1) / split.query.sum(1)
        error[shots] = float(off.mean())
        low, high = said.interval(0.9)
        inside = (low <= batch.output) & (batch.output <= high)
        covered[shots] = float(inside[split.query].double().mean())
        if shots:
            level = torch.where(split.support, batch.output, 0.0).sum(1, keepdim=True) / shots
            alone = torch.where(split.query, (level - batch.output).abs(), 0.0).sum(1) / split.query.sum(1)
            mean_error = float(alone.mean())
    assert error[5] < 0.9 * error[0]
    assert error[5] < 0.5 * mean_error
    assert 0.6 < covered[5] <= 1.0


@pytest.mark.parametrize("way", WAYS)
def test_forecasts_see_the_support_alone_and_no_order_of_members(way: str) -> None:
    prior, tasks = learned(), organic()[1]
    batch, split = shares(prior, tasks, 5, seeds=1)
    said = prior.forecasters(tasks)[way](batch, split.support, split.query)
    values = tasks.dataset["boiling_point"].values.copy()
    hidden = ~split.support.numpy() & np.isfinite(values)
    values[hidden] += 50.0 * np.random.default_rng(0).normal(size=hidden.sum())
    other_values = tasks.dataset["boiling_point"].copy(data=values)
    changed = type(tasks).from_dataset(
        tasks.dataset.assign(boiling_point=other_values), tasks.card, model=prior.model
    )
    other = prior.batch(changed)
    torch.testing.assert_close(
        prior.forecasters(changed)[way](other, split.support, split.query).median[split.query],
        said.median[split.query], rtol=0.0, atol=0.0,
    )  # fmt: skip
    # one family by itself, its members in another order
    alone = tasks.select([tasks.names[0]])
    own, support = prior.batch(alone), split.support[:1, : int(alone.counts.max())]
    turned = torch.randperm(support.shape[1], generator=torch.Generator().manual_seed(2))
    mixed = type(tasks).from_dataset(
        alone.dataset.isel(observation=turned.numpy()), tasks.card, model=prior.model
    )
    straight = prior.forecasters(alone)[way](own, support, ~support)
    shuffled = prior.forecasters(mixed)[way](prior.batch(mixed), support[:, turned], ~support[:, turned])
    torch.testing.assert_close(shuffled.median, straight.median[:, turned], rtol=0.0, atol=0.05)
    width = support.shape[1]
    torch.testing.assert_close(straight.median, said.median[:1, :width], rtol=0.0, atol=0.05)  # nor padding


def test_networks_of_a_way_are_one_row_of_the_table() -> None:
    pytest.importorskip("rdkit")
    from metasci.studies.graph_networks import shown, table

    errors = {"head": 3.0, "head, network 1": 4.0, "head, network 2": 6.0, "process": 5.0}
    kept = {"shots": 5, "mae_sd_over_seeds": 0.5, "coverage90": 0.9}
    rows = table({"results": [{"method": name, "mae": error, **kept} for name, error in errors.items()]})
    assert list(rows["method"]) == ["head", "process"]
    assert rows["mae_of_one_network"][0] == 5.0
    assert np.isnan(rows["mae_of_one_network"][1])
    assert rows["mae_sd_over_networks"][0] == pytest.approx(2.0**0.5)
    assert "3.0 ± 0.5 (90 %)" in shown(rows)


def test_what_a_network_is_told_beside_the_graph() -> None:
    from metasci.learned.members import members_of, scales_of
    from metasci.studies.graph_networks import CASES

    case, tasks = CASES["boiling-points"], organic()[1]
    seen = {}
    for beside in ("nothing", "descriptors"):
        scales = scales_of(tasks, case.model, beside)
        seen[beside] = members_of(tasks, case.model, scales, case.networks.architecture.graph, beside)
    assert seen["nothing"].conditions.shape[-1] == 0
    told = seen["descriptors"].conditions[seen["descriptors"].mask]
    torch.testing.assert_close(told.mean(0), torch.zeros(told.shape[1]), atol=1e-4, rtol=0.0)
    values = seen["nothing"].values[seen["nothing"].mask]
    assert float(values.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(values.std()) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(InputError, match="beside: 'everything' is not known"):
        scales_of(tasks, case.model, "everything")


def test_what_the_process_head_predicts_of_a_measurement_has_its_noise() -> None:
    """The variance of the function at a case and the noise's, around the network's mean."""
    network = Network(torch.nn.Linear(2, 1 + 2).to(FLOAT))
    generator = torch.Generator().manual_seed(1)
    x, y, new = (torch.randn(*s, generator=generator, dtype=FLOAT) for s in ((2, 4, 2), (2, 4, 1), (2, 3, 2)))
    episode = ProcessHeadEpisode(network, x, y, new, torch.zeros(2, 3, 1, dtype=FLOAT))
    learned = process_start(network) | {"head/log_noise": torch.tensor(math.log(0.7), dtype=FLOAT)}
    mean, sd = episode.predicted(dict.__or__(*episode.start(learned)))
    scales = {key.removeprefix("head/log_"): value.exp() for key, value in learned.items() if "/" in key}
    with torch.no_grad():
        seen, there = network.module(x), network.module(new)
    mask = torch.ones(2, 4, dtype=torch.bool)
    off, variance = process_posterior(
        seen[..., 1:], (y - seen[..., :1])[..., 0], mask, there[..., 1:], scales
    )
    torch.testing.assert_close(mean, there[..., 0] + off)
    torch.testing.assert_close(sd, (variance + 0.49).sqrt())
