"""How far are a few readings of one's own alloy listened to? ``python benchmarks/own_alloy.py`` (ten minutes).

Element systems are left out in five parts. Of every specimen of one publication with five readings or more, at four
temperatures or more, some readings at random calibrate and its others judge, three times; nothing else of its system
is measured. By the prior of yield strengths as it ships, by the same where systems are alike in noise, and by that
where no sources are told.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

import metasci as ms
from metasci.data.cards import SOURCE
from metasci.data.tasks import TaskSet
from metasci.evaluation.evaluate import held_out
from metasci.learned.places import points_of
from metasci.materials.properties import alloy_strength
from metasci.priors.families import StructurePrior
from metasci.studies.families import ALLOYS

_LEAST, _TEMPERATURES, _CHOICES, _SHOTS = 5, 4, 3, (2, 4)


def specimens(tasks: TaskSet) -> dict[str, list[np.ndarray]]:
    """Places of the readings of each specimen with enough of them, by system."""
    points, batch = points_of(tasks, alloy_strength), tasks.batch(alloy_strength)
    assert points.source is not None
    source = points.source.reshape(batch.mask.shape).numpy()
    formula, kelvin = (batch.inputs[name].numpy() for name in ("formula", "temperature"))
    found: dict[str, list[np.ndarray]] = {}
    for row, name in enumerate(batch.names):
        places = np.flatnonzero(batch.mask[row].numpy())
        told = np.stack([source[row, places], formula[row, places]], 1)
        for one in np.unique(told, axis=0):
            own = places[(told == one).all(1)]
            if len(own) >= _LEAST and len(set(kelvin[row, own].tolist())) >= _TEMPERATURES:
                found.setdefault(name, []).append(own)
    return found


def forecasts(
    recipe: StructurePrior, tasks: TaskSet, series: dict[str, list[np.ndarray]]
) -> Iterator[tuple[int, float, float, float]]:
    """Of each specimen and choice: readings, mean absolute error (MPa), coverage, half-width on the logarithm."""
    for prior, left_out in held_out(recipe, tasks, "system", 5):
        batch = prior.batch(left_out)
        for row, outlook in enumerate(prior.outlooks(left_out)):
            measured = np.flatnonzero(batch.mask[row].numpy())
            strength = batch.output[row][batch.mask[row]]
            for own in series.get(batch.names[row], []):
                for choice, shots in itertools.product(range(_CHOICES), _SHOTS):
                    drawn = np.random.default_rng(choice).permutation(np.searchsorted(measured, own))
                    seen = torch.zeros(len(measured), dtype=torch.bool)
                    seen[drawn[:shots]] = True
                    after, judge = outlook.given(seen, strength.log()), drawn[shots:]
                    reach = after.reach(0.9) * after.scale[judge]
                    off = (after.mean - strength.log())[judge].abs()
                    error = (after.mean.exp() - strength)[judge].abs().mean()
                    yield shots, float(error), float((off <= reach).double().mean()), float(reach.mean())


def without_sources(tasks: TaskSet) -> TaskSet:
    """The same measurements, of which nobody says who made them."""
    columns = tuple(
        replace(column, role="note", kind="", unit="") if column.kind == SOURCE else column
        for column in tasks.card.columns
    )
    frame = tasks.to_frame(units=True)
    dropped = [name for name in frame if str(name).partition(" ")[0] in ("reference", "grain_size")]
    return TaskSet.from_frame(
        frame.drop(columns=dropped), replace(tasks.card, columns=columns), model=alloy_strength
    )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    tasks = ms.dataset("alloy_systems", model=alloy_strength)
    series = specimens(tasks)
    print(f"{sum(map(len, series.values()))} specimens\n")
    print("| prior | readings | MAE, MPa | coverage of 90 % intervals | half-width, on the logarithm |")
    print("|---|---|---|---|---|")
    alike = replace(ALLOYS, noise_levels=False)
    for name, method, data in (
        ("as it ships", ALLOYS, tasks),
        ("families alike in noise", alike, tasks),
        ("and without sources", alike, without_sources(tasks)),
    ):
        recipe = StructurePrior("recipe", alloy_strength, method, None, data.card)
        rows = np.array(list(forecasts(recipe, data, series)))
        for shots in _SHOTS:
            error, covered, width = rows[rows[:, 0] == shots, 1:].mean(0)
            print(f"| {name} | {shots} | {error:.0f} | {100.0 * covered:.0f} % | {width:.2f} |", flush=True)


if __name__ == "__main__":
    main()
