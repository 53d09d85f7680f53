"""A face for scikit-learn: rows in, predictions out, and groups of rows for tasks.

`Calibrator` learns a prior from the groups of its training rows. A group that it has seen is calibrated to its rows; a
new one gets what the prior expects of it. So `cross_val_score` with `GroupKFold` says how good the prior is for a new
alloy or patient, beside any other estimator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from metasci.data.cards import Card, Column
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.extras import missing
from metasci.library import find
from metasci.meta.method import Method
from metasci.model import Model
from metasci.priors.equation import Prior, meta_calibrate

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise missing("scikit-learn", "studies", "metasci.sklearn") from None

if TYPE_CHECKING:
    from metasci.priors.calibrated import Calibration

__all__ = ["Calibrator"]

_ONE_SD = 0.6826894921370859  # an interval of this probability reaches one standard deviation to either side


class Calibrator(RegressorMixin, BaseEstimator):
    """A model whose parameters differ from group to group, with a prior learned from many groups.

    Parameters
    ----------
    model : Model or str
        Such as ``"kinetics.tempering_rockwell"``.
    group : str
        The column of X that names the group of each row.
    covariates : sequence of str
        Columns of X that are constant within a group and may shift the start.
    units : mapping of str to str, optional
        Of columns whose header does not say one, and of y, by names; the model's by default.
    method : Method, optional
        How to learn, a Gaussian prior by default.
    seed : int

    Attributes
    ----------
    prior_ : Prior
        What was learned.
    groups_ : tuple of str
        The groups of the training rows, to which a prediction is calibrated.

    Examples
    --------
    >>> import metasci as ms
    >>> rows = ms.dataset("theophylline").to_frame()
    >>> columns = ["task", "time", "dose", "weight"]
    >>> fitted = Calibrator("patients.one_compartment_oral", group="task", covariates=["weight"]).fit(
    ...     rows[columns], rows["concentration"])
    >>> mean, sd = fitted.predict(rows[columns].tail(2), return_std=True)
    >>> mean.shape, bool((sd > 0).all())
    ((2,), True)
    """

    def __init__(
        self,
        model: Model | str,
        group: str = "task",
        covariates: tuple[str, ...] | list[str] = (),
        units: Mapping[str, str] | None = None,
        method: Method[Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.group = group
        self.covariates = covariates
        self.units = units
        self.method = method
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn the prior from the rows' groups.

        Parameters
        ----------
        X : DataFrame
            Inputs, covariates and the column `group`; headers may carry units, ``time [h]``.
        y : array-like
            What was measured.
        groups : array-like, optional
            Of each row, in place of the column `group`.

        Raises
        ------
        InputError
            If a column is missing or a value does not make sense.
        """
        tasks = self._tasks(X, y, groups)
        self.prior_: Prior = meta_calibrate(
            self._model(), tasks, self.method, covariates=tuple(self.covariates), seed=self.seed
        )
        self.groups_ = tasks.names
        self.tasks_ = tasks
        self.n_features_in_ = X.shape[1]
        return self

    def predict(
        self,
        X: pd.DataFrame,
        return_std: bool = False,
        groups: ArrayLike | None = None,
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict a measurement for every row.

        Parameters
        ----------
        X : DataFrame
            As in `fit`; a group that is not among `groups_` gets what the prior expects.
        return_std : bool
            Whether to give the standard deviation of a measurement, too: half the width of its 68 % interval.
        groups : array-like, optional
            Of each row, in place of the column `group`.
        """
        check_is_fitted(self, "prior_")
        asked = self._tasks(X, np.full(len(X), np.nan), groups)
        rows = self._labels(X, groups)
        mean, sd = np.full(len(X), np.nan), np.full(len(X), np.nan)
        for name in asked.names:
            here, fit = rows == name, self._calibrated(name, asked)
            dataset = asked.select([name]).dataset
            at = {key: dataset[key].values[0] * np.ones(int(here.sum())) for key in self.prior_.model.inputs}
            predicted = fit.predict(level=_ONE_SD, **at).isel(task=0)
            mean[here] = predicted["median"].values
            sd[here] = 0.5 * (predicted["upper"] - predicted["lower"]).values
        return (mean, sd) if return_std else mean

    def calibrate(self, X: pd.DataFrame, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """The same prior with further groups to calibrate to: a few rows of each new one.

        Nothing is learned anew; `fit` does that.
        """
        check_is_fitted(self, "prior_")
        from copy import copy

        tasks, more = self._tasks(X, y, groups), copy(self)
        more.new_ = {**getattr(self, "new_", {}), **{name: tasks.select([name]) for name in tasks.names}}
        return more

    def _calibrated(self, name: str, asked: TaskSet) -> Calibration:
        new: dict[str, TaskSet] = getattr(self, "new_", {})
        if name in new:
            return self.prior_.calibrate(new[name])
        if name in self.groups_:
            return self.prior_.calibrate(self.tasks_.select([name]))
        return self.prior_.calibrate(asked.select([name]))

    def _model(self) -> Model:
        return find(self.model) if isinstance(self.model, str) else self.model

    def _labels(self, X: pd.DataFrame, groups: ArrayLike | None) -> NDArray[np.str_]:
        if not isinstance(X, pd.DataFrame):
            raise InputError(
                f"X is a DataFrame with named columns, not {type(X).__name__}: columns have units."
            )
        if groups is not None:
            return np.asarray(groups).astype(str)
        if self.group not in X.columns:
            raise InputError(
                f"X has no column '{self.group}' that names the group of each row; say group= or groups=."
            )
        return X[self.group].astype(str).to_numpy().astype(str)

    def _tasks(self, X: pd.DataFrame, y: ArrayLike, groups: ArrayLike | None) -> TaskSet:
        """Rows as tasks, in the model's units."""
        model, labels = self._model(), self._labels(X, groups)
        if model.histories:
            raise InputError(
                f"'{model.name}' takes doses at times, which rows of X cannot tell; use metasci.meta_calibrate."
            )
        declared_units = {**{name: each.unit for name, each in model.inputs.items()}, **model.covariates}
        frame = X.drop(columns=[self.group], errors="ignore").copy()
        frame.columns = [str(header) for header in frame.columns]
        frame[model.output.name] = np.asarray(y, dtype=float)
        frame.insert(0, "task", labels)
        stated = {**declared_units, model.output.name: model.output.unit, **(self.units or {})}
        frame.attrs["units"] = {name: unit for name, unit in stated.items() if name in frame.columns}
        covariates = [
            Column(name, name, "covariate", declared_units.get(name, "1")) for name in self.covariates
        ]
        columns = [
            Column("task", "task", "task"),
            *(Column(name, name, "input", each.unit) for name, each in model.inputs.items()),
            *(column for column in covariates if column.name not in model.inputs),
            Column(model.output.name, model.output.name, "output", model.output.unit),
        ]
        card = Card("rows of X", task=("task",), model=model.name, compilation=True, columns=tuple(columns))
        return TaskSet.from_frame(frame, card, where="X", model=model, require_output=False)
