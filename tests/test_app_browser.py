"""The app in a browser: its three faces, at a phone's width, with the keyboard, for several users at once."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, needs_browser, served

pytest.importorskip("shiny", reason="shiny is not installed: pip install 'metasci-calibration[app]'")

WAIT = 60_000  # milliseconds: a machine may be busy


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    needs_browser()
    with served() as where:
        yield where


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


class Visit:
    """One user's page; what it asks of anybody else, and what goes wrong in it, is kept."""

    def __init__(self, browser: Any, address: str, width: int = 1100, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.goto(address)
        self.page.wait_for_selector("#fit svg", timeout=WAIT)
        self.page.wait_for_selector("#well", timeout=WAIT)

    def choose(self, prior: str, wait: str = "#fit svg") -> None:
        """Another prior, and wait until nothing of the old one's charts stands and the new ones do."""
        if self.page.input_value("#prior") != prior:
            self.page.evaluate(
                "document.querySelectorAll('#fit svg').forEach(each => each.dataset.old = 'yes')"
            )
            self.page.select_option("#prior", prior)
        # an output in a box that is hidden stays 'recalculating' for good, so that this cannot be waited for
        self.page.wait_for_function(
            """() => !document.querySelector('svg[data-old]') && document.querySelector('#well')
            && !document.documentElement.classList.contains('shiny-busy')""",
            timeout=WAIT,
        )
        self.page.wait_for_selector(wait, timeout=WAIT)

    def cell(self, row: int, column: int) -> Any:
        return (
            self.page.locator(f"#cells tbody tr:not(.fault) >> nth={row - 1}")
            .locator("input")
            .nth(column - 1)
        )

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def until(self, selector: str, words: str) -> None:
        self.page.wait_for_function(
            "([where, words]) => { const each = document.querySelector(where); return each && each.innerText.includes(words) }",
            arg=[selector, words], timeout=WAIT,
        )  # fmt: skip


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    opened = Visit(browser, address)
    yield opened
    assert not opened.wrong
    opened.context.close()


def test_the_page_asks_nothing_of_anybody_else(visit: Visit, address: str) -> None:
    port = address.rpartition(":")[2]
    allowed = (f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/", "data:", "blob:")
    visit.choose("boiling_point", ".structures svg")
    visit.choose("phenobarbital")
    assert len(visit.asked) > 5
    assert [url for url in visit.asked if not url.startswith(allowed)] == []


def test_a_wrong_cell_is_said_at_its_row_and_mended_in_place(visit: Visit) -> None:
    visit.cell(2, 2).fill("hot")
    visit.page.wait_for_selector("tr.fault", timeout=WAIT)
    fault = visit.page.locator("#cells tbody tr").nth(2)  # below the second row
    assert fault.get_attribute("class") == "fault"
    assert "'hot' is not a number" in fault.inner_text()
    assert visit.cell(2, 2).get_attribute("aria-invalid") == "true"
    assert visit.cell(2, 2).get_attribute("aria-describedby") == "fault"
    assert visit.cell(1, 2).get_attribute("aria-invalid") is None
    visit.cell(2, 2).fill("400")
    visit.page.wait_for_selector("tr.fault", state="detached", timeout=WAIT)
    visit.page.wait_for_selector("#fit svg", timeout=WAIT)


def test_classes_are_typed_shown_asked_for_and_compared(visit: Visit) -> None:
    visit.choose("alloy_phases")
    visit.until("#fit", "probability of phase")
    assert all(name in visit.text("#fit") for name in ("FCC", "BCC", "other"))
    visit.cell(2, 2).fill("B2")
    visit.page.wait_for_selector("tr.fault", timeout=WAIT)
    assert "'B2' is none of FCC, BCC, other" in visit.text("#cells tr.fault")
    visit.cell(2, 2).fill("BCC")
    visit.page.wait_for_selector("tr.fault", state="detached", timeout=WAIT)
    visit.until("#examples", "phase at")
    visit.page.fill("#line", "phase at 8.4 electrons")
    visit.page.click("#ask_line")
    visit.until("#answer", "FCC, with probability")
    visit.page.click("#keep")
    visit.cell(3, 2).fill("FCC")
    visit.until("#comparison", "Classes have a curve each")


def test_other_outcomes_are_chosen_one_after_another(visit: Visit) -> None:
    visit.page.locator("details", has_text="Measured and predicted values").locator("summary").click()
    for name, shown in (("bacteria", "compliance"), ("kidney", "> 60"), ("wine", "contact")):
        visit.choose(name)
        visit.until("#predictions", shown)


def test_two_users_at_once_do_not_see_each_other(browser: Any, address: str) -> None:
    ann, ben = Visit(browser, address), Visit(browser, address)
    ann.cell(1, 3).fill("61.73219")
    ann.page.click("#keep")
    ann.until("#comparison", "Kept")
    ben.choose("theophylline")
    ann.page.fill("#line", "hardness after 2 h at 500 °C")
    ann.page.click("#ask_line")
    ann.until("#answer", "HRC")
    assert ben.text("#answer").strip() == ""
    assert ben.text("#comparison").strip() == ""
    assert "61.73219" not in ben.page.content()
    assert ann.page.input_value("#prior") == "steel_tempering"
    assert "theophylline" not in ann.text("#fit")
    late = Visit(browser, address)
    assert late.cell(1, 3).input_value() == "55.0"
    for each in (ann, ben, late):
        each.context.close()


def test_a_file_with_decimal_commas_is_read_and_a_large_one_refused(visit: Visit, tmp_path: Path) -> None:
    good = tmp_path / "oven.csv"
    good.write_text(
        "time [h];temperature [degC];hardness [HRC]\n1;200;55,5\n2;600;30,25\n", encoding="cp1252"
    )
    visit.page.set_input_files("input[type=file]", str(good))
    visit.until("#well", "2 measurements")
    assert visit.cell(1, 3).input_value() == "55.5"
    assert "decimal commas" in visit.text("#sheet")
    large = tmp_path / "large.csv"
    large.write_bytes(b"1,2\n" * 700_000)
    visit.page.set_input_files("input[type=file]", str(large))
    visit.until("#error", "2 MB")
    assert visit.cell(1, 3).input_value() == "55.5"  # what stood there stays


def test_cells_are_pasted_from_a_spreadsheet(visit: Visit) -> None:
    visit.cell(1, 1).focus()
    visit.page.evaluate(
        """() => { const data = new DataTransfer(); data.setData('text', '3\\t250\\t52\\t0.4\\n4\\t300\\t50\\t0.4\\n5\\t500\\t39\\t0.4\\n6\\t550\\t36\\t0.4\\n');
        document.activeElement.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})); }"""
    )
    visit.until("#well", "4 measurements")
    assert visit.cell(4, 2).input_value() == "550"


def test_the_patient_has_a_time_line_and_gets_answers(visit: Visit) -> None:
    visit.choose("phenobarbital")
    visit.until("#face", "25 mg at 0 h")
    visit.page.fill("#line", "level before the next dose")
    visit.page.press("#line", "Enter")
    visit.until("#answer", "Just before the next dose, at 49.5 h")
    visit.page.click("text=Which dose reaches a target?")
    visit.page.fill("#ask-dose-low", "15")
    visit.page.fill("#ask-dose-high", "25")
    visit.page.press("#ask-dose-high", "Enter")
    visit.until("#answer", "trough between 15 and 25 mg/L")
    assert "a clinician decides the dose" in visit.text("#answer")


def test_the_alloy_has_maps_and_downloads(visit: Visit) -> None:
    visit.page.wait_for_selector(
        "#face rect", state="attached", timeout=WAIT
    )  # maps follow on the heels of the fit
    assert visit.page.locator("#face rect").count() > 500
    visit.page.click("#diagram-box summary")
    visit.page.wait_for_selector("#diagram polygon.band", timeout=WAIT)
    with visit.page.expect_download(timeout=WAIT) as report:
        visit.page.click("#report")
    text = Path(report.value.path()).read_text(encoding="utf-8")
    assert "<h1>Hardness" in text
    with visit.page.expect_download(timeout=WAIT) as tables:
        visit.page.click("#tables")
    with zipfile.ZipFile(io.BytesIO(Path(tables.value.path()).read_bytes())) as packed:
        assert {"parameters.csv", "predictions.csv", "report.html"} <= set(packed.namelist())
        rows = list(csv.DictReader(io.StringIO(packed.read("parameters.csv").decode())))
    shown = visit.text("#parameters")
    assert re.search(rf"{float(rows[0]['estimate']):.3g}", shown)


def test_the_family_has_its_structures_drawn(visit: Visit) -> None:
    pytest.importorskip("rdkit", reason="rdkit is not installed")
    visit.choose("boiling_point", ".structures svg")
    labels = visit.page.eval_on_selector_all(
        ".structures svg", "all => all.map(each => each.getAttribute('aria-label'))"
    )
    assert labels == [
        "Structure of CCCCC=O",
        "Structure of CCCCCC=O",
        "Structure of CCCCCCCC=O",
        "Structure of CCCCCCCCCC=O",
    ]


def test_two_fits_are_compared(visit: Visit) -> None:
    visit.page.click("#keep")
    visit.until("#comparison", "Kept")
    visit.cell(3, 3).fill("33")
    visit.page.wait_for_selector("#comparison table", timeout=WAIT)
    assert "now: steel_tempering, 3 measurements" in visit.text("#comparison")
    assert visit.page.locator("#comparison path.line.other").count() >= 1


def test_everything_works_from_the_keyboard(visit: Visit) -> None:
    """From the top by Tab alone, to a cell, below it by Enter, and along a chart by arrows."""
    reached = []
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        reached.append(
            visit.page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.id"
            )
        )
        if reached[-1] == "Row 1, time [h]":
            break
    assert reached[-1] == "Row 1, time [h]"
    assert "prior" in reached
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Row 2, time [h]"
    visit.page.focus("#fit svg")
    visit.page.keyboard.press("ArrowRight")
    visit.until("#fit .values", "calibrated")


def test_the_pointer_reads_what_the_fit_says(visit: Visit) -> None:
    visit.choose("theophylline")
    chart = visit.page.locator("#fit svg")
    chart.scroll_into_view_if_needed()  # the mouse moves in the window only
    box = chart.bounding_box()
    visit.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    visit.until("#fit .values", "calibrated")
    said = visit.text("#fit .values")
    time_at, level, low, high = (
        float(part)
        for part in re.search(
            r"time \(h\) ([\d.]+).*calibrated ([\d.]+) \(([\d.]+) to ([\d.]+)\)", said
        ).groups()
    )
    import metasci as ms
    from metasci.app.choices import example_of

    found = ms.load("theophylline").calibrate(example_of("theophylline").frame()).predict(time=time_at)
    for name, value in (("median", level), ("lower", low), ("upper", high)):
        assert value == pytest.approx(float(found[name].squeeze()), rel=0.05)


def test_every_control_has_a_name_and_every_picture_a_text(visit: Visit) -> None:
    for prior, wait in (
        ("steel_tempering", "#fit svg"),
        ("phenobarbital", "#fit svg"),
        ("boiling_point", "#fit svg"),
    ):
        visit.choose(prior, wait)
        visit.page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
        visit.page.wait_for_timeout(800)
        nameless = visit.page.evaluate(
            """() => [...document.querySelectorAll('input, select, textarea, button, a[href], summary')].filter(each =>
            !(each.getAttribute('aria-label') || '').trim() && !(each.labels && each.labels.length && each.labels[0].innerText.trim())
            && !each.innerText.trim()).map(each => each.outerHTML)"""
        )
        assert nameless == []
        dumb = visit.page.evaluate(
            """() => [...document.querySelectorAll('main svg')].filter(each => each.getAttribute('aria-hidden') !== 'true'
            && !(each.getAttribute('aria-label') || '').trim()).length"""
        )
        assert dumb == 0
    for live in ("#message", "#warnings", "#answer"):
        assert visit.page.get_attribute(live, "aria-live") == "polite"


@pytest.mark.parametrize("prior", ["steel_tempering", "phenobarbital", "boiling_point"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser: Any, address: str, prior: str) -> None:
    phone = Visit(browser, address, width=390)
    phone.choose(prior)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    widest = phone.page.evaluate(
        "Math.max(...[...document.querySelectorAll('#fit svg, #face svg')].map(each => each.getBoundingClientRect().right))"
    )
    assert widest <= 390
    smallest = phone.page.evaluate(
        """() => Math.min(...[...document.querySelectorAll('#fit text')].map(each =>
        parseFloat(getComputedStyle(each).fontSize) * each.ownerSVGElement.getBoundingClientRect().width / each.ownerSVGElement.viewBox.baseVal.width))"""
    )
    assert smallest >= 11.0  # pixels
    phone.context.close()


def test_a_change_is_answered_soon(visit: Visit) -> None:
    """In seconds of the app's own processor, which a busy machine does not lengthen much; on the clock
    `benchmarks/app_speed.py` measures.
    """
    processes = pytest.importorskip("psutil").Process().children()
    program = next(each for each in processes if "app" in each.cmdline())
    seconds = []
    for value in ("54", "53", "56"):
        before, began = visit.page.inner_html("#parameters"), sum(program.cpu_times()[:2])
        visit.cell(1, 3).fill(value)
        visit.page.wait_for_function(
            "old => document.querySelector('#parameters').innerHTML !== old", arg=before, timeout=WAIT
        )
        seconds.append(sum(program.cpu_times()[:2]) - began)
    assert 0.0 < min(seconds) < 1.5
