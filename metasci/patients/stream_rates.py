"""Rates between compartments that TRANS5 and TRANS6 compute of the exponents of a curve.

pharmpy writes the flows of ADVAN3, 4, 11 and 12 with K and the rates back, which such a $PK does not give.

Source: Beal, Sheiner, Boeckmann and Bauer, NONMEM 7.5 Users Guides (2020), VI, ADVAN3 to ADVAN12.
"""

from __future__ import annotations

from collections.abc import Collection

from metasci.expressions import Expression, Statement

__all__ = ["rates_of_exponents"]


def rates_of_exponents(given: Collection[str], oral: bool) -> tuple[Statement, ...]:
    """Statements of the rates that follow from α, β (and γ), and from A/B or the rates back.

    Parameters
    ----------
    given : collection of str
        The names that $PK gives a value.
    oral : bool
        Whether there is a depot, so that compartments are numbered from it.

    Examples
    --------
    >>> [name for name, _ in rates_of_exponents({"AOB", "ALPHA", "BETA"}, oral=False)]
    ['K21', 'K']
    >>> rates_of_exponents({"K", "K12", "K21"}, oral=False)
    ()
    """
    if not {"ALPHA", "BETA"} <= {*given} or "K" in given:
        return ()
    second, third, out = ("K32", "K42", "K24") if oral else ("K21", "K31", "K13")
    if "AOB" in given and second not in given:
        above: Expression = ("add", ("mul", "AOB", "BETA"), "ALPHA")
        back = ((second, ("div", above, ("add", "AOB", 1.0))),)
        return (*back, ("K", ("div", ("mul", "ALPHA", "BETA"), second)))
    if "GAMMA" not in given:
        return (("K", ("div", ("mul", "ALPHA", "BETA"), second)),) if second in given else ()
    if not {second, third} <= {*given}:
        return ()
    every = ("mul", ("mul", "ALPHA", "BETA"), "GAMMA")
    pairs = ("add", ("mul", "ALPHA", "BETA"), ("mul", "GAMMA", ("add", "ALPHA", "BETA")))
    total = ("add", ("add", "ALPHA", "BETA"), "GAMMA")
    polynomial = ("add", pairs, ("mul", third, ("add", third, ("mul", -1.0, total))))
    above = ("add", polynomial, ("mul", -1.0, ("mul", "K", second)))
    return (
        ("K", ("div", every, ("mul", second, third))),
        (out, ("div", above, ("add", second, ("mul", -1.0, third)))),
    )
