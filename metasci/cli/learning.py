"""Commands about many tasks: train, evaluate, compare; and studies, the documented cases."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasci.cli.arguments import (
    DataArgument,
    Json,
    OwnModel,
    PriorArgument,
    Seed,
    check_folder,
    learned_prior,
    named,
    own_equation,
    print_json,
)
from metasci.cli.voice import remark, says_progress
from metasci.errors import InputError
from metasci.extras import require
from metasci.methods import command_names, method_of_command

if TYPE_CHECKING:
    from metasci.data.tasks import TaskSet
    from metasci.meta.method import Method
    from metasci.model import Model
    from metasci.priors.blend import BlendPrior
    from metasci.priors.families import StructurePrior
    from metasci.priors.networks import NetworkPrior

__all__ = ["compare", "evaluate", "study", "train"]


_METHODS = f"[{'|'.join(command_names())}]"


def _choice(written: str, known: Sequence[str]) -> str:
    """One of the names, `-` and `_` alike."""
    chosen = written.lower().replace("_", "-")
    if chosen not in known:
        raise typer.BadParameter(f"'{written}' is not one of {', '.join(known)}.")
    return chosen


def _known_method(command: str) -> str:
    return _choice(command, command_names())


def _known_study(name: str) -> str:
    return _choice(name, tuple(StudyName))


class Scatter(StrEnum):
    """How `train` lets measurements of a property of structures scatter."""

    additive = "additive"
    log_normal = "log-normal"


class Networks(StrEnum):
    """What of a network of graphs `train` lets adapt to a family, and the mean of such a head and the process."""

    averaged = "averaged"
    process_head = "process-head"
    linear_head = "linear-head"
    code = "code"
    head = "head"
    everything = "everything"
    nothing = "nothing"


class StudyName(StrEnum):
    """Documented cases that `study` runs."""

    alloy_fatigue = "alloy-fatigue"
    assays = "assays"
    avrami = "avrami"
    crystal_potential = "crystal-potential"
    biased_supports = "biased-supports"
    broken_sensors = "broken-sensors"
    continual = "continual"
    delayed_reward = "delayed-reward"
    fairness = "fairness"
    families = "families"
    federated = "federated"
    few_bits = "few-bits"
    graph_networks = "graph-networks"
    high_entropy_alloys = "high-entropy-alloys"
    hiv = "hiv"
    hypergradients = "hypergradients"
    hospitals = "hospitals"
    markets = "markets"
    learned_prior_against_posterior = "learned-prior-against-posterior"
    phenobarbital = "phenobarbital"
    physics_instinct = "physics-instinct"
    propofol = "propofol"
    steel_tempering = "steel-tempering"
    unlike_sites = "unlike-sites"
    warfarin = "warfarin"


_EXTRAS_OF = {
    StudyName.assays: ("materials",),
    StudyName.biased_supports: ("materials",),
    StudyName.crystal_potential: ("materials",),
    StudyName.fairness: ("studies",),
    StudyName.families: ("materials",),
    StudyName.federated: ("studies",),
    StudyName.graph_networks: ("materials",),
    StudyName.high_entropy_alloys: ("materials",),
    StudyName.hypergradients: ("studies",),
    StudyName.hospitals: ("studies",),
    StudyName.learned_prior_against_posterior: ("bayes",),
    StudyName.markets: ("markets",),
    StudyName.steel_tempering: ("studies",),
    StudyName.unlike_sites: ("studies",),
    StudyName.warfarin: ("studies",),
}


class Support(StrEnum):
    """How `evaluate` chooses the support."""

    first = "first"
    random = "random"


class Query(StrEnum):
    """What `evaluate` judges by."""

    rest = "rest"
    next = "next"
    following = "following"


def train(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model's name, such as kinetics.tempering, or your own, FILE.py:NAME (the file is run); "
            "materials.NAME for a property of structures, also one of your own that the data's card describes.",
        ),
    ],
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the learned prior.")],
    method: Annotated[
        str, typer.Option(parser=_known_method, metavar=_METHODS, help="How to learn and adapt.")
    ] = "gaussian",
    covariates: Annotated[
        str, typer.Option(help="'all' that the card marks, 'none', or names separated by commas.")
    ] = "all",
    penalty: Annotated[float, typer.Option(min=0.0, help="Weight of the physical laws.")] = 0.0,
    task_noise: Annotated[
        bool, typer.Option(help="Give each task a noise level of its own (gaussian).")
    ] = False,
    noise: Annotated[
        Scatter | None, typer.Option(help="How measurements of a property of structures scatter.")
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            min=2, help="Of a property of structures: members that stand for each family, 15 by default."
        ),
    ] = None,
    network: Annotated[
        Networks | None,
        typer.Option(
            help="Of a property of structures: learn networks of graphs, of which this adapts; 'averaged' is the mean "
            "of such a network with a process-head and of the process that is learned without this option."
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPERATURE",
            help="At which a law states its rates, such as '1300 degC'; chosen from the data by default.",
        ),
    ] = None,
    seed: Seed = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="File that lets a killed run go on.")] = None,
) -> None:
    """Learn a prior from many tasks.

    Under torchrun, with several processes.
    """
    import metasci as ms
    from metasci.evaluation.protocol import Protocol, with_enough_rows
    from metasci.meta.compositions.distributed import joined

    still_free = check_folder(out)
    if task_noise and method != "gaussian":
        raise InputError(f"--task-noise belongs to the method gaussian; {method} has no such choice.")
    if model.startswith("materials."):
        if method != "gaussian" or covariates != "all" or penalty or task_noise or checkpoint or reference:
            raise InputError(
                f"'{model}' is learned in one way: it takes --noise, --members, --network and --seed only."
            )
        process, tasks = _structures(model, data, noise, members)
        recipe: StructurePrior | NetworkPrior | BlendPrior = (
            _with_networks(process, network) if network else process
        )
        tasks, few = with_enough_rows(tasks, Protocol.from_card(tasks.card))
        _say_left_out(few)
        learned = recipe.retrain(tasks, seed=seed, progress=says_progress())
        still_free()
        learned.save(out)
        typer.echo(f"learned from {len(tasks)} families; written to {out}")
        return
    if noise is not None or members is not None or network is not None:
        raise InputError(
            f"--noise, --members and --network belong to properties of structures, which '{model}' is not."
        )
    equation = _equation(model)
    tasks = _of_model(data, equation)
    tasks, few = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    named_ones = tuple(part.strip() for part in covariates.split(","))
    chosen: Any = {"all": "all", "none": ()}.get(covariates, named_ones)
    with joined() as rank:
        if rank == 0:
            _say_left_out(few)
        prior = ms.meta_calibrate(
            equation,
            tasks,
            _method(method, penalty, task_noise, equation),
            covariates=chosen,
            seed=seed,
            checkpoint=checkpoint,
            progress=says_progress(),
            reference=reference,
        )
        if rank > 0:
            return
        still_free()
        prior.save(out)
    lost = prior.training["left_out_as_not_finite"]
    if lost:
        remark(f"left out in some iterations because they turned non-finite: {', '.join(lost)}")
    own = prior.model.reference
    if own is not None and own.temperature != own.declared:
        remark(f"rates are stated at {own.temperature:g} K")
    typer.echo(f"learned from {len(tasks)} tasks in {prior.training['seconds']} s; written to {out}")


def evaluate(
    prior: Annotated[
        str,
        typer.Argument(
            metavar="PRIOR_OR_MODEL",
            help="A prior, its folder, a model's name, or your own model, FILE.py:NAME.",
        ),
    ],
    data: DataArgument,
    shots: Annotated[str | None, typer.Option(help="Numbers of measurements, such as 0,1,3,5.")] = None,
    support: Annotated[
        Support | None, typer.Option(help="Which measurements; the data's card decides by default.")
    ] = None,
    query: Annotated[
        Query | None,
        typer.Option(
            help="What to judge by: all others, the next one, or all that follow; the card by default."
        ),
    ] = None,
    leave_out: Annotated[
        str | None, typer.Option(help="Column whose groups are held out, each in turn.")
    ] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Hold groups out in so many parts.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Random choices of the support.")] = 5,
    baselines: Annotated[
        str,
        typer.Option(
            help="What else to judge beside, learned from the same tasks without an equation: "
            "process, forest, boosting, with commas between, or all."
        ),
    ] = "",
    method: Annotated[
        str,
        typer.Option(parser=_known_method, metavar=_METHODS, help="How to learn, where a model is given."),
    ] = "gaussian",
    model: OwnModel = None,
    as_json: Json = False,
) -> None:
    """Judge a prior on held-out tasks, beside baselines."""
    from metasci.data.checksums import checksum
    from metasci.evaluation.evaluate import evaluate as judge, who_was_left_out
    from metasci.evaluation.protocol import Protocol

    counts = _shots(shots)
    recipe, tasks, trained = _recipe_and_tasks(prior, data, method, model)
    protocol = Protocol.from_card(tasks.card if tasks.card.protocol else recipe.card)
    protocol = protocol.choosing(support.value if support else None, query.value if query else None)
    if not trained and leave_out is None:
        leave_out = protocol.leave_out or (*tasks.card.task, "task")[0]
    same_data = recipe.training.get("data_sha256") == checksum(tasks)
    report = judge(
        recipe,
        tasks,
        counts,
        protocol=protocol,
        leave_out=leave_out,
        folds=folds,
        seeds=seeds,
        baselines=baselines if baselines == "all" else tuple(filter(None, baselines.split(","))),
        progress=says_progress(),
    )
    if leave_out is None and same_data:
        remark("these are the tasks that the prior learned from; --leave-out gives honest figures")
    if as_json:
        print_json(report)
        return
    _say_left_out(report["left_out"])
    for sentence in who_was_left_out(report):
        remark(sentence)
    of_numbers = ("rmse", "mae", "mdape", "coverage90", "nlpd", "seconds_per_task")
    of_outcomes = tuple(
        key for key in report["results"][0] if key not in ("method", "shots", "tasks", "left_out")
    )
    header = ("method", "shots", *(of_outcomes if report["outcome"] else of_numbers))
    unit = "a pure number" if report["unit"] == "1" else report["unit"]
    errors = f"outcomes of {report['outcome']}" if report["outcome"] else f"errors in {unit}"
    typer.echo(f"{report['tasks']} tasks, {report['learned_method']}, {errors}")
    widths = {name: max(12, len(name) + 2) for name in header}
    widths["method"] = max([26, *(len(row["method"]) for row in report["results"])])
    typer.echo("".join(f"{name:>{width}}" for name, width in widths.items()))
    for row in report["results"]:
        shown = {name: f"{row[name]:.4g}" if isinstance(row[name], float) else row[name] for name in header}
        typer.echo("".join(f"{shown[name]:>{width}}" for name, width in widths.items()))


def compare(
    prior: PriorArgument,
    data: DataArgument,
    shots: Annotated[int | None, typer.Option(help="Measurements that calibrate each held-out task.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Groups of tasks held out together.")] = 3,
    draws: Annotated[int, typer.Option(min=100, help="Of each chain, and as many to tune it.")] = 1000,
    rmse_margin: Annotated[float, typer.Option(help="Of the ratio of errors, what does not matter.")] = 0.02,
    nats_margin: Annotated[
        float, typer.Option(help="Of the log density a measurement, what does not matter.")
    ] = 0.02,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the Dataset (NetCDF) and the report.")
    ] = None,
    model: OwnModel = None,
    as_json: Json = False,
) -> None:
    """Hold a learned prior against PyMC's posterior.

    Both forecast the same held-out measurements.
    """
    from metasci.bayes.comparison import (
        compare as run,  # first of all: it says which extra is missing
        summary,
    )
    from metasci.priors.equation import Prior

    still_free = check_folder(out)
    recipe = learned_prior(prior, model)
    if not isinstance(recipe, Prior):
        raise InputError(f"'{prior}' has no equation that PyMC could sample; `metasci evaluate` judges it.")
    dataset = run(
        recipe,
        _tasks(data, recipe),
        shots=shots,
        folds=folds,
        draws=draws,
        tune=draws,
        rmse_margin=rmse_margin,
        nats_margin=nats_margin,
        progress=says_progress(),
    )
    result = summary(dataset)
    if out is not None:
        from metasci.report.bayes_report import save_comparison

        still_free()
        save_comparison(dataset, out)
    if as_json:
        print_json(result)
        return
    for key, value in result.items():
        shown = (
            "   ".join(f"{who} {number:.4g}" for who, number in value.items())
            if isinstance(value, dict)
            else value
        )
        typer.echo(f"{key:18} {shown:.4g}" if isinstance(shown, float) else f"{key:18} {shown}")


def study(
    name: Annotated[
        str,
        typer.Argument(
            parser=_known_study, metavar="NAME", help=f"Which case to run: {', '.join(StudyName)}."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for figures and tables.")] = Path("study"),
) -> None:
    """Run a documented case and print its tables."""
    import importlib

    check_folder(out)
    case = StudyName(name)
    for extra in _EXTRAS_OF.get(case, ()):
        require(extra, f"the study {case.value}")
    importlib.import_module(f"metasci.studies.{case.name}").main(out)
    typer.echo(f"figures are in {out}")


def _method(command: str, penalty: float, task_noise: bool, model: Model) -> Method[Any]:
    options: dict[str, Any] = {"task_noise": True} if task_noise else {}
    if command == "gaussian" and not penalty and not task_noise:
        from metasci.priors.from_tasks import default_method

        return default_method(model)
    method: Method[Any] = method_of_command(command)(penalty=penalty, **options)
    return method


def _structures(
    name: str, data: str, noise: Scatter | None = None, members: int | None = None
) -> tuple[StructurePrior, TaskSet]:
    """How a property of structures is learned, the package's own or that of the data's card, and its data."""
    from metasci import catalogue
    from metasci.materials.properties import PROPERTIES, property_of_card
    from metasci.meta.group_process import GroupProcess
    from metasci.noise import Additive, LogNormal
    from metasci.priors.families import StructurePrior

    scatter = LogNormal((0.1,)) if noise is Scatter.log_normal else Additive((1.0,))
    model = PROPERTIES.get(name)
    if model is None:
        card = catalogue.dataset(data).card
        if name != (measured := f"materials.{card.output.name}"):
            raise InputError(
                f"'{name}' is not one of the package's properties ({', '.join(PROPERTIES)}), and the data "
                f"'{card.name}' measure {measured}."
            )
        model = property_of_card(name, card, scatter)
    elif noise is not None:
        model = model.with_noise(scatter)
    tasks = catalogue.dataset(data, model=model)
    method = GroupProcess() if members is None else GroupProcess(members=members)
    return StructurePrior(tasks.card.name, model, method, None, tasks.card), tasks


def _with_networks(process: StructurePrior, network: Networks) -> NetworkPrior | BlendPrior:
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


def _tasks(data: str, prior: Any) -> TaskSet:
    import metasci as ms

    return ms.dataset(_data(data), card=prior.card, model=prior.model)


def _of_model(data: str, equation: Model) -> TaskSet:
    """Tasks of a data set with a card; of a file that has none, by the columns that the model names."""
    import metasci as ms
    from metasci.data.cards import Card

    place = _data(data)
    bare = Path(place).is_file() and Path(place).suffix != ".nc"
    card = Card.from_model(equation) if bare else None
    # what is no outcome of the model's kind is then told with its row
    return ms.dataset(place, card=card, model=equation if bare or not equation.noise.gaussian else None)


def _data(name: str) -> str:
    from metasci import catalogue

    return named(name, catalogue.names("datasets"), "data set or file")


def _equation(name: str) -> Model:
    """A model by its name, or one's own, ``FILE.py:NAME``."""
    from metasci.library import find, registered

    return own_equation(name) if ".py:" in name else find(named(name, registered(), "model"))


def _recipe_and_tasks(name: str, data: str, method: str, model: str | None) -> tuple[Any, TaskSet, bool]:
    """A prior and the tasks to judge it on; for a model, a prior learned here as the recipe to leave out with."""
    import metasci as ms
    from metasci.evaluation.protocol import Protocol, with_enough_rows
    from metasci.library import registered

    if name.startswith("materials."):
        recipe, tasks = _structures(name, data)
        return recipe, tasks, False
    if ".py:" in name or name in registered():
        tasks = _of_model(data, _equation(name))
        enough, _ = with_enough_rows(tasks, Protocol.from_card(tasks.card))
        equation = _equation(name)
        learned = ms.meta_calibrate(equation, enough, _method(method, 0.0, False, equation), covariates="all")
        return learned, tasks, False
    prior = learned_prior(name, model)
    return prior, _tasks(data, prior), True


def _shots(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--shots takes whole numbers separated by commas, such as 0,1,3, not '{text}'."
        ) from None


def _say_left_out(names: list[str]) -> None:
    if names:
        remark(f"left out, too few rows: {', '.join(names)}")
