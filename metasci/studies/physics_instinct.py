"""Study: does a start learned under physical laws stay lawful after one step?

``python -m metasci.studies.physics_instinct [FOLDER]``

Simulated tasks f(x) = (a + b·cos ωx)² on |x| ≤ 4.5 share two laws: they are even and never below zero. A small network
learns from old tasks, then makes one inner step on five noisy measurements of a new one. Four ways to tell it the laws
are compared: not at all, by a penalty in the step of the new task only, by a penalty on what the step leads to in
meta-training, and by a penalty in both, with weights inside the step that are learned. Beside them stand a network
that cannot break the laws, and ten steps, to show what a penalty at test time can do with more time. Either the old
tasks were measured on both sides, so that they show the laws themselves, or on the side x > 0 only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from metasci.constraints import Even, Grid, NonNegative, QuasiRandom
from metasci.meta import (
    LawfulEpisode,
    Network,
    NetworkEpisode,
    Outer,
    adapt,
    initial,
    law_weights,
    meta_train,
    named,
)
from metasci.meta.adaptation.inner import Parameters
from metasci.report.style import save_figure
from metasci.studies.even_functions import INSIDE, NOISE, OUTSIDE, Tasks, network, simulated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "SIDES",
    "WAYS",
    "Setting",
    "Tasks",
    "Way",
    "compared",
    "figure",
    "learned",
    "simulated",
    "summary",
]

SIDES = ("both", "right")
LAWS = (Even("x"), NonNegative())
_EVERYWHERE = QuasiRandom({"x": (-OUTSIDE, OUTSIDE)}, count=32)  # laws hold beyond the data, too
_CHECKED = Grid({"x": tuple(torch.linspace(-OUTSIDE, OUTSIDE, 91, dtype=torch.float64).tolist())})
_METHOD = named.meta_sgd(steps=1, step_size=0.01)
_WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0)  # half a decade apart, about and below the weight in what is judged


@dataclass(frozen=True)
class Way:
    """How a network is told the laws.

    By their weight in what meta-training judges, by learned weights inside the step, by a weight in the new task's
    steps, or by a network that cannot break them.
    """

    name: str
    judged: float = 0.0
    learned: bool = False
    at_test_time: bool = False
    steps: int = 1
    constructed: bool = False


WAYS = (
    Way("no penalty"),
    Way("penalty at test time", at_test_time=True),
    Way("penalty in meta-training", judged=1.0),
    Way("ten times that penalty", judged=10.0),
    Way("penalty in both", judged=1.0, learned=True),
    Way("laws by construction", constructed=True),
    Way("no penalty, 10 steps", steps=10),
    Way("at test time, 10 steps", at_test_time=True, steps=10),
)


@dataclass(frozen=True)
class Setting:
    """How much is simulated and learned: the default takes some minutes on one core."""

    seeds: int = 4
    iterations: int = 1000
    old: int = 400
    new: int = 400
    shots: int = 5
    hidden: int = 40


def lawful(episode: NetworkEpisode, inner: float = 0.0, outer: float = 0.0) -> LawfulEpisode:
    """An episode under the two laws, which are looked at on the whole of |x| ≤ 4.5."""
    return LawfulEpisode(episode, LAWS, ("x",), _EVERYWHERE, inner, outer)


def learned(way: Way, model: Network, old: Tasks, setting: Setting, seed: int) -> Parameters:
    """What meta-training on the old tasks gives, by one of the ways."""
    start = initial(_METHOD, model.start())
    if way.learned:
        start |= law_weights(LAWS, 0.1, model.start())

    def draw(number: int) -> LawfulEpisode:
        generator = torch.Generator().manual_seed(number)
        chosen = torch.randperm(len(old), generator=generator)[:16]
        order = torch.rand(16, old.x.shape[1], generator=generator).argsort(1)
        shuffled = replace(old, x=old.x[chosen].gather(1, order), y=old.y[chosen].gather(1, order))
        return lawful(shuffled.episode(model, setting.shots), outer=way.judged)

    plan = Outer(iterations=setting.iterations, learning_rate=0.003, schedule="cosine", clip=10.0)
    return meta_train(_METHOD, draw, start, plan, seed=seed).learned


def inner_weight(way: Way, model: Network, state: Parameters, known: Tasks, setting: Setting) -> float:
    """The weight that serves best at test time, errors and laws together, on tasks that are not judged."""
    if not way.at_test_time:
        return 0.0
    costs = {}
    for weight in _WEIGHTS:
        episode = lawful(known.episode(model, setting.shots), inner=weight, outer=1.0)
        costs[weight] = float(episode.query(adapt(replace(_METHOD, steps=way.steps), episode, state)).mean())
    return min(costs, key=lambda weight: costs[weight])


def judged(episode: LawfulEpisode, adapted: Parameters, new: Tasks) -> dict[str, float]:
    """How often and by how much the laws are broken, and how large the errors are, after the step.

    At 91 places in |x| ≤ 4.5: the share where evenness is off by more than the noise, and by how much in the mean; the
    share that lies below zero by more than the noise, and how far the lowest in a task, in the mean; root mean square
    errors to the truth right and left of the middle, and beyond |x| = 3.
    """
    looked = replace(episode, collocation=_CHECKED)
    model, places = episode.episode.network, len(_CHECKED.points["x"])
    x, mask = (values[:, -places:] for values in (looked.points()[0]["x"], looked.points()[1]))
    prediction = model({name: adapted[name] for name in model.start()}, x[..., None])
    error = prediction[..., 0] - new.truth(x)
    uneven, negative = looked.violations(adapted, {"x": x}, mask)

    def size(part: Tensor) -> float:
        return float(error[part].square().mean().sqrt())

    return {
        "uneven %": 100.0 * float((uneven > NOISE).float().mean()),
        "uneven": float(uneven.mean()),
        "negative %": 100.0 * float((negative > NOISE).float().mean()),
        "negative": float(negative.amax(1).mean()),
        "error right": size((x >= 0) & (x <= INSIDE)),
        "error left": size((x < 0) & (x >= -INSIDE)),
        "error beyond": size(x.abs() > INSIDE),
    }


@dataclass(frozen=True)
class Comparison:
    """All figures (a row for each of sides, way and seed), and what the first seed learned, for pictures."""

    table: pd.DataFrame
    first: dict[tuple[str, Way], tuple[Network, Parameters, float]]
    weights: pd.DataFrame


def compared(
    setting: Setting | None = None, sides: tuple[str, ...] = SIDES, ways: tuple[Way, ...] = WAYS
) -> Comparison:
    """Learn and judge by every way, for every seed.

    The figures of a way do not depend on which others are asked for.
    """
    setting = setting or Setting()
    rows, first, weights = [], {}, []
    for side in sides:
        for seed in range(setting.seeds):
            old, known, new = (
                simulated(count, 20, side, 1000 * seed + number)
                for number, count in enumerate((setting.old, 100, setting.new))
            )
            states: dict[tuple[float, bool, bool], Parameters] = {}
            used: dict[str, object] = {"measured": side, "seed": seed}
            for way in ways:
                laws = (way.judged, way.learned, way.constructed)
                model = network(setting.hidden, seed, way.constructed)
                if laws not in states:
                    states[laws] = learned(way, model, old, setting, seed)
                inner = inner_weight(way, model, states[laws], known, setting)
                episode = lawful(new.episode(model, setting.shots), inner=inner)
                figures = judged(
                    episode, adapt(replace(_METHOD, steps=way.steps), episode, states[laws]), new
                )
                rows.append({"measured": side, "way": way.name, "seed": seed, **figures})
                if way.at_test_time:
                    used[way.name] = inner
                if way.learned:
                    own = states[laws]["log_penalty"].exp().tolist()
                    used |= {f"learned, {law.law}": value for law, value in zip(LAWS, own, strict=True)}
                if not seed:
                    first[side, way] = (model, states[laws], inner)
            weights.append(used)
    return Comparison(pd.DataFrame(rows), first, pd.DataFrame(weights))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, as text."""
    groups = table.drop(columns="seed").groupby(["measured", "way"], sort=False)
    mean, spread = groups.mean(), groups.std(ddof=1).fillna(0.0)
    parts = {}
    for name in mean.columns:
        digits = 1 if "%" in name else 3
        pairs = zip(mean[name], spread[name], strict=True)
        parts[name] = [f"{centre:.{digits}f} ± {off:.{digits}f}" for centre, off in pairs]
    return pd.DataFrame(parts, index=mean.index)


