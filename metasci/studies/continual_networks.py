"""Networks that learn alphabets one after another, for `metasci.studies.continual_drawings`.

One network names the characters of all alphabets; which alphabet a drawing is of is told. While one alphabet is
learned, the drawings of those before are gone, unless a way keeps them. Networks have no batch normalisation, whose
averages would forget by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metasci.files import read_tensors, write_tensors
from metasci.meta import Outer, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.online_laplace import Kept, Remembering, squared_slopes
from metasci.meta.networks.stateless import called
from metasci.studies.omniglot_drawings import Alphabet, Warp, warped
from metasci.studies.omniglot_networks import Together, Way, by_people, in_turn

__all__ = ["Budget", "InTurn", "Lesson", "lessons", "named_error", "network"]

_KEPT = "kept/"
_AT_ONCE = 5  # people, so that an episode of distances has about as many drawings as one of names


@dataclass(frozen=True)
class Budget:
    """How long each alphabet is learned.

    Attributes
    ----------
    iterations, drawings : int
        Steps of Adam, and drawings in each.
    rate : float
        It falls to zero along a cosine, for every alphabet anew.
    width : int
        Channels of the first layer.
    """

    iterations: int = 150
    drawings: int = 96
    rate: float = 2e-3
    width: int = 16


@dataclass(frozen=True)
class Lesson:
    """One alphabet of a sequence.

    Attributes
    ----------
    alphabet : Alphabet
    first : int
        The place of its first character among those of all alphabets.
    """

    alphabet: Alphabet
    first: int

    @property
    def name(self) -> str:
        """The alphabet's."""
        return self.alphabet.name

    @property
    def places(self) -> slice:
        """Of its characters among those of all alphabets."""
        return slice(self.first, self.first + self.alphabet.characters)

    def by(self, people: Sequence[int]) -> Tensor:
        """Which drawings are by some people, character after character."""
        rows = np.arange(self.alphabet.characters)[:, None] * self.alphabet.people + np.asarray(people)
        return torch.from_numpy(rows.ravel())

    def characters(self, rows: Tensor) -> Tensor:
        """The characters that drawings show, among those of all alphabets."""
        return self.first + rows // self.alphabet.people


def lessons(alphabets: Sequence[Alphabet]) -> list[Lesson]:
    """Alphabets in a sequence, their characters numbered on."""
    firsts = np.cumsum([0, *[each.characters for each in alphabets]])
    return [Lesson(each, int(first)) for each, first in zip(alphabets, firsts, strict=False)]


def network(characters: int, width: int, seed: int) -> nn.Sequential:
    """Four layers of convolutions, and a linear head of all characters whose weights begin at zero."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for at, (many, more) in enumerate(pairwise((1, width, 2 * width, 2 * width, 2 * width))):
        layers += [nn.Conv2d(many, more, 3, padding=1, bias=False), nn.GroupNorm(4, more), nn.ReLU()]
        if at < 3:
            layers.append(nn.MaxPool2d(2))
    head = nn.Linear(18 * width, characters)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(nn.Sequential(*layers, nn.Flatten()), head)


def named_error(module: nn.Module, lesson: Lesson, people: Sequence[int]) -> float:
    """Share of some people's drawings of an alphabet that are named wrongly among its characters."""
    rows = lesson.by(people)
    with torch.no_grad():
        scores = module(warped(lesson.alphabet.drawings[rows]))[:, lesson.places]
    return float((lesson.first + scores.argmax(1) != lesson.characters(rows)).double().mean())


def _cost(scores: Tensor, target: Tensor, among: Tensor) -> Tensor:
    """Mean cross-entropy, each drawing's among its own alphabet's characters."""
    return functional.cross_entropy(scores.masked_fill(~among, -torch.inf), target)


def _drawn(
    module: nn.Module, known: Sequence[Lesson], people: Sequence[int], budget: Budget, at: int
) -> Together:
    """An episode of drawings of some alphabets, warped, in proportion to their characters."""
    generator, noise = np.random.default_rng(at), torch.Generator().manual_seed(at)
    sizes = np.array([lesson.alphabet.characters for lesson in known], dtype=float)
    counts = generator.multinomial(budget.drawings, sizes / sizes.sum())
    seen, targets, among = [], [], []
    total = module[-1].out_features  # type: ignore[index]
    for lesson, count in zip(known, counts, strict=True):
        rows = lesson.by(people)
        rows = rows[torch.from_numpy(generator.integers(len(rows), size=count))]
        seen.append(warped(lesson.alphabet.drawings[rows], Warp(), noise))
        targets.append(lesson.characters(rows))
        own = torch.zeros(count, int(total), dtype=torch.bool)
        own[:, lesson.places] = True
        among.append(own)
    cost = partial(_cost, target=torch.cat(targets), among=torch.cat(among))
    return Together(module, torch.cat(seen), cost)


