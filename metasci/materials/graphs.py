"""Graphs of molecules, crystals and compositions as tensors that a network takes: nodes, edges, and how they belong.

A family's members are padded to the largest of them, so that all families run at once: (member, node, ...) and
(member, edge, ...). Padded nodes have share zero; padded edges lead from node 0 to node 0 with weight zero. Members of
very unlike sizes are better joined to one graph without padding, whose nodes know their members.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.materials.compositions import element_table, fractions
from metasci.materials.crystals import atoms_of
from metasci.materials.molecules import molecule_of
from metasci.materials.structures import needs

__all__ = ["Graph", "composition_graph", "crystal_graph", "distances", "joined", "molecule_graph", "stacked"]

Graph = dict[str, Tensor]
"""``node`` (node, feature), ``share`` (node,), ``source`` and ``target`` (edge,), ``edge`` (edge, feature),
``weight`` (edge,); joined ones also ``member`` (node,) and ``there`` (member,)."""

_ATOMS = ("C", "N", "O", "F", "S", "Cl", "Br", "I", "P", "Si")
_BONDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
_PLACES = ("source", "target", "member")


def molecule_graph(smiles: str) -> Graph:
    """Atoms and bonds of a molecule, each bond in both directions; hydrogens are counted on their atoms.

    Examples
    --------
    >>> graph = molecule_graph("CCO")
    >>> graph["node"].shape[0], graph["source"].tolist(), graph["target"].tolist()
    (3, [0, 1, 1, 2], [1, 0, 2, 1])
    """
    molecule = molecule_of(smiles)
    nodes = []
    for atom in molecule.GetAtoms():
        kind = [float(atom.GetSymbol() == symbol) for symbol in _ATOMS]
        nodes.append(
            [
                *kind,
                atom.GetTotalNumHs(),
                atom.GetDegree(),
                float(atom.GetIsAromatic()),
                float(atom.IsInRing()),
                atom.GetFormalCharge(),
            ]
        )
    pairs, edges = [], []
    for bond in molecule.GetBonds():
        ends = (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        kind = [float(bond.GetBondType().name == name) for name in _BONDS]
        pairs += [ends, ends[::-1]]
        edges += [[*kind, float(bond.IsInRing())]] * 2
    return _graph(nodes, [1.0] * len(nodes), pairs, edges, len(_BONDS) + 1)


def composition_graph(formula: str) -> Graph:
    """Elements of a composition, each with its standardised properties and its fraction, all joined to all.

    Examples
    --------
    >>> composition_graph("Al0.5 Co1 Ni0.5")["share"].tolist()
    [0.25, 0.5, 0.25]
    """
    parts = fractions(formula)
    numbers = [int(needs("ase.data").atomic_numbers[element]) for element in parts]
    count = len(parts)
    pairs = [(node, other) for other in range(count) for node in range(count)]
    share = list(parts.values())
    edges = [[share[node]] for node, _ in pairs]
    return _graph(_standard()[np.array(numbers) - 1].tolist(), share, pairs, edges, 1)


def crystal_graph(structure: Any, cutoff: float = 5.0, most: int = 12, gaussians: int = 16) -> Graph:
    """Atoms of a cell and their neighbours in all its periodic images, with distances spread over Gaussians.

    An atom is told by the properties of its element and the logarithm of its mass.

    Source: Xie and Grossman, Phys Rev Lett 120 (2018) 145301.

    Parameters
    ----------
    structure
        What `metasci.materials.crystals.atoms_of` takes: CIF file, ASE or pymatgen structure.
    cutoff : float
        In Å; doubled for an atom that has no neighbour within it.
    most : int
        Neighbours of an atom, the nearest.
    gaussians : int

    Examples
    --------
    >>> salt = {"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]},
    ...         "sites": [{"species": [{"element": "Cs", "occu": 1}], "abc": [0, 0, 0]},
    ...                   {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5]}]}
    >>> graph = crystal_graph(salt, cutoff=3.6)
    >>> torch.bincount(graph["target"]).tolist()  # eight neighbours each, √3/2·4 = 3.46 Å away
    [8, 8]
    """
    atoms = atoms_of(structure)
    find = needs("ase.neighborlist").neighbor_list
    reach = cutoff
    target, source, distance = find("ijd", atoms, reach)
    while len(np.unique(target)) < len(atoms):
        reach *= 2.0
        target, source, distance = find("ijd", atoms, reach)
    kept = []
    for atom in range(len(atoms)):
        around = np.flatnonzero(target == atom)
        kept.append(around[np.argsort(distance[around], kind="stable")[:most]])
    chosen = np.concatenate(kept)
    pairs = list(zip(source[chosen].tolist(), target[chosen].tolist(), strict=True))
    edges = distances(torch.as_tensor(distance[chosen]), cutoff, gaussians).tolist()
    share = [1.0 / len(atoms)] * len(atoms)
    # light elements are alike in mass as it stands, and far apart in its logarithm, on which vibrations depend
    log_mass = np.log(atoms.get_masses())[:, None] - 4.0
    nodes = np.concatenate([_standard()[atoms.numbers - 1], log_mass], 1)
    return _graph(nodes.tolist(), share, pairs, edges, gaussians)


def distances(values: Tensor, cutoff: float, count: int) -> Tensor:
    """Distances spread over Gaussians evenly between zero and a cutoff, as wide as they lie apart, (..., gaussian).

    Examples
    --------
    >>> distances(torch.tensor([0.0, 2.0]), cutoff=4.0, count=3).round(decimals=3).tolist()
    [[1.0, 0.607, 0.135], [0.607, 1.0, 0.607]]
    """
    centre = torch.linspace(0.0, cutoff, count, dtype=values.dtype)
    return (-0.5 * ((values[..., None] - centre) / (cutoff / (count - 1))).square()).exp()


def stacked(graphs: Sequence[Graph], dtype: torch.dtype = torch.float32) -> Graph:
    """Graphs side by side, padded to the largest, (member, ...).

    Examples
    --------
    >>> both = stacked([molecule_graph("CCO"), molecule_graph("C")])
    >>> both["node"].shape[:2], both["weight"].sum(1).tolist()
    (torch.Size([2, 3]), [4.0, 0.0])
    """
    arrays: Graph = {}
    for name in graphs[0]:
        longest = max(len(graph[name]) for graph in graphs)
        shape = (len(graphs), longest, *graphs[0][name].shape[1:])
        whole = torch.zeros(shape, dtype=torch.long if name in _PLACES else dtype)
        for row, graph in enumerate(graphs):
            whole[row, : len(graph[name])] = graph[name].to(whole.dtype)
        arrays[name] = whole
    return arrays


def joined(graphs: Sequence[Graph], dtype: torch.dtype = torch.float32) -> Graph:
    """Graphs as one, with no edge between them and no padding.

    Several of these with equally many members stand side by side by `stacked`.

    Examples
    --------
    >>> both = joined([molecule_graph("CCO"), molecule_graph("CO")])
    >>> both["member"].tolist(), both["source"].tolist()
    ([0, 0, 0, 1, 1], [0, 1, 1, 2, 3, 4])
    """
    sizes = torch.tensor([len(graph["node"]) for graph in graphs])
    first = sizes.cumsum(0) - sizes
    whole = {
        name: torch.cat([graph[name] for graph in graphs]).to(dtype)
        for name in ("node", "share", "edge", "weight")
    }
    for end in ("source", "target"):
        whole[end] = torch.cat([graph[end] + at for graph, at in zip(graphs, first, strict=True)])
    member = torch.arange(len(graphs)).repeat_interleave(sizes)
    return {**whole, "member": member, "there": torch.ones(len(graphs), dtype=dtype)}


GRAPHS: dict[str, Callable[[str], Graph]] = {
    "smiles": molecule_graph,
    "formula": composition_graph,
    "crystal": crystal_graph,
}
"""By the kind of structure."""


def _graph(
    nodes: Sequence[Sequence[float]],
    share: Sequence[float],
    pairs: Sequence[tuple[int, int]],
    edges: Sequence[Sequence[float]],
    width: int,
) -> Graph:
    ends = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return {
        "node": torch.tensor(nodes, dtype=torch.float64),
        "share": torch.tensor(share, dtype=torch.float64),
        "source": ends[:, 0],
        "target": ends[:, 1],
        "edge": torch.tensor(edges, dtype=torch.float64).reshape(-1, width),
        "weight": torch.ones(len(ends), dtype=torch.float64),
    }


@functools.cache
def _standard() -> np.ndarray:
    table = element_table()
    standard: np.ndarray = (table - table.mean(0)) / table.std(0)
    return standard
