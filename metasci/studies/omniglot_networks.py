"""What is learned from the drawings of Omniglot, by each method, and how it names the drawings of a run.

Every method sees the same drawings: some characters of one alphabet, each by the same few people, warped at random. An
alphabet that is turned by quarters or mirrored counts as another one. As in the runs, what is known of a task is drawn
by one person, and what is asked by others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metasci.meta import Composition, Network, NetworkEpisode, Outer, adapt, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.episode import cross_entropy
from metasci.meta.networks.prototypes import class_scores, prototypes
from metasci.meta.networks.stateless import called
from metasci.studies.omniglot_drawings import WAYS, Alphabet, Drawings, Run, Warp, warped

__all__ = [
    "ADAPTING",
    "PEOPLE",
    "Together",
    "Way",
    "adapted_scores",
    "by_people",
    "embedding",
    "in_turn",
    "learn_adapting",
    "learn_naming",
    "learn_prototypes",
    "learned_by",
    "nearest_scores",
    "settled",
    "with_head",
]

WIDTH = 32
"""Channels of the first layer; the others have twice as many."""

PEOPLE = 6
"""That draw the characters of an episode of prototypes."""

_TEMPERATURE = 16.0  # of squared distances among some 576 features
_ASKED = 2  # people who draw what is asked of a task that adapts
_SETTLED = 50  # episodes that running averages are taken over


@dataclass(frozen=True)
class Way:
    """How episodes are drawn, and for how long.

    Attributes
    ----------
    warp : Warp, optional
        Without, drawings are seen as they were drawn.
    turned : bool
        Whether alphabets that are turned and mirrored count as alphabets, too.
    within : bool
        Whether the characters of a task are of one alphabet.
    overlaid : float
        Share of tasks in which each character is laid over another one by the same person, which makes new characters.
    centred : bool
        Whether the paper is laid by the ink.
    iterations : int
    rate : float
        The first learning rate; it falls to zero along a cosine.
    """

    warp: Warp | None = field(default_factory=Warp)
    turned: bool = True
    within: bool = True
    overlaid: float = 0.0
    centred: bool = True
    iterations: int = 1000
    rate: float = 2e-3


def embedding(width: int = WIDTH) -> nn.Sequential:
    """Four layers of convolutions with batch normalisation, to 9 · 2 · `width` features."""
    layers: list[nn.Module] = []
    wide = (1, width, 2 * width, 2 * width, 2 * width)
    for at, (many, more) in enumerate(itertools.pairwise(wide)):
        layers += [nn.Conv2d(many, more, 3, padding=1, bias=False), nn.BatchNorm2d(more), nn.ReLU()]
        if at < 3:
            layers.append(nn.MaxPool2d(2))
    made = nn.Sequential(*layers, nn.Flatten())
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def with_head(width: int = WIDTH, classes: int = WAYS) -> nn.Sequential:
    """The same with a linear head whose weights are zero, so that no class is preferred."""
    body = embedding(width)
    head = nn.Linear(18 * width, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(body, head)


def by_people(alphabets: Sequence[Alphabet], seed: int, people: int, way: Way) -> Tensor:
    """Drawings of an episode, (person, character, 1, 28, 28): twenty characters, or as many as there are.

    Alphabets are drawn in proportion to their characters.
    """
    draw = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    quarters, mirrored = (int(draw.integers(4)), bool(draw.integers(2))) if way.turned else (0, False)
    lay = partial(
        warped, warp=way.warp, generator=generator, quarters=quarters, mirrored=mirrored, centred=way.centred
    )
    sizes = np.array([alphabet.characters for alphabet in alphabets])
    one = int(draw.choice(len(alphabets), p=sizes / sizes.sum()))
    who = [draw.permutation(alphabet.people)[:people] for alphabet in alphabets]
    starts = np.concatenate([[0], sizes.cumsum()])
    among = np.arange(starts[one], starts[one + 1]) if way.within else np.arange(starts[-1])
    overlaid = draw.random() < way.overlaid

    def drawn() -> Tensor:
        parts: list[Drawings] = []
        for place in draw.permutation(among)[:WAYS]:
            at = int(starts.searchsorted(place, "right")) - 1
            rows = (place - starts[at]) * alphabets[at].people + who[at]
            parts.append(alphabets[at].drawings[torch.from_numpy(rows)])
        together = Drawings.joined(parts)
        return lay(together[torch.arange(len(together)).reshape(-1, people).T.flatten()])

    made = drawn()
    if overlaid:
        made = torch.maximum(made, drawn())
    return made.reshape(people, -1, *made.shape[1:])


def in_turn(embedded: Tensor, people: int, temperature: float = _TEMPERATURE) -> Tensor:
    """Mean cross-entropy of naming each person's drawings by those of each other person, one a character.

    Parameters
    ----------
    embedded : Tensor, (person · character, feature)
        Person after person.
    people : int
    temperature : float
        That squared distances are divided by.

    Examples
    --------
    >>> embedded = torch.tensor([[0.0], [9.0], [0.0], [9.0]])
    >>> round(in_turn(embedded, 2, 1.0).item(), 6), round(in_turn(0 * embedded, 2, 1.0).item(), 3)
    (0.0, 0.693)
    """
    square = embedded.square().sum(1)
    far = square[:, None] + square - 2.0 * embedded @ embedded.T
    count = len(embedded) // people
    log_chance = torch.log_softmax(-far.reshape(people, count, people, count) / temperature, 3)
    right = log_chance.diagonal(dim1=1, dim2=3)
    return -right[~torch.eye(people, dtype=torch.bool)].mean()


@dataclass(frozen=True)
class Together:
    """Drawings that a network sees at once, normalised by their common statistics; an `Episode` of one task.

    Parameters
    ----------
    module : torch.nn.Module
        In training.
    drawings : Tensor, (drawing, 1, 28, 28)
    cost : callable
        Of the module's outputs.
    """

    module: nn.Module
    drawings: Tensor
    cost: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return 1

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """The weights, and nothing that tasks share."""
        return {name: value[None] for name, value in learned.items()}, {}

    def support(self, parameters: Parameters) -> Tensor:
        """There is nothing to descend on."""
        return next(iter(parameters.values())).new_zeros(1)

    def query(self, parameters: Parameters) -> Tensor:
        """The cost, (1,)."""
        weights = {name: value[0] for name, value in parameters.items()}
        return self.cost(called(self.module, weights, self.drawings))[None]

    def select(self, index: Tensor) -> Together:
        """The one task."""
        return self

    def tensors(self) -> dict[str, Any]:
        """What it is made of, for a checkpoint's name."""
        return {"drawings": self.drawings}


