"""Is the learned prior any good, and what would make it better? One module for each question.

Every diagnostic is a function that returns an `xarray.Dataset` with its verdict, one plain sentence, in
``attrs["verdict"]``, and has a function that draws it. Importing this is cheap: each name loads its module, torch
and matplotlib, when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "RandomEffects": "metasci.diagnostics.aggregation",
    "composition_gradient": "metasci.diagnostics.variance",
    "composition_hessian": "metasci.diagnostics.curvature",
    "dersimonian_laird": "metasci.diagnostics.aggregation",
    "forgetting": "metasci.diagnostics.seen_before",
    "gradient_noise": "metasci.diagnostics.variance",
    "gradient_noise_figure": "metasci.diagnostics.figures",
    "identifiability": "metasci.diagnostics.information",
    "identifiability_figure": "metasci.diagnostics.start_figures",
    "initialisation": "metasci.diagnostics.layers",
    "initialisation_figure": "metasci.diagnostics.start_figures",
    "inner_loop_curve": "metasci.diagnostics.inner_loop",
    "inner_loop_figure": "metasci.diagnostics.figures",
    "leading_eigenpairs": "metasci.diagnostics.curvature",
    "leave_one_task_out": "metasci.diagnostics.held_out",
    "leave_one_task_out_figure": "metasci.diagnostics.figures",
    "meta_gradient_noise": "metasci.diagnostics.start_noise",
    "meta_hessian": "metasci.diagnostics.curvature",
    "meta_hessian_figure": "metasci.diagnostics.start_figures",
    "named_combination": "metasci.diagnostics.combinations",
    "nested_variance": "metasci.diagnostics.variance",
    "next_measurement": "metasci.diagnostics.next_point",
    "next_measurement_figure": "metasci.diagnostics.start_figures",
    "reacquisition": "metasci.diagnostics.seen_before",
    "risk_inflation": "metasci.diagnostics.risk",
    "simulated_tasks": "metasci.diagnostics.simulated",
    "task_aggregation": "metasci.diagnostics.aggregation",
    "task_aggregation_figure": "metasci.diagnostics.aggregation_figures",
    "unlike": "metasci.diagnostics.outsiders",
    "unit_variance": "metasci.diagnostics.layers",
    "validation_split": "metasci.diagnostics.inner_loop",
    "with_steps": "metasci.diagnostics.inner_loop",
}

__all__ = [
    "RandomEffects",
    "composition_gradient",
    "composition_hessian",
    "dersimonian_laird",
    "forgetting",
    "gradient_noise",
    "gradient_noise_figure",
    "identifiability",
    "identifiability_figure",
    "initialisation",
    "initialisation_figure",
    "inner_loop_curve",
    "inner_loop_figure",
    "leading_eigenpairs",
    "leave_one_task_out",
    "leave_one_task_out_figure",
    "meta_gradient_noise",
    "meta_hessian",
    "meta_hessian_figure",
    "named_combination",
    "nested_variance",
    "next_measurement",
    "next_measurement_figure",
    "reacquisition",
    "risk_inflation",
    "simulated_tasks",
    "task_aggregation",
    "task_aggregation_figure",
    "unit_variance",
    "unlike",
    "validation_split",
    "with_steps",
]

if TYPE_CHECKING:
    from metasci.diagnostics.aggregation import (
        RandomEffects,
        dersimonian_laird,
        task_aggregation,
    )
    from metasci.diagnostics.aggregation_figures import (
        task_aggregation_figure,
    )
    from metasci.diagnostics.combinations import (
        named_combination,
    )
    from metasci.diagnostics.curvature import (
        composition_hessian,
        leading_eigenpairs,
        meta_hessian,
    )
    from metasci.diagnostics.figures import (
        gradient_noise_figure,
        inner_loop_figure,
        leave_one_task_out_figure,
    )
    from metasci.diagnostics.held_out import (
        leave_one_task_out,
    )
    from metasci.diagnostics.information import (
        identifiability,
    )
    from metasci.diagnostics.inner_loop import (
        inner_loop_curve,
        validation_split,
        with_steps,
    )
    from metasci.diagnostics.layers import (
        initialisation,
        unit_variance,
    )
    from metasci.diagnostics.next_point import (
        next_measurement,
    )
    from metasci.diagnostics.outsiders import (
        unlike,
    )
    from metasci.diagnostics.risk import (
        risk_inflation,
    )
    from metasci.diagnostics.seen_before import (
        forgetting,
        reacquisition,
    )
    from metasci.diagnostics.simulated import (
        simulated_tasks,
    )
    from metasci.diagnostics.start_figures import (
        identifiability_figure,
        initialisation_figure,
        meta_hessian_figure,
        next_measurement_figure,
    )
    from metasci.diagnostics.start_noise import (
        meta_gradient_noise,
    )
    from metasci.diagnostics.variance import (
        composition_gradient,
        gradient_noise,
        nested_variance,
    )


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'metasci.diagnostics' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
