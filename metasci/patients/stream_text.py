"""The text of a control stream as pharmpy reads it: what NM-TRAN takes besides is written in the usual way.

Small letters are capitals to NM-TRAN, a comma stands as well as a space in $SUBROUTINES, and $ABBREVIATED REPLACE may
give ETA(1) the name ETA(CL), of which pharmpy takes ETA_CL only. A name of THETA(1) it does not find among the
parameters, so that this is written by its number again. pharmpy reads -2**2 as (-2)**2, no exponents with D outside of
formulas, and neither SAME(2) nor (0,4)x2. Of the outputs that DVID tells apart it takes two, however many there are, so
that it is shown that name as another.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020), IV and VIII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial

from metasci.patients.stream_conditions import with_plain_conditions

__all__ = ["HIDDEN", "unread_line", "usual_text"]

HIDDEN = {"DVID_OF_Y": "DVID"}
"""Names in the text that stand for others."""

_SMALL = re.compile(r"^\s*\$[a-z]|\b(?:[Tt]heta|[Ee]ta|[Ee]ps|[Ee]rr)\s*\(", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z]\w*")
_POWER = re.compile(r"(?<![\w.)])((?:\d+\.?\d*|\.\d+)(?:[ED][-+]?\d+)?)(\s*\*\*)", re.IGNORECASE)
_EXPONENT = re.compile(r"(?<![\w])(\d+\.?\d*|\.\d+)D([-+]?\d+)", re.IGNORECASE)
_SAME = re.compile(r"\bSAME\s*\(\s*(\d+)\s*\)", re.IGNORECASE)
_TIMES = re.compile(r"(\([^()]*\))\s*x\s*(\d+)\b", re.IGNORECASE)
_MOST_TIMES = 100
_RECORD = re.compile(r"^\s*\$(\w+)", re.MULTILINE)
_REPLACED = re.compile(r"\bREPLACE\s+(\w+)\(([A-Z]\w*)\)\s*=", re.IGNORECASE)
_THETA = re.compile(r"\bREPLACE\s+(THETA\([A-Z]\w*\)|[A-Z]\w*)\s*=\s*(THETA\(\d+\))", re.IGNORECASE)


def usual_text(text: str, where: str = "control stream") -> str:
    r"""The same control stream in capitals, with spaces, without abbreviations and with plain conditions.

    Parameters
    ----------
    text : str
    where : str
        To begin a sentence with.

    Raises
    ------
    InputError
        If IF and ENDIF do not match.

    Examples
    --------
    >>> print(usual_text("$subroutine advan1,trans2 ; Kept\n$pk\ncl = theta(1)*exp(eta(1))"))
    $SUBROUTINE ADVAN1 TRANS2 ; Kept
    $PK
    CL = THETA(1)*EXP(ETA(1))
    >>> print(usual_text("$ABBR REPLACE THETA(CL)=THETA(1)\n$PK\nCL = THETA(CL)*-2**2"))
    $PK
    CL = THETA(1)*-(2)**2
    """
    records = _records(text)
    if _has_small_letters(records):
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
        elif kind == "PK" or kind.startswith(("ERR", "DES")):
            records[place] = _formulas(record, kind, where)
        elif kind.startswith(("THE", "OME", "SIG")):
            records[place] = _values(record)
    return "".join(_each_line(record, lambda line: _without_brackets(line, names)) for record in records)


def unread_line(text: str, error: Exception) -> str:
    """The line that a parser of single records stumbles over, and its record; empty if the error does not say.

    Parameters
    ----------
    text : str
        What it was given.
    error : Exception
        With the line and column within a record, and what stands there.
    """
    line, column = getattr(error, "line", None), getattr(error, "column", None)
    if not (isinstance(line, int) and isinstance(column, int) and line > 0 and column > 0):
        return ""
    token = str(getattr(error, "token", "") or getattr(error, "char", "") or "")
    for record in _records(text):
        found = _RECORD.match(record)
        lines = record[found.end() :].split("\n") if found else []
        if (
            token
            and line <= len(lines)
            and lines[line - 1][column - 1 :].startswith(token.partition("\n")[0])
        ):
            return f"'{lines[line - 1].strip():.80}' in ${_kind(record)}"
    return ""


def _records(text: str) -> list[str]:
    return re.split(r"^(?=[ \t]*\$)", text, flags=re.MULTILINE)


def _has_small_letters(records: Collection[str]) -> bool:
    """Whether records or functions are written small, or one name in two ways."""
    code = {"\n".join(map(_code, record.splitlines())) for record in records}
    if any(_SMALL.search(each) for each in code):
        return True
    formulas = {each for each in code if _kind(each) == "PK" or _kind(each).startswith(("ERR", "DES"))}
    spelt = {word for each in formulas for word in _WORD.findall(each)}
    return len({word.upper() for word in spelt}) < len(spelt)


def _formulas(record: str, kind: str, where: str) -> str:
    """A record of code, as pharmpy reads it right."""
    found = _RECORD.match(record)
    assert found is not None
    code = with_plain_conditions(record[found.end() :], f"{where}, ${kind}")
    code = _POWER.sub(r"(\1)\2", code)
    if kind.startswith("ERR"):
        for shown, name in HIDDEN.items():
            code = re.sub(rf"\b{name}\b", shown, code)
    return f"{record[: found.end()]}{code}\n"


def _values(record: str) -> str:
    """A record of estimates with its repetitions written out."""
    kind = _kind(record)
    record = _each_line(record, lambda line: _EXPONENT.sub(r"\1E\2", line))
    if kind.startswith("THE"):
        return _each_line(
            record,
            lambda line: _TIMES.sub(lambda each: " ".join([each[1]] * min(int(each[2]), _MOST_TIMES)), line),
        )
    repeated = _SAME.search("\n".join(map(_code, record.splitlines())))
    if not repeated:
        return record
    once = _each_line(record, lambda line: _SAME.sub("SAME", line))
    return "".join([f"{once.rstrip()}\n"] * min(int(repeated[1]), _MOST_TIMES))


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
