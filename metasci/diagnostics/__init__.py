"""Is the learned prior any good, and what would make it better? One module for each question.

Every diagnostic is a function that returns an `xarray.Dataset` with its verdict, one plain sentence, in
``attrs["verdict"]``, and has a function that draws it. Importing this is cheap: each name loads its module, torch
and matplotlib, when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "inner_loop_curve": "metasci.diagnostics.inner_loop",
    "inner_loop_figure": "metasci.diagnostics.figures",
    "leave_one_task_out": "metasci.diagnostics.held_out",
    "leave_one_task_out_figure": "metasci.diagnostics.figures",
    "risk_inflation": "metasci.diagnostics.risk",
    "simulated_tasks": "metasci.diagnostics.simulated",
    "validation_split": "metasci.diagnostics.inner_loop",
    "with_steps": "metasci.diagnostics.inner_loop",
}

__all__ = [
    "inner_loop_curve",
    "inner_loop_figure",
    "leave_one_task_out",
    "leave_one_task_out_figure",
    "risk_inflation",
    "simulated_tasks",
    "validation_split",
    "with_steps",
]

if TYPE_CHECKING:
    from metasci.diagnostics.figures import inner_loop_figure, leave_one_task_out_figure
    from metasci.diagnostics.held_out import leave_one_task_out
    from metasci.diagnostics.inner_loop import inner_loop_curve, validation_split, with_steps
    from metasci.diagnostics.risk import risk_inflation
    from metasci.diagnostics.simulated import simulated_tasks


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'metasci.diagnostics' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
