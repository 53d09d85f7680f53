"""What structures a prior of families has seen: elements and sizes; how strange a new one is, and what that adds.

A process over families learns how uncertain a new family is by leaving known ones out. So it knows what an unseen anion
does, where every family left out had one. It cannot know what silicon does to a boiling point, or what a molecule of
one atom does, where no family that was left out had such members; and descriptors, by which it extrapolates, do not
tell. There the function that families share is as uncertain as before any was known, and members that are strange in
the same way go together: measuring one tells of the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.materials.structures import Makeup, makeup

__all__ = ["Familiar", "Strange"]

_FAR = 2.0  # times as large, or small, as any known: up to there descriptors extrapolate
_NOUNS = {"smiles": "molecule", "formula": "composition", "crystal": "crystal"}
_SIZES = {"smiles": "atoms", "formula": "elements", "crystal": "atoms in the cell"}


@dataclass(frozen=True)
class Strange:
    """How some structures differ from all that was learned from.

    Attributes
    ----------
    sentences : tuple of str
        Of each structure, what is strange; empty where nothing is.
    loadings : Tensor, (structure, way)
        On each way of being strange, between 0 and 1.
    """

    sentences: tuple[str, ...]
    loadings: Tensor


@dataclass(frozen=True)
class Familiar:
    """Elements and sizes of the structures that a prior was learned from.

    Attributes
    ----------
    kind : str
        How structures are written.
    elements : tuple of str
    least, most : int
        Sizes, as `metasci.materials.structures.Makeup` counts them.
    novel : float
        Share of families with an element that no other one has: how far learning by leaving families out has already
        seen what an unseen element does.
    """

    kind: str
    elements: tuple[str, ...]
    least: int
    most: int
    novel: float

    @classmethod
    def of(cls, kind: str, families: Sequence[Sequence[str]]) -> Self:
        """What is familiar after some families of structures.

        Examples
        --------
        >>> Familiar.of("formula", [["CoNi", "CoNi2"], ["AlCoNi"]])
        Familiar(kind='formula', elements=('Al', 'Co', 'Ni'), least=2, most=3, novel=0.5)
        """
        made = [[makeup(kind, text) for text in family] for family in families]
        held = [frozenset().union(*(each.elements for each in family)) for family in made]
        families_with = Counter(element for elements in held for element in elements)
        alone = [any(families_with[element] == 1 for element in elements) for elements in held]
        sizes = [each.size for family in made for each in family]
        return cls(kind, tuple(sorted(families_with)), min(sizes), max(sizes), sum(alone) / len(made))

    def strange(self, texts: Sequence[str]) -> Strange:
        """How strange some structures are.

        Examples
        --------
        >>> known = Familiar.of("formula", [["CoNi"], ["AlCoNi"], ["CoNi3"]])
        >>> strange = known.strange(["AlNi", "NiPb"])
        >>> strange.loadings.tolist(), strange.sentences[1]
        ([[0.0], [0.816...]], 'no composition with Pb was learned from')
        """
        made = [makeup(self.kind, text) for text in texts]
        unseen = sorted({element for each in made for element in each.elements} - set(self.elements))
        rows = [[float(element in each.elements) for element in unseen] for each in made]
        loadings = math.sqrt(1.0 - self.novel) * torch.tensor(rows, dtype=torch.float64).reshape(
            len(made), -1
        )
        far = torch.tensor([self._beyond(each.size) for each in made], dtype=torch.float64)
        if bool(far.any()):
            loadings = torch.cat([loadings, far[:, None]], 1)
        return Strange(tuple(self._sentence(each) for each in made), loadings)

    def _beyond(self, size: int) -> float:
        """Nothing within half and twice the sizes known; one from there on."""
        return float(size * _FAR <= self.least or size >= self.most * _FAR)

    def _sentence(self, each: Makeup) -> str:
        noun, sizes = _NOUNS[self.kind], _SIZES[self.kind]
        unseen = [element for element in sorted(each.elements) if element not in self.elements]
        unseen = unseen if self.novel < 1.0 else []  # every family left out had one: that is what was learned
        parts = [f"no {noun} with {' or '.join(unseen)} was learned from"] if unseen else []
        if self._beyond(each.size):
            counted = (
                sizes if each.size != 1 else sizes.replace("atoms", "atom").replace("elements", "element")
            )
            parts.append(f"it has {each.size} {counted}, those learned from {self.least} to {self.most}")
        return ", and ".join(parts)

    def join(self, other: Familiar) -> Familiar:
        """What is familiar after both."""
        return Familiar(
            self.kind,
            tuple(sorted({*self.elements, *other.elements})),
            min(self.least, other.least),
            max(self.most, other.most),
            self.novel,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain text and numbers."""
        return {**asdict(self), "elements": list(self.elements)}

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Self:
        """Of what `to_dict` gives."""
        try:
            kind, elements = str(values["kind"]), tuple(map(str, values["elements"]))
            least, most, novel = int(values["least"]), int(values["most"]), float(values["novel"])
        except (KeyError, TypeError, ValueError):
            raise InputError("what is familiar to the prior is broken; learn it anew.") from None
        if kind not in _NOUNS or not 0 < least <= most or not 0.0 <= novel <= 1.0:
            raise InputError("what is familiar to the prior is no kind, sizes and share; learn it anew.")
        return cls(kind, elements, least, most, novel)
