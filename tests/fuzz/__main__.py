"""`python -m tests.fuzz --each 500`: hostile inputs at every door, within a bound of time.

Cases are tried in forked children; a share of them once more as `metasci` itself, in a process with limits. What fails
is written to `--keep`; mend it, and move it to the corpus. With `--log` a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from . import seeds
from .case import Case
from .children import Numbered, Tried, outcomes, stopwatch
from .doors import DOORS, call, case_of
from .judge import BYTES, tried


def main() -> int:
    """Try cases of every door in turn, until there are enough or the time is up."""
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    asked.add_argument("--each", type=int, default=50, help="inputs of a door")
    asked.add_argument("--seconds", type=float, default=600.0, help="at most")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument(
        "--doors", default=",".join(DOORS), help="separated by commas; 'prior:' is one for each kind"
    )
    asked.add_argument("--processes", type=float, default=0.002, help="share tried as processes, too")
    asked.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for what fails")
    asked.add_argument("--log", type=Path, help="file of what was tried, from which the same run goes on")
    options = asked.parse_args()
    ends = time.monotonic() + options.seconds
    doors = [each for name in options.doors.split(",") for each in _kinds(name)]
    everything = list(_logged(options.log))
    known = {(each.door, each.number) for each in everything}
    _get_ready(doors)
    left = [(door, number) for number in range(options.each) for door in doors if (door, number) not in known]
    for each in _within(ends, left, partial(_trial, options.seed, options.processes)):
        everything.append(each)
        if options.log:
            with options.log.open("a") as log:
                log.write(json.dumps(asdict(each)) + "\n")
        if each.fault:
            case = case_of(each.door, _random(options.seed, each.door, each.number))
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{case.name}.json").write_text(case.to_json(), encoding="utf-8")
            print(f"{case.name}: {' '.join(each.fault.split())[-400:]}", flush=True)
    print(table(doors, everything))
    return 1 if any(each.fault for each in everything) else 0


def table(doors: list[str], everything: list[Tried]) -> str:
    """How many of each door were refused, read and wrong, in Markdown."""
    lines = ["| door | inputs | refused | read | wrong | longest, s of CPU |", "|---|---|---|---|---|---|"]
    for door in doors:
        own = [each for each in everything if each.door == door]
        wrong = sum(bool(each.fault) for each in own)
        read = sum(each.answered and not each.fault for each in own)
        longest = max((each.seconds for each in own), default=0.0)
        lines.append(
            f"| {door} | {len(own)} | {len(own) - read - wrong} | {read} | {wrong} | {longest:.1f} |"
        )
    again, wrong = sum(each.as_process for each in everything), sum(bool(each.fault) for each in everything)
    return "\n".join(
        [*lines, "", f"{len(everything)} inputs, {again} of them as processes too; {wrong} wrong"]
    )


def _get_ready(doors: list[str]) -> None:
    """Load in this process what every child would load."""
    warm = Case("csv", ("calibrate", "theophylline", "data.csv"), {"data.csv": seeds.THEOPHYLLINE.encode()})
    tried(warm, call)
    for door in doors:
        case_of(door, random.Random(0))


def _within(ends: float, cases: list[Numbered], trial: object) -> Iterator[Tried]:
    for each in outcomes(cases, trial):  # type: ignore[arg-type]
        yield each
        if time.monotonic() > ends:
            return


def _trial(seed: int, processes: float, door: str, number: int) -> Tried:
    rng = _random(seed, door, number)
    case, answered, seconds = case_of(door, rng), [], stopwatch()

    def counted(case: Case, folder: Path) -> object:
        result = call(case, folder)
        if not isinstance(result, int) or result == 0:
            answered.append(True)
        return result

    fault, took = tried(case, counted), seconds()
    again = not fault and rng.random() < processes and not case.arguments[0].startswith("python:")
    return Tried(door, number, in_process(case) if again else fault, bool(answered), round(took, 3), again)


def _random(seed: int, door: str, number: int) -> random.Random:
    return random.Random(f"{seed} {door} {number}")


def _logged(log: Path | None) -> Iterator[Tried]:
    if log and log.exists():
        for line in log.read_text().splitlines():
            yield Tried(**json.loads(line))


def _kinds(door: str) -> list[str]:
    """``prior:`` stands for the doors of all kinds of priors."""
    return [f"{door}{kind}" for kind in seeds.priors()] if door == "prior:" else [door]


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
