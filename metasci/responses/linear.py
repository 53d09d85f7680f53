"""A linear predictor: a level, and a coefficient for each feature, on whatever scale the outcomes have theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metasci.errors import InputError
from metasci.model import Input, Model, Output
from metasci.noise import Noise
from metasci.outcomes import Bernoulli
from metasci.parameters import Parameter, ParameterSpace

__all__ = ["linear_predictor"]


@dataclass(frozen=True)
class _Line:
    features: tuple[str, ...]

    def __call__(self, **values: Any) -> Any:
        total = values["level"]
        for name in self.features:
            total = total + values[f"of_{name}"] * values[name]
        return total


def linear_predictor(
    features: Sequence[str],
    *,
    output: Output | None = None,
    noise: Noise | None = None,
    name: str = "mine.linear_predictor",
    level_spread: float = 1.0,
    spread: float = 0.5,
) -> Model:
    """An equation that is linear in features: log-odds of yes or no, a logarithm of counts, a plain number.

    Parameters
    ----------
    features : sequence of str
        Plain numbers, standardised: coefficients are for one standard deviation.
    output : Output, optional
        What is measured; ``outcome``, a plain number, by default.
    noise : Noise, optional
        The kind of outcomes; yes or no (`Bernoulli`) by default.
    name : str
    level_spread, spread : float
        What is believed of how much the level and the coefficients differ between tasks, before any were seen.

    Returns
    -------
    Model
        With the parameters ``level`` and ``of_FEATURE``. It is not registered.

    Raises
    ------
    InputError
        Without a feature, or where one stands there twice.

    Notes
    -----
    Source: McCullagh and Nelder, Generalized Linear Models, 2nd ed. (1989), section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> model = linear_predictor(["age", "pressure"])
    >>> model.parameters.names
    ('level', 'of_age', 'of_pressure')
    >>> known = {"age": np.array([1.0, -1.0]), "pressure": np.array([0.0, 2.0])}
    >>> model.function(**known, level=0.5, of_age=1.0, of_pressure=0.25)
    array([1.5, 0. ])
    """
    chosen = tuple(features)
    if not chosen or len(set(chosen)) != len(chosen):
        raise InputError("a linear predictor needs one feature at least, and each once.")
    coefficients = (
        Parameter(f"of_{feature}", "1", 0.0, spread=spread, description="for one standard deviation")
        for feature in chosen
    )
    return Model(
        name=name,
        function=_Line(chosen),
        inputs={feature: Input("1") for feature in chosen},
        output=output or Output("outcome", "1", "outcome"),
        parameters=ParameterSpace(
            (
                Parameter("level", "1", 0.0, spread=level_spread, description="where all are zero"),
                *coefficients,
            )
        ),
        noise=noise or Bernoulli(),
        description="Linear in its features (McCullagh and Nelder 1989, section 2.2).",
    )
