"""Risk of what is learned on tasks held out, over that on tasks seen, and the use it makes of a support."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

__all__ = ["Risk", "Use", "risk_inflation"]

_IGNORED = 0.5  # a learner that uses less of the support than this ignores it
_INFLATED = 1.5  # a ratio of risks above this is no optimism of ordinary size

Risk = Callable[[Any, list[int], int], np.ndarray]
"""Of what is learned, positions of tasks and a number of seeds, to the query risk of each after adaptation to a random
support, (task, seed)."""

Use = Callable[[Any, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Of what is learned and a number of seeds, to the query risk of tasks unlike those seen: after their own support,
after that of a task like those seen, and the least that their own support allows; each (probe, seed)."""


def risk_inflation(
    learn: Callable[[list[int]], Any],
    risk: Risk,
    count: int,
    *,
    use: Use | None = None,
    seeds: int = 10,
    level: float = 0.9,
    names: Sequence[str] | None = None,
) -> xr.Dataset:
    """The same for anything that learns: an equation, a network, a mean.

    Parameters
    ----------
    learn : callable
        Of positions of tasks, to what is learned from them.
    risk : callable
        Of what is learned, positions of tasks and a number of seeds, to the query risk of each task, (task, seed). A
        task and a seed have the same support, whatever else is asked for.
    count : int
        How many tasks there are.
    use : callable, optional
        Of what is learned from all tasks and a number of seeds, to three risks of tasks unlike those seen, each
        (probe, seed): after their own support, after a support exchanged for one of a task like those seen, and the
        least possible. Without it, memorising cannot be told from tasks that do not differ.
    seeds : int
    level : float
    names : sequence of str, optional

    Returns
    -------
    xarray.Dataset
        ``held_out`` and ``seen`` (task, seed), ``own``, ``exchanged`` and ``least`` (probe, seed), and

        - ``ratio``: held-out risk over seen, geometric mean over the seeds, with ``ratio_lower`` and ``ratio_upper``
          for the random supports (Student's t of its logarithm), ``ratio_task_lower`` and ``ratio_task_upper`` for the
          choice of tasks (jackknife of its logarithm);
        - ``use``: (exchanged − own) / (exchanged − least) of the roots of these risks, each the median over the probes:
          how far of the way to an unlike task its support brings the learner, 1 for one that takes from it all it
          says, 0 for one that ignores it, with ``use_lower`` and ``use_upper`` for the random supports.

    Examples
    --------
    Start at the mean of the tasks and do not adapt: with T tasks the ratio is (T/(T − 1))².

    >>> truth = np.array([0.0, 1.0, 5.0])
    >>> risk = lambda mean, index, seeds: np.tile((truth[index, None] - mean) ** 2, seeds)
    >>> float(risk_inflation(lambda index: truth[index].mean(), risk, 3)["ratio"])
    2.25
    """
    everything = list(range(count))
    full = learn(everything)
    seen = risk(full, everything, seeds)
    held = np.empty((count, seeds))
    for task in everything:
        without = learn([other for other in everything if other != task])
        held[task] = risk(without, [task], seeds)[0]
    variables: dict[str, Any] = {"held_out": (("task", "seed"), held), "seen": (("task", "seed"), seen)}
    logs = np.log(held.mean(0) / seen.mean(0))
    variables |= _interval("ratio", logs, level, np.exp)
    each = [
        np.log(np.delete(held, task, 0).mean(0) / np.delete(seen, task, 0).mean(0)).mean()
        for task in everything
    ]
    spread = np.sqrt((count - 1) * np.var(each))
    reach = stats.t.ppf(0.5 + 0.5 * level, count - 1) * spread
    variables |= {
        f"ratio_task_{end}": ((), float(np.exp(logs.mean() + sign * reach)))
        for end, sign in (("lower", -1), ("upper", 1))
    }
    if use is not None:
        risks = use(full, seeds)
        variables |= {
            name: (("probe", "seed"), part)
            for name, part in zip(("own", "exchanged", "least"), risks, strict=True)
        }
        own, exchanged, least = (np.sqrt(np.nanmedian(part, 0)) for part in risks)
        variables |= _interval("use", (exchanged - own) / (exchanged - least), level)
    result = xr.Dataset(
        variables,
        {"task": list(names or map(str, everything)), "seed": np.arange(seeds)},
        {"level": level, "tasks": count},
    )
    return result.assign_attrs(verdict=_verdict(result))


def _interval(
    name: str, values: np.ndarray, level: float, back: Callable[[Any], Any] = lambda value: value
) -> dict[str, Any]:
    """Mean over the seeds with Student's interval, carried back from the scale on which it is taken."""
    reach = 0.0
    if len(values) > 1:
        reach = stats.t.ppf(0.5 + 0.5 * level, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    ends = (("", 0.0), ("_lower", -reach), ("_upper", reach))
    return {name + suffix: ((), float(back(values.mean() + shift))) for suffix, shift in ends}


def _verdict(result: xr.Dataset) -> str:
    """One sentence: memorises, overfits, sound, or not settled."""
    percent = f"{100 * result.attrs['level']:.0f} %"
    ratio, low, high = (float(result[f"ratio{end}"]) for end in ("", "_lower", "_upper"))
    inflation = (
        f"risk on tasks held out is {ratio:.2f} times that on tasks seen ({percent} interval {low:.2f} to {high:.2f} "
        "over random supports)"
    )
    if "use" in result:
        use, use_low, use_high = (float(result[f"use{end}"]) for end in ("", "_lower", "_upper"))
        seen = result.attrs["tasks"]
        used = f"the support of a task unlike the {seen} seen brings it {100 * use:.0f} % of the way there"
        between = f"{percent} interval {100 * use_low:.0f} to {100 * use_high:.0f} %"
        if use < _IGNORED:
            return f"The learner memorises: {used} ({between}), and {inflation}."
        inflation += f"; {used}"
    if low > _INFLATED:
        return f"The learner overfits the tasks it has seen: {inflation}."
    if high < _INFLATED and ("use" not in result or float(result["use_lower"]) > _IGNORED):
        return f"The learner is sound: {inflation}."
    return f"Not settled, more tasks or seeds are needed: {inflation}."
