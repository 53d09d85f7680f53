"""The published priors that ship, into ``models/``: ``python -m metasci.studies.published``.

Each is a model of `metasci.patients` with its variability and residual error, as its source prints them, and a card
with the source, the population, its range, and what the numbers were compared with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from metasci.files import write_atomically
from metasci.noise import Additive, Combined, CombinedDeviations, Proportional
from metasci.patients import antibiotics, other_drugs
from metasci.priors.equation import Prior
from metasci.words import number, pretty_unit, words

__all__ = ["PUBLISHED", "card_of", "main"]

_MAN_WOMAN = "sex is 1 for men and 2 for women"


def _vancomycin_goti_2018() -> Prior:
    return Prior.published(
        antibiotics.vancomycin_goti_2018, name="vancomycin_goti_2018",
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
    )  # fmt: skip


def _vancomycin_thomson_2009() -> Prior:
    return Prior.published(
        antibiotics.vancomycin_thomson_2009, name="vancomycin_thomson_2009",
        source="Thomson AH and others, J Antimicrob Chemother 63 (2009) 1050",
        population="398 adults in hospital, 1,557 concentrations",
        variability={
            "clearance": "sd 0.27", "central_volume": "sd 0.15", "peripheral_volume": "sd 1.30",
            "exchange_clearance": "sd 0.49",
        },
        noise=Combined((1.6, 0.15)),
        remarks=(
            "Coefficients of variation are taken for standard deviations of the logarithm, as PKPDsim and Tucuxi take "
            "them; both have these numbers.",
        ),
    )  # fmt: skip


def _vancomycin_buelga_2005() -> Prior:
    return Prior.published(
        antibiotics.vancomycin_buelga_2005, name="vancomycin_buelga_2005",
        source="Buelga DS and others, Antimicrob Agents Chemother 49 (2005) 4934, table 4",
        population="215 adults with haematological malignancies, 1,004 concentrations",
        variability={"clearance": "28.16 %", "volume": "37.15 %"},
        correlation={("clearance", "volume"): 0.2312},
        noise=Additive((3.52,)),
        remarks=(
            "Compared with nlmixr2lib's and PKPDsim's implementations; PKPDsim takes the coefficients of variation for "
            "standard deviations of the logarithm and a correlation of 0.25.",
        ),
    )  # fmt: skip


def _amikacin_burdet_2015() -> Prior:
    a, b, c, d = "clearance", "central_volume", "peripheral_volume", "exchange_clearance"
    return Prior.published(
        antibiotics.amikacin_burdet_2015, name="amikacin_burdet_2015",
        source="Burdet C and others, Eur J Clin Pharmacol 71 (2015) 75",
        population="60 critically ill adults with suspected ventilator-associated pneumonia",
        variability={
            a: 0.1, b: 0.05, c: 0.2, d: 0.08, (a, b): 0.01, (a, c): 0.01, (b, c): 0.02, (a, d): -0.06,
            (b, d): 0.004, (c, d): 0.003,
        },
        noise=CombinedDeviations((0.2, 0.1)),
        remarks=(
            "creatinine_clearance is measured in urine of four hours; oxygenation is PaO2/FIO2 in mmHg.",
            "Compared with posologyr's vignette and tests, whose estimates of a patient it reproduces.",
        ),
    )  # fmt: skip


def _meropenem_li_2006() -> Prior:
    return Prior.published(
        antibiotics.meropenem_li_2006, name="meropenem_li_2006",
        source="Li C and others, J Clin Pharmacol 46 (2006) 1171; DDMORE DDMODEL00000213",
        population="79 adults with infections",
        variability={
            "clearance": 0.118, "central_volume": 0.143, "peripheral_volume": 0.102, "exchange_clearance": 0.290,
        },
        noise=Combined((0.47, 0.19)),
        remarks=("Compared with PKPDsim's, nlmixr2lib's and Tucuxi's implementations, which agree.",),
    )  # fmt: skip


def _tobramycin_hennig_2008() -> Prior:
    return Prior.published(
        antibiotics.tobramycin_hennig_2008, name="tobramycin_hennig_2008",
        source="Hennig S, Norris R and Kirkpatrick CMJ, Br J Clin Pharmacol 65 (2008) 502, table 2",
        population="35 children of 0.5 to 17.9 years with cystic fibrosis, 318 concentrations",
        variability={"clearance": "11.70 %", "central_volume": "11.66 %", "peripheral_volume": "41.95 %"},
        correlation={
            ("clearance", "central_volume"): 0.73, ("clearance", "peripheral_volume"): 0.49,
            ("central_volume", "peripheral_volume"): 0.27,
        },
        noise=Proportional((0.19,)),
        ranges={"weight": (6.0, 72.6)},
        remarks=(
            "Variability of clearance between occasions (6.5 %) is left out: the model has a lag.",
            "The lag of 0.4 h is that of the infusion set of the study.",
            "Compared with nlmixr2lib's implementation and the abstract.",
        ),
    )  # fmt: skip


def _tobramycin_hennig_2013() -> Prior:
    return Prior.published(
        antibiotics.tobramycin_hennig_2013, name="tobramycin_hennig_2013",
        source="Hennig S, Standing JF, Staatz CE and Thomson AH, Clin Pharmacokinet 52 (2013) 289, table 2",
        population="732 patients from infants to the old, 465 of them with cystic fibrosis",
        variability={
            "clearance": "25.9 %", "central_volume": "15.2 %", "exchange_clearance": "41.8 %",
            "peripheral_volume": "58.5 %",
        },
        correlation={
            ("clearance", "central_volume"): 0.658, ("clearance", "exchange_clearance"): 0.711,
            ("central_volume", "exchange_clearance"): 0.475,
        },
        noise=Proportional((0.204,)),
        remarks=(
            f"{_MAN_WOMAN}; relative_creatinine is serum creatinine over what is expected for age and sex.",
            "Compared with nlmixr2lib's and Tucuxi's implementations, which agree; Tucuxi takes coefficients of "
            "variation "
            "for standard deviations of the logarithm.",
        ),
    )  # fmt: skip


def _busulfan_choe_2012() -> Prior:
    return Prior.published(
        other_drugs.busulfan_choe_2012, name="busulfan_choe_2012",
        source="Choe S and others, Korean J Physiol Pharmacol 16 (2012) 273, tables 2 and 3",
        population="60 Korean adults before haematopoietic stem cell transplantation, 295 concentrations",
        variability={"clearance": "16 %", "volume": "9 %"},
        noise=Proportional((0.063,)),
        ranges={"weight": (52.5, 116.0)},
        remarks=(f"{_MAN_WOMAN}.", "Compared with nlmixr2lib's implementation and the abstract."),
    )  # fmt: skip


def _digoxin_zhou_2010() -> Prior:
    return Prior.published(
        other_drugs.digoxin_zhou_2010, name="digoxin_zhou_2010",
        source="Zhou XD and others, Acta Pharmacol Sin 31 (2010) 753, table 7",
        population="119 Chinese inpatients of 60 to 88 years, most with heart failure, 173 concentrations",
        variability={"clearance": "49.0 %", "volume": "94.3 %"},
        noise=Additive((0.365,)),
        ranges={"weight": (34.0, 91.0), "creatinine": (36.0, 686.0)},
        remarks=(
            "spironolactone is 1 where it is taken, else 0.",
            "Clearance falls with weight, as published; the standard error of that slope is 120 %.",
            "Compared with nlmixr2lib's implementation of table 7 and the formula of the discussion.",
        ),
    )  # fmt: skip


def _imatinib_widmer_2006() -> Prior:
    return Prior.published(
        other_drugs.imatinib_widmer_2006, name="imatinib_widmer_2006",
        source="Widmer N and others, Br J Clin Pharmacol 62 (2006) 97, the model by demographic covariates",
        population="59 adults with leukaemia or gastrointestinal stromal tumours, 321 concentrations",
        variability={"clearance": "sd 0.356", "volume": "sd 0.629"},
        correlation={("clearance", "volume"): 0.799},
        noise=Proportional((0.3138,)),
        ranges={"age": (20.0, 79.0)},
        remarks=(
            f"gist is 1 for gastrointestinal stromal tumours, else 0; {_MAN_WOMAN}.",
            "Covariate coefficients are Tucuxi's (gotta2012); typical values, variability and noise agree with "
            "nlmixr2lib's "
            "to the digits that it has.",
        ),
    )  # fmt: skip


def _infliximab_fasanmade_2009() -> Prior:
    return Prior.published(
        other_drugs.infliximab_fasanmade_2009, name="infliximab_fasanmade_2009",
        source="Fasanmade AA and others, Eur J Clin Pharmacol 65 (2009) 1211, table 3",
        population="482 adults with ulcerative colitis",
        variability={"clearance": 0.131, "central_volume": 0.048},
        noise=Combined((0.0413, 0.403)),
        ranges={"weight": (36.0, 159.0)},
        remarks=(
            f"antibodies is 1 where antibodies to infliximab were found, else 0; {_MAN_WOMAN}.",
            "Compared with nlmixr2lib's implementation and the abstract.",
        ),
    )  # fmt: skip


def _phenobarbital_grasela_1985() -> Prior:
    return Prior.published(
        other_drugs.phenobarbital_grasela_1985, name="phenobarbital_grasela_1985",
        source="NONMEM's estimates in the example pheno_real (PsN, pharmpy) from the data of Grasela TH and Donn "
        "SM, Dev "
        "Pharmacol Ther 8 (1985) 374",
        population="59 newborns, 155 concentrations",
        variability={"clearance": 0.0293508, "volume": 0.0279060},
        noise=Proportional((0.0132410**0.5,)),
        ranges={"weight": (0.6, 3.6), "apgar": (1.0, 10.0)},
        remarks=(
            "Reproduces the objective function value of these data that NONMEM prints, 586.27605628, within 2e-5.",
        ),
    )  # fmt: skip


def _phenobarbital_voller_2017() -> Prior:
    return Prior.published(
        other_drugs.phenobarbital_voller_2017, name="phenobarbital_voller_2017",
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
    )  # fmt: skip


def _tacrolimus_andrews_2017() -> Prior:
    return Prior.published(
        other_drugs.tacrolimus_andrews_2017, name="tacrolimus_andrews_2017",
        source="Andrews LM and others, Clin Pharmacokinet 57 (2018) 475, table 2",
        population="46 children of 2.4 to 17.9 years, first six weeks after a kidney transplant, 722 concentrations",
        variability={
            "absorption_rate": "188 %", "clearance": "25 %", "central_volume": "69 %", "peripheral_volume": "62 %",
        },
        noise=Combined((0.28, 0.21)),
        ranges={"weight": (11.6, 83.7), "haematocrit": (0.16, 0.43)},
        remarks=(
            "cyp3a5_expresser is 1 for carriers of *1, living_donor 1 for a graft of a living donor, else 0; "
            "haematocrit is "
            "a fraction; the noise is that of LC-MS/MS.",
            "Variability between occasions (18 % of clearance, 35 % of the peripheral volume) is left out: the "
            "model has a "
            "lag.",
            "Compared with nlmixr2lib's and rcpc's implementations; rcpc does not scale volumes by weight.",
        ),
    )  # fmt: skip


def _warfarin_holford() -> Prior:
    return Prior.published(
        other_drugs.warfarin_holford, name="warfarin_holford",
        source="Nguyen THT and others, CPT Pharmacometrics Syst Pharmacol 6 (2017) 87, NONMEM's control stream for the "
        "data of O'Reilly RA and others (1963, 1968)",
        population="32 healthy adults, single doses",
        variability={"clearance": 0.0649, "volume": 0.0201, "absorption_rate": 0.447, "lag": 0.311},
        noise=Combined((0.135**0.5, 0.00478**0.5)),
        remarks=(
            "Racemic warfarin, total concentration; the response (INR) is not part of the model.",
            "Typical values agree with nlmixr's example of these data (clearance 0.135 L/h, volume 8 L) within a "
            "twentieth.",
        ),
    )  # fmt: skip


PUBLISHED: dict[str, Callable[[], Prior]] = {
    maker.__name__.removeprefix("_"): maker
    for maker in (
        _amikacin_burdet_2015, _busulfan_choe_2012, _digoxin_zhou_2010, _imatinib_widmer_2006,
        _infliximab_fasanmade_2009, _meropenem_li_2006, _phenobarbital_grasela_1985, _phenobarbital_voller_2017,
        _tacrolimus_andrews_2017, _tobramycin_hennig_2008, _tobramycin_hennig_2013, _vancomycin_buelga_2005,
        _vancomycin_goti_2018, _vancomycin_thomson_2009, _warfarin_holford,
    )
}  # fmt: skip
"""What makes each, by name."""


def card_of(prior: Prior) -> str:
    """The card of a published prior, Markdown."""
    record, model = prior.training["published"], prior.model
    rows = []
    spreads = dict(
        zip(model.parameters.names, prior.state.covariance.diagonal().sqrt().tolist(), strict=True)
    )
    for parameter in (*model.parameters, *model.fixed):
        omega = parameter.spread * spreads[parameter.name] if parameter.name in spreads else 0.0
        shown = f"{omega**2:.4g}" if omega else "fixed"
        rows.append(f"| {words(parameter.name)} | {parameter.unit} | {parameter.typical:.6g} | {shown} |")
    whom = model.individual.reference if model.individual else ""
    covariates = [
        f"- {words(name)}{f', {pretty_unit(one.unit)}' if one.unit != '1' else ''}"
        + (f": {number(prior.training['ranges'][name][0])} to {number(prior.training['ranges'][name][1])}"
           if name in prior.training["ranges"] else "")
        for name, one in model.inputs.items() if name != "time"
    ]  # fmt: skip
    noise = ", ".join(
        f"{scale} {value:.4g}" for scale, value in zip(model.noise.scales, model.noise.typical, strict=True)
    )
    return "\n".join(
        [
            f"# {prior.name}: published numbers",
            "",
            f"{model.description.partition(chr(10))[0]} Model `{model.name}`.",
            "",
            f"Source: {record['source']}.",
            "",
            f"Population: {record['population']}.",
            "",
            f"| parameter{f' of {whom}' if whom else ''} | unit | typical value | variance ω² |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Noise: {noise} ({type(model.noise).__name__}).",
            "",
            "## Covariates",
            "",
            *(covariates or ["None."]),
            "",
            "## Know before use",
            "",
            *(f"- {remark}" for remark in record["remarks"]),
            "",
            "Numbers are facts of the publication and were typed in from it or from an open implementation of "
            "it; this is "
            "research software and no medical device.",
            "",
        ]
    )


def main(folder: str | Path = "models") -> None:
    """Write every published prior and its card."""
    for name, maker in PUBLISHED.items():
        prior = maker()
        prior.save(Path(folder) / name)
        write_atomically(Path(folder) / name / "CARD.md", card_of(prior).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
