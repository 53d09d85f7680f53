"""Small tables in HTML, for objects that show themselves in a notebook. Light: no library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["captioned", "notes", "table"]

_MOST_ROWS = 40  # a notebook's cell, not a listing; the others are counted


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows of texts as a table, the first 40 of them; all is escaped.

    Examples
    --------
    >>> table(["name", "unit"], [["rate", "<1/s>"]])
    '<table><thead><tr><th>name</th><th>unit</th></tr></thead><tbody><tr><td>rate</td><td>&lt;1/s&gt;</td></tr></tbody></table>'
    """
    listed = list(rows)
    body = "".join(_row(row, "td") for row in listed[:_MOST_ROWS])
    more = f"<p>and {len(listed) - _MOST_ROWS} more rows</p>" if len(listed) > _MOST_ROWS else ""
    return f"<table><thead>{_row(header, 'th')}</thead><tbody>{body}</tbody></table>{more}"


def captioned(title: str, text: str, *parts: str) -> str:
    """A bold title and a sentence, then parts that are already HTML.

    Examples
    --------
    >>> captioned("A & B", "", "<p>x</p>")
    '<div><p><strong>A &amp; B</strong></p><p>x</p></div>'
    """
    sentence = f"<br>{escape(text)}" if text else ""
    return f"<div><p><strong>{escape(title)}</strong>{sentence}</p>{''.join(parts)}</div>"


def notes(sentences: Iterable[str]) -> str:
    """Sentences as a list; nothing where there is none.

    Examples
    --------
    >>> notes([]), notes(["a < b"])
    ('', '<ul><li>a &lt; b</li></ul>')
    """
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _row(cells: Sequence[Any], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"
