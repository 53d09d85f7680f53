"""A report in a browser: a phone, the dark, the pointer, and a page that no hostile name gets the better of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import chromium, needs_browser

import metasci as ms


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    needs_browser()
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = "--!><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    rows = {
        "task": name, "time [h]": [0.57, 3.82, 12.12], "dose [mg/kg]": 4.02, "concentration [mg/L]": [6.57, 8.58, 5.94],
        "weight [kg]": 79.6,
    }  # fmt: skip
    fit = ms.load("theophylline").calibrate(pd.DataFrame(rows))
    return fit.report(tmp_path_factory.mktemp("report") / "report.html")


def test_a_hostile_name_does_nothing_and_nothing_is_asked_of_the_net(browser: Any, report: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_timeout(300)
    assert page.title() != "taken"
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    page.close()


def test_the_pointer_and_the_arrow_keys_read_the_curve(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(report.as_uri())
    drawing = page.locator("figure >> nth=0 >> svg.wide")
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    said = page.locator("figure >> nth=0 >> .values").inner_text()
    hours, level = (
        float(part)
        for part in re.search(r"time \(h\) ([\d.]+).*?calibrated, 90 % band ([\d.]+)", said).groups()
    )
    fit = ms.load("theophylline").calibrate(
        pd.DataFrame({"time [h]": [0.57, 3.82, 12.12], "dose [mg/kg]": 4.02, "concentration [mg/L]": [6.57, 8.58, 5.94],
                      "weight [kg]": 79.6})
    )  # fmt: skip
    assert level == pytest.approx(float(fit.predict(time=hours)["median"].squeeze()), rel=0.03)
    drawing.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("figure >> nth=0 >> .values").inner_text() != said
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_reads_it_without_scrolling_the_page(browser: Any, report: Path, scheme: str) -> None:
    page = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme).new_page()
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("svg.wide").first.is_hidden()
    assert page.locator("svg.narrow").first.is_visible()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 25, 29)")
    page.context.close()
