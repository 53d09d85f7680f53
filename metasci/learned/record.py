"""The record of a prior on disk: ``prior.json``, which says what it is, and ``prior.safetensors``, what was learned.

One reader for all kinds of priors. Which kind a record is of its format says; `metasci.priors.load` holds the list.
What each kind holds beyond that is checked where the kind is put together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metasci.data.cards import Card, Column
from metasci.errors import InputError
from metasci.files import State, read_tensors, tensors_as_bytes, tensors_checksum, write_folder
from metasci.learned.checked import Table, dataclass_of
from metasci.regular_files import bytes_of

__all__ = ["Record", "read_record", "write_record"]

_CHECKSUM = "tensors_sha256"
_MOST_DESCRIBED = 16 * 2**20  # bytes; those that ship have some thousand


@dataclass(frozen=True)
class Record:
    """What stands in the two files of a prior.

    Attributes
    ----------
    path : Path
        Of ``prior.json``.
    description : Table
    tensors : dict of Tensor
    """

    path: Path
    description: Table
    tensors: State

    @property
    def format(self) -> str:
        """What says how the rest is to be read."""
        text: str = self.description.get("format", str)
        return text

    @property
    def tensors_path(self) -> Path:
        """Of ``prior.safetensors``."""
        return self.path.with_name("prior.safetensors")

    def take(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype | None = None) -> State:
        """Tensors of these names, each of this shape, finite, and of a type (any floating one by default).

        Raises
        ------
        InputError
            If one is missing or is not so.
        """
        for name, shape in shapes.items():
            value = self.tensors.get(name)
            if value is None:
                raise InputError(f"{self.tensors_path}: '{name}' is missing.")
            if tuple(value.shape) != tuple(shape):
                raise InputError(
                    f"{self.tensors_path}: '{name}' is of another shape, {tuple(value.shape)}, than {self.path.name} "
                    f"implies, {tuple(shape)}."
                )
            if not value.dtype.is_floating_point or (dtype is not None and value.dtype != dtype):
                wanted = "floating point numbers" if dtype is None else str(dtype).removeprefix("torch.")
                raise InputError(
                    f"{self.tensors_path}: '{name}' holds {str(value.dtype).removeprefix('torch.')} and not {wanted}."
                )
            if not bool(torch.isfinite(value).all()):
                raise InputError(f"{self.tensors_path}: '{name}' is not finite.")
        return {name: self.tensors[name] for name in shapes}

    @contextmanager
    def naming_tensors(self) -> Iterator[None]:
        """Name the file in what is said of its tensors."""
        try:
            yield
        except InputError as error:
            raise InputError(f"{self.tensors_path}: {error}") from None

    def check_covariance(self, name: str, value: Tensor, strictly: bool = True) -> None:
        """Refuse what is no covariance: symmetric, and positive definite, or semi-definite."""
        # what is written as symmetric is so to rounding; far more than that is another matrix
        scale = value.abs().max() if value.numel() else value.new_zeros(())
        symmetric = bool(((value - value.mT).abs() <= 1e-9 * scale).all())
        eigenvalues = torch.linalg.eigvalsh(0.5 * (value + value.mT))
        least = 0.0 if strictly else -1e-9 * float(scale)
        sound = bool((eigenvalues > least).all() if strictly else (eigenvalues >= least).all())
        if not symmetric or not sound:
            raise InputError(
                f"{self.tensors_path}: '{name}' is no covariance: it must be symmetric and positive "
                f"{'definite' if strictly else 'semi-definite'}."
            )

    def check_positive(self, *names: str) -> None:
        """Refuse scales that are zero or below."""
        for name in names:
            if name in self.tensors and not bool((self.tensors[name] > 0).all()):
                raise InputError(f"{self.tensors_path}: '{name}' must be above zero.")

    def check_not_negative(self, *names: str) -> None:
        """Refuse precisions and counts below zero."""
        for name in names:
            if not bool((self.tensors[name] >= 0).all()):
                raise InputError(f"{self.tensors_path}: '{name}' must not be below zero.")

    def card(self) -> Card:
        """What the columns of the prior's data mean."""
        table = self.description.table("data")
        columns = [
            dataclass_of(Column, Table(row, f"{table.where}, column {at + 1}"))
            for at, row in enumerate(table.get_or("columns", list[dict[str, Any]], []))
        ]
        rest = {key: value for key, value in table.values.items() if key != "columns"}
        card: Card = dataclass_of(Card, Table(rest, table.where), columns=tuple(columns))
        return card

    def training(self) -> dict[str, Any]:
        """What is told of the learning; the parts that are calculated with are of their types."""
        table = self.description.table("training")
        for key, hint in _TRAINING.items():
            if key in table.values:
                table.get(key, hint)
        for name, (low, high) in table.values.get("ranges", {}).items():
            if low > high:
                raise InputError(f"{table.where}, ranges, {name}: {low:g} lies above {high:g}.")
        return dict(table.values)


_TRAINING: dict[str, Any] = {
    "seed": int,
    "tasks": int,
    "measurements": int,
    "iterations": int,
    "seconds": float,
    "data_sha256": str,
    "task_checksums": list[str],
    "ranges": dict[str, tuple[float, float]],
    "familiar": dict[str, Any],
    "left_out_as_not_finite": dict[str, int],
    "versions": dict[str, str],
}


def read_record(folder: str | Path) -> Record:
    """Read the two files of a prior.

    Raises
    ------
    InputError
        If there is none, a file cannot be read, or the tensors are not those that ``prior.json`` was written with.
    """
    path = Path(folder) / "prior.json"
    if not path.exists():
        raise InputError(f"{folder}: there is no learned prior in this folder (prior.json is missing).")
    content = bytes_of(path, _MOST_DESCRIBED)
    try:
        values = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{path}: this is not the description of a learned prior.") from None
    if not isinstance(values, dict) or not isinstance(values.get("format"), str):
        raise InputError(f"{path}: this is not the description of a learned prior: it names no format.")
    tensors, _ = read_tensors(path.with_name("prior.safetensors"))
    description = Table(values, str(path))
    written = description.get_or(_CHECKSUM, str, None)
    if written is not None and written != tensors_checksum(tensors):
        raise InputError(
            f"{path.with_name('prior.safetensors')}: these are not the tensors that {path.name} was written with; copy "
            "both files anew."
        )
    return Record(path, description, tensors)


def write_record(
    folder: str | Path, kind: str, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Path:
    """Write both files, or neither, with the tensors' checksum among the description."""
    whole = {"format": kind, **description, _CHECKSUM: tensors_checksum(tensors)}
    text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    contents = {
        "prior.safetensors": tensors_as_bytes(tensors, {"format": kind}),
        "prior.json": text.encode(),
    }
    return write_folder(Path(folder), contents)
