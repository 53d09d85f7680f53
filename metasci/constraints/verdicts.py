"""Which laws a calibration keeps, where it breaks them, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metasci.constraints.law import Constraint

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

__all__ = ["greatest", "rounding", "verdicts"]


def rounding(prediction: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The greatest violation that is put down to rounding, (task,), in the output's unit.

    Two thirds of the digits of the task's greatest prediction, or of `scale`: derivatives lose some.
    """
    import torch

    size = torch.where(mask, prediction.detach().abs().nan_to_num(), 0.0).amax(1).clamp(min=scale)
    return float(torch.finfo(size.dtype).eps ** (2.0 / 3.0)) * size


def greatest(
    constraints: Sequence[Constraint],
    violations: Sequence[Tensor],
    negligible: Tensor,
    inputs: Mapping[str, Tensor],
    mask: Tensor,
) -> Tensor:
    """The greatest violation of each law, (task, law), in the output's unit: zero where it is satisfied, NaN where it
    could not be checked. Of the arguments of `verdicts`.
    """
    import torch

    each = []
    for law, values in zip(constraints, violations, strict=True):
        checked = mask & law.tells(inputs)
        worst = torch.where(checked, values.detach(), 0.0).amax(1)
        lawful = torch.where(worst <= negligible, 0.0, worst)
        each.append(torch.where(checked.any(1), lawful, torch.nan))
    return torch.stack(each, 1)


def verdicts(
    constraints: Sequence[Constraint],
    violations: Sequence[Tensor],
    negligible: Tensor,
    inputs: Mapping[str, Tensor],
    mask: Tensor,
    names: Sequence[str],
) -> pd.DataFrame:
    """One row for each law and task.

    Parameters
    ----------
    constraints : sequence of Constraint
    violations : sequence of Tensor, (task, point)
        Of each law, in the output's unit.
    negligible : Tensor, (task,)
        Up to which a violation is rounding.
    inputs : mapping of Tensor, (task, point)
    mask : Tensor of bool, (task, point)
        Where the laws are checked.
    names : sequence of str
        Of the tasks.

    Returns
    -------
    DataFrame
        Columns: task, law, satisfied, violation (the greatest), points (checked), broken (share of them), and every
        input's value at the greatest violation, missing where the law is satisfied or is not about one value of it.
        Where a law could be checked at no point, `satisfied` and the violation are missing.
    """
    import pandas as pd
    import torch

    rows: list[dict[str, Any]] = []
    for law, values in zip(constraints, violations, strict=True):
        values, checked = values.detach(), mask & law.tells(inputs)
        worst, at = torch.where(checked, values, -torch.inf).max(1)
        broken = checked & ~(values <= negligible[:, None])
        place = {name: v.detach() for name, v in law.place(inputs).items() if v.shape == mask.shape}
        for task, name in enumerate(names):
            count, lost = int(checked[task].sum()), int(broken[task].sum())
            row = {
                "task": name,
                "law": law.law,
                "satisfied": not lost if count else None,
                "violation": max(float(worst[task]), 0.0) if count else float("nan"),
                "points": count,
                "broken": lost / count if count else 0.0,
            }
            row |= {key: float(v[task, at[task]]) if lost else float("nan") for key, v in place.items()}
            rows.append(row)
    columns = ["task", "law", "satisfied", "violation", "points", "broken"]
    columns += [key for key, values in inputs.items() if values.shape == mask.shape]
    return pd.DataFrame(rows, columns=columns)
