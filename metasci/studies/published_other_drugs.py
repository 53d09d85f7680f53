"""Publications of other drugs: variability and residual error, as the sources print them.

The models stand in `metasci.patients.other_drugs`.
"""

from __future__ import annotations

from metasci.noise import Additive, Combined, Proportional
from metasci.patients import other_drugs
from metasci.studies.publication import MAN_WOMAN, Publication

__all__ = ["OTHER_DRUGS"]

OTHER_DRUGS = (
    Publication(
        other_drugs.busulfan_choe_2012,
        source="Choe S and others, Korean J Physiol Pharmacol 16 (2012) 273, tables 2 and 3",
        population="60 Korean adults before haematopoietic stem cell transplantation, 295 concentrations",
        variability={"clearance": "16 %", "volume": "9 %"},
        noise=Proportional((0.063,)),
        ranges={"weight": (52.5, 116.0)},
        remarks=(
            f"{MAN_WOMAN}.",
            "Compared with nlmixr2lib's implementation and the abstract, not with the paper's own tables.",
        ),
    ),
    Publication(
        other_drugs.digoxin_zhou_2010,
        source="Zhou XD and others, Acta Pharmacol Sin 31 (2010) 753, table 7",
        population="119 Chinese inpatients of 60 to 88 years, most with heart failure, 173 concentrations",
        variability={"clearance": "49.0 %", "volume": "94.3 %"},
        noise=Additive((0.365,)),
        ranges={"weight": (34.0, 91.0), "creatinine": (36.0, 686.0)},
        remarks=(
            "spironolactone is 1 where it is taken, else 0.",
            "Clearance falls with weight, as published; the standard error of that slope is 120 %.",
            "Compared with nlmixr2lib's implementation of table 7 and the formula of the discussion; the effects of "
            "covariates rest on that one source.",
        ),
    ),
    Publication(
        other_drugs.imatinib_widmer_2006,
        source="Widmer N and others, Br J Clin Pharmacol 62 (2006) 97, the model by demographic covariates",
        population="59 adults with leukaemia or gastrointestinal stromal tumours, 321 concentrations",
        variability={"clearance": "sd 0.356", "volume": "sd 0.629"},
        correlation={("clearance", "volume"): 0.799},
        noise=Proportional((0.3138,)),
        ranges={"age": (20.0, 79.0)},
        remarks=(
            f"gist is 1 for gastrointestinal stromal tumours, else 0; {MAN_WOMAN}.",
            "Covariate coefficients are Tucuxi's (gotta2012); typical values, variability and noise agree with "
            "nlmixr2lib's "
            "to the digits that it has; the effects of covariates rest on the one source.",
        ),
    ),
    Publication(
        other_drugs.infliximab_fasanmade_2009,
        source="Fasanmade AA and others, Eur J Clin Pharmacol 65 (2009) 1211, table 3",
        population="482 adults with ulcerative colitis",
        variability={"clearance": 0.131, "central_volume": 0.048},
        noise=Combined((0.0413, 0.403)),
        ranges={"weight": (36.0, 159.0)},
        remarks=(
            f"antibodies is 1 where antibodies to infliximab were found, else 0; {MAN_WOMAN}.",
            "Compared with nlmixr2lib's implementation and the abstract, not with the paper's own table.",
        ),
    ),
    Publication(
        other_drugs.phenobarbital_grasela_1985,
        source="NONMEM's estimates in the example pheno_real (PsN, pharmpy) from the data of Grasela TH and Donn "
        "SM, Dev "
        "Pharmacol Ther 8 (1985) 374",
        population="59 newborns, 155 concentrations",
        variability={"clearance": 0.0293508, "volume": 0.0279060},
        noise=Proportional((0.0132410**0.5,)),
        ranges={"weight": (0.6, 3.6), "apgar": (1.0, 10.0)},
        remarks=(
            "Reproduces the objective function value of these data that NONMEM prints, 586.27605628521, within 2e-8.",
        ),
    ),
    Publication(
        other_drugs.phenobarbital_voller_2017,
        source="Voller S and others, Eur J Pharm Sci 109S (2017) S90; DDMORE DDMODEL00000256",
        population="53 preterm and term newborns, 229 concentrations",
        variability={"clearance": 0.0898, "volume": 0.0504},
        noise=Proportional((0.0258**0.5,)),
        remarks=(
            "age is days since birth; doses into a vein are of compartment 2.",
            "The numbers are those of DDMORE's run on the real data; rcpc's implementation has the same typical "
            "values to "
            "their digits, variances of 0.086 and 0.049, and takes the variance of the noise for its standard "
            "deviation.",
        ),
    ),
    Publication(
        other_drugs.tacrolimus_andrews_2017,
        source="Andrews LM and others, Clin Pharmacokinet 57 (2018) 475, table 2",
        population="46 children of 2.4 to 17.9 years, first six weeks after a kidney transplant, 722 concentrations",
        variability={
            "absorption_rate": "188 %",
            "clearance": "25 %",
            "central_volume": "69 %",
            "peripheral_volume": "62 %",
        },
        noise=Combined((0.28, 0.21)),
        ranges={"weight": (11.6, 83.7), "haematocrit": (0.16, 0.43)},
        remarks=(
            "cyp3a5_expresser is 1 for carriers of *1, living_donor 1 for a graft of a living donor, else 0; "
            "haematocrit is "
            "a fraction; the noise is that of LC-MS/MS.",
            "Variability between occasions (18 % of clearance, 35 % of the peripheral volume) is left out, as "
            "nlmixr2lib leaves it out; no second source of these numbers was found.",
            "Compared with nlmixr2lib's and rcpc's implementations; rcpc does not scale volumes by weight.",
        ),
    ),
    Publication(
        other_drugs.warfarin_holford,
        source="Nguyen THT and others, CPT Pharmacometrics Syst Pharmacol 6 (2017) 87, NONMEM's control stream for the "
        "data of O'Reilly RA and others (1963, 1968)",
        population="32 healthy adults, single doses",
        variability={"clearance": 0.0649, "volume": 0.0201, "absorption_rate": 0.447, "lag": 0.311},
        noise=Combined((0.135**0.5, 0.00478**0.5)),
        remarks=(
            "Racemic warfarin, total concentration; the response (INR) is not part of the model.",
            "That the control stream belongs to this paper is inferred: it names the data only. Another one of these "
            "data in the repository of the paper's group (isoplinks/model_evaluation_continuous) has a clearance of "
            "0.131 L/h, a volume of 8.17 L, and variances of 0.0666 and 0.0185.",
            "Typical values agree with nlmixr's example of these data (clearance 0.135 L/h, volume 8 L) within a "
            "twentieth.",
        ),
    ),
)
"""In the order in which they were added."""
