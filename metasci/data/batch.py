"""A batch: tensors of many tasks, padded and masked, ready for a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from metasci.model import Model

__all__ = ["Batch", "check_measurable", "repeat_last"]


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
    censored : Tensor, optional
        (task, observation), true where the true value is only known to lie below the output, a limit.
    upper : Tensor, optional
        (task, observation), where the true value is only known to lie between the output and another number, that
        number, infinite where it may lie anywhere above; NaN elsewhere.
    groups : Tensor, optional
        (task, level), the number of each task's group, such as its laboratory; NaN where nobody says.
    """

    inputs: dict[str, Tensor]
    output: Tensor
    mask: Tensor
    covariates: Tensor
    names: tuple[str, ...]
    censored: Tensor | None = None
    upper: Tensor | None = None
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def numbers(self) -> Tensor:
        """Where a measurement is a number, and no limit or interval, (task, observation)."""
        import torch

        plain = self.mask
        if self.censored is not None:
            plain = plain & ~self.censored
        return plain if self.upper is None else plain & torch.isnan(self.upper)

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
            censored=None if self.censored is None else self.censored[here],
            upper=None if self.upper is None else self.upper[here],
            groups=None if self.groups is None else self.groups[here],
        )

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Batch:
        """The same in another precision or at another place."""
        return Batch(
            inputs={name: values.to(device=device, dtype=dtype) for name, values in self.inputs.items()},
            output=self.output.to(device=device, dtype=dtype),
            mask=self.mask.to(device=device),
            covariates=self.covariates.to(device=device, dtype=dtype),
            names=self.names,
            censored=None if self.censored is None else self.censored.to(device=device),
            upper=None if self.upper is None else self.upper.to(device=device, dtype=dtype),
            groups=None if self.groups is None else self.groups.to(device=device, dtype=dtype),
        )

    def join(self, other: Batch) -> Batch:
        """The tasks of both, padded to one width."""
        import torch
        from torch.nn.functional import pad

        def both(first: Tensor, second: Tensor, repeat: bool = False) -> Tensor:
            width = max(first.shape[-1], second.shape[-1])
            ends = []
            for values in (first, second):
                more = width - values.shape[-1]
                if repeat and values.dim() == 2:
                    ends.append(torch.cat([values, values[:, -1:].expand(-1, more)], 1))
                else:
                    ends.append(pad(values, (0, more)))
            return torch.cat(ends)

        censored = None
        if self.censored is not None or other.censored is not None:
            first, second = (
                torch.zeros_like(batch.mask) if batch.censored is None else batch.censored
                for batch in (self, other)
            )
            censored = both(first, second)
        upper = None
        if self.upper is not None or other.upper is not None:
            first, second = (
                torch.full_like(batch.output, torch.nan) if batch.upper is None else batch.upper
                for batch in (self, other)
            )
            upper = both(first, second)
        return Batch(
            inputs={
                name: both(values, other.inputs[name], repeat=True) for name, values in self.inputs.items()
            },
            output=both(self.output, other.output),
            mask=both(self.mask, other.mask),
            covariates=torch.cat([self.covariates, other.covariates]),
            names=(*self.names, *other.names),
            censored=censored,
            upper=upper,
            groups=(
                None
                if self.groups is None or other.groups is None
                else torch.cat([self.groups, other.groups])
            ),
        )

    def trimmed(self, mask: Tensor, width: int | None = None) -> Batch:
        """Some of the measurements, moved together: no more columns are carried than are needed, or than `width`."""
        import torch

        width = max(int(mask.sum(1).max()), width or 1)
        order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)[:, :width]

        def moved(values: Tensor) -> Tensor:
            if values.dim() == 3:  # a history belongs to all of a task's measurements
                return values
            return values.expand(mask.shape).gather(1, order)

        return replace(
            self,
            inputs={name: moved(values) for name, values in self.inputs.items()},
            output=moved(self.output),
            mask=moved(mask),
            censored=None if self.censored is None else moved(self.censored),
            upper=None if self.upper is None else moved(self.upper),
        )

    def with_mask(self, mask: Tensor) -> Batch:
        """The same with other measurements counting, such as only the support."""
        if mask.shape != self.mask.shape:
            raise InputError(f"a mask of shape {tuple(mask.shape)} does not fit {tuple(self.mask.shape)}.")
        return replace(self, mask=mask)


def check_measurable(batch: Batch, model: Model) -> None:
    """Refuse measurements that the model's noise cannot have produced, such as a strength of zero under log-normal."""
    import torch

    if not model.noise.gaussian:
        _check_outcomes(batch, model)
        return
    seen = torch.where(batch.mask, batch.output, torch.ones_like(batch.output))
    impossible = ~torch.isfinite(model.noise.link(seen))
    if bool(impossible.any()):
        task, place = impossible.nonzero()[0].tolist()
        raise InputError(
            f"task '{batch.names[task]}': {model.output.name} {float(batch.output[task, place]):g} {model.output.unit} "
            f"cannot be measured under {type(model.noise).__name__} noise, which '{model.name}' is given."
        )


def _check_outcomes(batch: Batch, model: Model) -> None:
    """Refuse what is no outcome of the kind that a model declares."""
    from metasci.outcomes.outcome import Outcome

    outcome, mask = model.noise, batch.mask.numpy()
    task, _ = np.nonzero(mask)
    inputs = {name: np.broadcast_to(batch.inputs[name].numpy(), mask.shape)[mask] for name in model.inputs}
    assert isinstance(outcome, Outcome)
    values = batch.output.numpy()[mask]
    limited = ~batch.numbers.numpy()[mask]
    if limited.any() and len(wrong := np.flatnonzero(limited & ~np.asarray(outcome.may_be_limit(inputs)))):
        at = int(wrong[0])
        raise InputError(
            f"task '{batch.names[task[at]]}': a {model.output.name} that only lies below, above or between numbers "
            f"is no {type(outcome).__name__} outcome, which '{model.name}' is given; times may be so, not a "
            f"{outcome.kind}."
        )
    if (fault := outcome.fault(values, inputs)) is not None:
        at, why = fault
        raise InputError(
            f"task '{batch.names[task[at]]}': {model.output.name} {values[at]:g} {why} ('{model.name}' is given "
            f"{type(outcome).__name__} outcomes)."
        )


def repeat_last(values: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values with the last valid one of the task repeated in the padding.

    A task with none takes a value of another task, so that it is one a model can be evaluated at.
    """
    valid = present & ~np.isnan(values)
    if valid.all():
        return values
    positions = np.where(valid, np.arange(valid.shape[1]), -1)
    last = np.maximum.accumulate(positions, axis=1)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    return np.where(last >= 0, filled, values[valid][0] if valid.any() else 1.0)
