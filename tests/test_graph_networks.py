"""Graphs and graph networks of materials in the engine; the closed-form head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from metasci.errors import InputError
from metasci.meta import Network, NetworkEpisode, Outer, adapt, initial, meta_gradient, meta_train, named
from metasci.meta.networks.linear_head import head_start, linear_head_episode, posterior

pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")
pytest.importorskip("ase", reason="needs the extra metasci-calibration[materials]: ase")
pytest.importorskip("chemicals", reason="needs the extra metasci-calibration[materials]: chemicals")

from metasci.materials.compositions import element_table, fractions
from metasci.materials.crystals import atoms_of
from metasci.materials.graphs import composition_graph, crystal_graph, joined, molecule_graph, stacked
from metasci.materials.networks import CompositionNetwork, GraphNetwork
from metasci.materials.structures import canonical, features

FLOAT = torch.float64


def families(kind: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """Two families of three members each, and a network for them."""
    torch.manual_seed(0)
    if kind == "molecules":
        texts = [["CCO", "CCCO", "CO"], ["CC=O", "c1ccccc1C=O", "CCC=O"]]
        module: torch.nn.Module = GraphNetwork(15, 5, width=6, conditions=1)
        graphs = [[molecule_graph(text) for text in family] for family in texts]
    else:
        texts = [["CoNi", "CoCrFeNi", "Al0.5CoNi"], ["TiZr", "NbTi2", "HfNbTiZr"]]
        module = CompositionNetwork(7, width=6, conditions=1)
        graphs = [[composition_graph(text) for text in family] for family in texts]
    flat = stacked([graph for family in graphs for graph in family], FLOAT)
    batch = {name: values.reshape(2, 3, *values.shape[1:]) for name, values in flat.items()}
    batch["conditions"] = torch.linspace(-1, 1, 6, dtype=FLOAT).reshape(2, 3, 1)
    return module.to(FLOAT), batch


@pytest.mark.parametrize("kind", ["molecules", "compositions"])
@pytest.mark.parametrize("how", ["everything", "head"])
def test_second_order_meta_gradients_are_exact(kind: str, how: str) -> None:
    module, batch = families(kind)
    network = Network(module)
    targets = torch.linspace(-1, 1, 6, dtype=FLOAT).reshape(2, 3, 1)
    episode = NetworkEpisode(network, batch, targets, batch, targets.flip(1))
    composition = (
        named.maml(2, 0.05) if how == "everything" else named.anil(("embed.", "layers.", "body."), 2, 0.05)
    )
    learned = initial(composition, network.start())
    _, gradient = meta_gradient(composition, episode, learned)
    generator = torch.Generator().manual_seed(1)
    along = {
        name: torch.randn(value.shape, generator=generator, dtype=FLOAT) for name, value in learned.items()
    }

    def moved(step: float) -> float:
        there = {name: value + step * along[name] for name, value in learned.items()}
        return float(meta_gradient(composition, episode, there)[0].mean())

    exact = sum(float((gradient[name] * along[name]).sum()) for name in learned)
    assert exact == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, rel=1e-5)
    adapted = adapt(composition, episode, learned)
    assert torch.equal(adapted["embed.weight"][0], learned["embed.weight"]) == (how == "head")


@pytest.mark.parametrize("kind", ["molecules", "compositions"])
def test_all_families_at_once_are_each_by_itself_and_padding_is_nothing(kind: str) -> None:
    module, batch = families(kind)
    network = Network(module)
    weights = {name: value.expand(2, *value.shape) for name, value in network.start().items()}
    together = network(weights, batch)
    with torch.no_grad():
        for family in range(2):
            alone = module({name: values[family] for name, values in batch.items()})
            torch.testing.assert_close(together[family], alone)
            one = {name: values[family, :1] for name, values in batch.items()}
            nodes = int((one["share"] > 0).sum())
            one["node"], one["share"] = one["node"][:, :nodes], one["share"][:, :nodes]
            kept = one["weight"][0] > 0
            if kind == "molecules":
                for name in ("source", "target", "edge", "weight"):
                    one[name] = one[name][:, kept]
            torch.testing.assert_close(module(one), alone[:1])


def test_joined_members_are_told_as_padded_ones() -> None:
    torch.manual_seed(0)
    network = Network(GraphNetwork(15, 5, width=6, outputs=2).to(FLOAT))
    texts = [["CCO", "C", "c1ccccc1C=O"], ["CC=O", "CCCCCCCCCC", "O"]]
    graphs = [[molecule_graph(text) for text in family] for family in texts]
    padded = [network.module(stacked(family, FLOAT)) for family in graphs]
    together = stacked([joined(family, FLOAT) for family in graphs], FLOAT)
    weights = {name: value.expand(2, *value.shape) for name, value in network.start().items()}
    torch.testing.assert_close(network(weights, together), torch.stack(padded), rtol=1e-12, atol=1e-12)


def test_the_order_of_atoms_and_elements_does_not_matter() -> None:
    module, _ = families("molecules")
    module = GraphNetwork(15, 5, width=6).to(FLOAT)
    said = [module(stacked([molecule_graph(text)], FLOAT)) for text in ("OCC(C)=O", "CC(CO)=O")]
    torch.testing.assert_close(*said)
    network = CompositionNetwork(7, width=6).to(FLOAT)
    said = [network(stacked([composition_graph(text)], FLOAT)) for text in ("Al0.5CoNi", "Ni2 Co2 Al1")]
    torch.testing.assert_close(*said)


def test_compositions() -> None:
    assert fractions("Al0.25 Co1 Fe1 Ni1")["Al"] == pytest.approx(0.25 / 3.25)
    assert canonical("formula", "Ni1 Co0.50") == "Co0.5Ni"
    for wrong in ("", "3", "Al-2", "Xx", "Co Ni.", "Al0"):
        with pytest.raises(InputError, match="is not a formula"):
            canonical("formula", wrong)
    iron = element_table()[25]
    assert iron[0] == pytest.approx(55.845, abs=0.01)
    assert iron[1] == pytest.approx(1.83, abs=0.01)  # Pauling
    assert iron[6] == pytest.approx(1811, abs=2)  # melts at 1811 K
    described = features("formula", ["FeNi"])
    assert described.descriptors[0, 0] == pytest.approx((55.845 + 58.693) / 2, abs=0.01)


ROCK_SALT = """data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""


