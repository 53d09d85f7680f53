"""The report of a comparison with hierarchical Bayes: one HTML page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from metasci.files import netcdf, seen, write_folder
from metasci.report import bayes_figures as figures
from metasci.report.html import Section, definitions, figure, page, paragraph, table
from metasci.words import number, words

__all__ = ["comparison_report", "comparison_table", "save_comparison"]


def comparison_table(comparison: xr.Dataset) -> list[tuple[str, ...]]:
    """Every forecaster's figures, a row each, under the header that is the first row."""
    levels, name = comparison["level"].values, str(comparison.attrs.get("error_name", "RMSE"))
    rows: list[tuple[str, ...]] = [
        (
            "",
            name,
            f"{name} over PyMC's",
            "−log density",
            "less PyMC's",
            "CRPS",
            *(f"{100 * level:.0f} % covers" for level in levels),
            "seconds a task",
        )
    ]
    for place, name in enumerate(comparison["forecaster"].values):
        forecaster = comparison.isel(forecaster=place)
        ratio, nats = ("", "") if place == 1 else _against_pymc(comparison, place)
        rows.append(
            (
                str(name),
                f"{float(forecaster['rmse']):.4g}",
                ratio,
                f"{float(forecaster['nlpd']):.3f}",
                nats,
                f"{float(forecaster['mean_crps']):.4g}",
                *(f"{100 * float(value):.0f} %" for value in forecaster["coverage"].values),
                f"{float(forecaster['seconds']):.3g}",
            )
        )
    return rows


def _against_pymc(comparison: xr.Dataset, place: int) -> tuple[str, str]:
    """The ratio of errors with its 90 % interval, and the difference of log densities with its standard error."""
    forecaster = comparison.isel(forecaster=place)
    ratio, low, high = (float(forecaster[f"rmse_ratio{end}"]) for end in ("", "_lower", "_upper"))
    return (
        f"{ratio:.3f} ({low:.2f} to {high:.2f})",
        f"{float(forecaster['nlpd_difference']):+.3f} ± {float(forecaster['nlpd_difference_se']):.3f}",
    )


def comparison_report(comparison: xr.Dataset) -> str:
    """The page, from the Dataset that `metasci.bayes.compare` gives.

    Returns
    -------
    str
        Everything inside: style, figures as vector graphics, and a script that says what lies under the pointer.
        Nothing is fetched.
    """
    attrs = comparison.attrs
    header, *rows = comparison_table(comparison)
    simulated = " (simulated data)" if attrs["simulated"] else ""
    sections = [
        Section("", paragraph(str(attrs["verdict"]))),
        Section(
            "Forecasts of what was kept back",
            paragraph(
                f"{comparison.sizes['measurement']} measurements of {comparison.sizes['task']} tasks, each forecast "
                f"from {attrs['shots']} of its own; {attrs.get('error_name', 'RMSE')} and CRPS in "
                f"{attrs['output_unit']}, log density in nats each. "
                "Over and less PyMC's joint fit: with the 90 % interval and the standard error, tasks counted as what "
                f"there is many of. Within {100 * float(attrs['rmse_margin']):.3g} % and {attrs['nats_margin']:.3g} "
                "nats a difference does not matter; two one-sided tests (TOST) say whether it lies there."
            )
            + table(header, rows, range(1, len(header)))
            + figure(figures.forecasts(comparison), "A few tasks, from the best forecast to the worst.")
            + figure(figures.calibration_of_forecasts(comparison), "Whether the forecasts are honest.")
            + figure(
                figures.seconds(comparison),
                "Accuracy against time. PyMC's joint fit is needed anew for every task.",
            ),
        ),
        Section("The population", _population(comparison)),
        Section(
            "Every held-out task",
            figure(
                figures.shrinkage(comparison),
                "Estimates under the learned prior beside the means of the joint fit, from the same measurements.",
            )
            + _tasks(comparison),
        ),
        Section("How it was made", _provenance(comparison)),
    ]
    return page(
        f"Learned prior against posterior: {attrs['data']}{simulated}",
        sections,
        f"{attrs['model']}, {attrs['method']}",
    )


