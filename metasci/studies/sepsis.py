"""Study: what survival at the end teaches. ``metasci study sepsis`` (some twenty minutes; all hospitals are simulated).

A hospital treats sepsis by a policy, and of each patient it is known in the end whether they survived. Hospitals
differ in what fluids and vasopressors do (`metasci.studies.sepsis_hospitals`). A policy adapts to a new hospital by
one, three, ten or thirty of its patients, from a start that was learned so that such steps help; beside it stand
policies that never adapt, the same steps from other starts, and a hospital that is calibrated, by how its patients
moved, and then treated as is best there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.data.frames import csv_bytes
from metasci.files import write_atomically
from metasci.meta import Outer, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import adapt
from metasci.report.style import save_figure
from metasci.studies.sepsis_hospitals import ACTIONS, LEVELS, STATES, Hospitals, drawn, hospitals, sepsis
from metasci.studies.sepsis_rivals import calibrated, ppo
from metasci.studies.sepsis_wards import Stay, treated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Admissions", "compared", "figure", "probabilities", "summary"]

Floats = NDArray[np.float64]
_STEPS = 3
_EVERY = {"one patient a step": 1, "ten a step": 10, "a hundred a step": 100}
_TRAINED, _JUDGED, _AGAIN, _BATCH = 64, 40, 3, 6
_SHARP = 0.003  # of the policy that learning begins with: probabilities in proportion to exp(value / this)


def features() -> Tensor:
    """What the six adapted numbers weigh: levels of fluid and vasopressor, squared, and times illness, (state,
    action, 6).
    """
    level = torch.linspace(-1.0, 1.0, LEVELS, dtype=torch.float64)
    fluid, vasopressor = level.repeat_interleave(LEVELS), level.repeat(LEVELS)
    ill = torch.as_tensor(sepsis().severity[:STATES])[:, None]
    each = (fluid, vasopressor, fluid**2, vasopressor**2)
    plain = torch.stack(each, 1).expand(STATES, ACTIONS, 4)
    return torch.cat([plain, torch.stack([ill * fluid, ill * vasopressor], 2)], 2)


def probabilities(parameters: Mapping[str, Tensor]) -> Tensor:
    """Of doses in every state, (hospital, state, action)."""
    logits = parameters["table"] + torch.einsum("saf,hf->hsa", features(), parameters["dose"])
    return torch.softmax(logits, 2)


@dataclass(frozen=True)
class Admissions:
    """Hospitals to adapt a policy to: every inner step has patients of its own; an `Episode`.

    Attributes
    ----------
    where : Hospitals
    expected : array, (state,)
        Survival that an ordinary hospital would see from every state: what an outcome is compared with.
    patients : int
        For every step.
    seed : int
    """

    where: Hospitals
    expected: Floats
    patients: int
    seed: int

    def __len__(self) -> int:
        return len(self.where)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """The same start for all hospitals."""
        own = {name: learned[name].expand(len(self), *learned[name].shape) for name in ("table", "dose")}
        return own, {}

    def support(self, parameters: Parameters, step: int = 0) -> Tensor:
        """Whose gradient is the likelihood ratio's; its value means nothing."""
        policy = probabilities(parameters)
        stay = self.stay(policy.detach(), step)
        surprise = torch.as_tensor(stay.survived[stay.patient] - self.expected[stay.state])
        logs = policy[stay.hospital, stay.state, stay.action].clamp(min=1e-12).log()
        return -torch.zeros(len(self), dtype=torch.float64).index_add(
            0, torch.as_tensor(stay.hospital), surprise * logs / self.patients
        )

    def stay(self, policy: Tensor, step: int) -> Stay:
        """The patients of a step."""
        return treated(policy.numpy(), self.where, self.patients, 1000 * self.seed + step)

    def query(self, parameters: Parameters) -> Tensor:
        """Probability of death, exactly."""
        return 1.0 - self.where.returns(probabilities(parameters))

    def select(self, index: Tensor) -> Admissions:
        return replace(self, where=self.where.select(index.numpy()))


