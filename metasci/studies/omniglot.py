"""Study: a character seen once. ``python -m metasci.studies.omniglot [FOLDER] [ITERATIONS] [SEEDS]``.

Twenty-way one-shot classification on the twenty published runs of Omniglot, learned from five alphabets: each of the two
minimal background sets by itself, as published. Settings were chosen on an alphabet kept aside, never on the runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from metasci.meta import (
    Composition,
    Network,
    NetworkEpisode,
    Outer,
    adapt,
    cross_entropy,
    initial,
    meta_train,
    named,
)
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.prototypes import class_scores, prototypes, prototypical_episode
from metasci.report.style import save_figure
from metasci.studies.drawings import (
    BACKGROUNDS,
    Alphabets,
    OneShotRun,
    alphabets,
    one_shot_runs,
    placed,
    random_placements,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WAYS", "convolutions", "episodes", "errors", "learned", "pixel_errors"]

WAYS = 20
VIEWS = 8  # slightly moved copies of every drawing over which features are averaged
_SMALL = {"turn": 10.0, "stretch": 0.15, "slant": 0.2, "shift": 0.1}  # one hand's drawing of a character and the next
_LARGE = {"turn": 25.0, "stretch": 0.3, "slant": 0.5, "shift": 0.0}  # a character and another that is not in the set


def convolutions(
    width: int = 64, seed: int = 0, *, head: int = 0, normalisation: str = "batch"
) -> nn.Sequential:
    """Four blocks of convolution, normalisation and pooling (Vinyals et al. 2016), with a linear head if asked for.

    Parameters
    ----------
    width : int
        Channels; half as many in the first block, whose pictures are largest.
    seed : int
    head : int
        Classes of a linear head, 0 for none.
    normalisation : "batch" or "group"
        Over cases, or over groups of eight channels of each case by itself (Wu and He 2018).
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inward, outward in zip((1, width // 2, width, width), (width // 2, width, width, width), strict=True):
        norm = nn.BatchNorm2d(outward) if normalisation == "batch" else nn.GroupNorm(outward // 8, outward)
        layers += [nn.Conv2d(inward, outward, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), *([nn.Linear(width, head)] if head else []))


def _chained(outer: Tensor, inner: Tensor) -> Tensor:
    """Affine maps one after the other, (…, 2, 3)."""
    moved = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return torch.cat([outer[..., :2] @ inner[..., :2], moved], -1)


def episodes(
    network: Network, drawings: Alphabets, *, queries: int = 4, varied: bool = True, prototypical: bool = True
) -> Callable[[int], NetworkEpisode]:
    """Twenty characters of one alphabet, one drawing of each as support and others as query, as a function of a seed.

    Parameters
    ----------
    network : Network
    drawings : Alphabets
    queries : int
        Of each character.
    varied : bool
        Whether characters are turned, stretched and slanted into new ones, and every drawing moved a little.
    prototypical : bool
        Whether a prototypical network is to be trained; else a network with a head of twenty classes.
    """
    places = {int(c): (drawings.characters == c).nonzero()[:, 0] for c in drawings.characters.unique()}
    of_alphabet = [drawings.characters[drawings.alphabets == a].unique() for a in drawings.alphabets.unique()]

    def draw(seed: int) -> NetworkEpisode:
        generator = torch.Generator().manual_seed(seed)
        own = of_alphabet[int(torch.randint(len(of_alphabet), (), generator=generator))]
        chosen = own[torch.randperm(len(own), generator=generator)[:WAYS]]
        rows = [
            places[int(c)][torch.randperm(len(places[int(c)]), generator=generator)[: 1 + queries]]
            for c in chosen
        ]
        images = drawings.images[torch.cat(rows)]
        if varied:
            of_class = random_placements(WAYS, generator, **_LARGE)
            quarter = torch.randint(4, (WAYS,), generator=generator)
            of_class = _chained(of_class, _quarters()[quarter])
            of_image = random_placements(len(images), generator, **_SMALL)
            images = placed(images, _chained(of_class.repeat_interleave(1 + queries, 0), of_image))
        images = images.reshape(WAYS, 1 + queries, *images.shape[1:])
        labels = torch.arange(WAYS)
        parts = (
            images[:, :1].flatten(0, 1)[None],
            labels[None],
            images[:, 1:].flatten(0, 1)[None],
            labels.repeat_interleave(queries)[None],
        )
        if prototypical:
            return prototypical_episode(network, *parts, classes=WAYS)
        return NetworkEpisode(network, *parts, loss=cross_entropy)

    return draw


def _quarters() -> Tensor:
    """Turns by 0, 90, 180 and 270 degrees, (4, 2, 3)."""
    turns = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]]])
    quarter = turns[1]
    powers = [torch.linalg.matrix_power(quarter, n) for n in range(4)]
    return torch.cat([torch.stack(powers), torch.zeros(4, 2, 1)], -1)


