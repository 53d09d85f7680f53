"""Sound inputs that mutations start from: small tables of every shipped prior, cards, priors of each kind, stores."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

STEEL = """time [h],temperature [degC],hardness [HRC],carbon [wt%],manganese [wt%]
1,200,55.0,0.40,0.85
1,400,45.5,0.40,0.85
2,600,30.0,0.40,0.85
"""
THEOPHYLLINE = """task,time [h],dose [mg/kg],concentration [mg/L],weight [kg]
ann,0.5,4.0,5.1,72
ann,2,4.0,8.3,72
ann,9,4.0,4.9,72
bob,1,3.8,7.0,80
"""
FATIGUE = """task,cycles [Mcycle],relative_length
a,0,1.0
a,0.01,1.06
a,0.03,1.17
"""
ALLOYS = """formula,temperature [degC],yield_strength [MPa]
CoCrFeNi,25,190
CoCrFeNi,400,140
CoCrFe2Ni,25,
"""
MOLECULES = """molecule,boiling_point [K]
CCCCC=O,376
CCCCCC=O,404
CCCCCCC=O,
"""
TABLES = {
    "steel_tempering": STEEL,
    "theophylline": THEOPHYLLINE,
    "alloy_fatigue": FATIGUE,
    "alloy_strength": ALLOYS,
    "boiling_point": MOLECULES,
}

QUINIDINE = """ID,TIME [h],AMT [mg],RATE [mg/h],DV [mg/L],weight [kg],alpha_1_acid_glycoprotein [g/L],creatinine_clearance,heart_failure
1,0,249,0,.,72,0.5,1,0
1,6,249,0,.,72,0.5,1,0
1,9,.,.,2.1,72,0.5,1,0
1,12,249,0,.,72,0.9,1,0
1,20,.,.,1.6,72,0.9,1,0
"""
PHENOBARBITAL = """ID,TIME [h],AMT [mg],DV [mg/L],EVID,ADDL,II [h],SS,weight [kg],apgar
1,0,25,.,1,2,12,0,1.4,7
1,2,.,17.3,0,0,0,0,1.4,7
1,48,3.5,.,1,0,0,0,1.4,7
1,60,.,20.1,0,0,0,0,1.4,7
2,0,15,.,1,0,12,1,0.9,4
2,30,.,14.0,0,0,0,0,0.9,4
"""
REMIFENTANIL = """ID,TIME [min],AMT [ug],RATE [ug/min],DV [ng/mL],weight [kg],age [year],height [cm],lean_body_mass [kg],sex
1,0,108,72,.,72,31,171,56.5,1
1,1.5,.,.,9.5,72,31,171,56.5,1
1,5,36,72,.,72,31,171,56.5,1
1,9,.,.,11.2,72,31,171,56.5,1
"""
PROPOFOL = """ID,TIME [min],AMT [mg],RATE [mg/min],EVID,DV [mg/L],weight [kg],postmenstrual_age [year],age [year],height [cm],sex,venous,opioids
kid,0,30,0,1,.,10,1.75,1,76,1,0,1
kid,5,0,0,0,2.0,10,1.75,1,76,1,0,1
kid,30,0,0,0,0.5,10,1.75,1,76,1,0,1
"""
EVENTS = {
    "quinidine": QUINIDINE,
    "phenobarbital": PHENOBARBITAL,
    "remifentanil": REMIFENTANIL,
    "propofol": PROPOFOL,
    "vancomycin_goti_2018": """ID,TIME,AMT [mg],RATE [mg/h],DV [mg/L],MDV,CMT,weight [kg],creatinine_clearance [mL/min],dialysis
1,2024-03-01 08:00,1000,1000,.,1,1,70,80,0
1,2024-03-01 19:30,.,.,9.1,0,1,70,80,0
1,2024-03-01 20:00,1000,1000,.,1,1,70,80,0
""",
}

CARD = """name = "cold"
title = "Transformed fraction, simulated"
description = "Seven alloys"
source = "simulated"
licence = "CC0-1.0"
file = "data.csv"
task = ["alloy"]
model = "kinetics.avrami"
simulated = true
minimum_rows = 2
traps = ["none"]

