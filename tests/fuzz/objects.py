"""What comes in by Python rather than by files: frames and Datasets; and files that only the package itself writes:
checkpoints, finished pieces of many calibrations, messages of federated sites.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from . import mutations, seeds
from .case import Case

_COLUMNS = ("task", "time [h]", "dose [mg/kg]", "concentration [mg/L]", "weight [kg]")
_ODD: dict[str, str] = {
    name: name
    for name in (
        "datetime", "timedelta", "category", "complex", "bytes", "bool", "Int64", "string", "object of lists", "float16",
        "uint8", "period", "sparse", "None", "arrow", "decimal", "dict",
    )
}  # fmt: skip


def frame(rng: Random) -> Case:
    """A DataFrame: columns of odd types, names that are no texts, indices of all kinds."""
    what = {
        "column": rng.randrange(len(_COLUMNS)),
        "type": rng.choice(sorted(_ODD)) if rng.random() < 0.5 else "",
        "name": rng.choice(("", "", 1, 2.5, None, ["a", "b"], mutations.header(rng, rng.choice(_COLUMNS)))),
        "twice": rng.random() < 0.1,
        "levels": rng.random() < 0.1,
        "index": rng.choice(("", "", "same", "dates", "levels", "texts")),
        "units": rng.choice(
            (None, None, {}, {"time [h]": "h"}, {"dose [mg/kg]": 5}, "h", {"weight [kg]": "h,min"}, [1])
        ),
        "cells": [mutations.cell(rng) if rng.random() < 0.3 else None for _ in range(4)],
        "rows": rng.choice((4, 4, 4, 0, 1)),
    }
    return Case(
        "frame", ("python:frame", "frame.json"), {"frame.json": json.dumps(what).encode("utf-8", "replace")}
    )


def of_frame(path: str) -> Any:
    """What a calibration of the frame says."""
    import pandas as pd

    import metasci as ms

    what = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = [line.split(",") for line in seeds.THEOPHYLLINE.strip().splitlines()[1:]]
    table = pd.DataFrame(
        {name: [row[at] if at == 0 else float(row[at]) for row in rows] for at, name in enumerate(_COLUMNS)}
    )
    name = _COLUMNS[what["column"]]
    if any(cell is not None for cell in what["cells"]):
        table[name] = [
            old if cell is None else cell for old, cell in zip(table[name], what["cells"], strict=True)
        ]
    elif what["type"]:
        table[name] = _odd(table[name], what["type"])
    if what["name"] != "":
        new = tuple(what["name"]) if isinstance(what["name"], list) else what["name"]
        table.columns = pd.Index(
            [new if each == name else each for each in table.columns], tupleize_cols=False
        )
    if what["twice"]:
        table = pd.concat([table, table.iloc[:, :1]], axis=1)
    if what["levels"]:
        table.columns = pd.MultiIndex.from_tuples([("a", each) for each in table.columns])
    table = table.iloc[: what["rows"]]
    if what["index"] and len(table):
        table.index = {
            "same": lambda: [7] * len(table),
            "dates": lambda: pd.date_range("2024", periods=len(table)),
            "levels": lambda: pd.MultiIndex.from_tuples([(1, at) for at in range(len(table))]),
            "texts": lambda: ["\x07" * 3] * len(table),
        }[what["index"]]()
    if what["units"] is not None:
        table.attrs["units"] = what["units"]
    return _shown(ms.load("theophylline").calibrate(table).to_json())


def _shown(told: Any) -> Any:
    """As the command line prints it: what is not finite is null, and a warning says why."""
    from metasci.cli.arguments import _plain

    return _plain(told)


def _odd(column: Any, kind: str) -> Any:
    import decimal

    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").fillna(0.0)
    return {
        "datetime": lambda: pd.to_datetime(numbers, unit="h"),
        "timedelta": lambda: pd.to_timedelta(numbers, unit="h"),
        "category": lambda: column.astype("category"),
        "complex": lambda: numbers + 1j,
        "bytes": lambda: [str(each).encode() for each in column],
        "bool": lambda: numbers > 1,
        "Int64": lambda: numbers.round().astype("Int64"),
        "string": lambda: column.astype("string"),
        "object of lists": lambda: [[each] for each in column],
        "float16": lambda: numbers.astype("float16"),
        "uint8": lambda: numbers.round().astype("uint8"),
        "period": lambda: pd.period_range("2024", periods=len(column), freq="M"),
        "sparse": lambda: pd.arrays.SparseArray(numbers.to_numpy()),
        "None": lambda: [None] * len(column),
        "arrow": lambda: column.astype("double[pyarrow]") if column.dtype == float else column,
        "decimal": lambda: [decimal.Decimal(str(each)) for each in numbers],
        "dict": lambda: [{"a": each} for each in column],
    }[kind]()


def dataset(rng: Random) -> Case:
    """A Dataset: units, dimensions, types and values that are not as a TaskSet's."""
    what = {
        "variable": rng.choice(("time", "dose", "concentration", "weight", "task", "card", "dose_time", "x")),
        "way": rng.choice(
            ("unit", "no unit", "drop", "type", "dimension", "value", "all", "nothing", "twice", "attribute")
        ),
        "unit": rng.choice(mutations.UNITS),
        "value": rng.choice((1e400, -1e400, float("nan"), -1.0, 0.0, 1e300, -1e300, 1e-300)),
        "type": rng.choice(("U", "i4", "f2", "c16", "O", "M8[ns]", "?", "S3")),
    }
    return Case(
        "dataset", ("python:dataset", "what.json"), {"what.json": json.dumps(what).encode("utf-8", "replace")}
    )


