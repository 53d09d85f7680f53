"""Self-contained HTML: one file, its style and figures inside, which prints well and asks nothing of the net."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metasci.report.panels import described, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["Section", "definitions", "figure", "notice", "page", "paragraph", "table"]

_LARGER = 1.15  # than a figure's own size: text of 8.5 points is small on a screen
_HINT = "Point at the drawing, or go along it with the arrow keys, to read its values here."
_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "values.js").read_text(encoding="utf-8")
_SUM = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
# the page may run its own script and no other, and ask for nothing
_POLICY = (
    f"default-src 'none'; script-src 'sha256-{_SUM}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, already HTML."""

    heading: str
    body: str


def page(title: str, sections: Iterable[Section], lead: str = "") -> str:
    """A whole page.

    Parameters
    ----------
    title : str
        Plain text, as are the headings; they are escaped.
    sections : iterable of Section
        Their bodies are HTML, made with `paragraph`, `table`, `figure` and the like.
    lead : str
        A sentence under the title, plain text.

    Returns
    -------
    str

    Examples
    --------
    >>> text = page("Steel <A>", [Section("Result", paragraph("It is 40 & more."))])
    >>> "<h1>Steel &lt;A&gt;</h1>" in text, "<p>It is 40 &amp; more.</p>" in text
    (True, True)
    """
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{escape(title)}</h1>",
    ]
    if lead:
        parts.append(f'<p class="lead">{escape(lead)}</p>')
    for section in sections:
        heading = [f"<h2>{escape(section.heading)}</h2>"] if section.heading else []
        parts += ["<section>", *heading, section.body, "</section>"]
    script = [f"<script>{_SCRIPT}</script>"] if any("data-frames" in part for part in parts) else []
    return "\n".join([*parts, *script, "</body>", "</html>", ""])


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def notice(text: str) -> str:
    """Plain text that must not be missed."""
    return f'<p class="notice" role="note">{escape(text)}</p>'


def bullets(items: Iterable[str]) -> str:
    """Plain texts as a list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def definitions(pairs: Mapping[str, str]) -> str:
    """Names and what they stand for; what is empty is left out."""
    rows = (
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in pairs.items()
        if value not in ("", None)
    )
    return f"<dl>{''.join(rows)}</dl>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[int] = ()) -> str:
    """Plain texts as a table.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequences
    numbers : iterable of int
        Columns that hold numbers, which are set flush right.
    """
    right = frozenset(numbers)

    def cells(values: Sequence[Any], tag: str) -> str:
        rows = (
            f'<{tag} class="number">{escape(str(value))}</{tag}>'
            if place in right
            else f"<{tag}>{escape(str(value))}</{tag}>"
            for place, value in enumerate(values)
        )
        return f"<tr>{''.join(rows)}</tr>"

    body = "\n".join(cells(row, "td") for row in rows)
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="Table; it scrolls sideways where it is wide">'
        f"<table>\n<thead>{cells(header, 'th')}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def figure(drawing: Figure, caption: str, description: str = "") -> str:
    """A figure, inside the page as vector graphics, with its caption.

    The drawing is shown twice, for wide and for narrow screens; its numbers are inside, too, so that the page can say
    what lies under the pointer.

    Parameters
    ----------
    drawing : Figure
        It is rearranged for narrow screens after it has been drawn, and not to be used again.
    caption : str
        Plain text.
    description : str
        What it is, plain text, for those who do not see it; what is seen is added, in numbers.
    """
    # a page without figures of matplotlib, such as the app's, does not wait for it
    from metasci.report.values import panels_of
    from metasci.report.vector import WIDE_ENOUGH, drawn, stack_panels

    panels = panels_of(drawing)
    seen = " ".join(filter(None, (f"{(description or caption).rstrip('.')}.", described(panels))))
    if drawing.get_figwidth() <= WIDE_ENOUGH:
        both = drawn(drawing, seen, scale=_LARGER)
    else:
        both = drawn(drawing, seen, "wide", _LARGER)
        stack_panels(drawing)
        both += drawn(drawing, seen, "narrow")
    values = escape(json.dumps(plain(panels), ensure_ascii=False, separators=(",", ":")))
    return (
        f'<figure data-values="{values}">{both}<p class="values" role="status">{_HINT}</p>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
