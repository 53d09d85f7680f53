"""Frequencies of the crystals of `phonons` by CHGNet. ``python benchmarks/chgnet_frequencies.py [SECONDS]``.

Goes on where it stopped, for so many seconds, and writes the table that the simulator `chgnet_frequency` looks them up
in. All 1,265 take less than an hour of one core.
"""

from __future__ import annotations

import csv
import sys
import time

import torch

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.files import write_atomically
from metasci.materials.potentials import KNOWN, computed_frequency, fingerprint

_EVERY = 50  # crystals between two writes


def written(frequencies: dict[str, float]) -> None:
    """Write the table, sorted."""
    rows = [f"{key},{value:.6g}" for key, value in sorted(frequencies.items())]
    write_atomically(KNOWN, ("\n".join(["crystal,frequency [1/cm]", *rows]) + "\n").encode())


def in_turn(tasks: TaskSet) -> list[str]:
    """Crystals in a random order, of every anion one after the other: whatever is done by then is balanced."""
    rows = tasks.to_frame()[["task", "crystal"]].sample(frac=1.0, random_state=0)
    order = rows.groupby("task").cumcount().sort_values(kind="stable").index
    return [str(text) for text in rows.loc[order, "crystal"]]


def main() -> None:
    """Compute what is lacking."""
    torch.set_num_threads(1)
    ends = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 3600.0)
    tasks = ms.dataset("phonons")
    count = int(tasks.counts.sum())
    frequencies: dict[str, float] = {}
    if KNOWN.is_file():
        with KNOWN.open(newline="", encoding="utf-8") as rows:
            frequencies = {row["crystal"]: float(row["frequency [1/cm]"]) for row in csv.DictReader(rows)}
    computed = 0
    for text in in_turn(tasks):
        key = fingerprint(text)
        if key in frequencies:
            continue
        if time.monotonic() > ends:
            break
        try:
            frequencies[key] = computed_frequency(text)
        except InputError as error:
            print(f"left out: {error}", flush=True)
            continue
        computed += 1
        if computed % _EVERY == 0:
            written(frequencies)
            print(f"{len(frequencies)} of {count}", flush=True)
    written(frequencies)
    print(f"{len(frequencies)} of {count}")


if __name__ == "__main__":
    main()
