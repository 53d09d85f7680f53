"""Study: learned priors against hierarchical Bayes. ``metasci study learned-prior-against-posterior``.

Four data sets, groups left out in three folds. A prior learned from the others and PyMC's hierarchical posterior
of the same tasks meet the same few measurements of every task left out, and forecast the rest. Takes ten minutes to
half an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from metasci import catalogue
from metasci.errors import InputError
from metasci.priors.load import load

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["NAMES", "main", "table", "write"]

NAMES = ("theophylline", "phenobarbital", "steel_tempering", "alloy_fatigue")


def table(comparisons: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """The figures of each data set, a column each; differences are the learned prior's less PyMC's."""
    from metasci.bayes import summary

    columns = {}
    for name, comparison in comparisons.items():
        figures = summary(comparison)
        population = comparison.isel(forecaster=2)
        ratios = figures["spread_ratio"].values()
        columns[name] = {
            "tasks": str(figures["tasks"]),
            "measurements kept back": str(figures["measurements"]),
            "shots": str(figures["shots"]),
            "RMSE, learned prior": f"{figures['rmse']['prior']:.4g}",
            "RMSE, PyMC joint": f"{figures['rmse']['pymc']:.4g}",
            "RMSE, PyMC population as prior": f"{float(population['rmse']):.4g}",
            "RMSE ratio": f"{figures['rmse_ratio']:.3f}",
            "its 90 % interval": "{lower:.2f} to {upper:.2f}".format(**figures["rmse_ratio_interval"]),
            "log density, difference": f"{-figures['nlpd_difference']:+.3f}",
            "its standard error": f"{figures['nlpd_difference_se']:.3f}",
            "TOST p, error and density": f"{figures['tost']['rmse']:.2g}, {figures['tost']['nlpd']:.2g}",
            "coverage of 90 %, learned": f"{figures['coverage90']['prior']:.3f}",
            "coverage of 90 %, PyMC": f"{figures['coverage90']['pymc']:.3f}",
            "spread over PyMC's": f"{min(ratios):.2f} to {max(ratios):.2f}",
            "start against the mean, χ² tail": f"{figures['start_tail']:.2f}",
            "ms a task, learned": f"{1e3 * figures['seconds_per_task']['prior']:.0f}",
            "s a task, PyMC": f"{figures['seconds_per_task']['pymc']:.0f}",
            "times faster": f"{figures['speed_ratio']:.0f}",
        }
    return pd.DataFrame(columns)


def write(comparison: xr.Dataset, folder: Path) -> None:
    """The Dataset, the report and every figure of one comparison."""
    from metasci.report import bayes_figures as figures, save_comparison
    from metasci.report.style import to_png

    save_comparison(comparison, folder)
    for draw in (
        figures.ellipses,
        figures.shrinkage,
        figures.forecasts,
        figures.calibration_of_forecasts,
        figures.seconds,
    ):
        (folder / f"{draw.__name__}.png").write_bytes(to_png(draw(comparison)))


def main(folder: Path | None = None) -> None:
    """Compare on every data set that is at hand; print the table and the sentences."""
    from metasci.bayes import compare

    torch.set_num_threads(1)
    folder = folder or (
        Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/learned_prior_against_posterior")
    )
    comparisons: dict[str, xr.Dataset] = {}
    for name in NAMES:
        try:
            prior = load(name)
            comparisons[name] = compare(
                prior, catalogue.dataset(name, model=prior.model), progress=sys.stderr.isatty()
            )
        except InputError as error:
            print(f"{name}: skipped, {error}")
            continue
        write(comparisons[name], folder / name)
    if comparisons:
        print(table(comparisons).to_string())
    for name, comparison in comparisons.items():
        print(f"\n{name}: {comparison.attrs['verdict']}")


if __name__ == "__main__":
    main()
