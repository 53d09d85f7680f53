"""The models of mapbayr's validation, written with the public door, against SciPy (benchmarks/mapbayr_models.py)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parent.parent / "benchmarks" / "mapbayr_models.py"
QUICK = ("921",)


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("mapbayr_models", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mapbayr_models"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


MODELS = loaded()
CASES = MODELS.cases()


def test_there_are_forty_two() -> None:
    numbers = [number.strip() for case in CASES for number in case.numbers.split(",")]
    assert len(set(numbers)) == len(numbers) == 42


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.numbers, marks=() if case.numbers in QUICK else pytest.mark.slow)
        for case in CASES
    ],
)
def test_a_model_of_the_validation_is_solved_as_by_scipy(case: Any) -> None:
    assert MODELS.apart(case, patients=1, seed=3) < 1e-8