def of_dataset(path: str) -> Any:
    """What a calibration of the Dataset says."""
    import numpy as np

    import metasci as ms

    what = json.loads(Path(path).read_text(encoding="utf-8"))
    tasks = ms.dataset("theophylline").select(slice(0, 2))
    data, name, way = tasks.dataset.copy(deep=True), what["variable"], what["way"]
    if name == "card":
        data.attrs["card"] = {"unit": what["unit"], "nothing": None, "value": 5}.get(way, json.dumps([way]))
    elif name in data.variables:
        values = data[name].values
        if way in ("unit", "no unit"):
            data[name].attrs["units"] = what["unit"]
            if way == "no unit":
                del data[name].attrs["units"]
        elif way == "drop":
            data = data.drop_vars(name)
        elif way == "type" and values.dtype.kind == "f":
            with np.errstate(all="ignore"):
                data[name] = (data[name].dims, np.nan_to_num(values).astype(what["type"]), data[name].attrs)
        elif way == "dimension":
            data = data.rename({data[name].dims[0]: "elsewhere"})
        elif way in ("value", "all") and values.dtype.kind == "f":
            values[... if way == "all" else (0,) * values.ndim] = what["value"]
        elif way == "nothing":
            data = data.isel({data[name].dims[0]: slice(0, 0)})
        elif way == "twice":
            data = data.isel({data[name].dims[0]: [0, 0]})
        elif way == "attribute":
            data[name].attrs["units"] = [1, 2]
    return _shown(ms.load("theophylline").calibrate(data).to_json())


def checkpoint(rng: Random) -> Case:
    """A run of learning that goes on from a file that was changed."""
    asked = (
        "train",
        "kinetics.crack_growth",
        "alloy_fatigue",
        "--out",
        "learned",
        "--checkpoint",
        "half.safetensors",
    )
    content = mutations.flipped(rng, seeds.checkpoint()) if rng.random() < 0.6 else _other_numbers(rng)
    return Case("checkpoint", asked, {"half.safetensors": content})


def _other_numbers(rng: Random) -> bytes:
    import torch
    from safetensors.torch import load, save

    state = load(seeds.checkpoint())
    name = rng.choice(sorted(state))
    if rng.random() < 0.3:
        del state[name]
    else:
        value = state[name]
        state[name] = rng.choice(
            (-value, value * torch.nan, value.flatten()[:1].clone(), value.to(torch.float32))
        )
    return save({key: value.contiguous() for key, value in state.items()}, seeds.run_of(seeds.checkpoint()))


def pieces(rng: Random) -> Case:
    """Many calibrations that go on from finished pieces that were changed."""
    files = dict(seeds.pieces())
    name = rng.choice(sorted(files))
    files[name] = rng.choice((mutations.flipped(rng, files[name]), b"", files[rng.choice(sorted(files))]))
    return Case("pieces", ("python:pieces", "many.nc"), files)


def of_pieces(path: str) -> Any:
    """A number for each estimate, which must be that without the pieces."""
    import metasci as ms

    tasks = ms.dataset("theophylline").select(slice(0, 3))
    found = ms.load("theophylline").calibrate_many(tasks, chunk=1, out=path).load()
    expected = ms.load("theophylline").calibrate_many(tasks, chunk=1).load()
    assert (found["estimate"].values == expected["estimate"].values).all(), (
        "estimates of a piece that was changed"
    )
    return found["estimate"].values.ravel().tolist()


def message(rng: Random) -> Case:
    """What a federated site answers, changed."""
    content = mutations.flipped(rng, seeds.message())
    return Case("message", ("python:message", "answer"), {"answer": content})


def of_message(path: str) -> Any:
    """What the server makes of it: its tensors, or a refusal."""
    from metasci.federated.messages import unpacked

    answer = Path(path).read_bytes()
    shapes = {name: tuple(value.shape) for name, value in unpacked(seeds.message()).items()}
    return [value.flatten().tolist() for value in unpacked(answer, shapes).values()]
