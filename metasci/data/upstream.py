"""What an address has, made into the file that a card describes: columns chosen and renamed, marks removed, rows kept.

The rules are data, never code: a card's table ``[upstream]``. Whether the result is right, the card's checksum says.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError

__all__ = ["RULES", "converted"]

RULES = ("columns", "part", "missing", "replace", "keep")
_MARKS = "\"' \t"


def converted(content: bytes, rules: Mapping[str, Any], where: str) -> bytes:
    r"""The CSV file that the rules make of another one.

    Parameters
    ----------
    content : bytes
        A table with commas, in UTF-8.
    rules : mapping
        ``columns``: our headers and those of the address, in our order; ``part``: by our header, before or after which
        text a part of the cell stands, ``[", ", "before"]``; ``missing``: texts that stand for nothing; ``replace``: by
        our header, texts and what takes their place; ``keep``: rows that agree with one of several tables of values by
        our header. Quotation marks and spaces around texts go always.
    where : str
        What errors call the table.

    Raises
    ------
    InputError
        If it is no such table, a column is not in it, or a rule is unknown.

    Examples
    --------
    >>> table = b"Steel type,Time (s)\n'AISI-SAE 1026',600\nAISI-SAE 9999,?\n"
    >>> rules = {"columns": {"steel": "Steel type", "time_s": "Time (s)"}, "missing": ["?"],
    ...          "replace": {"steel": {"AISI-SAE": "AISI"}}, "keep": [{"steel": ["AISI 1026"]}]}
    >>> converted(table, rules, "table")
    b'steel,time_s\nAISI 1026,600\n'
    """
    import pandas as pd

    if unknown := set(rules) - set(RULES):
        raise InputError(f"{where}: '{sorted(unknown)[0]}' is no rule; rules are {', '.join(RULES)}.")
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{where} is no table with commas: {' '.join(str(error).split())[:120]}.") from None
    table.columns = [str(header).strip(_MARKS) for header in table.columns]
    columns = dict(rules.get("columns", {})) or {name: name for name in table.columns}
    if absent := [theirs for theirs in columns.values() if theirs not in table.columns]:
        raise InputError(
            f"{where} has no column '{absent[0]}': what the address has is not what the card knows of it."
        )
    table = table[list(columns.values())].set_axis(list(columns), axis=1)
    table = table.map(lambda cell: cell.strip(_MARKS))
    table = table.replace(dict.fromkeys(rules.get("missing", ()), ""))
    for name, (mark, which) in rules.get("part", {}).items():
        table[name] = [_part(cell, mark, which) for cell in table[name]]
    for name, texts in rules.get("replace", {}).items():
        for old, new in texts.items():
            table[name] = table[name].str.replace(old, new, regex=False)
    if wanted := rules.get("keep"):
        agreeing = [
            [
                all(row[name] in values for name, values in combination.items())
                for row in table.to_dict("records")
            ]
            for combination in wanted
        ]
        table = table[[any(row) for row in zip(*agreeing, strict=True)]]
    result: bytes = table.to_csv(index=False, lineterminator="\n").encode()
    return result


def _part(cell: str, mark: str, which: str) -> str:
    """What stands before the last mark in a cell, or after it."""
    before, _, after = cell.rpartition(mark)
    return before if which == "before" else after
