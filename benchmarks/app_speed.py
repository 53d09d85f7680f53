"""How fast the app answers, in a browser: from the program's start, from the page's opening, and after each change.

    python benchmarks/app_speed.py

Needs the extra 'app', Playwright and Chromium. A change is timed from the last key to the new chart in the page.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import Any

from playwright.sync_api import sync_playwright

WAIT = 120_000

# In the page, so that nothing of Playwright's own is counted: the time from an input event to new charts.
TIMED = """async ([row, column, value]) => {
  const input = [...document.querySelectorAll('#cells tbody tr:not(.fault)')][row].querySelectorAll('input')[column];
  const where = document.querySelector('#fit'), table = document.querySelector('#parameters');
  const began = performance.now();
  const until = (node) => new Promise((done) => {
    const seen = new MutationObserver(() => { seen.disconnect(); done(performance.now() - began); });
    seen.observe(node, { childList: true });
  });
  const both = [until(where), until(table)];
  input.value = value;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  return Math.max(...await Promise.all(both));
}"""


CHANGES = (
    ("steel_tempering", 2, ("54", "53.5", "53", "56", "55.5", "54.5")),
    ("theophylline", 2, ("6.1", "6.2", "6.3", "6.4", "6.5", "6.6")),
    ("phenobarbital", 3, ("17", "18", "19", "20", "21", "22")),
    ("boiling_point", 1, ("376", "377", "375", "374", "378", "379")),
)


def main() -> None:
    """Print one line a number."""
    command = [sys.executable, "-m", "metasci", "app", "--port", "0", "--no-browser"]
    with sync_playwright() as entry:
        browser = entry.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            address = program.stdout.readline().split()[3]
            print(f"program's start to its address: {time.perf_counter() - started:.2f} s")
            seen, answered = visit(page, address)
            print(
                f"program's start to the page in the browser: {seen - started:.2f} s, to its first answer: "
                f"{answered - started:.2f} s"
            )
            page.close()
            opened, page = time.perf_counter(), browser.new_page()
            print(f"a second page's opening to its first answer: {visit(page, address)[1] - opened:.2f} s")
            changes(page)
            program.terminate()
        browser.close()
    on_the_server()


def visit(page: Any, address: str) -> tuple[float, float]:
    """When the page was seen, and when its first answer."""
    page.goto(address, wait_until="commit")
    page.wait_for_selector("#prior", timeout=WAIT)
    seen = time.perf_counter()
    page.wait_for_selector("#fit svg", timeout=WAIT)
    answered = time.perf_counter()
    page.wait_for_selector("#warnings *", timeout=WAIT)
    return seen, answered


def on_the_server() -> None:
    """What a change costs without a browser and a socket: the fit, the chart and the table of parameters."""
    from metasci.app import tables
    from metasci.app.choices import example_of
    from metasci.app.fitting import Fitted, try_to_fit
    from metasci.app.parts import fit_part

    for prior, *_ in CHANGES:
        seconds = []
        for _ in range(12):
            began = time.perf_counter()
            fitted = try_to_fit(prior, example_of(prior))
            assert isinstance(fitted, Fitted)
            fit_part(fitted.fit, 700.0)
            tables.parameters(fitted.fit)
            seconds.append(1000.0 * (time.perf_counter() - began))
        print(
            f"{prior}, on the server alone: median {statistics.median(seconds[2:]):.0f} ms, worst "
            f"{max(seconds[2:]):.0f} ms"
        )


def changes(page: Any) -> None:
    """Time what is typed into the first rows of some priors' tables."""
    for prior, column, values in CHANGES:
        page.select_option("#prior", prior)
        page.wait_for_timeout(1000)
        page.click(
            "#example"
        )  # what was typed for the prior before is a user's, and stays until it is taken away
        page.wait_for_timeout(3000)
        row = 1 if prior == "phenobarbital" else 0
        seconds = [change(page, row, column, value) for value in values]
        print(f"{prior}: a change, median {statistics.median(seconds):.0f} ms, worst {max(seconds):.0f} ms")


def change(page: Any, row: int, column: int, value: str) -> float:
    """Milliseconds from typing to what it changes."""
    milliseconds = float(page.evaluate(TIMED, [row, column, value]))
    page.wait_for_timeout(1500)  # until what stands further below has come, too
    return milliseconds


if __name__ == "__main__":
    main()
