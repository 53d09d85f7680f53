"""Study: a new family of alloys or crystals from a few members. ``python -m metasci.studies.families [FOLDER]``.

Yield strength of multi-principal-element alloys, element systems left out, with temperature as an input; and the last
peak of the phonon density of states of crystals, families by anion left out. Each is judged on the same members by the
process over families, by the family's mean, a ridge from scratch, and gradient boosting with and without an offset.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from metasci import catalogue
from metasci.errors import InputError
from metasci.evaluation import Protocol, evaluate, with_enough_rows
from metasci.io.cards import Card, Column
from metasci.materials.properties import alloy_strength, boiling_point, phonon_peak
from metasci.meta.group_process import GroupProcess
from metasci.model import Model
from metasci.structure_prior import StructurePrior, learn_structures
from metasci.tasks import TaskSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ALLOYS", "CRYSTALS", "alloys", "crystals", "learn_alloys", "learn_boiling_points", "scores"]

ALLOYS = GroupProcess(members=8, iterations=40)  # 150 systems, most of them small
CRYSTALS = GroupProcess(members=40, iterations=40)  # 16 anions, all of them large
_PROTOCOL = Protocol(support="random", shots=(0, 1, 3, 5, 10), query="rest", query_from=10, aggregate="mean")
_ANIONS = ("F", "O", "Cl", "N", "Br", "I", "S", "Se", "Te", "P", "As", "Sb", "C", "Si", "H")

_ALLOYS = Card(
    "mpea",
    title="Yield strength of multi-principal-element alloys by element system",
    description="Yield strength over temperature; a task is one system of elements in any proportion.",
    source="Borg et al. (2020), Scientific Data 7:430; github.com/CitrineInformatics/MPEA_dataset at commit d31e251",
    licence="Apache-2.0 (github.com/CitrineInformatics/MPEA_dataset)",
    external="mpea/MPEA_dataset.csv",
    task=("system",),
    model=alloy_strength.name,
    traps=(
        "Alloys of one composition differ in processing and phases, which are not inputs.",
        "62 rows repeat composition, temperature and strength of another, as later papers do; they are left out.",
        "Element systems overlap: one left out has near relatives among those learned from.",
    ),
    columns=(
        Column("system", "system", "task", description="Elements, in alphabetical order"),
        Column("formula", "alloy", "input", "1", "Elements with relative amounts", kind="formula"),
        Column("temperature [degC]", "temperature", "input", "degC", "Of the test"),
        Column("yield_strength [MPa]", "yield_strength", "output", "MPa", "Yield strength"),
    ),
)
_CRYSTALS = Card(
    "phonons",
    title="Last phonon peak of crystals by anion",
    description="Highest peak of the phonon density of states, calculated from first principles, by anion.",
    source="Petretto et al. (2018), Scientific Data 5:180065 (matbench_phonons); github.com/CompRhys/aviary at a021eb7",
    licence="MIT (github.com/CompRhys/aviary)",
    external="phonons/matbench_phonons.json.gz",
    task=("anion",),
    model=phonon_peak.name,
    columns=(
        Column("anion", "anion", "task", description="Most electronegative element of the crystal"),
        Column(
            "crystal", "crystal", "input", "1", "Structure, a pymatgen dictionary as JSON", kind="crystal"
        ),
        Column(
            "phonon_peak [1/cm]", "phonon_peak", "output", "1/cm", "Last peak of the phonon density of states"
        ),
    ),
)


def alloys() -> TaskSet:
    """Alloys by element system; copies taken out.

    Raises
    ------
    InputError
        If the data are not under ``METASCI_DATA_DIR``.
    """
    from metasci.materials.compositions import fractions

    raw = pd.read_csv(_path(_ALLOYS))
    names = {
        "FORMULA": "formula",
        "PROPERTY: Test temperature ($^\\circ$C)": "temperature [degC]",
        "PROPERTY: YS (MPa)": "yield_strength [MPa]",
    }
    rows = raw[list(names)].rename(columns=names).dropna().drop_duplicates()
    rows.insert(0, "system", ["-".join(sorted(fractions(formula))) for formula in rows["formula"]])
    return TaskSet.from_frame(rows.sort_values("system", kind="stable"), _ALLOYS, model=alloy_strength)


def crystals() -> TaskSet:
    """Crystals by their most electronegative element, those without an anion among them as one family.

    Raises
    ------
    InputError
        If the data are not under ``METASCI_DATA_DIR``.
    """
    with gzip.open(_path(_CRYSTALS), "rt", encoding="utf-8") as file:
        table = json.load(file)
    rows = []
    for structure, peak in table["data"]:
        present = {species["element"] for site in structure["sites"] for species in site["species"]}
        anion = next((element for element in _ANIONS if element in present), "none")
        rows.append((anion, json.dumps(structure), float(peak)))
    frame = pd.DataFrame(rows, columns=[column.header for column in _CRYSTALS.columns])
    return TaskSet.from_frame(frame.sort_values("anion", kind="stable"), _CRYSTALS, model=phonon_peak)


def learn_alloys() -> StructurePrior:
    """The prior of yield strengths that ships."""
    return learn_structures(alloy_strength, alloys(), ALLOYS, name="alloy_strength")


def learn_boiling_points() -> StructurePrior:
    """The prior of boiling points that ships, from families with enough members."""
    tasks = catalogue.dataset("boiling_points", model=boiling_point)
    tasks, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    return learn_structures(boiling_point, tasks, name="boiling_point")


def scores(recipe: StructurePrior, tasks: TaskSet, folds: int, seeds: int = 5) -> pd.DataFrame:
    """MAE with its spread over random choices of the support, and coverage, of families left out in so many parts."""
    group = tasks.card.task[0]
    result = evaluate(recipe, tasks, protocol=_PROTOCOL, leave_out=group, folds=folds, seeds=seeds)
    return pd.DataFrame(result["results"])


def _path(card: Card) -> Path:
    folder = os.environ.get("METASCI_DATA_DIR", "")
    path = Path(folder) / str(card.external)
    if not folder or not path.is_file():
        raise InputError(
            f"the data of '{card.name}' do not ship: set METASCI_DATA_DIR to the folder that holds '{card.external}'."
        )
    return path


def shown(table: pd.DataFrame) -> str:
    """The table as text: MAE ± spread over seeds, and coverage of 90 % intervals, by method and shots."""
    cells = table.copy()
    cells["MAE"] = [
        f"{mae:.1f} ± {0.0 if sd != sd else sd:.1f} ({100 * cover:.0f} %)"
        for mae, sd, cover in zip(cells["mae"], cells["mae_sd_over_seeds"], cells["coverage90"], strict=True)
    ]
    wide = cells.pivot(index="method", columns="shots", values="MAE").reindex(cells["method"].unique())
    return str(wide.to_string())


def figure(tables: dict[str, tuple[pd.DataFrame, str]]) -> Figure:
    """MAE against the number of members measured, for each property."""
    import matplotlib.pyplot as plt

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing, panels = plt.subplots(
            1, len(tables), figsize=(4.1 * len(tables), 3.5), layout="constrained", squeeze=False
        )
        for panel, (title, (table, unit)) in zip(panels[0], tables.items(), strict=True):
            for place, (method, rows) in enumerate(table.groupby("method", sort=False)):
                name = "process over families" if method == "prior" else str(method)
                panel.errorbar(
                    rows["shots"], rows["mae"], rows["mae_sd_over_seeds"].fillna(0.0), label=name, marker="o",
                    markersize=4, capsize=2, color=PALETTE[place % len(PALETTE)], linewidth=2.4 if place == 0 else 1.3,
                )  # fmt: skip
            panel.set_title(title)
            panel.set_xlabel("members measured")
            panel.set_ylabel(f"mean absolute error ({unit})")
            panel.set_xticks([0, 1, 3, 5, 10])
            panel.set_ylim(bottom=0.0)
        handles, labels = panels[0][0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
        return drawing

    return draw()


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/families"))
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[pd.DataFrame, str]] = {}
    cases: list[tuple[str, Model, GroupProcess, TaskSet]] = [
        ("Alloys, element systems left out", alloy_strength, ALLOYS, alloys()),
        ("Crystals, anions left out", phonon_peak, CRYSTALS, crystals()),
    ]
    for title, model, method, tasks in cases:
        recipe = StructurePrior("recipe", model, method, {}, tasks.card)
        table = scores(recipe, tasks, folds=5)
        made[title] = (table, model.output.unit)
        judged = int((tasks.counts > 10).sum())
        print(f"{title}: {int(tasks.counts.sum())} members of {len(tasks)} families, {judged} of them judged")
        print(f"MAE ± spread over seeds, coverage of 90 % intervals; {model.output.unit}")
        print(shown(table), flush=True)
    figure(made).savefig(folder / "families.png", dpi=150)


if __name__ == "__main__":
    main()
