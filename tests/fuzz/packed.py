"""Tables that are packed: workbooks, gzip, JSON, folders of archives; and what unpacks to far more than it weighs."""

from __future__ import annotations

import functools
import gzip
import io
import json
import zipfile
from random import Random

from . import mutations, seeds
from .case import Case

_SHEET = "xl/worksheets/sheet1.xml"


def packed(rng: Random) -> Case:
    """A table in one of the packings, with bytes or cells changed."""
    prior, table = rng.choice(sorted(seeds.TABLES.items()))
    name, content = rng.choice((_workbook, _workbook, _gzipped, _json))(rng, table)
    return Case("packed", ("calibrate", prior, name, "--json"), {name: content})


def _workbook(rng: Random, table: str) -> tuple[str, bytes]:
    parts = dict(_parts(table))
    kind, name = rng.random(), rng.choice(sorted(parts))
    if kind < 0.15:
        return "data.xlsx", mutations.flipped(rng, _zipped(parts))
    if kind < 0.25:
        del parts[name]
    elif kind < 0.4:
        parts[name] = mutations.flipped(rng, parts[name])
    elif kind < 0.7:
        parts[_SHEET] = _other_cells(rng, parts[_SHEET].decode()).encode("utf-8", "replace")
    elif kind < 0.75:
        parts[_SHEET] = parts[_SHEET].replace(
            b"<sheetData>", b"<sheetData>" + b"<row/>" * 10 ** rng.randint(1, 6)
        )
    elif kind < 0.8:
        parts["xl/../../../evil.txt"] = b"x"
    elif kind < 0.85:
        entities = b"".join(b'<!ENTITY a%d "%s">' % (n + 1, b"&a%d;" % n * 10) for n in range(9))
        bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "aaaaaaaaaa">' + entities + b"]>"
        parts[name] = bomb + parts[name].partition(b"?>")[2].replace(b"<v>", b"<v>&a9;", 1)
    else:
        parts[name] = b"0" * 10 ** rng.randint(5, 7)
    return "data.xlsx", _zipped(parts)


def _other_cells(rng: Random, sheet: str) -> str:
    """Places, types and values of cells that no spreadsheet would write."""
    return rng.choice(
        (
            lambda: sheet.replace('<dimension ref="', '<dimension ref="A1:XFD1048576" x="', 1),
            lambda: sheet.replace('r="2"', 'r="1048576"'),
            lambda: sheet.replace('r="A2"', 'r="XFD2"'),
            lambda: sheet.replace('r="B2"', f'r="{rng.choice(("ZZZZ9", "", "0", "A-1", "a" * 99))}"'),
            lambda: sheet.replace("<v>", f"<v>{rng.choice(('1e999', '', 'x', '-', '9' * 400, 'NaN'))}", 1),
            lambda: sheet.replace("<c ", f'<c t="{rng.choice(("s", "b", "e", "d", "str", "zz"))}" ', 3),
            lambda: sheet.replace("<v>", "<f>1+1</f><v>"),
            lambda: sheet.replace("</row>", ""),
            lambda: mutations.text(rng, sheet, '<>/="rcvABC0123456789'),
        )
    )()


def _gzipped(rng: Random, table: str) -> tuple[str, bytes]:
    content = mutations.table(rng, table)
    squeezed = gzip.compress(content, mtime=0)
    return "data.csv.gz", rng.choice(
        (
            lambda: squeezed,
            lambda: mutations.flipped(rng, squeezed),
            lambda: squeezed[: rng.randrange(len(squeezed))],
            lambda: squeezed + rng.choice((b"x", b"\x00" * 9, squeezed, _bomb())),
            lambda: content,
            _bomb,
            lambda: gzip.compress(squeezed, mtime=0),
        )
    )()


@functools.cache
def _bomb() -> bytes:
    """Some 390 kB that unpack to 400 MB."""
    return gzip.compress(b"\x00" * (400 << 20), 9, mtime=0)


def _json(rng: Random, table: str) -> tuple[str, bytes]:
    header, *rows = (line.split(",") for line in table.strip().splitlines())
    whole = {"columns": header, "index": list(range(len(rows))), "data": rows}
    content = json.dumps(mutations.tree(rng, whole)).encode("utf-8", "replace")
    if rng.random() < 0.1:
        content = mutations.flipped(rng, content)
    if rng.random() < 0.05:
        content = b"[" * 10 ** rng.randint(2, 6)
    return ("data.json.gz", gzip.compress(content, mtime=0)) if rng.random() < 0.2 else ("data.json", content)


@functools.cache
def _parts(table: str) -> tuple[tuple[str, bytes], ...]:
    """The files within a workbook of a table."""
    import openpyxl

    book = openpyxl.Workbook()
    for line in table.strip().splitlines():
        book.active.append([_number(cell) for cell in line.split(",")])
    with io.BytesIO() as written:
        book.save(written)
        with zipfile.ZipFile(written) as archive:
            return tuple((name, archive.read(name)) for name in archive.namelist())


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _zipped(parts: dict[str, bytes]) -> bytes:
    with io.BytesIO() as written:
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        return written.getvalue()
