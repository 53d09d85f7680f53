"""Publications of antibiotics: variability and residual error, as the sources print them.

The models stand in `metasci.patients.antibiotics`.
"""

from __future__ import annotations

from metasci.noise import Additive, Combined, CombinedDeviations, Proportional
from metasci.patients import antibiotics
from metasci.studies.publication import MAN_WOMAN, Publication

__all__ = ["ANTIBIOTICS"]

ANTIBIOTICS = (
    Publication(
        antibiotics.vancomycin_goti_2018,
        source="Goti V and others, Ther Drug Monit 40 (2018) 212, table 2",
        population="1,812 adults in hospital, 336 of them on intermittent haemodialysis, 2,765 concentrations",
        variability={"clearance": "39.8 %", "central_volume": "81.6 %", "peripheral_volume": "57.1 %"},
        noise=Combined((3.4, 0.227)),
        ranges={"weight": (33.0, 255.0), "creatinine_clearance": (4.0, 150.0)},
        remarks=(
            "haemodialysis is 1 for patients on intermittent haemodialysis, else 0.",
            "Cut creatinine clearance off at 150 mL/min, and serum creatinine at 1 mg/dL from below where age is "
            "above 65.",
            "Compared with posologyr's, PKPDsim's and Tucuxi's implementations, which agree in the volumes; nlmixr2lib "
            "scales the peripheral volume by weight, too.",
        ),
    ),
    Publication(
        antibiotics.vancomycin_thomson_2009,
        source="Thomson AH and others, J Antimicrob Chemother 63 (2009) 1050",
        population="398 adults in hospital, 1,557 concentrations",
        variability={
            "clearance": "sd 0.27",
            "central_volume": "sd 0.15",
            "peripheral_volume": "sd 1.30",
            "exchange_clearance": "sd 0.49",
        },
        noise=Combined((1.6, 0.15)),
        remarks=(
            "Coefficients of variation are taken for standard deviations of the logarithm, as PKPDsim takes them, "
            "which has these numbers and this effect of creatinine clearance.",
        ),
    ),
    Publication(
        antibiotics.vancomycin_buelga_2005,
        source="Buelga DS and others, Antimicrob Agents Chemother 49 (2005) 4934, table 4",
        population="215 adults with haematological malignancies, 1,004 concentrations",
        variability={"clearance": "28.16 %", "volume": "37.15 %"},
        correlation={("clearance", "volume"): 0.2312},
        noise=Additive((3.52,)),
        remarks=(
            "Compared with nlmixr2lib's and PKPDsim's implementations; PKPDsim takes the coefficients of variation for "
            "standard deviations of the logarithm and a correlation of 0.25.",
        ),
    ),
    Publication(
        antibiotics.amikacin_burdet_2015,
        source="Burdet C and others, Eur J Clin Pharmacol 71 (2015) 75",
        population="60 critically ill adults with suspected ventilator-associated pneumonia",
        variability={
            "clearance": 0.1,
            "central_volume": 0.05,
            "peripheral_volume": 0.2,
            "exchange_clearance": 0.08,
            ("clearance", "central_volume"): 0.01,
            ("clearance", "peripheral_volume"): 0.01,
            ("central_volume", "peripheral_volume"): 0.02,
            ("clearance", "exchange_clearance"): -0.06,
            ("central_volume", "exchange_clearance"): 0.004,
            ("peripheral_volume", "exchange_clearance"): 0.003,
        },
        noise=CombinedDeviations((0.2, 0.1)),
        remarks=(
            "creatinine_clearance is measured in urine of four hours; oxygenation is PaO2/FIO2 in mmHg.",
            "Compared with posologyr's vignette and tests, whose estimates of a patient it reproduces; no second "
            "implementation was found, so that the numbers rest on this one source.",
        ),
    ),
    Publication(
        antibiotics.meropenem_li_2006,
        source="Li C and others, J Clin Pharmacol 46 (2006) 1171; DDMORE DDMODEL00000213",
        population="79 adults with infections",
        variability={
            "clearance": 0.118,
            "central_volume": 0.143,
            "peripheral_volume": 0.102,
            "exchange_clearance": 0.290,
        },
        noise=Combined((0.47, 0.19)),
        remarks=("Compared with PKPDsim's, nlmixr2lib's and Tucuxi's implementations, which agree.",),
    ),
    Publication(
        antibiotics.tobramycin_hennig_2008,
        source="Hennig S, Norris R and Kirkpatrick CMJ, Br J Clin Pharmacol 65 (2008) 502, table 2",
        population="35 children of 0.5 to 17.9 years with cystic fibrosis, 318 concentrations",
        variability={"clearance": "11.70 %", "central_volume": "11.66 %", "peripheral_volume": "41.95 %"},
        correlation={
            ("clearance", "central_volume"): 0.73,
            ("clearance", "peripheral_volume"): 0.49,
            ("central_volume", "peripheral_volume"): 0.27,
        },
        noise=Proportional((0.19,)),
        ranges={"weight": (6.0, 72.6)},
        remarks=(
            "Variability of clearance between occasions (6.47 %) is left out, as nlmixr2lib leaves it out; no second "
            "source of that number was found.",
            "The lag of 0.4 h is that of the infusion set of the study.",
            "Compared with nlmixr2lib's implementation and the abstract, not with the paper's own table.",
        ),
    ),
    Publication(
        antibiotics.tobramycin_hennig_2013,
        source="Hennig S, Standing JF, Staatz CE and Thomson AH, Clin Pharmacokinet 52 (2013) 289, table 2",
        population="732 patients from infants to the old, 465 of them with cystic fibrosis",
        variability={
            "clearance": "25.9 %",
            "central_volume": "15.2 %",
            "exchange_clearance": "41.8 %",
            "peripheral_volume": "58.5 %",
        },
        correlation={
            ("clearance", "central_volume"): 0.658,
            ("clearance", "exchange_clearance"): 0.711,
            ("central_volume", "exchange_clearance"): 0.475,
        },
        noise=Proportional((0.204,)),
        remarks=(
            f"{MAN_WOMAN}; relative_creatinine is serum creatinine over what is expected for age and sex.",
            "Compared with nlmixr2lib's and Tucuxi's implementations, which agree; Tucuxi takes coefficients of "
            "variation "
            "for standard deviations of the logarithm.",
        ),
    ),
)
"""In the order in which they were added."""
