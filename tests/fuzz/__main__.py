"""`python -m tests.fuzz --count 10000`: hostile inputs at every door, within a bound of time.

Every case is tried in this process, which is quick; a share of them once more as `metasci` itself, in a process with
limits. What fails is written to `--keep`; mend it, and move it to the corpus.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from . import seeds
from .case import Case
from .doors import DOORS, call, case_of
from .judge import BYTES, SECONDS, tried


def main() -> int:
    """Try cases, one door after the other, until there are enough or the time is up."""
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    asked.add_argument("--count", type=int, default=1000, help="inputs in all")
    asked.add_argument("--seconds", type=float, default=600.0, help="at most")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--doors", default=",".join(DOORS), help="separated by commas")
    asked.add_argument(
        "--processes", type=float, default=0.002, help="share tried as processes of their own, too"
    )
    asked.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for what fails")
    options = asked.parse_args()
    ends = time.monotonic() + options.seconds  # what doors start from is learned within it
    doors = [each for name in options.doors.split(",") for each in _kinds(name)]
    tries: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    longest: Counter[str] = Counter()
    under_way = Path(tempfile.gettempdir()) / f"metasci-fuzz-under-way-{os.getpid()}.json"
    tried(
        Case("csv", ("calibrate", "theophylline", "data.csv"), {"data.csv": seeds.THEOPHYLLINE.encode()}),
        call,
    )
    for number in range(options.count):
        if time.monotonic() > ends:
            break
        door = doors[number % len(doors)]
        rng = random.Random(f"{options.seed} {door} {number}")
        case = case_of(door, rng)
        under_way.write_text(case.to_json(), encoding="utf-8")
        faulthandler.dump_traceback_later(
            30 * SECONDS, exit=True
        )  # what hangs in C: the case is in that file
        began = time.process_time()
        fault = tried(case, partial(_counted, door=door, answered=answered))
        longest[door] = max(longest[door], round(1000 * (time.process_time() - began)))
        if not fault and rng.random() < options.processes and not case.arguments[0].startswith("python:"):
            tries["processes"] += 1
            fault = in_process(case)
        faulthandler.cancel_dump_traceback_later()
        tries[door] += 1
        if fault:
            wrong[door] += 1
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{case.name}.json").write_text(case.to_json(), encoding="utf-8")
            print(f"{case.name}: {' '.join(fault.split())[-400:]}", flush=True)
    under_way.unlink(missing_ok=True)
    whole = sum(count for door, count in tries.items() if door != "processes")
    print("| door | inputs | refused | read | wrong | longest, s of CPU |\n|---|---|---|---|---|---|")
    for door in doors:
        refused = tries[door] - answered[door] - wrong[door]
        print(
            f"| {door} | {tries[door]} | {refused} | {answered[door]} | {wrong[door]} | {longest[door] / 1000:.1f} |"
        )
    print(f"\n{whole} inputs, {tries['processes']} of them as processes too; {wrong.total()} wrong")
    return 1 if wrong.total() else 0


def _kinds(door: str) -> list[str]:
    """``prior:`` stands for the doors of all kinds of priors."""
    return [f"{door}{kind}" for kind in seeds.priors()] if door == "prior:" else [door]


def _counted(case: Case, folder: Path, door: str, answered: Counter[str]) -> object:
    result = call(case, folder)
    if not isinstance(result, int) or result == 0:
        answered[door] += 1
    return result


def in_process(case: Case) -> str:
    """What is wrong with how a case ends as a process with limits."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        resource.setrlimit(resource.RLIMIT_DATA, (2 * BYTES, 2 * BYTES))  # maps of libraries count too

    with tempfile.TemporaryDirectory() as folder:
        case.write(Path(folder))
        program = "from metasci.cli import main; main()"
        try:
            arguments = [sys.executable, "-c", program, *case.arguments]
            ended = subprocess.run(
                arguments, cwd=folder, capture_output=True, timeout=120, preexec_fn=limited, check=False,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "the process does not end"
        err = ended.stderr.decode("utf-8", "backslashreplace")
        if ended.returncode not in (0, 2) or "Traceback" in err:
            return f"the process ends with {ended.returncode}: {err[-600:]}"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
