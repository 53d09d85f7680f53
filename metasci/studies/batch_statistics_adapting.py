"""Where batch normalisation takes its statistics in a network that adapts: MAML on five drawn characters.

Adaptation changes the weights, and with them what layers see: statistics of the task follow by themselves, averages do
not, unless each step keeps its own. Part of the study of `metasci.studies.batch_statistics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from metasci.meta import Network, NetworkEpisode, Outer, adapt, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.metrics import accuracy
from metasci.meta.networks.normalisation import Statistics
from metasci.meta.networks.per_step import PerStepEpisode, per_step_averages, per_step_start
from metasci.meta.networks.sampling import few_shot_classes
from metasci.studies.batch_statistics_tasks import asked_alone, new_squares, old_squares, own_ink, told
from metasci.studies.kept import kept_numbers
from metasci.studies.omniglot_networks import Together, Way, embedding, learned_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SHOTS", "SOURCES", "Source", "WholeTask", "adapting_figure", "adapting_scores"]


@dataclass(frozen=True)
class Source:
    """Where a network that adapts takes its statistics.

    Attributes
    ----------
    statistics : "task", "running" or "frozen"
        As for `Network`.
    whole : bool
        Whether what is asked is among the statistics of the task.
    each_step : bool
        Whether each step has averages of its own.
    trained : bool
        Whether the network begins as one that was trained to name all characters.
    """

    statistics: Statistics = "task"
    whole: bool = False
    each_step: bool = False
    trained: bool = False


SOURCES: dict[str, Source] = {
    "whole task": Source(whole=True),
    "support": Source(),
    "running": Source("running"),
    "running, of each step": Source("running", each_step=True),
    "support, trained before": Source(trained=True),
    "frozen, trained before": Source("frozen", trained=True),
}
"""What is learned; the averages of ``"support"`` after learning are judged beside it."""

SHOTS = (1, 5)
"""Drawings known of each of five classes, in the tasks that judge."""

METHOD = named.maml(3, 0.1, learned="tensor")
"""Three steps, of a learned size for each tensor."""

_WAYS, _LEARNED_SHOTS, _ASKED, _TASKS, _WIDTH = 5, (1, 5), 3, 1, 16
_ITERATIONS, _RATE = 500, 2e-3
_BEFORE, _NAMED_AT_ONCE = 500, 64  # iterations of plain classification, and drawings of each
_JUDGED, _SETTLED = 60, 60  # tasks of each kind that judge, and that averages are taken over


@dataclass(frozen=True)
class WholeTask(NetworkEpisode):
    """Tasks whose normalisation sees what is asked, too, while they adapt and when they are judged."""

    def support(self, parameters: Parameters) -> Tensor:
        """Loss of each task's support, (task,)."""
        return self.loss(self._all(parameters)[:, : self.targets.shape[1]], self.targets, self.mask)

    def outputs(self, parameters: Parameters) -> Tensor:
        """What the network says of what is asked, (task, case, class)."""
        return self._all(parameters)[:, self.targets.shape[1] :]

    def _all(self, parameters: Parameters) -> Tensor:
        asked = torch.ones(self.query_targets.shape, dtype=torch.bool)
        both = torch.cat([self.inputs, self.query_inputs], 1)
        return self.network(parameters, both, torch.cat([self._support_mask, asked], 1))


def classifier(body: nn.Module) -> nn.Sequential:
    """A linear head of zeros for five classes behind the body."""
    head = nn.Linear(2 * _WIDTH, _WAYS)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(body, head)


def _named_before(squares: Tensor, numbers: Tensor, unlike: bool, seed: int, keep: Path) -> nn.Module:
    """A body that was trained to name all characters, with its averages; each drawing has its own ink if unlike."""
    body = embedding(_WIDTH)
    module = nn.Sequential(body, nn.Linear(2 * _WIDTH, int(numbers.max()) + 1))

    def draw(at: int) -> Together:
        rows = torch.randperm(len(squares), generator=torch.Generator().manual_seed(at))[:_NAMED_AT_ONCE]
        seen = squares[rows][:, None]
        seen = own_ink({"seen": seen}, at)["seen"] if unlike else seen
        return Together(module, seen[:, 0], partial(functional.cross_entropy, target=numbers[rows]))

    way = Way(iterations=_BEFORE, rate=_RATE)
    learned_by(module, draw, seed, way, keep / _file("named", unlike, seed, "checkpoint"), progress=True)
    return body


