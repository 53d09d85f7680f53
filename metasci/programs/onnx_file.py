"""Programs as ONNX files: operations of the standard set, in double, single or half precision.

Source: the operators of ONNX, version 18 of their set, which browsers' and small machines' runtimes know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from metasci.errors import InputError
from metasci.extras import needed
from metasci.programs.program import Array, Given, Operation, Program

__all__ = ["PRECISIONS", "onnx_bytes"]

PRECISIONS = {"double": np.float64, "single": np.float32, "half": np.float16}

_OPSET, _FORMAT = 18, 9  # runtimes of the last years know both
# what the runtimes have no kernel for in double precision is computed in single, and put right by two steps of Newton
_INVERSE_COSINE = "Acos"


def onnx_bytes(program: Program, precision: str = "double", notes: Mapping[str, str] | None = None) -> bytes:
    """The file's content.

    Parameters
    ----------
    program : Program
    precision : "double", "single" or "half"
    notes : mapping of str to str, optional
        What the file says of itself: its metadata.

    Raises
    ------
    InputError
        If the precision is unknown.
    MissingExtra
        If the library onnx is not installed.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision: '{precision}' is not known; say {', '.join(PRECISIONS)}.")
    onnx = needed("onnx", "export", "an exported calibrator")
    writer = _Writer(onnx, PRECISIONS[precision])
    for number, value in enumerate(program.values):
        writer.add(f"v{number}", value)
    for name, number in program.results.items():
        writer.result(name, program.values[number], f"v{number}")
    graph = onnx.helper.make_graph(
        writer.nodes, "calibrator", writer.given, writer.results, list(writer.numbers.values())
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_FORMAT,
        producer_name="metasci",
    )
    onnx.helper.set_model_props(model, dict(notes or {}))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


class _Writer:
    """The parts of an ONNX graph as they grow."""

    def __init__(self, onnx: Any, dtype: Any) -> None:
        self.onnx, self.dtype = onnx, np.dtype(dtype)
        self.kind = onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes: list[Any] = []
        self.given: list[Any] = []
        self.results: list[Any] = []
        self.numbers: dict[Any, Any] = {}
        self._names: dict[str, str] = {}

    def add(self, name: str, value: Given | Array | Operation) -> None:
        """One value of the program."""
        if isinstance(value, Given):
            self._names[name] = value.name
            self.given.append(self._declared(value.name, value))
        elif isinstance(value, Operation):
            self._names[name] = name
            operands = [self._names[f"v{number}"] for number in value.operands]
            self._operation(name, value, operands)
        else:
            self._names[name] = self._constant(value if value.dtype == bool else value.astype(self.dtype))

    def result(self, name: str, value: Any, known_as: str) -> None:
        """A value that is told under a name."""
        self._node("Identity", [self._names[known_as]], name)
        self.results.append(self._declared(name, value))

    def _declared(self, name: str, value: Any) -> Any:
        kind = self.onnx.TensorProto.BOOL if getattr(value, "flags", False) is True else self.kind
        return self.onnx.helper.make_tensor_value_info(name, kind, value.shape)

    def _constant(self, array: Array) -> str:
        key = (array.tobytes(), array.shape, array.dtype.str)
        if key not in self.numbers:
            self.numbers[key] = self.onnx.numpy_helper.from_array(array, f"c{len(self.numbers)}")
        name: str = self.numbers[key].name
        return name

    def _whole(self, numbers: Iterable[int]) -> str:
        return self._constant(np.array(list(numbers), dtype=np.int64))

    def _node(self, kind: str, operands: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, operands, [name], **attributes))
        return name

    def _operation(self, name: str, value: Operation, operands: list[str]) -> None:
        kind, setting = value.name, value.setting
        if kind == "Cast":
            self._node("Cast", operands, name, to=self.kind)
        elif kind in ("ReduceSum", "ReduceMax"):
            self._node(kind, [*operands, self._whole(setting)], name, keepdims=0)
        elif kind in ("Reshape", "Expand"):
            self._node(kind, [*operands, self._whole(setting)], name)
        elif kind == "Transpose":
            self._node(kind, operands, name, perm=list(setting))
        elif kind == "Slice":
            starts, stops = zip(*setting, strict=True)
            axes = range(len(setting))
            self._node(kind, [*operands, self._whole(starts), self._whole(stops), self._whole(axes)], name)
        elif kind == "Concat":
            self._node(kind, operands, name, axis=setting[0])
        elif kind == _INVERSE_COSINE and self.dtype == np.float64:
            self._inverse_cosine(name, operands[0])
        else:
            self._node(kind, operands, name)

    def _inverse_cosine(self, name: str, x: str) -> None:
        float32 = self.onnx.TensorProto.FLOAT
        single = self._node("Cast", [x], f"{name}_single", to=float32)
        rough = self._node("Acos", [single], f"{name}_rough")
        angle = self._node("Cast", [rough], f"{name}_0", to=self.kind)
        least = self._constant(np.array(1e-8))  # where two rates meet the slope vanishes
        for step in (1, 2):
            cosine = self._node("Cos", [angle], f"{name}_cos{step}")
            sine = self._node("Sin", [angle], f"{name}_sin{step}")
            safe = self._node("Max", [sine, least], f"{name}_safe{step}")
            off = self._node("Sub", [cosine, x], f"{name}_off{step}")
            part = self._node("Div", [off, safe], f"{name}_part{step}")
            angle = self._node("Add", [angle, part], name if step == 2 else f"{name}_{step}")
