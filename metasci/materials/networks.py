"""Graph networks of torch-geometric's layers, for `metasci.meta.Network`: forward takes one family's members.

Their weights and inputs run under `torch.func.vmap`, one family each, with exact second derivatives. Where
torch-geometric gathers messages by writing into a tensor of zeros, which that does not allow, they are added to new
zeros of the messages' own kind instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import CGConv, DenseGATConv

from metasci.materials.graphs import Graph

__all__ = ["CompositionNetwork", "GraphNetwork"]


class _Convolution(CGConv):
    """Gated message passing (Xie and Grossman 2018) that runs under vmap."""

    def message(self, x_i: Tensor, x_j: Tensor, edge_attr: Tensor) -> Tensor:
        # the last edge feature is its weight: zero for padding
        sent: Tensor = super().message(x_i, x_j, edge_attr[..., :-1])
        return sent * edge_attr[..., -1:]

    def aggregate(
        self, inputs: Tensor, index: Tensor, ptr: Any = None, dim_size: int | None = None
    ) -> Tensor:
        zeros = inputs.new_zeros((int(dim_size or 0), inputs.shape[-1]))
        return zeros.index_add(0, index, inputs)


class GraphNetwork(nn.Module):
    """Message passing over the atoms of molecules or crystals, a sum over atoms by their share, and a head.

    Members are padded side by side or joined to one graph (`metasci.materials.graphs.stacked`, `joined`).

    Parameters
    ----------
    nodes, edges : int
        Features of a node and of an edge, as in a `Graph`.
    width : int
    layers : int
    conditions : int
        Numbers beside the structure, such as temperature, under the key ``"conditions"``, (member, condition).
    outputs : int
        One for a value; 1 + features for a linear head.

    Examples
    --------
    >>> from metasci.materials.graphs import molecule_graph, stacked
    >>> members = stacked([molecule_graph("CCO"), molecule_graph("CCCO")])
    >>> GraphNetwork(15, 5, width=8)(members).shape
    torch.Size([2, 1])
    """

    def __init__(
        self, nodes: int, edges: int, width: int = 32, layers: int = 2, conditions: int = 0, outputs: int = 1
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(nodes, width)
        self.layers = nn.ModuleList(_Convolution(width, edges) for _ in range(layers))
        self.body = nn.Sequential(nn.Linear(width + conditions, width), nn.SiLU())
        self.head = nn.Linear(width, outputs)

    def forward(self, members: Graph) -> Tensor:
        """Outputs of the members of one family, (member, output)."""
        one = members if "member" in members else _side_by_side(members)
        ends = torch.stack([one["source"], one["target"]])
        edge = torch.cat([one["edge"], one["weight"][:, None]], -1)
        node = torch.tanh(self.embed(one["node"]))
        for layer in self.layers:
            node = torch.tanh(layer(node, ends, edge))
        shared = node * one["share"][:, None]
        zeros = shared.new_zeros((len(one["there"]), shared.shape[-1]))
        whole = zeros.index_add(0, one["member"], shared)
        return self.head(self.body(_with_conditions(whole, members)))


def _side_by_side(members: Graph) -> Graph:
    """Padded members as one graph, padding and all."""
    count, size, _ = members["node"].shape
    at = torch.arange(count, device=members["node"].device)
    one = {name: members[name].flatten(0, 1) for name in ("node", "share", "edge", "weight")}
    one |= {end: (members[end] + size * at[:, None]).flatten() for end in ("source", "target")}
    return one | {"member": at.repeat_interleave(size), "there": members["node"][:, 0, 0]}


class CompositionNetwork(nn.Module):
    """Attention of every element to all others of its composition, a mean weighted by fraction, and a head.

    Parameters
    ----------
    nodes : int
        Features of an element.
    width : int
    layers : int
    conditions : int
        Numbers beside the composition, such as temperature and processing, under the key ``"conditions"``.
    outputs : int

    Examples
    --------
    >>> from metasci.materials.graphs import composition_graph, stacked
    >>> members = stacked([composition_graph("CoCrFeNi"), composition_graph("Al0.5CoNi")])
    >>> CompositionNetwork(7, width=8)(members).shape
    torch.Size([2, 1])
    """

    def __init__(
        self, nodes: int, width: int = 32, layers: int = 2, conditions: int = 0, outputs: int = 1
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(nodes + 1, width)
        self.layers = nn.ModuleList(DenseGATConv(width, width, heads=2, concat=False) for _ in range(layers))
        self.body = nn.Sequential(nn.Linear(width + conditions, width), nn.SiLU())
        self.head = nn.Linear(width, outputs)

    def forward(self, members: Graph) -> Tensor:
        """Outputs of the members of one family, (member, output)."""
        share = members["share"]
        present = (share > 0).to(share.dtype)
        joined = present[:, :, None] * present[:, None, :]
        node = torch.tanh(self.embed(torch.cat([members["node"], share[..., None]], -1)))
        for layer in self.layers:
            node = torch.tanh(node + layer(node, joined, add_loop=True))
        whole = (node * share[..., None]).sum(1)
        return self.head(self.body(_with_conditions(whole, members)))


def _with_conditions(whole: Tensor, members: Graph) -> Tensor:
    return torch.cat([whole, members["conditions"]], -1) if "conditions" in members else whole
