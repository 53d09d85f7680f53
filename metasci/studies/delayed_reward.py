"""Study: what a reward at the end teaches. ``metasci study delayed-reward`` (some three minutes; all simulated).

A pump gives propofol minute by minute; a monitor shows the effect site with noise. What is good is said once, at the
end of an anaesthesia: the mean squared logarithm of concentration over target. A patient is a task: a policy is adapted
to a patient by one, two, three anaesthesias, one likelihood-ratio step each, from a start that was learned so that such
steps help. Rivals: the same controller that is never adapted, the dose that is best a priori, and the same steps from
starts that were not learned for them. Patients are drawn from the shipped prior of propofol.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci.data.frames import csv_bytes
from metasci.files import write_atomically
from metasci.meta import Outer, initial, meta_train, named
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import adapt
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.priors.load import load
from metasci.report.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Anaesthesias", "Course", "Patients", "patients", "run"]

TARGET, MINUTES, FIRST = 3.0, 40, 5  # mg/L at the effect site; from the sixth minute on it counts
RANGE = 0.25  # of the target: in range
EPISODES = (0, 1, 3)
_KE0 = 0.146  # 1/min, of a person of 35: Eleveld and others, Br J Anaesth 120 (2018) 942
_MONITOR, _EXPLORED = 0.15, 0.3  # standard deviations of logarithms: of what is shown, of doses tried
_SEGMENTS = torch.tensor([2, 5, 10, 20, MINUTES])  # minutes to which the parts of a dosing scheme last
_ORDINARY = torch.tensor([3.0, 2.0, 2.0, 2.0, 2.0, 0.0])  # ln mg/kg/h of each part, and no feedback
_TRAINED, _JUDGED, _AGAIN = 48, 200, 3


@dataclass(frozen=True)
class Patients:
    """How amounts in three compartments and the effect site go on in a minute, x ← A x + b u.

    Attributes
    ----------
    forward : Tensor, (patient, 4, 4)
    entering : Tensor, (patient, 4)
        For 1 mg/min.
    weight : Tensor, (patient,)
    """

    forward: Tensor
    entering: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.weight)


@dataclass(frozen=True)
class Course:
    """An anaesthesia of each patient: cost, ln p of the doses that were tried, and effect site, (patient, minute)."""

    cost: Tensor
    log_probability: Tensor
    effect: Tensor

    @property
    def in_range(self) -> Tensor:
        """Share of minutes, (patient,)."""
        return ((self.effect[:, FIRST:] / TARGET - 1.0).abs() <= RANGE).double().mean(1)

    @property
    def overshoot(self) -> Tensor:
        """How far the greatest concentration lies above the target, as a share of it, (patient,)."""
        return (self.effect.amax(1) / TARGET - 1.0).clamp(min=0.0)


def patients(count: int, seed: int) -> Patients:
    """Adults of 20 to 70 years and 50 to 100 kg, drawn from the shipped prior of propofol (simulated)."""
    prior = load("propofol")
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)

    weight, age, height = uniform(50.0, 100.0), uniform(20.0, 70.0), uniform(155.0, 190.0)
    sex = (uniform(0.0, 1.0) > 0.5).double() + 1.0
    known = {
        "weight": weight,
        "age": age,
        "height": height,
        "sex": sex,
        "venous": 0.0 * sex,
        "opioids": 0.0 * sex,
    }
    method, state = prior.method, prior.state
    assert isinstance(method, GaussianPrior)
    names = prior.covariates.names
    mean, covariance = method.start(state, prior.covariates.design(torch.stack([known[n] for n in names], 1)))
    normal = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    z = mean + torch.einsum("tpq,tq->tp", torch.linalg.cholesky(covariance), normal)
    model = prior.model
    typical = {p.name: p.to_physical(z[:, at]) for at, p in enumerate(model.parameters)}
    assert model.individual is not None
    own = model.individual.values(typical, {"weight": weight, "postmenstrual_age": age + 0.77})
    return compartments(own, weight)


def compartments(own: dict[str, Tensor], weight: Tensor) -> Patients:
    """Three compartments and an effect site, stepped exactly by a minute under an even infusion."""
    rate = torch.zeros(len(weight), 5, 5, dtype=torch.float64)
    central = own["central_volume"]
    rate[:, 0, 0] = -own["clearance"] / central
    for place, (flow, volume) in enumerate(
        (("exchange_clearance", "peripheral_volume"), ("deep_exchange_clearance", "deep_volume")), 1
    ):
        rate[:, 0, 0] -= own[flow] / central
        rate[:, place, 0] = own[flow] / central
        rate[:, 0, place] = own[flow] / own[volume]
        rate[:, place, place] = -own[flow] / own[volume]
    rate[:, 3, 0], rate[:, 3, 3], rate[:, 0, 4] = _KE0 / central, -_KE0, 1.0
    step = torch.linalg.matrix_exp(rate)
    return Patients(step[:, :4, :4], step[:, :4, 4], weight)


def run(policy: Tensor, who: Patients, seed: int, explored: float = _EXPLORED) -> Course:
    """An anaesthesia of each patient under a policy of its own, (patient, 6).

    The logarithm of the dose in mg/kg/h is the scheme's, and a gain times how far the monitor lies below the target, on
    the logarithm; `explored` is the standard deviation of what is tried beside that. Doses that are tried carry no
    gradient: the likelihood ratio does.
    """
    generator = torch.Generator().manual_seed(seed)
    shown = _MONITOR * torch.randn(MINUTES, len(who), generator=generator, dtype=torch.float64)
    tried = explored * torch.randn(MINUTES, len(who), generator=generator, dtype=torch.float64)
    state = torch.zeros(len(who), 4, dtype=torch.float64)
    effect, logs = [], []
    for minute in range(MINUTES):
        part = int((minute >= _SEGMENTS).sum())
        seen = state[:, 3].clamp(min=0.1).log() + shown[minute]
        below = (np.log(TARGET) - seen).clamp(-1.0, 1.0)
        if explored:
            below = below.detach()
        wanted = policy[:, part] + policy[:, 5] * below
        dose = (wanted + tried[minute]).detach() if explored else wanted
        if explored:
            logs.append(-0.5 * ((dose - wanted) / explored) ** 2)
        amount = who.weight * dose.clamp(max=6.0).exp() / 60.0
        state = (who.forward @ state[:, :, None])[:, :, 0] + who.entering * amount[:, None]
        effect.append(state[:, 3])
    reached = torch.stack(effect, 1)
    cost = (reached[:, FIRST:].clamp(min=1e-3) / TARGET).log().square().mean(1)
    return Course(cost, torch.stack(logs).sum(0) if logs else torch.zeros(()), reached)


@dataclass(frozen=True)
class Anaesthesias:
    """Patients to adapt a policy to: every inner step has an anaesthesia of its own; an `Episode`.

    Attributes
    ----------
    who : Patients
    seed : int
    """

    who: Patients
    seed: int

    def __len__(self) -> int:
        return len(self.who)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        return {"policy": learned["policy"].expand(len(self), 6)}, {}

    def support(self, parameters: Parameters, step: int = 0) -> Tensor:
        """Whose gradient is the likelihood ratio's: (cost − what others have) ∇ ln p; its value means nothing."""
        course = run(parameters["policy"], self.who, 1000 * self.seed + step)
        others = (course.cost.sum() - course.cost) / (len(self) - 1)
        return (course.cost - others).detach() * course.log_probability

    def query(self, parameters: Parameters) -> Tensor:
        return run(parameters["policy"], self.who, 1000 * self.seed + 999, explored=0.0).cost

    def select(self, index: Tensor) -> Anaesthesias:
        who = Patients(self.who.forward[index], self.who.entering[index], self.who.weight[index])
        return replace(self, who=who)


