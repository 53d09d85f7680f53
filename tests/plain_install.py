"""What an installed wheel can do: `make test-install` runs this with the wheel's own Python, away from the checkout.

    python -I tests/plain_install.py                 # without extras: what works, and what is asked for in a sentence
    python -I tests/plain_install.py bayes tables    # what these extras add, once they are installed

A program may end with status 0 only, and say nothing on standard error: no traceback, no warning of a library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
PROGRAM = [sys.executable, "-I", "-m", "metasci"]
FIRST_PAGES = ("index.md", "first-alloy.md", "first-patient.md", "command-line.md", "event-tables.md")
"""Of the documentation: what a newcomer types. They need no extra, and no data but those that ship."""

AS_DATA = """
import metasci as ms
tasks, prior = ms.dataset("theophylline"), ms.load("theophylline")
prior.calibrate(tasks).to_xarray().drop_vars("unit").to_netcdf("all.nc")
prior.calibrate_many(tasks, out="many.nc")
"""
MEMBERS = "smiles,boiling_point [K]\nCCO,351\n"
PATIENT = "import metasci as ms\nfit = ms.load('theophylline').calibrate('my_patient.csv')\n"
EXPORT = "import metasci as ms\nms.load('theophylline').export('calibrator.onnx')"
WORKBOOK = """
import openpyxl
book = openpyxl.Workbook()
book.active.append(("time [h]", "concentration [mg/L]", "dose [mg/kg]", "weight [kg]"))
book.active.append((0.5, 7.24, 4.92, 65))
book.save("patient.xlsx")
"""
BAYES = """
import metasci as ms
tasks = ms.dataset("theophylline")
ms.bayes.quick(tasks.model, tasks.batch, draws=50)
"""
SERVED = """
import threading, time, urllib.request
from metasci.app.serving import run
threading.Thread(target=run, args=(8765, False), daemon=True).start()
for _ in range(600):
    time.sleep(0.2)
    try:
        page = urllib.request.urlopen("http://127.0.0.1:8765", timeout=30).read().decode()
    except OSError:
        continue
    assert "steel_tempering" in page
    break
else:
    raise SystemExit("no answer")
