"""Commands about many tasks: train, evaluate, compare."""

from __future__ import annotations

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
    choice,
    learned_prior,
    print_json,
)
from metasci.cli.recipes import (
    Networks,
    Scatter,
    equation_named,
    method_of,
    recipe_and_tasks,
    structures_and_tasks,
    tasks_for,
    tasks_of_model,
    with_networks,
    with_scatter,
)
from metasci.cli.voice import remark, says_progress
from metasci.errors import InputError
from metasci.methods import command_names

if TYPE_CHECKING:
    from metasci.priors.blend import BlendPrior
    from metasci.priors.families import StructurePrior
    from metasci.priors.networks import NetworkPrior

__all__ = ["compare", "evaluate", "train"]


_METHODS = f"[{'|'.join(command_names())}]"


def _known_method(command: str) -> str:
    return choice(command, command_names())


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
        Scatter | None,
        typer.Option(
            help="How measurements scatter about the curve; as the model says by default. A property of structures "
            "takes additive or log-normal."
        ),
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
        process, tasks = structures_and_tasks(model, data, noise, members)
        recipe: StructurePrior | NetworkPrior | BlendPrior = (
            with_networks(process, network) if network else process
        )
        tasks, few = with_enough_rows(tasks, Protocol.from_card(tasks.card))
        _say_left_out(few)
        learned = recipe.retrain(tasks, seed=seed, progress=says_progress())
        still_free()
        learned.save(out)
        typer.echo(f"learned from {len(tasks)} families; written to {out}")
        return
    if members is not None or network is not None:
        raise InputError(
            f"--members and --network belong to properties of structures, which '{model}' is not."
        )
    equation = equation_named(model)
    tasks = tasks_of_model(data, equation)
    tasks, few = with_enough_rows(tasks, Protocol.from_card(tasks.card))
    equation = with_scatter(equation, tasks, noise)
    named_ones = tuple(part.strip() for part in covariates.split(","))
    chosen: Any = {"all": "all", "none": ()}.get(covariates, named_ones)
    with joined() as rank:
        if rank == 0:
            _say_left_out(few)
        prior = ms.meta_calibrate(
            equation,
            tasks,
            method_of(method, penalty, task_noise, equation),
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
    noise: Annotated[
        Scatter | None,
        typer.Option(help="How measurements scatter, where a model is given; as it says by default."),
    ] = None,
    model: OwnModel = None,
    as_json: Json = False,
) -> None:
    """Judge a prior on held-out tasks, beside baselines."""
    from metasci.evaluation.evaluate import evaluate as judge, who_was_left_out
    from metasci.evaluation.protocol import Protocol
    from metasci.learned.learned_from import learned_from

    counts = _shots(shots)
    recipe, tasks, trained = recipe_and_tasks(prior, data, method, model, noise)
    protocol = Protocol.from_card(tasks.card if tasks.card.protocol else recipe.card)
    protocol = protocol.choosing(support.value if support else None, query.value if query else None)
    if not trained and leave_out is None:
        leave_out = protocol.leave_out or (*tasks.card.task, "task")[0]
    seen = int(learned_from(recipe, tasks).sum())
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
    if leave_out is None and seen:
        which = "these are the" if seen == len(tasks) else f"{seen} of these are"
        remark(f"{which} tasks that the prior learned from; --leave-out gives honest figures")
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
    sample_scales: Annotated[
        bool,
        typer.Option(
            "--sample-scales",
            help="Of a prior with a discrepancy: PyMC samples its scales, too, which may take hours, and does not take "
            "them as learned.",
        ),
    ] = False,
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
    from metasci.bayes.comparison import compare as run  # first of all: it says which extra is missing
    from metasci.bayes.summary import summary
    from metasci.priors.equation import Prior

    still_free = check_folder(out)
    recipe = learned_prior(prior, model)
    if not isinstance(recipe, Prior):
        raise InputError(f"'{prior}' has no equation that PyMC could sample; `metasci evaluate` judges it.")
    dataset = run(
        recipe,
        tasks_for(data, recipe),
        shots=shots,
        folds=folds,
        draws=draws,
        tune=draws,
        scales_known=not sample_scales,
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
        if value == {}:
            continue
        shown = (
            "   ".join(f"{who} {number:.4g}" for who, number in value.items())
            if isinstance(value, dict)
            else value
        )
        typer.echo(f"{key:18} {shown:.4g}" if isinstance(shown, float) else f"{key:18} {shown}")


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
