"""Study: tuning by hypergradient. ``python -m metasci.studies.hypergradients [FOLDER]`` (some minutes).

Two cases with real data. Anchors: the shapes from which a detector of blood cells starts, chosen to overlap best with
the cells of other images. Step sizes: a few steps of descent that are to calibrate theophylline's patients, tuned on
the readings that were not calibrated to, by hypergradient and by what only evaluates.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci import catalogue
from metasci.errors import InputError
from metasci.extras import needed
from metasci.meta.problem import Problem
from metasci.meta.tune import ForwardMode, InnerLoop, Tuned, Unrolled, descent, tune
from metasci.patients import one_compartment_oral
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["anchors", "calibration_loop", "k_means", "mean_overlap", "overlap", "searches"]

SIZES = (3, 5, 9)


def boxes(split: str, path: Path | None = None) -> Tensor:
    """Widths and heights of the cells of a part of the images, relative to the image, (box, 2)."""
    table = pd.read_csv(path or _cells())
    part = table[table["split"] == split][["width", "height"]].to_numpy()
    return torch.tensor(part, dtype=torch.float64)


def _cells() -> Path:
    import os

    path = Path(os.environ.get("METASCI_DATA_DIR", ".")) / "blood_cells" / "boxes.csv"
    if not path.is_file():
        raise InputError(
            "the boxes of blood cells are not there: set METASCI_DATA_DIR to the folder of blood_cells."
        )
    return path


def overlap(shapes: Tensor, anchors: Tensor) -> Tensor:
    """Intersection over union of boxes and anchors with a common centre, (box, anchor).

    Examples
    --------
    >>> overlap(torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 1.0], [2.0, 2.0]])).tolist()
    [[0.5, 0.5]]
    """
    common = torch.minimum(shapes[:, None], anchors[None]).prod(-1)
    return common / (shapes.prod(-1)[:, None] + anchors.prod(-1)[None] - common)


def mean_overlap(shapes: Tensor, anchors: Tensor) -> float:
    """Of every box with its best anchor."""
    return float(overlap(shapes, anchors).amax(1).mean())


def k_means(shapes: Tensor, size: int, seed: int) -> Tensor:
    """Anchors as detectors choose them: boxes go to the anchor that overlaps most, anchors to the median of theirs.

    Source: Redmon and Farhadi 2017 (arXiv 1612.08242), section 2, with the median.
    """
    generator = torch.Generator().manual_seed(seed)
    anchors = shapes[torch.randperm(len(shapes), generator=generator)[:size]].clone()
    for _ in range(200):
        nearest = overlap(shapes, anchors).argmax(1)
        new = torch.stack(
            [
                shapes[nearest == k].quantile(0.5, 0) if bool((nearest == k).any()) else anchors[k]
                for k in range(size)
            ]
        )
        if torch.equal(new, anchors):
            break
        anchors = new
    return anchors


def anchors(shapes: Tensor, start: Tensor, *, softness: float = 0.01, evaluations: int = 80) -> Tuned:
    """Anchors by the gradient of their overlap, the best anchor of each box chosen softly.

    There is nothing to train inside: the regression of a box starts at the anchor, and the overlap there is what the
    anchor is for. So the hypergradient is the plain gradient.
    """

    def loss(parameters: dict[str, Tensor], outer: dict[str, Tensor]) -> Tensor:
        each = overlap(shapes, outer["log_shape"].exp())
        return -(softness * torch.logsumexp(each / softness, 1)).mean()

    loop = InnerLoop(lambda outer: {}, lambda p, outer, number: p, 0, loss)
    return tune(loop, {"log_shape": start.log()}, evaluations=evaluations, rate=0.03)


def anchor_table(restarts: int = 20, climbed: int = 5) -> pd.DataFrame:
    """Overlap of the test images' boxes, anchors chosen on the other images: the best there of many restarts.

    Gradients climb from the best few of the restarts of k-means, and the best of their ends is taken.
    """
    train, test = torch.cat([boxes("train"), boxes("val")]), boxes("test")
    rows = {}
    for size in SIZES:
        starts = sorted(
            (k_means(train, size, seed) for seed in range(restarts)), key=lambda a: -mean_overlap(train, a)
        )
        ends = [anchors(train, start).outer["log_shape"].exp() for start in starts[:climbed]]
        best = max(ends, key=lambda end: mean_overlap(train, end))
        rows[size] = {
            "k-means, mean of restarts": np.mean([mean_overlap(test, start) for start in starts]),
            "k-means, best": mean_overlap(test, starts[0]),
            "gradient, mean of ends": np.mean([mean_overlap(test, end) for end in ends]),
            "gradient, best": mean_overlap(test, best),
            "k-means, best: images chosen on": mean_overlap(train, starts[0]),
            "gradient, best: images chosen on": mean_overlap(train, best),
        }
    table = pd.DataFrame(rows)
    table.columns.name = "anchors"
    return table


def calibration_loop(patients: range = range(12), steps: int = 8) -> tuple[InnerLoop, dict[str, Tensor]]:
    """Descent from a common start on four readings of each patient, judged by the others; and where tuning begins.

    The outer numbers are the logarithm of a step size for each parameter, and the start.
    """
    tasks = catalogue.dataset("theophylline")
    batch = tasks.batch(one_compartment_oral).select(torch.tensor(list(patients)))
    rank = batch.mask.cumsum(1)
    inside = batch.mask & torch.isin(rank, torch.tensor([3, 5, 7, 9]))
    support = Problem(one_compartment_oral, batch.with_mask(inside))
    query = Problem(one_compartment_oral, batch.with_mask(batch.mask & ~inside))
    noise = torch.tensor([0.0], dtype=torch.float64)  # 1 mg/L

    def objective(parameters: dict[str, Tensor], outer: dict[str, Tensor]) -> Tensor:
        return support.negative_log_likelihood(parameters["z"], noise).sum()

    def validation(parameters: dict[str, Tensor], outer: dict[str, Tensor]) -> Tensor:
        cost = query.negative_log_likelihood(parameters["z"], noise)
        return torch.where(torch.isfinite(cost), cost, 1e6).sum() / query.batch.mask.sum()

    loop = InnerLoop(
        start=lambda outer: {"z": outer["start"].expand(len(batch), -1)},
        step=descent(objective, lambda outer: outer["log_rate"].exp()),
        steps=steps,
        validation=validation,
        objective=objective,
    )
    begin = {
        "log_rate": torch.full((3,), -5.0, dtype=torch.float64),
        "start": torch.zeros(3, dtype=torch.float64),
    }
    return loop, begin


def searches(evaluations: int = 100, seed: int = 0, target: float | None = None) -> pd.DataFrame:
    """Evaluations and seconds until each way has the validation loss that the hypergradient has in the end, and 1 %.

    Returns
    -------
    DataFrame
        Index: the way; evaluations and seconds to the target (missing where it was not reached), and the least loss.
    """
    loop, begin = calibration_loop()
    paths = {
        "hypergradient, unrolled": tune(loop, begin, Unrolled(), evaluations=60, rate=0.2).path,
        "hypergradient, forward": tune(loop, begin, ForwardMode(), evaluations=5, rate=0.2).path,
    }
    reached = min(loss for loss, _ in paths["hypergradient, unrolled"])
    target = reached + 0.01 * abs(reached) if target is None else target
    paths["grid, 2 rates by 2 starts each"] = _grid(loop)
    for name, sampler in (("Optuna, TPE", "TPESampler"), ("Optuna, CMA-ES", "CmaEsSampler")):
        paths[name] = _optuna(loop, sampler, evaluations, seed)
    rows = {}
    for name, path in paths.items():
        arrived = next((n for n, (loss, _) in enumerate(path, 1) if loss <= target), None)
        rows[name] = {
            "evaluations to it": arrived if arrived else f"not in {len(path)}",
            "seconds to it": round(path[arrived - 1][1], 2) if arrived else f"not in {path[-1][1]:.1f}",
            "least loss": round(min(loss for loss, _ in path), 4),
        }
    table = pd.DataFrame(rows).T
    table.attrs["paths"], table.attrs["target"] = paths, target
    return table


def _evaluated(loop: InnerLoop, numbers: np.ndarray) -> float:
    with torch.no_grad():
        outer = {"log_rate": torch.tensor(numbers[:3]), "start": torch.tensor(numbers[3:])}
        value = float(loop.validation(loop.trained(outer), outer).detach())
    return value if np.isfinite(value) else 1e6


def _grid(loop: InnerLoop) -> list[tuple[float, float]]:
    path, began = [], time.perf_counter()
    axes = [(-5.0, -2.5)] * 3 + [(-0.5, 0.5)] * 3
    for numbers in np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 6):
        path.append((_evaluated(loop, numbers), time.perf_counter() - began))
    return path


def _optuna(loop: InnerLoop, sampler: str, evaluations: int, seed: int) -> list[tuple[float, float]]:
    optuna: Any = needed("optuna", "studies", "a search to compare with")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
    path, began = [], time.perf_counter()
    for _ in range(evaluations):
        trial = study.ask()
        numbers = [trial.suggest_float(f"log_rate_{i}", -8.0, -1.0) for i in range(3)]
        numbers += [trial.suggest_float(f"start_{i}", -1.5, 1.5) for i in range(3)]
        value = _evaluated(loop, np.array(numbers))
        study.tell(trial, value)
        path.append((value, time.perf_counter() - began))
    return path


def figure(table: pd.DataFrame) -> Figure:
    """The least validation loss so far, by evaluations and by seconds."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8, 3.2), layout="constrained")
    axes = drawn.subplots(1, 2, sharey=True)
    for name, path in table.attrs["paths"].items():
        least = np.minimum.accumulate([loss for loss, _ in path])
        axes[0].plot(range(1, len(path) + 1), least, label=name)
        axes[1].plot([seconds for _, seconds in path], least, label=name)
    for axis, label in zip(axes, ("evaluations", "seconds"), strict=True):
        axis.axhline(table.attrs["target"], color="0.7", lw=0.8)
        axis.set(xscale="log", xlabel=label)
    axes[0].set(ylabel="least validation loss so far", ylim=(None, 3.0))
    axes[0].legend(fontsize=7)
    return drawn


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    needed("optuna", "studies", "this study")
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/hypergradients"))
    folder.mkdir(parents=True, exist_ok=True)
    print("Blood cells: mean overlap (IoU) of each box of the test images with its best anchor\n")
    print(anchor_table().round(4).to_string())
    table = searches()
    print(
        "\nTheophylline: three step sizes and a start of eight steps of descent, tuned on readings kept aside"
    )
    print(f"validation loss to reach: {table.attrs['target']:.4f}\n")
    print(table.to_string())
    save_figure(figure(table), folder / "hypergradients.png", dpi=150)


if __name__ == "__main__":
    main()
