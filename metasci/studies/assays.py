"""Study: a new assay from a few molecules. ``metasci study assays`` (some forty minutes).

Toxicity assays of Tox21 and side effects of SIDER as tasks. Assays are left out, and molecules as well: whatever is
learned has seen neither the assay nor the molecules by which it is judged. Beside it stands the split that is usual, in
which only assays are left out, with the baseline that shows what leaks there: labels of the same molecules on the other
assays, and no structure.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.frames import csv_bytes
from metasci.evaluation.outcome_scores import area_under_curve, average_precision
from metasci.files import write_atomically
from metasci.report.style import save_figure
from metasci.studies.assay_data import Assays, assays, read_assays
from metasci.studies.assay_ways import PARTS, Forecast, Told, parts_of, ways_to_tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Assays",
    "assays",
    "balanced_supports",
    "figure",
    "kept",
    "read_assays",
    "scores",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int_]

DATA = {"tox21": "Tox21", "sider": "SIDER"}
"""Sets of assays, by the names of their files."""
SPLITS = {"assays and molecules left out": True, "assays left out (leaks)": False}
"""Ways to split, and whether molecules are left out as well."""
SHOTS = (0, 1, 5, 10)
SEEDS = 10
_ENOUGH = 20  # molecules of each class, to be told of an assay by ten and judged by others


def balanced_supports(labels: Floats, shots: int, seeds: int) -> Flags:
    """So many molecules of each class, drawn anew for every seed, (seed, molecule)."""
    drawn = np.zeros((seeds, len(labels)), bool)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(labels))
        for kind in (0.0, 1.0):
            drawn[seed, order[labels[order] == kind][:shots]] = True
    return drawn


def scores(
    data: Assays, molecules_too: bool, shots: tuple[int, ...] = SHOTS, seeds: int = SEEDS
) -> pd.DataFrame:
    """Area under the curve and average precision of every assay, each left out with a third of the others.

    Parameters
    ----------
    data : Assays
    molecules_too : bool
        Whether the molecules that judge were held out of learning as well.
    shots : tuple of int
        Molecules of each class that are known of the new assay.
    seeds : int
        Draws of these.
    """
    told = Told.split(data, molecules_too)
    return pd.concat([scores_of_part(told, part, shots, seeds) for part in parts_of(data)])


def scores_of_part(
    told: Told, part: list[int], shots: tuple[int, ...] = SHOTS, seeds: int = SEEDS
) -> pd.DataFrame:
    """The same of the assays of a part, which are left out together."""
    data = told.data
    rows: list[dict[str, Any]] = []
    ways = ways_to_tell(told, [at for at in range(len(data.names)) if at not in part])
    for at in part:
        who = np.flatnonzero(told.judged & ~np.isnan(data.labels[:, at]))
        if min(np.bincount(data.labels[who, at].astype(int), minlength=2)) < _ENOUGH:
            print(f"{data.names[at]} has fewer than {_ENOUGH} molecules of a class, and is not judged")
            continue
        for k in shots:
            rows += _judged(ways, who, data.labels[who, at], k, seeds, data.names[at])
    return pd.DataFrame(rows)


def _judged(
    ways: Mapping[str, Forecast], who: Places, labels: Floats, shots: int, seeds: int, name: str
) -> list[dict[str, Any]]:
    supports = balanced_supports(labels, shots, seeds if shots else 1)
    rows = []
    for way, forecast in ways.items():
        for seed, (odds, support) in enumerate(zip(forecast(who, labels, supports), supports, strict=False)):
            asked = ~support
            figures = {
                "auc": area_under_curve(labels[asked], odds[asked]),
                "auprc": average_precision(labels[asked], odds[asked]),
            }
            rows.append({"assay": name, "method": way, "shots": shots, "seed": seed, **figures})
    return rows


_DRAWN = {
    "learned prior on forests and graph networks of other assays": "learned prior, forests and graph networks",
    "learned prior on forests of other assays": "learned prior, forests",
    "forests and graph networks of other assays, alone": "forests and graph networks, alone",
    "graph network, process head by Laplace": "graph network, process head",
    "graph network, MAML": "graph network, MAML",
    "structure alone": "structure alone",
    "labels of the same molecules, no structure": "labels of the same molecules",
}


def figure(table: pd.DataFrame) -> Figure:
    """Area under the curve against molecules of each class, a panel for each set of assays and way to split."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        sets, splits = (list(dict.fromkeys(table[name])) for name in ("data", "split"))
        drawing = Figure(figsize=(6.4, 2.4 * len(sets) + 0.9), layout="constrained")
        panels = drawing.subplots(len(sets), len(splits), sharex=True, sharey="row", squeeze=False)
        for row, data in zip(panels, sets, strict=True):
            for axes, split in zip(row, splits, strict=True):
                part = table[(table["data"] == data) & (table["split"] == split)]
                means = part.groupby(["method", "shots"])["auc"].mean()
                for (method, name), colour in zip(_DRAWN.items(), (*PALETTE, "black"), strict=False):
                    if method in means.index.get_level_values(0):
                        own = means[method]
                        axes.plot(own.index, own, "o-", color=colour, markersize=3, label=name)
                axes.set(title=f"{data}, {split}")
            row[0].set_ylabel("area under the curve")
        for axes in panels[-1]:
            axes.set_xlabel("molecules of each class")
        lines = {str(line.get_label()): line for axes in drawing.axes for line in axes.get_lines()}
        drawing.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=2)
        return drawing

    return draw()


def kept(out: Path, file: str, molecules_too: bool) -> pd.DataFrame:
    """Scores of a set of assays, part by part as they stand in the folder, or are computed and written there."""
    folder = out / f"{file}-{'molecules-too' if molecules_too else 'leaks'}"
    folder.mkdir(exist_ok=True)
    told: Told | None = None
    tables = []
    for place in range(PARTS):
        file_of_part = folder / f"part-{place + 1}.csv"
        if not file_of_part.exists():
            print(f"{folder.name}, part {place + 1} of {PARTS}", file=sys.stderr, flush=True)
            told = told or Told.split(assays(name=file), molecules_too)
            write_atomically(file_of_part, csv_bytes(scores_of_part(told, parts_of(told.data)[place])))
        tables.append(pd.read_csv(file_of_part))
    return pd.concat(tables)


def main(out: Path) -> None:
    """Print the tables, and write all scores and the figure into a folder; what a former run has written stays."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    parts = [
        kept(out, file, too).assign(data=title, split=split)
        for file, title in DATA.items()
        for split, too in SPLITS.items()
    ]
    table = pd.concat(parts)
    write_atomically(out / "assays.csv", csv_bytes(table))
    save_figure(figure(table), out / "assays.png", dpi=150)
    for title in DATA.values():
        for split in SPLITS:
            own = table[(table["data"] == title) & (table["split"] == split)]
            count = own["assay"].nunique()
            print(f"\n{title}, {split}: mean over {count} assays, {SEEDS} draws of the molecules known (%)")
            for score in ("auc", "auprc"):
                wide = own.pivot_table(score, "method", "shots", sort=False)
                print(f"\n{score}\n{(100.0 * wide).round(1).to_string()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("assays"))
