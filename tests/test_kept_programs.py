"""Compiled meta-gradients outlive the process that compiled them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_MINIMAL = """
import json, torch
from torch import nn
from metasci.meta import Network, NetworkEpisode, named
from metasci.meta.compositions.compiled import compile_meta_gradient

torch.manual_seed(0)
network = Network(nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)))
x = torch.linspace(-1.0, 1.0, 6).reshape(1, 6, 1).repeat(3, 1, 1)
episode = NetworkEpisode(network, x, x.sin(), x, x.cos())
learned = network.start()
loss, slopes = compile_meta_gradient(named.maml(1, 0.1), episode, learned)(episode, learned)
from torch._dynamo.utils import counters  # what imports it earlier settles where programs are kept
told = counters["inductor"]
print(json.dumps([told["fxgraph_cache_miss"], told["fxgraph_cache_hit"], loss.tolist(),
                  {name: value.tolist() for name, value in slopes.items()}]))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_second_process_finds_the_compiled_program(tmp_path: Path) -> None:
    home = {key: value for key, value in os.environ.items() if not key.startswith("TORCHINDUCTOR")}
    home["XDG_CACHE_HOME"] = str(tmp_path)
    told = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", _MINIMAL], env=home, capture_output=True, text=True, check=False
        )
        assert not done.returncode, done.stderr
        told.append(json.loads(done.stdout.splitlines()[-1]))
    assert (tmp_path / "metasci" / "compiled").is_dir()
    (missed, hit, *first), (missed_again, hit_again, *second) = told
    assert (missed > 0, hit) == (True, 0)
    assert (missed_again, hit_again) == (0, missed)
    assert first == second
