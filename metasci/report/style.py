"""One restrained look for every figure: colours that the colour-blind can tell apart, and no state outside a figure."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from metasci.files import write_atomically
from metasci.words import number

__all__ = [
    "BLUE",
    "FAINT",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "RED",
    "SKY",
    "Picture",
    "plain_log_axis",
    "shades",
    "styled",
    "to_png",
    "to_png_base64",
    "to_svg",
]

# Okabe and Ito (2008)
BLUE, RED, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
INK, GREY, FAINT = "#1a1a1a", "#767676", "#b5b5b5"
RULE = FAINT

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "metasci",
    "axes.unicode_minus": True,
    "text.parse_math": False,  # a name may hold a dollar sign
}


class Picture(Figure):
    """A figure that a notebook shows where it is the last thing in a cell, without pyplot and its state."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


P = ParamSpec("P")
T = TypeVar("T")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw in this style, and leave the user's own settings as they are."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
            drawn = draw(*args, **kwargs)
        # as late as this, so that whoever draws makes plain figures; it has the same attributes
        if type(drawn) is Figure:
            drawn.__class__ = Picture  # type: ignore[assignment]
        return drawn

    return inside


def shades(values: np.ndarray, among: np.ndarray) -> list[Any]:
    """A colour for each value by its place on the scale of `among`, which is logarithmic if positive."""
    positive = bool((among > 0).all())
    scaled, scale = (np.log(values), np.log(among)) if positive else (values, among)
    place = (scaled - scale.min()) / (np.ptp(scale) or 1.0)
    return [matplotlib.colormaps["viridis"](0.05 + 0.75 * at) for at in place.tolist()]


def plain_log_axis(axes: Axes, which: str = "x") -> None:
    """Make an axis logarithmic, with ticks at 1, 2 and 5 written as plain numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    decades = np.log10(high / low)
    if decades < 0.6:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axis.set_minor_locator(LogLocator(subs=[]))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.6 else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())


_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@styled
def to_svg(figure: Figure) -> str:
    """The figure as SVG text, the same whenever the same is drawn."""
    with io.StringIO() as buffer:
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", buffer.getvalue())


@styled
def to_png(figure: Figure, scale: float = 2.0) -> bytes:
    """The figure as PNG, `scale` pixels for each of the screen's."""
    with io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=100.0 * scale)
        return buffer.getvalue()


@styled
def save_figure(figure: Figure, path: str | Path, dpi: float = 150.0) -> None:
    """Write the figure into a file, all of it or nothing; the end of its name says as what."""
    path = Path(path)
    with io.BytesIO() as buffer:
        figure.savefig(buffer, format=path.suffix.removeprefix("."), dpi=dpi)
        write_atomically(path, buffer.getvalue())


def to_png_base64(figure: Figure, scale: float = 2.0) -> str:
    """The figure as base64 text of a PNG, for ``data:image/png;base64,``."""
    return base64.b64encode(to_png(figure, scale)).decode()
