"""The examples in the documentation print what stands beside them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


def script(path):
    """A program that is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


run_examples = script(DOCS / "run_examples.py")


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
    """`make test-install` runs them with the wheel alone; here they run with all other examples."""
    plain_install = script(Path(__file__).with_name("plain_install.py"))
    pages = [(DOCS / name).read_text() for name in plain_install.FIRST_PAGES]
    assert sum(page.count("\n$ metasci ") for page in pages) >= 20
    assert not [page for page in pages if "metasci-calibration[" in page and "```pycon" in page]


def test_versions_are_published_side_by_side(tmp_path):
    publish = script(DOCS / "publish.py").publish
    built, site = tmp_path / "html", tmp_path / "site"
    built.mkdir()
    with pytest.raises(SystemExit, match="make docs"):
        publish(built, site, "0.1.0")
    for version in ("0.9.0", "dev", "0.10.0", "0.9.0"):
        (built / "index.html").write_text(version)
        publish(built, site, version)
    assert json.loads((site / "versions.json").read_text()) == ["0.10.0", "0.9.0", "dev"]
    assert (site / "0.9.0" / "index.html").read_text() == "0.9.0"
    assert 'url=0.10.0/"' in (site / "index.html").read_text()
    with pytest.raises(SystemExit, match="numbers with dots"):
        publish(built, site, "../elsewhere")


def test_agreement_is_about_last_digits_only():
    assert run_examples.agree("rate 0.397 1/h\n", "rate   0.398 1/h\n")
    assert not run_examples.agree("rate 0.397 1/h\n", "rate 0.407 1/h\n")
    assert not run_examples.agree("3 tasks\n", "4 tasks\n")
