"""Study: networks of graphs for a new family of materials. ``python -m metasci.studies.graph_networks [FOLDER]``.

Message passing over molecules and crystals, and attention over the elements of alloys, meta-learned in every way that
the engine has, beside the process over families and gradient boosting: on the same families left out, the same supports
and the same members that judge.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from metasci import catalogue
from metasci.data.tasks import Batch, TaskSet
from metasci.evaluation.evaluate import evaluate
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.files import write_atomically
from metasci.forecasts import StudentForecaster
from metasci.learned.blend import averaged
from metasci.learned.networks import NetworkMethod
from metasci.learned.ways import WAYS
from metasci.materials.architectures import usual_architecture
from metasci.materials.properties import alloy_strength, boiling_point, phonon_peak
from metasci.meta.group_process import GroupProcess
from metasci.model import Model
from metasci.priors.families import StructurePrior
from metasci.priors.networks import NetworkPrior
from metasci.report.style import save_figure
from metasci.studies.families import ALLOYS, CRYSTALS, by_method, errors_by_members

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CASES", "VARIANTS", "Case", "figure", "main", "scores", "shown"]

FOLDS = 5
PROTOCOL = Protocol(support="random", shots=(0, 1, 3, 5, 10), query="rest", query_from=10, aggregate="mean")
_JOINED = "Gaussian-process head"
_NOT_DRAWN = ("network, not adapted", "family mean", "ridge from scratch", "gradient boosting")
_HALF_AS_LONG = {name: replace(way, iterations=way.iterations // 2) for name, way in WAYS.items()}


@dataclass(frozen=True)
class Case:
    """A property with its families, how networks learn it, and how the process over families does."""

    title: str
    model: Model
    data: str
    networks: NetworkMethod
    process: GroupProcess

    def tasks(self) -> TaskSet:
        """Families with enough members."""
        tasks = catalogue.dataset(self.data, model=self.model)
        return with_enough_rows(tasks, Protocol.from_card(tasks.card))[0]


CASES = {
    "alloys": Case(
        "Alloys, element systems left out",
        alloy_strength,
        "alloy_systems",
        NetworkMethod(usual_architecture("formula"), networks=4),
        ALLOYS,
    ),
    "boiling-points": Case(
        "Molecules, organic families left out",
        boiling_point,
        "boiling_points",
        NetworkMethod(usual_architecture("smiles")),
        GroupProcess(),
    ),
    "crystals": Case(
        "Crystals, anions left out",
        phonon_peak,
        "phonons",
        NetworkMethod(usual_architecture("crystal"), ways=_HALF_AS_LONG, tasks=8, query=8),
        CRYSTALS,
    ),
}
"""By their names in files."""
VARIANTS: dict[str, dict[str, Any]] = {
    "four fifths of the families": {},
    "half of the families": {"parts": 2, "seed": 1},
    "no descriptors, the graph alone": {"beside": "nothing", "seed": 2},
    "fractions of elements as conditions, too": {"beside": "descriptors and parts", "seed": 3},
}
"""Changes to the method of a case."""
_VARIED = {
    "alloys": tuple(VARIANTS),
    "boiling-points": tuple(VARIANTS)[:3],
    "crystals": tuple(VARIANTS)[::3],
}


@dataclass(frozen=True)
class Side:
    """Networks and the process over families, side by side, and the mean of the two; for `evaluate`."""

    networks: NetworkPrior
    process: StructurePrior

    @property
    def method(self) -> NetworkMethod:
        """How the networks are learned."""
        return self.networks.method

    @property
    def model(self) -> Model:
        """The property."""
        return self.networks.model

    def batch(self, tasks: TaskSet) -> Batch:
        """The families as padded tensors."""
        return self.networks.batch(tasks)

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> Side:
        """All of it, learned from other families."""
        return replace(self, networks=self.networks.retrain(tasks), process=self.process.retrain(tasks))

    def forecasters(self, tasks: TaskSet) -> dict[str, StudentForecaster]:
        """All ways, the process and its baselines, and the mean of the process and one way."""
        process = {
            ("process over families" if name == "prior" else name): f
            for name, f in self.process.forecasters(tasks).items()
        }
        networks = self.networks.forecasters(tasks)

        mean = averaged(process["process over families"], networks[_JOINED])
        return {**networks, f"process and {_JOINED}, averaged": mean, **process}


def scores(case: Case, checkpoints: Path | None = None, seeds: int = 5) -> dict[str, Any]:
    """Figures of all ways and baselines on families left out in five parts; as `evaluate` gives them."""
    tasks = case.tasks()
    method = replace(case.networks, checkpoints=checkpoints)
    networks = NetworkPrior("recipe", case.model, method, tasks.card)
    side = Side(networks, StructurePrior("recipe", case.model, case.process, None, tasks.card))
    group = tasks.card.task[0]
    return evaluate(side, tasks, protocol=PROTOCOL, leave_out=group, folds=FOLDS, seeds=seeds)


def variants(
    case: Case, names: Sequence[str], checkpoints: Path | None = None, seeds: int = 5
) -> dict[str, Any]:
    """Figures of one network with a Gaussian-process head, changed in some of the ways of `VARIANTS`."""
    tasks = case.tasks()
    ways = {_JOINED: case.networks.ways[_JOINED]}
    plain = replace(case.networks, ways=ways, networks=1, checkpoints=checkpoints)
    rows = []
    for name in names:
        prior = NetworkPrior("recipe", case.model, replace(plain, **VARIANTS[name]), tasks.card)
        result = evaluate(
            prior, tasks, protocol=PROTOCOL, leave_out=tasks.card.task[0], folds=FOLDS, seeds=seeds
        )
        rows += [{**row, "method": name} for row in result["results"] if row["method"] == _JOINED]
    return {"results": rows}


def table(result: dict[str, Any]) -> pd.DataFrame:
    """Rows of methods, with the single networks of a way as their mean and spread beside its average."""
    rows = pd.DataFrame(result["results"])
    rows[["method", "network"]] = rows["method"].str.extract(r"^(.*?)(?:, network (\d+))?$")
    together = rows[rows["network"].isna()].drop(columns="network")
    alone = rows[rows["network"].notna()].groupby(["method", "shots"], sort=False)["mae"]
    single = alone.agg(mae_of_one_network="mean", mae_sd_over_networks="std").reset_index()
    return together.merge(single, on=["method", "shots"], how="left")


def shown(rows: pd.DataFrame) -> str:
    """MAE ± spread over supports, and coverage of 90 % intervals; of single networks mean ± spread of the MAE."""
    wide, five = by_method(rows), rows[rows["shots"] == 5].set_index("method")
    wide["one network, 5"] = [
        "" if error != error else f"{error:.1f} ± {sd:.1f}"
        for error, sd in zip(five["mae_of_one_network"], five["mae_sd_over_networks"], strict=True)
    ]
    return str(wide.to_string())


def figure(tables: dict[str, tuple[pd.DataFrame, str]]) -> Figure:
    """MAE against the number of members measured, for each property."""
    from metasci.report.style import PALETTE

    plain = {"process over families": "black", "gradient boosting, shrunken offset": "0.55"}

    def draw(panel: Axes, rows: pd.DataFrame) -> None:
        ways = [name for name in rows["method"].unique() if name not in _NOT_DRAWN and name not in plain]
        colours = {**{name: PALETTE[at % len(PALETTE)] for at, name in enumerate(ways)}, **plain}
        for at, (name, colour) in enumerate(colours.items()):
            part = rows[rows["method"] == name]
            beside = 0.08 * (at - len(colours) / 2)
            panel.errorbar(
                part["shots"] + beside,
                part["mae"],
                part["mae_sd_over_seeds"],
                label=name,
                marker="o",
                markersize=3.5,
                capsize=0,
                elinewidth=0.8,
                color=colour,
                linewidth=2.2 if name in plain else 1.3,
                linestyle="--" if name in plain else "-",
            )

    return errors_by_members(tables, draw, (3.9, 4.0))


def main(folder: Path | None = None) -> None:
    """Print the tables, write them and the figure; what a former run has written is taken from there."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/graph-networks"))
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, tuple[pd.DataFrame, str]] = {}
    written: dict[str, Any] = {}
    for name, case in CASES.items():
        keep = folder / "checkpoints" / name
        rows = table(_once(folder / f"{name}.json", functools.partial(scores, case, keep)))
        results[case.title], written[name] = (rows, case.model.output.unit), _records(rows)
        print(
            f"{case.title}: MAE ± spread over supports, coverage of 90 % intervals; {case.model.output.unit}"
        )
        print(shown(rows), flush=True)
    for name, changes in _VARIED.items():
        keep, case = folder / "checkpoints" / f"{name}-variants", CASES[name]
        rows = table(
            _once(folder / f"{name}-variants.json", functools.partial(variants, case, changes, keep))
        )
        written[f"{name}, one network with a {_JOINED}"] = _records(rows)
        print(f"{case.title}: one network with a {_JOINED}; {case.model.output.unit}")
        print(shown(rows), flush=True)
    write_atomically(folder / "graph_networks.json", (json.dumps(written, indent=1) + "\n").encode())
    save_figure(figure(results), folder / "graph-networks.png", dpi=150)


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What the page tells, a row each."""
    kept = ["method", "shots", "mae", "mae_sd_over_seeds", "coverage90", "nlpd"]
    kept += ["mae_of_one_network", "mae_sd_over_networks"]
    records: list[dict[str, Any]] = json.loads(rows[kept].to_json(orient="records", double_precision=4))
    return records


def _once(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What stands in a file, or what is computed, and written there."""
    if not path.exists():
        write_atomically(path, (json.dumps(compute(), indent=1) + "\n").encode())
    read: dict[str, Any] = json.loads(path.read_text())
    return read


if __name__ == "__main__":
    main()