def settled(module: nn.Module, draw: Callable[[int], Together]) -> nn.Module:
    """The module, in place, whose normalisation has the mean statistics of some episodes, ready to be asked."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    module.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all, not one that forgets
    with torch.no_grad():
        for at in range(_SETTLED):
            module(draw(at).drawings)
    return module.eval()


def learn_prototypes(
    alphabets: Sequence[Alphabet],
    seed: int,
    way: Way,
    checkpoint: Path | None = None,
    progress: bool = False,
    people: int = PEOPLE,
) -> nn.Module:
    """A prototypical network, each person's drawings being the support of all others' in turn."""
    torch.manual_seed(seed)
    module = embedding()

    def draw(at: int) -> Together:
        seen = by_people(alphabets, at, people, way)
        return Together(module, seen.flatten(0, 1), partial(in_turn, people=people))

    return learned_by(module, draw, seed, way, checkpoint, progress)


def learn_naming(
    alphabets: Sequence[Alphabet],
    seed: int,
    way: Way,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> nn.Module:
    """The same network trained to name all characters of the alphabets, plain classification; without its head.

    A turned or mirrored character is another one.
    """
    torch.manual_seed(seed)
    body = embedding()
    starts = np.cumsum([0, *[alphabet.characters for alphabet in alphabets]])
    turns = 8 if way.turned else 1
    module = nn.Sequential(body, nn.Linear(18 * WIDTH, int(starts[-1]) * turns))

    def draw(at: int) -> Together:
        generator = np.random.default_rng(at)
        noise = torch.Generator().manual_seed(at)
        seen, names = [], []
        for turn in generator.integers(turns, size=4):
            which = int(generator.choice(len(alphabets), p=np.diff(starts) / starts[-1]))
            of = alphabets[which]
            chosen = generator.permutation(len(of.drawings))[:30]
            seen.append(
                warped(
                    of.drawings[torch.from_numpy(chosen)],
                    way.warp,
                    noise,
                    quarters=int(turn) % 4,
                    mirrored=bool(turn > 3),
                )
            )
            names.append((starts[which] + chosen // of.people) * turns + turn)
        target = torch.from_numpy(np.concatenate(names))
        return Together(module, torch.cat(seen), partial(functional.cross_entropy, target=target))

    trained = learned_by(module, draw, seed, way, checkpoint, progress)
    return trained[0]  # type: ignore[index]


def learned_by(
    module: nn.Module,
    draw: Callable[[int], Together],
    seed: int,
    way: Way,
    checkpoint: Path | None,
    progress: bool,
) -> nn.Module:
    """The module, in place, after Adam has lowered the cost of what `draw` draws, its normalisation settled."""
    start = {name: value.detach().clone() for name, value in module.named_parameters()}
    outer = Outer(way.iterations, way.rate, schedule="cosine")
    done = meta_train(
        named.pooled_training(),
        draw,
        start,
        outer,
        seed=seed,
        compile=False,
        checkpoint=checkpoint,
        progress=progress,
    )
    module.load_state_dict(done.learned, strict=False)
    return settled(module, draw)


def nearest_scores(
    embed: Callable[[Tensor], Tensor],
    of: Sequence[Run],
    *,
    temperature: float = _TEMPERATURE,
    centred: bool = True,
) -> Tensor:
    """Log chance of every known character for every drawing, (run, asked, known), the nearer the greater."""
    scores = []
    for run in of:
        with torch.no_grad():
            known, asked = (
                embed(warped(part, centred=centred)).flatten(1) for part in (run.known, run.asked)
            )
        labels = torch.arange(len(known))[None]
        far = class_scores(asked[None], prototypes(known[None], labels, len(known)))[0]
        scores.append(torch.log_softmax(far / temperature, 1))
    return torch.stack(scores)


ADAPTING: dict[str, Composition] = {
    "MAML": named.maml(3, 0.4),
    "ANIL": named.anil(("0.",), 3, 0.4),
    "Meta-SGD": named.meta_sgd(3, 0.1),
}
"""Methods that adapt a network with a head, by name. The first step moves the head alone, since it begins at zero."""


def learn_adapting(
    alphabets: Sequence[Alphabet],
    seed: int,
    way: Way,
    method: Composition,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> tuple[Network, Parameters]:
    """A start of the network with a head, from which the method adapts to one person's twenty drawings."""
    torch.manual_seed(seed)
    network = Network(with_head())

    def draw(at: int) -> NetworkEpisode:
        seen = by_people(alphabets, at, 1 + _ASKED, way)
        count = seen.shape[1]
        label = torch.arange(count)[None]
        return NetworkEpisode(
            network,
            seen[:1],
            label,
            seen[1:].flatten(0, 1)[None],
            label.repeat(1, _ASKED),
            loss=cross_entropy,
        )

    outer = Outer(way.iterations, way.rate, schedule="cosine", clip=10.0)
    done = meta_train(
        method,
        draw,
        initial(method, network.start()),
        outer,
        seed=seed,
        compile=False,
        checkpoint=checkpoint,
        progress=progress,
    )
    return network, done.learned


def adapted_scores(network: Network, learned: Parameters, method: Composition, of: Sequence[Run]) -> Tensor:
    """The same of a network that was adapted to the known drawings of each run."""
    scores = []
    for run in of:
        known, asked = warped(run.known)[None], warped(run.asked)[None]
        labels = torch.arange(known.shape[1])[None]
        episode = NetworkEpisode(network, known, labels, asked, run.truth[None], loss=cross_entropy)
        with torch.no_grad():
            scores.append(torch.log_softmax(episode.outputs(adapt(method, episode, learned))[0], 1))
    return torch.stack(scores)
