"""Study: a new family of alloys or crystals from a few members. ``python -m metasci.studies.families [FOLDER]``.

Yield strength of multi-principal-element alloys, element systems left out, with temperature as an input; and the last
peak of the phonon density of states of crystals, families by anion left out. Of alloys it is also asked whether
processing and the type of test help, as inputs. Each is judged on the same members by the process over families, by the
family's mean, a ridge from scratch, and gradient boosting with and without an offset.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.evaluation.evaluate import evaluate, held_out
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.files import write_atomically
from metasci.materials.properties import (
    alloy_strength,
    boiling_point,
    phonon_peak,
    processed_alloy_strength,
)
from metasci.meta.group_process import GroupProcess
from metasci.model import Model
from metasci.priors.blend import BlendPrior
from metasci.priors.families import StructurePrior, learn_structures
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ALLOYS",
    "CRYSTALS",
    "by_family",
    "by_method",
    "errors_by_members",
    "held_against",
    "learn_alloys",
    "learn_averaged_boiling_points",
    "learn_boiling_points",
    "scores",
]

ALLOYS = GroupProcess(members=8, iterations=40, noise_levels=True)  # 150 systems, most of them small
CRYSTALS = GroupProcess(members=40, iterations=40)  # 16 anions, all of them large


def learn_alloys() -> StructurePrior:
    """The prior of yield strengths that ships."""
    tasks = catalogue.dataset("alloy_systems", model=alloy_strength)
    return learn_structures(alloy_strength, tasks, ALLOYS, name="alloy_strength")


def learn_boiling_points() -> StructurePrior:
    """The prior of boiling points that ships, from families with enough members."""
    tasks = catalogue.dataset("boiling_points", model=boiling_point)
    tasks, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    return learn_structures(boiling_point, tasks, name="boiling_point")


def learn_averaged_boiling_points() -> BlendPrior:
    """The mean of such a process and of networks of graphs, which ships beside it; some minutes.

    Raises
    ------
    MissingExtra
        If torch-geometric is not installed.
    """
    from metasci.learned.networks import NetworkMethod
    from metasci.learned.ways import WAYS
    from metasci.materials.architectures import usual_architecture
    from metasci.priors.networks import NetworkPrior

    tasks = catalogue.dataset("boiling_points", model=boiling_point)
    tasks, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    name, card = "boiling_point_averaged", tasks.card
    head = "Gaussian-process head"
    method = NetworkMethod(usual_architecture("smiles"), ways={head: WAYS[head]})
    process = StructurePrior(name, boiling_point, GroupProcess(), None, card)
    networks = NetworkPrior(name, boiling_point, method, card)
    return BlendPrior(name, boiling_point, card, process, networks).retrain(tasks)


def scores(recipe: StructurePrior, tasks: TaskSet, folds: int | None = None, seeds: int = 5) -> pd.DataFrame:
    """MAE with its spread over random choices of the support, and coverage, of families left out in parts."""
    result = evaluate(recipe, tasks, leave_out=tasks.card.task[0], folds=folds, seeds=seeds)
    return pd.DataFrame(result["results"])


def by_family(recipe: StructurePrior, tasks: TaskSet, least: int = 11) -> pd.DataFrame:
    """Of each family left out, before any of its members is measured: how far off, how scattered, how well covered.

    Returns
    -------
    DataFrame
        Index family; columns members, off and scatter (mean and standard deviation of measured less predicted), scale
        (mean of the predictive distributions), covered (share of 90 % intervals that hold the measurement); the middle
        three on the scale on which the property is learned.
    """
    rows = []
    for prior, left_out in held_out(recipe, tasks, tasks.card.task[0], Protocol.from_card(tasks.card).folds):
        batch = prior.batch(left_out)
        for at, outlook in enumerate(prior.outlooks(left_out)):
            if left_out.counts[at] < least:
                continue
            off = prior.model.noise.link(batch.output[at][batch.mask[at]]) - outlook.mean
            covered = (off.abs() <= outlook.reach(0.9) * outlook.scale).double().mean()
            row = (len(off), off.mean(), off.std(), outlook.scale.mean(), covered)
            rows.append((batch.names[at], *map(float, row)))
    table = pd.DataFrame(rows, columns=["family", "members", "off", "scatter", "scale", "covered"])
    return table.astype({"members": int}).sort_values("scatter", ascending=False).set_index("family")


def by_method(table: pd.DataFrame) -> pd.DataFrame:
    """MAE ± spread over seeds, and coverage of 90 % intervals, as text, (method, shots)."""
    cells = table.copy()
    cells["MAE"] = [
        f"{mae:.1f} ± {0.0 if sd != sd else sd:.1f} ({100 * cover:.0f} %)"
        for mae, sd, cover in zip(cells["mae"], cells["mae_sd_over_seeds"], cells["coverage90"], strict=True)
    ]
    return cells.pivot(index="method", columns="shots", values="MAE").reindex(cells["method"].unique())


def shown(table: pd.DataFrame) -> str:
    """The table as text."""
    return str(by_method(table).to_string())


def held_against(
    cases: Iterable[tuple[str, StructurePrior, TaskSet]], folds: int, folder: Path | None
) -> None:
    """Print, and write into a folder if there is one, `scores` of recipes that differ in what they know of a structure.

    Parameters
    ----------
    cases : iterable of tuple
        A title, whose last word names the file, a recipe and its tasks.
    folds : int
    folder : Path or None
    """
    for title, recipe, families in cases:
        table = scores(recipe, families, folds=folds)
        unit = recipe.model.output.unit
        print(f"\n{title}: MAE ± spread over seeds, coverage of 90 % intervals; {unit}")
        print(shown(table), flush=True)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{title.split()[-1]}.csv", csv_bytes(table))


def figure(tables: dict[str, tuple[pd.DataFrame, str]]) -> Figure:
    """MAE against the number of members measured, for each property."""
    from metasci.report.style import PALETTE

    def draw(panel: Axes, table: pd.DataFrame) -> None:
        for place, (method, rows) in enumerate(table.groupby("method", sort=False)):
            name = "process over families" if method == "prior" else str(method)
            panel.errorbar(
                rows["shots"],
                rows["mae"],
                rows["mae_sd_over_seeds"].fillna(0.0),
                label=name,
                marker="o",
                markersize=4,
                capsize=2,
                color=PALETTE[place % len(PALETTE)],
                linewidth=2.4 if place == 0 else 1.3,
            )
        panel.set_ylim(bottom=0.0)

    return errors_by_members(tables, draw, (4.1, 3.5))


def errors_by_members(
    tables: dict[str, tuple[pd.DataFrame, str]],
    draw: Callable[[Axes, pd.DataFrame], None],
    size: tuple[float, float],
) -> Figure:
    """A panel of some size in inches for each property, of which `draw` draws the errors, and one legend for all."""
    import matplotlib.pyplot as plt

    from metasci.report.style import styled

    @styled
    def made() -> Figure:
        drawing, panels = plt.subplots(
            1, len(tables), figsize=(size[0] * len(tables), size[1]), layout="constrained", squeeze=False
        )
        for panel, (title, (table, unit)) in zip(panels[0], tables.items(), strict=True):
            draw(panel, table)
            panel.set_title(title)
            panel.set_xlabel("members measured")
            panel.set_ylabel(f"mean absolute error ({unit})")
            panel.set_xticks([0, 1, 3, 5, 10])
        handles, labels = panels[0][0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
        return drawing

    return made()


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/families"))
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, tuple[pd.DataFrame, str]] = {}
    cases: list[tuple[str, Model, GroupProcess, str]] = [
        ("Alloys, element systems left out", alloy_strength, ALLOYS, "alloy_systems"),
        ("The same, with processing and type of test", processed_alloy_strength, ALLOYS, "alloy_systems"),
        ("Crystals, anions left out", phonon_peak, CRYSTALS, "phonons"),
    ]
    for title, model, method, data in cases:
        tasks = catalogue.dataset(data, model=model)
        recipe = StructurePrior("recipe", model, method, None, tasks.card)
        table = scores(recipe, tasks)
        if model is not processed_alloy_strength:
            results[title] = (table, model.output.unit)
        judged = int((tasks.counts > 10).sum())
        print(f"{title}: {int(tasks.counts.sum())} members of {len(tasks)} families, {judged} of them judged")
        print(f"MAE ± spread over seeds, coverage of 90 % intervals; {model.output.unit}")
        print(shown(table), flush=True)
        if model is alloy_strength:
            print("Before any member is measured, on the logarithm of the strength")
            print(by_family(recipe, tasks).round(2).to_string(), flush=True)
    save_figure(figure(results), folder / "families.png", dpi=150)


if __name__ == "__main__":
    main()
