"""What is done to a sound input: hostile texts in its places, bytes changed, rows and keys lost, doubled and moved."""

from __future__ import annotations

import json
from random import Random
from typing import Any

HOSTILE = (
    "", " ", ".", "-", "NaN", "nan", "inf", "-inf", "1e400", "-1e400", "1e308", "-1e308", "1e-320", "0", "-0", "-1",
    "1e18", "99999999999999999999", "0x10", "1_000", "1,5", "1.5.2", "+-1", "--", "<", ">", "<>5", "<0.1", ">65",
    "5..1", "1..", "..", "None", "null", "true", "=1+1", "=cmd|' /C calc'!A0", "@SUM(1)", "'", '"', "\"\"\"", "\\",
    "\\x00", "\x00", "\x07", "\x1b[31m", "\r", "\n", "\t", "\u202e", "\ufeff", "\ud7ff", "ß", "ﬁ", "İ", "𝟙", "١٢", "½",
    "²", "Ω", "µg", "<script>alert(1)</script>", "&amp;", "]]>", "%s%n", "{0}", "{task}", "$(id)", "`id`", "; rm",
    "../../etc/passwd", "/dev/zero", "/etc/passwd", "C:\\x", "a" * 300, "9" * 400, "1e" * 50, "(" * 200, "[" * 200,
    "ID", "task", "time", "time [h]", "2024-02-30", "25:61", "12:30", "2024-01-01 10:00", "101 %", "1 mg", "5 h",
)  # fmt: skip
"""Texts that have made programs stumble."""

UNITS = (
    "h", "min", "s", "mg/L", "ng/mL", "h,min", "h,h", "9²²²²", "(9)**(9)**(9)", "delta_degC", "degC", "K", "degF", "C",
    "wt%", "at%", "HRC", "HV10", "HV", "HRB", "1", "", "mg/", "/L", "**", "mg**mg", "mg^99", "mg**-9", "µg/mL", "kg*m",
    "m/s/s", "N/mm2", "1/h", "%", "ppm", "month", "mol/L", "dB", "pH", "count", "radian", "h-1", "1e3 mg", "10 mg",
    "mg mg", "mg  /  L", "((mg))", "mg)", "é", "\x00", "h" * 100, "kilokilogram", "yottayear", "degC/min", "bit",
)  # fmt: skip
"""What may or may not be a unit."""


def cell(random: Random) -> str:
    """A text for the place of a number."""
    kind = random.random()
    if kind < 0.5:
        return random.choice(HOSTILE)
    if kind < 0.7:
        return f"{random.uniform(-10, 10) * 10.0 ** random.randint(-12, 12):.{random.randint(0, 17)}g}"
    if kind < 0.8:
        return str(random.randint(-(2**70), 2**70))
    return "".join(
        chr(random.choice((32, 44, 46, 48, 57, 65, 101, 160, 0x2212, 0x1F4A9)))
        for _ in range(random.randint(1, 6))
    )


def header(random: Random, text: str) -> str:
    """A header changed: its unit, its name, its spelling."""
    name = text.partition("[")[0].strip()
    return random.choice(
        (
            f"{name} [{random.choice(UNITS)}]",
            f"{name} ({random.choice(UNITS)})",
            f"{name}/{random.choice(UNITS)}",
            name,
            text.upper(),
            text.replace("e", "", 1),
            random.choice(HOSTILE),
            text + text,
            f"{name} []",
            f"[{name}]",
        )
    )


