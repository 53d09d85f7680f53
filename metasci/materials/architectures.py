"""Graph networks by name: a few numbers say all of one, so that a file can, without a line of code in it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metasci.errors import InputError
from metasci.materials.graphs import Graph, composition_graph, crystal_graph, molecule_graph

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Architecture", "usual_architecture"]

_LAYERS = ("message passing", "attention")
_NODES = {"smiles": 15, "formula": 7, "crystal": 8}
"""Features of a node, as `metasci.materials.graphs` makes them."""
_BONDS = 5  # numbers that tell a bond: single, double, triple, aromatic, in a ring


@dataclass(frozen=True)
class Architecture:
    """A network of graphs, and how a structure becomes a graph.

    Parameters
    ----------
    structure : "smiles", "formula" or "crystal"
        How structures are written.
    kind : "message passing" or "attention"
        `metasci.materials.networks.GraphNetwork` of molecules and crystals, or `CompositionNetwork` of formulas.
    width, layers : int
    cutoff, neighbours, gaussians
        Of a crystal's graph; see `metasci.materials.graphs.crystal_graph`.

    Raises
    ------
    InputError
        If a number makes no sense, or the kind does not go with the structure.

    Examples
    --------
    >>> Architecture("smiles", width=8).module(conditions=1, outputs=2).head
    Linear(in_features=8, out_features=2, bias=True)
    """

    structure: str
    kind: str = "message passing"
    width: int = 32
    layers: int = 2
    cutoff: float = 5.0
    neighbours: int = 12
    gaussians: int = 16

    def __post_init__(self) -> None:
        if self.structure not in _NODES:
            raise InputError(f"structure: '{self.structure}' is not known; say one of {', '.join(_NODES)}.")
        if self.kind not in _LAYERS:
            raise InputError(f"kind: '{self.kind}' is not known; say one of {', '.join(_LAYERS)}.")
        if (self.kind == "attention") != (self.structure == "formula"):
            raise InputError(
                f"kind: '{self.kind}' is not for structures written as {self.structure}: formulas take attention, "
                "molecules and crystals message passing."
            )
        # bounds far beyond what a few members could teach, so that a file cannot ask for all memory
        for name, most in (("width", 4096), ("layers", 64), ("neighbours", 1000), ("gaussians", 1000)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"{name}: {getattr(self, name)} is not between 1 and {most}.")
        if self.gaussians < 2 or not 0.0 < self.cutoff <= 100.0:
            raise InputError("a crystal's graph needs a cutoff of up to 100 Å and two Gaussians or more.")

    def module(self, conditions: int, outputs: int) -> nn.Module:
        """The network, its weights at random, for so many conditions and outputs."""
        from metasci.materials.networks import CompositionNetwork, GraphNetwork

        nodes = _NODES[self.structure]
        if self.kind == "attention":
            return CompositionNetwork(nodes, self.width, self.layers, conditions, outputs)
        edges = _BONDS if self.structure == "smiles" else self.gaussians
        return GraphNetwork(nodes, edges, self.width, self.layers, conditions, outputs)

    def graph(self, text: str) -> Graph:
        """The graph of a structure, which must not be changed: the last ones are kept."""
        return _graph(self, text)


def usual_architecture(structure: str) -> Architecture:
    """The network that `docs/studies/graph-networks.md` has of structures written so.

    Examples
    --------
    >>> usual_architecture("formula").kind, usual_architecture("crystal").neighbours
    ('attention', 6)
    """
    if structure == "crystal":
        return Architecture("crystal", layers=1, neighbours=6, gaussians=8)
    return Architecture(structure, "attention" if structure == "formula" else "message passing")


@functools.lru_cache(maxsize=5_000)
def _graph(architecture: Architecture, text: str) -> Graph:
    if architecture.structure == "smiles":
        return molecule_graph(text)
    if architecture.structure == "formula":
        return composition_graph(text)
    return crystal_graph(text, architecture.cutoff, architecture.neighbours, architecture.gaussians)
