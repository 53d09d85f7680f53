"""Models are found by name from above: the package's own, those of installed packages, and those of this process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import metasci as ms
from metasci import library
from metasci.errors import InputError
from metasci.library import find, registered
from metasci.math import exp
from metasci.patients import Structure, compartment_model


def decay(name: str) -> ms.Model:
    """A law under any name, as a user's module would declare it."""

    def law(time: Any, *, rate: Any) -> Any:
        return exp(-rate * time)

    return ms.equation(
        inputs={"time": "h"},
        output=("fraction", "1"),
        parameters=[ms.Parameter("rate", "1/h", 0.1, positive=True)],
        name=name,
    )(law)


class Offered:
    """What an installed package's entry points name."""

    mine = decay("corrosion.pitting")
    several = (decay("corrosion.crevice"), decay("corrosion.general"))
    taken = decay("corrosion.taken")
    nothing = 3


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let a package that is installed offer models."""

    def offering(*names: str) -> None:
        entries = [EntryPoint(name, f"{__name__}:Offered.{name}", "metasci.models") for name in names]
        monkeypatch.setattr(
            library, "entry_points", lambda group: entries if group == "metasci.models" else []
        )
        monkeypatch.setattr(EntryPoint, "load", lambda self: getattr(Offered, self.name))
        library.installed.cache_clear()

    yield offering
    library.installed.cache_clear()


def test_no_domain_is_imported_by_the_model(root: Path) -> None:
    files = sorted((root / "metasci" / "model").glob("*.py"))
    assert files
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    domains = ("metasci.kinetics", "metasci.patients", "metasci.materials", "metasci.library")
    assert not [module for module in modules if module.startswith(domains)]


def test_models_of_installed_packages_are_found(offer: Any) -> None:
    offer("mine", "several")
    assert find("corrosion.pitting") is Offered.mine
    assert {"corrosion.crevice", "corrosion.general", "kinetics.tempering"} <= set(registered())


def test_an_installed_package_cannot_take_a_name(offer: Any) -> None:
    offer("taken")
    decay("corrosion.taken")  # another model of that name, made in this process
    with pytest.raises(InputError, match=r"'corrosion\.taken', which is taken"):
        registered()


def test_an_entry_point_that_names_no_model_is_named(offer: Any) -> None:
    offer("nothing")
    with pytest.raises(InputError, match="entry point 'nothing'"):
        registered()


@pytest.mark.parametrize("name", ["kinetics.tempering", "patients.propofol"])
def test_an_own_equation_cannot_take_the_name_of_a_shipped_one(name: str) -> None:
    shipped = find(name)
    with pytest.raises(InputError, match=f"'{name}' is taken by a model that comes with metasci"):
        decay(name)
    assert find(name) is shipped


def test_an_own_compartment_model_cannot_take_the_name_of_a_shipped_one() -> None:
    shipped = find("patients.one_compartment")
    with pytest.raises(InputError, match=r"'patients\.one_compartment' is taken"):
        compartment_model(Structure(1), name="one_compartment")
    assert find("patients.one_compartment") is shipped


def test_a_cell_that_runs_again_replaces_its_own_model() -> None:
    decay("mine.decay")
    again = decay("mine.decay")
    assert find("mine.decay") is again