@dataclass(frozen=True)
class InTurn:
    """A way to learn one alphabet after another.

    Attributes
    ----------
    together : bool
        Whether the drawings of all alphabets so far are at hand, or the newest's alone.
    times : float
        Whether, and how many times, what online Laplace keeps of those before counts.
    distances : bool
        Whether distances of features are learned, as for prototypes, or names.
    """

    together: bool = False
    times: float = 0.0
    distances: bool = False

    def learned(
        self, sequence: Sequence[Lesson], people: Sequence[int], budget: Budget, seed: int, keep: Path
    ) -> list[Parameters]:
        """Weights after each alphabet of a sequence, which are kept in a folder."""
        module = network(sum(lesson.alphabet.characters for lesson in sequence), budget.width, seed)
        kept, made = Kept.nothing(dict(module.named_parameters())), []
        for number in range(len(sequence)):
            path = keep / f"{number}.safetensors"
            if not path.exists():
                kept = self._learn_next(module, sequence[: number + 1], people, budget, seed, kept)
                keep.mkdir(parents=True, exist_ok=True)
                weights = {name: value.detach().clone() for name, value in module.named_parameters()}
                write_tensors(path, {**weights, **{_KEPT + n: v for n, v in kept.tensors().items()}}, {})
            stored, _ = read_tensors(path)
            of_kept = {n.removeprefix(_KEPT): v for n, v in stored.items() if n.startswith(_KEPT)}
            made.append({n: v for n, v in stored.items() if not n.startswith(_KEPT)})
            kept = Kept.of_tensors(of_kept)
            module.load_state_dict(made[-1])
        return made

    def _learn_next(
        self,
        module: nn.Sequential,
        so_far: Sequence[Lesson],
        people: Sequence[int],
        budget: Budget,
        seed: int,
        kept: Kept,
    ) -> Kept:
        """Learn the newest alphabet, in place; what is kept then."""
        newest, known = so_far[-1], so_far if self.together else so_far[-1:]
        total = float(newest.alphabet.characters * len(people))
        before = 1_000 * (len(so_far) + 10 * seed)

        def draw(at: int) -> Any:
            if self.distances:
                return _by_distances(module[0], known, people, before + at)
            own = _drawn(module, known, people, budget, before + at)
            return Remembering(own, kept, total, self.times) if self.times and kept.cases else own

        part = module[0] if self.distances else module  # distances ask no head
        start = {name: value.detach().clone() for name, value in part.named_parameters()}
        outer = Outer(budget.iterations, budget.rate, schedule="cosine", clip=10.0)
        done = meta_train(named.pooled_training(), draw, start, outer, seed=seed, compile=False)
        part.load_state_dict(done.learned)
        if not self.times:
            return kept
        return kept.also(done.learned, _information(module, done.learned, newest, people, seed), total)


def _by_distances(body: nn.Module, known: Sequence[Lesson], people: Sequence[int], at: int) -> Together:
    """An episode of prototypes: each person's drawings of twenty characters are the support of all others'."""
    seen = by_people([_of(lesson.alphabet, people) for lesson in known], at, _AT_ONCE, Way(turned=False))
    return Together(body, seen.flatten(0, 1), partial(in_turn, people=_AT_ONCE))


def _information(
    module: nn.Module, weights: Parameters, lesson: Lesson, people: Sequence[int], seed: int
) -> Parameters:
    """Σ of squared slopes over the drawings of an alphabet, each warped once."""
    rows = lesson.by(people)
    drawings = warped(lesson.alphabet.drawings[rows], Warp(), torch.Generator().manual_seed(seed))

    def cost(weights: Parameters, case: tuple[Tensor, Tensor]) -> Tensor:
        scores = called(module, weights, case[0][None])[0, lesson.places]
        return -torch.log_softmax(scores, 0).gather(0, case[1][None])[0]

    return squared_slopes(cost, weights, (drawings, lesson.characters(rows) - lesson.first), chunk=32)


def _of(alphabet: Alphabet, people: Sequence[int]) -> Alphabet:
    """The alphabet as some of its people drew it."""
    rows = Lesson(alphabet, 0).by(people)
    return Alphabet(alphabet.name, alphabet.drawings[rows], alphabet.characters, len(people))
