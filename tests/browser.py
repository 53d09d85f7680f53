"""A browser and the app for the tests that look: Debian's Chromium through Playwright, both skipped where missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")


def needs_browser() -> Any:
    """Playwright's entry, or a skip that names what is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make app-test"
    )
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: make app-test")
    return playwright.sync_playwright


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser."""
    with needs_browser()() as entry:
        browser = entry.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """The app as a program of its own, as a user starts it; its address."""
    command = [sys.executable, "-m", "metasci", "app", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        began = time.monotonic()
        line = program.stdout.readline()
        assert line.startswith("metasci is at http://127.0.0.1:"), line
        print(f"started in {time.monotonic() - began:.1f} s")
        try:
            yield line.split()[3]
        finally:
            program.terminate()
            program.wait(20)