def _file(name: str, unlike: bool, seed: int, kind: str) -> str:
    plain = name.replace(", ", "-").replace(" ", "-")
    return f"{plain}-{'unlike' if unlike else 'alike'}-{seed}.{kind}"


Draw = Callable[[int], NetworkEpisode]


def tasks(
    network: Network,
    drawings: tuple[Tensor, Tensor],
    shots: int | tuple[int, int],
    count: int,
    *,
    whole: bool = False,
    each_step: bool = False,
    unlike: bool = False,
) -> Draw:
    """Tasks of five characters; each has an ink of its own if they are unlike."""
    sampler = few_shot_classes(network, *drawings, ways=_WAYS, shots=shots, queries=_ASKED, tasks=count)

    def draw(seed: int) -> NetworkEpisode:
        plain = sampler(seed)
        given = plain.tensors()
        if unlike:
            given |= own_ink({name: given[name] for name in ("inputs", "query_inputs")}, seed)
        if each_step:
            return PerStepEpisode(network, **given, loss=plain.loss, method=METHOD)
        return (WholeTask if whole else NetworkEpisode)(network, **given, loss=plain.loss)

    return draw


def start(network: Network, each_step: bool) -> Parameters:
    """All that is learned, at its first values."""
    weights = network.start()
    if not each_step:
        return {**initial(METHOD, weights), **(network.buffers() if network.statistics == "running" else {})}
    return {**initial(METHOD, weights), **per_step_start(network, weights, METHOD.steps, scales=False)}


def _learn(name: str, unlike: bool, seed: int, keep: Path) -> tuple[Network, Parameters]:
    source, drawings = SOURCES[name], old_squares()
    torch.manual_seed(seed)
    body = _named_before(*drawings, unlike, seed, keep) if source.trained else embedding(_WIDTH)
    network = Network(classifier(body), source.statistics)
    draw = tasks(
        network,
        drawings,
        _LEARNED_SHOTS,
        _TASKS,
        whole=source.whole,
        each_step=source.each_step,
        unlike=unlike,
    )
    done = meta_train(
        METHOD,
        draw,
        start(network, source.each_step),
        Outer(_ITERATIONS, _RATE, schedule="cosine", clip=10.0),
        seed=seed,
        compile=False,
        checkpoint=keep / _file(name, unlike, seed, "checkpoint"),
        progress=True,
    )
    return network, done.learned


def averaged(
    network: Network,
    learned: Parameters,
    drawings: tuple[Tensor, Tensor],
    *,
    unlike: bool,
    count: int = _SETTLED,
) -> tuple[Network, Parameters]:
    """A network with averages over supports at each step's weights, on a way that the support's statistics made."""
    keeper = Network(classifier(embedding(_WIDTH)), "running")
    for layer in keeper.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # what is kept is what was seen last
    draw = tasks(network, drawings, _LEARNED_SHOTS, 1, each_step=True, unlike=unlike)
    seen = []
    for at in range(count):
        episode = draw(at)
        assert isinstance(episode, PerStepEpisode)
        seen.append(per_step_averages(episode, learned, keeper.module))
    means = {name: torch.stack([one[name] for one in seen]).mean(0) for name in seen[0]}
    return keeper, {**learned, **means}


def judged_error(
    episode: NetworkEpisode, learned: Parameters, then: tuple[Network, Parameters] | None = None
) -> float:
    """Share of what is asked that is named wrongly after adaptation.

    Parameters
    ----------
    episode : NetworkEpisode
    learned : dict of Tensor
    then : pair of Network and dict of Tensor, optional
        That say what is asked, with the averages given and the weights that adaptation led to.
    """
    wrong, count = 0.0, 0
    for place in torch.arange(len(episode)).split(20):
        part = episode.select(place)
        adapted = adapt(METHOD, part, learned)
        if then is not None:
            part, adapted = replace(part, network=then[0]), {**adapted, **then[1]}
        with torch.no_grad():
            found = accuracy(part.outputs(adapted), part.query_targets)
        wrong += (1.0 - float(found)) * len(place)
        count += len(place)
    return wrong / count


