"""Study: alphabets that arrive one after another. ``metasci study continual-drawings`` (some twenty minutes).

A network learns to name the characters of eight alphabets of Omniglot, one after another, and does not see the drawings
of an alphabet again. What is forgotten of the first by plain fine-tuning, by online Laplace, and by joint training on
all so far? And the first alphabet is met again: how many drawings of each character regain it? What is done is kept in
the folder: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from metasci.data.frames import csv_bytes
from metasci.files import write_atomically
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.prototypes import class_scores, prototypes
from metasci.report.style import save_figure
from metasci.studies.continual_networks import Budget, InTurn, Lesson, lessons, named_error, network
from metasci.studies.kept import kept_numbers
from metasci.studies.omniglot_drawings import background, warped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WAYS", "chosen_times", "figure", "forgotten", "main", "nearest_error", "regained", "sequence"]

TEACH, JUDGE = range(14), range(14, 20)
"""People whose drawings are learned from, and who judge."""
_CHOOSE = range(11, 14)
"""… and who judge while a choice is made, among those who teach otherwise."""
TRIED = (1.0, 10.0, 100.0, 1000.0)
"""How many times what online Laplace keeps may count."""
SEEDS = 2
_SHOTS, _DRAWS = (1, 2, 3, 5, 8), 10
_BUDGET = Budget()

WAYS = {
    "fine-tuned": InTurn(),
    "all drawings at hand": InTurn(together=True),
    "distances, fine-tuned": InTurn(distances=True),
    "distances, all drawings at hand": InTurn(together=True, distances=True),
}
"""Beside online Laplace, whose strength is chosen."""
_NAMING = ("fine-tuned", "online Laplace", "all drawings at hand")


def sequence() -> list[Lesson]:
    """The eight alphabets of the two minimal background sets, each once."""
    found = {each.name: each for number in (1, 2) for each in background(number)}
    return lessons(list(found.values()))


def chosen_times(keep: Path, budget: Budget = _BUDGET) -> tuple[float, pd.DataFrame]:
    """The strength of online Laplace with the least error on the first three alphabets, and all errors.

    It is told by people whose drawings teach otherwise; those who judge in the end are not looked at.
    """
    three = lessons([lesson.alphabet for lesson in sequence()[:3]])
    rows = []
    for times in (0.0, *TRIED):

        def errors(times: float = times) -> list[float]:
            place = keep / f"choice-{times:g}"
            weights = InTurn(times=times).learned(three, range(11), budget, 0, place)[-1]
            module = _module(three, weights, budget)
            return [named_error(module, lesson, _CHOOSE) for lesson in three]

        rows.append([times, *kept_numbers(keep / f"choice-{times:g}.json", errors)])
    table = pd.DataFrame(rows, columns=["times", *(lesson.name for lesson in three)]).set_index("times")
    mean = table.mean(axis=1)
    return float(table.index[1:][int(mean.iloc[1:].argmin())]), table.assign(mean=mean)


def _module(of: Sequence[Lesson], weights: Parameters, budget: Budget) -> nn.Sequential:
    module = network(sum(lesson.alphabet.characters for lesson in of), budget.width, 0)
    module.load_state_dict(weights)
    return module


def forgotten(made: list[Parameters], of: Sequence[Lesson], budget: Budget = _BUDGET) -> np.ndarray:
    """Error on each alphabet, of people who did not teach, after each was learned, (learned, alphabet)."""
    table = np.full((len(made), len(of)), np.nan)
    for after, weights in enumerate(made):
        module = _module(of, weights, budget)
        table[after, : after + 1] = [named_error(module, lesson, JUDGE) for lesson in of[: after + 1]]
    return table


def _forgotten(made: list[Parameters], of: Sequence[Lesson]) -> list[list[float]]:
    rows: list[list[float]] = forgotten(made, of).tolist()
    return rows


def nearest_error(body: nn.Module, lesson: Lesson, shots: int, draws: int = _DRAWS) -> float:
    """Error on an alphabet by the nearest mean of features, from some drawings of each character by the same people."""
    asked = lesson.by(JUDGE)
    truth = lesson.characters(asked) - lesson.first
    errors = []
    with torch.no_grad():
        told = body(warped(lesson.alphabet.drawings[asked])).flatten(1)
        for draw in range(draws):
            known = lesson.by(np.random.default_rng(draw).permutation(len(TEACH))[:shots].tolist())
            labels = lesson.characters(known) - lesson.first
            features = body(warped(lesson.alphabet.drawings[known])).flatten(1)
            centres = prototypes(features[None], labels[None], lesson.alphabet.characters)
            errors.append(float((class_scores(told[None], centres)[0].argmax(1) != truth).double().mean()))
    return float(np.mean(errors))


def regained(bodies: dict[str, nn.Module], lesson: Lesson) -> pd.DataFrame:
    """Error on an alphabet that is met again, by drawings of each character."""
    rows = {name: [nearest_error(body, lesson, shots) for shots in _SHOTS] for name, body in bodies.items()}
    return pd.DataFrame(rows, index=_SHOTS).T


class _Dots(nn.Module):
    """Bare pictures."""

    def forward(self, drawings: Tensor) -> Tensor:
        return drawings


def _all(
    ways: dict[str, InTurn], of: list[Lesson], seed: int, keep: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is forgotten and regained with one seed, in long tables."""
    lost: list[pd.DataFrame] = []
    first = network(1, _BUDGET.width, seed)[0]
    bodies: dict[str, nn.Module] = {
        "nothing learned, bare pictures": _Dots(),
        "nothing learned, random weights": first,
    }
    for name, way in ways.items():
        place = keep / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
        made = way.learned(of, TEACH, _BUDGET, seed, place)
        if name in _NAMING:
            table = kept_numbers(place / "forgotten.json", partial(_forgotten, made, of))
            for after, row in enumerate(table):
                lost.append(
                    pd.DataFrame(
                        {"way": name, "seed": seed, "after": after, "alphabet": range(len(of)), "error": row}
                    )
                )
        bodies[name] = _module(of, made[-1], _BUDGET)[0]
        if name == "distances, fine-tuned":
            bodies["distances, first alphabet only"] = _module(of, made[0], _BUDGET)[0]
    found = kept_numbers(
        keep / f"regained-{seed}.json", lambda: regained(bodies, of[0]).reset_index().to_dict("list")
    )
    again = (
        pd.DataFrame(found)
        .rename(columns={"index": "start"})
        .melt("start", var_name="shots", value_name="error")
    )
    return pd.concat(lost).dropna(), again.assign(seed=seed, shots=again["shots"].astype(int))


