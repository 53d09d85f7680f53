"""The tables of a PEtab problem, and the file that lists them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from metasci.data.text_tables import check_header
from metasci.errors import InputError
from metasci.extras import needed
from metasci.regular_files import bytes_of

__all__ = ["Tables", "read_tables"]

_MOST_BYTES = 2**20  # of the file that lists the tables
_NEEDED = {
    "parameters": ("parameterId", "parameterScale", "lowerBound", "upperBound", "estimate"),
    "conditions": ("conditionId",),
    "observables": ("observableId", "observableFormula", "noiseFormula"),
    "measurements": ("observableId", "simulationConditionId", "measurement", "time"),
}


@dataclass(frozen=True)
class Tables:
    """The four tables, as text, and the place of the model."""

    path: Path
    parameters: pd.DataFrame
    conditions: pd.DataFrame
    observables: pd.DataFrame
    measurements: pd.DataFrame
    model: Path


def read_tables(path: str | Path) -> Tables:
    """Read a problem's YAML file and the tables that it lists.

    Raises
    ------
    InputError
        If a file or a column is missing, or the problem is of a kind that is not taken.
    """
    path = Path(path)
    yaml = needed("yaml", "petab", "a PEtab problem")
    if not path.is_file():
        raise InputError(f"there is no PEtab problem '{path}'.")
    try:
        listed = yaml.safe_load(bytes_of(path, _MOST_BYTES).decode("utf-8"))
        version, problems = listed["format_version"], listed["problems"]
        version = str(version) if isinstance(version, str | int | float) else ""
        (problem,) = problems
        parameter_files = _several(listed["parameter_file"])
        lists = {
            name: _several(problem[f"{name[:-1]}_files"])
            for name in ("conditions", "observables", "measurements")
        }
        models = _several(problem.get("sbml_files", []))
    except InputError:
        raise
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: this is no PEtab problem with one model ({type(error).__name__})."
        ) from error
    if not version.startswith("1"):
        raise InputError(f"{path}: version {version} of PEtab is not taken, but version 1.")
    if len(models) != 1:
        raise InputError(f"{path}: a problem has one model in SBML, this one {len(models)}.")
    tables = {
        name: _table(path, files, _NEEDED[name])
        for name, files in {"parameters": parameter_files, **lists}.items()
    }
    return Tables(path, **tables, model=_beside(path, models[0]))


def _several(name_or_names: Any) -> list[str]:
    return [name_or_names] if isinstance(name_or_names, str) else list(name_or_names)


def _beside(path: Path, name: Any) -> Path:
    """The place of a file that the problem names, which lies in the problem's own folder or below."""
    folder = path.parent.resolve()
    if not isinstance(name, str) or "\0" in name or not (folder / name).resolve().is_relative_to(folder):
        raise InputError(f"{path}: '{name}' is no file of the problem's own folder.")
    if not (folder / name).is_file():
        raise InputError(f"{path}: the file '{name}' is not there.")
    return path.parent / name


def _table(path: Path, files: list[str], columns: tuple[str, ...]) -> pd.DataFrame:
    frames = []
    for file in files:
        place = _beside(path, file)
        try:
            text = bytes_of(place).decode("utf-8-sig")
            frame = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
            check_header(list(frame), str(place))
        except InputError:
            raise
        except ValueError as error:  # pandas' own errors, and of letters, are of this kind
            reason = " ".join(str(error).split())[:80]
            raise InputError(f"{place}: this is no table of texts between tabs ({reason}).") from None
        if lacking := [name for name in columns if name not in frame]:
            raise InputError(f"{place}: the column '{lacking[0]}' is missing.")
        frames.append(frame.map(str.strip))
    return pd.concat(frames, ignore_index=True).fillna("")
