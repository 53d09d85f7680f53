"""NUTS for a prior with a discrepancy: ``python benchmarks/cracks_by_nuts.py [DRAWS] [sines] [sampled]``.

Fatigue cracks, two chains; by the exact covariance or with ``sines`` by sums of sines, with scales as learned or
``sampled``. Printed are seconds, what is said of the chains, means and standard deviations of the scales that were
sampled, and those of the first crack's coordinates.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import metasci as ms
from metasci.bayes import with_discrepancy
from metasci.bayes.sampling import sample


def main(draws: int, sines: bool, sampled: bool) -> None:
    """Print what one run says."""
    torch.set_num_threads(1)
    prior = ms.load("alloy_fatigue_discrepancy")
    batch = prior.batch(ms.dataset("alloy_fatigue"))
    built = with_discrepancy(prior, batch, scales_known=not sampled, sines=sines)
    found = sample(
        built, draws=draws, tune=draws, chains=2, progress=False, cores=1, initial=built.initial_point()
    )
    print(f"{found.seconds:.0f} s, {found.compile_seconds:.0f} s of compiling. {found.verdict}")
    for name, values in found.draws.items():
        if name.startswith("scales_") or name == "log_noise":
            learned = (prior.state.scales | {"log_noise": prior.state.log_noise})[
                name.removeprefix("scales_")
            ]
            mean, sd = values.mean(0).round(2).tolist(), values.std(0).round(2).tolist()
            print(f"{name}: learned {np.round(learned.numpy(), 2).tolist()}, sampled {mean}, sd {sd}")
    first = found.draws["coordinates"][:, 0]
    print(f"first crack: {first.mean(0).round(3).tolist()}, sd {first.std(0).round(3).tolist()}")


if __name__ == "__main__":
    number = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(number[0] if number else 300, "sines" in sys.argv, "sampled" in sys.argv)
