"""Disks that are full, writers at the same time, processes that are killed: a sentence, and nothing half written."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import metasci as ms
from metasci.errors import InputError
from metasci.files import seen, write_atomically, write_folder
from metasci.priors.many import open_store

ROWS = "time [h],dose [mg/kg],concentration [mg/L],weight [kg]\n0.5,4,5.1,72\n2,4,8.3,72\n9,4,4.9,72\n"

# No file may grow beyond a limit: what a full disk does to a writer, errors while writing and not while opening.
_FULL = """
import json, resource, signal, sys
from pathlib import Path
import metasci as ms
from metasci.errors import InputError
from metasci.report.style import save_figure

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tasks, prior = ms.dataset("theophylline").select(slice(0, 3)), ms.load("theophylline")
fit = prior.calibrate(tasks)
writers = {
    "calibration": lambda: fit.save("calibration"),
    "prior": lambda: prior.save("prior"),
    "tasks": lambda: tasks.to_netcdf("tasks.nc"),
    "many.nc": lambda: prior.calibrate_many(tasks, chunk=1, out="many.nc"),
    "many.zarr": lambda: prior.calibrate_many(tasks, chunk=1, out="many.zarr"),
    "picture": lambda: save_figure(fit.plot(), "picture.png"),
}
unlimited = resource.RLIM_INFINITY
for name, write in writers.items():
    slow = name in ("calibration", "picture")  # each draws figures anew
    for size in (4_000, 10_000_000) if slow else (0, 4_000, 13_000, 16_000, 19_000, 60_000, 10_000_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited))
        try:
            write()
            said = ""
        except InputError as error:
            said = str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        left = sorted(str(path) for path in Path(".").rglob("*") if path.is_file())
        print(json.dumps([name, size, said, left]), flush=True)
        if not said:
            break
    for path in sorted(Path(".").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_but_finished_pieces(tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FULL)], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=_environment(), check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]  # HDF5 would end it with a signal
    outcomes = [json.loads(line) for line in ended.stdout.splitlines()]
    for name in ("calibration", "prior", "tasks", "many.nc", "many.zarr", "picture"):
        own = [outcome for outcome in outcomes if outcome[0] == name]
        assert [bool(said) for _, _, said, _ in own] == [True] * (len(own) - 1) + [False]
        for _, _, said, left in own[:-1]:
            assert "cannot be written: File too large" in said
            assert not [path for path in left if ".parts/" not in path or path.endswith(".partial")]


