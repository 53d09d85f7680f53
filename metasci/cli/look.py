"""Commands that look: what ships, what a prior is for, and the columns of a file for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasci.cli.arguments import Json, OwnModel, PriorArgument, learned_prior, named, print_json
from metasci.cli.figures import held_out_figures
from metasci.errors import InputError
from metasci.learned.columns import columns_of

if TYPE_CHECKING:
    from metasci.data.cards import Card
    from metasci.model import Model

__all__ = ["fetch", "info", "list_everything", "template"]

_NAME = typer.Argument(
    metavar="NAME", help="A prior, a data set or a model (`metasci list`), or a folder of one."
)


def list_everything(as_json: Json = False) -> None:
    """List what ships: learned priors, data sets, models."""
    from metasci import catalogue
    from metasci.library import registered

    models = {name: model.description.partition("\n")[0] for name, model in sorted(registered().items())}
    cards = {name: catalogue.card(name) for name in catalogue.names("datasets")}
    priors = {name: _title(name) for name in catalogue.names("models")}
    if as_json:
        titles = {name: card.title for name, card in cards.items()}
        print_json({"priors": priors, "datasets": titles, "models": models})
        return
    published = {name: source for name in priors if (source := catalogue.published_source(name))}
    _heading("Learned priors", ((name, text) for name, text in priors.items() if name not in published), 28)
    _heading("Published priors", published.items(), 28)
    _heading("Data sets", ((name, card.title) for name, card in cards.items()), 18)
    _heading("Models", models.items(), 32)
    typer.echo("`metasci info NAME` says more of each.")


def info(name: Annotated[str, _NAME], as_json: Json = False) -> None:
    """Say what a prior, a data set or a model is for.

    Which columns it needs, how good it is, what to beware of, where it comes from.
    """
    described = _described(name)
    if as_json:
        print_json(described)
        return
    columns = described.pop("columns")
    for key, value in described.items():
        if isinstance(value, list) and value:
            typer.echo(f"{key}:")
            for item in value:
                typer.echo(f"  - {item}")
        elif value:
            typer.echo(f"{key}: {value}")
    width = max((len(column["column"]) for column in columns), default=0) + 2
    typer.echo("columns:")
    for column in columns:
        need = "" if column["needed"] else "optional; "
        typer.echo(f"  {column['column']:{width}}{need}{column['meaning']}")


def template(
    prior: PriorArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new CSV file; printed by default.")
    ] = None,
    model: OwnModel = None,
) -> None:
    """Make a CSV file to fill in for a prior."""
    from metasci.files import write_atomically

    recipe = learned_prior(prior, model)
    columns = columns_of(recipe.model, recipe.card, recipe.training, recipe.known_groups)
    header = ",".join(column["column"] for column in columns)
    if out is not None and out.exists():
        raise InputError(f"'{out}' exists; give a new name.")
    if out is None:
        typer.echo(header)
    else:
        write_atomically(out, (header + "\n").encode())
        typer.echo(f"written to {out}")
    for column in columns:  # beside the header, not in it: what may stand in a column of texts
        if "one of " in column["meaning"]:
            typer.echo(f"{column['column']}: {column['meaning']}", err=True)


def fetch(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A data set that does not ship (`metasci list`), or its folder."),
    ],
) -> None:
    """Fetch data that do not ship, from the address in their card.

    What the address has is made into the file that the card describes, and compared with its checksum. It is kept in
    your own cache, where every command finds it from then on.
    """
    from metasci import catalogue

    path = catalogue.fetch(named(name, catalogue.names("datasets"), "data set"))
    typer.echo(f"written to {path}")


def _title(prior: str) -> str:
    """Of the data that a shipped prior was learned from; its tensors are not read."""
    from metasci import catalogue

    description = json.loads((catalogue.shipped("models") / prior / "prior.json").read_text(encoding="utf-8"))
    return str(description["data"].get("title", ""))


def _heading(title: str, entries: Iterable[tuple[str, str]], width: int) -> None:
    typer.echo(title)
    for name, text in entries:
        typer.echo(f"  {name:{width}} {text}".rstrip())


def _described(name: str) -> dict[str, Any]:
    """What is known of a prior, a model or a data set, in this order where several have the name."""
    from metasci import catalogue
    from metasci.library import registered

    models, priors, datasets = registered(), catalogue.names("models"), catalogue.names("datasets")
    known = named(name, (*priors, *datasets, *models), "prior, data set or model")
    if known in priors or (Path(known) / "prior.json").is_file():
        return _of_prior(known)
    if known in models:
        return _of_model(models[known])
    return _of_data(catalogue.card(known))


def _of_prior(name: str) -> dict[str, Any]:
    recipe = learned_prior(name)
    training = recipe.training
    return {
        "prior": recipe.name,
        "calibrates": f"{recipe.model.name}: {recipe.model.description.partition(chr(10))[0]}",
        "method": recipe.method.name,
        "noise": _noise_of(recipe),
        "learned from": f"{training.get('tasks', '?')} tasks with {training.get('measurements', '?')} measurements: "
        f"{recipe.card.title}",
        "source": recipe.card.source,
        "licence of the data": recipe.card.licence,
        "parameters": [f"{each.name} [{each.unit}]" for each in recipe.model.parameters],
        "beware": list(recipe.card.traps),
        "how good": _how_good(name),
        "card": _card_of(name),
        "columns": columns_of(recipe.model, recipe.card, training, recipe.known_groups),
    }


def _noise_of(recipe: Any) -> str:
    """How measurements scatter, and by how much as far as one number a scale says it."""
    noise, learned = recipe.model.noise, getattr(getattr(recipe, "state", None), "log_noise", None)
    if learned is None:
        return type(noise).__name__
    scales = zip(noise.scales, learned.exp().tolist(), strict=True)
    said = ", ".join(f"{scale} {value:.3g}" for scale, value in scales)
    return f"{type(noise).__name__}, {said}" if said else type(noise).__name__


def _card_of(name: str) -> str:
    """Where its card lies, or by what name it ships."""
    if (Path(name) / "prior.json").is_file():
        return str(Path(name) / "CARD.md") if (Path(name) / "CARD.md").is_file() else ""
    return f"models/{name}/CARD.md"


def _how_good(name: str) -> str:
    from metasci import catalogue

    folder = Path(name) if (Path(name) / "prior.json").is_file() else catalogue.shipped("models") / name
    card = folder / "CARD.md"
    if not card.is_file():
        return "not measured here; `metasci evaluate` does"
    return held_out_figures(card) or "see the card"


def _of_model(model: Model) -> dict[str, Any]:
    return {
        "model": model.name,
        "says": " ".join(model.description.split()),
        "parameters": [
            ": ".join(
                filter(None, (f"{each.name} [{each.unit}], ordinarily {each.typical:g}", each.description))
            )
            for each in model.parameters
        ],
        "laws": [law.law for law in model.constraints],
        "columns": columns_of(model, None, {}),
    }


def _of_data(card: Card) -> dict[str, Any]:
    return {
        "data set": card.name,
        "title": card.title,
        "description": card.description,
        "source": card.source,
        "licence": card.licence,
        "beware": list(card.traps),
        "columns": [
            {"column": column.header, "needed": True, "meaning": f"{column.role}; {column.description}"}
            for column in card.columns
        ],
    }