[columns.alloy]
role = "task"

[columns.time_s]
role = "input"
name = "time"
unit = "s"

[columns.T_K]
role = "input"
name = "temperature"
unit = "K"

[columns.X]
role = "output"
name = "fraction"
unit = "1"
limit = 0.0

[protocol]
leave_out = "alloy"
shots = [0, 1]
support = "spread"
positions = { 1 = [1] }
query = "rest"
skip = [0]
aggregate = "root_mean_square"
"""
CARD_DATA = """alloy,time_s,T_K,X
a,10,600,0.1
a,60,620,0.5
a,300,620,0.9
b,20,610,0.2
b,90,610,0.6
b,400,600,0.8
c,20,610,0.3
c,90,610,0.5
c,400,600,0.9
"""

SMILES = (
    "CCO",
    "c1ccccc1",
    "CC(=O)O",
    "C[C@H](N)C(=O)O",
    "[Na+].[Cl-]",
    "C1CC1",
    "OCC(O)CO",
    "[13CH4]",
    "C#N",
    "CC/C=C/C",
)
FORMULAS = (
    "CoCrFeNi",
    "Al0.25CoFeNi",
    "Ti-6Al-4V wt%",
    "Ti6Al4V",
    "Fe2O3",
    "NaCl",
    "Al0.5 Co1 Ni0.5",
    "W",
    "Nb-1Zr at%",
)
CIF = """data_CsCl
_cell_length_a 4.123
_cell_length_b 4.123
_cell_length_c 4.123
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m -3 m'
_symmetry_Int_Tables_number 221
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
'-x, -y, -z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cs1 Cs+ 0 0 0 1
Cl1 Cl- 0.5 0.5 0.5 1
"""


@functools.cache
def priors() -> dict[str, dict[str, bytes]]:
    """Both files of a small prior of each kind that a table of fatigue or of members can be calibrated with."""
    import metasci as ms
    from metasci import catalogue
    from metasci.methods import METHODS

    kept = {}
    for name in ("steel_tempering", "theophylline", "alloy_fatigue", "quinidine", "vancomycin_goti_2018"):
        folder = catalogue.shipped("models") / name
        kept[name] = {file: (folder / file).read_bytes() for file in ("prior.json", "prior.safetensors")}
    tasks = ms.dataset("alloy_fatigue").select(slice(0, 4))
    for listed in METHODS:
        if not listed.command or listed.name == "GaussianPrior":
            continue
        method = getattr(ms, listed.name)
        few = {"iterations": 1} if "iterations" in method.__dataclass_fields__ else {}
        learned = ms.meta_calibrate(ms.library.find("kinetics.crack_growth"), tasks, method(**few), seed=0)
        kept[listed.command] = _saved(learned)
    families = ms.dataset("boiling_points").select([0, 1])
    kept["families"] = _saved(ms.load("boiling_point").retrain(families, seed=0))
    return kept


@functools.cache
def declared() -> dict[str, bytes]:
    """A prior of the model that the card names, of which nothing was learned."""
    import metasci as ms

    return _saved(ms.Prior.declared(ms.library.find("kinetics.avrami")))


def _saved(learned: object) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        learned.save(folder)  # type: ignore[attr-defined]
        return {file: (Path(folder) / file).read_bytes() for file in ("prior.json", "prior.safetensors")}


@functools.cache
def netcdf() -> bytes:
    """Three patients as a NetCDF file of tasks."""
    import metasci as ms

    with tempfile.TemporaryDirectory() as folder:
        return (
            ms.dataset("theophylline").select(slice(0, 3)).to_netcdf(Path(folder) / "tasks.nc").read_bytes()
        )


@functools.cache
def zarr() -> dict[str, bytes]:
    """The same as a Zarr store, file by file."""
    import metasci as ms

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "tasks.zarr"
        ms.dataset("theophylline").select(slice(0, 3)).dataset.to_zarr(
            store, zarr_format=3, consolidated=False
        )
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(store.rglob("*"))
            if path.is_file()
        }
