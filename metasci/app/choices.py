"""Of a prior that is chosen: the columns that it needs, and an example to begin with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from metasci.app.listing import choice_of
from metasci.app.sheets import Sheet
from metasci.learned.columns import columns_of
from metasci.priors.load import load

__all__ = ["blank_sheet", "columns_needed", "example_of", "of_molecules", "prior_named"]


@lru_cache(maxsize=32)
def prior_named(name: str) -> Any:
    """A prior that ships, read once: nothing changes it, so that all sessions may share it."""
    return load(choice_of(name).name)


def of_molecules(prior: Any) -> bool:
    """Whether a prior reads structures as SMILES, of which one text may hold several molecules."""
    return any(column.kind == "smiles" for column in prior.card.columns)


def columns_needed(name: str) -> list[dict[str, Any]]:
    """The columns of a table for a prior; see `metasci.learned.columns.columns_of`."""
    prior = prior_named(name)
    return columns_of(prior.model, prior.card, prior.training, prior.known_groups)


def blank_sheet(name: str, rows: int = 3) -> Sheet:
    """Empty rows under the headers that a prior needs."""
    header = tuple(each["column"] for each in columns_needed(name) if each["needed"])
    return Sheet(header, ((("",) * len(header)),) * rows)


def example_of(name: str) -> Sheet:
    """A small table to look at, made up but for theophylline's, which is the first patient of its data.

    A published prior of patients has two doses and a level; any other without a table of its own has empty rows.
    """
    if name in _EXAMPLES:
        header, *rows = (line.split(",") for line in _EXAMPLES[name].strip().splitlines())
        return Sheet(tuple(header), tuple(tuple(row) for row in rows))
    if "time" not in prior_named(name).model.inputs:
        return blank_sheet(name)
    return _course_of(name)


def _course_of(name: str) -> Sheet:
    """Two doses and a level of a patient whose properties are ordinary ones, at the level that the prior expects."""
    prior = prior_named(name)
    header = [each["column"] for each in columns_needed(name) if each["needed"]]
    time = prior.model.inputs["time"].unit
    hours = {"h": 1.0, "min": 60.0, "day": 1.0 / 24.0}[time]
    rows = []
    for at, amount, level in ((0.0, 1.0, None), (12.0, 1.0, None), (23.5, None, "?")):
        row = []
        for column in header:
            plain = column.partition(" [")[0]
            if plain == "ID":
                row.append("1")
            elif plain == "TIME":
                row.append(f"{at * hours:g}")
            elif plain == "AMT":
                row.append("" if amount is None else f"{_DOSES.get(name, 100.0):g}")
            elif plain == "DV":
                row.append("" if level is None else _LEVELS.get(name, ""))
            else:
                row.append(_ORDINARY.get(plain, "1"))
        rows.append(tuple(row))
    return Sheet(tuple(header), tuple(rows))


# ordinary values of adults, in the units of the published models' columns
_ORDINARY = {
    "creatinine_clearance [mL/min]": "90",
    "creatinine_clearance": "90",
    "weight": "70",
    "age": "50",
    "height": "172",
    "sex": "1",
    "oxygenation": "300",
    "spironolactone": "0",
    "creatinine": "80",
    "gist": "0",
    "albumin": "4",
    "antibodies": "0",
    "apgar": "7",
    "birth_weight": "2",
    "haemodialysis": "0",
    "cyp3a5_expresser": "0",
    "living_donor": "0",
    "filtration_rate": "60",
    "haematocrit": "0.33",
    "relative_creatinine": "1",
    "postmenstrual_age": "50",
    "alpha_1_acid_glycoprotein": "0.8",
    "heart_failure": "0",
}
_DOSES = {
    "amikacin_burdet_2015": 1500.0,
    "busulfan_choe_2012": 60.0,
    "digoxin_zhou_2010": 0.25,
    "imatinib_widmer_2006": 400.0,
    "infliximab_fasanmade_2009": 350.0,
    "meropenem_li_2006": 1000.0,
    "propofol": 150.0,
    "quinidine": 200.0,
    "remifentanil": 100.0,
    "tacrolimus_andrews_2017": 4.0,
    "tobramycin_hennig_2008": 300.0,
    "tobramycin_hennig_2013": 300.0,
    "vancomycin_buelga_2005": 1000.0,
    "vancomycin_goti_2018": 1000.0,
    "vancomycin_thomson_2009": 1000.0,
    "warfarin_holford": 10.0,
}
_LEVELS = {"vancomycin_goti_2018": "12"}
_EXAMPLES = {
    "steel_tempering": """
time [h],temperature [degC],hardness [HRC],carbon [percent]
1,200,55.0,0.40
1,400,45.5,0.40
2,600,30.0,0.40
""",
    "alloy_fatigue": """
cycles [Mcycle],relative_length
0.02,1.06
0.04,1.15
0.06,1.28
""",
    "theophylline": """
time [h],dose [mg/kg],concentration [mg/L],weight [kg]
0.57,4.02,6.57,79.6
3.82,4.02,8.58,79.6
12.12,4.02,5.94,79.6
""",
    "phenobarbital": """
ID,TIME [h],AMT [mg],DV [mg/L],weight [kg]
1,0,25,,1.4
1,2,,17.3,1.4
1,12.5,3.5,,1.4
1,24.5,3.5,,1.4
1,37,3.5,,1.4
""",
    "boiling_point": """
molecule,boiling_point [K]
CCCCC=O,376.1
CCCCCC=O,404.1
CCCCCCCC=O,
CCCCCCCCCC=O,
""",
    "alloy_strength": """
formula,temperature [degC],yield_strength [MPa]
NbMoTaW,25,1058
NbMoTaW,800,552
NbMoTaW,1000,
NbMoTaWV,25,1246
NbMoTaWV,1000,
""",
}
_EXAMPLES |= {
    "alloy_phases": """
electrons,phase
6.5,BCC
7.4,BCC
7.9,other
8.3,FCC
""",
    "bacteria": """
week,active,compliance,present
0,p,hi,y
2,p,hi,y
6,p,hi,n
""",
    "epilepsy": """
visit,treatment,baseline,age [year],seizures
1,placebo,30,29,9
2,placebo,30,29,7
3,placebo,30,29,11
""",
    "kidney": """
age [year],sex,time [day]
45,2,120
45,2,>60
""",
    "wine": """
temperature,contact,rating
cold,no,2
cold,yes,3
warm,no,4
""",
}
_EXAMPLES["steel_tempering_discrepancy"] = _EXAMPLES["steel_tempering"]
_EXAMPLES["alloy_fatigue_discrepancy"] = _EXAMPLES["alloy_fatigue"]
_EXAMPLES["theophylline_early_noise"] = _EXAMPLES["theophylline"]
_EXAMPLES["phenobarbital_heavy_tails"] = _EXAMPLES["phenobarbital"]
_EXAMPLES["boiling_point_averaged"] = _EXAMPLES["boiling_point"]
_EXAMPLES["boiling_point_solvation"] = _EXAMPLES["boiling_point"]
