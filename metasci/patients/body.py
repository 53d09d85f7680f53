"""Sizes and functions of the body that dosing formulas are written in: fat-free mass, surface, kidneys, ripening.

Every function takes arrays of any library that `metasci.math` knows, so that it may stand inside of a covariate
formula and is differentiated with it. Sex is 1 for men and 2 for women, as in the data sets that ship.
"""

from __future__ import annotations

from typing import Any

from metasci.math import exp, log, minimum, where
from metasci.quantities import takes_quantities

__all__ = [
    "allometry",
    "body_surface",
    "body_surface_du_bois",
    "cockcroft_gault",
    "fat_free_mass",
    "ideal_body_weight",
    "maturation",
]

_FEMALE = 2.0  # the number of a category; any other is taken for male


def _by_sex(sex: Any, male: Any, female: Any) -> Any:
    blank = 0.0 * sex
    return where(sex == _FEMALE, female + blank, male + blank)


@takes_quantities(weight="kg", exponent="1", reference="kg")
def allometry(weight: Any, exponent: float = 0.75, reference: float = 70.0) -> Any:
    """(weight/reference)^exponent: 0.75 for clearances, 1 for volumes.

    Source: West, Brown and Enquist, Science 276 (1997) 122; Holford, Clin Pharmacokinet 30 (1996) 329.

    Examples
    --------
    >>> round(allometry(35.0), 4)
    0.5946
    """
    return (weight / reference) ** exponent


@takes_quantities(weight="kg", height="cm")
def fat_free_mass(weight: Any, height: Any, sex: Any) -> Any:
    """Fat-free mass in kg of a weight in kg and a height in cm.

    9270 w/(6680 + 216 b) of men and 9270 w/(8780 + 244 b) of women, b = w/h² in kg/m².

    Source: Janmahasatian and others, Clin Pharmacokinet 44 (2005) 1051, equation 12.

    Examples
    --------
    >>> import numpy as np
    >>> fat_free_mass(70.0, 176.0, np.array([1.0, 2.0])).round(2).tolist()
    [56.13, 45.4]
    """
    index = weight / (0.01 * height) ** 2
    return 9270.0 * weight / _by_sex(sex, 6680.0 + 216.0 * index, 8780.0 + 244.0 * index)


@takes_quantities(weight="kg", height="cm")
def body_surface(weight: Any, height: Any) -> Any:
    """Body surface in m², √(height·weight/3600) in cm and kg.

    Source: Mosteller, N Engl J Med 317 (1987) 1098.

    Examples
    --------
    >>> round(body_surface(70.0, 170.0), 4)
    1.8181
    """
    return (height * weight / 3600.0) ** 0.5


@takes_quantities(weight="kg", height="cm")
def body_surface_du_bois(weight: Any, height: Any) -> Any:
    """Body surface in m², 0.007184·weight^0.425·height^0.725 in kg and cm.

    Source: Du Bois and Du Bois, Arch Intern Med 17 (1916) 863.

    Examples
    --------
    >>> round(body_surface_du_bois(70.0, 170.0), 4)
    1.8097
    """
    return 0.007184 * weight**0.425 * height**0.725


@takes_quantities(height="cm")
def ideal_body_weight(height: Any, sex: Any) -> Any:
    """Ideal weight in kg: 50 (men) or 45.5 (women) and 0.91 for each centimetre above 152.4.

    Source: Devine, Drug Intell Clin Pharm 8 (1974) 650.

    Examples
    --------
    >>> import numpy as np
    >>> ideal_body_weight(176.0, np.array([1.0, 2.0])).round(2).tolist()
    [71.48, 66.98]
    """
    return _by_sex(sex, 50.0, 45.5) + 0.91 * (height - 152.4)


@takes_quantities(age="year", weight="kg", creatinine="mg/dL", most="mL/min")
def cockcroft_gault(age: Any, weight: Any, creatinine: Any, sex: Any, most: float = float("inf")) -> Any:
    """Creatinine clearance in mL/min of age in years, weight in kg and serum creatinine in mg/dL.

    (140 − age)·weight/(72·creatinine), times 0.85 in women; cut off at `most`.

    Source: Cockcroft and Gault, Nephron 16 (1976) 31.

    Examples
    --------
    >>> import numpy as np
    >>> cockcroft_gault(60.0, 72.0, 1.0, np.array([1.0, 2.0])).round(6).tolist()
    [80.0, 68.0]
    """
    clearance = (140.0 - age) * weight / (72.0 * creatinine) * _by_sex(sex, 1.0, 0.85)
    return clearance if most == float("inf") else minimum(clearance, most + 0.0 * clearance)


@takes_quantities(age="week", half="week", steepness="1")
def maturation(age: Any, half: float = 47.7, steepness: float = 3.4) -> Any:
    """age^h/(age^h + half^h): what part of its grown-up size a function has at a (postmenstrual) age.

    Source: Anderson and Holford, Annu Rev Pharmacol Toxicol 48 (2008) 303; Rhodin and others, Pediatr Nephrol 24 (2009)
    67, for the kidney's 47.7 weeks and 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> maturation(np.array([47.7, 1000.0])).round(4).tolist()
    [0.5, 1.0]
    """
    return 1.0 / (1.0 + exp(-steepness * (log(age) - log(half + 0.0 * age))))
