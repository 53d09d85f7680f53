"""The meta-gradient as one traced and compiled program.

The forward passes, the inner gradients and the meta-gradient are traced into one flat graph of array operations, which
``torch.compile`` then fuses: it never has to differentiate twice itself. Shapes are those of the example.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import meta_gradient
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.episode import Episode
from metasci.meta.compositions.gradients import Exact, FirstOrder

__all__ = ["CompiledMetaGradient", "compile_meta_gradient", "worth_compiling"]

# Compiling takes up to a minute, and saves some milliseconds an iteration. Counted and not timed: the compiled program
# rounds otherwise, and a run is to repeat to the bit.
_PAYS = 20_000


class _Traceable(Episode, Protocol):
    """An episode that can be taken apart into tensors and put together again."""

    def fixed(self) -> tuple[Any, ...]:
        """What is not a tensor."""

    def tensors(self) -> Any:
        """All tensors, nested."""

    def with_tensors(self, tensors: Any) -> Episode:
        """The same episode of other tensors."""


class CompiledMetaGradient:
    """`meta_gradient` for one composition and one shape of episode; other episodes run uncompiled."""

    def __init__(
        self, composition: Composition, example: _Traceable, learned: Parameters, backend: str
    ) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx
        from torch.utils._pytree import tree_map

        self._composition, self._names, self._fixed = composition, list(learned), example.fixed()
        self._shapes = lambda tensors: tree_map(lambda t: (tuple(t.shape), t.dtype), tensors)

        def step(values: list[Tensor], tensors: Any) -> tuple[Tensor, list[Tensor]]:
            named = dict(zip(self._names, values, strict=True))
            loss, gradient = meta_gradient(composition, example.with_tensors(tensors), named)
            return loss, [gradient[name] for name in self._names]

        tensors = example.tensors()
        values = [value.detach() for value in learned.values()]
        self._expected = self._shapes(tensors)
        self._run = torch.compile(make_fx(step)(values, tensors), backend=backend)

    def holds_for(self, episode: _Traceable) -> bool:
        """Whether an episode shares what was traced: network, loss, equation."""
        pairs = zip(episode.fixed(), self._fixed, strict=True)
        return all(
            mine is other or (isinstance(mine, float | int | tuple) and mine == other)
            for mine, other in pairs
        )

    def __call__(self, episode: _Traceable, learned: Parameters) -> tuple[Tensor, Parameters]:
        """Query loss of every task, and the gradient of its mean for everything learned."""
        tensors = episode.tensors()
        if self._shapes(tensors) != self._expected or not self.holds_for(episode):
            return meta_gradient(self._composition, episode, learned)
        with torch.no_grad():
            loss, slopes = self._run([learned[name].detach() for name in self._names], tensors)
        return loss, dict(zip(self._names, slopes, strict=True))


def worth_compiling(composition: Composition, example: Any, iterations: int) -> bool:
    """Whether a run is so long that compiling pays, and its meta-gradient and this machine allow it.

    Parameters
    ----------
    composition : Composition
    example : Episode
    iterations : int
        Of the whole run.
    """
    parts = ("fixed", "tensors", "with_tensors")
    compiles = any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++"))
    return (
        iterations >= _PAYS
        and _can_be_traced(composition)
        and all(hasattr(example, part) for part in parts)
        and compiles
    )


def _can_be_traced(composition: Composition) -> bool:
    gradient = composition.gradient
    return isinstance(gradient, FirstOrder) or (isinstance(gradient, Exact) and gradient.segment is None)


def _keep_programs() -> None:
    """Let compiled programs outlive the process, among the user's other caches, unless they have a place already."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(home) / "metasci" / "compiled"))


def compile_meta_gradient(
    composition: Composition, example: Any, learned: Parameters, backend: str = "inductor"
) -> CompiledMetaGradient:
    """Trace and compile `meta_gradient`.

    Parameters
    ----------
    composition : Composition
        With an exact or a first-order meta-gradient in one segment; the others decide by values as they go.
    example : Episode
        Of the shapes to come, such as a `NetworkEpisode`.
    learned : dict of Tensor
    backend : str
        Of ``torch.compile``. ``"inductor"`` needs a C++ compiler.

    Raises
    ------
    InputError
        If the composition's meta-gradient cannot be traced.
    """
    if not _can_be_traced(composition):
        raise InputError(
            "compile: only an exact meta-gradient in one segment, or a first-order one, can be compiled."
        )
    _keep_programs()
    return CompiledMetaGradient(composition, example, learned, backend)
