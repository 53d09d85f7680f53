"""What a browser may send to the app: pasted text, files, cells, lines and fields of its questions."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from random import Random
from typing import Any

from . import mutations, seeds
from .case import Case
from .packed import packed

_LINES = (
    "hardness after 2 h at 500 °C", "level at 12 h", "level before the next dose", "what to measure next",
    "dose for a trough of 10 to 15 mg/L", "dose for an auc of 400 to 600 from 250, 500 mg every 8, 12 h",
    "furnace time to 40 HRC at 600 °C", "furnace time to at least 40 HRC at 600 °C",
)  # fmt: skip
_PRIORS = {
    "steel_tempering": seeds.STEEL, "theophylline": seeds.THEOPHYLLINE, "phenobarbital": seeds.PHENOBARBITAL,
    "alloy_fatigue": seeds.FATIGUE, "vancomycin_goti_2018": seeds.EVENTS["vancomycin_goti_2018"],
}  # fmt: skip


def app(rng: Random) -> Case:
    """A message as a file: which prior, what is sent, what is asked."""
    prior, table = rng.choice(sorted(_PRIORS.items()))
    kind = rng.choice(("pasted", "file", "cells"))
    sent: dict[str, Any] = {"prior": prior, "kind": kind}
    if kind == "pasted":
        sent["content"] = mutations.table(rng, table).decode("utf-8", "replace")
    elif kind == "file":
        case = packed(rng)
        (name, content), *_ = case.files.items()
        if rng.random() < 0.6:
            name, content = "data.csv", mutations.table(rng, table)
        sent["content"] = {
            "name": rng.choice((name, "../" + name, "x", "a\x00.csv", name.upper())),
            "content": base64.b64encode(content).decode(),
        }
    else:
        rows = [line.split(",") for line in table.strip().splitlines()]
        sent["content"] = mutations.tree(rng, {"header": rows[0], "rows": rows[1:]})
    if kind != "pasted" and rng.random() < 0.1:
        sent["content"] = mutations.tree(rng, sent["content"])
    line = rng.choice(_LINES)
    sent["line"] = mutations.text(rng, line, "0123456789.,-+e °µ/%hCKmgL") if rng.random() < 0.7 else line
    sent["width"] = rng.choice((720.0, 1, 0, -5, 1e300, float("inf"), float("nan")))
    sent["fields"] = {
        rng.choice(
            (
                "time",
                "temperature",
                "low",
                "high",
                "doses",
                "intervals",
                "duration",
                "probability",
                "at_most",
                "target",
            )
        ): (mutations.cell(rng) + rng.choice(("", " h", " degC", " mg", " HRC")))
        for _ in range(rng.randint(0, 3))
    }
    sent["question"] = rng.choice(("predict", "dose", "next", "furnace", "before_next", "x"))
    return Case(
        "app", ("python:app", "sent.json"), {"sent.json": json.dumps(sent).encode("utf-8", "replace")}
    )


def shown(path: str) -> list[float]:
    """All that the page would show of it; a refusal is an answer of the page."""
    from metasci.app import parts, tables
    from metasci.app.fitting import Fitted, try_to_fit
    from metasci.app.grammar import question_of
    from metasci.app.listing import choice_of
    from metasci.app.questions import answer
    from metasci.app.server import _sheet_sent, page_width
    from metasci.app.sheets import sheet_of_cells, sheet_of_text
    from metasci.errors import InputError

    sent = json.loads(Path(path).read_text(encoding="utf-8"))
    read = {
        "pasted": lambda text: sheet_of_text(str(text or "")),
        "file": _sheet_sent,
        "cells": sheet_of_cells,
    }
    sheet = read[sent["kind"]](sent["content"])
    page = parts.sheet_part(sheet)
    fitted = try_to_fit(sent["prior"], sheet)
    if not isinstance(fitted, Fitted):
        raise InputError(fitted.sentence)
    width = page_width(sent["width"])
    page += parts.fit_part(fitted.fit, width) + parts.face_of(
        fitted.fit, choice_of(sent["prior"]).face, width
    )
    page += (
        tables.parameters(fitted.fit) + tables.predictions(fitted.fit) + tables.warned(fitted.fit.warnings)
    )
    page += parts.forms(fitted.fit)
    for name, fields in (
        (sent["question"], sent["fields"]),
        _asked(question_of, fitted.fit, sent["line"][:200]),
    ):
        try:
            page += parts.answered("", answer(fitted.fit, name, fields))
        except InputError as error:
            _check_sentence(str(error))
    assert "<script>alert" not in page, "a cell became a part of the page"
    assert "nan" not in page.replace("nanomol", "").lower().split(">"), "the page shows a number that is none"
    return [float(len(page))]


def _asked(question_of: Any, fit: Any, line: str) -> tuple[str, dict[str, str]]:
    from metasci.errors import InputError

    try:
        return question_of(fit, line)  # type: ignore[no-any-return]
    except InputError as error:
        _check_sentence(str(error))
        return "", {}


def _check_sentence(sentence: str) -> None:
    assert len(sentence) <= 400, f"the sentence has {len(sentence)} letters: {sentence}"
