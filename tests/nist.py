"""The 27 problems of NIST's non-linear regression, as models of the package.

Source: National Institute of Standards and Technology, Statistical Reference Datasets (public domain); values as
certified there, with their data, in `data/nist_strd.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import metasci as ms
from metasci.data.batch import Batch
from metasci.meta.problem import Problem

PROBLEMS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "nist_strd.json").read_text(encoding="utf-8")
)


def _cubics(x: Any, b1: Any, b2: Any, b3: Any, b4: Any, b5: Any, b6: Any, b7: Any) -> Any:
    return (b1 + x * (b2 + x * (b3 + x * b4))) / (1.0 + x * (b5 + x * (b6 + x * b7)))


def _wave(x: Any, cosine: Any, sine: Any, period: Any) -> Any:
    turn = 2.0 * math.pi * x / period
    return cosine * torch.cos(turn) + sine * torch.sin(turn)


def _peak(x: Any, height: Any, place: Any, width: Any) -> Any:
    return height * torch.exp(-(((x - place) / width) ** 2))


_EQUATIONS: dict[str, Callable[..., Any]] = {
    "Bennett5": lambda x, b1, b2, b3: b1 * (b2 + x) ** (-1.0 / b3),
    "BoxBOD": lambda x, b1, b2: -b1 * torch.expm1(-b2 * x),
    "Chwirut": lambda x, b1, b2, b3: torch.exp(-b1 * x) / (b2 + b3 * x),
    "DanWood": lambda x, b1, b2: b1 * x**b2,
    "ENSO": lambda x, b1, b2, b3, b4, b5, b6, b7, b8, b9: (
        b1 + _wave(x, b2, b3, 12.0) + _wave(x, b5, b6, b4) + _wave(x, b8, b9, b7)
    ),
    "Eckerle4": lambda x, b1, b2, b3: b1 / b2 * torch.exp(-0.5 * ((x - b3) / b2) ** 2),
    "Gauss": lambda x, b1, b2, b3, b4, b5, b6, b7, b8: (
        b1 * torch.exp(-b2 * x) + _peak(x, b3, b4, b5) + _peak(x, b6, b7, b8)
    ),
    "Hahn": _cubics,
    "Kirby": lambda x, b1, b2, b3, b4, b5: (b1 + x * (b2 + x * b3)) / (1.0 + x * (b4 + x * b5)),
    "Lanczos": lambda x, b1, b2, b3, b4, b5, b6: (
        b1 * torch.exp(-b2 * x) + b3 * torch.exp(-b4 * x) + b5 * torch.exp(-b6 * x)
    ),
    "MGH09": lambda x, b1, b2, b3, b4: b1 * (x**2 + b2 * x) / (x**2 + b3 * x + b4),
    "MGH10": lambda x, b1, b2, b3: b1 * torch.exp(b2 / (x + b3)),
    "MGH17": lambda x, b1, b2, b3, b4, b5: b1 + b2 * torch.exp(-b4 * x) + b3 * torch.exp(-b5 * x),
    "Misra1a": lambda x, b1, b2: -b1 * torch.expm1(-b2 * x),
    "Misra1b": lambda x, b1, b2: b1 * (1.0 - (1.0 + 0.5 * b2 * x) ** -2),
    "Misra1c": lambda x, b1, b2: b1 * (1.0 - (1.0 + 2.0 * b2 * x) ** -0.5),
    "Misra1d": lambda x, b1, b2: b1 * b2 * x / (1.0 + b2 * x),
    "Nelson": lambda x, x2, b1, b2, b3: torch.exp(b1 - b2 * x * torch.exp(-b3 * x2)),
    "Rat42": lambda x, b1, b2, b3: b1 / (1.0 + torch.exp(b2 - b3 * x)),
    "Rat43": lambda x, b1, b2, b3, b4: b1 / (1.0 + torch.exp(b2 - b3 * x)) ** (1.0 / b4),
    "Roszman": lambda x, b1, b2, b3, b4: b1 - b2 * x - torch.arctan(b3 / (x - b4)) / math.pi,
    "Thurber": _cubics,
}


def problem(name: str, start: str = "start1") -> Problem:
    """A problem with coordinates in units of their start's size: they begin at 1 or -1."""
    given = PROBLEMS[name]
    family = name if name in _EQUATIONS else name.rstrip("0123456789")
    equation = _EQUATIONS[family]
    inputs = {"x": "1", "x2": "1"} if len(given["x"]) > 1 else {"x": "1"}
    parameters = [ms.Parameter(f"b{place}", spread=abs(value)) for place, value in enumerate(given[start], 1)]
    model = ms.Model(
        name=f"nist.{name}",
        function=equation,
        inputs={key: ms.Input(unit) for key, unit in inputs.items()},
        output=ms.Output("y"),
        parameters=ms.ParameterSpace(tuple(parameters)),
        noise=ms.LogNormal((1.0,)) if name == "Nelson" else ms.Additive((1.0,)),
    )
    measured = torch.tensor([given["y"]], dtype=torch.float64)
    batch = Batch(
        inputs={
            key: torch.tensor([values], dtype=torch.float64)
            for key, values in zip(inputs, given["x"], strict=True)
        },
        output=measured,
        mask=torch.ones_like(measured, dtype=torch.bool),
        covariates=measured[:, :0],
        names=(name,),
    )
    return Problem(model, batch)
