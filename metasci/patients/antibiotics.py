"""Published population models of antibiotics: structure, typical values and covariate formulas.

Creatinine clearance is Cockcroft and Gault's in mL/min, not scaled to body surface; sex is 1 for men and 2 for women.
Variability and residual error stand with `metasci.studies.published`, which makes priors of these models.
"""

from __future__ import annotations

from typing import Any

from metasci.math import maximum, minimum, where
from metasci.model import Output
from metasci.patients.body import fat_free_mass
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.effects import Category, Formula, Power

__all__ = [
    "amikacin_burdet_2015",
    "meropenem_li_2006",
    "tobramycin_hennig_2008",
    "tobramycin_hennig_2013",
    "vancomycin_buelga_2005",
    "vancomycin_goti_2018",
    "vancomycin_thomson_2009",
]

_CLEARANCE = {"creatinine_clearance": "mL/min"}


def _output(drug: str) -> Output:
    return Output("concentration", "mg/L", f"serum {drug}")


vancomycin_goti_2018 = compartment_model(
    Structure(2),
    name="vancomycin_goti_2018",
    output=_output("vancomycin"),
    typical={"clearance": 4.5, "central_volume": 58.4, "peripheral_volume": 38.4, "exchange_clearance": 6.5},
    effects={
        "clearance": [
            Power("creatinine_clearance", "mL/min", 120.0, 0.8),
            Category("haemodialysis", code=1.0, times=0.7),
        ],
        "central_volume": [Power("weight", "kg", 70.0, 1.0), Category("haemodialysis", code=1.0, times=0.5)],
    },
    description=(
        "Vancomycin by infusion in adults with and without haemodialysis: two compartments.\n\n"
        "The authors cut creatinine clearance off at 150 mL/min, and serum creatinine of the old at 1 mg/dL from "
        "below. "
        "Source: Goti and others, Ther Drug Monit 40 (2018) 212, table 2, with the erratum of 2019."
    ),
)


def _thomson(*, creatinine_clearance: Any) -> Any:
    return 1.0 + 0.0154 * (creatinine_clearance - 66.0)


vancomycin_thomson_2009 = compartment_model(
    Structure(2),
    name="vancomycin_thomson_2009",
    output=_output("vancomycin"),
    typical={
        "clearance": 2.99,
        "central_volume": 0.675,
        "peripheral_volume": 0.732,
        "exchange_clearance": 2.28,
    },
    effects={
        "clearance": [
            Formula(
                function=_thomson,
                units=_CLEARANCE,
                within={"creatinine_clearance": (1.5, float("inf"))},
                of_whom="creatinine clearance 66 mL/min",
            )
        ],
        "central_volume": [Power("weight", "kg", 1.0, 1.0)],
        "peripheral_volume": [Power("weight", "kg", 1.0, 1.0)],
    },
    description=(
        "Vancomycin by infusion in adults: two compartments, volumes in proportion to weight.\n\n"
        "Source: Thomson and others, J Antimicrob Chemother 63 (2009) 1050: CL = 2.99·(1 + 0.0154·(CLCR − 66))."
    ),
)

vancomycin_buelga_2005 = compartment_model(
    Structure(1),
    name="vancomycin_buelga_2005",
    output=_output("vancomycin"),
    # of a creatinine clearance of one in L/h, and of a kilogram
    typical={"clearance": 1.08, "volume": 0.98},
    effects={
        "clearance": [Power("creatinine_clearance", "L/h", 1.0, 1.0)],
        "volume": [Power("weight", "kg", 1.0, 1.0)],
    },
    description=(
        "Vancomycin by infusion in adults with haematological malignancies: one compartment.\n\n"
        "Source: Buelga and others, Antimicrob Agents Chemother 49 (2005) 4934, table 4: CL = 1.08·CLCR, V = "
        "0.98·weight."
    ),
)

amikacin_burdet_2015 = compartment_model(
    Structure(2),
    name="amikacin_burdet_2015",
    output=_output("amikacin"),
    typical={"clearance": 4.3, "central_volume": 15.9, "peripheral_volume": 21.4, "exchange_clearance": 12.1},
    effects={
        "clearance": [Power("creatinine_clearance", "mL/min", 82.0, 0.7)],
        "central_volume": [Power("weight", "kg", 78.0, 0.9), Power("oxygenation", "mmHg", 169.0, 0.4)],
    },
    description=(
        "Amikacin by infusion in critically ill adults with ventilator-associated pneumonia: two compartments.\n\n"
        "Creatinine clearance is that of urine collected over four hours, oxygenation is PaO₂/FIO₂. Source: Burdet and "
        "others, Eur J Clin Pharmacol 71 (2015) 75."
    ),
)

