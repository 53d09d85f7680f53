"""Study: what does an attacked drawing show? ``metasci study attacked-drawings`` (some ten minutes).

Five new characters of Omniglot, one drawing of each known, told by a prototypical network and by one step of MAML, each
learned as usual and from queries under attack, for equally many slopes. What is asked is attacked.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from metasci.data.frames import csv_bytes
from metasci.files import write_atomically
from metasci.meta import Composition, Network, NetworkEpisode, Outer, adapt, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import cross_entropy
from metasci.meta.networks.prototypes import prototypical_episode
from metasci.report.style import save_figure
from metasci.studies.attacked_queries import (
    Attack,
    AttackedQuery,
    Rounded,
    attacked,
    margins,
    worst_of_nearest,
)
from metasci.studies.omniglot_drawings import Alphabet, background, warped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LEARNING", "REACHES", "convolutions", "drawn", "figure", "learn", "main", "task_errors"]

LEARNING = Attack(reach=0.1, steps=5, step=0.04)
"""The attack that is learned from."""
REACHES = (0.0, 0.05, 0.1, 0.2)
"""Of the attacks that judge."""

_PATIENT = 20  # steps of an attack that judges, of an eighth of its reach each
_JUDGE = f"{_PATIENT} steps"
_OTHER_STEPS = (5, 40)  # by which the judge's own patience is judged
_WIDTH, _WAYS, _ASKED, _TASKS = 16, 5, 4, 4
_SLOPES, _RATE = 2400, 2e-3
_JUDGED = 80

PROTOTYPES, ONE_STEP = "prototypical network", "one step of MAML"
AS_USUAL, UNDER_ATTACK = "as usual", "under attack"
METHODS: dict[str, Composition] = {
    PROTOTYPES: named.pooled_training(),
    ONE_STEP: named.maml(1, 0.1, learned="tensor"),
}
"""How a network takes in what is known; MAML learns a step size for each tensor."""


def convolutions(classes: int | None = None) -> nn.Sequential:
    """Three layers of convolutions, normalised by the support, to 18 · 16 features or to scores of classes."""
    wide = (1, _WIDTH, 2 * _WIDTH, 2 * _WIDTH)
    layers: list[nn.Module] = []
    for many, more in itertools.pairwise(wide):
        size, stride = (5, 2) if many == 1 else (3, 1)
        layers += [nn.Conv2d(many, more, size, stride, size // 2), nn.BatchNorm2d(more), nn.ReLU()]
        layers += [] if many == 1 else [nn.MaxPool2d(2)]
    head = [] if classes is None else [nn.Linear(9 * 2 * _WIDTH, classes)]
    return nn.Sequential(*layers, nn.Flatten(), *head)


def drawn(
    network: Network, squares: Tensor, people: int, seed: int, tasks: int, method: str
) -> NetworkEpisode:
    """Tasks of five characters, one drawing of each known and four asked.

    Parameters
    ----------
    network : Network
    squares : Tensor, (drawing, 1, 28, 28)
        Character after character.
    people : int
        Drawings of a character.
    seed : int
    tasks : int
    method : str
        A prototypical network, or one that adapts.
    """
    draw = np.random.default_rng(seed)
    rows = [
        one * people + draw.permutation(people)[: 1 + _ASKED]
        for _ in range(tasks)
        for one in draw.permutation(len(squares) // people)[:_WAYS]
    ]
    seen = squares[torch.from_numpy(np.concatenate(rows))].unflatten(0, (tasks, _WAYS, 1 + _ASKED))
    labels = torch.arange(_WAYS).expand(tasks, -1)
    known, asked = seen[:, :, 0], seen[:, :, 1:].flatten(1, 2)
    asked_labels = labels.repeat_interleave(_ASKED, 1)
    if method == PROTOTYPES:
        return prototypical_episode(network, known, labels, asked, asked_labels, _WAYS)
    return NetworkEpisode(network, known, labels, asked, asked_labels, loss=cross_entropy)


def iterations(method: str, under_attack: bool) -> int:
    """How many are made of as many slopes as any other learning has."""
    each = 1 + METHODS[method].steps + (LEARNING.steps if under_attack else 0)
    return _SLOPES // each


def learn(
    squares: Tensor, people: int, method: str, under_attack: bool, seed: int, made: int | None = None
) -> tuple[Network, Parameters]:
    """A network and what it has learned, of a method, from queries as they are or under attack."""
    torch.manual_seed(seed)
    network = Network(convolutions(None if method == PROTOTYPES else _WAYS))

    def draw(number: int) -> NetworkEpisode | AttackedQuery:
        episode = drawn(network, squares, people, number, _TASKS, method)
        return AttackedQuery(episode, LEARNING) if under_attack else episode

    how = METHODS[method]
    many = iterations(method, under_attack) if made is None else made
    outer = Outer(many, _RATE, schedule="cosine", clip=10.0)
    start = initial(how, network.start())
    done = meta_train(how, draw, start, outer, seed=seed, compile=False, progress=made is None)
    return network, done.learned


def task_errors(
    method: str,
    episode: NetworkEpisode,
    learned: Parameters,
    attack: Attack | None,
    seed: int | None = None,
    through: Network | None = None,
) -> Tensor:
    """Share of wrong answers of every task, (task,), under attack if there is one.

    With a seed the attack begins at a random place within its reach, else at the picture itself. It climbs the margins
    of the network itself, or those of the one that is given.
    """
    found = []
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for place in torch.arange(len(episode)).split(10):
        part = episode.select(place)
        own = adapt(METHODS[method], part, learned) if learned else {}
        if attack is not None:
            start = None
            if generator is not None:
                noise = 2.0 * torch.rand(part.query_inputs.shape, generator=generator) - 1.0
                start = (part.query_inputs + attack.reach * noise).clamp(0.0, 1.0)
            climbed = part if through is None else replace(part, network=through)
            moved = attacked(climbed, own, attack, start).query_inputs
            part = replace(part, query_inputs=moved)
        with torch.no_grad():
            found.append((margins(part.outputs(own), part.query_targets) > 0.0).double().mean(1))
    return torch.cat(found)


def _squares(alphabets: Sequence[Alphabet]) -> Tensor:
    return torch.cat([warped(alphabet.drawings) for alphabet in alphabets]).clamp(0.0, 1.0)


def _patient(reach: float, steps: int = _PATIENT) -> Attack:
    return Attack(reach, steps, reach / 8.0)


def judged_rows(
    squares: Tensor,
    people: int,
    method: str,
    network: Network,
    learned: Parameters,
    name: str,
    seed: int,
    thorough: bool = False,
) -> pd.DataFrame:
    """Error of every task by reach; if thorough also by how hard an attack of the reach that was learned from tries."""
    episode = drawn(network, squares, people, 10_000 + seed, _JUDGED, method)
    parts = []

    def add(
        reach: float, steps: int, kind: str, place: int | None = None, through: Network | None = None
    ) -> None:
        attack = Attack(reach, steps, reach / 8.0) if reach else None
        error = task_errors(method, episode, learned, attack, place, through).numpy()
        row = {"method": name, "reach": reach, "attack": kind, "task": np.arange(len(error)), "error": error}
        parts.append(pd.DataFrame(row))

    for reach in REACHES:
        add(reach, _PATIENT, _JUDGE)
    if thorough:
        for steps in _OTHER_STEPS:
            add(LEARNING.reach, steps, f"{steps} steps")
        add(LEARNING.reach, _PATIENT, f"{_PATIENT}, from a random place", place=seed)
        if isinstance(network.module, Rounded):
            soft = Network(Rounded(convolutions(), 0.1))
            add(LEARNING.reach, _PATIENT, f"{_PATIENT}, of a soft step", through=soft)
    return pd.concat(parts)


def learned_rows(
    known: Tensor, judged: Tensor, people: int, method: str, kind: str, seed: int
) -> pd.DataFrame:
    """The same of what a method learns, as usual or under attack, with the processor seconds of learning."""
    name = f"{method}, {kind}"
    began = time.process_time()
    network, learned = learn(known, people, method, kind == UNDER_ATTACK, seed)
    seconds = time.process_time() - began
    rows = [judged_rows(judged, people, method, network, learned, name, seed, kind == UNDER_ATTACK)]
    if method == PROTOTYPES:
        rounded = Network(Rounded(convolutions()))
        moved = {f"module.{key}": value for key, value in learned.items()}
        rows.append(
            judged_rows(judged, people, method, rounded, moved, f"{name}, rounded", seed, thorough=True)
        )
    return pd.concat(rows).assign(**{"processor seconds": seconds})


def scores(keep: Path, seed: int = 0) -> pd.DataFrame:
    """Error of every task by method, reach and attack; what is kept in the folder is not learned again."""
    old = background(1)
    new = [alphabet for alphabet in background(2) if alphabet.name not in {known.name for known in old}]
    people, known, judged = old[0].people, _squares(old), _squares(new)
    bare = nn.Flatten()
    parts = [
        judged_rows(judged, people, PROTOTYPES, Network(module), {}, name, seed).assign(
            **{"processor seconds": 0.0}
        )
        for name, module in (("nearest picture", bare), ("nearest picture, rounded", Rounded(bare)))
    ]
    for at, (method, kind) in enumerate(itertools.product(METHODS, (AS_USUAL, UNDER_ATTACK))):
        file = keep / f"errors-{at}.json"
        if not file.exists():
            rows = learned_rows(known, judged, people, method, kind, seed)
            write_atomically(file, rows.to_json(orient="records").encode())
        parts.append(pd.DataFrame(json.loads(file.read_text())))
    return pd.concat(parts, ignore_index=True)


def worst_errors(seed: int = 0) -> pd.DataFrame:
    """Error of the nearest picture under the worst attack that there is, by reach, in the tasks that judge.

    And the share of all dots that the reach can take over the middle grey.
    """
    old = {alphabet.name for alphabet in background(1)}
    new = [alphabet for alphabet in background(2) if alphabet.name not in old]
    squares, bare = _squares(new), Network(nn.Flatten())
    episode = drawn(bare, squares, new[0].people, 10_000 + seed, _JUDGED, PROTOTYPES)
    kinds = {"nearest picture": False, "nearest picture, rounded": True}
    return pd.DataFrame(
        {
            name: {
                reach: float((worst_of_nearest(episode, reach, rounded) > 0.0).double().mean())
                for reach in REACHES
            }
            for name, rounded in kinds.items()
        }
        | {
            "dots that it can turn over": {
                reach: float(((squares - 0.5).abs() <= reach).double().mean()) for reach in REACHES
            }
        }
    ).T


def _of_the_judge(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["attack"] == _JUDGE]


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Error of what learned under attack less that of others, points with 90 % intervals over tasks, by reach."""
    wide = _of_the_judge(table).pivot_table("error", ["reach", "task"], "method")
    rows = {}
    for method, one, other in (
        (PROTOTYPES, UNDER_ATTACK, AS_USUAL),
        (PROTOTYPES, f"{UNDER_ATTACK}, rounded", f"{AS_USUAL}, rounded"),
        (PROTOTYPES, UNDER_ATTACK, f"{AS_USUAL}, rounded"),
        (ONE_STEP, UNDER_ATTACK, AS_USUAL),
    ):
        each = 100.0 * (wide[f"{method}, {one}"] - wide[f"{method}, {other}"]).unstack("task")
        mean, half = each.mean(axis=1), 1.645 * each.sem(axis=1)
        rows[f"{method}, {one}, less {other}"] = {
            reach: f"{mean[reach]:.1f} ({mean[reach] - half[reach]:.1f} to {mean[reach] + half[reach]:.1f})"
            for reach in REACHES
        }
    return pd.DataFrame(rows).T


