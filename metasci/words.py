"""Numbers, units and durations as people read them. Light: neither torch nor matplotlib."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["duration", "enumerated", "label", "number", "pretty_unit", "suggestion", "with_unit", "words"]

_UNITS = {
    "1": "",
    "degC": "°C",
    "percent": "%",
    "Mcycle": "10⁶ cycles",
    "cycle": "cycles",
    "count": "",
    "um": "µm",
}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWER = re.compile("10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DURATIONS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


def pretty_unit(unit: str) -> str:
    """A unit as it is printed, empty for a pure number.

    Examples
    --------
    >>> [pretty_unit(text) for text in ("degC", "1", "1/s", "L/h/kg", "mg/L", "1/Mcycle")]
    ['°C', '', '1/s', 'L/(h·kg)', 'mg/L', '1/(10⁶ cycles)']
    """
    over, *under = unit.strip().replace(" ", "").split("/")
    top, bottom = _product(over), [_product(part) for part in under]
    if not bottom:
        return top
    joined = "·".join(bottom)
    compound = len(bottom) > 1 or " " in joined
    return f"{top or '1'}/{f'({joined})' if compound else joined}"


def _product(text: str) -> str:
    parts = re.split(r"(?<!\*)\*(?!\*)", text)
    powers = [part.replace("^", "**").partition("**") for part in parts]
    return "·".join(_UNITS.get(base, base) + power.translate(_RAISED) for base, _, power in powers)


def with_unit(text: str, unit: str) -> str:
    """A number, or several as they stand in a sentence, with its unit; a unit that begins with a power is a factor.

    Examples
    --------
    >>> [with_unit("0.2", unit) for unit in ("mg/L", "1", "Mcycle")], with_unit("0", "Mcycle")
    (['0.2 mg/L', '0.2', '0.2 × 10⁶ cycles'], '0 cycles')
    """
    symbol = pretty_unit(unit)
    power, _, rest = symbol.partition(" ")
    if not _POWER.fullmatch(power):
        return f"{text} {symbol}".rstrip()
    return f"{text} {rest}".rstrip() if text == "0" else f"{text} × {symbol}"


def words(name: str) -> str:
    """A name in words.

    Examples
    --------
    >>> words("activation_energy")
    'activation energy'
    """
    return name.replace("_", " ")


def label(text: str, unit: str) -> str:
    """What stands along an axis.

    Examples
    --------
    >>> label("plasma concentration", "mg/L"), label("transformed fraction", "1")
    ('plasma concentration (mg/L)', 'transformed fraction')
    """
    printed = pretty_unit(unit)
    return f"{text} ({printed})" if printed else text


def number(value: Any, digits: int = 3, trim: bool = True) -> str:
    """A number to some significant digits, with a true minus sign and no computer's exponent.

    Trailing zeros go, unless `trim` is false: in a table of estimates they say how many digits count.

    Examples
    --------
    >>> number(0.00001234), number(1e-6), number(1234.5), number(-0.5), number(float("nan"))
    ('1.23×10⁻⁵', '10⁻⁶', '1234', '−0.5', '—')
    >>> number(55.0, trim=False)
    '55.0'
    """
    if value is None or not math.isfinite(value):
        return "—" if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -3 <= exponent < 6:
        text = f"{float(value):.{max(digits - 1 - exponent, 0)}f}"
        text = text.rstrip("0").rstrip(".") if trim and "." in text else text
    else:
        mantissa, _, power = f"{float(value):.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if trim and "." in mantissa else mantissa
        power = f"10{str(int(power)).translate(_RAISED)}"
        text = {"1": power, "-1": f"-{power}"}.get(mantissa, f"{mantissa}×{power}")
    return text.replace("-", "−")


def duration(seconds: float) -> str:
    """A duration in the largest unit of which there is at least one.

    Examples
    --------
    >>> [duration(value) for value in (40, 600, 3600, 86400)]
    ['40 s', '10 min', '1 h', '24 h']
    """
    size, unit = next((pair for pair in _DURATIONS if seconds >= 0.999 * pair[0]), _DURATIONS[-1])
    return f"{number(seconds / size)} {unit}"


def enumerated(items: Sequence[str], most: int = 6) -> str:
    """Items as a list in a sentence, cut short where there are many.

    Examples
    --------
    >>> enumerated(["a", "b", "c"]), enumerated(list("abcdefgh"), most=3)
    ('a, b and c', 'a, b, c and 5 others')
    """
    if len(items) <= 1:
        return "".join(items)
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} other{'s' * (len(items) - most > 1)}"
    return f"{', '.join(items[:-1])} and {items[-1]}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """What follows an unknown name in a sentence: a question in parentheses, or nothing where no known one is like it.

    Examples
    --------
    >>> suggestion("theophyline", ["theophylline", "quinidine"]), suggestion("magic", ["theophylline"])
    (" (did you mean 'theophylline'?)", '')
    """
    # 0.75: one slip in four letters, two in eight; a looser bound suggests words that only end alike
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f" (did you mean '{close[0]}'?)" if close else ""
