"""The pictures of docs/app.md: the app as a browser shows it. It needs the extra 'app', Playwright and Chromium.

python docs/make_app_pictures.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
WAIT = 120_000  # milliseconds


def main() -> None:
    """Draw all of them."""
    command = [sys.executable, "-m", "metasci", "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program, sync_playwright() as entry:
        assert program.stdout is not None
        address = program.stdout.readline().split()[3]
        browser = entry.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        draw(browser, address)
        browser.close()
        program.terminate()


def draw(browser: Any, address: str) -> None:
    """Each face, an error, a phone, a phone in the dark."""
    page = opened(browser, address, 1000)
    taken(page, "app-alloy")
    page.locator("#cells tbody tr >> nth=1").locator("input").nth(1).fill("hot")
    page.wait_for_selector("tr.fault", timeout=WAIT)
    page.locator("section[aria-labelledby=h-data]").screenshot(path=IMAGES / "app-error.png")
    page = opened(browser, address, 1000)
    page.click("#keep")
    page.wait_for_selector("#comparison p", timeout=WAIT)
    page.locator("#cells tbody tr >> nth=2").locator("input").nth(2).fill("36")
    page.wait_for_selector("#comparison svg", timeout=WAIT)
    page.click("#diagram-box summary")
    page.wait_for_selector("#diagram svg", timeout=WAIT)
    page.locator("section[aria-labelledby=h-compare]").screenshot(path=IMAGES / "app-compare.png")
    page.locator("#diagram-box").screenshot(path=IMAGES / "app-diagram.png")
    page = opened(browser, address, 1000)
    chosen(page, "phenobarbital")
    asked(page, "dose for a trough of 15 to 25 mg/L")
    taken(page, "app-patient")
    page = opened(browser, address, 1000)
    chosen(page, "boiling_point")
    page.wait_for_selector(".structures svg", timeout=WAIT)
    asked(page, "what to measure next")
    taken(page, "app-family")
    page = opened(browser, address, 390)
    taken(page, "app-phone")
    page = opened(browser, address, 390, "dark")
    chosen(page, "phenobarbital")
    taken(page, "app-phone-dark")


def opened(browser: Any, address: str, width: int, scheme: str = "light") -> Any:
    """A user's page, once the first fit stands there."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.goto(address)
    page.wait_for_selector("#fit svg", timeout=WAIT)
    page.wait_for_selector("#warnings *", timeout=WAIT)
    settled(page)
    return page


def settled(page: Any) -> None:
    """Nothing is being computed."""
    page.wait_for_timeout(1500)
    page.wait_for_function("() => !document.querySelector('.recalculating')", timeout=WAIT)


def chosen(page: Any, prior: str) -> None:
    """Another prior, with its example."""
    page.select_option("#prior", prior)
    settled(page)
    page.wait_for_selector("#well", timeout=WAIT)


def asked(page: Any, line: str) -> None:
    """A question in a line, answered."""
    page.fill("#line", line)
    page.click("#ask_line")
    page.wait_for_selector("#answer .answer", timeout=WAIT)


def taken(page: Any, name: str) -> None:
    """The whole page as a picture."""
    page.screenshot(path=IMAGES / f"{name}.png", full_page=True)


if __name__ == "__main__":
    main()