def _judged(name: str, unlike: bool, seed: int, keep: Path) -> list[dict[str, Any]]:
    """Errors of what is learned from a source, and of its averages after learning, by tasks alike and unlike."""
    source = SOURCES[name]
    network, learned = _learn(name, unlike, seed, keep)
    rows: list[dict[str, Any]] = []

    def add(
        told_as: str,
        draw: Callable[..., Draw],
        weights: Parameters,
        then: tuple[Network, Parameters] | None = None,
        alone: bool = False,
    ) -> None:
        for judge in (False, True):
            for shots in SHOTS:
                episode = draw(new_squares(), shots, _JUDGED, unlike=judge)(10_000 + seed)
                episode = asked_alone(episode, 4) if alone else episode
                row: dict[str, Any] = {"learned from": told(unlike), "judged by": told(judge)}
                row |= {"statistics": told_as, "shots": shots, "seed": seed}
                rows.append({**row, "error": judged_error(episode, weights, then)})

    draw = partial(tasks, network, whole=source.whole, each_step=source.each_step)
    add(name, draw, learned)
    if source.whole:
        add(f"{name}, asked one by one", draw, learned, alone=True)
    if name == "support":
        keeper, means = averaged(network, learned, old_squares(), unlike=unlike)
        add("support, averages of each step later", partial(tasks, keeper, each_step=True), means)
        step = f"step/{METHOD.steps}/"
        last = {key.removeprefix(step): value for key, value in means.items() if key.startswith(step)}
        add("support, averages for what is asked", draw, learned, (keeper, last))
    return rows


def adapting_scores(keep: Path, seeds: int) -> pd.DataFrame:
    """Error by where statistics come from, what was learned from, and what judges; what is done is kept in a folder."""
    rows = []
    for seed in range(seeds):
        for unlike in (False, True):
            for name in SOURCES:
                file = keep / _file(name, unlike, seed, "json")
                rows += kept_numbers(file, partial(_judged, name, unlike, seed, keep))
    return pd.DataFrame(rows)


def adapting_figure(table: pd.DataFrame) -> Figure:
    """Error against the drawings known of each class, a panel for each kind of learning and judging."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    lines = {
        "whole task": (PALETTE[0], "-"),
        "support": (PALETTE[1], "-"),
        "support, averages for what is asked": (PALETTE[1], "--"),
        "running": (PALETTE[2], "-"),
        "running, of each step": (PALETTE[2], "--"),
        "frozen, trained before": (PALETTE[3], "-"),
        "support, trained before": (PALETTE[4], "-"),
    }

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(7.2, 5.2), layout="constrained")
        kinds = list(dict.fromkeys(zip(table["learned from"], table["judged by"], strict=True)))
        for axes, (learned, judge) in zip(drawing.subplots(2, 2, sharey=True).flat, kinds, strict=True):
            part = table[(table["learned from"] == learned) & (table["judged by"] == judge)]
            for name, (colour, dashes) in lines.items():
                means = part[part["statistics"] == name].groupby("shots")["error"].mean()
                axes.plot(
                    means.index, 100.0 * means, dashes, marker="o", color=colour, markersize=3.5, label=name
                )
            chance = 100.0 * (1.0 - 1.0 / _WAYS)
            axes.axhline(chance, color="0.6", linewidth=0.8, linestyle=":", zorder=0, label="chance")
            axes.set(title=f"learned from {learned},\njudged by {judge}", xticks=SHOTS, ylim=(0.0, 84.0))
        for place in (0, 2):
            drawing.axes[place].set_ylabel("error (%)")
        for place in (2, 3):
            drawing.axes[place].set_xlabel("drawings known of each of five classes")
        drawing.legend(*drawing.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return drawing

    return draw()