_FULL_WHILE_ASSEMBLING = """
import resource, signal
import h5netcdf
from metasci.files import Unfailing

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for size in (0, 500, 3_000, 9_000, 20_000, 50_000, 10_000_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        with Unfailing("whole.nc", "w+b") as disk:
            with h5netcdf.File(disk, "w") as file:
                file.dimensions = {"x": 4000}
                for name in "ab":
                    file.create_variable(name, ("x",), float)[:] = 1.5
            disk.check()
        with h5netcdf.File("whole.nc", "r") as file:
            print(size, float(file["b"][:].sum()))
    except OSError as error:
        print(size, error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_hdf5_survives_a_disk_that_fills_while_it_writes(tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-c", _FULL_WHILE_ASSEMBLING], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=_environment(), check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    *failed, last = ended.stdout.splitlines()
    assert len(failed) == 6
    assert all(line.endswith("File too large") for line in failed)
    assert last == "10000000 6000.0"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "OMP_NUM_THREADS": "1"}


def test_four_writers_of_one_folder_leave_the_whole_of_one(tmp_path: Path):
    """Forked, with contents that say who wrote them."""
    for attempt in range(5):
        folder, children = tmp_path / f"out{attempt}", []
        for writer in range(4):
            child = os.fork()
            if not child:
                content = bytes([writer]) * 200_000
                try:
                    write_folder(folder, dict.fromkeys(("a", "b", "c", "d"), content))
                    os._exit(0)
                except InputError as error:
                    os._exit(2 if "at the same time" in str(error) else 1)
            children.append(child)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert set(statuses) <= {0, 2}
        assert 0 in statuses
        written = {(folder / name).read_bytes() for name in ("a", "b", "c", "d")}
        assert len(written) == 1
        assert len(written.pop()) == 200_000
        assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("there_before", [False, True])
def test_a_writer_whose_files_another_wrote_in_the_meantime_is_told(tmp_path: Path, there_before: bool):
    folder = tmp_path / "out"
    if there_before:
        write_folder(folder, {"a": b"old", "own.txt": b"mine"})
    found = seen(folder)
    time.sleep(0.02)  # the clock of files is coarse
    write_folder(folder, {"a": b"first"})
    with pytest.raises(InputError, match="another run is writing"):
        write_folder(folder, {"a": b"second"}, found)
    assert (folder / "a").read_bytes() == b"first"
    found = seen(folder)
    (folder / "notes.txt").write_bytes(b"the user's")  # in nobody's way
    write_folder(folder, {"a": b"third"}, found)
    assert (folder / "a").read_bytes() == b"third"
    assert not list(tmp_path.glob(".*"))


def test_a_second_run_of_many_calibrations_into_one_file_is_told(tmp_path: Path):
    from metasci.files import held

    prior, tasks, out = (
        ms.load("theophylline"),
        ms.dataset("theophylline").select(slice(0, 2)),
        tmp_path / "r.nc",
    )
    with held(tmp_path / ".r.nc.parts"), pytest.raises(InputError, match="another run is writing"):
        prior.calibrate_many(tasks, out=out)
    assert not list(tmp_path.iterdir())
    assert prior.calibrate_many(tasks, out=out).sizes["task"] == 2


def test_what_killed_writers_left_goes_with_the_next_one(tmp_path: Path):
    for name, age in (
        (".a.txt.k3j2h1.partial", 3600.0),
        (".a.txt.new000.partial", 1.0),
        (".b.txt.k.partial", 3600.0),
    ):
        path = tmp_path / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    write_atomically(tmp_path / "a.txt", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".a.txt.new000.partial",
        ".b.txt.k.partial",
        "a.txt",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_many_calibrations_that_are_killed_at_random_end_as_if_they_were_not(tmp_path: Path):
    """The process is killed while it calibrates or assembles, again and again, and goes on from what was finished."""
    prior, tasks = ms.load("theophylline"), ms.dataset("theophylline").select(slice(0, 4))
    expected = prior.calibrate_many(tasks, chunk=1, out=tmp_path / "alone.nc").load()
    moments = random.Random(7)
    for end in (".nc", ".zarr"):
        out, kills = tmp_path / f"killed{end}", 0
        while not out.exists():
            child = os.fork()
            if not child:
                prior.calibrate_many(tasks, chunk=1, out=out)
                os._exit(0)
            if kills < 4:
                time.sleep(moments.uniform(0.05, 0.5))
                os.kill(child, signal.SIGKILL)
                kills += 1
            os.waitpid(child, 0)
        found = open_store(out).load()
        for name in ("estimate", "lower", "upper"):
            np.testing.assert_array_equal(found[name], expected[name])
        assert not list(tmp_path.glob(f".killed{end}.*partial"))


def test_calibrate_says_when_another_run_has_written_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    from metasci.cli import calibrations
    from metasci.cli.main import run

    (tmp_path / "data.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    fitted = calibrations._fit

    def slow(*arguments: object) -> object:
        fit = fitted(*arguments)  # type: ignore[arg-type]
        fit.save("out")  # as another process does in the meantime
        return fit

    monkeypatch.setattr(calibrations, "_fit", slow)
    assert run(["calibrate", "theophylline", "data.csv", "--out", "out"]) == 2
    assert "another run" in capsys.readouterr().err
    assert xr.load_dataset(tmp_path / "out" / "calibration.nc", engine="h5netcdf")["estimate"].all()
