"""Self-contained HTML: one file, its style and figures inside, which prints well and asks nothing of the net."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from metasci.report.style import to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["Section", "definitions", "figure", "notice", "page", "paragraph", "table"]

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; color: #1a1a1a;
  background: #fff; max-width: 58rem; margin: 2.5rem auto 4rem; padding: 0 1.25rem; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; padding-top: .7rem; border-top: 1px solid #d9d9d9; }
p { margin: .5rem 0; }
.lead { color: #555; margin: 0 0 1.2rem; }
.notice { border-left: 4px solid #D55E00; background: #fdf3ec; padding: .55rem .9rem; margin: 1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid #1a1a1a; }
td { border-bottom: 1px solid #e6e6e6; }
th, td { padding: .28rem 1rem .28rem 0; vertical-align: top; }
th { vertical-align: bottom; }
th.number, td.number { text-align: right; }
td.number { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .22rem 1.2rem; margin: .6rem 0; font-size: .9rem; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; display: block; }
figcaption, .note { font-size: .875rem; color: #555; }
ul { padding-left: 1.2rem; } li { margin: .25rem 0; }
@media print { body { margin: 0; max-width: none; font-size: 10.5pt; }
  figure, table, .notice { break-inside: avoid; } h2 { break-after: avoid; } }
"""


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
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>", f"<style>{_STYLE}</style>", "</head>", "<body>", f"<h1>{escape(title)}</h1>",
    ]  # fmt: skip
    if lead:
        parts.append(f'<p class="lead">{escape(lead)}</p>')
    for section in sections:
        heading = [f"<h2>{escape(section.heading)}</h2>"] if section.heading else []
        parts += ["<section>", *heading, section.body, "</section>"]
    return "\n".join([*parts, "</body>", "</html>", ""])


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
    return f'<div class="scroll"><table>\n<thead>{cells(header, "th")}</thead>\n<tbody>\n{body}\n</tbody></table></div>'


def figure(drawing: Figure, caption: str, description: str = "") -> str:
    """A figure, inside the page as vector graphics, with its caption (plain text)."""
    data = base64.b64encode(to_svg(drawing).encode()).decode()
    width = round(96 * drawing.get_figwidth() * 1.15)
    image = (
        f'<img width="{width}" alt="{escape(description or caption)}" src="data:image/svg+xml;base64,{data}">'
    )
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
