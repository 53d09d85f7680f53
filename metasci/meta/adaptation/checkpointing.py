"""Exact meta-gradients of long adaptations in little memory: keep a few points of the way, walk again between them.

With n steps in segments of √n, what has to be held at a time grows as √n and every step is taken
twice (Griewank 1992; Chen et al. 2016, arXiv 1604.06174).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import InnerRule, Loss, Memory, Parameters, by_step, walk
from metasci.meta.adaptation.slopes import slopes as slopes_of

__all__ = ["segment_length", "unroll_in_segments"]

Run = Callable[[Sequence[Tensor], bool], tuple[Tensor, ...]]


def segment_length(steps: int) -> int:
    """The segment that needs the least memory, ⌈√steps⌉."""
    return math.isqrt(max(steps - 1, 0)) + 1


def unroll_in_segments(
    loss: Loss,
    start: Parameters,
    shared: Parameters,
    bind: Callable[[Parameters], InnerRule],
    learned: Parameters,
    steps: int,
    segment: int,
) -> Parameters:
    """`unroll`, with the exact meta-gradient, holding one segment of the way at a time.

    Parameters
    ----------
    loss : callable
        Of the adaptable and the shared parameters together, and of the step's number where it takes ``step``, to
        (task,). It must reach every tensor that
        the meta-gradient is wanted for through its argument.
    start, shared : dict of Tensor
        What is adapted, and what the loss needs beside it.
    bind : callable
        Makes the rule of its learned tensors.
    learned : dict of Tensor
        Those tensors.
    steps, segment : int

    Notes
    -----
    The result can be differentiated once.
    """
    here: Parameters = dict(start)
    memory: Memory = bind(learned).init(start)
    for begin in range(0, steps, segment):
        here, memory = _segment(
            loss, here, memory, shared, bind, learned, range(begin, min(begin + segment, steps))
        )
    return here


def _segment(
    loss: Loss,
    here: Parameters,
    memory: Memory,
    shared: Parameters,
    bind: Callable[[Parameters], InnerRule],
    learned: Parameters,
    steps: range,
) -> tuple[Parameters, Memory]:
    cost = by_step(loss)
    names = [list(part) for part in (here, memory, shared, learned)]

    def run(tensors: Sequence[Tensor], graph: bool) -> tuple[Tensor, ...]:
        values = iter(tensors)
        at, carried, beside, rule = ({name: next(values) for name in part} for part in names)

        def whole(parameters: Parameters, step: int) -> Tensor:
            return cost({**beside, **parameters}, step)

        end, new = walk(whole, at, bind(rule), carried, steps, second_order=graph)
        return (*(end[name] for name in names[0]), *(new[name] for name in names[1]))

    tensors = [tensor for part in (here, memory, shared, learned) for tensor in part.values()]
    out = iter(_Segment.apply(run, *tensors))
    return {name: next(out) for name in names[0]}, {name: next(out) for name in names[1]}


class _Segment(torch.autograd.Function):
    """Walks without a graph; walks again with one when the gradient is asked for."""

    @staticmethod
    def forward(ctx: Any, run: Run, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.save_for_backward(*tensors)
        return tuple(value.detach() for value in run([tensor.detach() for tensor in tensors], False))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            tensors = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
            ends = ctx.run(tensors, True)
            used = [(end, slope) for end, slope in zip(ends, slopes, strict=True) if end.requires_grad]
            gradient = slopes_of(
                [end for end, _ in used], tensors, [slope for _, slope in used], allow_unused=True
            )
        return None, *gradient
