"""The tables of a PEtab problem, and the file that lists them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from metasci.errors import InputError
from metasci.extras import needed

__all__ = ["Tables", "read_tables"]

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
        listed = yaml.safe_load(path.read_text())
        version, problems = str(listed["format_version"]), listed["problems"]
        (problem,) = problems
        parameter_files = _several(listed["parameter_file"])
        lists = {
            name: _several(problem[f"{name[:-1]}_files"])
            for name in ("conditions", "observables", "measurements")
        }
        models = _several(problem.get("sbml_files", []))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
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
    return Tables(path, **tables, model=path.parent / models[0])


def _several(name_or_names: Any) -> list[str]:
    return [name_or_names] if isinstance(name_or_names, str) else list(name_or_names)


def _table(path: Path, files: list[str], columns: tuple[str, ...]) -> pd.DataFrame:
    frames = []
    for file in files:
        place = path.parent / file
        if not place.is_file():
            raise InputError(f"{path}: the table '{file}' is not there.")
        frame = pd.read_csv(place, sep="\t", dtype=str, keep_default_na=False)
        if lacking := [name for name in columns if name not in frame]:
            raise InputError(f"{place}: the column '{lacking[0]}' is missing.")
        frames.append(frame.map(str.strip))
    return pd.concat(frames, ignore_index=True).fillna("")
