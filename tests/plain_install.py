"""What a plain install can do: `make wheel` runs this with the wheel's own Python, without extras."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METASCI = Path(sys.executable).with_name("metasci")


def main() -> None:
    """The README's commands, every way to write a result, and one sentence for each extra that is missing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        (table,) = re.findall(r"```\n(time \[h\],temperature.*?)```", readme, re.DOTALL)
        (folder / "my_steel.csv").write_text(table)
        for command in re.findall(r"^(metasci [a-z].*)$", readme, re.MULTILINE):
            run(command.split()[1:], folder)
        (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        run_python(code, folder)
        run_python(AS_DATA, folder)
        run_pages()
        for arguments in (["--version"], ["list"], ["info", "propofol"], ["template", "quinidine"]):
            run(arguments, folder)
        for arguments in (
            ["compare", "theophylline", "theophylline"],
            ["study", "families"],
            ["calibrate", "boiling_point", "members.csv"],
        ):
            (folder / "members.csv").write_text("smiles,boiling_point [K]\nCCO,351\n")
            refuse(arguments, folder)
    print("a plain install runs the README's commands, and asks for what it lacks in one sentence")


FIRST_PAGES = ("index.md", "first-alloy.md", "first-patient.md", "command-line.md", "event-tables.md")
"""Of the documentation: what a newcomer types. They need no extra, and no data but those that ship."""


def run_pages() -> None:
    command = [sys.executable, "-I", ROOT / "docs" / "run_examples.py", "--check", *FIRST_PAGES]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"the documentation's first pages print otherwise:\n{ended.stdout}{ended.stderr}")


AS_DATA = """
import metasci as ms
tasks, prior = ms.dataset("theophylline"), ms.load("theophylline")
prior.calibrate(tasks).to_xarray().drop_vars("unit").to_netcdf("all.nc")
prior.calibrate_many(tasks, out="many.nc")
"""


def run(arguments: list[str], folder: Path) -> None:
    ended = subprocess.run([METASCI, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode or ended.stderr:
        sys.exit(f"metasci {' '.join(arguments)}: status {ended.returncode}\n{ended.stderr}")


def run_python(code: str, folder: Path) -> None:
    command = [sys.executable, "-I", "-c", code]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode or ended.stderr:
        sys.exit(f"{code}\nstatus {ended.returncode}\n{ended.stderr}")


def refuse(arguments: list[str], folder: Path) -> None:
    """What needs an extra ends with status 2 and one sentence that says how to get it."""
    ended = subprocess.run([METASCI, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if (
        ended.returncode != 2
        or ended.stderr.count("\n") != 1
        or "pip install 'metasci-calibration[" not in ended.stderr
    ):
        sys.exit(f"metasci {' '.join(arguments)}: status {ended.returncode}\n{ended.stderr}")


if __name__ == "__main__":
    main()
