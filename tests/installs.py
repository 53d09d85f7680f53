"""Install the wheel as users do, without constraints, into environments of their own; `make test-install` runs this.

    python tests/installs.py dist/metasci_calibration-0.1.0-py3-none-any.whl python3.11 python3.12 python3.13

On each Python the wheel alone; on the first one each extra too, in an environment on top of that. Then
`tests/plain_install.py` runs there. One line a step says what was done; the first that fails ends it.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plain_install import ROOT, WITH

WAYS = ("python3.11", "python3.12", "python3.13")
PYENV = Path.home() / ".pyenv" / "versions"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("wheel", type=Path)
    arguments.add_argument(
        "pythons", nargs="*", help="programs; by default those of 3.11 to 3.13 that are found"
    )
    arguments.add_argument(
        "--torch", default="", help="pip's options for torch, such as an index of CPU builds"
    )
    arguments.add_argument("--extras", default=",".join(WITH), help="tried on the first Python; '' for none")
    chosen = arguments.parse_args()
    pythons = chosen.pythons or [path for path in map(found, WAYS) if path]
    for at, python in enumerate(pythons):
        with tempfile.TemporaryDirectory() as name:
            plain = environment(python, Path(name) / "plain")
            version = output(plain, "-c", "import sys; print(sys.version.split()[0])")
            step(
                f"Python {version}: torch",
                plain,
                "-m",
                "pip",
                "install",
                "-q",
                *shlex.split(chosen.torch),
                "torch",
            )
            step(f"Python {version}: the wheel alone", plain, "-m", "pip", "install", "-q", str(chosen.wheel))
            check(plain)
            for extra in filter(None, chosen.extras.split(",") if at == 0 else ()):
                above = on_top_of(plain, python, Path(name) / extra)
                wanted = f"metasci-calibration[{extra}] @ {chosen.wheel.resolve().as_uri()}"
                step(f"Python {version}: '{extra}'", above, "-m", "pip", "install", "-q", wanted)
                check(above, extra)
                shutil.rmtree(Path(name) / extra)
    print(f"the wheel works on {len(pythons)} Pythons")


def found(name: str) -> str:
    """The program on the path, or pyenv's."""
    of_pyenv = sorted(PYENV.glob(f"{name.removeprefix('python')}.*/bin/python"))
    return next((path for path in [*map(str, reversed(of_pyenv)), shutil.which(name) or ""] if path), "")


def environment(python: str, folder: Path) -> Path:
    subprocess.run([python, "-m", "venv", folder], check=True)
    return folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def on_top_of(plain: Path, python: str, folder: Path) -> Path:
    """An environment that sees what is in another, and adds to it: torch is large."""
    above = environment(python, folder)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    (Path(output(above, "-c", where)) / "below.pth").write_text(output(plain, "-c", where) + "\n")
    return above


def output(python: Path, *arguments: str) -> str:
    return subprocess.run(
        [python, "-I", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def step(title: str, python: Path, *arguments: str) -> None:
    began = time.perf_counter()
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{title}: status {done.returncode}\n{done.stdout}{done.stderr}")
    print(f"{title}: installed, {time.perf_counter() - began:.0f} s", flush=True)


def check(python: Path, *extras: str) -> None:
    command = [python, "-I", ROOT / "tests" / "plain_install.py", *extras]
    if status := subprocess.run(command, check=False).returncode:
        sys.exit(status)


if __name__ == "__main__":
    main()
