"""Who watches meta-training: called after every iteration, with what it gave; TensorBoard and MLflow among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters

__all__ = ["Moment", "Watcher", "to_mlflow", "to_tensorboard"]


@dataclass(frozen=True)
class Moment:
    """Where learning stands after an iteration.

    Attributes
    ----------
    iteration : int
        Iterations made.
    loss : float
        Mean query loss of the iteration's tasks.
    learned : dict of Tensor
    validation : dict of float
        Loss and metrics of the tasks kept aside, where they were looked at just now; else empty.
    """

    iteration: int
    loss: float
    learned: Parameters
    validation: Mapping[str, float] = field(default_factory=dict)


Watcher = Callable[[Moment], Any]
"""Called after every iteration; if it returns True, learning stops there."""


def _numbers(moment: Moment) -> dict[str, float]:
    return {"loss": moment.loss, **{f"validation/{name}": value for name, value in moment.validation.items()}}


def to_tensorboard(folder: str | Path) -> Watcher:
    """A watcher that writes losses and metrics for TensorBoard.

    Parameters
    ----------
    folder : path
        Of the run; TensorBoard's ``--logdir``.

    Raises
    ------
    InputError
        If tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "to_tensorboard needs tensorboard, which is not installed: pip install tensorboard."
        ) from None
    writer = SummaryWriter(str(folder))

    def watch(moment: Moment) -> None:
        for name, value in _numbers(moment).items():
            writer.add_scalar(name, value, moment.iteration)
        writer.flush()

    return watch


def to_mlflow() -> Watcher:
    """A watcher that logs losses and metrics to MLflow's current run.

    Raises
    ------
    InputError
        If mlflow is not installed.
    """
    try:
        import mlflow
    except ImportError:
        raise InputError("to_mlflow needs mlflow, which is not installed: pip install mlflow.") from None

    def watch(moment: Moment) -> None:
        mlflow.log_metrics(_numbers(moment), step=moment.iteration)

    return watch
