"""Reports as pages: what a screen reader, a phone, a dark room and a hostile name make of them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import metasci as ms
from metasci.report import tempering_map
from metasci.report.html import Section, figure, page, table
from metasci.report.marks import draw_band, draw_points, legend_below
from metasci.report.panels import described
from metasci.report.style import BLUE, styled
from metasci.report.values import frames_of, panels_of
from metasci.report.vector import drawn

HOSTILE = "--!><script>alert(1)</script>\"' onload=alert(2) <b>&amp; $x_1$ ]]>"


@styled
def two_panels(title: str = "A") -> Figure:
    x = np.linspace(0.0, 10.0, 40)
    drawing = Figure(figsize=(6.0, 2.5), layout="constrained")
    for axes in drawing.subplots(1, 2):
        draw_band(axes, x, x + 1.0, x, x + 3.0, BLUE, "calibrated, 90 % band")
        draw_points(axes, np.array([2.0, 4.0]), np.array([3.5, 5.25]), "measured")
        axes.set_title(title)
        axes.set_xlabel("time (h)")
    drawing.axes[0].set_ylabel("level (mg/L)")
    legend_below(drawing, drawing.axes)
    return drawing


def test_numbers_of_a_figure_are_those_that_were_drawn() -> None:
    first = panels_of(two_panels())[0]
    curve, points = first.series
    assert (first.title, first.x, first.y) == ("A", "time (h)", "level (mg/L)")
    np.testing.assert_allclose(curve.y, curve.x + 1.0)
    np.testing.assert_allclose(curve.lower, curve.x)
    np.testing.assert_allclose(curve.upper, curve.x + 3.0)
    assert (points.points, points.y.tolist()) == (True, [3.5, 5.25])


def test_a_description_says_what_is_seen() -> None:
    said = described(panels_of(two_panels()))
    assert said.startswith("A: level (mg/L) against time (h).")
    assert "calibrated, 90 % band: 1 at 0, 6.13 (5.13 to 8.13) at 5.13, 11 at 10." in said
    assert "measured: 2, from 3.5 to 5.25." in said


def test_frames_are_where_the_panels_lie() -> None:
    """The middle of the first panel's frame is where the drawing puts the middle of its axes."""
    drawing = two_panels()
    drawn(drawing, "x")
    left, top, right, bottom, x0, x1, xlog, *_ = frames_of(drawing)[0]
    axes = drawing.axes[0]
    middle = axes.transData.transform((0.5 * (x0 + x1), 0.5 * sum(axes.get_ylim())))
    scale = 72.0 / drawing.dpi
    assert 0.5 * (left + right) == pytest.approx(middle[0] * scale, abs=0.1)
    assert 0.5 * (top + bottom) == pytest.approx(72.0 * 2.5 - middle[1] * scale, abs=0.1)
    assert not xlog


def test_a_phone_gets_panels_below_each_other_in_letters_of_full_size() -> None:
    text = figure(two_panels(), "Two panels.")
    wide, narrow = (json.loads(each) for each in re.findall(r'data-frames="([^"]*)"', text))
    assert wide[0][1] == wide[1][1]  # side by side
    assert narrow[0][3] < narrow[1][1]  # the second begins below the first
    width, view = re.search(r'class="narrow"[^>]*width="(\d+)" viewBox="0 0 ([\d.]+)', text).groups()
    assert float(width) <= 351
    assert float(width) / float(view) == pytest.approx(96 / 72, rel=0.01)  # a point is a point


def test_colours_follow_the_page_and_scales_of_colour_stay_on_white() -> None:
    text = figure(two_panels(), "Two panels.")
    assert "var(--blue)" in text
    assert "#0072b2" not in text
    assert 'class="wide fixed"' not in text
    drawing = Figure(figsize=(3.0, 2.0))
    drawing.subplots().plot([0, 1], [0, 1], color="#440154")  # the dark end of viridis
    assert 'class="fixed"' in figure(drawing, "Dark.")


def test_nothing_written_on_a_figure_becomes_part_of_the_page() -> None:
    text = page(
        HOSTILE, [Section(HOSTILE, figure(two_panels(HOSTILE), HOSTILE) + table([HOSTILE], [[HOSTILE]]))]
    )
    own = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(own) == 1
    assert "alert(" not in own[0]
    assert "<b>" not in text
    assert "<!--" not in text
    values = json.loads(unescape(re.search(r'data-values="([^"]*)"', text)[1]))
    assert HOSTILE in values[0]["title"].replace("\n", " ")


def test_a_page_may_run_its_own_script_and_no_other() -> None:
    text = page("A", [Section("", figure(two_panels(), "Two panels."))])
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in script.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page("B", [Section("", table(["a"], [["1"]]))])


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.1."""
    shares = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255.0
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_stand_out_in_the_light_and_in_the_dark() -> None:
    text = page("A", [])
    dark_at = text.index("prefers-color-scheme: dark")
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part)) for part in (text[:dark_at], text[dark_at:])
    )
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        for name in ("ink", "soft"):
            assert contrast(colours[name], colours["paper"]) >= 7.0
            assert contrast(colours[name], colours["notice"]) >= 4.5
        for name in ("grey", "blue", "red", "green"):
            assert contrast(colours[name], colours["paper"]) >= 3.0


def test_labels_of_contours_have_a_halo_that_parts_them_from_every_colour() -> None:
    rows = {"time [h]": [1.0, 2.0], "temperature [degC]": [200.0, 600.0], "hardness [HRC]": [55.0, 30.0]}
    fit = ms.load("steel_tempering").calibrate(pd.DataFrame(rows))
    drawing = tempering_map(fit, points=16)
    labels = [text for axes in drawing.axes for text in axes.texts]
    assert labels
    for each in labels:
        (halo,) = each.get_path_effects()
        assert halo._gc["foreground"] == "white"
        assert contrast("#1a1a1a", "#ffffff") > 7.0
        assert each.get_fontsize() >= 8.0
    hardness = panels_of(drawing)[0].field
    said = fit.predict(time=float(hardness.x[3]), temperature=float(hardness.y[2]) + 273.15)["median"]
    assert hardness.values[2, 3] == pytest.approx(float(said.squeeze()), rel=1e-6)


def test_tables_can_be_scrolled_with_the_keyboard_and_say_that_they_scroll() -> None:
    text = table(["a", "b"], [["1", "2"]])
    assert 'role="region" tabindex="0" aria-label="Table' in text
