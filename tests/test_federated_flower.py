"""Learning over Flower gives what learning side by side gives; run by `make federated-test`, in its own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

pytest.importorskip(
    "flwr", reason="learning over Flower needs the extra metasci-calibration[federated]: flwr"
)

from test_federated import line, lines, shared

import metasci as ms
from metasci import federated
from metasci.federated.flower import simulate
from metasci.federated.guarded import Privacy, SecureSum, simulate_guarded
from metasci.meta import GaussianPrior

APP = Path(__file__).with_name("flower_app")


@pytest.mark.parametrize(
    "method", [GaussianPrior(iterations=3), ms.MAML(steps=2, step_size=0.01, iterations=2)]
)
def test_the_simulation_gives_the_same_numbers_and_bytes(method):
    sites = shared(lines(16))
    over_flower, here = simulate(line, sites, method), federated.learn(line, sites, method)
    torch.testing.assert_close(over_flower.prior.state.mean, here.prior.state.mean, rtol=0.0, atol=1e-12)
    for name in ("bytes_up", "bytes_down", "answers"):
        assert over_flower.frame[name].tolist() == here.frame[name].tolist()


def test_masked_sums_lose_digits_only():
    sites, method = shared(lines(16)), GaussianPrior(iterations=3)
    masked = simulate_guarded(line, sites, method, SecureSum(range=100.0), 3).prior.state
    plain = federated.learn(line, sites, method).prior.state
    for name in ("coefficients", "covariance", "log_noise"):
        torch.testing.assert_close(getattr(masked, name), getattr(plain, name), rtol=0.0, atol=1e-4)


def test_noise_without_size_changes_nothing_and_noise_does():
    sites = shared(lines(16))
    equal = {
        name: tasks.select(slice(0, 4)) for name, tasks in sites.items()
    }  # all count alike, as privacy asks
    procedure = federated.ByWeights(ms.Pooled(iterations=2), local_steps=2)
    plain = federated.learn(line, equal, procedure).prior.state.mean
    quiet = simulate_guarded(line, equal, procedure, Privacy(clip=1e6, noise=0.0), 2).prior.state.mean
    torch.testing.assert_close(quiet, plain, rtol=0.0, atol=1e-9)
    loud = simulate_guarded(line, equal, procedure, Privacy(clip=1.0, noise=1.0), 2).prior.state.mean
    assert float((loud - plain).abs().max()) > 1e-3


def test_server_and_clients_are_processes_over_loopback(tmp_path):
    """A SuperLink and three SuperNodes; one site may start late, and none of them needs more than its own patients."""
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_HOME": str(tmp_path / "home"),
        "METASCI_FEDERATED_OUT": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(APP.parent.parent), os.environ.get("PYTHONPATH", "")]),
        "PATH": os.pathsep.join([str(scripts), os.environ["PATH"]]),
    }
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        '[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:9191"\ninsecure = true\n'
    )
    app = shutil.copytree(APP, tmp_path / "app")
    link = ["flower-superlink", "--insecure", "--port", "9191", "--disable-runtime-dependency-installation"]
    nodes = [
        [
            *("flower-supernode", "--insecure", "--superlink", "127.0.0.1:9191"),
            *("--node-config", f"site={at}", "--port", str(9200 + at)),
        ]
        for at in range(3)
    ]
    running = [subprocess.Popen([scripts / link[0], *link[1:]], env=environment)]
    try:
        time.sleep(10.0)
        running += [subprocess.Popen([scripts / node[0], *node[1:]], env=environment) for node in nodes]
        time.sleep(5.0)
        subprocess.run([scripts / "flwr", "run", str(app), "here"], env=environment, check=True, timeout=120)
        until = time.monotonic() + 600.0
        while not (tmp_path / "prior" / "prior.json").exists() and time.monotonic() < until:
            time.sleep(1.0)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=30)
    learned = ms.load(tmp_path / "prior")
    patients = ms.dataset("theophylline")
    sites = {f"hospital {at}": patients.select(slice(4 * at, 4 * at + 4)) for at in range(3)}
    here = federated.learn(ms.patients.one_compartment_oral, sites, GaussianPrior(iterations=3))
    torch.testing.assert_close(learned.state.mean, here.prior.state.mean, rtol=0.0, atol=1e-10)
    rounds = pd.read_csv(tmp_path / "rounds.csv")
    assert rounds["answers"].tolist() == [3, 3, 3, 3]
    assert rounds["bytes_up"].tolist() == here.frame["bytes_up"].tolist()
