"""The examples in the documentation print what stands beside them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
_spec = importlib.util.spec_from_file_location("run_examples", DOCS / "run_examples.py")
assert _spec is not None
assert _spec.loader is not None
run_examples = importlib.util.module_from_spec(_spec)
sys.modules["run_examples"] = run_examples
_spec.loader.exec_module(run_examples)


@pytest.mark.parametrize("page", run_examples.pages(), ids=lambda page: page.stem)
def test_examples(page):
    if "metasci-calibration[materials]" in page.read_text():
        pytest.importorskip(
            "rdkit", reason=f"{page.stem} needs the extra metasci-calibration[materials]: rdkit"
        )
    for extra, library in (("nonmem", "pharmpy"), ("petab", "libsbml")):
        if f"metasci-calibration[{extra}]" in page.read_text():
            pytest.importorskip(library, reason=f"{page.stem} needs the extra metasci-calibration[{extra}]")
    differences = [
        f"{page.name}, line {example.line}: {example.typed}stands:\n{example.printed}printed:\n{printed}"
        for example, printed in run_examples.run_page(page)
        if not run_examples.agree(example.printed, printed)
    ]
    assert not differences, "\n".join(differences)


def test_the_first_pages_have_twenty_commands_that_need_no_extra():
    """`make wheel` runs them with the wheel alone; here they run with all other examples."""
    spec = importlib.util.spec_from_file_location(
        "plain_install", Path(__file__).with_name("plain_install.py")
    )
    plain_install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain_install)
    pages = [(DOCS / name).read_text() for name in plain_install.FIRST_PAGES]
    assert sum(page.count("\n$ metasci ") for page in pages) >= 20
    assert not [page for page in pages if "metasci-calibration[" in page and "```pycon" in page]


def test_agreement_is_about_last_digits_only():
    assert run_examples.agree("rate 0.397 1/h\n", "rate   0.398 1/h\n")
    assert not run_examples.agree("rate 0.397 1/h\n", "rate 0.407 1/h\n")
    assert not run_examples.agree("3 tasks\n", "4 tasks\n")