def test_a_crystal_from_a_cif_file_and_from_ase_is_one(tmp_path: Path) -> None:
    from ase.build import bulk

    path = tmp_path / "salt.cif"
    path.write_text(ROCK_SALT)
    read, built = atoms_of(path), bulk("NaCl", "rocksalt", a=5.64)
    assert len(read) == 8
    for atoms in (read, built):
        graph = crystal_graph(atoms, cutoff=3.0)
        assert torch.bincount(graph["target"]).tolist() == [6] * len(atoms)  # six neighbours, 2.82 Å away
        nearest = torch.linspace(0.0, 3.0, 16)[graph["edge"].argmax(1)]
        assert float((nearest - 2.82).abs().max()) <= 0.11
    first, second = features("crystal", [str(path), str(path)]).descriptors
    np.testing.assert_array_equal(first, second)
    assert features("crystal", [str(path)]).counts[0, 10] == 0.5  # sodium
    module = GraphNetwork(8, 16, width=6).to(FLOAT)
    said = [module(stacked([crystal_graph(atoms, cutoff=3.0)], FLOAT)) for atoms in (read, built)]
    torch.testing.assert_close(*said)
    with pytest.raises(InputError, match="no CIF file"):
        canonical("crystal", "nowhere.cif")
    with pytest.raises(InputError, match="cannot be read"):
        canonical("crystal", "{")
    (tmp_path / "bad.cif").write_text("nothing")
    with pytest.raises(InputError, match="not a CIF file"):
        canonical("crystal", str(tmp_path / "bad.cif"))


def test_the_linear_head_is_the_posterior_of_a_bayesian_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    seen, new, y = (torch.randn(*s, generator=generator, dtype=FLOAT) for s in ((2, 4, 3), (2, 5, 3), (2, 4)))
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    spread, noise = torch.tensor(0.7, dtype=FLOAT), torch.tensor(0.3, dtype=FLOAT)
    mean, variance = posterior(seen, y, mask, new, spread, noise)
    for task in range(2):  # the same in function space
        a, b, values = seen[task][mask[task]], new[task], y[task][mask[task]]
        prior = spread**2 / 3 * torch.eye(3, dtype=FLOAT)
        gain = b @ prior @ a.T @ torch.linalg.inv(a @ prior @ a.T + noise**2 * torch.eye(len(a), dtype=FLOAT))
        torch.testing.assert_close(mean[task], gain @ values)
        torch.testing.assert_close(variance[task], (b @ prior @ b.T - gain @ a @ prior @ b.T).diagonal())


def test_a_head_on_learned_features_adapts_and_knows_how_well() -> None:
    torch.manual_seed(0)
    network = Network(torch.nn.Sequential(torch.nn.Linear(1, 24), torch.nn.Tanh(), torch.nn.Linear(24, 9)))

    def draw(seed: int, tasks: int = 12, support: int = 4):  # lines through curves: y = a·x² + b, noise 0.1
        generator = torch.Generator().manual_seed(seed)
        slope, level = torch.randn(2, tasks, 1, 1, generator=generator)
        x = 2 * torch.rand(tasks, 20, 1, generator=generator) - 1
        y = slope * x**2 + level + 0.1 * torch.randn(tasks, 20, 1, generator=generator)
        return linear_head_episode(network, x[:, :support], y[:, :support], x[:, support:], y[:, support:])

    start = head_start(network)
    done = meta_train(named.pooled_training(), draw, start, Outer(250, 0.01, schedule="cosine", clip=10.0))
    test = draw(10**6, tasks=200)
    weights, shared = test.start(done.learned)
    mean, sd = test.predicted({**weights, **shared})
    off = test.query_targets[..., 0] - mean
    told = torch.distributions.Normal(mean, sd).log_prob(test.query_targets[..., 0])
    torch.testing.assert_close(test.query({**weights, **shared}), -told.mean(1))
    untaught = float(test.query(dict.__or__(*test.start(start))).mean())
    assert float(test.query({**weights, **shared}).mean()) < untaught - 0.5
    assert float(off.square().mean().sqrt()) < 0.6  # tasks differ by more than one
    assert 0.85 < float((off.abs() < 1.645 * sd).float().mean()) < 0.95
