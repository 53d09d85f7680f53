"""The text of a control stream as pharmpy reads it: what NM-TRAN takes besides is written in the usual way.

Small letters are capitals to NM-TRAN, a comma stands as well as a space in $SUBROUTINES, and $ABBREVIATED REPLACE may
give ETA(1) the name ETA(CL), of which pharmpy takes ETA_CL only. A name of THETA(1) it does not find among the
parameters, so that this is written by its number again.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020), IV and VIII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial

__all__ = ["usual_text"]

_SMALL = re.compile(r"^\s*\$[a-z]|\b(?:theta|eta|eps|err)\s*\(", re.MULTILINE)
_RECORD = re.compile(r"^\s*\$(\w+)", re.MULTILINE)
_REPLACED = re.compile(r"\bREPLACE\s+(\w+)\(([A-Z]\w*)\)\s*=", re.IGNORECASE)
_THETA = re.compile(r"\bREPLACE\s+(THETA\([A-Z]\w*\)|[A-Z]\w*)\s*=\s*(THETA\(\d+\))", re.IGNORECASE)


def usual_text(text: str) -> str:
    r"""The same control stream in capitals, with spaces and without abbreviations.

    Examples
    --------
    >>> print(usual_text("$subroutine advan1,trans2 ; Kept\n$pk\ncl = theta(1)*exp(eta(1))"))
    $SUBROUTINE ADVAN1 TRANS2 ; Kept
    $PK
    CL = THETA(1)*EXP(ETA(1))
    >>> print(usual_text("$ABBR REPLACE THETA(CL)=THETA(1)\n$PK\nCL = THETA(CL)"))
    $PK
    CL = THETA(1)
    """
    records = re.split(r"^(?=[ \t]*\$)", text, flags=re.MULTILINE)
    if _SMALL.search("\n".join(_code(line) for line in text.splitlines())):
        records = [_capitals(record) for record in records]
    numbered = dict(_THETA.findall("\n".join(_code(line) for line in text.splitlines())))
    records = [_by_number(record, numbered) for record in records]
    names: set[tuple[str, str]] = set()
    for place, record in enumerate(records):
        kind = _kind(record)
        if kind.startswith("SUB"):
            records[place] = _each_line(record, lambda line: line.replace(",", " "))
        elif kind.startswith("ABB"):
            names.update(_REPLACED.findall("\n".join(map(_code, record.splitlines()))))
    return "".join(_each_line(record, lambda line: _without_brackets(line, names)) for record in records)


def _by_number(record: str, numbered: Mapping[str, str]) -> str:
    """A record with the names of fixed effects written as numbers again, and without what gave the names."""
    if _kind(record).startswith("ABB"):
        record = _each_line(record, lambda line: _THETA.sub("", line))
        return "" if re.fullmatch(r"\s*\$\w+\s*", record) else record
    for name, number in numbered.items():
        spelt = re.compile(rf"(?<![\w]){re.escape(name)}(?![\w(])", re.IGNORECASE)
        record = _each_line(record, partial(spelt.sub, number.upper()))
    return record


def _without_brackets(line: str, names: Collection[tuple[str, str]]) -> str:
    for kind, name in names:
        line = re.sub(rf"\b{kind}\({name}\)", f"{kind}_{name}", line)
    return line


def _kind(record: str) -> str:
    found = _RECORD.match(record)
    return found[1].upper() if found else ""


def _code(line: str) -> str:
    """A line without its comment."""
    return line.partition(";")[0]


def _each_line(record: str, change: Callable[[str], str]) -> str:
    """A record with its code changed line by line, and comments as they are."""
    lines = (line.partition(";") for line in record.splitlines(keepends=True))
    return "".join(change(code) + mark + rest for code, mark, rest in lines)


def _capitals(record: str) -> str:
    """A record in capitals, but for what is a title or the name of a file."""
    if _kind(record).startswith("PRO"):
        return _RECORD.sub(lambda found: found[0].upper(), record, count=1)
    if _kind(record).startswith("DAT"):
        first = re.match(r"(\s*\$\w+\s+)('[^']*'|\"[^\"]*\"|\S+)", record)
        if first:
            return first[1].upper() + first[2] + _each_line(record[first.end() :], str.upper)
    return _each_line(record, str.upper)
