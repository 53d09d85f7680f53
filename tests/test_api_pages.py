"""What is public stands in the documentation of the API, or in a page that a question leads to."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import metasci as ms

DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = (
    "bayes", "diagnostics", "heat_treatment", "kinetics", "ode", "outcomes", "patients", "petab", "programs", "report",
    "responses",
)  # fmt: skip


@cache
def described() -> frozenset[str]:
    """The last part of each name that a directive of autodoc describes, and all of what modules it takes as a whole."""
    names: set[str] = set()
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        names |= {
            name.rpartition(".")[2] for name in re.findall(r"\.\. auto(?:function|class|data):: (\S+)", text)
        }
        for module, members in re.findall(r"\.\. automodule:: (\S+)\n(?: +:members:(.*)\n)?", text):
            asked = members.replace(",", " ").split()
            names |= set(asked or getattr(importlib.import_module(module), "__all__", ()))
    return frozenset(names)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_described(package: str) -> None:
    module = importlib.import_module(f"metasci.{package}")
    public = {name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)}
    assert public - described() == set()


def test_every_name_of_the_package_is_described() -> None:
    public = {name for name in dir(ms) if not name.startswith("_")}
    public = {name for name in public if not isinstance(getattr(ms, name), ModuleType)}
    assert public - described() == set()
