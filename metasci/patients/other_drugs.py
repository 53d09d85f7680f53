"""Published population models of other drugs: structure, typical values and covariate formulas.

Sex is 1 for men and 2 for women. Variability and residual error stand with `metasci.studies.published`, which makes
priors of these models.
"""

from __future__ import annotations

from typing import Any

from metasci.math import minimum, where
from metasci.model import Output
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.effects import Category, Formula, Linear, Power, Threshold

__all__ = [
    "busulfan_choe_2012",
    "digoxin_zhou_2010",
    "imatinib_widmer_2006",
    "infliximab_fasanmade_2009",
    "phenobarbital_grasela_1985",
    "phenobarbital_voller_2017",
    "tacrolimus_andrews_2017",
    "warfarin_holford",
]

_WEIGHT = {"weight": "kg"}

busulfan_choe_2012 = compartment_model(
    Structure(1),
    name="busulfan_choe_2012",
    output=Output("concentration", "mg/L", "plasma busulfan"),
    typical={"clearance": 7.6, "volume": 32.2},
    effects={
        "clearance": [Power("weight", "kg", 65.0, 0.5)],
        "volume": [Power("weight", "kg", 65.0, 0.5), Category("sex", code=2.0, times=1.0 / 1.105)],
    },
    description=(
        "Busulfan by infusion in Korean adults before transplantation: one compartment.\n\n"
        "Volume is a man's, 10.5 % above a woman's. Source: Choe and others, Korean J Physiol Pharmacol 16 (2012) 273, "
        "tables 2 and 3."
    ),
)

digoxin_zhou_2010 = compartment_model(
    Structure(1, "first-order"),
    name="digoxin_zhou_2010",
    output=Output("concentration", "ug/L", "serum digoxin"),
    typical={"clearance": 5.9, "volume": 550.0, "absorption_rate": 1.63},
    effects={
        "clearance": [
            Category("spironolactone", code=1.0, times=1.0 - 0.412),
            Linear("weight", "kg", 62.9, -0.0101),
            Linear("creatinine", "umol/L", 126.8, -0.00120),
        ]
    },
    description=(
        "Digoxin by mouth in old Chinese patients: one compartment, absorption of first order, doses in mg.\n\n"
        "Clearance and volume are apparent. Source: Zhou and others, Acta Pharmacol Sin 31 (2010) 753, table 7."
    ),
)


def _widmer_clearance(*, weight: Any, age: Any, sex: Any, gist: Any) -> Any:
    man = where(sex == 2.0, -1.0 + 0.0 * sex, 1.0 + 0.0 * sex)
    path = where(gist == 1.0, 1.0 + 0.0 * gist, -1.0 + 0.0 * gist)
    size, years = (weight - 70.0) / 70.0, (age - 50.0) / 50.0
    return (14.3 + 5.42 * size + 1.49 * man - 5.81 * years - 0.806 * path) / 14.3


def _widmer_volume(*, sex: Any) -> Any:
    return (347.0 + 46.2 * where(sex == 2.0, -1.0 + 0.0 * sex, 1.0 + 0.0 * sex)) / 347.0


imatinib_widmer_2006 = compartment_model(
    Structure(1, "first-order"),
    name="imatinib_widmer_2006",
    output=Output("concentration", "ng/mL", "plasma imatinib"),
    typical={"clearance": 14.3, "volume": 347.0, "absorption_rate": 0.609},
    effects={
        "clearance": [
            Formula(
                function=_widmer_clearance,
                units={"weight": "kg", "age": "year", "sex": "1", "gist": "1"},
                of_whom="70 kg, 50 years, midway between the sexes and diagnoses",
            )
        ],
        "volume": [Formula(function=_widmer_volume, units={"sex": "1"})],
    },
    description=(
        "Imatinib by mouth in adults with leukaemia or gastrointestinal stromal tumours (gist 1): one compartment, "
        "absorption of first order.\n\n"
        "Clearance and volume are apparent. Source: Widmer and others, Br J Clin Pharmacol 62 (2006) 97, the model by "
        "demographic covariates."
    ),
)

infliximab_fasanmade_2009 = compartment_model(
    Structure(2),
    name="infliximab_fasanmade_2009",
    time="day",
    output=Output("concentration", "ug/mL", "serum infliximab"),
    typical={
        "clearance": 0.407,
        "central_volume": 3.29,
        "peripheral_volume": 4.13,
        "exchange_clearance": 7.14,
    },
    effects={
        "clearance": [
            Power("albumin", "g/dL", 4.1, -1.54),
            Category("antibodies", code=1.0, times=1.471),
            Category("sex", code=2.0, times=1.0 - 0.236),
        ],
        "central_volume": [Power("weight", "kg", 77.0, 0.538), Category("sex", code=2.0, times=1.0 - 0.137)],
    },
    description=(
        "Infliximab by infusion in adults with ulcerative colitis: two compartments.\n\n"
        "antibodies is 1 where antibodies to infliximab were found. Source: Fasanmade and others, Eur J Clin Pharmacol "
        "65 (2009) 1211, table 3."
    ),
)

