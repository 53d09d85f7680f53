"""Programs as ExecuTorch files: the same operations by torch's names, for runtimes that have no Python.

Every operation of a program is one of torch's own, so that `torch.export` sees through all of it, and ExecuTorch's
portable kernels carry it out in double or single precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metasci.errors import InputError
from metasci.extras import needed
from metasci.programs.program import Given, Operation, Program

__all__ = ["AsModule", "executorch_bytes", "taken"]

_PRECISIONS = {"double": torch.float64, "single": torch.float32}


def _sliced(x: Tensor, *bounds: tuple[int, int]) -> Tensor:
    for axis, (start, stop) in enumerate(bounds):
        if (start, stop) != (0, x.shape[axis]):
            x = x.narrow(axis, start, stop - start)
    return x


def _summed(x: Tensor, axis: int) -> Tensor:
    """By halves: ExecuTorch 1.5 has a sum that adds up in single precision, and its additions are right."""
    while (width := x.shape[axis]) > 1:
        half = width // 2
        halves = x.narrow(axis, 0, half) + x.narrow(axis, half, half)
        x = torch.cat([halves, x.narrow(axis, 2 * half, 1)], axis) if width % 2 else halves
    return x.squeeze(axis)


_TORCH: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Pow": torch.pow,
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Neg": torch.neg,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
    "Cos": torch.cos,
    "Sin": torch.sin,
    "Acos": torch.acos,
    "Abs": torch.abs,
    "Sign": torch.sign,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Equal": torch.eq,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Not": torch.logical_not,
    "Where": torch.where,
    "MatMul": torch.matmul,
    "IsNaN": torch.isnan,
    "ReduceSum": _summed,
    "ReduceMax": lambda x, axis: x.amax(axis),
    "Reshape": lambda x, *shape: x.reshape(shape),
    "Expand": lambda x, *shape: x.expand(shape),
    "Transpose": lambda x, *axes: x.permute(axes),
    "Slice": _sliced,
    "Concat": lambda *parts: torch.cat(parts[:-1], parts[-1]),
}


def taken(program: Program) -> tuple[Given, ...]:
    """What an ExecuTorch file takes, in order: nothing that is empty, which its runtime cannot be given.

    Examples
    --------
    >>> from metasci.programs.recording import Recorder
    >>> recorder = Recorder()
    >>> x, nothing = recorder.given("x", (2,)), recorder.given("covariates", (0,))
    >>> [each.name for each in taken(recorder.program(y=x + 1.0))]
    ['x']
    """
    return tuple(each for each in program.given if 0 not in each.shape)


class AsModule(nn.Module):
    """A program as a module of torch: takes what `taken` names, and gives its results in the program's order.

    Parameters
    ----------
    program : Program
    dtype : torch.dtype

    Examples
    --------
    >>> from metasci.programs.recording import Recorder
    >>> recorder = Recorder()
    >>> x = recorder.given("x", (2,))
    >>> AsModule(recorder.program(y=x * x + 1.0))(torch.tensor([1.0, 2.0], dtype=torch.float64))
    (tensor([2., 5.], dtype=torch.float64),)
    """

    def __init__(self, program: Program, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.program, self.dtype = program, dtype
        self._constants: dict[int, str] = {}
        for number, value in enumerate(program.values):
            if isinstance(value, np.ndarray):
                tensor = torch.as_tensor(np.array(value))
                self._constants[number] = f"c{number}"
                self.register_buffer(f"c{number}", tensor if tensor.dtype == torch.bool else tensor.to(dtype))

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """The results."""
        values: list[Tensor] = []
        rest = iter(given)
        for number, value in enumerate(self.program.values):
            if isinstance(value, Given):
                empty = 0 in value.shape
                values.append(torch.zeros(value.shape, dtype=self.dtype) if empty else next(rest))
            elif isinstance(value, Operation):
                operands = [values[operand] for operand in value.operands]
                if value.name == "Cast":
                    values.append(operands[0].to(self.dtype))
                else:
                    values.append(_TORCH[value.name](*operands, *value.setting))
            else:
                values.append(getattr(self, self._constants[number]))
        return tuple(values[number] for number in self.program.results.values())


def executorch_bytes(program: Program, precision: str = "double") -> bytes:
    """The content of an ExecuTorch file, which portable kernels run.

    Parameters
    ----------
    program : Program
    precision : "double" or "single"

    Raises
    ------
    InputError
        If the precision is unknown.
    MissingExtra
        If the library executorch is not installed.
    """
    if precision not in _PRECISIONS:
        raise InputError(f"precision: '{precision}' is not known; say {', '.join(_PRECISIONS)}.")
    exir: Any = needed("executorch.exir", "executorch", "an exported calibrator")
    dtype = _PRECISIONS[precision]
    example = tuple(
        torch.ones(each.shape, dtype=torch.bool if each.flags else dtype) for each in taken(program)
    )
    exported = torch.export.export(AsModule(program, dtype).eval(), example, strict=False)
    lowered = exir.to_edge(exported, compile_config=exir.EdgeCompileConfig(_check_ir_validity=False))
    content: bytes = lowered.to_executorch().buffer
    return content
