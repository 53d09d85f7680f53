"""Study: supports out of balance. ``metasci study biased-supports`` (some ten minutes).

A new assay is known from twenty molecules, one of them active, as assays have them, and both kinds are to be told
apart alike: queries are balanced. A start of a linear classifier is learned on such supports, and on balanced ones; the
second is also adapted with the active molecule counted as often as the others. Assays and molecules of Tox21 are both
left out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metasci.data.frames import csv_bytes
from metasci.evaluation.outcome_scores import area_under_curve, average_precision, calibration_error
from metasci.files import write_atomically
from metasci.meta import Network, NetworkEpisode, Outer, adapt, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import cross_entropy
from metasci.report.style import save_figure
from metasci.studies.assay_data import assays
from metasci.studies.assay_ways import held_out_molecules, log_odds, parts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BALANCED", "BIASED", "Pool", "episode", "figure", "pools", "scores", "shares_of_slope"]

Floats = NDArray[np.float64]
Pool = tuple[Tensor, Tensor]
"""Features of the inactive and of the active molecules of an assay, (molecule, feature) each."""

BIASED, BALANCED = (19, 1), (10, 10)
"""Inactive and active molecules of a support."""

_QUERY, _TASKS = 20, 8  # molecules of each kind, and assays of an episode
_STEPS, _STEP, _ITERATIONS, _RATE = 3, 0.5, 1500, 0.01
_SEEDS, _DRAWS = 5, 40


def pools(
    told: Floats, labels: Floats, which: Sequence[int], old: Sequence[int], among: NDArray[np.bool_]
) -> list[Pool]:
    """Molecules of some assays, told by the assays `old` but for themselves."""
    made = []
    for at in which:
        kinds = []
        for kind in (0.0, 1.0):
            chosen = torch.as_tensor(told[among & (labels[:, at] == kind)][:, list(old)])
            if at in old:
                chosen[:, list(old).index(at)] = 0.0
            kinds.append(chosen)
        made.append((kinds[0], kinds[1]))
    return made


def episode(
    network: Network, of: Sequence[Pool], support: tuple[int, int], seed: int, tasks: int, repeat: int = 1
) -> NetworkEpisode:
    """Assays drawn with replacement, a support of so many inactive and active molecules, a balanced query.

    Parameters
    ----------
    network : Network
    of : sequence of Pool
    support : tuple of int
    seed : int
    tasks : int
    repeat : int
        How often an active molecule of the support counts.
    """
    draw = np.random.default_rng(seed)
    seen, asked = [], []
    for _ in range(tasks):
        pool = of[int(draw.integers(len(of)))]
        orders = [torch.as_tensor(draw.permutation(len(kind))) for kind in pool]
        parts = [kind[order[:count]] for kind, order, count in zip(pool, orders, support, strict=True)]
        seen.append(torch.cat([parts[0], *[parts[1]] * repeat]))
        ends = [order[count : count + _QUERY] for order, count in zip(orders, support, strict=True)]
        asked.append(torch.cat([kind[end] for kind, end in zip(pool, ends, strict=True)]))
    labels = torch.cat([torch.zeros(support[0]), torch.ones(support[1] * repeat)]).long()
    wanted = torch.cat([torch.zeros(_QUERY), torch.ones(_QUERY)]).long()
    return NetworkEpisode(
        network,
        torch.stack(seen),
        labels.expand(tasks, -1),
        torch.stack(asked),
        wanted.expand(tasks, -1),
        loss=cross_entropy,
    )


def _drawn(network: Network, of: Sequence[Pool], support: tuple[int, int], seed: int) -> NetworkEpisode:
    return episode(network, of, support, seed, _TASKS)


def shares_of_slope(one: NetworkEpisode, learned: Parameters) -> tuple[float, float]:
    """Lengths of the slopes at the start that inactive and active molecules of a support make, means over tasks."""
    lengths = []
    for kind in (0, 1):
        weights, shared = one.start({name: learned[name] for name in one.network.start()})
        free = {name: value.clone().requires_grad_() for name, value in weights.items()}
        output = one.network({**free, **shared}, one.inputs)
        own = cross_entropy(output, one.targets, one.targets == kind) * (one.targets == kind).sum(1)
        slopes = torch.autograd.grad(own.sum() / one.targets.shape[1], list(free.values()))
        lengths.append(float(torch.cat([slope.flatten(1) for slope in slopes], 1).norm(dim=1).mean()))
    return lengths[0], lengths[1]


def _figures(score: Floats, yes: Floats) -> dict[str, float]:
    p = np.clip(1.0 / (1.0 + np.exp(-score)), 1e-6, 1.0 - 1e-6)
    return {
        "auc": area_under_curve(yes, score),
        "auprc": average_precision(yes, score),
        "recall": float(np.mean(p[yes == 1.0] > 0.5)),
        "accuracy": float(np.mean((p > 0.5) == yes)),
        "log_loss": float(-np.mean(yes * np.log(p) + (1.0 - yes) * np.log(1.0 - p))),
        "calibration_error": calibration_error(yes, p),
    }


def scores(
    train: Sequence[Pool], test: Sequence[Pool], seed: int, iterations: int = _ITERATIONS
) -> pd.DataFrame:
    """Figures of every way on assays that were left out, and what each kind makes of the first slope."""
    torch.manual_seed(seed)
    network = Network(nn.Linear(train[0][0].shape[1], 2).double())
    composition = named.meta_sgd(_STEPS, _STEP)
    first = initial(composition, {name: torch.zeros_like(value) for name, value in network.start().items()})
    outer = Outer(iterations, _RATE, schedule="cosine")

    def learned_on(support: tuple[int, int]) -> Parameters:
        draw = partial(_drawn, network, train, support)
        return meta_train(composition, draw, first, outer, seed=seed).learned

    biased, balanced = learned_on(BIASED), learned_on(BALANCED)
    ways: dict[str, tuple[Parameters, int, bool]] = {
        "learned on biased supports": (biased, 1, True),
        "learned on balanced supports": (balanced, 1, True),
        "learned on balanced supports, reweighted by hand": (balanced, BIASED[0], True),
        "learned on balanced supports, not adapted": (balanced, 1, False),
    }
    rows: list[dict[str, Any]] = []
    for name, (start, repeat, adapted) in ways.items():
        for place, pool in enumerate(test):
            one = episode(network, [pool], BIASED, 10_000 + seed, _DRAWS, repeat)
            weights = adapt(composition, one, start) if adapted else one.start(start)[0]
            with torch.no_grad():
                output = one.outputs(weights)
            score = (output[..., 1] - output[..., 0]).detach().numpy().ravel()
            figures = _figures(score, one.query_targets.numpy().ravel().astype(float))
            common, rare = shares_of_slope(one, start)
            rows.append(
                {"way": name, "assay": place, **figures, "slope of inactive": common, "of active": rare}
            )
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> Figure:
    """Recall of the active molecules and of the inactive ones, by way."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(6.0, 2.6), layout="constrained")
        axes = drawing.subplots()
        means = table.groupby("way", sort=False)[["recall", "accuracy"]].mean()
        recall, other = means["recall"], 2.0 * means["accuracy"] - means["recall"]
        places = np.arange(len(means))
        axes.barh(places - 0.18, recall, 0.34, color=PALETTE[0], label="active molecules found")
        axes.barh(places + 0.18, other, 0.34, color=PALETTE[1], label="inactive molecules found")
        axes.set(yticks=places, yticklabels=means.index, xlim=(0.0, 1.0), xlabel="share found")
        axes.invert_yaxis()
        drawing.legend(loc="outside lower center", ncols=2)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the table, and write all figures and the picture into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    data = assays()
    held_out = held_out_molecules(len(data.labels))
    told, _ = log_odds(data, ~held_out)
    tables = []
    for part in parts_of(data):
        old = [at for at in range(len(data.names)) if at not in part]
        train = pools(told, data.labels, old, old, ~held_out)
        test = pools(told, data.labels, part, old, held_out)
        tables += [scores(train, test, seed).assign(seed=seed) for seed in range(_SEEDS)]
    table = pd.concat(tables)
    write_atomically(out / "biased_supports.csv", csv_bytes(table))
    save_figure(figure(table), out / "biased_supports.png", dpi=150)
    print(
        f"One active molecule of twenty is known; balanced queries. Mean over {len(data.names)} assays left out, "
        f"{_SEEDS} seeds of learning"
    )
    print(table.drop(columns=["assay", "seed"]).groupby("way", sort=False).mean().round(3).to_string())
    over = table.groupby(["way", "seed"], sort=False)["recall"].mean().groupby("way", sort=False).std()
    print(f"\nstandard deviation of recall over seeds\n{over.round(3).to_string(header=False)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("biased_supports"))
