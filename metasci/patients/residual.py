"""Which of the usual residual errors a program's statements amount to, found by trying them.

What a statement such as Y = F + W·EPS(1) says is how much a measurement scatters for a given prediction. That is
computed for many random patients (to the first order in ε, as NONMEM's FOCE takes it) and held against each form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.expressions import Statement, compiled, run
from metasci.noise import Additive, Combined, CombinedDeviations, Noise, PowerNoise, Proportional
from metasci.patients.description import CENTRAL, Described

__all__ = ["form_of", "residual_error"]

_PATIENTS = 40  # drawn at random: a form has two numbers at most, and fits none so many values by chance
_CLOSE = 1e-7  # rounding of forms that subtract; another form misses by far more
Floats = NDArray[np.float64]


def residual_error(
    described: Described,
    after: Sequence[Statement],
    measured: str,
    epsilons: Sequence[str],
    within: Floats,
    where: str,
) -> Noise:
    """The noise that statements with ε amount to.

    Parameters
    ----------
    described : Described
        The model, whose own statements have no ε any more.
    after : sequence of Statement
        As the program has them.
    measured : str
        Which name is the measurement.
    epsilons : sequence of str
    within : ndarray
        Σ, their covariance.
    where : str
        To begin the sentence with.

    Raises
    ------
    InputError
        If they amount to none of the usual forms.
    """
    if not epsilons:
        raise InputError(f"{where}: there is no EPS, so that measurements do not scatter.")
    random = np.random.default_rng(0)

    def drawn(spread: float = 1.0) -> torch.Tensor:
        return torch.tensor(np.exp(spread * random.standard_normal(_PATIENTS)))

    states = [name for name, _, _ in described.states] or [CENTRAL]
    known = {name: drawn(0.3) for name in described.covariates}
    known |= {name: drawn(0.3).log() for name in described.random}
    computed = run(
        [(name, compiled(e)) for name, e in described.statements], {**described.constants, **known}
    )
    errors = {name: torch.zeros(_PATIENTS, dtype=torch.float64, requires_grad=True) for name in epsilons}
    amounts = {name: 100.0 * drawn(1.5) for name in states}
    program = [(name, compiled(e)) for name, e in after]
    value = run(program, {**computed, **amounts, **errors, "t": drawn()})[measured]
    slopes = torch.autograd.grad(value.sum(), list(errors.values()), allow_unused=True)
    zero = torch.zeros(_PATIENTS, dtype=torch.float64)
    steep = torch.stack([zero if slope is None else slope for slope in slopes], -1)
    variance = torch.einsum("pi,ij,pj->p", steep, torch.as_tensor(within), steep)
    noise = form_of(value.detach().numpy(), variance.numpy())
    if noise is None:
        raise InputError(
            f"{where}: the residual error of {measured} is none of the usual forms (additive, proportional, both by "
            "variances or by standard deviations, power) of the prediction alone."
        )
    return noise


def form_of(prediction: Floats, variance: Floats) -> Noise | None:
    """The form that gives such variances at such predictions, if one does.

    Examples
    --------
    >>> import numpy as np
    >>> f = np.array([1.0, 2.0, 5.0])
    >>> form_of(f, 0.04 * f**2), form_of(f, (0.1 + 0.2 * f) ** 2)
    (Proportional(typical=(0.2,)), CombinedDeviations(typical=(0.1, 0.2)))
    """
    size, sd = np.abs(prediction), np.sqrt(variance)
    if not (np.isfinite(size).all() and np.isfinite(variance).all() and variance.max() > 0.0):
        return None

    def line(x: Floats, y: Floats) -> tuple[float, float] | None:
        """Intercept and slope, if that is what it is."""
        design = np.stack([np.ones_like(x), x], 1)
        weight = 1.0 / np.maximum(np.abs(y), 1e-300)
        coefficients = np.linalg.lstsq(design * weight[:, None], y * weight, rcond=None)[0]
        close = np.abs(design @ coefficients - y) <= _CLOSE * np.abs(y)
        return (float(coefficients[0]), float(coefficients[1])) if close.all() else None

    kinds: list[Callable[[], Noise | None]] = [
        lambda: Additive((float(sd.mean()),)) if np.ptp(sd) <= _CLOSE * sd.mean() else None,
        lambda: _proportional(size, sd),
        lambda: _of_both(line(size**2, variance), True),
        lambda: _of_both(line(size, sd), False),
        lambda: _power(line(np.log(size), np.log(sd))) if size.min() > 0.0 and sd.min() > 0.0 else None,
    ]
    return next((noise for kind in kinds if (noise := kind()) is not None), None)


def _proportional(size: Floats, sd: Floats) -> Noise | None:
    if size.min() <= 0.0:
        return None
    cv = sd / size
    return Proportional((float(cv.mean()),)) if np.ptp(cv) <= _CLOSE * cv.mean() else None


def _of_both(intercept_and_slope: tuple[float, float] | None, variances: bool) -> Noise | None:
    if intercept_and_slope is None or min(intercept_and_slope) <= 0.0:
        return None
    first, second = intercept_and_slope
    return Combined((first**0.5, second**0.5)) if variances else CombinedDeviations((first, second))


def _power(intercept_and_slope: tuple[float, float] | None) -> Noise | None:
    if intercept_and_slope is None or intercept_and_slope[1] <= 0.0:
        return None
    return PowerNoise((float(np.exp(intercept_and_slope[0])), intercept_and_slope[1]))
