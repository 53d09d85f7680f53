"""Several processes learn what one learns; one that is killed ends them all, and they go on where they stopped."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import metasci as ms
from metasci.meta import FOMAML
from metasci.priors.equation import meta_calibrate
from metasci.priors.load import load

SCRIPT = '''
"""Runs to compare between one process and several: python learn.py FOLDER (runs | killed | resumed)."""

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import metasci as ms
from metasci.errors import InputError
from metasci.meta import MAML, GaussianPrior, Outer, initial, meta_train, named
from metasci.meta.compositions import training
from metasci.meta.compositions.distributed import joined
from metasci.priors.equation import meta_calibrate
from metasci.studies import sinusoids

TASKS = {"even": (4, ()), "odd": (5, ()), "one task": (1, ()), "bad": (5, (3,)), "bad share": (4, (1, 3))}


def train(tasks, bad=(), iterations=4, kill=lambda iteration: None, **options):
    model = sinusoids.network(0, hidden=8)
    model.module.double()

    def draw(number):
        kill(number - 1_000_003)
        made = sinusoids.episode(model, tasks, 3, 4, number)
        made = made.with_tensors({name: value.double() for name, value in made.tensors().items()})
        made.targets[list(bad)] = 1e200  # its square is infinite
        return made

    composition = named.maml(2, 0.01)
    learned = initial(composition, model.start())
    trained = meta_train(composition, draw, learned, Outer(iterations, 1e-2), seed=1, **options)
    left_out = torch.tensor(sorted(trained.left_out.items())).reshape(-1, 2)
    return {**trained.learned, "loss": trained.loss, "left_out": left_out}


def runs(folder, rank):
    found = {name: train(tasks, bad) for name, (tasks, bad) in TASKS.items()}
    found["unbroken"] = train(5, iterations=8)
    patients = ms.dataset("theophylline")
    model = ms.load("theophylline").model
    for name, count in (("MAML", 12), ("MAML odd", 11)):
        found[name] = meta_calibrate(model, patients.select(slice(count)), MAML(iterations=4)).state.tensors()
    writes, write = [], training.write_tensors
    training.write_tensors = lambda *arguments: (writes.append(1), write(*arguments))
    gaussian = meta_calibrate(model, patients, GaussianPrior(iterations=4), checkpoint=folder / f"em{rank}.ckpt")
    training.write_tensors = write
    found["Gaussian"] = gaussian.state.tensors()
    found["writes"] = {"count": torch.tensor(len(writes))}
    try:
        train(2, (0, 1))
    except InputError:
        found["all bad"] = {"refused": torch.ones(1)}
    (folder / "other.ckpt").write_bytes(b"")
    try:
        train(4, checkpoint=folder / "other.ckpt")
    except InputError as error:
        (folder / f"error{rank}.txt").write_text(str(error))
    return {f"{run}/{name}": value.contiguous() for run, state in found.items() for name, value in state.items()}


def main():
    folder, what = Path(sys.argv[1]), sys.argv[2]
    with joined(timeout=30.0) as rank:
        if what == "runs":
            save_file(runs(folder, rank), folder / f"runs{rank}.safetensors")
            return

        def kill(iteration):
            if what == "killed" and rank == 1 and iteration == 5:
                os.kill(os.getpid(), signal.SIGKILL)

        found = train(5, iterations=8, kill=kill, checkpoint=folder / "killed.ckpt", every=0.0)
        save_file(found, folder / f"{what}{rank}.safetensors")


if __name__ == "__main__":
    main()
'''


def torchrun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine, at a free port."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, *map(str, arguments)], capture_output=True, text=True, timeout=90,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def of(run: str, results: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{run}/"): value for name, value in results.items() if name.startswith(f"{run}/")
    }


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("several") / "learn.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def both(script: Path) -> list[dict[str, Tensor]]:
    """The results of every run in each of two processes."""
    done = torchrun(script, script.parent, "runs")
    assert done.returncode == 0, done.stderr
    return [load_file(script.parent / f"runs{rank}.safetensors") for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone(script: Path, both: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    folder = script.parent / "alone"
    folder.mkdir()
    found: dict[str, Tensor] = runpy.run_path(str(script))["runs"](folder, 0)
    return found


RUNS = ["even", "odd", "one task", "bad", "bad share", "all bad", "unbroken", "MAML", "MAML odd", "Gaussian"]


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_learn_what_one_learns(
    run: str, both: list[dict[str, Tensor]], alone: dict[str, Tensor]
) -> None:
    expected = of(run, alone)
    assert expected
    for found in both:
        assert of(run, found).keys() == expected.keys()
        for name, value in of(run, found).items():
            assert value.dtype == expected[name].dtype
            torch.testing.assert_close(value, expected[name], rtol=1e-10, atol=1e-10, equal_nan=True)


def test_the_processes_agree_to_the_bit(both: list[dict[str, Tensor]]) -> None:
    first, second = both
    differ = [name for name in first if not torch.equal(first[name], second[name])]
    assert [name for name in differ if not name.startswith("writes/")] == []


def test_learning_moves_and_leaves_out_what_it_says(alone: dict[str, Tensor]) -> None:
    """Otherwise equal results would say little."""
    assert of("bad", alone)["left_out"].tolist() == [[3, 4]]
    assert of("bad share", alone)["left_out"].tolist() == [[1, 4], [3, 4]]
    assert float(of("all bad", alone)["refused"]) == 1.0  # in every process alike, so that none waits
    assert of("even", alone)["left_out"].tolist() == []
    weights = [of(run, alone)["0.weight"] for run in ("even", "odd", "one task", "bad", "bad share")]
    assert all(not torch.equal(one, other) for i, one in enumerate(weights) for other in weights[:i])


def test_only_the_first_process_writes(both: list[dict[str, Tensor]], script: Path) -> None:
    assert [int(found["writes/count"]) for found in both] == [1, 0]
    assert [(script.parent / f"em{rank}.ckpt").exists() for rank in (0, 1)] == [True, False]


def test_what_the_first_process_cannot_read_ends_all(both: list[dict[str, Tensor]], script: Path) -> None:
    first, second = ((script.parent / f"error{rank}.txt").read_text() for rank in (0, 1))
    assert "not a readable safetensors file" in first
    assert second == "the first process could not begin; it says why."


def test_a_killed_process_ends_all_and_the_run_goes_on(both: list[dict[str, Tensor]], script: Path) -> None:
    folder = script.parent
    began = time.monotonic()
    killed = torchrun(script, folder, "killed")
    assert killed.returncode != 0
    assert time.monotonic() - began < 45.0
    assert not list(folder.glob("killed?.safetensors"))
    kept = int(load_file(folder / "killed.ckpt")["iteration"])
    assert kept in (4, 5)  # the first process may have been about to write the fifth
    resumed = torchrun(script, folder, "resumed")
    assert resumed.returncode == 0, resumed.stderr
    for rank, unbroken in enumerate(both):
        found = load_file(folder / f"resumed{rank}.safetensors")
        assert len(found.pop("loss")) == 8 - kept
        for name, value in found.items():
            assert torch.equal(value, unbroken[f"unbroken/{name}"]), name


@pytest.mark.slow
def test_the_command_line_learns_with_several_processes(tmp_path: Path) -> None:
    done = torchrun(
        "-m", "metasci", "train", "patients.one_compartment_oral", "theophylline", "--out", tmp_path / "mine",
        "--method", "fomaml", "--checkpoint", tmp_path / "state",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("learned from 12 tasks") == 1
    found = load(tmp_path / "mine")
    one = meta_calibrate(found.model, ms.dataset("theophylline"), FOMAML())
    for name in ("mean", "effects", "log_noise"):
        torch.testing.assert_close(getattr(found.state, name), getattr(one.state, name), rtol=1e-6, atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "state"]
