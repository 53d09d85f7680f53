"""The mean of a process over families and of networks: as a prior, on disk, and on the command line."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import metasci as ms
from metasci.cli import app
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.learned.networks import NetworkMethod
from metasci.learned.ways import WAYS
from metasci.materials.architectures import Architecture
from metasci.materials.properties import boiling_point
from metasci.meta.group_process import GroupProcess
from metasci.priors.blend import BlendPrior
from metasci.priors.families import StructurePrior
from metasci.priors.networks import NetworkPrior

pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")
pytest.importorskip(
    "torch_geometric", reason="needs the extra metasci-calibration[materials]: torch-geometric"
)

HEAD = "Bayesian linear head"
FAMILIES = ["aliphatic thiol", "aliphatic nitrile", "aliphatic aldehyde"]


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    whole = ms.dataset("boiling_points").to_frame()
    rows = whole[whole["task"].isin(FAMILIES)].groupby("task", sort=False).head(10)
    table = rows.rename(columns={"boiling_point": "boiling_point [K]"})[
        ["task", "molecule", "boiling_point [K]"]
    ]
    return TaskSet.from_frame(table, ms.catalogue.card("boiling_points"), model=boiling_point)


@pytest.fixture(scope="module")
def blend(tasks: TaskSet) -> BlendPrior:
    method = NetworkMethod(
        Architecture("smiles", width=8, layers=1),
        ways={HEAD: replace(WAYS[HEAD], iterations=2)},
        networks=1,
        tasks=2,
        query=4,
        first=2,
    )
    card = tasks.card
    process = StructurePrior("mine", boiling_point, GroupProcess(members=5, iterations=4), None, card)
    networks = NetworkPrior("mine", boiling_point, method, card)
    return BlendPrior("mine", boiling_point, card, process, networks).retrain(tasks)


def test_a_blend_is_the_mean_of_its_parts(blend: BlendPrior, tasks: TaskSet) -> None:
    batch = blend.batch(tasks)
    support = batch.mask & (torch.arange(batch.mask.shape[1]) < 3)
    query = batch.mask & ~support
    forecasters = blend.forecasters(tasks)
    parts = ("prior", "process over families", HEAD)
    ways = {name: forecasters[name](batch, support, query) for name in parts}
    process, head, mean = ways["process over families"], ways[HEAD], ways["prior"]
    assert torch.allclose(mean.mean[query], 0.5 * (process.mean + head.mean)[query])
    assert torch.allclose(mean.scale[query], 0.5 * (process.scale + head.scale)[query])
    assert torch.equal(mean.freedom, process.freedom)
    off = {name: float((way.mean - batch.output)[query].abs().mean()) for name, way in ways.items()}
    assert (
        off["prior"] <= 0.5 * (off["process over families"] + off[HEAD]) + 1e-9
    )  # of absolute errors, always
    assert "gradient boosting" in forecasters


def test_a_blend_is_saved_loaded_and_calibrates(blend: BlendPrior, tmp_path: Path) -> None:
    blend.save(tmp_path / "blend")
    again = ms.load(tmp_path / "blend")
    assert isinstance(again, BlendPrior)
    assert isinstance(again.process, StructurePrior)
    assert isinstance(again.networks, NetworkPrior)
    rows = pd.DataFrame(
        {"smiles": ["CCCS", "CCCCS", "CCCCCS", "CCC[SiH3]"], "boiling_point [degC]": [67.8, 98.2, None, None]}
    )
    then, now = blend.calibrate(rows), again.calibrate(rows)
    columns = ["predicted", "lower", "upper"]
    assert np.allclose(then.predictions[columns], now.predictions[columns], rtol=1e-4)
    assert now.warnings == then.warnings
    wiser = again.update(again.read(rows))
    assert wiser.training["tasks"] == blend.training["tasks"] + 1
    assert wiser.calibrate(rows).predictions["prior"].sub(then.predictions["prior"]).abs().min() > 0.0
    for part in ("process", "networks"):
        assert getattr(wiser, part).training["tasks"] == wiser.training["tasks"]


def test_a_broken_blend_is_refused(blend: BlendPrior, tmp_path: Path) -> None:
    blend.save(tmp_path / "blend")
    path = tmp_path / "blend" / "prior.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"networks": {', '"netwerks": {', 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"prior\.json"):
        ms.load(tmp_path / "blend")


@pytest.mark.parametrize(("network", "kind"), [("averaged", BlendPrior), ("linear-head", NetworkPrior)])
def test_networks_are_trained_on_the_command_line(
    network: str, kind: type, tasks: TaskSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = tasks.to_frame()
    rows[["task", "molecule", "boiling_point"]].to_csv(folder / "data.csv", index=False)
    (folder / "dataset.toml").write_text(
        'name = "mine"\nfile = "data.csv"\ntask = ["task"]\n[columns.task]\nrole = "task"\n'
        '[columns.molecule]\nrole = "input"\nunit = "1"\nkind = "smiles"\n'
        '[columns.boiling_point]\nrole = "output"\nunit = "K"\n',
        encoding="utf-8",
    )
    short = {name: replace(way, iterations=1) for name, way in WAYS.items()}
    with monkeypatch.context() as patch:
        few = functools.partial(NetworkMethod, networks=1, first=1, tasks=2, query=2)
        patch.setattr("metasci.learned.networks.NetworkMethod", few)
        patch.setattr("metasci.learned.ways.WAYS", short)
        command = ["train", "materials.boiling_point", str(folder), "--network", network, "--members", "5"]
        result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "prior")])
    assert result.exit_code == 0, result.output
    assert "learned from 3 families" in result.output
    prior = ms.load(tmp_path / "prior")
    assert isinstance(prior, kind)
    assert prior.typical(molecule="CCCS").predictions["predicted"].notna().all()


def test_a_blend_is_evaluated_as_every_prior_is(blend: BlendPrior, tasks: TaskSet) -> None:
    """Its error at a family left out is no greater than the mean of its parts' errors: of means |a + b| ≤ |a| + |b|."""
    report = ms.evaluate(blend, tasks, leave_out="task", shots=(3,), seeds=1)
    assert report["learned_method"] == "Gaussian process over families and networks of graphs, averaged"
    mae = {row["method"]: row["mae"] for row in report["results"]}
    assert mae["prior"] <= 0.5 * (mae["process over families"] + mae[HEAD]) * (1.0 + 1e-9)
