"""A static page that calibrates in the browser: the program, its runtime, and nothing that is sent anywhere."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from metasci.errors import InputError
from metasci.files import write_atomically
from metasci.programs.calibrator import Sizes
from metasci.programs.export import described, export

if TYPE_CHECKING:
    from metasci.learned.equation import LearnedEquation

__all__ = ["RUNTIME", "write_page"]

RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""What the page needs of onnxruntime-web, from its folder ``dist``."""


def write_page(
    prior: LearnedEquation, folder: str | Path, runtime: str | Path, sizes: Sizes | None = None
) -> Path:
    """Write the page of a prior into a folder, to be served as it is by any server of files.

    Parameters
    ----------
    prior : Prior
        Of an equation without doses, or other amounts, at times of their own.
    folder : path
    runtime : path
        The folder ``dist`` of onnxruntime-web: ``npm install onnxruntime-web`` brings it.
    sizes : Sizes, optional

    Returns
    -------
    Path
        ``index.html``.

    Raises
    ------
    InputError
        If the prior's model has doses at times, cannot be exported, or the runtime is not there.
    """
    target, sizes = Path(folder), sizes or Sizes(readings=12, queries=60)
    if prior.model.histories:
        raise InputError(
            f"'{prior.name}': the page has no place for {', '.join(prior.model.histories)} at times."
        )
    lost = [name for name in RUNTIME if not (Path(runtime) / name).is_file()]
    if lost:
        raise InputError(f"{Path(runtime) / lost[0]} is not there: run `npm install onnxruntime-web`.")
    export(prior, target / "calibrator.onnx", sizes)
    first = next(iter(prior.model.inputs))
    learned_range = prior.training.get("ranges", {}).get(first, [0.0, 1.0])
    notes = described(prior) | {
        "sizes": {"readings": sizes.readings, "queries": sizes.queries},
        "range": [float(learned_range[0]), float(learned_range[1])],
    }
    write_atomically(target / "calibrator.json", json.dumps(notes).encode())
    for name in RUNTIME:
        write_atomically(target / name, (Path(runtime) / name).read_bytes())
    for name in ("page.js", "page.html"):
        content = resources.files("metasci.programs").joinpath(name).read_bytes()
        write_atomically(target / name.replace("page.html", "index.html"), content)
    return target / "index.html"