def _tuned(begin: Tensor, feedback: bool, pool: Callable[[int], Patients], iterations: int = 100) -> Tensor:
    """The policy of the least mean cost over simulated patients: with a gain, or a scheme alone."""
    policy = begin.double().clone().requires_grad_()
    optimiser = torch.optim.Adam([policy], 0.1)
    free = torch.tensor([1.0] * 5 + [float(feedback)], dtype=torch.float64)
    for iteration in range(iterations):
        optimiser.zero_grad()
        who = pool(iteration)
        run(
            policy.expand(len(who), 6) * (1.0 if feedback else free), who, iteration, 0.0
        ).cost.mean().backward()
        optimiser.step()
    return policy.detach() * free if not feedback else policy.detach()


def _pool(seed: int) -> Callable[[int], Patients]:
    """Patients drawn from two thousand simulated ones."""
    whole = patients(2000, seed)

    def drawn(iteration: int) -> Patients:
        index = torch.randint(2000, (_TRAINED,), generator=torch.Generator().manual_seed(iteration))
        return Patients(whole.forward[index], whole.entering[index], whole.weight[index])

    return drawn


def _step_of(start: Tensor, pool: Callable[[int], Patients]) -> float:
    """The step size, of a few, that leaves the least cost after three anaesthesias of simulated patients."""

    def left(size: float) -> float:
        method = named.fomaml(EPISODES[-1], size)
        each = []
        for draw in range(6):
            one = Anaesthesias(pool(90_000 + draw), 90_000 + draw)
            each.append(one.query(adapt(method, one, {"policy": start})).mean())
        return float(torch.stack(each).mean())

    return min((1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), key=left)


