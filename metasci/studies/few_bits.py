"""Study: few bits. ``python -m metasci.studies.few_bits [FOLDER]`` (some minutes).

Does what was learned survive where numbers have few bits? Calibrators of three real data sets run with their prior's
numbers stored in few bits, and with every number of their arithmetic rounded; a network that learned to learn
sinusoids (simulated) adapts with weights of few bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci import catalogue
from metasci.data.batch import Batch
from metasci.meta import Outer, adapt, initial, meta_train, named
from metasci.priors.equation import Prior, meta_calibrate
from metasci.programs import Program, Sizes, calibrator, given_of
from metasci.programs.fewer_bits import FORMATS, quantised, stored
from metasci.report.style import save_figure
from metasci.studies import sinusoids

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["calibration_errors", "network_errors"]

READINGS = (1, 3)
FOLDS = 4
STORED = (16, 8, 6, 4, 3, 2)
DATA = {"theophylline": None, "phenobarbital": 24, "alloy_fatigue": None}


def _supports(batch: Batch, readings: int) -> Tensor:
    """Which readings calibrate: spread over the task, as many as leave one to judge."""
    mask = torch.zeros_like(batch.mask)
    for task in range(len(batch)):
        seen = batch.mask[task].nonzero()[:, 0]
        count = min(readings, len(seen) - 1)
        if count > 0:
            places = (
                torch.linspace(1 if count > 1 else (len(seen) - 1) // 2, len(seen) - 2, count).round().long()
                if len(seen) > 4
                else torch.arange(count)
            )
            mask[task, seen[places]] = True
    return mask


def _predicted(prior: Prior, batch: Batch, readings: int, rounding: Callable[[Any], Any] | None) -> Tensor:
    """Predictions at every place of the batch, from the support's readings alone."""
    width = batch.mask.shape[1]
    events = max([v.shape[-1] for k, v in batch.inputs.items() if k in prior.model.event_names] or [1])
    program: Program = calibrator(prior, Sizes(readings, width, events, 8, exact=True))
    support = batch.with_mask(_supports(batch, readings))
    predictions = torch.full(batch.mask.shape, torch.nan, dtype=torch.float64)
    for task in range(len(batch)):
        given = given_of(prior, program, support, task)
        for name in prior.model.inputs:
            given[f"query_{name}"] = batch.inputs[name].expand(batch.mask.shape)[task].numpy()
        predictions[task] = torch.from_numpy(np.array(program.run(given, rounding)["prediction"]))
    return predictions


def calibration_errors(name: str, readings: int, tasks: int | None = None) -> pd.DataFrame:
    """Root mean squared error of the readings that did not calibrate, tasks left out in parts, by kind of numbers.

    A prediction that is not finite, or further off than ten times the greatest reading, counts as that; `lost` says
    in how many tasks there was one.
    """
    data = catalogue.dataset(name)
    data = data if tasks is None else data.select(slice(0, tasks))
    rows: dict[tuple[str, str], list[Tensor]] = {}
    lost: dict[tuple[str, str], int] = {}
    for fold in range(FOLDS):
        held = [n for place, n in enumerate(data.names) if place % FOLDS == fold]
        model = Prior.declared(_model_of(name)).model
        prior = meta_calibrate(model, data.select([n for n in data.names if n not in held]))
        batch = prior.batch(data.select(held))
        query = batch.mask & ~_supports(batch, readings)
        most = 10.0 * float(batch.output[batch.mask].abs().max())

        def judge(
            key: tuple[str, str],
            predictions: Tensor,
            batch: Batch = batch,
            query: Tensor = query,
            most: float = most,
        ) -> None:
            error = predictions - batch.output
            wrong = ~(error.abs() <= most) & query
            rows.setdefault(key, []).append(torch.where(wrong, most, error)[query].square())
            lost[key] = lost.get(key, 0) + int(wrong.any(1).sum())

        judge(("learned", "double"), _predicted(prior, batch, readings, None))
        alone = replace(prior, state=Prior.declared(model).state, covariates=Prior.declared(model).covariates)
        nothing = replace(batch, covariates=batch.covariates[:, :0])
        judge(("declared, not learned", "double"), _predicted(alone, nothing, readings, None))
        for bits in STORED:
            few = replace(prior, state=stored(prior.state, bits))
            judge(("learned, prior stored in", f"{bits} bits"), _predicted(few, batch, readings, None))
        for kind, rounding in FORMATS.items():
            judge(("learned, arithmetic in", kind), _predicted(prior, batch, readings, rounding))
            judge(("declared, arithmetic in", kind), _predicted(alone, nothing, readings, rounding))
    table = pd.DataFrame(
        {key: {"rmse": float(torch.cat(each).mean().sqrt()), "lost": lost[key]} for key, each in rows.items()}
    ).T
    table["lost"] = table["lost"].astype(int)
    return table


