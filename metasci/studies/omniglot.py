"""Study: twenty new characters from one drawing of each. ``metasci study omniglot`` (some fifty minutes).

The twenty published runs of Omniglot, and networks that learned from one of its two minimal background sets. All
choices were made in the first of these sets, on two alphabets that networks had not learned from; the runs judge only.
What is done is kept in the folder: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from metasci.data.frames import csv_bytes
from metasci.errors import InputError
from metasci.files import write_atomically
from metasci.report.style import save_figure
from metasci.studies.omniglot_drawings import Alphabet, Run, Warp, background, runs
from metasci.studies.omniglot_heads import head_scores, learn_head
from metasci.studies.omniglot_networks import (
    ADAPTING,
    Way,
    adapted_scores,
    learn_adapting,
    learn_naming,
    learn_prototypes,
    nearest_scores,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CHOICES", "JUDGES", "PUBLISHED", "errors", "figure", "hausdorff_scores", "main", "pairs_of"]

JUDGES = ("Korean", "Early Aramaic")
"""Alphabets of the first set on which choices were made."""

CHOICES: dict[str, Way] = {
    "as chosen": Way(),
    "half of the tasks of characters laid over another": Way(overlaid=0.5),
    "not warped": Way(warp=None),
    "warped twice as far": Way(warp=Warp(0.5, 0.4, 0.5, 0.2, 0.08)),
    "not turned or mirrored": Way(turned=False),
    "whole paper, not laid by the ink": Way(centred=False),
    "characters of several alphabets in a task": Way(within=False),
}
"""What was tried."""

PUBLISHED = {"people": 4.5, "convolutional network": 23.2, "prototypical network": 30.1}
"""Errors with the minimal sets, %, of Lake, Salakhutdinov and Tenenbaum, Curr Opin Behav Sci 29 (2019) 97."""

SETS, SEEDS = (1, 2), 3
_ADAPTED_FOR = {"ANIL": 600, "MAML": 300, "Meta-SGD": 300}  # iterations: each learns for about as long
_PLAIN = Way(
    warp=None, within=False, overlaid=0.0, centred=False
)  # as prototypical networks are mostly trained
_PAIRS = 200  # of people, that an alphabet's error is a mean over


def pairs_of(alphabet: Alphabet, count: int, seed: int = 0) -> list[Run]:
    """Runs of an alphabet as the published ones: twenty characters, known from one person and asked of another."""
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        characters = torch.from_numpy(draw.permutation(alphabet.characters)[:20])
        one, other = draw.permutation(alphabet.people)[:2].tolist()
        known, asked = (alphabet.drawings[characters * alphabet.people + who] for who in (one, other))
        made.append(Run(known, asked, torch.arange(len(characters))))
    return made


def hausdorff_scores(of: Sequence[Run]) -> Tensor:
    """Minus the modified Hausdorff distance of dots of ink about their mean, the baseline that the runs came with.

    Sources: Dubuisson and Jain, ICPR 1994, 566; `demo_classification` of the published runs, 38.8 % error.

    Parameters
    ----------
    of : sequence of Run
        With their ink.

    Returns
    -------
    Tensor, (run, asked, known)
    """
    scores = []
    for run in of:
        if run.ink is None:
            raise InputError("the distance of dots needs a run with its ink as published; read it by `runs`.")
        scores.append(-_hausdorff(*([_dots(one) for one in part] for part in run.ink)))
    return torch.stack(scores)


def errors(scores: Tensor, of: Sequence[Run]) -> Tensor:
    """Share of each run's drawings whose greatest score is not that of their character, (run,).

    Parameters
    ----------
    scores : Tensor, (run, asked, known)
    of : sequence of Run
    """
    return (scores.argmax(2) != torch.stack([run.truth for run in of])).double().mean(1)


def _dots(ink: Tensor) -> Tensor:
    dots = ink.nonzero().float()
    return dots - dots.mean(0)


def _hausdorff(known: list[Tensor], asked: list[Tensor]) -> Tensor:
    """The greater of the mean distances of dots to the nearest of the other drawing, (asked, known)."""
    far = torch.cdist(torch.cat(asked), torch.cat(known))
    rows, columns = ([len(one) for one in part] for part in (asked, known))
    nearest = torch.stack([part.amin(1) for part in far.split(columns, 1)], 1)
    there = torch.stack([part.mean(0) for part in nearest.split(rows)])
    nearest = torch.stack([part.amin(0) for part in far.split(rows)])
    back = torch.stack([part.mean(1) for part in nearest.split(columns, 1)], 1)
    return torch.maximum(there, back)


def held_out_errors(module: nn.Module, alphabets: Sequence[Alphabet], way: Way) -> dict[str, float]:
    """Errors in pairs of people of some alphabets."""
    found = {}
    for alphabet in alphabets:
        pairs = pairs_of(alphabet, _PAIRS)
        found[alphabet.name] = float(errors(nearest_scores(module, pairs, centred=way.centred), pairs).mean())
    return found


Learner = Callable[[Sequence[Run], Sequence[Alphabet], int, Path], Tensor]
"""Of runs, alphabets to learn from, a seed and a checkpoint, to scores, (run, asked, known)."""


def _by_prototypes(
    way: Way, of: Sequence[Run], alphabets: Sequence[Alphabet], seed: int, keep: Path
) -> Tensor:
    module = learn_prototypes(alphabets, seed, way, keep, progress=True)
    return nearest_scores(module, of, centred=way.centred)


def _by_head(bend: bool, of: Sequence[Run], alphabets: Sequence[Alphabet], seed: int, keep: Path) -> Tensor:
    return head_scores(learn_head(alphabets, seed, Way(), bend, keep, progress=True), of)


def _by_naming(way: Way, of: Sequence[Run], alphabets: Sequence[Alphabet], seed: int, keep: Path) -> Tensor:
    return nearest_scores(learn_naming(alphabets, seed, way, keep, progress=True), of)


def _by_adapting(
    name: str, way: Way, of: Sequence[Run], alphabets: Sequence[Alphabet], seed: int, keep: Path
) -> Tensor:
    method = ADAPTING[name]
    return adapted_scores(*learn_adapting(alphabets, seed, way, method, keep, progress=True), method, of)


LEARNERS: dict[str, Learner] = {
    "prototypical network, as chosen": partial(_by_prototypes, Way()),
    "linear head by Laplace": partial(_by_head, False),
    "process head by Laplace": partial(_by_head, True),
    **{
        name: partial(_by_adapting, name, replace(Way(), iterations=iterations))
        for name, iterations in _ADAPTED_FOR.items()
    },
    "plain classification, nearest features": partial(_by_naming, Way()),
    "prototypical network, plain": partial(_by_prototypes, _PLAIN),
}
"""Methods by name."""


def _once(path: Path, compute: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What stands in a file, or what is computed and written there, with the processor time that it took.

    What is computed keeps a checkpoint beside the file; of what was interrupted the time is not told.
    """
    if not path.exists():
        checkpoint = path.with_suffix(".checkpoint")
        whole, began = not checkpoint.exists(), time.process_time()
        made = compute(checkpoint)
        seconds = time.process_time() - began if whole else None
        write_atomically(path, (json.dumps({**made, "processor_seconds": seconds}) + "\n").encode())
        checkpoint.unlink(missing_ok=True)
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def choices(keep: Path) -> pd.DataFrame:
    """Errors of what was tried, on alphabets of the first set that were not learned from."""
    alphabets = background(1)
    old = [alphabet for alphabet in alphabets if alphabet.name not in JUDGES]
    new = [alphabet for alphabet in alphabets if alphabet.name in JUDGES]
    rows = []
    for at, (name, way) in enumerate(CHOICES.items()):

        def tried(checkpoint: Path, way: Way = way) -> dict[str, Any]:
            return held_out_errors(learn_prototypes(old, 0, way, checkpoint, progress=True), new, way)

        rows.append({"choice": name, **_once(keep / f"choice-{at}.json", tried)})
    table = pd.DataFrame(rows).drop(columns="processor_seconds")
    table["mean"] = table[list(JUDGES)].mean(axis=1)
    return table


