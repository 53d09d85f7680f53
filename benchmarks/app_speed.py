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


def main() -> None:
    """Print one line a number."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "metasci", "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program, sync_playwright() as entry:
        assert program.stdout is not None
        address = program.stdout.readline().split()[3]
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"program's start to ready: {time.perf_counter() - began:.2f} s")
        browser = entry.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for visit in ("first", "second"):
            page = browser.new_page()
            opened = time.perf_counter()
            page.goto(address)
            page.wait_for_selector("#fit svg", timeout=WAIT)
            print(f"{visit} page's opening to its first answer: {time.perf_counter() - opened:.2f} s")
            page.wait_for_selector("#warnings *", timeout=WAIT)
        for prior, column, values in (
            ("steel_tempering", 2, ("54", "53.5", "53", "56", "55.5", "54.5")),
            ("theophylline", 2, ("6.1", "6.2", "6.3", "6.4", "6.5", "6.6")),
            ("phenobarbital", 3, ("17", "18", "19", "20", "21", "22")),
            ("boiling_point", 1, ("376", "377", "375", "374", "378", "379")),
        ):
            page.select_option("#prior", prior)
            page.wait_for_timeout(3000)
            row = 1 if prior == "phenobarbital" else 0
            seconds = [change(page, row, column, value) for value in values]
            print(
                f"{prior}: a change, median {statistics.median(seconds):.0f} ms, worst {max(seconds):.0f} ms"
            )
        browser.close()
        program.terminate()


def change(page: Any, row: int, column: int, value: str) -> float:
    """Milliseconds from typing to what it changes."""
    milliseconds = float(page.evaluate(TIMED, [row, column, value]))
    page.wait_for_timeout(1500)  # until what stands further below has come, too
    return milliseconds


if __name__ == "__main__":
    main()
