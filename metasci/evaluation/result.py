"""What an evaluation found: a dictionary of plain numbers, which is also a frame, a figure and a table to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasci.markup import captioned, table
from metasci.words import number, pretty_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Evaluation"]

_COLUMNS = ("method", "shots", "tasks", "rmse", "mae", "mdape", "coverage90", "nlpd", "seconds_per_task")
_HEADERS = (
    "method",
    "shots",
    "tasks",
    "RMSE",
    "MAE",
    "median error, %",
    "90 % intervals hold",
    "−log density",
    "s a task",
)
# Okabe and Ito (2008), which the colour-blind tell apart
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class Evaluation(dict[str, Any]):
    """Figures of a prior and of what stands beside it, as `metasci.evaluate` gives them.

    Its keys are those of the dictionary that JSON holds: ``tasks``, ``unit``, ``results`` and how it was done.

    Examples
    --------
    >>> import metasci as ms
    >>> found = ms.evaluate(ms.load("theophylline"), ms.dataset("theophylline"), (1, 3))
    >>> found.frame[["method", "shots"]].head(2).values.tolist()
    [['prior', 1], ['prior', 3]]
    """

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each method and number of shots; errors are in ``attrs["unit"]``."""
        import pandas as pd

        rows = [{name: row[name] for name in _COLUMNS} for row in self["results"]]
        frame = pd.DataFrame(rows, columns=list(_COLUMNS))
        frame.attrs["unit"] = self["unit"]
        return frame

    def plot(self) -> Figure:
        """Error and coverage over the number of measurements, a line for each method."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.5, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2)
        unit = pretty_unit(self["unit"])
        for place, (method, rows) in enumerate(self.frame.groupby("method", sort=False)):
            style: dict[str, Any] = {"marker": "o", "markersize": 4, "color": _COLOURS[place % len(_COLOURS)]}
            left.plot(rows["shots"], rows["rmse"], label=method, **style)
            right.plot(rows["shots"], 100.0 * rows["coverage90"], **style)
        right.axhline(90.0, color="0.5", linewidth=1, linestyle="--")
        left.set_ylabel(f"root mean square error{f' ({unit})' if unit else ''}")
        left.set_ylim(bottom=0.0)
        right.set_ylabel("90 % intervals hold (%)")
        right.set_ylim(0.0, 103.0)
        for axes in (left, right):
            axes.set_xlabel("measurements of the new task")
            axes.set_xticks(sorted(set(self.frame["shots"])))
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        return figure

    def __repr__(self) -> str:
        return f"Evaluation({self['tasks']} tasks, errors in {self['unit']})\n{self.frame.to_string(index=False)}"

    def _repr_html_(self) -> str:
        rows = [
            [row["method"], row["shots"], row["tasks"], *(number(row[name]) for name in _COLUMNS[3:])]
            for row in self["results"]
        ]
        held = f"each {self['leave_out']} left out in turn" if self["leave_out"] else "the prior as it is"
        title = (
            f"{self['tasks']} tasks, {self['learned_method']}, errors in {pretty_unit(self['unit']) or '1'}"
        )
        return captioned(title, held, table(_HEADERS, rows))
