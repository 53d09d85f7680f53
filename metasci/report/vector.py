"""A figure as vector graphics inside a page: its colours follow the page's, dark or light.

A second drawing, with the panels below each other, is for narrow screens.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from html import escape

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from metasci.report.marks import legend_below
from metasci.report.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, styled, to_svg
from metasci.report.values import frames_of

__all__ = ["WIDE_ENOUGH", "drawn", "stack_panels"]

WIDE_ENOUGH = 3.9  # inches: a figure of up to this width can be read on a phone as it is
_PHONE = 3.65  # inches: 350 of a screen's pixels at the text's full size
_PANEL_HEIGHT = 2.25  # inches: with _PHONE a panel wider than high, so that two are seen at once
_LONGEST = 46  # characters of a bold title across a phone

_VARIABLES = {
    "#ffffff": "paper",
    INK: "ink",
    GREY: "grey",
    FAINT: "faint",
    BLUE: "blue",
    RED: "red",
    GREEN: "green",
    ORANGE: "orange",
    PURPLE: "purple",
    SKY: "sky",
}
_OF_COLOUR = {colour.lower(): f"var(--{name})" for colour, name in _VARIABLES.items()}
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_COLOUR = re.compile(r"#[0-9a-f]{6}(?=[;\"])")
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"[^>]*>')
_NAME = re.compile(r'(\bid="|url\(#|href="#)')


def drawn(figure: Figure, description: str, kind: str = "", scale: float = 1.0) -> str:
    """One drawing of a figure, as an element of a page.

    Parameters
    ----------
    figure : Figure
    description : str
        What is seen, plain text.
    kind : str
        A class: ``"wide"`` or ``"narrow"`` for the drawing of wide or narrow screens.
    scale : float
        Of the width, against the figure's own.

    Returns
    -------
    str
        Letters are outlines, so that nothing that was written on the figure is text of the page.
    """
    text = _COMMENT.sub("", _HEAD.sub("", to_svg(figure), count=2))
    text = _HEAD.sub("", text).strip()
    colours = set(_COLOUR.findall(text))
    # of a scale of colours the dark end would be lost on dark paper: such a figure stays on white
    fixed = bool(colours - set(_OF_COLOUR)) or "<image" in text
    text = _COLOUR.sub(lambda match: _OF_COLOUR.get(match[0], match[0]), text)
    own = hashlib.sha256(f"{kind} {text}".encode()).hexdigest()[:8]
    text = _NAME.sub(rf"\g<1>{own}-", text)
    width, height = 72.0 * figure.get_figwidth(), 72.0 * figure.get_figheight()
    classes = " ".join(filter(None, (kind, "fixed" if fixed else "")))
    frames = str(frames_of(figure)).replace("True", "true").replace("False", "false").replace(" ", "")
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="{classes}" '
        f'role="img" tabindex="0" aria-label="{escape(description)}" width="{96 / 72 * width * scale:.0f}" '
        f'viewBox="0 0 {width:g} {height:g}" data-frames="{frames}">'
    )
    return _SIZE.sub(lambda _: opening, text, count=1)


@styled
def stack_panels(figure: Figure) -> None:
    """Put the panels of a figure below each other, as wide as a phone, and break its titles accordingly.

    The figure itself changes: it is to be drawn for wide screens before.
    """
    panels = figure.axes
    y_label = next(filter(None, (axes.get_ylabel() for axes in panels)), "")
    x_label = next(filter(None, (axes.get_xlabel() for axes in panels)), "")
    heights = [_height(figure, axes) for axes in panels]
    is_stack = len({axes.get_position().x0 for axes in panels}) == 1
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    room = _legend_again(figure)
    for place, axes in enumerate(panels):
        axes.set_subplotspec(grid[place, 0])
        axes.set_title(_broken(axes.get_title(loc="left")), loc="left", fontsize=axes.title.get_fontsize())
        if not is_stack:
            axes.tick_params(labelleft=True, labelbottom=True)
            axes.set_ylabel(axes.get_ylabel() or y_label)
            axes.set_xlabel(axes.get_xlabel() or (x_label if place == len(panels) - 1 else ""))
    if figure.get_suptitle():
        figure.suptitle(_broken(figure.get_suptitle()), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    figure.set_layout_engine(ConstrainedLayoutEngine())
    figure.set_size_inches(_PHONE, sum(heights) + room + 0.3)


def _legend_again(figure: Figure) -> float:
    """The legend below the figure in as few columns as a phone takes; how high it is, in inches."""
    if not figure.legends:
        return 0.0
    names = [text.get_text() for each in figure.legends for text in each.get_texts()]
    for each in list(figure.legends):
        each.remove()
    columns = 1 if max(map(len, names)) > _LONGEST // 2 else 2
    legend_below(figure, figure.axes, columns)
    return 0.2 * -(-len(names) // columns)


def _height(figure: Figure, axes: Axes) -> float:
    """Of a panel on a phone, in inches: its own, but no more than a panel needs, unless it holds many rows."""
    own = float(axes.get_position().height * figure.get_figheight())
    if axes.get_aspect() != "auto":
        return _PHONE * 0.85
    low, high = axes.get_ylim()
    if low > high:  # counts rows: each needs its line
        return own + 0.45
    return max(min(own + 0.55, _PANEL_HEIGHT + 0.4), 1.1)


def _broken(title: str) -> str:
    return "\n".join(textwrap.fill(line, _LONGEST) for line in title.splitlines())