phenobarbital_grasela_1985 = compartment_model(
    Structure(1),
    name="phenobarbital_grasela_1985",
    output=Output("concentration", "mg/L", "plasma phenobarbital"),
    typical={"clearance": 0.00469555, "volume": 0.984258},
    effects={
        "clearance": [Power("weight", "kg", 1.0, 1.0)],
        "volume": [Power("weight", "kg", 1.0, 1.0), Threshold("apgar", at=5.0, below=1.15892)],
    },
    description=(
        "Phenobarbital by bolus in newborns: one compartment in proportion to weight.\n\n"
        "Source of the data: Grasela and Donn, Dev Pharmacol Ther 8 (1985) 374; of the numbers: NONMEM's estimates "
        "(FOCE with interaction) in the example pheno_real of PsN and pharmpy."
    ),
)

phenobarbital_voller_2017 = compartment_model(
    Structure(1, "first-order", bioavailability=True),
    name="phenobarbital_voller_2017",
    output=Output("concentration", "mg/L", "serum phenobarbital"),
    typical={"clearance": 0.00909, "volume": 2.38, "absorption_rate": 50.0, "bioavailability": 0.594},
    effects={
        "clearance": [Linear("age", "day", 4.5, 0.0533), Linear("birth_weight", "kg", 2.59, 0.369)],
        "volume": [Linear("weight", "kg", 2.70, 0.309)],
    },
    description=(
        "Phenobarbital into a vein (compartment 2) and by mouth in newborns: one compartment.\n\n"
        "Source: Voller and others, Eur J Pharm Sci 109S (2017) S90; DDMORE repository, DDMODEL00000256."
    ),
)


def _haematocrit(*, haematocrit: Any) -> Any:
    return minimum(haematocrit / 0.3, 1.0 + 0.0 * haematocrit) ** -0.44


tacrolimus_andrews_2017 = compartment_model(
    Structure(2, "first-order", lag=True),
    name="tacrolimus_andrews_2017",
    output=Output("concentration", "ng/mL", "whole-blood tacrolimus"),
    typical={
        "clearance": 50.5,
        "central_volume": 206.0,
        "peripheral_volume": 1520.0,
        "exchange_clearance": 114.0,
        "absorption_rate": 0.56,
        "lag": 0.37,
    },
    effects={
        "clearance": [
            Power("weight", "kg", 70.0, 0.75),
            Formula(
                function=lambda *, cyp3a5_expresser: where(
                    cyp3a5_expresser == 1.0, 1.98 + 0.0 * cyp3a5_expresser, 1.04 + 0.0 * cyp3a5_expresser
                ),
                units={"cyp3a5_expresser": "1"},
            ),
            Category("living_donor", code=1.0, times=0.74),
            Power("filtration_rate", "mL/min", 69.0, 0.19),
            Formula(
                function=_haematocrit,
                units={"haematocrit": "1"},
                within={"haematocrit": (1e-3, 1.0)},
                of_whom="haematocrit 0.3 or above",
            ),
        ],
        "central_volume": [Power("weight", "kg", 70.0, 1.0)],
        "peripheral_volume": [Power("weight", "kg", 70.0, 1.0)],
        "exchange_clearance": [Power("weight", "kg", 70.0, 0.75)],
    },
    description=(
        "Tacrolimus by mouth in children in the first weeks after a kidney transplant: two compartments, absorption of "
        "first order after a lag.\n\n"
        "Clearances and volumes are apparent; filtration_rate is the estimated rate for 1.73 m². Source: Andrews and "
        "others, Clin Pharmacokinet 57 (2018) 475, table 2."
    ),
)

# the publication has the half-life of absorption, 0.944 h
_LN_2 = 0.6931471805599453
warfarin_holford = compartment_model(
    Structure(1, "first-order", lag=True),
    name="warfarin_holford",
    output=Output("concentration", "mg/L", "plasma warfarin"),
    typical={"clearance": 0.131, "volume": 8.06, "absorption_rate": _LN_2 / 0.944, "lag": 1.03},
    effects={"clearance": [Power("weight", "kg", 70.0, 0.75)], "volume": [Power("weight", "kg", 70.0, 1.0)]},
    description=(
        "Warfarin (racemic) by mouth in adults: one compartment, absorption of first order after a lag.\n\n"
        "Source of the data: O'Reilly and others, J Clin Invest 42 (1963) 1542 and Circulation 38 (1968) 169; of the "
        "numbers: Nguyen and others, CPT Pharmacometrics Syst Pharmacol 6 (2017) 87, NONMEM's control stream."
    ),
)
