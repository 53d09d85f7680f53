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

__all__ = ["SCALES", "Choice", "Known", "expected_genotypes", "forecast", "known_of", "scores"]

Floats = NDArray[np.float64]
GENOTYPES = tuple(name for name in CLINICAL if name.startswith(("vkorc1", "cyp2c9")))
UNKNOWN = ("vkorc1_unknown", "cyp2c9_unknown")
_HALF = 1.6449  # standard deviations that hold 90 %
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


def tables_of(frame: pd.DataFrame, others: NDArray[np.bool_], columns: str) -> Floats:
    """A column of ones and standardised columns, by mean and standard deviation of `others`, (patient, column)."""
    names = list(FEATURES)
    if columns != COLUMNS[0]:
        frame = expected_genotypes(frame, frame[others])
        names = [name for name in names if name not in UNKNOWN]
    if columns == COLUMNS[2]:
        names += FURTHER
    values = frame[names].astype(float)
    mean, spread = values[others].mean(), values[others].std()
    # where nobody says, as an average patient
    standard = ((values - mean) / spread.where(spread > 0.0, 1.0)).fillna(0.0)
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


@dataclass(frozen=True)
class _LeftOut:
    """A site, and what all others tell of it under each choice.

    Attributes
    ----------
    rows : dict
        Positions of every site's patients.
    site : str
    dose : ndarray, (patient,)
        Of all patients, mg a week.
    tables : dict
        By columns.
    """

    rows: dict[str, NDArray[np.intp]]
    site: str
    dose: Floats
    tables: dict[str, Floats]

    @classmethod
    def of(cls, frame: pd.DataFrame, rows: dict[str, NDArray[np.intp]], site: str) -> _LeftOut:
        others = frame["site"].to_numpy() != site
        tables = {columns: tables_of(frame, others, columns) for columns in COLUMNS}
        return cls(rows, site, frame["dose"].to_numpy(float), tables)

    def part(self, site: str, choice: Choice) -> tuple[Floats, Floats]:
        """A site's table, and doses on the choice's scale."""
        own = self.rows[site]
        return self.tables[choice.columns][own], SCALES[choice.scale][0](self.dose[own])

    def known(self, choice: Choice) -> dict[str, Known]:
        """What each of the others tells."""
        others = (site for site in self.rows if site != self.site)
        return {site: known_of(*self.part(site, choice), choice.between) for site in others}

    def error(self, choice: Choice) -> float:
        """Mean absolute error of the others, each left out of the rest, with none of its patients known."""
        known, errors = self.known(choice), []
        for site in known:
            rest = reduce(Known.__add__, (each for other, each in known.items() if other != site))
            table, dose = self.part(site, choice)
            whole = forecast(rest, table, dose, np.zeros(len(dose), bool), choice.between)
            errors.append(np.abs(SCALES[choice.scale][1](whole.median) - self.dose[self.rows[site]]).mean())
        return float(np.mean(errors))

    def chosen(self) -> Choice:
        """The choice of the least error."""
        return min((Choice(*each) for each in itertools.product(SCALES, COLUMNS, BETWEEN)), key=self.error)


def scores(
    frame: pd.DataFrame, shots: Sequence[int] = SHOTS, parts: int = 10
) -> tuple[pd.DataFrame, Counter[Choice]]:
    """Absolute error (mg a week) and coverage of each site left out, and what was chosen without it.

    The last, of "all others", are patients of each tenth of the site when the nine others are known.
    """
    rows, scored, choices = _sites(frame), [], Counter[Choice]()
    for site, own in rows.items():
        out = _LeftOut.of(frame, rows, site)
        choice = out.chosen()
        choices[choice] += 1
        unlink, truth = SCALES[choice.scale][1], out.dose[own]
        table, dose = out.part(site, choice)
        known = reduce(Known.__add__, out.known(choice).values())
        tenth = np.random.default_rng(0).permutation(len(own)) % parts
        ways: list[tuple[object, NDArray[np.bool_], NDArray[np.bool_]]] = []
        for count in shots:
            ways += [(count, *each) for each in zip(*supports_of(len(own), count), strict=True)]
        ways += [("all others", tenth != number, tenth == number) for number in range(parts)]
        for shown, seen, judged in ways:
            whole = forecast(known, table, dose, seen, choice.between)
            lower, upper = (unlink(whole.median + sign * _HALF * whole.sd) for sign in (-1.0, 1.0))
            error = np.abs(unlink(whole.median) - truth)[judged].mean()
            inside = ((lower <= truth) & (truth <= upper))[judged].mean()
            scored.append({"site": site, "known": shown, "mae": error, "covered": 100.0 * inside})
    table_of_scores = pd.DataFrame(scored).groupby(["known", "site"], as_index=False, sort=False).mean()
    return table_of_scores.assign(n=table_of_scores["site"].map(frame["site"].value_counts())), choices


def main() -> None:
    """Print the tables."""
    frame = patients()
    table, choices = scores(frame)
    print("Chosen without the site that is left out: scale, columns, patients that a site's level is worth")
    for choice, count in choices.most_common():
        print(f"  {count:2d} sites: {choice.scale}, {choice.columns}, {choice.between:g}")
    print("\nSites as a level above the patient, a site left out at a time: absolute error, mg a week")
    grouped = table.groupby("known", sort=False)
    summary = pd.DataFrame(
        {
            "mean over sites": grouped["mae"].mean(),
            "over patients": grouped[["mae", "n"]].apply(
                lambda each: np.average(each["mae"], weights=each["n"])
            ),
            "worst site": grouped["mae"].max(),
            "90 % covers": grouped["covered"].mean(),
        }
    )
    print(summary.round(2).to_string())


if __name__ == "__main__":
    main()