"""
SCIKIT = """
import metasci as ms
from metasci.sklearn import Calibrator
from sklearn.base import clone
clone(Calibrator("kinetics.crack_growth"))
"""
ZARR = "import metasci as ms\nms.load('theophylline').calibrate_many(ms.dataset('theophylline'), out='many.zarr')"
CLUSTER = "import metasci as ms\nms.load('theophylline').calibrate_many(ms.dataset('theophylline'), client='tcp://127.0.0.1:9')"
FEDERATED = "import metasci.federated.flower as flower\nflower.client({}, None)"
POTENTIAL = """
import json
from metasci.materials.chgnet import computed_frequency
from metasci.materials.sevennet import computed
sites = [{"species": [{"element": name, "occu": 1}], "abc": [at] * 3} for name, at in (("Cs", 0), ("Cl", 0.5))]
lattice = {"matrix": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]]}
crystal = json.dumps({"lattice": lattice, "sites": sites})
assert 50 < computed_frequency(crystal) < 500
assert 50 < computed(crystal).last_peak < 500
"""
SOLVATION = """
from metasci.materials.solvation import computed
assert -30 < computed("CCCCCCCCCCCCCO").water_solvation < 0
"""

Program = list[str] | str  # arguments of the command line, or Python
WITH: dict[str, list[Program]] = {
    "app": [SERVED],
    "bayes": [
        PATIENT + "fit.to_arviz(draws=50)",
        "import metasci as ms\nms.bayes.compare, ms.bayes.hierarchical",
    ],
    "export": [["export", "theophylline", "calibrator.onnx"]],
    "materials": [
        ["calibrate", "boiling_point", "members.csv"],
        ["calibrate", "alloy_strength", "alloys.csv"],
    ],
    "nonmem": [["import", "oral_drug.mod", "--unit", "WT=kg", "--out", "imported"]],
    "petab": [["import", "decay/decay.yaml", "--out", "decay-imported"]],
    "potential": [POTENTIAL],
    "scale": [ZARR],
    "solvation": [SOLVATION],
    "studies": [
        SCIKIT,
        [
            "evaluate",
            "theophylline",
            "theophylline",
            "--shots",
            "1",
            "--baselines",
            "forest",
            "--leave-out",
            "subject",
            "--quiet",  # it says a line a minute where it takes that long
        ],
    ],
    "tables": [WORKBOOK, ["calibrate", "theophylline", "patient.xlsx"]],
}
"""What each extra adds."""
WITHOUT: dict[str, list[Program]] = {
    "app": [["app"]],
    "bayes": [
        ["compare", "theophylline", "theophylline"],
        ["study", "learned-prior-against-posterior"],
        PATIENT + "fit.to_arviz()",
        "import metasci as ms\nms.bayes.quick",
    ],
    "export": [["export", "theophylline", "calibrator.onnx"], EXPORT],
    "federated": [FEDERATED],
    "materials": [
        ["calibrate", "boiling_point", "members.csv"],
        ["calibrate", "phonon_peak", "crystals.csv"],
        ["evaluate", "boiling_point", "boiling_points"],
        ["train", "materials.boiling_point", "boiling_points", "--out", "learned"],
        ["train", "materials.boiling_point", "boiling_points", "--network", "head", "--out", "learned"],
        ["study", "families"],
        ["study", "graph-networks"],
        ["study", "crystal-potential"],
        ["study", "high-entropy-alloys"],
    ],
    "nonmem": [["import", "oral_drug.mod"]],
    "petab": [["import", "problem.yaml"]],
    "scale": [ZARR, CLUSTER],
    "studies": [
        ["study", "steel-tempering"],
        ["study", "warfarin"],
        ["study", "hospitals"],
        ["study", "fairness"],
        ["study", "federated"],
        ["study", "hypergradients"],
        ["study", "unlike-sites"],
        ["evaluate", "theophylline", "theophylline", "--baselines", "all", "--leave-out", "subject"],
        SCIKIT,
    ],
    "tables": [["calibrate", "theophylline", "patient.xlsx"]],
}
"""What is asked for in one sentence, and before any work is done, where its extra is missing."""
SOON = 30.0
"""Seconds of the processor: a refusal that takes more came after work (learning a prior takes minutes)."""


def main(extras: list[str]) -> None:
    """Say what was run, how many of it, and how long it took; end at the first that fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in EXAMPLES.iterdir():
            if file.is_file():
                shutil.copy(file, folder)
        shutil.copytree(EXAMPLES / "decay", folder / "decay")
        (folder / "members.csv").write_text(MEMBERS)
        (folder / "alloys.csv").write_text(
            "formula,temperature [degC],yield_strength [MPa]\nNbTaTiW,25,1054\n"
        )
        (folder / "crystals.csv").write_text("structure,phonon_peak [1/cm]\nNaCl.cif,200\n")
        (folder / "problem.yaml").write_text("format_version: 1\nparameter_file: parameters.tsv\nproblems:\n")
        if extras:
            for extra in extras:
                counted(f"with '{extra}'", WITH[extra], lambda program: run(program, folder))
            return
        (folder / "patient.xlsx").write_bytes(b"PK\x03\x04")
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        (table,) = re.findall(r"```\n(time \[h\],temperature.*?)```", readme, re.DOTALL)
        (folder / "my_steel.csv").write_text(table)
        lines = re.findall(r"^metasci ([a-z].*)$", readme, re.MULTILINE)
        commands = [line.split() for line in lines if line != "app"]  # that needs an extra, as README says
        (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        counted("README", [*commands, code], lambda program: run(program, folder))
        counted("to_netcdf, calibrate_many", [AS_DATA], lambda program: run(program, folder))
        asked: list[Program] = [["--version"], ["list"], ["info", "propofol"], ["template", "quinidine"]]
        counted("questions", asked, lambda program: run(program, folder))
        for extra, programs in WITHOUT.items():
            counted(
                f"without '{extra}'", programs, lambda program, extra=extra: refuse(program, folder, extra)
            )
    counted("the documentation's first pages", list(FIRST_PAGES), run_page)


def counted(title: str, programs: list[Program], check: Callable[[Program], None]) -> None:
    began = time.perf_counter()
    for program in programs:
        check(program)
    print(f"  {title}: {len(programs)} as they should be, {time.perf_counter() - began:.0f} s", flush=True)


def ended(program: Program, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *program] if isinstance(program, list) else [sys.executable, "-I", "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def shown(program: Program) -> str:
    return " ".join(["metasci", *program]) if isinstance(program, list) else program


def run(program: Program, folder: Path) -> None:
    done = ended(program, folder)
    if done.returncode or done.stderr:
        sys.exit(f"{shown(program)}: status {done.returncode}\n{done.stderr}")


def refuse(program: Program, folder: Path, extra: str) -> None:
    """Of a command, status 2 and one sentence; of Python, an error that is one. It says how to get the extra."""
    began = os.times().children_user
    done = ended(program, folder)
    lines = done.stderr.splitlines()
    is_one = len(lines) == 1 and done.returncode == 2 if isinstance(program, list) else done.returncode == 1
    if not is_one or f"pip install 'metasci-calibration[{extra}]'" not in lines[-1]:
        sys.exit(f"{shown(program)}: status {done.returncode}\n{done.stderr}")
    if (took := os.times().children_user - began) > SOON:
        sys.exit(f"{shown(program)}: asked for '{extra}' after {took:.0f} s only")


def run_page(page: Program) -> None:
    command = [sys.executable, "-I", ROOT / "docs" / "run_examples.py", "--check", page]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{page} prints otherwise:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main(sys.argv[1:])