def _model_of(name: str) -> Any:
    from metasci.priors.load import load

    return load(name).model


def network_errors(iterations: int = 3000, seeds: int = 3) -> pd.DataFrame:
    """Mean squared error after five steps on ten points of new sinusoids (simulated), by bits of the weights.

    The start is rounded; then either adaptation has all bits, or weights are rounded again after every step.
    """
    rows = []
    for seed in range(seeds):
        network = sinusoids.network(seed)
        made = named.maml(5, 0.01, learned="scalar")
        learned = meta_train(
            made,
            lambda i, network=network: sinusoids.episode(network, 16, 10, 10, i),  # type: ignore[misc]
            initial(made, network.start(), seed),
            Outer(iterations, 1e-3, schedule="cosine", clip=10.0),
            seed=seed,
        ).learned
        random = initial(made, network.start(), seed)
        test = sinusoids.episode(network, 300, 10, 100, 10_000_019)
        for bits in (32, *STORED):
            for start, which in ((learned, "learned"), (random, "random")):
                rounded = {n: _weights(v, bits) if n in network.start() else v for n, v in start.items()}
                with torch.no_grad():
                    after = adapt(made, test, rounded)
                    loss = test.query(after)
                    end = {n: _each_rounded(v, bits) for n, v in after.items()}
                    at_the_end = test.query(end)
                for way, value in (("start", loss), ("start and result", at_the_end)):
                    rows.append((which, way, bits, seed, float(value[torch.isfinite(value)].mean())))
    return pd.DataFrame(rows, columns=["start", "rounded", "bits", "seed", "error"])


def _weights(value: Tensor, bits: int) -> Tensor:
    return value if bits >= 32 else quantised(value, bits)


def _each_rounded(value: Tensor, bits: int) -> Tensor:
    """Each task's tensor by its own greatest number."""
    return value if bits >= 32 else torch.stack([quantised(each, bits) for each in value])


def figure(tables: dict[tuple[str, int], pd.DataFrame]) -> Figure:
    """Errors over the declared prior's, by bits of the stored prior."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(5.5, 3.4), layout="constrained")
    axis = drawn.subplots()
    for (name, readings), table in tables.items():
        error: dict[tuple[str, str], float] = dict(
            zip(table.index, table["rmse"].to_numpy(float), strict=True)
        )
        base = error["declared, not learned", "double"]
        errors = [error["learned, prior stored in", f"{bits} bits"] / base for bits in STORED]
        axis.plot(STORED, errors, marker="o", label=f"{name.replace('_', ' ')}, {readings}")
    axis.axhline(1.0, color="0.5", lw=0.8)
    axis.set(
        xlabel="bits of each number of the prior",
        ylabel="error, over that without learning",
        xscale="log",
        xticks=STORED,
    )
    axis.set_xticklabels([str(bits) for bits in STORED])
    axis.legend(fontsize=8)
    return drawn


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/few-bits"))
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        (name, readings): calibration_errors(name, readings, tasks)
        for name, tasks in DATA.items()
        for readings in READINGS
        if not (name == "phenobarbital" and readings > 1)  # its newborns have two or three each
    }
    print(
        f"RMSE of readings kept aside, from one or three readings of a new task; tasks left out in {FOLDS} parts"
    )
    print(
        "lost: tasks with a prediction that is not finite, or further off than ten times the greatest reading\n"
    )
    print(pd.concat(tables, axis=1).round(3).to_string())
    errors = network_errors()
    print("\nSinusoids (simulated): mean squared error after five steps on ten points, mean of three seeds\n")
    wide = errors.pivot_table(index="bits", columns=["start", "rounded"], values="error", sort=False)
    print(wide.round(3).to_string())
    save_figure(figure(tables), folder / "few-bits.png", dpi=150)


if __name__ == "__main__":
    main()
