"""The calibrator of a prior in a file of its own, which says in itself what it takes, in which order and unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metasci import __version__
from metasci.extras import require
from metasci.files import write_atomically
from metasci.programs.calibrator import Sizes, calibrator
from metasci.programs.onnx_file import onnx_bytes

if TYPE_CHECKING:
    from metasci.learned.equation import LearnedEquation

__all__ = ["described", "export"]

_LIMITS = (
    "Research only. Only numbers: measurements below or above a limit are not known to it. The steps are fixed: where "
    "last_step is above 1e-3 posterior standard deviations, or misfit above 6, calibrate with metasci instead."
)


def export(
    prior: LearnedEquation, path: str | Path, sizes: Sizes | None = None, precision: str = "double"
) -> Path:
    """Write a prior's calibrator as an ONNX file, or as an ExecuTorch file where the name ends in ``.pte``.

    Each file is written whole or not at all. An ExecuTorch file says nothing of itself: a description lies beside it,
    ``NAME.pte.json``, with the order of what goes in and comes out.

    Parameters
    ----------
    prior : Prior
    path : path
    sizes : Sizes, optional
    precision : "double", "single" or "half"
        ExecuTorch's portable kernels know the first two.

    Raises
    ------
    InputError
        If the prior cannot be exported (see `metasci.programs.calibrator`), or the file not be written.
    MissingExtra
        If the library onnx is not installed.
    """
    target = Path(path)
    if target.suffix == ".pte":
        return _executorch(prior, target, sizes, precision)
    require("export", "an exported calibrator")
    program = calibrator(prior, sizes)
    notes = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in described(prior).items()
    }
    write_atomically(target, onnx_bytes(program, precision, notes))
    return target


def _executorch(prior: LearnedEquation, target: Path, sizes: Sizes | None, precision: str) -> Path:
    from metasci.programs.executorch_file import executorch_bytes, taken

    require("executorch", "a calibrator as an ExecuTorch file")
    program = calibrator(prior, sizes)
    told = {
        **described(prior),
        "given": [{"name": each.name, "shape": each.shape, "flags": each.flags} for each in taken(program)],
        "results": list(program.results),
        "precision": precision,
    }
    write_atomically(target, executorch_bytes(program, precision))
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    write_atomically(target.with_name(target.name + ".json"), text.encode())
    return target


def described(prior: LearnedEquation) -> dict[str, Any]:
    """What the file says of itself, as texts and plain values: names, units and order of all that goes in and out.

    Examples
    --------
    >>> import metasci as ms
    >>> described(ms.load("theophylline"))["parameters"][0]
    {'name': 'absorption_rate', 'unit': '1/h'}
    """
    model, card = prior.model, prior.card
    histories = []
    for name, history in model.histories.items():
        histories.append({"name": name, "unit": history.unit, "padding": 0.0})
        histories.append({"name": f"{name}_time", "unit": model.inputs[history.at].unit, "padding": 0.0})
        histories += [
            {"name": f"{name}_{key}", "unit": column.unit, "padding": repr(column.default)}
            for key, column in history.columns.items()
        ]
    return {
        "prior": prior.name,
        "model": model.name,
        "description": model.description,
        "source": card.source,
        "licence": card.licence,
        "metasci": __version__,
        "digest": prior.digest(),
        "output": {"name": model.output.name, "unit": model.output.unit},
        "inputs": [{"name": name, "unit": told.unit} for name, told in model.inputs.items()],
        "events": histories,
        "covariates": [
            {"name": name, "unit": model.covariates.get(name, "1")} for name in prior.covariates.names
        ],
        "parameters": [{"name": each.name, "unit": each.unit} for each in model.parameters],
        "padding": "masked readings and unused queries repeat the last one; unknown covariates are NaN",
        "scale": f"curve_sd and reading_sd are on the scale where {type(model.noise).__name__} noise is Gaussian",
        "limits": _LIMITS,
    }
