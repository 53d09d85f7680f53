"""Handwritten characters of Omniglot as tensors, and how they are varied.

Source: Lake, Salakhutdinov and Tenenbaum, Science 350 (2015) 1332; MIT licence. The archives are read in place.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metasci.errors import InputError

__all__ = ["BACKGROUNDS", "Alphabets", "OneShotRun", "alphabets", "one_shot_runs", "placed", "random_placements"]

BACKGROUNDS = ("images_background_small1", "images_background_small2")
SIDE = 28  # pixels; of 105 in the archives, the size that published networks see
_ENTRY = re.compile(r"[^/]+/(?P<alphabet>[^/]+)/(?P<character>character\d+)/[^/]+\.png")
_RUN_ENTRY = re.compile(r"(?P<run>run\d\d)/(?P<part>test|training)/(?:item|class)(?P<number>\d\d)\.png")
_LABEL = re.compile(r"(run\d\d)/test/item(\d\d)\.png\s+run\d\d/training/class(\d\d)\.png")


@dataclass(frozen=True)
class Alphabets:
    """Drawings with their characters and alphabets.

    Attributes
    ----------
    images : Tensor, (drawing, 1, 28, 28)
        Ink is 1, paper 0.
    characters, alphabets : Tensor of int, (drawing,)
    names : tuple of str
        Of the alphabets.
    """

    images: Tensor
    characters: Tensor
    alphabets: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class OneShotRun:
    """One of the published runs: twenty characters drawn once, and twenty drawings to be told.

    Attributes
    ----------
    training, test : Tensor, (drawing, 1, 28, 28)
    classes : Tensor of int, (drawing,)
        Which training drawing each test drawing belongs to.
    """

    training: Tensor
    test: Tensor
    classes: Tensor


def _archive(name: str) -> zipfile.ZipFile:
    folder = os.environ.get("METASCI_DATA_DIR", "")
    file = Path(folder) / "omniglot" / f"{name}.zip"
    if not file.is_file():
        raise InputError(
            f"the drawings do not ship: set METASCI_DATA_DIR to the folder that holds omniglot/{name}.zip."
        )
    return zipfile.ZipFile(file)


def _image(archive: zipfile.ZipFile, entry: str) -> Tensor:
    from PIL import Image

    with archive.open(entry) as stream:
        ink = 1.0 - np.asarray(Image.open(stream).convert("L"), dtype=np.float32) / 255.0
    return functional.interpolate(torch.from_numpy(ink)[None, None], (SIDE, SIDE), mode="area")[0]


def alphabets(background: str) -> Alphabets:
    """All drawings of a background set.

    Parameters
    ----------
    background : str
        One of `BACKGROUNDS`: five alphabets each.

    Raises
    ------
    InputError
        If the archive is not where METASCI_DATA_DIR points.
    """
    images, characters, belongs = [], [], []
    with _archive(background) as archive:
        entries = sorted(name for name in archive.namelist() if _ENTRY.fullmatch(name))
        numbers: dict[tuple[str, str], int] = {}
        names: dict[str, int] = {}
        for entry in entries:
            parts = _ENTRY.fullmatch(entry)
            assert parts is not None
            alphabet, character = parts["alphabet"], parts["character"]
            belongs.append(names.setdefault(alphabet, len(names)))
            characters.append(numbers.setdefault((alphabet, character), len(numbers)))
            images.append(_image(archive, entry))
    return Alphabets(torch.stack(images), torch.tensor(characters), torch.tensor(belongs), tuple(names))


def one_shot_runs() -> list[OneShotRun]:
    """The twenty published runs of twenty-way one-shot classification, each within one alphabet.

    Raises
    ------
    InputError
        If the archive is not where METASCI_DATA_DIR points.
    """
    runs = []
    with _archive("all_runs") as archive:
        found = [part for name in archive.namelist() if (part := _RUN_ENTRY.fullmatch(name))]
        for run in sorted({part["run"] for part in found}):
            images = {
                (part["part"], int(part["number"])): _image(archive, part.string)
                for part in found
                if part["run"] == run
            }
            labels = archive.read(f"{run}/class_labels.txt").decode("ascii")
            class_of = {int(item): int(number) - 1 for _, item, number in _LABEL.findall(labels)}
            items = sorted(class_of)
            runs.append(
                OneShotRun(
                    torch.stack([images["training", number + 1] for number in range(len(items))]),
                    torch.stack([images["test", item] for item in items]),
                    torch.tensor([class_of[item] for item in items]),
                )
            )
    return runs


def random_placements(
    count: int, generator: torch.Generator, *, turn: float, stretch: float, slant: float, shift: float
) -> Tensor:
    """Random affine maps, (image, 2, 3), as `torch.nn.functional.affine_grid` takes them.

    Parameters
    ----------
    count : int
    generator : torch.Generator
    turn : float
        Greatest angle, in degrees.
    stretch, slant, shift : float
        Greatest relative change of each axis, shear, and displacement as a share of half the picture.
    """
    angle, height, width, shear, right, down = (
        2.0 * torch.rand(6, count, generator=generator) - 1.0
    ) * torch.tensor([math.radians(turn), stretch, stretch, slant, shift, shift])[:, None]
    cos, sin = angle.cos(), angle.sin()
    high, wide = height.exp(), width.exp()
    first = torch.stack([wide * cos, high * (shear * cos - sin), right], -1)
    second = torch.stack([wide * sin, high * (shear * sin + cos), down], -1)
    return torch.stack([first, second], 1)


def placed(images: Tensor, placements: Tensor) -> Tensor:
    """Pictures seen through affine maps, with paper beyond the edge.

    Examples
    --------
    >>> same = torch.eye(2, 3)[None]
    >>> bool(torch.allclose(placed(torch.ones(1, 1, 4, 4), same), torch.ones(1, 1, 4, 4)))
    True
    """
    grid = functional.affine_grid(placements, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
