"""Cases are tried in a forked child, one after the other; what hangs, crashes or eats all memory ends the child only.

The parent has loaded what is needed, so that a child costs a fork. A line of its pipe says how a case went.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import IO

from .judge import BYTES, SECONDS

_PATIENCE = 30 * SECONDS  # others may be using the machine
_CASES = 400  # of a child; what it keeps for later grows with them
_MEMORY = 4 * BYTES  # so that the machine lives; what is allowed is judged by the peak


@dataclass(frozen=True)
class Tried:
    """How a case went; `fault` is empty where it went well, and `answered` false where it was refused."""

    door: str
    number: int
    fault: str
    answered: bool
    seconds: float
    as_process: bool = False


Trial = Callable[[str, int], Tried]
Numbered = tuple[str, int]


def outcomes(cases: Iterable[Numbered], trial: Trial) -> Iterator[Tried]:
    """How each case goes, in order."""
    waiting = list(cases)
    while waiting:
        done = 0
        for each in _of_one_child(waiting[:_CASES], trial):
            done += 1
            yield each
        waiting = waiting[done:]


def _of_one_child(cases: list[Numbered], trial: Trial) -> Iterator[Tried]:
    """How these go until the child ends; the case at which it ended too early is the last, and wrong."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reading)
        _try_all(cases, trial, writing)
    os.close(writing)
    said, ended = 0, False
    try:
        with os.fdopen(reading, encoding="utf-8") as lines:
            for outcome in _lines(lines, child):
                said += 1
                yield Tried(**json.loads(outcome))
        ended = True
    finally:
        if not ended:  # nobody asks for more
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if said < len(cases):
        door, number = cases[said]
        code = os.waitstatus_to_exitcode(status)
        why = f"the process ends with {code}" if code >= 0 else f"the process is ended by signal {-code}"
        yield Tried(door, number, f"{why} (9: it hung for {_PATIENCE:.0f} s)", False, _PATIENCE)


def _lines(lines: IO[str], child: int) -> Iterator[str]:
    while True:
        ready, _, _ = select.select([lines], [], [], _PATIENCE)
        if not ready:
            os.kill(child, signal.SIGKILL)
            return
        if not (line := lines.readline()):
            return
        yield line


def _try_all(cases: list[Numbered], trial: Trial, writing: int) -> None:
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 1
    try:
        for door, number in cases:
            os.write(writing, (json.dumps(asdict(trial(door, number))) + "\n").encode())
        status = 0
    finally:
        os._exit(status)


def stopwatch() -> Callable[[], float]:
    """Seconds of this process's own work since now."""
    began = time.process_time()
    return lambda: time.process_time() - began
