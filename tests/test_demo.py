"""The main job runs on data that ship, and only our own words reach who runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_shows_a_real_steel_and_prints_no_warning(tmp_path: Path) -> None:
    pytest.importorskip("pymc")
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "default"}
    environment.pop("METASCI_DATA_DIR", None)
    done = subprocess.run(
        [sys.executable, "-m", "metasci.studies.demo", str(tmp_path / "demo")],
        capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "AISI 4140" in done.stdout
    assert "simulated" not in done.stdout
    foreign = [
        line for line in (done.stdout + done.stderr).splitlines() if "Warning" in line or "WARNING" in line
    ]
    assert not foreign
    for case in ("alloy", "patient", "steel"):
        assert (tmp_path / "demo" / case / "report.html").stat().st_size > 10_000
