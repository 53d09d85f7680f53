"""Study: 24 studies of propofol, one after another. ``metasci study continual-propofol`` (some twenty minutes).

A prior is learned from the patients of the first study alone, and updated by sums with those of each further one,
while nobody's data are kept. What is told of the first study's patients then, beside a prior that learned from all
together? And how many of their samples regain them, from what was learned, and from nothing? What is done is kept in
the folder: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.diagnostics.seen_before import error_on
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.files import write_atomically
from metasci.meta import GaussianPrior
from metasci.noise import LogNormal
from metasci.priors.equation import Prior, meta_calibrate
from metasci.priors.load import load
from metasci.report.style import save_figure
from metasci.studies.kept import kept_numbers, kept_prior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure", "forgotten", "learned_in_turn", "main", "regained", "starts_of", "studies_in_order"]

SAMPLES, SEEDS = 3, 1
JOINT = ("6",)
"""Studies after which a prior is learned from all together, beside the last; each takes minutes."""
JUDGED = ("1", "3", "6", "13", "21", "30")
"""Studies after which the error on the first is looked at."""
_SHOTS = (0, 1, 3)


def studies_in_order() -> dict[str, TaskSet]:
    """Patients of each study who have a sample, in the order of the studies' numbers."""
    tasks, _ = with_enough_rows(catalogue.dataset("propofol"), Protocol(minimum_rows=1))
    of = np.array(tasks.groups("study"))
    return {name: tasks.select(of == name) for name in sorted(set(of.tolist()), key=int)}


def learned_in_turn(studies: dict[str, TaskSet], keep: Path) -> tuple[dict[str, Prior], dict[str, Prior]]:
    """Priors after each study: updated by sums, and learned from all so far together, by the last study's name."""
    shipped, whole = load("propofol"), catalogue.dataset("propofol")
    # one noise for all patients at all times: sums stand in for no other
    model = shipped.model.with_noise(LogNormal((0.2,)))
    method = GaussianPrior(correlated=False, iterations=40, tolerance=1e-2)

    def from_all(tasks: TaskSet, checkpoint: Path) -> Prior:
        return meta_calibrate(
            model, tasks, method, covariates=shipped.covariates.names, checkpoint=checkpoint
        )

    updated: dict[str, Prior] = {}
    joint: dict[str, Prior] = {}
    so_far: list[str] = []
    for name, tasks in studies.items():
        before, so_far = next(reversed(updated.values()), None), [*so_far, *tasks.names]
        updated[name] = kept_prior(
            keep / f"after-{name}",
            model,
            partial(from_all, tasks) if before is None else partial(_after, before, tasks),
        )
        if name in (*JOINT, next(reversed(studies))):
            together = whole.select(np.isin(whole.names, so_far))
            joint[name] = kept_prior(keep / f"together-{name}", model, partial(from_all, together))
    return updated, joint


def _after(prior: Prior, tasks: TaskSet, _: Path) -> Prior:
    """The prior that knows more tasks, for which no checkpoint is needed."""
    return prior.update(tasks)


def forgotten(
    studies: dict[str, TaskSet], updated: dict[str, Prior], joint: dict[str, Prior], keep: Path
) -> pd.DataFrame:
    """Error on the first study's patients after some of the studies, (study,)."""
    old = next(iter(studies.values()))
    rows, seen = [], 0
    for name, tasks in studies.items():
        seen += len(tasks)
        if name not in JUDGED:
            continue
        row: dict[str, Any] = {"study": name, "patients": seen}
        for way, priors in (("updated", updated), ("together", joint)):
            if name in priors:
                row[way] = kept_numbers(
                    keep / f"error-{way}-{name}.json",
                    partial(error_on, priors[name], old, SAMPLES, SEEDS),
                )
        rows.append(row)
    return pd.DataFrame(rows).set_index("study")


def regained(starts: dict[str, Prior], old: TaskSet, keep: Path) -> pd.DataFrame:
    """Error on the first study's patients by their samples known, from several starts."""
    rows = {}
    for label, prior in starts.items():
        rows[label] = {
            shots: kept_numbers(
                keep / f"regained-{label.replace(' ', '-').replace(',', '')}-{shots}.json",
                partial(error_on, prior, old, shots, SEEDS, max(_SHOTS)),
            )
            for shots in _SHOTS
        }
    return pd.DataFrame(rows).T


def starts_of(updated: dict[str, Prior], joint: dict[str, Prior]) -> dict[str, Prior]:
    """What the first study's patients are met with again."""
    first, last = next(iter(updated.values())), next(reversed(updated.values()))
    return {
        "Gaussian prior, updated by 23 studies": last,
        "Gaussian prior, all together": next(reversed(joint.values())),
        "Gaussian prior, first study only": first,
        "nothing learned": Prior.declared(first.model),
    }


def figure(forgotten: pd.DataFrame, regained: pd.DataFrame) -> Figure:
    """Error on the first study's patients, by studies learned from, and by samples known."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(8.4, 3.6), layout="constrained")
        left, right = drawing.subplots(1, 2)
        count = forgotten["patients"]
        left.plot(count, forgotten["updated"], "o-", color=PALETTE[0], label="updated by sums", ms=4)
        left.plot(count, forgotten["together"], "s", color=PALETTE[1], label="learned from all together")
        left.set(
            xlabel="patients learned from, study by study",
            ylabel="error on the first study (of logarithms)",
            ylim=(0.0, 1.15 * float(forgotten[["updated", "together"]].max().max())),
        )
        left.legend()
        for colour, (start, row) in zip(PALETTE, regained.iterrows(), strict=False):
            right.plot(regained.columns, row, "o-", color=colour, label=start, ms=4)
        right.set(
            xlabel="samples known of a patient of the first study",
            ylabel="error (of logarithms)",
            ylim=(0.0, 1.25 * float(regained.max().max())),
            xticks=list(_SHOTS),
        )
        right.legend(fontsize=6.5)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    keep = out / "learned"
    studies = studies_in_order()
    updated, joint = learned_in_turn(studies, keep)
    table = forgotten(studies, updated, joint, keep)
    old = next(iter(studies.values()))
    print(f"Error (of logarithms) on the first study's {len(old)} patients, {SAMPLES} samples known of each")
    print(table.round(4).to_string(na_rep=""))
    lost = 100.0 * (table["updated"].iloc[-1] / table["together"].iloc[-1] - 1.0)
    print(
        f"After the last study the update errs by {lost:+.2f} % of what learning from all together errs by."
    )
    write_atomically(out / "forgotten.csv", csv_bytes(table.reset_index()))
    again = regained(starts_of(updated, joint), old, keep)
    print("\nError (of logarithms) on the rest, by samples known of a patient of the first study")
    print(again.round(4).to_string())
    write_atomically(out / "regained.csv", csv_bytes(again.reset_index()))
    save_figure(figure(table, again), out / "continual-propofol.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("continual_propofol"))
