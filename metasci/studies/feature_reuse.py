"""Study: when is it enough to adapt the head? ``metasci study feature-reuse`` (some fifteen minutes).

Five new characters of Omniglot, five drawings of each known, told by a network whose head alone adapts (ANIL), or of
which everything does (MAML). Both learned from filled strokes of any colour; they are judged by strokes, by outlines,
by turned strokes, and by tasks in which the colour of a drawing says its class and the character nothing.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from metasci.data.frames import csv_bytes
from metasci.files import write_atomically
from metasci.meta import (
    Composition,
    Network,
    NetworkEpisode,
    Outer,
    adapt,
    initial,
    meta_train,
    named,
)
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import cross_entropy
from metasci.meta.networks.metrics import accuracy
from metasci.meta.networks.prototypes import class_scores, prototypes
from metasci.report.style import save_figure
from metasci.studies.omniglot_drawings import Alphabet, background, warped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "LEARNED_FROM", "METHODS", "coloured", "drawn", "figure", "main", "scores"]

KINDS = ("strokes", "outlines", "turned strokes", "colours")
"""Of tasks that judge."""
LEARNED_FROM: dict[str, tuple[str, ...]] = {
    "strokes": ("strokes",),
    "strokes and colours": ("strokes", "colours"),
}
"""Kinds of tasks that are learned from."""

_STEPS, _PATIENT, _STEP = 3, 20, 0.1
METHODS: dict[str, Composition] = {
    "head alone (ANIL)": named.anil(("0.",), _STEPS, _STEP, learned="tensor"),
    "everything (MAML)": named.maml(_STEPS, _STEP, learned="tensor"),
}
"""What adapts; a step size is learned for each tensor."""

_WIDTH, _WAYS, _SHOTS, _ASKED, _TASKS = 16, 5, 5, 5, 1
_ITERATIONS, _RATE, _SEEDS = 600, 2e-3, 1
_JUDGED = 60  # tasks of each kind


def coloured_network() -> nn.Sequential:
    """Three layers of convolutions on pictures of three colours, normalised by batch, and a linear head of zeros."""
    wide = (3, _WIDTH, 2 * _WIDTH, 2 * _WIDTH)
    layers: list[nn.Module] = []
    for many, more in itertools.pairwise(wide):
        size, stride = (5, 2) if many == 3 else (3, 1)
        layers += [nn.Conv2d(many, more, size, stride, size // 2), nn.BatchNorm2d(more), nn.ReLU()]
        layers += [] if many == 3 else [nn.MaxPool2d(2)]
    head = nn.Linear(9 * 2 * _WIDTH, _WAYS)
    nn.init.zeros_(head.weight)
    return nn.Sequential(nn.Sequential(*layers, nn.Flatten()), head)


def coloured(ink: Tensor, hue: Tensor) -> Tensor:
    """Pictures of three colours, (picture, 3, ...), of ink (picture, 1, ...) and hues from 0 to 1.

    Examples
    --------
    >>> coloured(torch.ones(2, 1, 1, 1), torch.tensor([0.0, 1 / 3])).flatten(1).round(decimals=2).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    away = (hue[:, None] - torch.tensor([0.0, 1.0 / 3.0, 2.0 / 3.0])).remainder(1.0)
    parts = (2.0 - 6.0 * torch.minimum(away, 1.0 - away)).clamp(0.0, 1.0)
    return ink * parts[:, :, None, None]


