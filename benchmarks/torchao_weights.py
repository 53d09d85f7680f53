"""Weights of a network that learned to learn, stored by torchao in int8 and int4: error, bytes and time of a call.

``python benchmarks/torchao_weights.py [ITERATIONS]``, with ``metasci-calibration[executorch]`` (which brings torchao).
Sinusoids (simulated): MAML, five steps from ten points. What comes out of adaptation is stored, and run by torchao's
own tensors; beside it as many bits as `metasci.programs.fewer_bits` rounds to. One thread.
"""

from __future__ import annotations

import copy
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torchao.quantization import (
    Int8DynamicActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    IntxWeightOnlyConfig,
    quantize_,
)
from torchao.quantization.granularity import PerAxis

from metasci.meta import Outer, adapt, initial, meta_train, named
from metasci.programs.fewer_bits import quantised
from metasci.studies import sinusoids

_TASKS = 100
_KINDS: dict[str, Callable[[], Any]] = {
    "int8 weights": Int8WeightOnlyConfig,
    "int8 weights and activations": Int8DynamicActivationInt8WeightConfig,
    "int4 weights": lambda: IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerAxis(0)),
}


def stored(module: nn.Module, kind: str) -> nn.Module:
    """A copy whose linear layers torchao has stored; those with one input stay as they are, which it cannot."""
    made = copy.deepcopy(module).eval()
    quantize_(made, _KINDS[kind](), lambda layer, _: isinstance(layer, nn.Linear) and layer.in_features > 1)
    return made


def rounded(module: nn.Module, bits: int) -> nn.Module:
    """A copy whose weights are whole numbers of so many bits times one scale for each tensor."""
    made = copy.deepcopy(module).eval()
    for value in made.parameters():
        value.data = quantised(value.data, bits)
    return made


def bytes_of(module: nn.Module) -> int:
    """What its tensors hold, scales and all; torchao's keep theirs inside."""

    def size(tensor: Tensor) -> int:
        inner = list(getattr(tensor, "tensor_data_names", ())) or [
            name for name in ("qdata", "scale", "zero_point", "tensor_impl") if hasattr(tensor, name)
        ]
        if not inner:
            return tensor.numel() * tensor.element_size()
        return sum(size(part) for name in inner if (part := getattr(tensor, name)) is not None)

    return sum(size(value) for value in [*module.parameters(), *module.buffers()])


def milliseconds(module: nn.Module, inputs: Tensor, repeats: int = 200) -> float:
    """The least of so many calls."""
    best = float("inf")
    with torch.no_grad():
        for _ in range(repeats):
            began = time.perf_counter()
            module(inputs)
            best = min(best, time.perf_counter() - began)
    return 1e3 * best


def errors(iterations: int) -> pd.DataFrame:
    """Mean squared error on new sinusoids of adapted networks that are stored afterwards."""
    network, method = sinusoids.network(0), named.maml(5, 0.01, learned="scalar")
    learned = meta_train(
        method,
        lambda at: sinusoids.episode(network, 16, 10, 10, at),
        initial(method, network.start(), 0),
        Outer(iterations, 1e-3, schedule="cosine", clip=10.0),
        seed=0,
    ).learned
    test = sinusoids.episode(network, _TASKS, 10, 100, 10_000_019)
    after = adapt(method, test, learned)
    found: dict[str, list[float]] = {}
    for task in range(_TASKS):
        module = copy.deepcopy(network.module)
        module.load_state_dict({name: after[name][task] for name in network.start()})
        variants = {
            "float": module,
            **{f"torchao, {kind}": stored(module, kind) for kind in _KINDS},
            "rounded, 8 bits": rounded(module, 8),
            "rounded, 4 bits": rounded(module, 4),
        }
        with torch.no_grad():
            for label, made in variants.items():
                off = made(test.query_inputs[task]) - test.query_targets[task]
                found.setdefault(label, []).append(float(off.square().mean()))
    return pd.DataFrame(found).mean().rename("error").to_frame()


def costs(width: int) -> pd.DataFrame:
    """Bytes and the least time of a call with one point, of a network of two hidden layers."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    ).eval()
    rows = {"float": plain, **{f"torchao, {kind}": stored(plain, kind) for kind in _KINDS}}
    point = torch.zeros(1, 1)
    return pd.DataFrame(
        {
            label: {f"bytes, width {width}": bytes_of(made), f"ms, width {width}": milliseconds(made, point)}
            for label, made in rows.items()
        }
    ).T


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    table = pd.concat([errors(iterations), costs(40), costs(1024)], axis=1)
    print(
        f"torchao {__import__('torchao').__version__}, {iterations} iterations of learning, {_TASKS} sinusoids"
    )
    print(table.round(3).to_string(na_rep=""))


if __name__ == "__main__":
    main()
