"""What the commands about many tasks learn from: how a prior is learned, and which tasks, as their words say it."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metasci.cli.arguments import learned_prior, named, own_equation
from metasci.errors import InputError
from metasci.methods import method_of_command
from metasci.regular_files import book_and_sheet

if TYPE_CHECKING:
    from metasci.data.tasks import TaskSet
    from metasci.meta.method import Method
    from metasci.model import Model
    from metasci.priors.blend import BlendPrior
    from metasci.priors.families import StructurePrior
    from metasci.priors.networks import NetworkPrior

__all__ = [
    "Networks",
    "Scatter",
    "equation_named",
    "method_of",
    "recipe_and_tasks",
    "structures_and_tasks",
    "tasks_for",
    "tasks_of_model",
    "with_networks",
    "with_scatter",
]


class Scatter(StrEnum):
    """How `train` and `evaluate` let measurements scatter, as `metasci.noises.NOISES` names it."""

    additive = "additive"
    early_additive = "early-additive"
    proportional = "proportional"
    combined = "combined"
    combined_deviations = "combined-deviations"
    power = "power"
    log_normal = "log-normal"
    log_normal_vickers = "log-normal-vickers"
    student = "student"


class Networks(StrEnum):
    """What of a network of graphs `train` lets adapt to a family, and the mean of such a head and the process."""

    averaged = "averaged"
    process_head = "process-head"
    linear_head = "linear-head"
    code = "code"
    head = "head"
    everything = "everything"
    nothing = "nothing"


def method_of(command: str, penalty: float, task_noise: bool, model: Model) -> Method[Any]:
    """The method that a command names; of a Gaussian prior as it is, what suits the model's noise."""
    if command == "gaussian" and not penalty and not task_noise:
        from metasci.priors.from_tasks import default_method

        return default_method(model)
    method = method_of_command(command)
    options: dict[str, Any] = {"penalty": penalty} if penalty else {}
    options |= {"task_noise": True} if task_noise else {}
    for option in options.keys() - {field.name for field in fields(method)}:
        raise InputError(f"--{option.replace('_', '-')}: the method {command} has no such choice.")
    chosen: Method[Any] = method(**options)
    return chosen


def structures_and_tasks(
    name: str, data: str, noise: Scatter | None = None, members: int | None = None
) -> tuple[StructurePrior, TaskSet]:
    """How a property of structures is learned, the package's own or that of the data's card, and its data."""
    from metasci import catalogue
    from metasci.materials.properties import PROPERTIES, property_of_card
    from metasci.meta.group_process import GroupProcess
    from metasci.noise import Additive, LogNormal
    from metasci.priors.families import StructurePrior

    if noise not in (None, Scatter.additive, Scatter.log_normal):
        raise InputError(f"--noise: a property of structures takes additive or log-normal, not {noise}.")
    scatter = LogNormal((0.1,)) if noise is Scatter.log_normal else Additive((1.0,))
    model, card = PROPERTIES.get(name), catalogue.dataset(data).card
    if model is None:
        if name != (measured := f"materials.{card.output.name}"):
            raise InputError(
                f"'{name}' is not one of the package's properties ({', '.join(PROPERTIES)}), and the data "
                f"'{card.name}' measure {measured}."
            )
        model = property_of_card(name, card, scatter)
    else:
        model = model if noise is None else model.with_noise(scatter)
        simulated = {column.name for column in card.with_role("input") if column.simulator}
        if simulated - set(model.inputs) and card.output.name == model.output.name:
            model = property_of_card(name, card, model.noise)  # which leans on them, as the data ask
    tasks = catalogue.dataset(data, model=model)
    method = GroupProcess() if members is None else GroupProcess(members=members)
    return StructurePrior(tasks.card.name, model, method, None, tasks.card), tasks


def with_networks(process: StructurePrior, network: Networks) -> NetworkPrior | BlendPrior:
    """How networks of graphs are learned of the property that a process would be learned of."""
    from metasci.learned.networks import NetworkMethod
    from metasci.learned.ways import WAYS
    from metasci.materials.architectures import usual_architecture
    from metasci.priors.blend import BlendPrior
    from metasci.priors.networks import NetworkPrior

    names = {
        Networks.averaged: "Gaussian-process head",
        Networks.process_head: "Gaussian-process head",
        Networks.linear_head: "Bayesian linear head",
        Networks.code: "CAVIA, code of 8",
        Networks.head: "ANIL, head only",
        Networks.everything: "MAML, everything",
        Networks.nothing: "network, not adapted",
    }
    name, model, card = process.name, process.model, process.card
    kind = next(column.kind for column in card.columns if column.structural)
    ways = {names[network]: WAYS[names[network]]}
    networks = NetworkPrior(name, model, NetworkMethod(usual_architecture(kind), ways=ways), card)
    return BlendPrior(name, model, card, process, networks) if network is Networks.averaged else networks


def tasks_for(data: str, prior: Any) -> TaskSet:
    """Tasks of a data set or a file, as a prior reads them."""
    import metasci as ms

    return ms.dataset(_data(data), card=prior.card, model=prior.model)


def tasks_of_model(data: str, equation: Model) -> TaskSet:
    """Tasks of a data set with a card; of a file that has none, by the columns that the model names."""
    import metasci as ms
    from metasci.data.cards import Card

    place = _data(data)
    bare = book_and_sheet(place)[0].is_file() and Path(place).suffix != ".nc"
    card = Card.from_model(equation) if bare else None
    # what is no outcome of the model's kind is then told with its row
    return ms.dataset(place, card=card, model=equation if bare or not equation.noise.gaussian else None)


def with_scatter(equation: Model, tasks: TaskSet, noise: Scatter | None) -> Model:
    """The equation under the noise that was asked for, whose scales begin at about what the data have."""
    if noise is None:
        return equation
    from metasci.priors.starting_noise import starting_noise

    return equation.with_noise(starting_noise(noise, tasks.batch(equation), equation))


def _data(name: str) -> str:
    from metasci import catalogue

    return named(name, catalogue.names("datasets"), "data set or file")


def equation_named(name: str) -> Model:
    """A model by its name, or one's own, ``FILE.py:NAME``."""
    from metasci import catalogue
    from metasci.library import find, registered

    if name in catalogue.names("models") and name not in registered():
        raise InputError(
            f"'{name}' is a learned prior, not a model; it was learned for the model '{catalogue.model_of(name)}'."
        )
    return own_equation(name) if ".py:" in name else find(named(name, registered(), "model"))


def recipe_and_tasks(
    name: str, data: str, method: str, model: str | None, noise: Scatter | None = None
) -> tuple[Any, TaskSet, bool]:
    """A prior and the tasks to judge it on; for a model, a prior learned here as the recipe to leave out with."""
    import metasci as ms
    from metasci.evaluation.protocol import Protocol, with_enough_rows
    from metasci.library import registered

    if name.startswith("materials."):
        recipe, tasks = structures_and_tasks(name, data, noise)
        return recipe, tasks, False
    if ".py:" in name or name in registered():
        tasks = tasks_of_model(data, equation_named(name))
        enough, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
        equation = with_scatter(equation_named(name), enough, noise)
        learned = ms.meta_calibrate(
            equation, enough, method_of(method, 0.0, False, equation), covariates="all"
        )
        return learned, tasks, False
    if noise is not None:
        raise InputError(
            f"--noise belongs to a model; the prior '{name}' was learned with a noise of its own."
        )
    prior = learned_prior(name, model)
    return prior, tasks_for(data, prior), True