def learned(
    network: Network,
    drawings: Alphabets,
    method: Composition,
    iterations: int,
    *,
    seed: int = 0,
    learning_rate: float = 2e-3,
    prototypical: bool = True,
    varied: bool = True,
    progress: bool = False,
) -> Parameters:
    """What a method learns of the drawings."""
    draw = episodes(network, drawings, varied=varied, prototypical=prototypical)
    buffers = network.buffers() if network.statistics == "running" else {}
    start = initial(method, {**network.start(), **buffers})
    outer = Outer(iterations, learning_rate, schedule="cosine", clip=10.0)
    return meta_train(method, draw, start, outer, seed=seed, progress=progress).learned


def _views(images: Tensor, views: int) -> Tensor:
    """Every drawing as it is and moved a little, (view, drawing, 1, 28, 28)."""
    generator = torch.Generator().manual_seed(0)
    moved = [placed(images, random_placements(len(images), generator, **_SMALL)) for _ in range(views - 1)]
    return torch.stack([images, *moved])


def _features(network: Network, parameters: Parameters, run: OneShotRun, views: int) -> tuple[Tensor, Tensor]:
    """Mean features of the training and the test drawings of a run, (1, drawing, feature) each."""
    sums: list[Tensor] = []
    training, test = _views(run.training, views), _views(run.test, views)
    support = torch.arange(2 * WAYS)[None] < WAYS
    for known, asked in zip(training, test, strict=True):
        both = torch.cat([known, asked])[None]
        sums.append(network(parameters, both, support if network.looks_at_support else None))
    mean = torch.stack(sums).mean(0)
    return mean[:, :WAYS], mean[:, WAYS:]


def errors(
    network: Network, method: Composition, learned: Parameters, runs: list[OneShotRun], *, prototypical: bool, views: int = 1
) -> np.ndarray:
    """Share of the test drawings of each run that are told wrong."""
    wrong = []
    for run in runs:
        if prototypical:
            shared = {n: v if n in network.buffer_names else v[None] for n, v in learned.items()}
            with torch.no_grad():
                known, asked = _features(network, shared, run, views)
            centres = prototypes(known, torch.arange(WAYS)[None], WAYS)
            told = class_scores(asked, centres)[0].argmax(-1)
        else:
            labels = torch.arange(WAYS)[None]
            episode = NetworkEpisode(
                network, run.training[None], labels, run.test[None], run.classes[None], loss=cross_entropy
            )
            told = episode.outputs(adapt(method, episode, learned))[0].argmax(-1)
        wrong.append(float((told != run.classes).double().mean()))
    return np.array(wrong)


def pixel_errors(runs: list[OneShotRun]) -> np.ndarray:
    """The same of the nearest drawing, pixel by pixel."""
    told = [torch.cdist(run.test.flatten(1), run.training.flatten(1)).argmin(1) for run in runs]
    return np.array(
        [float((t != run.classes).double().mean()) for t, run in zip(told, runs, strict=True)]
    )


def kept_aside(drawings: Alphabets, alphabet: str, count: int = 20, seed: int = 0) -> list[OneShotRun]:
    """Runs like the published ones of an alphabet that is not learned from, to choose settings by."""
    generator = torch.Generator().manual_seed(seed)
    own = drawings.characters[drawings.alphabets == drawings.names.index(alphabet)].unique()
    runs = []
    for _ in range(count):
        chosen = own[torch.randperm(len(own), generator=generator)[:WAYS]]
        pairs = []
        for character in chosen:
            rows = (drawings.characters == character).nonzero()[:, 0]
            pairs.append(rows[torch.randperm(len(rows), generator=generator)[:2]])
        first, second = torch.stack(pairs).T
        runs.append(OneShotRun(drawings.images[first], drawings.images[second], torch.arange(WAYS)))
    return runs


def without(drawings: Alphabets, alphabet: str) -> Alphabets:
    """The drawings of the other alphabets."""
    keep = drawings.alphabets != drawings.names.index(alphabet)
    return Alphabets(drawings.images[keep], drawings.characters[keep], drawings.alphabets[keep], drawings.names)