def table(random: Random, text: str) -> bytes:
    """A CSV changed in one to three places."""
    rows = [line.split(",") for line in text.strip().splitlines()]
    for _ in range(random.randint(1, 3)):
        kind, row = random.random(), random.choice(rows)
        if kind < 0.4:
            row[random.randrange(len(row))] = cell(random)
        elif kind < 0.55:
            place = random.randrange(len(rows[0]))
            rows[0][place] = header(random, rows[0][place])
        elif kind < 0.62 and len(rows) > 1:
            rows.insert(random.randrange(len(rows)), list(row))
        elif kind < 0.68 and len(rows) > 1:
            rows.remove(row)
        elif kind < 0.74:
            row.insert(random.randrange(len(row) + 1), cell(random))
        elif kind < 0.8 and len(row) > 1:
            del row[random.randrange(len(row))]
        elif kind < 0.86:  # a whole column
            place = random.randrange(len(rows[0]))
            value = cell(random)
            for each in rows[1:]:
                if place < len(each):
                    each[place] = value
        elif kind < 0.9:
            random.shuffle(rows)
        elif kind < 0.93:
            rows += [list(rows[-1]) for _ in range(random.randint(1, 50))]
        elif kind < 0.96 and len(rows) > 2:
            first, second = random.sample(range(len(rows[0])), 2) if len(rows[0]) > 1 else (0, 0)
            for each in rows:
                if max(first, second) < len(each):
                    each[first], each[second] = each[second], each[first]
        else:
            rows = rows[: random.randint(0, len(rows))] or [[""]]
    separator = random.choice((",",) * 8 + (";", "\t", "|", " "))
    end = random.choice(("\n",) * 6 + ("\r\n", "\r"))
    content = end.join(separator.join(row) for row in rows)
    code = random.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "cp1252", "latin-1", "utf-32"))
    encoded = content.encode(code, "replace")
    return flipped(random, encoded) if random.random() < 0.08 else encoded


def flipped(random: Random, content: bytes) -> bytes:
    """Bytes changed, lost or added."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        if not changed:
            break
        place = random.randrange(len(changed))
        kind = random.random()
        if kind < 0.6:
            changed[place] = random.randrange(256)
        elif kind < 0.75:
            del changed[place : place + random.randint(1, 64)]
        elif kind < 0.9:
            changed[place:place] = bytes(random.randrange(256) for _ in range(random.randint(1, 16)))
        else:
            del changed[place:]
    return bytes(changed)


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**70, 1e300, -1e300, float("nan"), float("inf"), "", "x", "../..", "/etc/passwd", [],
    {}, [1], [[]], {"": 0}, {"a": {"a": {}}}, "\x00", "a" * 400, [0] * 50, "h,min", "1",
)  # fmt: skip


def tree(random: Random, value: Any) -> Any:
    """A nested value of JSON, changed at one place."""
    copy = json.loads(json.dumps(value))
    at, way = copy, []
    while isinstance(at, dict | list) and at and (not way or random.random() < 0.75):
        key = random.choice(list(at)) if isinstance(at, dict) else random.randrange(len(at))
        way.append((at, key))
        at = at[key]
    if not way:
        return random.choice(_VALUES)
    parent, key = way[-1]
    kind = random.random()
    if kind < 0.15:
        del parent[key]
    elif kind < 0.25 and isinstance(parent, dict):
        parent[random.choice(HOSTILE)] = parent.pop(key)
    elif kind < 0.35 and isinstance(parent, list):
        parent.append(parent[key])
    elif kind < 0.5 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        parent[key] = random.choice(
            (-parent[key], parent[key] * 1e30, parent[key] * 1e-30, 0, str(parent[key]))
        )
    elif kind < 0.6 and isinstance(parent[key], str):
        parent[key] = random.choice(
            (random.choice(HOSTILE), random.choice(UNITS), parent[key][:-1], parent[key] * 2)
        )
    else:
        parent[key] = random.choice(_VALUES)
    return copy


def text(random: Random, sound: str, alphabet: str) -> str:
    """A word of a grammar, changed letter by letter."""
    letters = list(sound)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(letters) + 1)
        kind = random.random()
        if kind < 0.4:
            letters.insert(place, random.choice(alphabet))
        elif kind < 0.6 and letters:
            del letters[min(place, len(letters) - 1)]
        elif kind < 0.8 and letters:
            letters[min(place, len(letters) - 1)] = random.choice(alphabet)
        elif kind < 0.9 and letters:
            letters += letters[: random.randint(1, 40)]
        else:
            letters[place:place] = random.choice(HOSTILE)
    return "".join(letters)
