"""Study: where batch normalisation takes its statistics. ``metasci study batch-statistics`` (some forty minutes).

Prototypical networks that learned the characters of one minimal background set of Omniglot, judged on alphabets of the
other one, with the mean and variance of each layer taken from the whole task, support and what is asked alike; from its
support; or from running averages over learning. Tasks are alike, black on white; or each has an ink and a paper of its
own. Then the same of a network that adapts (`metasci.studies.batch_statistics_adapting`). What is done is kept in the
folder: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn

from metasci.data.frames import csv_bytes
from metasci.files import write_atomically
from metasci.meta import Network, NetworkEpisode, Outer, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import cross_entropy
from metasci.meta.networks.metrics import accuracy
from metasci.meta.networks.prototypes import class_scores, prototypes
from metasci.meta.networks.sampling import few_shot_classes
from metasci.meta.networks.stateless import called
from metasci.report.style import save_figure
from metasci.studies.batch_statistics_adapting import adapting_figure, adapting_scores
from metasci.studies.batch_statistics_tasks import asked_alone, new_squares, old_squares, own_ink, told
from metasci.studies.omniglot_networks import embedding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SHAPES", "SOURCES", "Prototypes", "asked_alone", "figure", "main", "scores", "styled_tasks"]

SOURCES = ("whole task", "support", "running")
"""Where statistics come from."""
SHAPES = ((2, 1), (5, 1), (5, 5), (20, 1), (20, 5))
"""Ways and shots of the tasks that judge."""

_WIDTH, _TEMPERATURE = 16, 4.0
_WAYS, _SHOTS, _ASKED, _TASKS = 10, (1, 5), 3, 2  # of an episode
_ITERATIONS, _RATE, _SEEDS = 600, 2e-3, 1
ADAPTING_SEEDS = 1
_JUDGED = 50  # tasks of each shape
_SETTLED = 50  # episodes that averages are taken over

Draw = Callable[[int], NetworkEpisode]


@dataclass(frozen=True)
class Prototypes(NetworkEpisode):
    """Tasks of a prototypical network, whose normalisation looks at the support or at the whole task.

    Parameters
    ----------
    classes : int
    whole : bool
        Whether what is asked is among the statistics: then the answer to one drawing depends on which others are asked.
    """

    classes: int = 2
    whole: bool = False

    def outputs(self, parameters: Parameters) -> Tensor:
        """Log chances up to a constant, (task, case, class)."""
        both = torch.cat([self.inputs, self.query_inputs], 1)
        known = self._support_mask
        asked = torch.full(self.query_targets.shape, self.whole, dtype=torch.bool)
        seen = torch.cat([known, asked], 1) if self.network.looks_at_support else None
        embedded = self.network(parameters, both, seen)
        count = known.shape[1]
        centres = prototypes(embedded[:, :count], self.targets, self.classes, self.mask)
        return class_scores(embedded[:, count:], centres) / _TEMPERATURE

    def support(self, parameters: Parameters) -> Tensor:
        """There is nothing to descend on."""
        return next(iter(parameters.values())).new_zeros(len(self))


def styled_tasks(draw: Draw, classes: int, *, whole: bool, unlike: bool) -> Draw:
    """Prototypes for tasks of a sampler; if `unlike`, each task has a contrast, a sign and a level of its own."""

    def drawn(seed: int) -> NetworkEpisode:
        plain = draw(seed)
        parts = {"inputs": plain.inputs, "query_inputs": plain.query_inputs}
        if unlike:
            parts = own_ink(parts, seed)
        return Prototypes(
            plain.network,
            parts["inputs"],
            plain.targets,
            parts["query_inputs"],
            plain.query_targets,
            plain.mask,
            loss=cross_entropy,
            classes=classes,
            whole=whole,
        )

    return drawn


def _learn(source: str, unlike: bool, seed: int, keep: Path) -> tuple[Network, Parameters]:
    """A network and what it has learned, running averages with it if they are its source."""
    torch.manual_seed(seed)
    network = Network(embedding(_WIDTH), statistics="running" if source == "running" else "task")
    squares, numbers = old_squares()
    sampler = few_shot_classes(
        network, squares, numbers, ways=_WAYS, shots=_SHOTS, queries=_ASKED, tasks=_TASKS
    )
    draw = styled_tasks(sampler, _WAYS, whole=source == "whole task", unlike=unlike)
    method = named.pooled_training()
    start = initial(method, network.start())
    if source == "running":
        start |= network.buffers()
    outer = Outer(_ITERATIONS, _RATE, schedule="cosine")
    file = keep / f"{source.replace(' ', '-')}-{'unlike' if unlike else 'alike'}-{seed}.checkpoint"
    done = meta_train(method, draw, start, outer, seed=seed, compile=False, checkpoint=file, progress=True)
    return network, done.learned


def averaged(learned: Parameters, unlike: bool) -> tuple[Network, Parameters]:
    """A network with the mean statistics of whole episodes of learning, as layers are mostly used once learned."""
    module = embedding(_WIDTH)
    squares, numbers = old_squares()
    network = Network(module, statistics="running")
    sampler = few_shot_classes(
        network, squares, numbers, ways=_WAYS, shots=_SHOTS[1], queries=_ASKED, tasks=_TASKS
    )
    draw = styled_tasks(sampler, _WAYS, whole=True, unlike=unlike)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    module.train()
    weights = {name: learned[name] for name, _ in module.named_parameters()}
    with torch.no_grad():
        for at in range(_SETTLED):
            episode = draw(at)
            for known, asked in zip(episode.inputs, episode.query_inputs, strict=True):
                called(module, weights, torch.cat([known, asked]))
    return network, {
        **weights,
        **{name: value for name, value in module.named_buffers() if value.is_floating_point()},
    }


def scores(keep: Path, seed: int) -> pd.DataFrame:
    """Error by where statistics come from, what was learned from, and what judges."""
    squares, numbers = new_squares()
    rows = []
    for unlike in (False, True):
        networks = {
            source: (*_learn(source, unlike, seed, keep), source == "whole task") for source in SOURCES
        }
        _, learned, _ = networks["whole task"]
        networks["whole task, then running"] = (*averaged(learned, unlike), False)
        for name, (network, weights, whole) in networks.items():
            for judged in (False, True):
                for ways, shots in SHAPES:
                    sampler = few_shot_classes(
                        network, squares, numbers, ways=ways, shots=shots, queries=3, tasks=_JUDGED
                    )
                    episode = styled_tasks(sampler, ways, whole=whole, unlike=judged)(10_000 + seed)
                    row: dict[str, Any] = {
                        "learned from": told(unlike),
                        "judged by": told(judged),
                        "statistics": name,
                    }
                    row |= {"ways": ways, "shots": shots, "seed": seed}
                    rows.append({**row, "error": _error(episode, weights)})
                    if whole:
                        alone = asked_alone(episode, 6)
                        rows.append(
                            {
                                **row,
                                "statistics": f"{name}, asked one by one",
                                "error": _error(alone, weights),
                            }
                        )
    return pd.DataFrame(rows)


def _error(episode: NetworkEpisode, learned: Parameters) -> float:
    wrong, count = 0.0, 0
    with torch.no_grad():
        for place in torch.arange(len(episode)).split(10):
            part = episode.select(place)
            output = part.outputs(dict.__or__(*part.start(learned)))
            wrong += (1.0 - float(accuracy(output, part.query_targets))) * len(place)
            count += len(place)
    return wrong / count


def figure(table: pd.DataFrame) -> Figure:
    """Error against the drawings known of a task, a panel for each kind of learning and judging."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(7.2, 5.0), layout="constrained")
        kinds = list(dict.fromkeys(zip(table["learned from"], table["judged by"], strict=True)))
        names = list(dict.fromkeys(table["statistics"]))
        shapes = list(dict.fromkeys(zip(table["ways"], table["shots"], strict=True)))
        for axes, kind in zip(drawing.subplots(2, 2, sharey=True).flat, kinds, strict=True):
            part = table[(table["learned from"] == kind[0]) & (table["judged by"] == kind[1])]
            for colour, name in zip(PALETTE, names, strict=False):
                means = (
                    part[part["statistics"] == name].groupby(["ways", "shots"], sort=False)["error"].mean()
                )
                axes.plot(range(len(means)), 100.0 * means, "o-", color=colour, markersize=3.5, label=name)
            axes.set(title=f"learned from {kind[0]},\njudged by {kind[1]}", xticks=range(len(shapes)))
            axes.set_xticklabels([f"{ways} × {shots}" for ways, shots in shapes])
        for place in (0, 2):
            drawing.axes[place].set_ylabel("error (%)")
        for place in (2, 3):
            drawing.axes[place].set_xlabel("classes × drawings known of each")
        drawing.legend(*drawing.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the table, and write all figures and the picture into a folder."""
    torch.set_num_threads(1)
    keep = out / "learned"
    keep.mkdir(parents=True, exist_ok=True)
    tables = []
    for seed in range(_SEEDS):
        file = keep / f"errors-{seed}.json"
        if not file.exists():
            write_atomically(file, scores(keep, seed).to_json(orient="records").encode())
        tables.append(pd.DataFrame(json.loads(file.read_text())))
    table = pd.concat(tables)
    write_atomically(out / "batch_statistics.csv", csv_bytes(table))
    print(f"error (%) on new alphabets; classes × drawings known of each; seeds of learning: {_SEEDS}")
    table["task"] = [f"{ways} × {shots}" for ways, shots in zip(table["ways"], table["shots"], strict=True)]
    for (learned, judged), part in table.groupby(["learned from", "judged by"], sort=False):
        wide = part.pivot_table("error", "statistics", "task", sort=False)
        print(f"\nlearned from {learned}, judged by {judged}\n{(100.0 * wide).round(1).to_string()}")
    save_figure(figure(table), out / "batch_statistics.png", dpi=150)
    adapting(out)


def adapting(out: Path) -> None:
    """The same of a network that adapts, MAML: its tables, figures and picture."""
    table = adapting_scores(out / "learned" / "adapting", ADAPTING_SEEDS)
    write_atomically(out / "batch_statistics_adapting.csv", csv_bytes(table))
    print(f"\nMAML on five new characters, error (%); seeds of learning: {ADAPTING_SEEDS}")
    wide = table.pivot_table("error", "statistics", ["learned from", "judged by", "shots"], sort=False)
    wide.columns.names = ["learned from", "judged by", "drawings known of each"]
    print((100.0 * wide).round(1).to_string())
    save_figure(adapting_figure(table), out / "batch_statistics_adapting.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("batch_statistics"))
