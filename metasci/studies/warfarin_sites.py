"""Study: warfarin's dose with the site as a level above the patient, and how near any prior of sites could come.

``python -m metasci.studies.warfarin_sites`` (half a minute). The coefficients are the same at all sites and each site
moves the level, by an amount with a Gaussian prior (a linear mixed model, in closed form; Laird and Ware, Biometrics 38
(1982) 963). Which scale of the dose is linear, which columns are used and how far sites differ is chosen without the
site that is left out, by leaving out each of the others.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.studies.warfarin import CLINICAL, FEATURES, FURTHER, SHOTS, patients, supports_of

__all__ = ["SCALES", "Choice", "Known", "expected_genotypes", "known_of", "nearest_possible", "scores"]

Floats = NDArray[np.float64]
GENOTYPES = tuple(name for name in CLINICAL if name.startswith(("vkorc1", "cyp2c9")))
UNKNOWN = ("vkorc1_unknown", "cyp2c9_unknown")
_SHRINKAGE = 10.0  # of effects, in patients: little beside thousands, enough for rare genotypes

SCALES: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "root": (np.sqrt, lambda value: np.clip(value, 0.0, None) ** 2),
    "cube root": (np.cbrt, lambda value: np.clip(value, 0.0, None) ** 3),
    "logarithm": (np.log, np.exp),
}
COLUMNS = ("the formula's", "with expected genotypes", "with further columns")
# of a site's level, in patients: sites differ by a half, a quarter and a seventh of how patients of one site do
BETWEEN = (5.0, 15.0, 45.0)


@dataclass(frozen=True)
class Choice:
    """On which scale the dose is linear, in which columns, and how many patients a site's own level is worth."""

    scale: str
    columns: str
    between: float


