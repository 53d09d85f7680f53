"""Quick relatives of the full posterior beside NUTS: ``python benchmarks/quick_baselines.py [data set]``.

Population mean and spread in the model's coordinates: how far they lie from NUTS's posterior means, in its standard
deviations (the worst parameter), how wide they are said to be over NUTS's (the least and the most), and the seconds,
compilation included. Complete and no pooling say no uncertainty of a spread.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from metasci import catalogue
from metasci.bayes import complete_pooling, hierarchical, initial_point, no_pooling, quick, sample
from metasci.bayes.quick import METHODS
from metasci.priors.load import load


def main(name: str) -> None:
    """Print a row for each method."""
    torch.set_num_threads(1)
    prior = load(name)
    batch = prior.batch(catalogue.dataset(name, model=prior.model))
    design = prior.covariates.design(batch.covariates) if prior.covariates.names else None
    known = {"design": design, "covariates": prior.covariates.names or None}
    adapted = prior.adapt(batch)
    start = initial_point(adapted.coordinates, adapted.log_noise)
    nuts = sample(
        hierarchical(prior.model, batch, **known),
        draws=1000,
        tune=500,
        initial=start,
        progress=False,
        cores=1,
    )
    print(f"{name}: {nuts.verdict}")
    print(f"{'':18}{'mean off':>9}{'width':>14}{'spread off':>12}{'width':>14}{'Pareto k':>10}{'seconds':>9}")
    print(f"{'NUTS':18}{'':>59}{nuts.seconds + nuts.compile_seconds:9.1f}")
    mean, spread = (nuts.draws[part] for part in ("coordinate_mean", "coordinate_sd"))

    def off(value: np.ndarray, reference: np.ndarray) -> float:
        return float(np.abs((value - reference.mean(0)) / reference.std(0)).max())

    def width(value: np.ndarray, reference: np.ndarray) -> str:
        ratio = value / reference.std(0)
        return f"{ratio.min():.2f} to {ratio.max():.2f}"

    for method in METHODS:
        found = quick(prior.model, batch, **known, method=method, initial=start)
        centre, sd = found.draws["coordinate_mean"], found.draws["coordinate_sd"]
        print(
            f"{method:18}{off(centre.mean(0), mean):9.2f}{width(centre.std(0), mean):>14}"
            f"{off(sd.mean(0), spread):12.2f}{width(sd.std(0), spread):>14}{found.pareto_k:10.2f}"
            f"{found.seconds + found.compile_seconds:9.1f}"
        )
    began = time.perf_counter()
    together = complete_pooling(prior.model, batch)
    took = time.perf_counter() - began
    print(
        f"{'complete pooling':18}{off(together.coordinates[0], mean):9.2f}{width(together.sd[0], mean):>14}"
        f"{off(0.0 * together.coordinates[0], spread):12.2f}{'':24}{took:9.1f}"
    )
    began = time.perf_counter()
    alone = no_pooling(prior.model, batch, together.log_noise)
    took = time.perf_counter() - began
    centre, sd = alone.coordinates.mean(0), alone.coordinates.std(0, ddof=1)
    print(
        f"{'no pooling':18}{off(centre, mean):9.2f}{width(sd / np.sqrt(len(batch)), mean):>14}"
        f"{off(sd, spread):12.2f}{'':24}{took:9.1f}"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "theophylline")