def drawn(
    network: Network, squares: Tensor, people: int, kinds: Sequence[str], seed: int, tasks: int
) -> NetworkEpisode:
    """Tasks of five classes, each of a kind drawn from `kinds`.

    Parameters
    ----------
    network : Network
    squares : Tensor, (drawing, 1, 28, 28)
        Character after character.
    people : int
        Drawings of a character.
    kinds : sequence of str
    seed : int
    tasks : int
    """
    draw = np.random.default_rng(seed)
    each = _SHOTS + _ASKED
    parts = []
    for _ in range(tasks):
        kind = kinds[int(draw.integers(len(kinds)))]
        if kind == "colours":
            rows = draw.integers(len(squares), size=_WAYS * each)
            hue = (draw.random() + np.arange(_WAYS) / _WAYS).repeat(each) + draw.uniform(
                -0.04, 0.04, _WAYS * each
            )
        else:
            characters = draw.permutation(len(squares) // people)[:_WAYS]
            rows = np.concatenate([one * people + draw.permutation(people)[:each] for one in characters])
            hue = draw.random(_WAYS * each)
        ink = squares[torch.from_numpy(rows)]
        if kind == "outlines":
            ink = functional.max_pool2d(ink, 3, 1, 1) - ink
        if kind == "turned strokes":
            ink = ink.rot90(1, (2, 3))
        parts.append(coloured(ink, torch.from_numpy(hue % 1.0).float()).unflatten(0, (_WAYS, each)))
    made = torch.stack(parts)
    labels = torch.arange(_WAYS).expand(tasks, -1)
    return NetworkEpisode(
        network,
        made[:, :, :_SHOTS].flatten(1, 2),
        labels.repeat_interleave(_SHOTS, 1),
        made[:, :, _SHOTS:].flatten(1, 2),
        labels.repeat_interleave(_ASKED, 1),
        loss=cross_entropy,
    )


def _squares(alphabets: Sequence[Alphabet]) -> Tensor:
    return torch.cat([warped(alphabet.drawings) for alphabet in alphabets])


def scores(keep: Path, seed: int) -> pd.DataFrame:
    """Error by what adapts, what was learned from and what judges, after none, three and twenty steps."""
    old = background(1)
    new = [alphabet for alphabet in background(2) if alphabet.name not in {known.name for known in old}]
    people = old[0].people
    learn_from, judge = _squares(old), _squares(new)
    rows = []

    def add(
        learned: str, method: str, steps: int, error: Callable[[NetworkEpisode], float], one: Network
    ) -> None:
        for kind in KINDS:
            episode = drawn(one, judge, people, (kind,), 10_000 + seed, _JUDGED)
            row = {"learned from": learned, "method": method, "steps": steps, "kind": kind, "seed": seed}
            rows.append({**row, "error": error(episode)})

    network = Network(coloured_network())
    add("nothing", "nearest mean of the pictures", 0, _nearest_mean_error, network)
    for kinds_at, (learned_from, kinds) in enumerate(LEARNED_FROM.items()):
        for at, (name, method) in enumerate(METHODS.items()):
            torch.manual_seed(seed)
            network = Network(coloured_network())

            def draw(number: int, network: Network = network, kinds: Sequence[str] = kinds) -> NetworkEpisode:
                return drawn(network, learn_from, people, kinds, number, _TASKS)

            done = meta_train(
                method,
                draw,
                initial(method, network.start()),
                Outer(_ITERATIONS, _RATE, schedule="cosine", clip=10.0),
                seed=seed,
                compile=False,
                checkpoint=keep / f"{kinds_at}-{at}-{seed}.checkpoint",
                progress=True,
            )
            for steps in (_STEPS, _PATIENT):
                longer = replace(method, steps=steps)

                def error(
                    episode: NetworkEpisode, longer: Composition = longer, learned: Parameters = done.learned
                ) -> float:
                    return _adapted_error(longer, episode, learned)

                add(learned_from, name, steps, error, network)
    return pd.DataFrame(rows)


def _nearest_mean_error(episode: NetworkEpisode) -> float:
    known, asked = episode.inputs.flatten(2), episode.query_inputs.flatten(2)
    far = class_scores(asked, prototypes(known, episode.targets, _WAYS))
    return 1.0 - float(accuracy(far, episode.query_targets))


def _adapted_error(method: Composition, episode: NetworkEpisode, learned: Parameters) -> float:
    found = []
    for place in torch.arange(len(episode)).split(10):
        part = episode.select(place)
        with torch.no_grad():
            found.append(float(accuracy(part.outputs(adapt(method, part, learned)), part.query_targets)))
    return 1.0 - float(np.mean(found))


def figure(table: pd.DataFrame) -> Figure:
    """Error by kind of task and by what adapts, a panel for each kind of learning; outlined where steps are few."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(7.0, 3.0), layout="constrained")
        means = 100.0 * table.groupby(["learned from", "method", "steps", "kind"])["error"].mean()
        plain = means["nothing"].droplevel(["method", "steps"]).reindex(KINDS)
        for axes, learned in zip(drawing.subplots(1, 2, sharey=True), LEARNED_FROM, strict=True):
            for at, (colour, name) in enumerate(zip(PALETTE, METHODS, strict=False)):
                where = np.arange(len(KINDS)) + 0.36 * (at - 0.5)
                few, many = (means[learned, name, steps].reindex(KINDS) for steps in (_STEPS, _PATIENT))
                axes.bar(where, few, 0.33, facecolor="none", edgecolor=colour, linewidth=0.9)
                axes.bar(
                    where, many, 0.33, color=colour, label=f"{name}, {_PATIENT} steps (outlined: {_STEPS})"
                )
            axes.plot(plain, "_", color="black", markersize=26, label="nearest mean of the pictures")
            axes.set(title=f"learned from {learned}", xticks=range(len(KINDS)))
            axes.set_xticklabels([kind.replace(" ", "\n") for kind in KINDS])
        drawing.axes[0].set_ylabel("error (%)")
        drawing.legend(*drawing.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
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
    write_atomically(out / "feature_reuse.csv", csv_bytes(table))
    wide = table.pivot_table("error", ["learned from", "method", "steps"], "kind", sort=False)[list(KINDS)]
    print(f"error (%) of five classes, five drawings of each known; seeds of learning: {_SEEDS}")
    print((100.0 * wide).round(1).to_string())
    save_figure(figure(table), out / "feature_reuse.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("feature_reuse"))
