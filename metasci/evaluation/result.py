"""What an evaluation found: a dictionary of plain numbers, which is also a frame, a figure and a table to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasci.markup import captioned, notes, table
from metasci.words import enumerated, number, pretty_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Evaluation", "who_was_left_out"]

_OF_NUMBERS = ("rmse", "mae", "mdape", "coverage90", "nlpd", "seconds_per_task")
_NO_FIGURES = ("method", "shots", "tasks", "left_out")
_HEADERS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "mdape": "median error, %",
    "coverage90": "90 % intervals hold",
    "nlpd": "−log density",
    "seconds_per_task": "s a task",
    "log_score": "−log probability",
    "brier": "Brier score",
    "auc": "area under ROC curve",
    "auprc": "area under precision-recall curve",
    "accuracy": "right",
    "calibration_error": "calibration error",
    "ranked_probability_score": "ranked probability score",
    "concordance": "concordance",
    "integrated_brier": "Brier score over time",
}
# what is drawn beside the first figure, with its axis; the first that there is
_SHARES = {
    "coverage90": "90 % intervals hold (%)",
    "accuracy": "right (%)",
}
# Okabe and Ito (2008), which the colour-blind tell apart
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def who_was_left_out(report: dict[str, Any]) -> list[str]:
    """A sentence for each number of shots at which tasks could not be judged: which, and why.

    Parameters
    ----------
    report : dict
        As `evaluate` gives it.
    """
    by_shots: dict[int, dict[str, str]] = {row["shots"]: row["left_out"] for row in report["results"]}
    sentences = []
    for shots, left_out in by_shots.items():
        for why in dict.fromkeys(left_out.values()):
            names = [name for name, reason in left_out.items() if reason == why]
            sentences.append(f"left out at {shots} shots: {enumerated(names, most=5)} ({why})")
    return sentences


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
    def figures(self) -> tuple[str, ...]:
        """Names of the figures: those of measurements, or of the kind of outcome."""
        if not self.get("outcome"):
            return _OF_NUMBERS
        return tuple(name for name in self["results"][0] if name not in _NO_FIGURES)

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each method and number of shots; errors are in ``attrs["unit"]``."""
        import pandas as pd

        columns = ["method", "shots", "tasks", *self.figures]
        frame = pd.DataFrame(
            [{name: row[name] for name in columns} for row in self["results"]], columns=columns
        )
        frame.attrs["unit"] = self["unit"]
        return frame

    def plot(self) -> Figure:
        """Error and coverage over the number of measurements, a line for each method.

        Of outcomes, their log score, and coverage or, of yes or no and of classes, how many are right.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.5, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2)
        unit = pretty_unit(self["unit"])
        error, share = (
            self.figures[0],
            next(name for key in _SHARES for name in self.figures if name.startswith(key)),
        )
        for place, (method, rows) in enumerate(self.frame.groupby("method", sort=False)):
            style: dict[str, Any] = {"marker": "o", "markersize": 4, "color": _COLOURS[place % len(_COLOURS)]}
            left.plot(rows["shots"], rows[error], label=method, **style)
            right.plot(rows["shots"], 100.0 * rows[share], **style)
        if share.startswith("coverage90"):
            right.axhline(90.0, color="0.5", linewidth=1, linestyle="--")
        if error == "rmse":
            left.set_ylabel(f"root mean square error{f' ({unit})' if unit else ''}")
            left.set_ylim(bottom=0.0)
        else:
            left.set_ylabel(f"mean {_HEADERS[error]}")
        right.set_ylabel(next(text for key, text in _SHARES.items() if share.startswith(key)))
        right.set_ylim(0.0, 103.0)
        for axes in (left, right):
            axes.set_xlabel("measurements of the new task")
            axes.set_xticks(sorted(set(self.frame["shots"])))
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        return figure

    def __repr__(self) -> str:
        told = "".join(f"\n{sentence}" for sentence in who_was_left_out(self))
        return f"Evaluation({self['tasks']} tasks, {self._of})\n{self.frame.to_string(index=False)}{told}"

    @property
    def _of(self) -> str:
        if self.get("outcome"):
            return f"outcomes of {self['outcome']}"
        return f"errors in {self['unit']}"

    def _repr_html_(self) -> str:
        rows = [
            [row["method"], row["shots"], row["tasks"], *(number(row[name]) for name in self.figures)]
            for row in self["results"]
        ]
        held = f"each {self['leave_out']} left out in turn" if self["leave_out"] else "the prior as it is"
        of = self._of if self.get("outcome") else f"errors in {pretty_unit(self['unit']) or '1'}"
        title = f"{self['tasks']} tasks, {self['learned_method']}, {of}"
        header = ["method", "shots", "tasks", *(_HEADERS.get(name, name) for name in self.figures)]
        return captioned(title, held, table(header, rows), notes(who_was_left_out(self)))
