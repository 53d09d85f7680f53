"""What a control stream may hold before another program's parser sees it: records, sizes, and powers of numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from metasci.errors import InputError
from metasci.regular_files import bytes_of

__all__ = ["check_stream"]

_MOST_BYTES = 2**20  # of a control stream, which people write
_MOST_LINES = 3000  # pharmpy takes some two milliseconds for each
_MOST_EFFECTS = (
    60  # of a block: what is written of it grows with the square, and pharmpy's time with more than that
)
_REFUSED = {
    "PRED": "a model without compartments; write it as an equation of your own",
    "MIX": "a mixture of populations",
    "LEVEL": "random effects above the patient",
    "SUPER": "a problem within problems",
    "CONTR": "a likelihood of its own",
    "INCLUDE": "put that file's text in its place",
    "MSFI": "the estimates lie in another file; write them in $THETA, $OMEGA and $SIGMA",
    "THETAI": "a transformation of the estimates",
    "THETAR": "a transformation of the estimates",
}
_TAKEN = (
    "PROBLEM",
    "INPUT",
    "DATA",
    "INFILE",
    "SUBROUTINES",
    "SUBS",
    "ABBREVIATED",
    "MODEL",
    "PK",
    "DES",
    "ERROR",
    "THETA",
    "THETAS",
    "OMEGA",
    "OMEGAS",
    "SIGMA",
    "SIGMAS",
)
"""Records that are the model."""
_OF_A_RUN = (
    "ESTIMATION",
    "ESTIMATE",
    "ESTM",
    "COVARIANCE",
    "COVR",
    "TABLE",
    "TABLES",
    "SCATTERPLOT",
    "SIZES",
    "SIMULATION",
    "SIMULATE",
    "SIML",
    "NONPARAMETRIC",
    "ETAS",
    "PHIS",
    "DESIGN",
    "CHAIN",
    "ANNEAL",
    "OLKJDF",
    "OVARF",
    "SLKJDF",
    "SVARF",
    "TTDF",
    "RCOV",
    "RCOVI",
    "FORMAT",
    "WARNINGS",
    "DEFAULT",
    "OMIT",
    "TOL",
    "PRIOR",
    "THETAP",
    "THETAPV",
    "OMEGAP",
    "OMEGAPD",
    "SIGMAP",
    "SIGMAPD",
)
"""Records that say how a model is fitted, and what is printed of it."""
_SHORTEST = 3  # letters of a record's name that tell it; $PK has two
_NUMBER = r"\d+(?:\.\d*)?(?:[ED][-+]?\d+)?|\.\d+(?:[ED][-+]?\d+)?"
_ONLY_NUMBERS = re.compile(rf"(?:{_NUMBER}|[-+*/()\s])*")
_OPERAND = re.compile(rf"\s*[-+]?\s*(?:{_NUMBER}|\w+)", re.IGNORECASE)
_GREATEST_POWER = 99.0  # whole numbers are raised to exact ones, of as many digits as it takes


def check_stream(path: Path) -> None:
    """Refuse what is not taken, or would keep the parser busy without an end.

    Raises
    ------
    InputError
        The sentence names the record or the formula.
    """
    text = bytes_of(path, _MOST_BYTES).decode("utf-8", "replace")
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        raise InputError(f"{path} has {len(lines)} lines; control streams of up to {_MOST_LINES} are read.")
    problems = 0
    for line in lines:
        if record := re.match(r"\s*\$(\w+)", line):
            _check_record(path, record[1].upper())
            problems += record[1].upper().startswith("PRO")
        elif re.match(r"\s*INCLUDE\b", line, re.IGNORECASE):
            raise InputError(f"{path}: INCLUDE is not taken; put that file's text in its place.")
        if re.match(r"\s*DO\s*WHILE\b", line, re.IGNORECASE):
            raise InputError(f"{path}: DO WHILE is not taken: {line.strip():.60}")
        if line.lstrip().startswith('"'):
            raise InputError(f"{path}: verbatim code is not taken: {line.strip():.60}")
        _check_powers(path, line.partition(";")[0])
    if problems > 1:
        raise InputError(
            f"{path}: there are {problems} $PROBLEM records; keep the one that is to be imported."
        )
    _check_data(path, text)
    for size in re.findall(r"\bBLOCK\s*\(\s*(\d+)", text, re.IGNORECASE):
        if len(size) > 4 or int(size) > _MOST_EFFECTS:
            raise InputError(
                f"{path}: BLOCK({size:.9}) is larger than {_MOST_EFFECTS}, up to which blocks are read."
            )


def _check_record(path: Path, name: str) -> None:
    for key, what in _REFUSED.items():
        if name == key:
            raise InputError(f"{path}: ${key} is not taken ({what}).")
    if not any(
        known.startswith(name) and len(name) >= min(_SHORTEST, len(known)) for known in (*_TAKEN, *_OF_A_RUN)
    ):
        raise InputError(f"{path}: ${name} is not taken.")


def _check_data(path: Path, text: str) -> None:
    """The file of $DATA, which pharmpy opens where it is there, is a file and no device."""
    for name in re.findall(
        r"^\s*\$DATA?\s+(?:'([^']*)'|\"([^\"]*)\"|(\S+))", text, re.IGNORECASE | re.MULTILINE
    ):
        data = path.parent / "".join(name)
        if "\0" not in str(data) and data.exists() and not data.is_file():
            raise InputError(f"{path}: $DATA names '{data}', which is no regular file.")


def _check_powers(path: Path, line: str) -> None:
    """Refuse numbers to the power of numbers, such as 9**9**9: some have more digits than there is memory."""
    for place in re.finditer(r"\*\*", line):
        exponent = _exponent(line[place.end() :])
        if _ONLY_NUMBERS.fullmatch(exponent) and _magnitude(exponent) > _GREATEST_POWER:
            raise InputError(
                f"{path}: the power '{exponent.strip():.40}' is greater than {_GREATEST_POWER:g}."
            )


def _exponent(rest: str) -> str:
    """What a number is raised to, up to where its brackets close."""
    text, depth = rest.lstrip(), 0
    if not text.startswith("("):
        first = _OPERAND.match(rest)
        end = first.end() if first else 0
        more = rest[end:].lstrip()
        return rest[:end] + more[:2] + _exponent(more[2:]) if more.startswith("**") else rest[:end]
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return text[: place + 1]
    return text


def _magnitude(exponent: str) -> float:
    """An upper bound of what an expression of numbers alone is: all of them multiplied, or raised to each other."""
    numbers = [float(each.upper().replace("D", "E")) for each in re.findall(_NUMBER, exponent, re.IGNORECASE)]
    if "**" in exponent or "/" not in exponent:
        return float(np.prod([max(each, 1.0) for each in numbers])) if "**" not in exponent else np.inf
    return max(numbers, default=0.0)
