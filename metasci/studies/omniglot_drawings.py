"""Drawings of characters: the minimal background sets and the twenty runs of Omniglot, and how drawings are warped.

Real drawings by twenty people of each character, read in place from the archives as their authors published them
(Lake, Salakhutdinov and Tenenbaum, Science 350 (2015) 1332; MIT licence). A drawing is laid on a small square of paper
in which its ink has the same centre and the same spread whatever its place and size were.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from metasci.errors import InputError

__all__ = [
    "SIDE",
    "Alphabet",
    "Drawings",
    "Run",
    "Warp",
    "background",
    "laid",
    "read_ink",
    "runs",
    "warped",
]

SIDE = 28
"""Dots along each side of a small square."""
RUNS, WAYS = 20, 20

_PAPER = 105  # dots along each side of a drawing as published
_SPREAD = 0.45  # of the ink, in halves of the small square
_LEAST_SPREAD = 0.1  # of a dot, so that it is not blown up
_BEND = 4  # places along each side at which the paper is pulled


@dataclass(frozen=True)
class Drawings:
    """Drawings, thickened and at half their width, with where their ink lies.

    Attributes
    ----------
    ink : Tensor, (drawing, 1, 53, 53)
        0 for paper to 1 for ink.
    centre : Tensor, (drawing, 2)
        Mean place of the ink, x and y, in halves of the paper from its middle.
    spread : Tensor, (drawing,)
        Standard deviation of the ink's place, the greater of both directions.
    """

    ink: Tensor
    centre: Tensor
    spread: Tensor

    def __len__(self) -> int:
        return len(self.ink)

    def __getitem__(self, index: Tensor) -> Drawings:
        return Drawings(self.ink[index], self.centre[index], self.spread[index])

    @classmethod
    def joined(cls, parts: Sequence[Drawings]) -> Drawings:
        """All drawings of several parts."""
        return cls(
            torch.cat([part.ink for part in parts]),
            torch.cat([part.centre for part in parts]),
            torch.cat([part.spread for part in parts]),
        )


@dataclass(frozen=True)
class Alphabet:
    """Characters of one alphabet, each drawn by the same people.

    Attributes
    ----------
    name : str
    drawings : Drawings
        Character after character, of each one drawing a person.
    characters, people : int
    """

    name: str
    drawings: Drawings
    characters: int
    people: int


@dataclass(frozen=True)
class Run:
    """One published run: twenty characters, each drawn once, and twenty drawings to name.

    Attributes
    ----------
    known, asked : Drawings
    truth : Tensor of int, (asked,)
        Which of the known characters a drawing shows.
    ink : tuple of Tensor, optional
        Of the known drawings and of those asked, (drawing, 105, 105), as published.
    """

    known: Drawings
    asked: Drawings
    truth: Tensor
    ink: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Warp:
    """How far drawings are warped, each at random: greatest angles (radians), logarithms of scales, slants and shifts.

    `bend` is the standard deviation of how far places of the paper are pulled. Shifts and bends are in halves of the
    small square.
    """

    turn: float = 0.25
    scale: float = 0.2
    slant: float = 0.25
    shift: float = 0.1
    bend: float = 0.04


def read_ink(content: bytes) -> Tensor:
    """Ink of one picture file, (105, 105), 1 where there is any."""
    from matplotlib.image import imread

    return 1.0 - torch.from_numpy(imread(io.BytesIO(content))).float()


def laid(ink: Tensor) -> Drawings:
    """Drawings of ink, (drawing, 105, 105).

    Examples
    --------
    >>> ink = torch.zeros(1, 105, 105)
    >>> ink[0, :, 52] = 1.0
    >>> line = laid(ink)
    >>> line.ink.shape, [round(place, 2) for place in line.centre[0].tolist()], round(line.spread.item(), 2)
    (torch.Size([1, 1, 53, 53]), [-0.01, -0.01], 0.57)
    """
    at = (torch.arange(_PAPER) + 0.5) * 2.0 / (
        _PAPER + 1
    ) - 1.0  # a row of paper is added below, for an even number
    along = torch.stack([ink.sum(1), ink.sum(2)], 1) / ink.sum((1, 2)).clamp(min=1.0)[:, None, None]
    centre = (along * at).sum(2)
    spread = (along * (at - centre[..., None]) ** 2).sum(2).sqrt().amax(1).clamp(min=_LEAST_SPREAD)
    thick = functional.max_pool2d(ink[:, None], 3, 1, 1)
    return Drawings(functional.avg_pool2d(functional.pad(thick, (0, 1, 0, 1)), 2), centre, spread)


def warped(
    drawings: Drawings,
    warp: Warp | None = None,
    generator: torch.Generator | None = None,
    *,
    quarters: int = 0,
    mirrored: bool = False,
    centred: bool = True,
) -> Tensor:
    """Drawings on small squares, (drawing, 1, 28, 28).

    Parameters
    ----------
    drawings : Drawings
    warp : Warp, optional
        By default nothing is warped.
    generator : torch.Generator, optional
        That warps are drawn from.
    quarters : int
        Of a turn, all drawings alike.
    mirrored : bool
        All drawings alike, before they are turned.
    centred : bool
        Whether the small square is laid by the ink, or is the whole paper.
    """
    count = len(drawings)
    by = torch.eye(2).expand(count, 2, 2)
    shift = torch.zeros(count, 2)
    if warp is not None:

        def drawn(*shape: int) -> Tensor:
            return 2.0 * torch.rand(*shape, generator=generator) - 1.0

        angle = warp.turn * drawn(count)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(count, 2, 2)
        slant = torch.eye(2).repeat(count, 1, 1)
        slant[:, 0, 1] = warp.slant * drawn(count)
        by = turn @ torch.diag_embed((warp.scale * drawn(count, 2)).exp()) @ slant
        shift = warp.shift * drawn(count, 2)
    whole = torch.eye(2)
    for _ in range(quarters % 4):
        whole = whole @ torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    if mirrored:
        whole = whole @ torch.diag(torch.tensor([-1.0, 1.0]))
    size = drawings.spread / _SPREAD if centred else torch.ones(count)
    middle = drawings.centre if centred else torch.zeros(count, 2)
    moved = torch.cat([by @ whole * size[:, None, None], (middle + size[:, None] * shift)[..., None]], 2)
    grid = functional.affine_grid(moved, [count, 1, SIDE, SIDE], align_corners=False)
    if warp is not None and warp.bend:
        pulled = warp.bend * torch.randn(count, 2, _BEND, _BEND, generator=generator)
        pulled = functional.interpolate(pulled, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
        grid = grid + pulled.permute(0, 2, 3, 1) * size[:, None, None, None]
    return functional.grid_sample(drawings.ink, grid, align_corners=False)


def background(number: int, folder: str | Path | None = None) -> tuple[Alphabet, ...]:
    """The five alphabets of a minimal background set, 1 or 2.

    Parameters
    ----------
    number : int
    folder : path, optional
        That holds the archives; ``omniglot`` under ``METASCI_DATA_DIR`` by default.

    Raises
    ------
    InputError
        If the archive is not there.
    """
    found: dict[str, dict[str, list[Tensor]]] = {}
    with _archive(f"images_background_small{number}.zip", folder) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".png"):
                _, alphabet, character, _ = name.split("/")
                of = found.setdefault(alphabet, {}).setdefault(character, [])
                of.append(read_ink(archive.read(name)))
    made = []
    for name, characters in found.items():
        ink = torch.stack([torch.stack(drawn) for drawn in characters.values()])
        made.append(Alphabet(name.replace("_", " "), laid(ink.flatten(0, 1)), *ink.shape[:2]))
    return tuple(made)


def runs(folder: str | Path | None = None) -> tuple[Run, ...]:
    """The twenty runs of one-shot classification among twenty characters of an alphabet.

    Parameters
    ----------
    folder : path, optional
        As for `background`.
    """
    made = []
    with _archive("all_runs.zip", folder) as archive:
        for number in range(1, RUNS + 1):
            inside = f"run{number:02d}"
            pairs = archive.read(f"{inside}/class_labels.txt").decode().split()
            known = [f"{inside}/training/class{at:02d}.png" for at in range(1, WAYS + 1)]
            ink = [
                torch.stack([read_ink(archive.read(name)) for name in names]) for names in (known, pairs[::2])
            ]
            truth = torch.tensor([known.index(name) for name in pairs[1::2]])
            made.append(Run(laid(ink[0]), laid(ink[1]), truth, (ink[0], ink[1])))
    return tuple(made)


def _archive(name: str, folder: str | Path | None) -> zipfile.ZipFile:
    place = Path(folder) if folder else Path(os.environ.get("METASCI_DATA_DIR", "")) / "omniglot"
    if not (place / name).is_file():
        raise InputError(
            f"the characters do not ship, and '{name}' is not there: set METASCI_DATA_DIR to the folder that holds "
            "omniglot/."
        )
    return zipfile.ZipFile(place / name)