def untrained(of: Sequence[Run]) -> dict[str, Tensor]:
    """Scores by what learns from no background."""

    def dots(drawings: Tensor) -> Tensor:
        return drawings

    return {
        "Hausdorff distance, as published": hausdorff_scores(of),
        "nearest squares, whole paper": nearest_scores(dots, of, centred=False),
        "nearest squares, laid by the ink": nearest_scores(dots, of),
    }


def scores(keep: Path) -> pd.DataFrame:
    """Error of every run by method, background set and seed, with the processor time of learning.

    The mean log chance over seeds is a method of its own.
    """
    of = runs()
    parts: list[pd.DataFrame] = []

    def add(method: str, number: int, seed: int, found: Tensor, seconds: float | None) -> None:
        error = errors(found, of).numpy()
        row = {
            "method": method,
            "set": number,
            "seed": seed,
            "run": np.arange(1, len(of) + 1),
            "error": error,
        }
        parts.append(pd.DataFrame({**row, "processor_seconds": np.nan if seconds is None else seconds}))

    for name, found in untrained(of).items():
        add(name, 0, 0, found, 0.0)
    for name, learn in LEARNERS.items():
        for number in SETS:
            alphabets, together, whole = background(number), [], 0.0
            for seed in range(SEEDS):

                def compute(
                    checkpoint: Path,
                    learn: Learner = learn,
                    alphabets: Sequence[Alphabet] = alphabets,
                    seed: int = seed,
                ) -> dict[str, Any]:
                    found = learn(of, alphabets, seed, checkpoint)
                    return {"scores": found.double().numpy().round(4).tolist()}

                file = keep / f"{name.replace(', ', '-').replace(' ', '-')}-{number}-{seed}.json"
                kept = _once(file, compute)
                together.append(torch.tensor(kept["scores"]))
                whole += np.nan if kept["processor_seconds"] is None else kept["processor_seconds"]
                add(name, number, seed, together[-1], kept["processor_seconds"])
            if SEEDS > 1:
                add(f"{name}, {SEEDS} together", number, 0, torch.stack(together).mean(0), whole)
    return pd.concat(parts)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Error by method (%): mean of both sets with its standard error over runs, and minutes of one processor."""
    rows = []
    for name, part in table.groupby("method", sort=False):
        learned = part.groupby(["set", "seed"])["error"].mean()
        of_set = learned.groupby("set").mean()
        of_run = part.groupby("run")["error"].mean().to_numpy(float)
        rows.append(
            {
                "method": name,
                "error": 100.0 * of_set.mean(),
                "± over runs": 100.0 * of_run.std(ddof=1) / np.sqrt(len(of_run)),
                "set 1": 100.0 * of_set.reindex(SETS).iloc[0],
                "set 2": 100.0 * of_set.reindex(SETS).iloc[1],
                "sd over seeds": 100.0 * learned.groupby("set").std().mean(),
                "minutes": part["processor_seconds"].mean() / 60.0,
            }
        )
    return pd.DataFrame(rows).set_index("method")


def figure(table: pd.DataFrame) -> Figure:
    """Error by method, a dot for each seed of each background set, with what was published."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        methods = list(dict.fromkeys(table["method"]))
        order = sorted(methods, key=lambda name: table[table["method"] == name]["error"].mean())
        drawing = Figure(figsize=(6.4, 1.2 + 0.2 * len(order)), layout="constrained")
        axes = drawing.subplots()
        for place, name in enumerate(order):
            part = table[table["method"] == name]
            for number, rows in part.groupby("set"):
                errors = 100.0 * rows.groupby("seed")["error"].mean()
                shift = {0: 0.0, 1: -0.14, 2: 0.14}[int(str(number))]
                colour = {0: "0.35", 1: PALETTE[0], 2: PALETTE[1]}[int(str(number))]
                axes.plot(errors, np.full(len(errors), place + shift), "o", color=colour, markersize=4)
        for name, error in PUBLISHED.items():
            axes.axvline(error, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
            axes.annotate(
                f"{name} {error}",
                (error, 1.0),
                (2, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=6.5,
                color="0.35",
                rotation=20,
            )
        for label, colour in (
            ("background set 1", PALETTE[0]),
            ("background set 2", PALETTE[1]),
            ("none", "0.35"),
        ):
            axes.plot([], [], "o", color=colour, markersize=4, label=label)
        axes.set(
            yticks=range(len(order)),
            yticklabels=order,
            xlabel="error in the twenty runs (%); dashed: as published",
        )
        axes.set_xlim(left=0.0)
        axes.invert_yaxis()
        drawing.legend(loc="outside lower center", ncols=3)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write all figures and the picture into a folder."""
    torch.set_num_threads(1)
    keep = out / "learned"
    keep.mkdir(parents=True, exist_ok=True)
    tried = choices(keep).set_index("choice")
    write_atomically(out / "omniglot_choices.csv", csv_bytes(tried.reset_index()))
    print("alphabets of set 1 that were not learned from, error (%)")
    print((100.0 * tried).round(1).to_string())
    table = scores(keep)
    write_atomically(out / "omniglot.csv", csv_bytes(table))
    print("\nthe twenty runs, error (%)")
    print(summary(table).round(1).to_string(na_rep=""))
    save_figure(figure(table), out / "omniglot.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("omniglot"))
