"""What potentials say of the crystals of `phonons`. ``python benchmarks/crystals_by_potentials.py NAME [SECONDS]``.

NAME is `chgnet` or `sevennet`. Goes on where it stopped, for so many seconds, and writes the table in which the
simulators look crystals up. All 1,265 take less than an hour of one core by CHGNet, and more than one by SevenNet.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import torch

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.files import write_atomically
from metasci.materials import chgnet, sevennet
from metasci.materials.crystals import fingerprint

_EVERY = 50  # crystals between two writes

TABLES: dict[str, tuple[Path, tuple[str, ...], Callable[[str], tuple[float, ...]]]] = {
    "chgnet": (chgnet.KNOWN, ("frequency [1/cm]",), lambda text: (chgnet.computed_frequency(text),)),
    "sevennet": (
        sevennet.KNOWN,
        ("last_peak [1/cm]", "highest [1/cm]"),
        lambda text: astuple(sevennet.computed(text)),
    ),
}
"""Where the table lies, its columns, and what computes them."""


def in_turn(tasks: TaskSet) -> list[str]:
    """Crystals in a random order, of every anion one after the other: whatever is done by then is balanced."""
    rows = tasks.to_frame()[["task", "crystal"]].sample(frac=1.0, random_state=0)
    order = rows.groupby("task").cumcount().sort_values(kind="stable").index
    return [str(text) for text in rows.loc[order, "crystal"]]


def main() -> None:
    """Compute what is lacking."""
    torch.set_num_threads(1)
    path, columns, compute = TABLES[sys.argv[1]]
    ends = time.monotonic() + (float(sys.argv[2]) if len(sys.argv) > 2 else 3600.0)
    tasks = ms.dataset("phonons")
    lines: dict[str, str] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as rows:
            lines = {row["crystal"]: ",".join(row.values()) for row in csv.DictReader(rows)}

    def written() -> None:
        table = [",".join(["crystal", *columns]), *(lines[key] for key in sorted(lines))]
        write_atomically(path, ("\n".join(table) + "\n").encode())
        print(f"{len(lines)} of {int(tasks.counts.sum())}", flush=True)

    for computed, text in enumerate(each for each in in_turn(tasks) if fingerprint(each) not in lines):
        if time.monotonic() > ends:
            break
        key = fingerprint(text)
        try:
            lines[key] = ",".join([key, *(f"{value:.6g}" for value in compute(text))])
        except InputError as error:
            print(f"left out: {error}", flush=True)
        if computed % _EVERY == _EVERY - 1:
            written()
    written()


if __name__ == "__main__":
    main()
