"""A linear predictor: a level, and a coefficient for each feature, on whatever scale the outcomes have theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metasci.errors import InputError
from metasci.math import stack
from metasci.model import Input, Model, Output
from metasci.noise import Noise
from metasci.outcomes import Bernoulli, Categorical
from metasci.parameters import Parameter, ParameterSpace

__all__ = ["linear_predictor"]


@dataclass(frozen=True)
class _Lines:
    """A line for each ending of the parameters' names: one without, or one for each class but the first."""

    features: tuple[str, ...]
    endings: tuple[str, ...]

    def __call__(self, **values: Any) -> Any:
        lines = []
        for ending in self.endings:
            total = values[f"level{ending}"]
            for name in self.features:
                total = total + values[f"of_{name}{ending}"] * values[name]
            lines.append(total)
        return lines[0] if self.endings == ("",) else stack(lines)


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
        With the parameters ``level`` and ``of_FEATURE``; of classes (`Categorical`) with these for every class but
        the first, ``level_CLASS``, or by their number where a class is no plain word. It is not registered.

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
    law = noise or Bernoulli()
    endings = {"": ""}
    if isinstance(law, Categorical):
        endings = {
            f"_{told if told.isidentifier() else at}": f", {told}"
            for at, told in enumerate(law.classes[1:], 1)
        }
    parameters = []
    for ending, of in endings.items():
        parameters.append(
            Parameter(f"level{ending}", "1", 0.0, spread=level_spread, description=f"where all are zero{of}")
        )
        parameters += [
            Parameter(
                f"of_{feature}{ending}",
                "1",
                0.0,
                spread=spread,
                description=f"for one standard deviation{of}",
            )
            for feature in chosen
        ]
    return Model(
        name=name,
        function=_Lines(chosen, tuple(endings)),
        inputs={feature: Input("1") for feature in chosen},
        output=output or Output("outcome", "1", "outcome"),
        parameters=ParameterSpace(tuple(parameters)),
        noise=law,
        description="Linear in its features (McCullagh and Nelder 1989, section 2.2).",
    )
