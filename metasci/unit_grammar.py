"""What a unit may look like: names, ``*``, ``/`` and small powers, in at most 60 characters.

The one grammar for headers, cards, attributes, priors and conditions: what passes is handed to pint name by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from metasci.errors import InputError

__all__ = ["declared_unit", "factors_of", "shown"]

_LONGEST = 60  # characters; no unit is longer, and a sentence shows no more
_SPELLINGS = (
    (re.compile(r"\b(wt|weight|mass|Gew|Ma|Masse)[ _.-]*(%|percent\b)"), "percent"),
    (re.compile(r"\b(at|atomic|mol|mole|At|Mol)[ _.-]*(%|percent\b)"), "atomic_percent"),
    (re.compile(r"^(s|sec|min|h|hr)\.$"), r"\1"),
    (re.compile(r"^deg(?:rees?)?\.? ?([CF])$"), r"deg\1"),
    (re.compile("√ ?m\\b"), "*m^0.5"),  # fracture toughness, MPa√m
    (re.compile(r"\^ ?(?:1/2\b|\(1/2\)|\{1/2\}|½)|½|¹[/⁄ᐟ]²"), "^0.5"),
    (re.compile("℃"), "degC"),
    (re.compile("℉"), "degF"),
    # the load and the ball do not change the scale: HV10, HV 0.5, HBW 10/3000, HRBW
    (re.compile(r"^(VHN|HVN|DPH)$"), "HV"),
    (re.compile(r"^(BHN|HBN)$"), "HB"),
    (re.compile(r"^(HRc|Rc)$"), "HRC"),
    (re.compile(r"^HV ?[\d.]*$"), "HV"),
    (re.compile(r"^HK ?[\d.]*$"), "HK"),
    (re.compile(r"^HB[WS]?( ?[\d.]+(/[\d.]+){0,2})?$"), "HB"),
    (re.compile(r"^HRB[WS]$"), "HRB"),
)
_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_DIGITS_ABOVE = "⁰¹²³⁴⁵⁶⁷⁸⁹"
# a percent sign stands alone: '%h' is no unit, though its letters are two
_NAME = rf"(?:[^\W\d_{_DIGITS_ABOVE}]|°)(?:[^\W{_DIGITS_ABOVE}])*|[%‰](?![^\W\d])"
# no power above 9 and no fraction finer than a hundredth has a meaning here
_POWER = r"-?\d(?:\.\d{1,2})?"
_FACTOR = re.compile(
    rf"(?P<name>{_NAME})"
    rf"(?:\s*(?:\*\*|\^)\s*(?P<power>{_POWER}|\(\s*{_POWER}\s*\))"
    rf"|(?P<raised>⁻?[{_DIGITS_ABOVE}])(?![⁻{_DIGITS_ABOVE}])"
    r"|(?P<minus>-\d))?"
)
_BLANKS = " \xa0"
_ONE = re.compile(r"1\s*(?:$|/)")
_NUMBERED = re.compile(r"(?P<name>[^\W\d]+)(?P<power>[2-9])")


def factors_of(text: str, known: Callable[[str], bool]) -> list[tuple[str, float]]:
    """Names and powers of a unit's factors, in order.

    Parameters
    ----------
    text : str
        Blanks multiply; a one stands before a slash only; brackets, one pair, below it.
    known : callable
        Whether a name is a unit's: of one that is not, such as mm2, the digit is a power.

    Raises
    ------
    InputError
        If the text is no unit by its looks.

    Examples
    --------
    >>> factors_of("J/(mol*K)", known=str.isalpha), factors_of("N/mm2", known=str.isalpha)
    ([('J', 1.0), ('mol', -1.0), ('K', -1.0)], [('N', 1.0), ('mm', -2.0)])
    >>> factors_of("MPa m^1/2", known=str.isalpha)
    [('MPa', 1.0), ('m', 0.5)]
    """
    if not isinstance(text, str):
        raise InputError(f"a unit is a text, such as 'mg/L', and not {str(text)[:40]!r}.")
    refused = InputError(f"'{shown(text)}' is not a unit.")
    cleaned = text.strip()
    if len(cleaned) > _LONGEST:
        raise refused
    for pattern, spelling in _SPELLINGS:
        cleaned = pattern.sub(spelling, cleaned)
    factors: list[tuple[str, float]] = []
    place, sign, in_brackets, wants_factor = 0, 1.0, False, bool(cleaned)
    while place < len(cleaned):
        character = cleaned[place]
        if character in _BLANKS:
            place += 1
        elif wants_factor and (matched := _FACTOR.match(cleaned, place)):
            power = (
                matched["power"] or matched["minus"] or (matched["raised"] or "1").translate(_SUPERSCRIPTS)
            )
            factors.append(_named(matched["name"], sign * float(power.strip("() ")), known))
            place, wants_factor = matched.end(), False
        elif wants_factor and _ONE.match(cleaned, place) and not factors:
            place, wants_factor = place + 1, False
        elif wants_factor and character == "(" and not in_brackets:
            place, in_brackets = place + 1, True
        elif wants_factor:
            raise refused
        elif character == ")" and in_brackets:
            place, in_brackets, sign = place + 1, False, 1.0
        elif character in "*·⋅" or (
            character == "/" and not in_brackets
        ):  # nobody knows what J/(mol/K) means
            sign = sign if in_brackets else -1.0 if character == "/" else 1.0
            place, wants_factor = place + 1, True
        elif cleaned[place - 1] in _BLANKS and (sign > 0.0 or in_brackets):  # but 'W/m K' has two readings
            wants_factor = True
        else:
            raise refused
    if in_brackets or wants_factor:
        raise refused
    return factors


def _named(name: str, power: float, known: Callable[[str], bool]) -> tuple[str, float]:
    """A factor; of a name such as mm2 that is no unit the number is a power."""
    numbered = _NUMBERED.fullmatch(name)
    if numbered and power in (1.0, -1.0) and not known(name):
        return numbered["name"], power * float(numbered["power"])
    return name, power


def declared_unit(unit: object, of: str) -> str:
    """A unit as it is declared; a blank one is that of a pure number.

    Raises
    ------
    InputError
        If it is no text.

    Examples
    --------
    >>> declared_unit("", "share"), declared_unit("mg/L", "level")
    ('1', 'mg/L')
    """
    if not isinstance(unit, str):
        raise InputError(
            f"{of}: its unit is a text, such as 'mg/L', or '1' for a pure number, and not {unit!r}."
        )
    return unit if unit.strip() else "1"


def shown(text: str) -> str:
    """A text in a sentence: printable, and not longer than a line.

    Examples
    --------
    >>> shown("h" + chr(0) + "min")
    'h?min'
    """
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= _LONGEST else f"{printable[:_LONGEST]}…"
