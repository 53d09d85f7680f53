"""A case is tried, and judged: one sentence and status 2, or a finite and sane result; nothing else left behind.

What is wrong is said in a line; an empty text is a case that went well.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from .case import Case

SECONDS = 10.0
BYTES = 2 * 2**30
LONGEST = 300


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said, or what a function gave or raised."""

    status: int
    out: str
    err: str
    seconds: float
    peak: int


class Overdue(BaseException):
    """The time is up."""


def tried(case: Case, function: Callable[[Case, Path], Any]) -> str:
    """What is wrong with how a case ends, tried within this process in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case.write(folder)
        before = _listing(folder)
        outcome, result = _run(case, function, folder)
        fault = _fault_of(outcome, result)
        if not fault and outcome.status == 2 and (left := _listing(folder) ^ before):
            fault = f"a refused input changes files: {sorted(left)[:3]}"
        hidden = [path for path, _ in _listing(folder) if Path(path).name.startswith(".")]
        if not fault and (partial := [path for path in hidden if path not in case.arguments]):
            fault = f"hidden files are left: {partial[:3]}"
        return fault


def _run(case: Case, function: Callable[[Case, Path], Any], folder: Path) -> tuple[Outcome, Any]:
    came_from, result, status = Path.cwd(), None, 0
    _forget_peak()
    began = time.process_time()  # others may be using the machine
    os.chdir(folder)
    try:
        with _captured() as said, _bounded():
            try:
                result = function(case, folder)
                status = result if isinstance(result, int) else 0
            except BaseException as error:
                status = _status_of(error)
    finally:
        os.chdir(came_from)
    seconds = time.process_time() - began
    return Outcome(status, said["out"], said["err"], seconds, _peak()), result


def _status_of(error: BaseException) -> int:
    """As the command line ends: 2 and a sentence, or 1 and a traceback."""
    from metasci.errors import InputError

    if isinstance(error, SystemExit):
        return int(error.code or 0) if not isinstance(error.code, str) else 1
    if isinstance(error, InputError):
        print(f"metasci: {error}", file=sys.stderr)
        return 2
    traceback.print_exception(error)
    return 1


def _fault_of(outcome: Outcome, result: Any) -> str:
    if outcome.seconds > SECONDS:
        return f"it takes {outcome.seconds:.0f} s"
    if outcome.peak > BYTES:
        return f"it takes {outcome.peak >> 20} MB"
    if "Traceback" in outcome.err or outcome.status not in (0, 2):
        return f"status {outcome.status}: {outcome.err.strip()[-900:]}"
    if outcome.status == 2:
        return _fault_of_sentence(outcome.err)
    return _insane(result) or _fault_of_output(outcome)


def _fault_of_sentence(err: str) -> str:
    """Usage may stand before the sentence, as command lines have it."""
    lines = [line for line in err.strip().splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(("metasci: ", "Error: "))]
    if len(own) != 1 or (own[0].startswith("metasci: ") and len(lines) > 1):
        return f"it is refused in other than one sentence: {err[-600:]!r}"
    if len(own[0]) > LONGEST:
        return f"the sentence has {len(own[0])} letters: {own[0]}"
    if any(not letter.isprintable() for letter in own[0]):
        return f"the sentence holds what cannot be printed: {own[0]!r}"
    return ""


def _fault_of_output(outcome: Outcome) -> str:
    for word in ("Warning:", "UserWarning", "RuntimeWarning", "SMILES Parse Error", "[WARNING]"):
        if word in outcome.err:
            return f"a library's own words leak: {outcome.err[-300:]!r}"
    text = outcome.out.strip()
    if text.startswith("{"):
        try:
            return _insane(json.loads(text))
        except ValueError:  # text that was asked for and begins so
            return ""
    return ""


def _insane(value: Any, where: str = "") -> str:
    """Intervals that do not hold their estimate, numbers that are none; a null stands for what cannot be said."""
    if isinstance(value, dict):
        ends = [value.get(name) for name in ("lower", "estimate", "upper")]
        if all(isinstance(end, float | int) for end in ends) and not ends[0] <= ends[1] <= ends[2]:
            return f"{where}: {ends[1]} lies outside {ends[0]} to {ends[2]}"
        return next((said for key, item in value.items() if (said := _insane(item, f"{where}/{key}"))), "")
    if isinstance(value, list | tuple):
        return next((said for at, item in enumerate(value) if (said := _insane(item, f"{where}/{at}"))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where}: {value} is not finite"
    return ""


def _listing(folder: Path) -> set[tuple[str, int]]:
    return {
        (str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*") if path.is_file()
    }


@contextlib.contextmanager
def _captured() -> Iterator[dict[str, str]]:
    """What is written to the standard streams, by libraries in C as well."""
    said: dict[str, str] = {}
    kept = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, file in ((1, out), (2, err)):
            os.dup2(file.fileno(), number)
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (
            open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            for number in (1, 2)
        )
        try:
            yield said
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = streams
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)
            for key, file in (("out", out), ("err", err)):
                file.seek(0)
                said[key] = file.read().decode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End what takes twice the processor's time allowed; what hangs within a library in C is ended with the process."""

    def overdue(number: int, frame: FrameType | None) -> None:
        raise Overdue

    old = signal.signal(signal.SIGPROF, overdue)
    signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, old)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """The most memory since it was forgotten, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0
