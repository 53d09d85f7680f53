"""What starting a process costs: a whole calibration of one patient, beside an import of torch alone.

    python benchmarks/process_start.py            # 11 pairs
    python benchmarks/process_start.py --pairs 5

Each program is a new process. They take turns, so that what else the machine does meets all of them; seconds are the
processor's own (user and system), which are the same on a busy machine but for its caches. Of each: the median, the
quartiles, and the median of its ratios to the import of torch that ran beside it. Bytecode is written before the first
pair, as pip writes it when a wheel is installed.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

import metasci

ROOT = Path(__file__).resolve().parent.parent
PATIENT = ROOT / "docs" / "examples" / "my_patient.csv"
STEEL = ROOT / "docs" / "examples" / "my_steel.csv"
PROGRAMS = {
    "import torch": ["-c", "import torch"],
    "import torch, pandas, xarray": ["-c", "import torch, pandas, xarray"],
    "metasci --help": ["-m", "metasci", "--help"],
    "metasci --version": ["-m", "metasci", "--version"],
    "metasci calibrate theophylline": ["-m", "metasci", "calibrate", "theophylline", str(PATIENT)],
    "metasci calibrate steel_tempering": ["-m", "metasci", "calibrate", "steel_tempering", str(STEEL)],
}


def main() -> None:
    """Print one line a program."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--pairs", type=int, default=11)
    pairs = arguments.parse_args().pairs
    compileall.compile_dir(Path(metasci.__file__).parent, quiet=2)
    seconds = {name: np.empty(pairs) for name in PROGRAMS}
    for pair in range(-1, pairs):  # the first round warms the disk's cache, and is not kept
        for name, program in PROGRAMS.items():
            taken = of_processor(program)
            if pair >= 0:
                seconds[name][pair] = taken
    beside = seconds["import torch"]
    print(f"{pairs} pairs; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, taken in seconds.items():
        low, middle, high = np.quantile(taken, [0.25, 0.5, 0.75])
        ratios = np.quantile(taken / beside, [0.25, 0.5, 0.75])
        print(
            f"{name:34} {middle:5.2f} s ({low:.2f} to {high:.2f})   over import torch {ratios[1]:.2f} "
            f"({ratios[0]:.2f} to {ratios[2]:.2f})"
        )


def of_processor(program: list[str]) -> float:
    """Seconds of the processor that a new process takes, all its threads together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *program], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
