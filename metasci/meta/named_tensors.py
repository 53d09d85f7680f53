"""Reading a state by the names its tensors have in files, as it was read before states were dataclasses."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, KeysView

from torch import Tensor

from metasci.files import State

__all__ = ["NamedTensors"]


class NamedTensors(ABC):
    """A mixin: ``state["log_noise"]`` still works, and says what to write instead."""

    @abstractmethod
    def tensors(self) -> State:
        """All tensors by their names in files."""

    def keys(self) -> KeysView[str]:
        """Names in files."""
        return self.tensors().keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors())

    def __contains__(self, name: str) -> bool:
        return name in self.tensors()

    def __getitem__(self, name: str) -> Tensor:
        instead = f"state.{name}" if hasattr(self, name) else f"state.tensors()['{name}']"
        warnings.warn(f"state['{name}'] goes; write {instead}.", DeprecationWarning, stacklevel=2)
        return self.tensors()[name]