def expected_genotypes(frame: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Genotypes nobody determined as their shares among others of the same race, and no columns for being unknown.

    Examples
    --------
    >>> row = {name: 0.0 for name in GENOTYPES}
    >>> one, other = row | {"vkorc1_aa": 1.0}, row | {"vkorc1_unknown": 1.0}
    >>> frame = pd.DataFrame([one, row, other]).assign(race="Asian")
    >>> expected_genotypes(frame, frame)["vkorc1_aa"].tolist()
    [1.0, 0.0, 0.5]
    """
    filled = frame.copy()
    for unknown in UNKNOWN:
        gene = unknown.removesuffix("unknown")
        names = [name for name in GENOTYPES if name.startswith(gene) and name not in UNKNOWN]
        told = others[others[unknown] == 0.0]
        shares = told.groupby("race")[names].mean().reindex(frame["race"]).fillna(told[names].mean())
        missing = frame[unknown].to_numpy() == 1.0
        filled.loc[missing, names] = shares[missing].to_numpy()
    return filled.drop(columns=list(UNKNOWN))


def table_of(frame: pd.DataFrame, others: pd.DataFrame, columns: str) -> Floats:
    """A column of ones and standardised columns, by mean and standard deviation of `others`, (patient, column)."""
    names = list(FEATURES)
    if columns != COLUMNS[0]:
        frame, others = (expected_genotypes(each, others) for each in (frame, others))
        names = [name for name in names if name not in UNKNOWN]
    if columns == COLUMNS[2]:
        names += FURTHER
    mean, spread = others[names].astype(float).mean(), others[names].astype(float).std()
    # where nobody says, as an average patient
    standard = ((frame[names].astype(float) - mean) / spread.where(spread > 0.0, 1.0)).fillna(0.0)
    return np.column_stack([np.ones(len(frame)), standard])


@dataclass(frozen=True)
class Known:
    """What patients of one site, or the sum of what those of several, tell of the shared coefficients.

    The site's own level is integrated out, in units of the noise's variance.

    Attributes
    ----------
    precision, pull : ndarray, (coefficient, coefficient), (coefficient,)
    square : float
        Weighted squares of the dose, on its scale.
    count : int
    """

    precision: Floats
    pull: Floats
    square: float
    count: int

    def __add__(self, other: Known) -> Known:
        return Known(
            self.precision + other.precision,
            self.pull + other.pull,
            self.square + other.square,
            self.count + other.count,
        )


def known_of(table: Floats, dose: Floats, between: float) -> Known:
    """Of patients of one site, (patient, column) and (patient,).

    Examples
    --------
    >>> known_of(np.ones((2, 1)), np.array([1.0, 3.0]), between=2.0).pull
    array([2.])
    """
    share = 1.0 / (len(dose) + between)
    total = table.sum(0)
    return Known(
        table.T @ table - share * np.outer(total, total),
        table.T @ dose - share * total * dose.sum(),
        float(dose @ dose - share * dose.sum() ** 2),
        len(dose),
    )


@dataclass(frozen=True)
class Forecast:
    """Of all patients of a site on the dose's scale, (patient,)."""

    median: Floats
    sd: Floats


def forecast(others: Known, table: Floats, dose: Floats, seen: NDArray[np.bool_], between: float) -> Forecast:
    """Doses of a site's patients after some of them are known, given patients of other sites.

    Parameters
    ----------
    others : Known
    table, dose : ndarray, (patient, column), (patient,)
        Of the site; only doses that are seen are looked at.
    seen : ndarray of bool, (patient,)
    between : float
    """
    both = others + known_of(table[seen], dose[seen], between)
    shrunken = both.precision + np.diag([0.0, *[_SHRINKAGE] * (table.shape[1] - 1)])
    coefficients = np.linalg.solve(shrunken, both.pull)
    variance = (both.square - both.pull @ coefficients) / both.count
    share = 1.0 / (seen.sum() + between)
    moved = share * float((dose[seen] - table[seen] @ coefficients).sum())
    leaning = table - share * table[seen].sum(0)
    unknown = 1.0 + share + np.einsum("ij,ij->i", leaning, np.linalg.solve(shrunken, leaning.T).T)
    return Forecast(table @ coefficients + moved, np.sqrt(variance * unknown))


def _sites(frame: pd.DataFrame) -> dict[str, NDArray[np.intp]]:
    labels = frame["site"].to_numpy()
    return {site: np.flatnonzero(labels == site) for site in dict.fromkeys(labels)}


def _error(choice: Choice, frame: pd.DataFrame, rows: dict[str, NDArray[np.intp]], others: Sequence[str]) -> float:
    """Mean over sites of the absolute error, each of some sites left out of the others, none of its patients known."""
    link, unlink = SCALES[choice.scale]
    pooled = frame.iloc[np.concatenate([rows[site] for site in others])]
    dose = frame["dose"].to_numpy()
    tables = {site: table_of(frame.iloc[rows[site]], pooled, choice.columns) for site in others}
    known = {site: known_of(tables[site], link(dose[rows[site]]), choice.between) for site in others}
    errors = []
    for site in others:
        rest = reduce(Known.__add__, (known[other] for other in others if other != site))
        nobody = np.zeros(len(rows[site]), bool)
        whole = forecast(rest, tables[site], link(dose[rows[site]]), nobody, choice.between)
        errors.append(np.abs(unlink(whole.median) - dose[rows[site]]).mean())
    return float(np.mean(errors))


def chosen(frame: pd.DataFrame, rows: dict[str, NDArray[np.intp]], others: Sequence[str]) -> Choice:
    """The choice under which sites left out of some are forecast with the least error."""
    candidates = [Choice(*each) for each in itertools.product(SCALES, COLUMNS, BETWEEN)]
    return min(candidates, key=lambda choice: _error(choice, frame, rows, others))


def scores(frame: pd.DataFrame, shots: Sequence[int] = SHOTS) -> tuple[pd.DataFrame, Counter[Choice]]:
    """Absolute error (mg a week) and coverage of each site left out, and what was chosen without it."""
    rows, found, choices = _sites(frame), [], Counter[Choice]()
    for site, own in rows.items():
        others = [other for other in rows if other != site]
        choice = chosen(frame, rows, others)
        choices[choice] += 1
        link, unlink = SCALES[choice.scale]
        pooled = frame[frame["site"] != site]
        dose = frame["dose"].to_numpy()[own]
        known = reduce(
            Known.__add__,
            (
                known_of(table_of(part, pooled, choice.columns), link(part["dose"].to_numpy()), choice.between)
                for _, part in pooled.groupby("site")
            ),
        )
        table = table_of(frame.iloc[own], pooled, choice.columns)
        for count in shots:
            for seen, judged in zip(*supports_of(len(own), count), strict=True):
                whole = forecast(known, table, link(dose), seen, choice.between)
                lower, upper = (unlink(whole.median + sign * 1.6449 * whole.sd) for sign in (-1.0, 1.0))
                error = np.abs(unlink(whole.median) - dose)[judged].mean()
                inside = ((lower <= dose) & (dose <= upper))[judged].mean()
                found.append({"site": site, "known": count, "mae": error, "covered": 100.0 * inside, "n": len(own)})
    table = pd.DataFrame(found).groupby(["known", "site"], as_index=False).mean()
    return table, choices


def nearest_possible(frame: pd.DataFrame, choice: Choice, parts: int = 10) -> float:
    """Mean over sites of the absolute error where nine tenths of the site's own patients are known, too."""
    rows, errors = _sites(frame), []
    link, unlink = SCALES[choice.scale]
    for site, own in rows.items():
        pooled = frame[frame["site"] != site]
        known = reduce(
            Known.__add__,
            (
                known_of(table_of(part, pooled, choice.columns), link(part["dose"].to_numpy()), choice.between)
                for _, part in pooled.groupby("site")
            ),
        )
        table, dose = table_of(frame.iloc[own], pooled, choice.columns), frame["dose"].to_numpy()[own]
        part = np.random.default_rng(0).permutation(len(own)) % parts
        median = np.zeros(len(own))
        for number in range(parts):
            whole = forecast(known, table, link(dose), part != number, choice.between)
            median[part == number] = unlink(whole.median)[part == number]
        errors.append(np.abs(median - dose).mean())
    return float(np.mean(errors))


def main() -> None:
    """Print the tables."""
    frame = patients()
    table, choices = scores(frame)
    print("Chosen without the site that is left out: scale, columns, patients that a site's level is worth")
    for choice, count in choices.most_common():
        print(f"  {count:2d} sites: {choice.scale}, {choice.columns}, {choice.between:g}")
    print("\nSites as a level above the patient, a site left out at a time: absolute error, mg a week")
    grouped = table.groupby("known")
    summary = pd.DataFrame(
        {
            "mean over sites": grouped["mae"].mean(),
            "over patients": grouped[["mae", "n"]].apply(lambda each: np.average(each["mae"], weights=each["n"])),
            "worst site": grouped["mae"].max(),
            "90 % covers": grouped["covered"].mean(),
        }
    )
    print(summary.round(2).to_string())
    most = choices.most_common(1)[0][0]
    print(f"\nWith nine tenths of the site's own patients known, too: {nearest_possible(frame, most):.2f}")


if __name__ == "__main__":
    main()
