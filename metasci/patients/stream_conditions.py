"""Conditions of a control stream, written so that another program's parser takes each of them as NM-TRAN does.

pharmpy passes over a condition within a condition, and gives every name of a block one value for each branch, whatever
was assigned before it in the branch. Where that would matter, a block is written as one condition for each assignment.
``.NOT.`` of a bracket, which pharmpy does not take, is carried into the comparisons.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020), IV, abbreviated code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from metasci.errors import InputError

__all__ = ["with_plain_conditions"]

_NAME = re.compile(r"(?<![\w.])[A-Z_]\w*(?:\(\s*\d+\s*\))?", re.IGNORECASE)
_ASSIGNED = re.compile(r"\s*([A-Z_]\w*(?:\(\s*\d+\s*\))?)\s*=(?!=)(.*)", re.IGNORECASE | re.DOTALL)
_IF, _ELSE_IF = (
    re.compile(r"\s*IF\s*(?=\()", re.IGNORECASE),
    re.compile(r"\s*ELSE\s*IF\s*(?=\()", re.IGNORECASE),
)
_ELSE, _END = re.compile(r"\s*ELSE\s*", re.IGNORECASE), re.compile(r"\s*END\s*IF\s*", re.IGNORECASE)
_THEN = re.compile(r"\s*THEN\s*", re.IGNORECASE)
_OPERATOR = re.compile(r"\.(AND|OR|NOT|EQ|NE|LT|LE|GT|GE)\.|([=/<>]=|[<>])|([()])", re.IGNORECASE)
_SPELT = {"==": "EQ", "/=": "NE", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
_OPPOSITE = {"EQ": "NE", "NE": "EQ", "LT": "GE", "GE": "LT", "GT": "LE", "LE": "GT"}


@dataclass
class _Block:
    """IF … THEN … ENDIF: conditions and what stands under each; ELSE has none."""

    branches: list[tuple[str, list[str | _Block]]] = field(default_factory=list)


def with_plain_conditions(code: str, where: str) -> str:
    r"""The same code, line by line, with no condition that would be misread.

    Parameters
    ----------
    code : str
        Of $PK, $ERROR or $DES, without the name of the record.
    where : str
        To begin a sentence with.

    Raises
    ------
    InputError
        If IF and ENDIF do not match.

    Examples
    --------
    >>> print(with_plain_conditions("IF (SEX.EQ.1) THEN\nIF (.NOT.(WT>50)) CL=2\nELSE\nCL=3\nENDIF", "$PK"))
    IF (SEX.EQ.1.AND.WT.LE.50) CL=2
    IF (SEX.NE.1) CL=3
    >>> print(with_plain_conditions("IF (A.EQ.1) THEN\nCL = 2\nENDIF", "$PK"))
    IF (A.EQ.1) THEN
    CL = 2
    ENDIF
    """
    lines = _logical_lines(code)
    tree, rest = _parsed(lines, where)
    if rest:
        raise InputError(f"{where}: '{rest[0].strip():.60}' closes no IF.")
    counter = iter(range(1, 10_000))
    return "\n".join(line for item in tree for line in _written(item, counter))


def _logical_lines(code: str) -> list[str]:
    """Lines without comments, those that end in & joined with the next."""
    lines: list[str] = []
    open_line = False
    for raw in code.splitlines():
        if raw.lstrip().startswith('"'):  # as it stands: none is taken
            lines.append(raw)
            continue
        line = raw.partition(";")[0].rstrip()
        goes_on = line.endswith("&")
        line = line.removesuffix("&")
        if open_line:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
        open_line = goes_on
    return lines


def _parsed(lines: list[str], where: str) -> tuple[list[str | _Block], list[str]]:
    """Statements and blocks, and the lines from one that closes what is outside."""
    items: list[str | _Block] = []
    while lines:
        line = lines[0]
        if _END.fullmatch(line) or _ELSE.fullmatch(line) or _ELSE_IF.match(line):
            return items, lines
        condition, then = _conditional(_IF, line)
        if condition and _THEN.fullmatch(then):
            block, lines = _block(condition, lines[1:], where)
            items.append(block)
        else:
            items.append(line)
            lines = lines[1:]
    return items, []


def _block(condition: str, lines: list[str], where: str) -> tuple[_Block, list[str]]:
    block = _Block()
    while True:
        inside, lines = _parsed(lines, where)
        block.branches.append((condition, inside))
        if not lines:
            raise InputError(f"{where}: IF ({block.branches[0][0]:.50}) THEN has no ENDIF.")
        line, lines = lines[0], lines[1:]
        if _END.fullmatch(line):
            return block, lines
        condition = "" if _ELSE.fullmatch(line) else _conditional(_ELSE_IF, line)[0]


def _conditional(start: re.Pattern[str], line: str) -> tuple[str, str]:
    """The condition of a line and what stands behind it; two empty texts where it has none."""
    found = start.match(line)
    if not found:
        return "", ""
    depth = 0
    for place in range(found.end(), len(line)):
        depth += (line[place] == "(") - (line[place] == ")")
        if depth == 0:
            return line[found.end() + 1 : place], line[place + 1 :]
    return "", ""


def _written(item: str | _Block, counter: Iterator[int]) -> list[str]:
    if isinstance(item, str):
        condition, then = _conditional(_IF, item)
        if condition and ".NOT." in condition.upper():
            return [f"IF ({_plain(condition)}){then}"]
        return [item]
    if _is_read_right(item):
        lines = []
        for place, (condition, inside) in enumerate(item.branches):
            opening = "ELSE" if place else ""
            lines.append(f"{opening} IF ({_plain(condition)}) THEN".strip() if condition else "ELSE")
            lines += [line for line in inside if isinstance(line, str)]
        return [*lines, "ENDIF"]
    return _one_by_one(item, "", counter)


def _is_read_right(block: _Block) -> bool:
    """Whether no name has two values in a branch, and none is both given in the block and asked for in it."""
    given: set[str] = set()
    asked: set[str] = set()
    for condition, inside in block.branches:
        asked |= _names(condition)
        here: set[str] = set()
        for line in inside:
            assigned = None if isinstance(line, _Block) or _IF.match(line) else _ASSIGNED.match(line)
            if assigned is None:
                if isinstance(line, _Block) or line.strip():
                    return False
                continue
            name = _key(assigned[1])
            if name in here:
                return False
            here.add(name)
            asked |= _names(assigned[2]) - {name}
        given |= here
    return not given & asked


def _one_by_one(block: _Block, outside: str, counter: Iterator[int]) -> list[str]:
    """A condition for each statement; one whose names the block changes is kept in a name of its own."""
    switches = bool(_given(block) & {name for condition, _ in block.branches for name in _names(condition)})
    earlier: list[str] = []
    lines: list[str] = []
    conditions = []
    for condition, _ in block.branches:
        told = [outside, *(_plain(f".NOT.({each})") for each in earlier), _plain(condition)]
        if condition:
            earlier.append(condition)
        whole = _all_of(told)
        if switches:
            name = f"IFBRANCH{next(counter)}"
            lines += [f"{name} = 0", f"IF ({whole}) {name} = 1"]
            whole = f"{name}.EQ.1"
        conditions.append(whole)
    for whole, (_, inside) in zip(conditions, block.branches, strict=True):
        for item in inside:
            if isinstance(item, _Block):
                lines += _one_by_one(item, whole, counter)
            elif item.strip():
                condition, then = _conditional(_IF, item)
                lines.append(
                    f"IF ({_all_of([whole, _plain(condition)])}){then}"
                    if condition
                    else f"IF ({whole}) {item.strip()}"
                )
    return lines


def _all_of(conditions: Sequence[str]) -> str:
    several = [each for each in conditions if each]
    if len(several) < 2:
        return several[0] if several else ""
    return ".AND.".join(f"({each})" if ".OR." in each.upper() else each for each in several)


def _given(block: _Block) -> set[str]:
    names: set[str] = set()
    for _, inside in block.branches:
        for item in inside:
            if isinstance(item, _Block):
                names |= _given(item)
            else:
                condition, then = _conditional(_IF, item)
                assigned = _ASSIGNED.match(then if condition else item)
                names |= {_key(assigned[1])} if assigned else set()
    return names


def _key(name: str) -> str:
    return re.sub(r"\s", "", name.upper())


def _names(text: str) -> set[str]:
    """The names in a formula or a condition."""
    without = re.sub(r"\.(?:AND|OR|NOT|EQ|NE|LT|LE|GT|GE)\.", " ", text, flags=re.IGNORECASE)
    return {_key(each) for each in _NAME.findall(without)}


def _plain(condition: str, denied: bool = False) -> str:
    """A condition without .NOT.

    Examples
    --------
    >>> _plain(".NOT.(A.EQ.1.AND.(B+1)>2)")
    'A.NE.1.OR.(B+1).LE.2'
    """
    condition = condition.strip()
    for joint in ("OR", "AND"):
        parts = _split(condition, joint)
        if len(parts) > 1:
            joined = joint if not denied else ("AND" if joint == "OR" else "OR")
            told = [_plain(part, denied) for part in parts]
            if joined == "AND":
                return _all_of(told)
            return f".{joined}.".join(told)
    if condition.upper().startswith(".NOT."):
        return _plain(condition[5:], not denied)
    if condition.startswith("(") and _closing(condition) == len(condition) - 1:
        return _plain(condition[1:-1], denied)
    for found, depth in _operators(condition):
        kind = (found[1] or _SPELT.get(found[2] or "", "")).upper()
        if depth == 0 and kind in _OPPOSITE:
            kind = _OPPOSITE[kind] if denied else kind
            return f"{condition[: found.start()].strip()}.{kind}.{condition[found.end() :].strip()}"
    return f".NOT.{condition}" if denied else condition


def _operators(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """The operators of a condition, each with the number of brackets around it."""
    depth = 0
    for found in _OPERATOR.finditer(text):
        depth -= found[3] == ")"
        yield found, depth
        depth += found[3] == "("


def _split(condition: str, joint: str) -> list[str]:
    parts, start = [], 0
    for found, depth in _operators(condition):
        if depth == 0 and (found[1] or "").upper() == joint:
            parts.append(condition[start : found.start()])
            start = found.end()
    return [*parts, condition[start:]]


def _closing(text: str) -> int:
    """Where the bracket closes with which a text begins."""
    return next(found.start() for found, depth in _operators(text) if found[3] == ")" and depth == 0)
