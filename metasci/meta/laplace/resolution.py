"""How small learned noise may be: no smaller than the last digit that the measurements are told with."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from metasci.meta.problem import Problem

__all__ = ["last_digit", "noise_floor", "warn_of_floor"]

_DIGITS = 12  # of double precision, that many are left after a conversion of units
_NEGLIGIBLE = 1e-6  # of the typical noise: where all digits are in use there is no rounding to tell


def last_digit(values: Tensor) -> float:
    """The greatest power of ten of which all values are multiples; zero if none of twelve digits is.

    Examples
    --------
    >>> last_digit(torch.tensor([1.25, 3.5, 20.0], dtype=torch.float64))
    0.01
    >>> last_digit(torch.tensor([0.1234567890123456789], dtype=torch.float64))
    0.0
    """
    size = float(values.abs().max()) if values.numel() else 0.0
    if not 0.0 < size < math.inf:
        return 0.0
    greatest = math.floor(math.log10(size))
    for power in range(greatest, greatest - _DIGITS, -1):
        places = values.to(torch.float64) * 10.0**-power
        if bool(((places - places.round()).abs() <= 1e-9 * places.abs().clamp(min=1.0)).all()):
            return 10.0**power
    return 0.0


def noise_floor(problem: Problem) -> Tensor:
    """Least logarithm of each noise scale, (scale,).

    Values rounded to a digit d scatter by d/√12 about what they were (Sheppard 1898), relative noise by that over the
    median size of a value. Where there is nothing to round, or a scale is neither, it is a millionth of the typical
    noise.
    """
    noise = problem.model.noise
    if not noise.gaussian:
        return problem.target.new_tensor([_NEGLIGIBLE * typical for typical in noise.typical]).log()
    seen = problem.batch.output[problem.batch.mask]
    seen = seen[torch.isfinite(seen)]
    digit = last_digit(seen) / math.sqrt(12.0)
    size = float(seen.abs().median()) if len(seen) else 0.0
    floors = [_NEGLIGIBLE * typical for typical in noise.typical]
    if len(floors) == 1 and digit > 0.0 and size > 0.0:
        floors[0] = max(floors[0], digit if noise.scales[0] == "sd" else digit / size)
    return problem.target.new_tensor(floors).log()


def warn_of_floor(problem: Problem, log_noise: Tensor) -> None:
    """Say that measurements do not scatter about the model, so that intervals are those of rounding alone."""
    if not problem.model.noise.gaussian:
        return
    held = (log_noise <= noise_floor(problem) + 1e-9).nonzero()[:, 0].tolist()
    # of several scales one may well vanish, if another says how measurements scatter
    if len(held) < len(log_noise):
        return
    scale = problem.model.noise.scales[held[0]]
    warnings.warn(
        f"the measurements do not scatter about '{problem.model.name}': the noise ({scale}) is held at "
        f"{float(log_noise[held[0]].exp()):.2g}, what rounding leaves; intervals say no more than that.",
        stacklevel=3,
    )
