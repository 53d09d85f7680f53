"""`import metasci` and `metasci --help` stay light: heavy libraries load when they are used.

Which modules are loaded is tested, not how long it takes: machines differ, and are noisy.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "arviz",
    "h5netcdf",
    "matplotlib",
    "numba",
    "nutpie",
    "pandas",
    "pint",
    "pooch",
    "pymc",
    "pytensor",
    "scipy",
    "torch",
    "torch_geometric",
    "xarray",
}

COMMAND_LINE = """
import sys
sys.argv = ["metasci", *{arguments}]
from metasci.cli import main
try:
    status = main()
except SystemExit as stop:
    status = stop.code
assert not status, status
"""

PROGRAM = COMMAND_LINE.replace("metasci.cli import", "metasci.__main__ import")


def loaded_after(code: str, directory: Path) -> set[str]:
    """Names of the top-level modules that a new interpreter has loaded after `code`."""
    report = "\nimport sys\nprint('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_import_is_light(root: Path) -> None:
    loaded = loaded_after("import metasci", root)
    assert "metasci" in loaded
    assert not loaded & HEAVY


def test_listing_the_public_names_is_light(root: Path) -> None:
    assert not loaded_after("import metasci; dir(metasci); metasci.__all__", root) & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["calibrate", "--help"]], ids=" ".join)
def test_help_is_light(root: Path, arguments: list[str]) -> None:
    loaded = loaded_after(COMMAND_LINE.format(arguments=arguments), root)
    assert "metasci" in loaded
    assert not loaded & HEAVY


def test_the_stored_help_is_what_the_parser_would_say(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], root: Path
) -> None:
    """When a command changes: `python -c "from metasci.cli import main; main()" --help > metasci/cli/help.txt`."""
    from metasci.cli.main import run

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["metasci", "--help"])
    assert run() == 0
    built = capfd.readouterr().out
    stored = (root / "metasci" / "cli" / "help.txt").read_text(encoding="utf-8")
    assert stored.startswith("Usage: metasci [OPTIONS]")
    assert (
        built.partition("[OPTIONS]")[2] == stored.partition("[OPTIONS]")[2]
    )  # before it: how it was started
    for columns, loaded in (("80", False), ("60", True)):
        monkeypatch.setenv("COLUMNS", columns)
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "metasci", "--help"],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ("typer" in done.stderr) is loaded
        assert max(len(line) for line in done.stdout.splitlines()) <= int(columns)


def test_every_public_name_is_there() -> None:
    metasci = importlib.import_module("metasci")
    assert metasci.__all__
    assert [name for name in metasci.__all__ if not hasattr(metasci, name)] == []
    assert set(metasci.__all__) <= set(dir(metasci))


def test_an_unknown_name_is_an_attribute_error() -> None:
    metasci = importlib.import_module("metasci")
    assert not hasattr(metasci, "no_such_name")


@pytest.mark.parametrize(
    "arguments",
    [["calibrate", "theophylline", "my_patient.csv"], ["calibrate", "steel_tempering", "my_steel.csv"]],
    ids=lambda arguments: arguments[1],
)
def test_a_calibration_loads_no_library_that_it_does_not_use(root: Path, arguments: list[str]) -> None:
    loaded = loaded_after(PROGRAM.format(arguments=arguments), root / "docs" / "examples")
    assert "torch" in loaded
    assert not loaded & {"arviz", "dask", "h5netcdf", "matplotlib", "numba", "pint", "pymc", "sparse"}


def test_the_page_of_the_app_is_there_before_what_calibrates(root: Path) -> None:
    assert (
        not loaded_after("from metasci.app.page import page; assert 'theophylline' in page()", root) & HEAVY
    )


def test_arrays_of_other_libraries_are_known_once_they_are_loaded(root: Path) -> None:
    """What keeps xarray from importing dask and pint keeps nobody from using them."""
    pytest.importorskip("dask", reason="dask is not installed")
    loaded_after(
        """
import sys
import xarray as xr
from metasci.process import without_guests
without_guests()
plain = xr.Dataset({"y": ("x", [1.0, 2.0])}, {"x": [0, 1]})
assert float(plain.isel(x=0)["y"].mean()) == 1.0
assert not {"dask", "pint"} & set(sys.modules)
chunked = plain.chunk({"x": 1})
assert chunked["y"].chunks == ((1, 1),)
assert chunked["y"].mean().compute().item() == 1.5
import pint
length = xr.DataArray(pint.Quantity([1.0, 2.0], "m"), dims="x")
assert length.mean().data.units == pint.Unit("m")
""",
        root,
    )