def judged(name: str, learned: Parameters, size: float, who: Patients) -> pd.DataFrame:
    """Of every patient after 0, 1 and 3 anaesthesias, means over what monitor and doses happened to be."""
    method = (
        named.meta_sgd(EPISODES[-1], size)
        if "rule/rate/policy" in learned
        else named.fomaml(EPISODES[-1], size)
    )
    rows: list[pd.DataFrame] = []
    for draw in range(_AGAIN):
        one = Anaesthesias(who, 70_000 + draw)

        def see(step: int, here: Parameters, draw: int = draw) -> None:
            if step not in EPISODES:
                return
            course = run(here["policy"].detach(), who, 80_000 + draw, 0.0)
            rows.append(
                pd.DataFrame(
                    {
                        "way": name,
                        "anaesthesias": step,
                        "patient": np.arange(len(who)),
                        "cost": course.cost.numpy(),
                        "in range (%)": 100.0 * course.in_range.numpy(),
                        "overshoot (%)": 100.0 * course.overshoot.numpy(),
                    }
                )
            )

        adapt(method, one, learned, visit=see)
    return pd.concat(rows).groupby(["way", "anaesthesias", "patient"], sort=False).mean().reset_index()


def compared(seed: int = 0, iterations: int = 120) -> pd.DataFrame:
    """Every way on patients that nothing was learned or chosen on."""
    pool, who = _pool(seed), patients(_JUDGED, seed + 1)
    scheme = _tuned(_ORDINARY, False, pool)
    fixed = _tuned(_ORDINARY, True, pool)
    method = named.meta_sgd(EPISODES[-1], 1e-3)
    start = initial(method, {"policy": fixed}, seed)
    draw = lambda iteration: Anaesthesias(pool(10_000 + iteration), 10_000 + iteration)  # noqa: E731
    learned = meta_train(
        method, draw, start, Outer(iterations, 3e-3, schedule="cosine", clip=1.0), seed=seed
    ).learned
    ordinary = _ORDINARY.double()
    tables = [judged("learned start and steps", learned, 1e-3, who)]
    for name, policy in (
        ("fixed controller, stepped", fixed),
        ("dose best a priori, stepped", scheme),
        ("ordinary dose, stepped", ordinary),
    ):
        tables.append(judged(name, {"policy": policy}, _step_of(policy, pool), who))
    return pd.concat(tables)


def _interval(values: np.ndarray) -> tuple[float, float]:
    draw = np.random.default_rng(0)
    means = values[draw.integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.quantile(means, (0.05, 0.95))
    return float(low), float(high)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over patients, and what the steps changed with its 90 % interval."""
    figures = ["cost", "in range (%)", "overshoot (%)"]
    means = table.groupby(["way", "anaesthesias"], sort=False)[figures].mean()
    before = table[table["anaesthesias"] == 0].set_index(["way", "patient"])["in range (%)"]
    for (way, count), of in table.groupby(["way", "anaesthesias"], sort=False):
        gained = of["in range (%)"].to_numpy() - before.loc[str(way)].to_numpy()
        means.loc[(way, count), "gained in range"] = gained.mean()
        means.loc[(way, count), ["from", "to"]] = _interval(gained)
    return means


def figure(table: pd.DataFrame) -> Figure:
    """Time in range by anaesthesias, a line for each way."""
    from matplotlib.figure import Figure

    from metasci.report.style import PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(7.6, 2.9), layout="constrained")
        for axes, name in zip(drawing.subplots(1, 2), ("in range (%)", "overshoot (%)"), strict=True):
            for colour, (way, of) in zip(PALETTE, table.groupby("way", sort=False), strict=False):
                means = of.groupby("anaesthesias")[name].mean()
                axes.plot(means.index, means, "o-", color=colour, ms=4, label=way)
            axes.set(xlabel="anaesthesias of the patient", ylabel=name, xticks=EPISODES, title="simulated")
        drawing.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the table, and write all figures and the picture into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    table = compared()
    write_atomically(out / "delayed_reward.csv", csv_bytes(table))
    save_figure(figure(table), out / "delayed_reward.png", dpi=150)
    print(
        f"{_JUDGED} new simulated patients, reward at the end of {MINUTES} minutes; in range: within {RANGE:.0%} of "
        f"{TARGET:g} mg/L after {FIRST} minutes; 90 % intervals over patients"
    )
    print(summary(table).round(3).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("delayed_reward"))
