"""What a long study has done is kept in its folder, so that the same command goes on where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metasci.files import write_atomically
from metasci.model import Model
from metasci.priors.equation import Prior

__all__ = ["kept_numbers", "kept_prior"]


def kept_numbers(path: Path, compute: Callable[[], Any]) -> Any:
    """What stands in a JSON file, or what is computed and written there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(compute()) + "\n").encode())
    return json.loads(path.read_text())


def kept_prior(folder: Path, model: Model, learn: Callable[[Path], Prior]) -> Prior:
    """The prior in a folder, or what is learned, given a file for its checkpoint, and saved there."""
    checkpoint = folder.with_suffix(".checkpoint")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        learn(checkpoint).save(folder)
        checkpoint.unlink(missing_ok=True)
    return Prior.load(folder, model)
