"""What a program is given, from measurements as they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.errors import InputError
from metasci.programs.program import Array, Program

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["given_of", "settled"]


def given_of(prior: LearnedEquation, program: Program, batch: Batch, task: int = 0) -> dict[str, Array]:
    """The arrays that a prior's program takes for one task of a batch; it predicts at the task's own conditions.

    Raises
    ------
    InputError
        If the task has more measurements or events than the program takes, or limits among them.

    Examples
    --------
    >>> import metasci as ms
    >>> from metasci.programs import Sizes, calibrator
    >>> prior = ms.load("theophylline")
    >>> batch = prior.batch(prior.read(ms.dataset("theophylline")))
    >>> program = calibrator(prior, Sizes(readings=11, queries=11))
    >>> program.run(given_of(prior, program, batch))["estimate"].round(4).tolist()
    [1.6833, 0.022, 0.3574]
    """
    shapes = {each.name: each.shape[0] for each in program.given}
    keep = batch.mask[task].numpy()
    if not bool(batch.numbers[task][batch.mask[task]].all()):
        raise InputError(
            f"task '{batch.names[task]}': a program takes numbers only, and some of its measurements are limits."
        )
    arrays: dict[str, Array] = {
        "output": _padded(batch.output[task].numpy()[keep], shapes["output"], "measurements", 1.0),
        "mask": _padded(np.ones(int(keep.sum()), bool), shapes["mask"], "measurements", False),
        "start": np.full(len(prior.model.parameters), np.nan),
        "covariates": batch.covariates[task].numpy(),
    }
    events = set(prior.model.event_names)
    for name, values in batch.inputs.items():
        if name in events:
            arrays[name] = _padded(values[task, 0].numpy(), shapes[name], "events", 0.0)
            continue
        whole = values.expand(batch.mask.shape)[task].numpy()
        own = whole[keep] if keep.any() else whole[:1]
        arrays[name] = _padded(own, shapes[name], "measurements", own[-1])
        arrays[f"query_{name}"] = _padded(
            own[: shapes[f"query_{name}"]], shapes[f"query_{name}"], "", own[-1]
        )
    for history, declared in prior.model.histories.items():
        taken = batch.inputs[history].shape[-1]
        for column, told in declared.columns.items():
            arrays[f"{history}_{column}"][taken:] = told.default
    return {each.name: arrays[each.name] for each in program.given}


def _padded(values: Array, width: int, what: str, padding: Any) -> Array:
    if len(values) > width:
        raise InputError(
            f"there are {len(values)} {what}, and the program takes {width}: export a larger one."
        )
    return np.concatenate([values, np.full(width - len(values), padding, dtype=values.dtype)])


def settled(
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    given: Mapping[str, Array],
    *,
    tolerance: float = 1e-6,
    calls: int = 20,
) -> dict[str, Array]:
    """The results of a program that is called again, from where it ended, until it arrives.

    Parameters
    ----------
    run : callable
        The program: ``program.run``, or a runtime's.
    given : mapping of str to array
    tolerance : float
        Of its last step, in posterior standard deviations.
    calls : int
        At most so many.
    """
    results = dict(run(given))
    for _ in range(calls - 1):
        if not float(results["last_step"]) >= tolerance:
            break
        results = dict(run({**given, "start": results["coordinates"]}))
    return results