def figure(table: pd.DataFrame) -> Figure:
    """Error against the reach of the attack, by method."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(7.2, 3.2), layout="constrained")
        axes = drawing.subplots()
        means = 100.0 * _of_the_judge(table).groupby(["method", "reach"], sort=False)["error"].mean()
        kinds = ("nearest picture", PROTOTYPES, ONE_STEP)
        for colour, kind in zip(PALETTE, kinds, strict=False):
            for name in dict.fromkeys(table["method"]):
                if name.startswith(kind):
                    line = "-" if UNDER_ATTACK in name else "--"
                    marker, face = ("s", "white") if name.endswith("rounded") else ("o", colour)
                    axes.plot(
                        means[name], line, marker=marker, markersize=4, color=colour, mfc=face, label=name
                    )
        axes.axhline(100.0 * (1.0 - 1.0 / _WAYS), color="grey", linewidth=0.6)
        axes.set(
            xlabel="greatest change of a dot's grey, of 1", ylabel="error (%)", xticks=REACHES, ylim=(0, 101)
        )
        drawing.legend(loc="outside right center", handlelength=3.2)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write all figures and the picture into a folder."""
    torch.set_num_threads(1)
    keep = out / "learned"
    keep.mkdir(parents=True, exist_ok=True)
    table = scores(keep)
    write_atomically(out / "attacked_drawings.csv", csv_bytes(table))
    named_rows = _of_the_judge(table).groupby("method", sort=False)
    wide = table.pivot_table("error", ["method", "attack"], "reach", sort=False)
    shown = wide.xs(_JUDGE, level="attack").mul(100.0).round(1)
    shown["processor seconds"] = named_rows["processor seconds"].first().round().astype(int)
    print(
        f"error (%) of five characters, one drawing of each known, by the reach of {_PATIENT} steps; one seed"
    )
    print(shown.to_string())
    print("\nError (%) under the worst attack that there is")
    print(worst_errors().mul(100.0).round(1).to_string())
    print("\nDifferences, points, with 90 % intervals over tasks")
    print(differences(table).to_string())
    print(f"\nError (%) at a reach of {LEARNING.reach} by how hard the attack tries")
    at = table[table["reach"] == LEARNING.reach]
    tried = at.pivot_table("error", "method", "attack", sort=False).dropna(thresh=2)
    few, many = (f"{steps} steps" for steps in _OTHER_STEPS)
    order = [few, _JUDGE, many, *(kind for kind in map(str, tried) if not kind.endswith("steps"))]
    print(tried[order].mul(100.0).round(1).to_string(na_rep=""))
    save_figure(figure(table), out / "attacked_drawings.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("attacked_drawings"))
