"""Draw the README's picture, ``python docs/make_readme_picture.py``, of two tasks that their priors had not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from metasci.report.marks import draw_band, draw_points
from metasci.report.style import BLUE, GREY, styled
from metasci.studies.demo import Case, crack_case, patient_case
from metasci.words import label

OUT = Path(__file__).parent / "images" / "readme.png"


@styled
def picture(cases: tuple[Case, ...]) -> Figure:
    """One panel a case: the readings that calibrate, those kept back, the forecast, and the prior alone."""
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    for axes, case in zip(figure.subplots(1, len(cases)), cases, strict=True):
        fit, _ = case.calibrate()
        model, frame = case.prior.model, case.new.to_frame()
        x, y = frame[case.axis].to_numpy(), frame[model.output.name].to_numpy()
        points = np.linspace(0.0, x.max(), 200)
        said = fit.predict(**{case.axis: points}).isel(task=0)
        draw_band(
            axes, points, said["prior"].values, said["prior_lower"].values, said["prior_upper"].values, GREY,
            "before any reading", True, False,
        )  # fmt: skip
        draw_band(
            axes, points, said["median"].values, said["lower"].values, said["upper"].values, BLUE,
            "after three readings, with 90 % band", False, True,
        )  # fmt: skip
        draw_points(axes, x[~case.used], y[~case.used], "kept back", hollow=True)
        draw_points(axes, x[case.used], y[case.used], "used to calibrate")
        axes.set_title(case.title)
        axes.set_xlabel(label(case.axis, model.inputs[case.axis].unit))
        axes.set_ylabel(label(model.output.label or model.output.name, model.output.unit))
        top = 1.05 * float(said["upper"].max())
        axes.set_ylim(0.98 if y.min() >= 1.0 else 0.0, top)
        axes.set_xlim(0.0, x.max() * 1.02)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def main() -> None:
    """Draw and save."""
    OUT.parent.mkdir(exist_ok=True)
    picture((crack_case(), patient_case())).savefig(OUT, dpi=160)
    print(f"written: {OUT}")


if __name__ == "__main__":
    main()
