"""Models of compartments as they are most often needed, and of the drugs whose learned priors ship."""

from __future__ import annotations

from metasci.model import Output
from metasci.noise import EarlyLogNormal, LogNormal, Proportional
from metasci.parameters import Parameter
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.effects import Category, Maturation, Power

__all__ = [
    "one_compartment",
    "one_compartment_first_order",
    "one_compartment_zero_order",
    "propofol",
    "quinidine",
    "remifentanil",
    "three_compartment",
    "three_compartment_first_order",
    "two_compartment",
    "two_compartment_first_order",
]

_SOURCE = "Source: Gibaldi and Perrier, Pharmacokinetics, 2nd ed. (1982)."

one_compartment = compartment_model(
    Structure(1),
    name="one_compartment",
    description=f"One compartment, boluses and infusions into a vein.\n\n{_SOURCE}",
)
two_compartment = compartment_model(
    Structure(2),
    name="two_compartment",
    description=f"Two compartments, boluses and infusions into a vein.\n\n{_SOURCE}",
)
three_compartment = compartment_model(
    Structure(3),
    name="three_compartment",
    description=f"Three compartments, boluses and infusions into a vein.\n\n{_SOURCE}",
)
one_compartment_first_order = compartment_model(
    Structure(1, "first-order"),
    name="one_compartment_first_order",
    description=f"One compartment, absorption of first order.\n\n{_SOURCE}",
)
two_compartment_first_order = compartment_model(
    Structure(2, "first-order"),
    name="two_compartment_first_order",
    description=f"Two compartments, absorption of first order.\n\n{_SOURCE}",
)
three_compartment_first_order = compartment_model(
    Structure(3, "first-order"),
    name="three_compartment_first_order",
    description=f"Three compartments, absorption of first order.\n\n{_SOURCE}",
)
one_compartment_zero_order = compartment_model(
    Structure(1, "zero-order"),
    name="one_compartment_zero_order",
    description=f"One compartment, absorption at an even rate.\n\n{_SOURCE}",
)


def _by_weight(exponent: float) -> Power:
    return Power("weight", "kg", 70.0, exponent)


propofol = compartment_model(
    Structure(3),
    name="propofol",
    time="min",
    output=Output("concentration", "mg/L", "plasma propofol"),
    effects={
        "clearance": [_by_weight(0.75), Maturation("postmenstrual_age", "year", 42.3 / 52.18, 9.06)],
        "central_volume": [_by_weight(1.0)],
        "peripheral_volume": [_by_weight(1.0)],
        "deep_volume": [_by_weight(1.0)],
        "exchange_clearance": [_by_weight(0.75)],
        "deep_exchange_clearance": [_by_weight(0.75)],
    },
    typical={
        "clearance": 1.8,
        "central_volume": 6.3,
        "peripheral_volume": 25.0,
        "deep_volume": 250.0,
        "exchange_clearance": 1.8,
        "deep_exchange_clearance": 1.1,
    },
    noise=EarlyLogNormal((0.2, 3.0), by="time", over=1.0),
    covariates={"weight": "kg", "age": "year", "height": "cm", "sex": "1", "venous": "1", "opioids": "1"},
    transforms={"weight": "log", "height": "log"},
    description=(
        "Propofol by boluses and infusions: three compartments with allometric weight and maturation of clearance.\n\n"
        "Weight acts with exponents 0.75 on clearances and 1 on volumes, the typical values are those of a "
        "person of 70 "
        "kg; what age, sex, height, opioids and the site of sampling do is learned. Samples of the first "
        "minute scatter "
        "more, since blood has not mixed. Source: Eleveld and others, Br J Anaesth 120 (2018) 942, for the "
        "structure, the "
        "maturation and the typical values."
    ),
)

remifentanil = compartment_model(
    Structure(3),
    name="remifentanil",
    amount="ug",
    time="min",
    output=Output("concentration", "ng/mL", "plasma remifentanil"),
    typical={
        "clearance": 2.6,
        "central_volume": 5.0,
        "peripheral_volume": 10.0,
        "deep_volume": 5.0,
        "exchange_clearance": 2.0,
        "deep_exchange_clearance": 0.08,
    },
    noise=LogNormal((0.2,)),
    covariates={"weight": "kg", "age": "year", "height": "cm", "lean_body_mass": "kg", "sex": "1"},
    transforms={"weight": "log", "height": "log", "lean_body_mass": "log"},
    description=(
        "Remifentanil by infusion: three compartments; what age, size and sex do is learned.\n\n"
        "Source: Minto and others, Anesthesiology 86 (1997) 10."
    ),
)

quinidine = compartment_model(
    Structure(1, "first-order"),
    name="quinidine",
    output=Output("concentration", "mg/L", "serum quinidine"),
    effects={
        "clearance": [
            _by_weight(0.75),
            Power(
                "alpha_1_acid_glycoprotein",
                "g/L",
                1.0,
                Parameter(
                    "glycoprotein_exponent", "1", -0.4, spread=0.1, description="of its effect on clearance"
                ),
            ),
            Category(
                "creatinine_clearance",
                "1",
                0.0,
                Parameter(
                    "renal_effect",
                    "1",
                    -0.1,
                    spread=0.1,
                    description="ln of the factor on clearance below 50 mL/min",
                ),
            ),
            Category(
                "heart_failure",
                "1",
                2.0,
                Parameter(
                    "failure_effect",
                    "1",
                    -0.1,
                    spread=0.1,
                    description="ln of the factor on clearance if severe",
                ),
            ),
        ],
        "volume": [_by_weight(1.0)],
    },
    changing=("weight", "alpha_1_acid_glycoprotein", "creatinine_clearance", "heart_failure"),
    typical={"clearance": 13.0, "volume": 220.0, "absorption_rate": 0.8},
    noise=Proportional((0.3,)),
    description=(
        "Quinidine by mouth: one compartment, absorption of first order, covariates that change during the stay.\n\n"
        "Clearance and volume are apparent (over bioavailability). Binding to alpha-1 acid glycoprotein "
        "lowers clearance, "
        "as do poor kidneys and a failing heart. Source: Verme and others, Clin Pharmacokinet 22 (1992) 468; "
        "Davidian and "
        "Giltinan, Nonlinear Models for Repeated Measurement Data (1995), section 9.3."
    ),
)
