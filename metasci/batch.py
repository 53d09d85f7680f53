"""A batch: tensors of many tasks, padded and masked, ready for a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Tensors of many tasks, tasks first.

    Attributes
    ----------
    inputs : dict of Tensor
        Each (task, observation); a history is two, amounts and times, each (task, 1, event). Padded places
        hold the task's last valid value; padded events are 0 given at 0.
    output : Tensor
        (task, observation), 0 where nothing was measured.
    mask : Tensor
        (task, observation), true where something was measured.
    covariates : Tensor
        (task, covariate), NaN where unknown.
    names : tuple of str
        The tasks' labels.
    """

    inputs: dict[str, Tensor]
    output: Tensor
    mask: Tensor
    covariates: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def select(self, index: Any) -> Batch:
        """Some of the tasks, by positions or a boolean for each task; the padding stays."""
        import torch

        chosen = torch.arange(len(self))[torch.as_tensor(index).cpu()].reshape(-1)
        here = chosen.to(self.output.device)
        return Batch(
            inputs={name: values[here] for name, values in self.inputs.items()},
            output=self.output[here],
            mask=self.mask[here],
            covariates=self.covariates[here],
            names=tuple(self.names[at] for at in chosen.tolist()),
        )

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Batch:
        """The same in another precision or at another place."""
        return Batch(
            inputs={name: values.to(device=device, dtype=dtype) for name, values in self.inputs.items()},
            output=self.output.to(device=device, dtype=dtype),
            mask=self.mask.to(device=device),
            covariates=self.covariates.to(device=device, dtype=dtype),
            names=self.names,
        )

    def with_mask(self, mask: Tensor) -> Batch:
        """The same with other measurements counting, such as only the support."""
        if mask.shape != self.mask.shape:
            raise InputError(f"a mask of shape {tuple(mask.shape)} does not fit {tuple(self.mask.shape)}.")
        return replace(self, mask=mask)