def figure(comparison: Comparison, setting: Setting, task: int = 1) -> Figure:
    """One new task after one step, by every way, over its truth and five measurements."""
    import matplotlib.pyplot as plt

    from metasci.report.style import BLUE, GREY, INK, styled

    sides = list(dict.fromkeys(side for side, _ in comparison.first))

    @styled
    def draw() -> Figure:
        drawing, panels = plt.subplots(
            len(sides),
            4,
            figsize=(10.5, 2.7 * len(sides)),
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for row, side in zip(panels, sides, strict=True):
            new = simulated(setting.new, 20, side, 2)
            x = torch.linspace(-OUTSIDE, OUTSIDE, 181)
            for panel, way in zip(row, WAYS[:4], strict=True):
                model, state, inner = comparison.first[side, way]
                episode = lawful(new.episode(model, setting.shots), inner=inner).select(torch.tensor([task]))
                adapted = adapt(_METHOD, episode, state)
                own = {name: adapted[name] for name in model.start()}
                panel.axvspan(-INSIDE, INSIDE, color="#f2f2f2", linewidth=0)
                panel.axhline(0.0, color=GREY, linewidth=0.7)
                panel.plot(x, new.truth(x)[task], color=GREY, linestyle="--", label="truth (simulated)")
                panel.plot(x, model(own, x[None, :, None])[0, :, 0], color=BLUE, label="after one step")
                panel.plot(
                    new.x[task, : setting.shots],
                    new.y[task, : setting.shots],
                    "o",
                    color=INK,
                    markersize=4,
                    label="measured",
                )
                panel.set_title(way.name, fontsize=8)
            row[0].set_ylabel(
                f"f(x), old tasks measured\non {'both sides' if side == 'both' else 'the right'}"
            )
        for panel in panels[-1]:
            panel.set_xlabel("x")
        panels[0, 0].legend(fontsize=7)
        return drawing

    return draw()


def main(folder: Path | None = None) -> None:
    """Print the tables and write the figure."""
    torch.set_num_threads(1)
    folder = folder or (Path(sys.argv[1]) if len(sys.argv) > 1 else Path("studies/physics-instinct"))
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting()
    comparison = compared(setting)
    print(
        f"Simulated tasks; one step on {setting.shots} measurements with noise of {NOISE}; {setting.seeds} seeds"
    )
    table = summary(comparison.table)
    for side in SIDES:
        print(f"\nold and new tasks measured on {'both sides' if side == 'both' else 'the right side only'}")
        own = table[table.index.get_level_values("measured") == side].droplevel("measured")
        print(own.to_string(index_names=False))
    print("\nWeights of the laws in the step")
    print(comparison.weights.round(3).to_string(index=False))
    with torch.no_grad():
        save_figure(figure(comparison, setting), folder / "physics-instinct.png", dpi=150)


if __name__ == "__main__":
    main()
