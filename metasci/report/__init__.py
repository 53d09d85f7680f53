"""Figures, warnings, and the self-contained HTML report.

Importing this is cheap: each name loads its module, and matplotlib, when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "Band": "metasci.report.comparisons",
    "Section": "metasci.report.html",
    "calibration_figure": "metasci.report.figures",
    "calibration_report": "metasci.report.sections",
    "comparison_figure": "metasci.report.comparisons",
    "cooling_figure": "metasci.heat_treatment.transformation_figures",
    "furnace_figure": "metasci.heat_treatment.figures",
    "comparison_report": "metasci.report.bayes_report",
    "comparison_table": "metasci.report.bayes_report",
    "goodness_of_fit_figure": "metasci.report.pharmacometric",
    "individual_fits_figure": "metasci.report.individual_fits",
    "jominy_figure": "metasci.heat_treatment.transformation_figures",
    "normalised_prediction_errors": "metasci.report.npde",
    "npde_figure": "metasci.report.npde_figures",
    "page": "metasci.report.html",
    "parameters_figure": "metasci.report.figures",
    "parity_figure": "metasci.report.comparisons",
    "products_figure": "metasci.heat_treatment.transformation_figures",
    "save_comparison": "metasci.report.bayes_report",
    "random_effects_figure": "metasci.report.pharmacometric",
    "regimen_figure": "metasci.report.regimens",
    "shots_figure": "metasci.report.comparisons",
    "simulated_like": "metasci.report.simulation",
    "tempering_map": "metasci.report.maps",
    "transformation_figure": "metasci.heat_treatment.figures",
    "to_png_base64": "metasci.report.style",
    "to_svg": "metasci.report.style",
    "visual_predictive_check": "metasci.report.predictive_check",
    "visual_predictive_check_figure": "metasci.report.predictive_check",
    "warnings_of": "metasci.fits.warnings",
}

__all__ = [
    "Band",
    "Section",
    "calibration_figure",
    "calibration_report",
    "comparison_figure",
    "comparison_report",
    "comparison_table",
    "cooling_figure",
    "furnace_figure",
    "goodness_of_fit_figure",
    "individual_fits_figure",
    "jominy_figure",
    "normalised_prediction_errors",
    "npde_figure",
    "page",
    "parameters_figure",
    "parity_figure",
    "products_figure",
    "random_effects_figure",
    "regimen_figure",
    "save_comparison",
    "shots_figure",
    "simulated_like",
    "tempering_map",
    "to_png_base64",
    "to_svg",
    "transformation_figure",
    "visual_predictive_check",
    "visual_predictive_check_figure",
    "warnings_of",
]

if TYPE_CHECKING:
    from metasci.fits.warnings import warnings_of
    from metasci.heat_treatment.figures import furnace_figure, transformation_figure
    from metasci.report.bayes_report import comparison_report, comparison_table, save_comparison
    from metasci.report.comparisons import Band, comparison_figure, parity_figure, shots_figure
    from metasci.report.figures import calibration_figure, parameters_figure
    from metasci.report.html import Section, page
    from metasci.report.individual_fits import individual_fits_figure
    from metasci.report.maps import tempering_map
    from metasci.report.npde import normalised_prediction_errors
    from metasci.report.npde_figures import npde_figure
    from metasci.report.pharmacometric import goodness_of_fit_figure, random_effects_figure
    from metasci.report.predictive_check import visual_predictive_check, visual_predictive_check_figure
    from metasci.report.sections import calibration_report
    from metasci.report.simulation import simulated_like
    from metasci.report.style import to_png_base64, to_svg


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'metasci.report' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
