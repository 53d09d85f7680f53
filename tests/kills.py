"""Work that is killed at random moments, again and again: nothing of it is half written, and it ends as if it was not.

`python tests/kills.py --kills 20` prints a table; `benchmarks/kills.md` is what it printed. With `--interrupt` every
other one is interrupted, as from the keyboard, and must tidy up. The suite kills each a few times (`-m slow`). It runs
in forked processes, which is quick; a killed one is begun anew with the same words, and what promises to go on from
where it was (`calibrate_many` with a file, learning with a checkpoint) does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import metasci as ms

_NO_CONTENT = {"seconds", "versions"}  # of a prior's description: how long it took
_MOST_SECONDS = 600.0
_TO_TIDY_UP = 60.0
_INTERRUPTED = 130


def _command(*words: str) -> Callable[[], None]:
    def work() -> None:
        from metasci.cli.main import run
        from metasci.cli.voice import hushed

        with hushed():
            if status := run(list(words)):
                raise SystemExit(status)

    return work


def _many(end: str) -> Callable[[], None]:
    def work() -> None:
        tasks = ms.dataset("theophylline").select(slice(0, 6))
        ms.load("theophylline").calibrate_many(tasks, chunk=1, out=f"many{end}")

    return work


def _learned() -> None:
    from metasci.library import find

    method = ms.FOMAML(iterations=60)
    tasks = ms.dataset("alloy_fatigue")
    ms.meta_calibrate(find("kinetics.crack_growth"), tasks, method, checkpoint="half.safetensors").save(
        "learned"
    )


WORK: dict[str, Callable[[], None]] = {
    "evaluate": _command("evaluate", "alloy_fatigue", "alloy_fatigue", "--shots", "0,1", "--seeds", "1"),
    "study": _command("study", "alloy-fatigue", "--out", "study"),
    "calibrate --out": _command("calibrate", "theophylline", "data.csv", "--out", "out"),
    "calibrate_many, .nc": _many(".nc"),
    "calibrate_many, .zarr": _many(".zarr"),
    "train with a checkpoint": _command(
        "train",
        "patients.one_compartment_oral",
        "theophylline",
        "--out",
        "learned",
        "--checkpoint",
        "half.safetensors",
    ),
    "learning by gradients with a checkpoint": _learned,
}
_ROWS = "time [h],dose [mg/kg],concentration [mg/L],weight [kg]\n0.5,4,5.1,72\n2,4,8.3,72\n9,4,4.9,72\n"


@dataclass(frozen=True)
class Outcome:
    """What became of work that was killed so often; `faults` says what was wrong, if anything was."""

    kills: int
    within: int
    faults: tuple[str, ...]


def killed(
    name: str, kills: int, seed: int = 0, by: tuple[signal.Signals, ...] = (signal.SIGKILL,)
) -> Outcome:
    """Do the work undisturbed, then in another folder with kills until it ends; compare.

    The signals take turns.
    """
    moments = random.Random(f"{seed} {name}")
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        alone, disturbed = Path(first), Path(second)
        began = time.monotonic()
        assert _run(WORK[name], alone) == 0, f"{name} fails undisturbed"
        takes, expected, faults = time.monotonic() - began, _contents(alone), []
        done = within = 0
        while done < kills:
            which = by[done % len(by)]
            status = _run(WORK[name], disturbed, moments.uniform(0.0, takes), which)
            within += status != 0
            done += 1
            if which is signal.SIGINT:
                faults += _left_by_interruption(status, disturbed)
            faults += _half_written(_contents(disturbed), expected)
            if status == 0:  # it was quicker: begin anew
                faults += _differing(_contents(disturbed), expected)
                _empty(disturbed)
        if _contents(disturbed).keys() != expected.keys():
            assert _run(WORK[name], disturbed) == 0, f"{name} fails after it was killed"
        return Outcome(kills, within, tuple(faults + _differing(_contents(disturbed), expected)))


def _run(
    work: Callable[[], None], folder: Path, after: float | None = None, by: signal.Signals = signal.SIGKILL
) -> int:
    """How a forked process ends that works in a folder, and gets a signal after some seconds unless it has ended."""
    (folder / "data.csv").write_text(_ROWS)
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.chdir(folder)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is behind deaf to it
        try:
            work()
            os._exit(0)
        except KeyboardInterrupt:
            os._exit(_INTERRUPTED)
        except SystemExit as error:  # as the command line ended
            os._exit(error.code if isinstance(error.code, int) else 1)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    for sent, seconds in ((by, _MOST_SECONDS if after is None else after), (signal.SIGKILL, _TO_TIDY_UP)):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(child, sent)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _left_by_interruption(status: int, folder: Path) -> list[str]:
    """It ends as interrupted work does, and leaves nothing hidden but finished pieces."""
    hidden = sorted(path.name for path in folder.rglob(".*") if not path.name.endswith(".parts"))
    return [f"{name} is left by an interruption" for name in hidden] + (
        [f"interrupted work ends with {status}"] if status not in (0, _INTERRUPTED) else []
    )


def _contents(folder: Path) -> dict[str, Any]:
    """What every file says that has its name; of hidden ones, which are not finished, nothing."""
    return {
        str(path.relative_to(folder)): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        # what learning goes on from differs from moment to moment, but is whole
        and path.name not in ("half.safetensors", "data.csv")
    }


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".json" and path.name == "prior.json":
            return _without(json.loads(path.read_text(encoding="utf-8")))
        if path.suffix == ".nc":
            from metasci.data.arrays import content_sum
            from metasci.priors.stores import open_store

            with open_store(path) as stored:
                return content_sum(stored.load())
        if path.name.endswith(".safetensors"):
            from metasci.files import read_tensors, tensors_checksum

            return tensors_checksum(read_tensors(path)[0])
    except ValueError as error:
        return f"it cannot be read: {error}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in _NO_CONTENT}
    return value


def _half_written(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [f"{name} is half written" for name, content in found.items() if content != expected.get(name)]


def _differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    odd = found.keys() ^ expected.keys()
    return [f"{name} is there in one of both only" for name in sorted(odd)] + _half_written(found, expected)


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def often_kept() -> None:
    """Keep what learning goes on from every twentieth of a second, so that kills fall between."""
    from metasci.meta.compositions.training import learn

    assert learn.__kwdefaults__ is not None
    learn.__kwdefaults__["every"] = 0.05


def main() -> int:
    """Kill each kind of work, and print what became of it."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("names", nargs="*", help=f"of {', '.join(WORK)}; all by default")
    asked.add_argument("--kills", type=int, default=20, help="of each")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--interrupt", action="store_true", help="every other one with SIGINT")
    options, bad = asked.parse_args(), 0
    by = (signal.SIGKILL, signal.SIGINT) if options.interrupt else (signal.SIGKILL,)
    often_kept()
    print(
        "| work | killed | of these before it ended | half written or other than undisturbed |\n|---|---|---|---|"
    )
    for name in options.names or WORK:
        outcome = killed(name, options.kills, options.seed, by)
        bad += bool(outcome.faults)
        said = "; ".join(dict.fromkeys(outcome.faults)) or "nothing"
        print(f"| {name} | {outcome.kills} | {outcome.within} | {said} |", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
