"""What several commands take, and how a name, a number or a file is understood."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metasci.errors import InputError
from metasci.regular_files import book_and_sheet
from metasci.words import suggestion

if TYPE_CHECKING:
    from metasci.data.cards import Card
    from metasci.model import Model

__all__ = [
    "DataArgument",
    "FileArgument",
    "Json",
    "Level",
    "OutFolder",
    "OwnModel",
    "PriorArgument",
    "Seed",
    "check_folder",
    "choice",
    "given_file",
    "learned_prior",
    "named",
    "print_json",
    "quantities",
]

PriorArgument = Annotated[
    str,
    typer.Argument(
        metavar="PRIOR",
        help="A prior that ships (`metasci list`), the folder of one, or a model's name, of which nothing was learned.",
    ),
]
DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="A data set that ships, a folder with a card, or a CSV in the prior's columns."
    ),
]
FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="Your measurements (CSV), or - for standard input; headers carry units, such as 'time [h]'.",
    ),
]
OutFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for tables, NetCDF and the report.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Level = Annotated[float, typer.Option(min=0.0, max=1.0, help="Probability of the intervals.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same numbers.")]
OwnModel = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME",
        help="Your own equation: the model NAME of a Python file. The file is run, so give only one that you trust.",
    ),
]


def named(name: str, known: Iterable[str], kind: str) -> str:
    """The name as it is known, `-` and `_` alike; a folder or file of that name goes first.

    Raises
    ------
    InputError
        If nothing of that name is there but something much like it is; what is nothing like it is left to the reader.
    """
    names = tuple(known)
    if name in names or book_and_sheet(name)[0].exists():
        return name
    same = {_spelling(each): each for each in names}
    if _spelling(name) in same:
        return same[_spelling(name)]
    if meant := suggestion(name, names):
        raise InputError(f"there is no {kind} '{name}'{meant}; `metasci list` names all there are.")
    return name


def _spelling(name: str) -> str:
    return name.lower().replace("-", "_")


def learned_prior(name: str, own_model: str | None = None) -> Any:
    """The learned prior of that name or in that folder, of an equation of one's own if one is given.

    A model's name in its place, or ``FILE.py:NAME``, is that model with its declared typical values, of which nothing
    was learned.
    """
    import metasci as ms
    from metasci import catalogue
    from metasci.process import without_guests

    without_guests()
    if (alone := _model_alone(name)) is not None and own_model is None:
        return ms.Prior.declared(alone)
    model = own_equation(own_model) if own_model else None
    return ms.load(named(name, catalogue.names("models"), "learned prior"), model=model)


def _model_alone(name: str) -> Model | None:
    """The model of that name, if it is one and no folder; names of models have a dot, those of priors none."""
    if ".py:" in name:
        return own_equation(name)
    if "." not in name or Path(name).exists():
        return None
    from metasci.library import registered

    models = registered()
    return models.get(named(name, models, "model or learned prior"))


def own_equation(place: str) -> Model:
    """The model that ``FILE.py:NAME`` names; its file is run.

    Raises
    ------
    InputError
        If there is no such file, it fails, or holds no model of that name.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    from metasci.model import Model

    file, _, name = place.rpartition(":")
    path = Path(file)
    if not name or path.suffix != ".py":
        raise InputError(
            f"--model takes a Python file and the name of a model in it, FILE.py:NAME, not '{place}'."
        )
    if not path.is_file():
        raise InputError(f"--model: there is no file '{path}'.")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--model: '{path}' cannot be read as a Python file.")
    module = module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:
        raise InputError(f"{path}: running it failed with {type(error).__name__}: {error}.") from error
    model = getattr(module, name, None)
    if not isinstance(model, Model):
        models = [key for key, value in vars(module).items() if isinstance(value, Model)]
        known = (
            f"its models are {', '.join(models)}" if models else "it holds no model; `@ms.equation` makes one"
        )
        raise InputError(f"{path} has no model '{name}'; {known}.")
    return model


@contextmanager
def given_file(file: str) -> Iterator[Path]:
    """The file that was given, or one with what stands on standard input."""
    if file != "-":
        yield Path(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard-input.csv"
        path.write_bytes(sys.stdin.buffer.read())
        try:
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), "standard input")) from None


def check_folder(out: Path | None) -> Callable[[], None]:
    """Refuse, before any work, a folder that cannot be written into; and once more when it is to be written.

    Returns
    -------
    callable
        Refuses a folder that was not there before and is now, or a file of which has changed: another run has
        written it in the meantime.
    """
    if out is None:
        return lambda: None
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise InputError(f"{out}: '{existing}' is a file, not a folder to write into.")
    if not os.access(existing, os.W_OK):
        raise InputError(f"{out}: the folder '{existing}' cannot be written into.")
    from metasci.files import seen, written_since

    was_there, found = out.exists(), seen(out)

    def still_free() -> None:
        if (not was_there and out.exists()) or written_since(out, found) & found.keys():
            raise InputError(f"another run has written '{out}' in the meantime; give this one another name.")

    return still_free


def quantities(texts: Sequence[str], card: Card | None = None) -> dict[str, Any]:
    """Conditions as they are typed, ``temperature=200,400 degC``, as quantities by name.

    What a card has codes for, ``contact=yes,no``, stays text.

    Examples
    --------
    >>> {name: value.magnitude.tolist() for name, value in quantities(["temperature=200,400 degC"]).items()}
    {'temperature': [200.0, 400.0]}

    A unit may also stand behind each value:

    >>> quantities(["temperature=200 degC, 400 degC"])["temperature"].magnitude.tolist()
    [200.0, 400.0]
    """
    coded = {column.name for column in card.columns if column.codes} if card is not None else set()
    return dict(_condition(text, coded) for text in texts)


def _condition(text: str, coded: Collection[str]) -> tuple[str, Any]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if equals and name in coded:
        return name, [each.strip() for each in value.split(",")]
    return _quantity(text)


def _quantity(text: str) -> tuple[str, Any]:
    import numpy as np

    from metasci.units import unit

    name, equals, value = text.partition("=")
    each = [one.strip().partition(" ") for one in value.split(",")]
    symbol = each[-1][2].strip()
    try:
        if not equals or any(own.strip() not in ("", symbol) for _, _, own in each):
            raise ValueError
        values = np.array([float(number) for number, _, _ in each])
    except ValueError:
        raise InputError(
            f"'{text}' is no condition; write a name, its values and their unit, such as 'temperature=200,400 degC'."
        ) from None
    return name.strip(), values * unit(symbol) if symbol else values


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object; what is not finite is null."""
    typer.echo(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=1))


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _plain(inner) for key, inner in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(inner) for inner in item]
    if hasattr(item, "tolist"):
        return _plain(item.tolist())
    return None if isinstance(item, float) and not math.isfinite(item) else item


def choice(written: str, known: Sequence[str]) -> str:
    """One of the names, `-` and `_` alike."""
    chosen = written.lower().replace("_", "-")
    if chosen not in known:
        raise typer.BadParameter(f"'{written}' is not one of {', '.join(known)}.")
    return chosen
