"""Do posteriors of outcomes hold the truth as often as they say? ``python benchmarks/outcomes_simulated.py``.

Everything is simulated: twenty tasks of twelve outcomes each, of every kind, from the declared prior of a line. One
task's posterior by Laplace's approximation and by draws weighted to prior times likelihood; with ``--nuts KIND`` also
NUTS on the hierarchical model of three tasks. Columns are those of `simulation_based_calibration.py`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from simulation_based_calibration import line, timed

import metasci as ms
from metasci.bayes import hierarchical, importance_ranks, laplace_ranks, nuts_ranks
from metasci.data.batch import Batch
from metasci.math import exp, stack, where
from metasci.model import Model
from metasci.noise import Noise

OF = ms.outcomes
KINDS: dict[str, Noise] = {
    "yes or no": OF.Bernoulli(),
    "three classes": OF.Categorical(classes=("a", "b", "c")),
    "three of twelve": OF.Binomial(trials="trials"),
    "grades": OF.Ordinal(grades=4),
    "counts": OF.NegativeBinomial(),
    "Weibull times": OF.Weibull(),
    "recurrent": OF.PiecewiseExponential(entry="entry", cuts=(2.0,), typical=(0.5,)),
    "deviations": OF.StudentDeviation(),
    "mixed": OF.Mixed(by="output", kinds=(ms.Additive((0.5,)), OF.Bernoulli())),
}
INPUTS = {"x": "1", "trials": "1", "entry": "1", "output": "1"}


def model_of(kind: str) -> Model:
    """A line in x: of classes two, of outcomes on the logarithm its exponential, of several kinds halved."""
    noise = KINDS[kind]
    ends = ("_b", "_c") if noise.predictors > 1 else ("",)
    parameters = [
        ms.Parameter(f"{part}{end}", "1", 0.0, spread=0.7) for end in ends for part in ("level", "slope")
    ]
    logarithmic = float(noise.link(np.float64(np.e))) == 1.0

    def function(x: Any, trials: Any, entry: Any, output: Any, **values: Any) -> Any:
        lines = [values[f"level{end}"] + values[f"slope{end}"] * x for end in ends]
        if len(lines) > 1:
            return stack(lines)
        if kind == "mixed":
            return where(output < 1.5, lines[0], 2.0 * lines[0])
        return exp(lines[0]) if logarithmic else lines[0]

    return Model(
        name=f"benchmarks.{kind}",
        function=function,
        inputs={name: ms.model.Input(unit) for name, unit in INPUTS.items()},
        output=ms.model.Output("y"),
        parameters=ms.parameters.ParameterSpace(tuple(parameters)),
        noise=noise,
    )


def conditions(model: Model, tasks: int = 20, count: int = 12) -> Batch:
    """Where outcomes are simulated; what stands there for them is not looked at."""
    random = np.random.default_rng(0)
    shape = tasks * count
    told = next(iter(model.noise.codes), 1.0)
    frame = pd.DataFrame(
        {
            "task": np.repeat([f"t{at}" for at in range(tasks)], count),
            "x": random.uniform(-1.5, 1.5, shape),
            "trials": 12.0,
            "entry": np.where(random.random(shape) < 0.5, 0.0, 0.5),
            "output": 1.0 + np.arange(shape) % 2,
            "y": told,
        }
    )
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(model), model=model).batch(model)


def by_nuts(kind: str, model: Model, simulations: int) -> None:
    """Population, scales and three tasks, from the hierarchical model's own prior."""
    batch = conditions(model).select(torch.arange(3))
    began = time.perf_counter()
    found = nuts_ranks(
        hierarchical(model, batch), simulations=simulations, narrowed=(1.0, 0.6), draws=300, tune=300, seed=0
    )
    took = time.perf_counter() - began
    line(kind, "NUTS", *(np.asarray(found.sel(narrowed=factor)) for factor in (1.0, 0.6)), 10, took)


def main(simulations: int, weighted: int, nuts: list[str], nuts_simulations: int) -> None:
    """Print a row for each kind and method."""
    torch.set_num_threads(1)
    print(
        f"{'':16}{'':10}{'sims':>6}{'':4}{'p':>9}{'90 % hold':>17}{'p, narrowed':>12}{'seconds':>9}",
        flush=True,
    )
    for kind in nuts or KINDS:
        model = model_of(kind)
        if nuts:
            by_nuts(kind, model, nuts_simulations)
            continue
        prior, batch = ms.Prior.declared(model), conditions(model)
        repeats = simulations // len(batch)
        ranks, took = timed(lambda p=prior, b=batch, r=repeats: laplace_ranks(p, b, repeats=r))  # type: ignore[misc]
        line(kind, "Laplace", ranks, laplace_ranks(prior, batch, repeats=repeats, narrowed=0.6), 20, took)
        repeats = weighted // len(batch)
        ranks, took = timed(lambda p=prior, b=batch, r=repeats: importance_ranks(p, b, repeats=r)[0])  # type: ignore[misc]
        line(kind, "weighted", ranks, None, 20, took)


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument(
        "--simulations", type=int, default=6000, help="of one task, by Laplace's approximation"
    )
    asked.add_argument("--weighted", type=int, default=2000, help="of one task, by weighted draws")
    asked.add_argument(
        "--nuts", nargs="*", default=[], metavar="KIND", choices=list(KINDS), help="of these by NUTS"
    )
    asked.add_argument("--nuts-simulations", type=int, default=100)
    main(**vars(asked.parse_args()))
