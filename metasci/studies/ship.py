"""Learn the priors that ship, into ``models/``: ``python -m metasci.studies.ship`` (or ``make models``)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from metasci import catalogue
from metasci.errors import InputError
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.library import find
from metasci.meta import DiscrepancyPrior, GaussianPrior, Method
from metasci.model import Model
from metasci.noise import EarlyAdditive, Noise
from metasci.outcomes import StudentAdditive
from metasci.priors.equation import Prior, meta_calibrate
from metasci.rockwell import LogNormalVickers
from metasci.studies.crystal_potential import learn_phonon_peaks
from metasci.studies.families import learn_alloys, learn_averaged_boiling_points, learn_boiling_points
from metasci.studies.solvation import learn_boiling_points_by_solvation

__all__ = ["BESIDE", "RECIPES", "Recipe", "learn_recipe"]


@dataclass(frozen=True)
class Recipe:
    """How a shipped prior is learned: its data, its model, its method and its covariates.

    What was chosen, and against what, stands in the prior's ``CARD.md``; `benchmarks/shipped_priors.py` prints it.
    """

    data: str
    model: str
    method: Method = field(default_factory=GaussianPrior)
    covariates: tuple[str, ...] | None = None
    seed: int = 0
    named: str = ""
    noise: Noise | None = None  # the model's own, if none is said

    @property
    def folder(self) -> str:
        """Of the prior in ``models/``, and its name."""
        return self.named or self.data

    @property
    def equation(self) -> Model:
        """The model under the recipe's noise."""
        model = find(self.model)
        return model if self.noise is None else model.with_noise(self.noise)


_MOST_LIKELY = GaussianPrior(objective="marginal", regularisation=0.0)

RECIPES = (
    Recipe("steel_tempering", "kinetics.tempering_rockwell", GaussianPrior(task_noise=True)),
    # ten tasks for each of two parameters need no belief about their spread beside the data
    Recipe("alloy_fatigue", "kinetics.crack_growth", GaussianPrior(regularisation=0.0)),
    Recipe("theophylline", "patients.one_compartment_oral"),
    Recipe("phenobarbital", "patients.one_compartment_bolus"),
    Recipe("quinidine", "patients.quinidine", GaussianPrior(correlated=False, iterations=60, tolerance=1e-2)),
    Recipe("remifentanil", "patients.remifentanil"),
    # patients and studies differ in noise; learned to a hundredth of the spread, which takes minutes for 847 patients
    Recipe(
        "propofol",
        "patients.propofol",
        GaussianPrior(task_noise=True, correlated=False, iterations=40, tolerance=1e-2),
    ),
    # outcomes, by the greatest marginal likelihood alone, as R's glmer and clmm have it
    Recipe("epilepsy", "responses.seizures", _MOST_LIKELY),
    Recipe("bacteria", "responses.bacteria_present", _MOST_LIKELY),
    Recipe("wine", "responses.bitterness", _MOST_LIKELY),
    Recipe("kidney", "responses.catheter_infection", _MOST_LIKELY),
    Recipe("alloy_phases", "responses.alloy_phase", GaussianPrior(objective="marginal")),
)

# a second prior of data that have one already
BESIDE = (
    # nearer than the law alone, but its curves keep the law's shape only where that is asked for
    Recipe(
        "steel_tempering",
        "kinetics.tempering_rockwell",
        DiscrepancyPrior(),
        named="steel_tempering_discrepancy",
        noise=LogNormalVickers(),  # soft steels scatter more on the Rockwell scale
    ),
    # a crack's own bend of the law is kept while it is forecast
    Recipe("alloy_fatigue", "kinetics.crack_growth", DiscrepancyPrior(), named="alloy_fatigue_discrepancy"),
    # how a tablet is absorbed is known badly, what follows is known well: one noise does not hold both
    Recipe(
        "theophylline",
        "patients.one_compartment_oral",
        named="theophylline_early_noise",
        noise=EarlyAdditive((0.3, 3.0, 1.0)),
    ),
    # times and levels of routine care: some readings lie far off, and most lie closer than one Gaussian noise says
    Recipe(
        "phenobarbital",
        "patients.one_compartment_bolus",
        named="phenobarbital_heavy_tails",
        noise=StudentAdditive((1.0, 3.0)),
    ),
)


def learn_recipe(recipe: Recipe, progress: bool = False) -> Prior:
    """Learn the prior of a recipe from all of its data."""
    tasks = catalogue.dataset(recipe.data, model=recipe.equation)
    tasks, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    return meta_calibrate(
        recipe.equation,
        tasks,
        recipe.method,
        covariates=recipe.covariates,
        name=recipe.folder,
        seed=recipe.seed,
        progress=progress,
    )


def main() -> None:
    """Learn every recipe whose data are at hand."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else catalogue.shipped("models")
    for recipe in (*RECIPES, *BESIDE):
        try:
            prior = learn_recipe(recipe, progress=sys.stderr.isatty())
        except InputError as error:
            print(f"{recipe.folder}: skipped, {error}")
            continue
        prior.save(folder / recipe.folder)
        print(
            f"{recipe.folder}: learned from {prior.training['tasks']} tasks in {prior.training['seconds']} s"
        )
    of_families = (
        learn_boiling_points,
        learn_boiling_points_by_solvation,
        learn_averaged_boiling_points,
        learn_alloys,
        learn_phonon_peaks,
    )
    for learn_families in of_families:
        try:
            families = learn_families()
        except InputError as error:
            print(f"{learn_families.__name__}: skipped, {error}")
            continue
        families.save(folder / families.name)
        print(f"{families.name}: learned from {families.training['tasks']} families")


if __name__ == "__main__":
    main()