def _population(comparison: xr.Dataset) -> str:
    rows = []
    for name in comparison["parameter"].values:
        for fold in comparison["fold"].values:
            of_fold = comparison.sel(parameter=name, fold=fold)
            physical = of_fold["population_mean_physical"].values
            rows.append(
                (
                    words(str(name)),
                    str(fold),
                    number(float(of_fold["start_physical"])),
                    number(float(np.median(physical))),
                    str(comparison["unit"].sel(parameter=name).values),
                    f"{float(of_fold['start_z']):+.2f}",
                    f"{float(of_fold['implied_sd']):.2f}",
                    f"{float(of_fold['population_sd']):.2f}",
                )
            )
    header = ("parameter", "fold", "start", "PyMC's mean", "unit", "z", "implied SD", "PyMC's SD")
    distances = [
        (
            str(fold),
            f"{float(of_fold['mahalanobis']):.2f}",
            f"{float(of_fold['tail']):.2g}",
            *(_interval(of_fold[key].values) for key in ("kl_forward", "kl_backward", "wasserstein")),
        )
        for fold in comparison["fold"].values
        for of_fold in [comparison.sel(fold=fold)]
    ]
    return (
        paragraph(
            f"{comparison.attrs['learned']}. z is the start's distance from PyMC's population mean in "
            "posterior standard deviations; SDs between tasks are in the scaled unconstrained coordinates."
        )
        + table(header, rows, (2, 3, 5, 6, 7))
        + figure(
            figures.ellipses(comparison), "The prior's ellipse over draws of PyMC's population, first fold."
        )
        + paragraph("Distances of all parameters together: median and 90 % over draws of the population.")
        + table(
            ("fold", "Mahalanobis", "χ² tail", "KL(prior ‖ PyMC)", "KL(PyMC ‖ prior)", "Wasserstein-2"),
            distances,
            range(1, 6),
        )
    )


def _interval(values: np.ndarray) -> str:
    if not np.isfinite(values).all():
        return "none"
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _tasks(comparison: xr.Dataset) -> str:
    rows = []
    for name in comparison["parameter"].values:
        of_parameter = comparison.sel(parameter=name, parameter_other=name)
        away = np.abs(of_parameter["estimate_z"].values)
        values = (
            np.median(away),
            away.max(),
            *(
                float(of_parameter[key].median())
                for key in (
                    "operator_learned",
                    "operator_pymc",
                    "contraction_learned",
                    "contraction_pymc",
                )
            ),
        )
        rows.append((words(str(name)), *(f"{value:.2f}" for value in values)))
    return paragraph(
        "|z|: how far the estimate lies from the posterior mean, in posterior standard deviations. Shrinkage: the "
        "share of the way from the start to the measurements' own value, (H + Σ⁻¹)⁻¹H on its diagonal. "
        "Contraction: the share of the variance that the measurements took away. Medians over tasks."
    ) + table(
        ("parameter", "|z|", "greatest |z|", "shrinkage", "PyMC's", "contraction", "PyMC's"),
        rows,
        range(1, 7),
    )


def _provenance(comparison: xr.Dataset) -> str:
    attrs = comparison.attrs
    return definitions(
        {
            "prior": str(attrs["prior"]),
            "learned by": str(attrs["method"]),
            "who learned from what": str(attrs["learned"]),
            "folds": str(comparison.sizes["fold"]),
            "worst R-hat": f"{float(comparison['rhat'].max()):.3f}",
            "lowest effective sample size": f"{float(comparison['effective_size'].min()):.0f}",
            "divergences": f"{int(comparison['divergences'].sum())}",
            "sampling": f"NUTS, {attrs['draws']} draws a chain asked for, {attrs['seeds']} seed(s)",
        }
    )


def save_comparison(comparison: xr.Dataset, folder: str | Path) -> Path:
    """Write ``comparison.nc`` and ``report.html`` into a folder: both, or none."""
    found = seen(Path(folder))
    text = comparison_report(comparison)
    contents = {"comparison.nc": netcdf(comparison), "report.html": text.encode()}
    return write_folder(Path(folder), contents, found)
