"""Measurements below a limit in a control stream: $ERROR says their probability where F_FLAG is 1.

Such measurements are told by the table here (`BLQ`, `LLOQ`), and count by the same probability, the likelihood M3. So
what $ERROR says of the others is kept, and what it says of these has to be that probability.

Source: Beal, Ways to fit a PK model with some data below the quantification limit, J Pharmacokinet Pharmacodyn 28
(2001) 481; Ahn et al., ibid. 35 (2008) 401, from whom the usual code is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.expressions import COMPARED, Expression, Statement, compiled, decided, names_in, replaced

__all__ = ["without_limits"]

_FLAG = "F_FLAG"
_DRAWS = 40
_CLOSE = 1e-6  # of probabilities to which people add 1E-8 so that their logarithm exists
_OPPOSITE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


def without_limits(
    where: str,
    after: Sequence[Statement],
    measured: str,
    epsilons: Sequence[str],
    within: NDArray[np.float64],
    codes: Collection[str],
) -> tuple[tuple[Statement, ...], bool]:
    """The statements of $ERROR for measurements that are numbers, and whether they told of others.

    Parameters
    ----------
    where : str
        To begin a sentence with.
    after : sequence of Statement
    measured : str
        The name of the measurement, Y.
    epsilons : sequence of str
    within : ndarray
        Σ.
    codes : collection of str
        Columns that tell outputs apart, by which F_FLAG may be given as well.

    Raises
    ------
    InputError
        If F_FLAG asks for more than one thing beside them, or the probability is another.
    """
    if _FLAG not in {name for name, _ in after}:
        return tuple(after), False
    flags = [formula for name, formula in after if name == _FLAG]
    asked = {_usual(each) for formula in flags for each in _conditions(formula)}
    conditions = {each for each in asked if not names_in(each) <= {*codes}}
    cases = _cases(after, conditions)
    if not cases:
        raise InputError(
            f"{where}: F_FLAG is taken where one condition gives it (IF (BLQ.EQ.1) THEN), and this does not."
        )
    numbers = [case for case in cases if _value(case, _FLAG) == 0.0]
    if not numbers or any(_value(case, measured) != _value(numbers[0], measured) for case in numbers):
        raise InputError(f"{where}: F_FLAG is not 0 in one case, so that it is not clear what is measured.")
    told = numbers[0]
    pairs = [
        pair
        for case in cases
        if case not in numbers
        for pair in _of_each_output(_value(case, measured), _value(told, measured), codes)
    ]
    if not all(a == b or _is_the_probability(a, b, epsilons, within) for a, b in pairs):
        raise InputError(
            f"{where}: where F_FLAG is not 0, {measured} is not the probability of lying below a limit, "
            "PHI((LIMIT-IPRED)/W) with the same W as above it (the likelihood M3), and nothing else is taken."
        )
    return tuple((name, formula) for name, formula in told if name != _FLAG), True


def _cases(
    after: Sequence[Statement], conditions: Collection[tuple[Any, ...]]
) -> list[tuple[Statement, ...]]:
    """The statements where a condition holds and where not, or for each number that a column is held against."""
    if len(conditions) == 1:
        (condition,) = conditions
        return [_settled(after, condition, truth) for truth in (True, False)]
    columns = {name for each in conditions for name in names_in(each)}
    numbers = {part for each in conditions for part in each[1:] if isinstance(part, float)}
    if len(columns) != 1 or len(numbers) != len(conditions):
        return []
    (column,) = columns
    return [
        tuple((name, decided(replaced(formula, {column: number}))) for name, formula in after)
        for number in sorted(numbers)
    ]


def _of_each_output(
    first: Expression, second: Expression, codes: Collection[str]
) -> list[tuple[Expression, Expression]]:
    """Both formulas for each number with which a column that tells outputs apart is compared."""
    code = next((name for name in codes if name in names_in(first) | names_in(second)), None)
    if code is None:
        return [(first, second)]
    asked = {
        part
        for each in (*_conditions(first), *_conditions(second))
        if code in each
        for part in each
        if isinstance(part, float)
    }
    other = -999.0  # where none of the conditions holds
    return [
        (decided(replaced(first, {code: number})), decided(replaced(second, {code: number})))
        for number in (*sorted(asked), other)
    ]


def _value(statements: Sequence[Statement], wanted: str) -> Expression:
    values: dict[str, Expression] = {}
    for name, formula in statements:
        values[name] = decided(replaced(formula, values))
    return values[wanted]


def _conditions(formula: Expression) -> Iterator[tuple[Any, ...]]:
    if isinstance(formula, tuple):
        if formula[0] in COMPARED:
            yield formula
        for part in formula[1:]:
            yield from _conditions(part)


def _usual(condition: tuple[Any, ...]) -> tuple[Any, ...]:
    """One of a condition and its opposite."""
    kind, *parts = condition
    return (_OPPOSITE[kind] if kind in ("ne", "ge", "gt") else kind, *parts)


def _settled(statements: Sequence[Statement], condition: Expression, truth: bool) -> tuple[Statement, ...]:
    def walked(formula: Expression) -> Expression:
        if not isinstance(formula, tuple):
            return formula
        if formula[0] in COMPARED and _usual(formula) == condition:
            return ("eq", 1.0, float((formula == condition) is truth))
        return (formula[0], *(walked(part) for part in formula[1:]))

    return tuple((name, decided(walked(formula))) for name, formula in statements)


def _is_the_probability(
    probability: Expression, measured: Expression, epsilons: Sequence[str], within: NDArray[np.float64]
) -> bool:
    """Whether a formula is Φ((limit − prediction)/sd), of a limit that is a column or a number."""
    scores = [each for each in _parts(probability) if isinstance(each, tuple) and each[0] == "normal"]
    if len(set(scores)) != 1:
        return False
    generator = torch.Generator().manual_seed(0)
    names = sorted((names_in(probability) | names_in(measured)) - {*epsilons})

    def drawn() -> torch.Tensor:
        return (0.3 * torch.randn(_DRAWS, dtype=torch.float64, generator=generator)).exp()

    values = {name: drawn() for name in names}
    errors = {name: torch.zeros(_DRAWS, dtype=torch.float64, requires_grad=True) for name in epsilons}
    level = compiled(measured)({**values, **errors})
    if not isinstance(level, torch.Tensor) or not level.requires_grad:
        return False
    slopes = torch.autograd.grad(level.sum(), list(errors.values()), allow_unused=True)
    steep = torch.stack(
        [torch.zeros(_DRAWS, dtype=torch.float64) if each is None else each for each in slopes], -1
    )
    sd = torch.einsum("pi,ij,pj->p", steep, torch.as_tensor(within), steep).sqrt()
    without = {name: torch.zeros(_DRAWS, dtype=torch.float64) for name in epsilons}
    score = compiled(scores[0][1])({**values, **without})
    whole = compiled(probability)({**values, **without})
    if not torch.allclose(whole, torch.special.ndtr(score), atol=_CLOSE, rtol=0.0):
        return False
    limit = level.detach() + score * sd.detach()
    known = [torch.ones(_DRAWS, dtype=torch.float64) * limit.mean()]
    known += [values[name] for name in names] + [values[name].log() for name in names]
    return any(torch.allclose(limit, each, rtol=_CLOSE, atol=_CLOSE) for each in known)


def _parts(formula: Expression) -> Iterator[Expression]:
    yield formula
    if isinstance(formula, tuple):
        for part in formula[1:]:
            yield from _parts(part)
