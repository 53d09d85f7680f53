"""Draw the figure of `what-a-learned-prior-is.md`: ``python docs/make_prior_pictures.py``."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from metasci.meta.implied import implied_precision
from metasci.report.style import BLUE, GREEN, GREY, INK, RED, styled, to_png


def _ellipse(centre: np.ndarray, covariance: np.ndarray, size: float) -> np.ndarray:
    turn = np.linspace(0.0, 2.0 * np.pi, 200)
    return centre[:, None] + size * np.linalg.cholesky(covariance) @ np.stack([np.cos(turn), np.sin(turn)])


@styled
def picture() -> Figure:
    """A step as a centre of gravity, and a few steps as the estimate under a prior."""
    figure = Figure(figsize=(8.6, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    best, start, pull = 10.0, 4.0, 0.3
    theta = np.linspace(2.0, 13.0, 200)
    left.plot(theta, 0.3 * (theta - best) ** 2, color=GREY, label="loss of the measurements")
    after = (1.0 - pull) * start + pull * best
    left.hlines(0.0, start, best, color=INK, lw=1.2)
    left.plot(
        start,
        0.0,
        "o",
        color=BLUE,
        ms=12 * math.sqrt(1.0 - pull) + 2,
        clip_on=False,
        label="start, mass 1 − c",
    )
    left.plot(best, 0.0, "o", color=RED, ms=12 * math.sqrt(pull) + 2, clip_on=False, label="best fit, mass c")
    left.plot(after, -0.9, "^", color=GREEN, ms=9, clip_on=False, label="one step: where they balance")
    left.set_ylim(-2.0, 22.0)
    left.set_yticks([])
    left.set_xlabel("parameter")
    left.set_title("One step: a centre of gravity")
    left.legend(loc="upper right")

    hessian = torch.tensor([[4.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    optimum, step, steps = (
        torch.tensor([1.0, -2.0], dtype=torch.float64),
        torch.tensor([0.05, 0.10]).double(),
        5,
    )
    here = torch.zeros(2, dtype=torch.float64)
    path = [here.numpy()]
    for _ in range(steps):
        here = here - step * (hessian @ (here - optimum))
        path.append(here.numpy())
    walked = np.array(path).T
    precision, _ = implied_precision(hessian[None], step, steps)
    fit = np.linalg.inv(hessian.numpy())
    for size in (1.0, 2.0):
        right.plot(*_ellipse(optimum.numpy(), fit, size), color=RED, lw=1.0, alpha=0.8 / size)
        right.plot(
            *_ellipse(np.zeros(2), np.linalg.inv(precision[0].numpy()), size),
            color=BLUE,
            lw=1.0,
            alpha=0.8 / size,
        )
    posterior = np.linalg.inv(hessian.numpy() + precision[0].numpy())
    right.plot(*_ellipse(walked[:, -1], posterior, 1.0), color=GREEN, lw=1.8, label="posterior")
    right.plot(*walked, ".-", color=INK, lw=1.0, ms=6, label="five steps")
    right.plot(0.0, 0.0, "o", color=BLUE, label="start, and the prior it implies")
    right.plot(*optimum.numpy(), "o", color=RED, label="best fit, and how sharp it is")
    right.set_xlabel("first parameter")
    right.set_ylabel("second parameter")
    right.set_title("A few steps: a Gaussian prior")
    right.set_aspect("equal")
    right.set_xlim(-1.9, 2.6)
    right.set_ylim(-3.7, 2.3)
    right.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return figure


if __name__ == "__main__":
    (Path(__file__).parent / "images" / "implied-prior.png").write_bytes(to_png(picture()))
