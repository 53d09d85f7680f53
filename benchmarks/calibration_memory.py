"""Peak resident memory of one calibration: by the exported program in onnxruntime, and by Python.

``python benchmarks/calibration_memory.py [PRIOR ...]``. Each row is a process of its own that reports its own greatest
resident memory (Linux' `VmHWM`). Those of the first four rows know nothing of metasci and torch.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import metasci as ms
from metasci.programs import Sizes, calibrator, given_of

_RUNS = 1
# not `ru_maxrss`, which a process begins with from the one that started it
_REPORT = """
import sys
def say():
    lines = open("/proc/self/status").read().splitlines()
    print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
"""
_PROCESSES = {
    "an interpreter with NumPy": _REPORT + "import numpy\nsay()",
    "… and onnxruntime": _REPORT + "import numpy, onnxruntime\nsay()",
    "… and the program": _REPORT
    + "import numpy, onnxruntime\nonnxruntime.InferenceSession(sys.argv[1])\nsay()",
    "… and a calibration": _REPORT
    + """
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
given = dict(numpy.load(sys.argv[2]))
for _ in range(4):
    given["start"] = dict(zip([o.name for o in session.get_outputs()], session.run(None, given)))["coordinates"]
say()""",
    "metasci in Python": _REPORT + "import metasci as ms\nms.load(sys.argv[3])\nsay()",
    "… and a calibration in Python": _REPORT
    + """
import metasci as ms
data = ms.dataset(sys.argv[4])
prior = ms.load(sys.argv[3])
prior.calibrate(data.select(slice(0, 1))).parameters
say()""",
}


def megabytes(name: str, data: str, folder: Path) -> dict[str, float]:
    """The peak of each process, MB: of one run (`_RUNS`)."""
    prior, tasks = ms.load(name), ms.dataset(data)
    batch = prior.batch(tasks.select(slice(0, 1)))
    sizes = Sizes(readings=12, queries=24)
    program, given = folder / f"{name}.onnx", folder / f"{name}.npz"
    prior.export(program, readings=12, queries=24)
    np.savez(given, **given_of(prior, calibrator(prior, sizes), batch, 0))
    found = {}
    for label, code in _PROCESSES.items():
        command = [sys.executable, "-c", code, str(program), str(given), name, data]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(_RUNS)]
        found[label] = statistics.median(float(run.stdout.split()[-1]) for run in runs)
    return found


def main() -> None:
    """Print the table."""
    names = sys.argv[1:] or ["theophylline", "steel_tempering"]
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame({name: megabytes(name, name, Path(folder)) for name in names})
    print("Peak resident memory (MB)")
    print(table.round(0).astype(int).to_string())


if __name__ == "__main__":
    main()