def _start(values: Floats) -> dict[str, Tensor]:
    """A policy that takes the best dose of an ordinary hospital most often."""
    table = torch.as_tensor(values - values.max(1, keepdims=True)) / _SHARP
    return {"table": table, "dose": torch.zeros(6, dtype=torch.float64)}


def _learned(
    begin: Mapping[str, Tensor], expected: Floats, patients: int, iterations: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Starts for steps of so many patients: learned so that steps help, and learned to be best on average."""
    pool = hospitals(_TRAINED, 1000 + seed)

    def draw(iteration: int) -> Admissions:
        index = np.random.default_rng(iteration).choice(_TRAINED, _BATCH, replace=False)
        return Admissions(pool.select(index), expected, patients, 10_000 + iteration)

    outer = Outer(iterations, 0.05, schedule="cosine", clip=1.0, rates={"rule/": 0.02})
    found = []
    for method in (named.meta_sgd(_STEPS, 0.1), named.pooled_training()):
        start = initial(method, dict(begin), seed)
        found.append(dict(meta_train(method, draw, start, outer, seed=seed).learned))
    return found[0], found[1]


def _step_of(start: Mapping[str, Tensor], expected: Floats, patients: int, seed: int) -> float:
    """The step size, of a few, that leaves the fewest deaths at hospitals that were learned from."""
    pool = hospitals(_TRAINED, 1000 + seed)

    def left(size: float) -> float:
        one = Admissions(pool.select(np.arange(12)), expected, patients, 90_000)
        return float(one.query(adapt(named.fomaml(_STEPS, size), one, dict(start))).mean())

    return min((0.001, 0.01, 0.03, 0.1, 0.3, 1.0), key=left)


def _rows(name: str, patients: int, draw: int, survived: Tensor | Floats) -> pd.DataFrame:
    each = np.asarray(torch.as_tensor(survived).detach())
    return pd.DataFrame(
        {
            "way": name,
            "patients": patients,
            "draw": draw,
            "hospital": np.arange(len(each)),
            "survive (%)": 100.0 * each,
        }
    )


def _stepped(
    name: str,
    learned: Mapping[str, Tensor],
    size: float,
    where: Hospitals,
    expected: Floats,
    patients: int,
) -> pd.DataFrame:
    """Survival at new hospitals after none, one and three steps."""
    meta = "rule/rate/table" in learned
    method = named.meta_sgd(_STEPS, size) if meta else named.fomaml(_STEPS, size)
    rows: list[pd.DataFrame] = []
    for draw in range(_AGAIN):
        one = Admissions(where, expected, patients, 70_000 + draw)

        def see(step: int, here: Parameters, draw: int = draw) -> None:
            if step in (0, 1, _STEPS):
                rows.append(_rows(name, step * patients, draw, where.returns(probabilities(here).detach())))

        adapt(method, one, dict(learned), visit=see)
    return pd.concat(rows)


def compared(
    seed: int = 0,
    iterations: int = 150,
    judged: int = _JUDGED,
    ppo_steps: int = 1_000_000,
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Every way at hospitals that nothing was learned or chosen on."""
    ordinary, where = drawn(np.zeros((1, 3))), hospitals(judged, 2000 + seed)
    values = ordinary.best()[1]
    begin = _start(values)
    expected = ordinary.values(probabilities({**begin, "dose": begin["dose"][None]})[0])
    everywhere = torch.ones(judged, STATES, ACTIONS, dtype=torch.float64)
    known = torch.nn.functional.one_hot(torch.as_tensor(values.argmax(1)), ACTIONS)
    best_there = np.array([sepsis().first @ where.best(at)[0] for at in range(judged)])
    tables = [
        _rows("doses at random", 0, 0, where.returns(everywhere / ACTIONS)),
        _rows("best of an ordinary hospital", 0, 0, where.returns(everywhere * known)),
        _rows("best of this hospital", 0, 0, best_there),
    ]
    for every, patients in _EVERY.items():
        learned, joint = _learned(begin, expected, patients, iterations, seed)
        rates = [float(learned[f"rule/rate/{name}"].mean()) for name in ("table", "dose")]
        say(
            f"{every}: learned step sizes, means: table {rates[0]:.3f}, of fluid and vasopressor {rates[1]:.3f}"
        )
        tables.append(_stepped(f"learned start, {every}", learned, 0.1, where, expected, patients))
        for name, start in (("best on average", joint), ("ordinary start", begin)):
            size = _step_of(start, expected, patients, seed)
            say(f"{name}, {every}: step size {size:g}, chosen at hospitals that were learned from")
            tables.append(_stepped(f"{name}, {every}", start, size, where, expected, patients))
    for draw in range(_AGAIN):
        for patients, tilts in calibrated(where, known.double(), (1, 3, 10, 30), 60_000 + draw).items():
            policies = [drawn(tilt[None]).best(tolerance=1e-5)[1].argmax(1) for tilt in tilts]
            chosen = torch.nn.functional.one_hot(torch.as_tensor(np.array(policies)), ACTIONS)
            tables.append(_rows("calibrated, then best", patients, draw, where.returns(chosen.double())))
    table = torch.as_tensor(ppo(hospitals(_TRAINED, 1000 + seed), ppo_steps, seed, say))
    tables.append(_rows("PPO, not adapted", 0, 0, where.returns(everywhere * table)))
    return pd.concat(tables)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over hospitals with 90 % intervals, and what adapting gained."""
    mean = (
        table.groupby(["way", "patients", "hospital"], sort=False)["survive (%)"].mean().unstack("hospital")
    )
    found: dict[Any, Floats] = dict(zip(mean.index.to_list(), mean.to_numpy(float), strict=True))
    rows = {}
    for key, each in found.items():
        before = found.get((key[0], 0), found["best of an ordinary hospital", 0])
        low, high = _interval(each - before)
        rows[key] = {
            "survive (%)": each.mean(),
            "worst tenth": np.sort(each)[: max(1, len(each) // 10)].mean(),
            "gained": (each - before).mean(),
            "from": low,
            "to": high,
        }
    out = pd.DataFrame(rows).T
    out.index = out.index.set_names(["way", "patients"])
    return out


def _interval(values: Floats) -> tuple[float, float]:
    draw = np.random.default_rng(0)
    means = values[draw.integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.quantile(means, (0.05, 0.95))
    return float(low), float(high)


def figure(table: pd.DataFrame) -> Figure:
    """Survival by the patients that a policy was adapted with."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    means = table.groupby(["way", "patients"], sort=False)["survive (%)"].mean().reset_index()

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(7.4, 3.6), layout="constrained")
        axes = drawing.subplots()
        kinds = dict(
            zip(
                ("learned start", "best on average", "ordinary start", "calibrated"),
                PALETTE,
                strict=False,
            )
        )
        for way, of in means.groupby("way", sort=False):
            if len(of) == 1:
                axes.axhline(of["survive (%)"].iloc[0], color="#999999", linewidth=0.8)
                axes.annotate(
                    str(way), (300.0, of["survive (%)"].iloc[0]), fontsize=7, ha="right", va="bottom"
                )
            else:
                kind, _, every = str(way).partition(", ")
                style = {"one patient a step": "o:", "ten a step": "o--"}.get(every, "o-")
                axes.plot(
                    of["patients"],
                    of["survive (%)"],
                    style,
                    ms=4,
                    color=kinds[kind],
                    label=kind if every in ("then best", "a hundred a step") else None,
                )
        axes.set(xscale="symlog", xlabel="patients of the hospital", ylabel="survive (%)", title="simulated")
        ticks = (0, 1, 3, 10, 30, 100, 300)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlim(-0.3, 400.0)
        drawing.legend(loc="outside lower center", ncols=4)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the table, and write all figures and the picture into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    table = compared(say=print)
    write_atomically(out / "sepsis.csv", csv_bytes(table))
    save_figure(figure(table), out / "sepsis.png", dpi=150)
    print(f"\n{_JUDGED} new hospitals, all simulated; survival is exact, 90 % intervals over hospitals")
    print(summary(table).round(2).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("sepsis"))