def summary(lost: pd.DataFrame, over_seeds: str = "mean") -> pd.DataFrame:
    """Errors (%) by way, their means over seeds, or their standard deviation (``"std"``)."""
    first, end = lost["alphabet"] == 0, lost["after"] == lost["after"].max()
    parts = {
        "first, just learned": lost[first & (lost["after"] == 0)],
        "first, at the end": lost[first & end],
        "each, just learned": lost[lost["alphabet"] == lost["after"]],
        "each, at the end": lost[end],
    }
    return 100.0 * pd.DataFrame(
        {
            label: part.groupby(["way", "seed"], sort=False)["error"]
            .mean()
            .groupby("way", sort=False)
            .agg(over_seeds)
            for label, part in parts.items()
        }
    )


def figure(lost: pd.DataFrame, again: pd.DataFrame) -> Figure:
    """Error on the first alphabet by alphabets learned, and by drawings when it is met again."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(8.4, 4.4), layout="constrained")
        left, right = drawing.subplots(1, 2)
        first = lost[lost["alphabet"] == 0]
        for colour, way in zip(PALETTE, dict.fromkeys(first["way"]), strict=False):
            error = 100.0 * first[first["way"] == way].groupby("after")["error"].mean()
            left.plot(error.index + 1, error, "o-", color=colour, label=way, ms=4)
        left.set(xlabel="alphabets learned", ylabel="error on the first alphabet (%)", ylim=(0.0, None))
        left.legend(fontsize=7)
        mean = 100.0 * again.groupby(["start", "shots"], sort=False)["error"].mean().unstack()
        for at, (start, row) in enumerate(mean.iterrows()):
            style = "o-" if at < len(PALETTE) else "s--"
            right.plot(row.index, row, style, color=PALETTE[at % len(PALETTE)], label=start, ms=4)
        right.set(xlabel="drawings of each character, met again", ylabel="error (%)", ylim=(0.0, None))
        right.legend(fontsize=6)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    keep, of = out / "learned", sequence()
    times, tried = chosen_times(keep)
    print(
        "Online Laplace: error (%) on three alphabets after the third, by how many times what is kept counts"
    )
    print((100.0 * tried).round(1).to_string())
    print(f"Chosen: {times:g}")
    ways = {"fine-tuned": WAYS["fine-tuned"], "online Laplace": InTurn(times=times), **WAYS}
    parts = [_all(ways, of, seed, keep) for seed in range(SEEDS)]
    lost, again = (pd.concat(each) for each in zip(*parts, strict=True))
    write_atomically(out / "forgotten.csv", csv_bytes(lost))
    write_atomically(out / "regained.csv", csv_bytes(again))
    print(
        f"\nError (%) of naming among an alphabet's characters, {len(of)} alphabets one after another; {SEEDS} seeds"
    )
    print(summary(lost).round(1).to_string())
    print("\nIts standard deviation over seeds")
    print(summary(lost, "std").round(1).to_string())
    print(
        f"\nError (%) on the first alphabet ({of[0].name}), met again with so many drawings of each character"
    )
    mean = 100.0 * again.groupby(["start", "shots"], sort=False)["error"].mean().unstack()
    print(mean.round(1).to_string())
    each = 100.0 * again.groupby(["start", "shots", "seed"], sort=False)["error"].mean()
    print("\nIts standard deviation over seeds")
    print(each.groupby(["start", "shots"], sort=False).std().unstack().round(1).to_string())
    save_figure(figure(lost, again), out / "continual-drawings.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("continual_drawings"))
