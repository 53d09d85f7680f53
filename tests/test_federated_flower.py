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
from metasci.errors import InputError
from metasci.federated.flower import simulate
from metasci.federated.guarded import Privacy, SecureSum, learn_guarded, simulate_guarded
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


def test_masked_sums_in_one_process_are_those_of_the_simulation_with_covariates_too():
    sites, method = shared(lines(16)), GaussianPrior(iterations=3)
    for covariates in ((), ("age",)):
        guard = SecureSum(range=100.0, moments=1000.0)
        masked = learn_guarded(line, sites, method, guard, 3, covariates=covariates)
        plain = federated.learn(line, sites, method, covariates=covariates)
        for name in ("coefficients", "covariance", "log_noise"):
            one, other = getattr(masked.prior.state, name), getattr(plain.prior.state, name)
            torch.testing.assert_close(one, other, rtol=0.0, atol=1e-5)
        assert masked.prior.training["tasks"] == 16
        # keys, shares of keys, masked sums, shares again: many times the bytes
        assert int(masked.frame["bytes_up"].iloc[-1]) > 3 * int(plain.frame["bytes_up"].iloc[-1])


@pytest.mark.parametrize("messages", [8, 9, 10, 11, 12])
def test_where_sums_are_masked_a_site_that_dies_is_left_out_whenever_it_does(messages):
    """Four messages a round: keys, shares, sums, unmasking; it dies at one of these, or before the round."""
    sites, method = shared(lines(16)), GaussianPrior(iterations=4)
    told = learn_guarded(
        line,
        sites,
        method,
        SecureSum(range=100.0),
        4,
        fails=lambda site, had: site == 1 and had >= messages,
    )
    assert len(told.rounds) == 5
    assert any("the line is dead" in each.left_out.get("site 1", "") for each in told.rounds)
    assert len(told.rounds[-1].seconds) == 3
    others = {name: tasks for name, tasks in sites.items() if name != "site 1"}
    with_all, without = (federated.learn(line, each, method).prior.state.mean for each in (sites, others))
    mean = told.prior.state.mean
    # two or three rounds with all and the rest without
    low, high = torch.minimum(with_all, without) - 0.05, torch.maximum(with_all, without) + 0.05
    assert bool(((mean > low) & (mean < high)).all())


def test_where_too_many_die_or_a_sum_is_impossible_learning_stops_and_says_so():
    sites, method = shared(lines(16)), GaussianPrior(iterations=3)
    with pytest.raises(InputError, match="too few of 4 sites"):
        learn_guarded(
            line, sites, method, SecureSum(range=100.0), 3, fails=lambda site, had: site < 3 and had > 5
        )
    with pytest.raises(InputError, match=r"SecureSum\(range=5\) is too small"):
        learn_guarded(line, sites, method, SecureSum(range=5.0, moments=100.0), 3)

    def lying(site, number, vector):
        return -3.0 * vector if site == 0 and number else vector

    with pytest.raises(InputError, match="the sum of the sites' answers cannot be used"):
        learn_guarded(line, sites, method, SecureSum(range=100.0), 3, change=lying)
    weights = federated.ByWeights(ms.Pooled(iterations=2), local_steps=2)
    with pytest.raises(InputError, match="too few of 4 sites"):  # noise is made for all
        learn_guarded(line, sites, weights, Privacy(), 2, fails=lambda site, had: site == 0 and had > 0)


def _equal_sites():
    """Sites that count alike, as privacy asks."""
    sites = {name: tasks.select(slice(0, 4)) for name, tasks in shared(lines(16)).items()}
    return sites, federated.ByWeights(ms.Pooled(iterations=3), local_steps=2)


@pytest.mark.parametrize("how", [{}, {"clipping": "adaptive"}, {"noised_by": "site"}])
def test_noise_without_size_changes_nothing_and_noise_does(how):
    sites, procedure = _equal_sites()
    plain = federated.learn(line, sites, procedure).prior.state.mean
    quiet = learn_guarded(line, sites, procedure, Privacy(clip=1e6, noise=0.0, **how), 3).prior.state.mean
    torch.testing.assert_close(quiet, plain, rtol=0.0, atol=1e-9)
    loud = learn_guarded(line, sites, procedure, Privacy(clip=1.0, noise=1.0, **how), 3).prior.state.mean
    assert float((loud - plain).abs().max()) > 1e-3


def test_noise_has_the_size_that_it_says_and_a_clip_that_adapts_grows():
    """Over many seeds, of weights that a clip of almost nothing leaves where they were."""
    sites, procedure = _equal_sites()
    start = torch.zeros(2, dtype=torch.float64)
    for how, expected in (({}, 0.4 / 4), ({"noised_by": "site"}, 2 * 0.4 / 4**0.5)):
        draws = [
            learn_guarded(line, sites, procedure, Privacy(1e-9, 0.4e9, seed=seed, **how), 1).prior.state.mean
            for seed in range(40)
        ]
        off = torch.stack(draws) - start
        assert abs(float(off.square().mean().sqrt()) / expected - 1.0) < 0.3
    reached = [
        learn_guarded(line, sites, procedure, Privacy(1e-3, 0.0, clipping=clipping), 3).prior.state.mean
        for clipping in ("fixed", "adaptive")
    ]
    assert float(reached[1].norm()) > 1.1 * float(reached[0].norm())


def test_the_simulation_has_the_same_noise_free_weights():
    sites, procedure = _equal_sites()
    plain = federated.learn(line, sites, procedure).prior.state.mean
    quiet = simulate_guarded(line, sites, procedure, Privacy(clip=1e6, noise=0.0), 3).prior.state.mean
    torch.testing.assert_close(quiet, plain, rtol=0.0, atol=1e-9)


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
