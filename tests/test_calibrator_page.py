"""The page that calibrates in the browser, looked at in Chromium: `make page-test`.

The runtime (onnxruntime-web) is no part of the package; METASCI_ORT_WEB says where its folder ``dist`` is.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import chromium

import metasci as ms
from metasci.errors import InputError
from metasci.programs.page import RUNTIME, write_page

DIST = os.environ.get("METASCI_ORT_WEB", "")
READINGS = [("0.57", "6.57"), ("2.02", "7.91"), ("9.03", "5.33")]


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def log_message(self, *arguments):
        pass


def test_what_the_page_has_no_place_for(tmp_path):
    with pytest.raises(InputError, match="no place for dose"):
        write_page(ms.load("phenobarbital"), tmp_path, tmp_path)
    with pytest.raises(InputError, match="npm install onnxruntime-web"):
        write_page(ms.load("theophylline"), tmp_path / "site", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def site(tmp_path):
    pytest.importorskip("onnx")
    if not (Path(DIST) / RUNTIME[0]).is_file():
        pytest.skip("onnxruntime-web is not there: make page-test")
    write_page(ms.load("theophylline"), tmp_path, DIST)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_it_calibrates_as_python_does_and_sends_nothing(site, tmp_path):
    with chromium() as browser:
        page = browser.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append((request.method, request.url)))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(site)
        page.wait_for_selector("body[data-ready]", timeout=60_000)
        page.fill("input[name='weight']", "79.6")
        for row, (time, concentration) in enumerate(READINGS):
            page.fill(f"input[name='time.{row}']", time)
            page.fill(f"input[name='dose.{row}']", "4.02")
            page.fill(f"input[name='concentration.{row}']", concentration)
        before = len(asked)
        page.click("button")
        page.wait_for_selector("tr[data-name]", timeout=30_000)
        rows = page.query_selector_all("tr[data-name]")
        found = {r.get_attribute("data-name"): float(r.get_attribute("data-estimate")) for r in rows}
        said = page.inner_text("#said")
        circles = len(page.query_selector_all("circle"))
        page.fill("input[name='time.1']", "two")
        page.click("button")
        page.wait_for_selector("#said.wrong")
        assert page.inner_text("#said") == "row 2, time: 'two' is no number."
        page.screenshot(path=os.environ.get("METASCI_PICTURE", str(tmp_path / "page.png")))
    print(said)
    lines = [f"1,{time},4.02,{c},79.6" for time, c in READINGS]
    table = tmp_path / "one.csv"
    header = "subject,time [h],dose [mg/kg],concentration [mg/L],weight [kg]"
    table.write_text("\n".join([header, *lines]))
    fit = ms.load("theophylline").calibrate(table).parameters
    expected = dict(zip(fit["name"], fit["estimate"], strict=True))
    assert found == pytest.approx(expected, rel=1e-6)
    assert "on this machine" in said
    assert circles == 3
    assert len(asked) == before  # nothing was asked for, and nothing sent, to calibrate
    assert all(method == "GET" and url.startswith(site) for method, url in asked)
    assert not errors