meropenem_li_2006 = compartment_model(
    Structure(2),
    name="meropenem_li_2006",
    output=_output("meropenem"),
    typical={
        "clearance": 14.6,
        "central_volume": 10.8,
        "peripheral_volume": 12.6,
        "exchange_clearance": 18.6,
    },
    effects={
        "clearance": [Power("creatinine_clearance", "mL/min", 83.0, 0.62), Power("age", "year", 35.0, -0.34)],
        "central_volume": [Power("weight", "kg", 70.0, 0.99)],
    },
    description=(
        "Meropenem by infusion in adults: two compartments.\n\n"
        "Creatinine clearance is by ideal weight. Source: Li and others, J Clin Pharmacol 46 (2006) 1171; DDMORE "
        "repository, DDMODEL00000213."
    ),
)

_by_weight = {"clearance": 0.75, "exchange_clearance": 0.75, "central_volume": 1.0, "peripheral_volume": 1.0}

tobramycin_hennig_2008 = compartment_model(
    Structure(2, lag=True),
    name="tobramycin_hennig_2008",
    output=_output("tobramycin"),
    typical={
        "clearance": 6.37,
        "central_volume": 18.7,
        "peripheral_volume": 1.32,
        "exchange_clearance": 0.393,
        "lag": 0.4,
    },
    effects={name: [Power("weight", "kg", 70.0, exponent)] for name, exponent in _by_weight.items()},
    description=(
        "Tobramycin by infusion in children with cystic fibrosis: two compartments, allometric weight.\n\n"
        "The lag is that of the infusion set. Source: Hennig, Norris and Kirkpatrick, Br J Clin Pharmacol 65 "
        "(2008) 502, "
        "table 2."
    ),
)

_FAT_FREE = {"weight": "kg", "height": "cm", "sex": "1"}


def _hennig_clearance(*, weight: Any, height: Any, sex: Any, age: Any, relative_creatinine: Any) -> Any:
    older = age - 18.0
    ripening = 1.0 - 0.021 * minimum(older, 0.0 * older) - 0.010 * maximum(older, 0.0 * older)
    of_sex = where(sex == 2.0, 8.1 / 9.4 + 0.0 * sex, 1.0 + 0.0 * sex)
    return (
        of_sex * (fat_free_mass(weight, height, sex) / 70.0) ** 0.952 * ripening / relative_creatinine**0.222
    )


def _hennig_exchange(*, weight: Any, height: Any, sex: Any) -> Any:
    return (fat_free_mass(weight, height, sex) / 70.0) ** 0.952


def _hennig_volume(*, weight: Any, height: Any, sex: Any) -> Any:
    of_sex = where(sex == 2.0, 20.1 / 25.1 + 0.0 * sex, 1.0 + 0.0 * sex)
    return of_sex * fat_free_mass(weight, height, sex) / 70.0


def _hennig_peripheral(*, weight: Any, height: Any, sex: Any) -> Any:
    return fat_free_mass(weight, height, sex) / 70.0


_WHOM = "a man of 18 years with 70 kg fat-free mass"
tobramycin_hennig_2013 = compartment_model(
    Structure(2),
    name="tobramycin_hennig_2013",
    output=_output("tobramycin"),
    typical={"clearance": 9.4, "central_volume": 25.1, "peripheral_volume": 10.0, "exchange_clearance": 1.5},
    effects={
        "clearance": [
            Formula(
                function=_hennig_clearance,
                units={**_FAT_FREE, "age": "year", "relative_creatinine": "1"},
                within={"relative_creatinine": (1e-3, float("inf"))},
                of_whom=_WHOM,
            )
        ],
        "central_volume": [Formula(function=_hennig_volume, units=_FAT_FREE, of_whom=_WHOM)],
        "peripheral_volume": [Formula(function=_hennig_peripheral, units=_FAT_FREE, of_whom=_WHOM)],
        "exchange_clearance": [Formula(function=_hennig_exchange, units=_FAT_FREE, of_whom=_WHOM)],
    },
    description=(
        "Tobramycin by infusion from children to the old, with and without cystic fibrosis: two compartments.\n\n"
        "Size is fat-free mass; relative_creatinine is serum creatinine over what is expected for age and sex "
        "(Ceriotti "
        "and others, Clin Chem 54 (2008) 559). Source: Hennig and others, Clin Pharmacokinet 52 (2013) 289, table 2."
    ),
)
