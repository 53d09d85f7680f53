"""Study: one of five readings is wrong. ``python -m metasci.studies.broken_sensors [FOLDER]`` (some minutes).

Steels and patients are calibrated from five readings, of which the worst one is moved by 3, 6 or 10 standard
deviations of the noise: each of the five, up and down, and the case that harms most counts. By a learned prior as it
is, with each reading in doubt, with Student's noise, and with Huber's loss; by fits without a prior, plain and
Huber's; and by one step from a start that was meta-trained on supports as they are, or on supports of which the
worst reading is moved.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci import catalogue
from metasci.data.frames import csv_bytes
from metasci.data.tasks import Batch, TaskSet
from metasci.evaluation.evaluate import held_out
from metasci.files import write_atomically
from metasci.fits.broken import one_may_be_broken
from metasci.meta import GaussianPrior
from metasci.meta.methods import MetaSGD
from metasci.meta.problem import Problem
from metasci.outcomes.measurements import StudentAdditive
from metasci.priors.equation import Prior, meta_calibrate
from metasci.priors.load import load
from metasci.report.style import save_figure
from metasci.studies.attacked_learning import UnderAttack
from metasci.studies.moved_readings import DATA, MOVED, READINGS, error_figure, mean_in_words
from metasci.studies.robust_fits import fit_alone, physical

__all__ = ["Learned", "attacked", "errors", "scores"]

_ROBUST_ITERATIONS = 200  # under attack; twice as many without, as an attack costs a gradient of its own


def attacked(values: Tensor, readings: Tensor, by: Tensor) -> Tensor:
    """Copies of a task's values, each with one of its readings moved, up or down, (2 × reading, observation).

    Examples
    --------
    >>> attacked(torch.zeros(3), torch.tensor([0, 2]), torch.ones(3)).tolist()
    [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]
    """
    copies = values.repeat(2 * len(readings), 1)
    rows = torch.arange(len(copies))
    at = readings.repeat_interleave(2)
    sign = torch.where(rows % 2 == 0, 1.0, -1.0).to(values)
    copies[rows, at] = copies[rows, at] + sign * by[at]
    return copies


@dataclass(frozen=True)
class Learned:
    """What was learned from the tasks that are not judged.

    Attributes
    ----------
    plain, student : Prior
        Gaussian priors, of Gaussian noise and of Student's.
    stepped, attacked : Prior
        One step of Meta-SGD: meta-trained as usual, and under attack.
    """

    plain: Prior
    student: Prior
    stepped: Prior
    attacked: Prior

    @classmethod
    def of(cls, plain: Prior, others: TaskSet) -> Learned:
        """Learn what is not yet."""
        sd = float(plain.state.log_noise.exp()[0])
        names, model = plain.covariates.names, plain.model
        heavy = model.with_noise(StudentAdditive((sd, 3.0)))
        shared: dict[str, Any] = {"steps": 1, "shots": (READINGS, READINGS)}
        least = 1e-3 if physical(plain.batch(others)) else -np.inf
        attack = UnderAttack(
            iterations=_ROBUST_ITERATIONS, moved=tuple(sd * far for far in MOVED), least=least, **shared
        )
        usual = MetaSGD(iterations=2 * _ROBUST_ITERATIONS, **shared)
        return cls(
            plain,
            meta_calibrate(heavy, others, GaussianPrior(), covariates=names),
            *(meta_calibrate(model, others, method, covariates=names) for method in (usual, attack)),
        )


def errors(
    learned: Learned, batch: Batch, support: Tensor, truth: Batch
) -> tuple[dict[str, NDArray[np.float64]], Tensor]:
    """Root mean square error of each task on what is not in the support, by way of calibrating; and which readings
    do not fit, by their probability, (task, reading).
    """
    prior = learned.plain
    known = batch.with_mask(support)
    whole, judged = Problem(prior.model, truth), truth.mask & ~support
    doubted = one_may_be_broken(prior, known.trimmed(support))
    ways = {
        "learned prior": whole.predict(prior.adapt(known).coordinates),
        "learned prior, a reading in doubt": doubted.mean(whole),
        "learned prior, Student noise": whole.predict(learned.student.adapt(known).coordinates),
        "learned prior, Huber": whole.predict(fit_alone(prior, known, "huber", prior.adapt(known))),
        "least squares alone": whole.predict(fit_alone(prior, known, "linear")),
        "Huber alone": whole.predict(fit_alone(prior, known, "huber")),
        "one step, meta-trained": whole.predict(learned.stepped.adapt(known).coordinates),
        "one step, meta-trained under attack": whole.predict(learned.attacked.adapt(known).coordinates),
    }
    off = {name: torch.where(judged, (each - truth.output).square(), 0.0) for name, each in ways.items()}
    return {
        name: (each.sum(1) / judged.sum(1)).sqrt().detach().numpy() for name, each in off.items()
    }, doubted.broken


def scores(name: str, folds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of every task the worst case's error, by way and by how far the reading is moved; and of every case how
    probable it was said that the reading that was moved is broken, or, where none was, that any is.
    """
    group, _ = DATA[name]
    tasks, shipped = catalogue.dataset(name), load(name)
    group = group if group in tasks.dataset else "task"
    recipe = meta_calibrate(shipped.model, tasks, GaussianPrior(), covariates=shipped.covariates.names)
    rows, found_broken = [], []
    for fold, left_out in held_out(recipe, tasks, group, folds):
        batch, names = fold.batch(left_out), set(left_out.names)
        learned = Learned.of(fold, tasks.select([each for each in tasks.names if each not in names]))
        sd = float(fold.state.log_noise.exp()[0])
        for at in range(len(batch)):
            own = batch.select(torch.tensor([at]))
            measured = own.mask[0].nonzero()[:, 0]
            if len(measured) <= READINGS:
                continue
            chosen = measured[
                torch.as_tensor(np.random.default_rng(at).permutation(len(measured))[:READINGS])
            ]
            support = torch.zeros_like(own.mask)
            support[0, chosen] = True
            for moved in MOVED:
                by = torch.full_like(own.output[0], moved * sd)
                copies = attacked(own.output[0], chosen, by)
                copies = copies[:1] if moved == 0.0 else copies
                index = torch.zeros(len(copies), dtype=torch.long)
                many = own.select(index)
                # what is measured stays physical: a concentration that is moved below zero is as good as none
                copies = copies.clamp(min=1e-3) if physical(own) else copies
                found, broken = errors(learned, replace(many, output=copies), support[index], many)
                order = (
                    chosen.sort().values
                )  # of the columns that are left when a batch is trimmed to its support
                for copy in range(len(copies)):
                    each = broken[copy].sum() if moved == 0.0 else None
                    if each is None:
                        each = broken[copy, int((order == chosen[copy // 2]).nonzero()[0, 0])]
                    found_broken.append({"task": batch.names[at], "moved": moved, "probability": float(each)})
                rows += [
                    {"task": batch.names[at], "moved": moved, "method": way, "error": float(values.max())}
                    for way, values in found.items()
                ]
    return pd.DataFrame(rows), pd.DataFrame(found_broken)


_PAIRS = (
    ("learned prior, a reading in doubt", "learned prior"),
    ("learned prior, Student noise", "learned prior"),
    ("one step, meta-trained under attack", "one step, meta-trained"),
)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """How much more one way errs than another, with 90 % intervals over tasks, as texts, by how far it is moved."""
    rows: dict[str, dict[Any, str]] = {}
    for one, other in _PAIRS:
        for moved, own in table.groupby("moved"):
            wide = own.pivot_table("error", "task", "method")
            off = (wide[one] - wide[other]).to_numpy(float)
            rows.setdefault(f"{one}, less {other}", {})[moved] = mean_in_words(off)
    return pd.DataFrame(rows).T


def main(out: Path) -> None:
    """Print the tables, and write them and the figure into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, (_, folds) in DATA.items():
        table, broken = scores(name, folds)
        write_atomically(out / f"{name}.csv", csv_bytes(table))
        found[name] = table.pivot_table("error", "method", "moved", sort=False)
        unit = load(name).model.output.unit
        print(
            f"\n{name}: root mean square error ({unit}) on the rest, the worst of five readings moved by so many sd"
        )
        print(found[name].round(3).to_string())
        print("\nDifferences, with 90 % intervals over tasks")
        print(differences(table).to_string())
        told = broken.assign(told=100.0 * (broken["probability"] > 0.5)).groupby("moved")["told"].mean()
        print("\nThe moved reading is said to be broken with more than even odds (%); at 0.0: any of them is")
        print(told.round(1).to_frame().T.to_string(index=False))
    save_figure(error_figure(found, "worst reading moved"), out / "broken-sensors.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("broken_sensors"))
