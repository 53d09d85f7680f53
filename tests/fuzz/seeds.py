"""Sound inputs that mutations start from: small tables of every shipped prior, cards, priors of each kind, stores."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

from .control_streams import HEAD, INTRAVENOUS, ORAL, SATURABLE

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
    "vancomycin_goti_2018": """ID,TIME,AMT [mg],RATE [mg/h],DV [mg/L],MDV,CMT,weight [kg],creatinine_clearance [mL/min],haemodialysis
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

_COLUMNS = HEAD.format(columns="WT SEX OCC")
STREAMS = (
    _COLUMNS + INTRAVENOUS.format(pk="S1 = V", error="Y = F + F*EPS(1) + EPS(2)"),
    _COLUMNS + ORAL,
    _COLUMNS + SATURABLE,
)
"""Control streams of NONMEM."""

_TIMES = (
    '<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>{}</ci><ci>{}</ci></apply></math>'
)
PETAB = {
    "problem.yaml": "format_version: 1\nparameter_file: parameters.tsv\nproblems:\n- condition_files: [conditions.tsv]\n"
    "  measurement_files: [measurements.tsv]\n  observable_files: [observables.tsv]\n  sbml_files: [model.xml]\n",
    "parameters.tsv": "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\n"
    "k\tlog10\t0.001\t10\t0.3\t1\nstart\tlin\t0\t20\t8\t1\nsigma\tlog10\t0.001\t10\t0.1\t1\nshift\tlin\t0\t1\t0.5\t0\n",
    "conditions.tsv": "conditionId\tconditionName\tA\nfirst\t\tstart\nsecond\t\t3\n",
    "observables.tsv": "observableId\tobservableFormula\tnoiseFormula\tobservableTransformation\n"
    "made\tobservableParameter1_made + 0.5*B\tnoiseParameter1_made\tlin\nleft\tA\tsigma\tlin\n",
    "measurements.tsv": "observableId\tsimulationConditionId\tmeasurement\ttime\tobservableParameters\tnoiseParameters\n"
    "made\tfirst\t1.0\t0\tshift\tsigma\nmade\tfirst\t5.1\t1\tshift\tsigma\nmade\tsecond\t3.2\t2.5\tshift\tsigma\n"
    "left\tsecond\t2.2\t1.0\t\t\n",
    "model.xml": """<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="decay">
<listOfCompartments><compartment id="box" size="2" constant="true" spatialDimensions="3"/></listOfCompartments>
<listOfSpecies>
<species id="A" compartment="box" initialConcentration="5" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/>
<species id="B" compartment="box" initialAmount="1" hasOnlySubstanceUnits="true" boundaryCondition="false" constant="false"/>
</listOfSpecies>
<listOfParameters><parameter id="k" value="1" constant="true"/>
<parameter id="speed" constant="false"/></listOfParameters>
<listOfRules><assignmentRule variable="speed">"""
    + _TIMES.format("k", "A")
    + """</assignmentRule></listOfRules>
<listOfReactions><reaction id="r" reversible="false" fast="false">
<listOfReactants><speciesReference species="A" stoichiometry="1" constant="true"/></listOfReactants>
<listOfProducts><speciesReference species="B" stoichiometry="2" constant="true"/></listOfProducts>
<kineticLaw>"""
    + _TIMES.format("box", "speed")
    + """</kineticLaw></reaction></listOfReactions></model></sbml>
""",
}
"""A PEtab problem of A → 2 B, file by file."""


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


_SHIPPED = {
    "steel_tempering": STEEL,
    "theophylline": THEOPHYLLINE,
    "alloy_fatigue": FATIGUE,
    "quinidine": QUINIDINE,
    "vancomycin_goti_2018": EVENTS["vancomycin_goti_2018"],
    "steel_tempering_discrepancy": "",
    "alloy_fatigue_discrepancy": FATIGUE,
    "theophylline_early_noise": THEOPHYLLINE,
    "phenobarbital_heavy_tails": EVENTS["phenobarbital"],
    "bacteria": "",
    "epilepsy": "",
    "kidney": "",
    "wine": "",
}
"""Priors that ship, each of another kind, with a table; without one it is of their own data."""


@functools.cache
def priors() -> dict[str, tuple[dict[str, bytes], str]]:
    """Both files of a small prior of each kind, and a table that it can be calibrated with."""
    from metasci import catalogue
    from metasci.methods import METHODS

    kept = {}
    for name, table in _SHIPPED.items():
        folder = catalogue.shipped("models") / name
        files = {file: (folder / file).read_bytes() for file in ("prior.json", "prior.safetensors")}
        kept[name] = (files, table or _own_table(name))
    for listed in METHODS:
        if listed.name != "GaussianPrior" and (listed.command or listed.name == "ANIL"):
            name = listed.command or listed.name
            kept[name] = (learned_by(name), FATIGUE)
    return kept | _of_structures() | _imported()


def learned_by(name: str) -> dict[str, bytes]:
    """Both files of a prior of crack growth that a method learned from four alloys, in a single iteration."""
    import metasci as ms
    from metasci.library import find
    from metasci.methods import METHODS

    tasks, model = ms.dataset("alloy_fatigue").select(slice(0, 4)), find("kinetics.crack_growth")
    listed = next(each for each in METHODS if name in (each.command, each.name))
    method = getattr(ms, listed.name)
    few: dict[str, Any] = {"iterations": 1} if "iterations" in method.__dataclass_fields__ else {}
    if listed.name == "ANIL":
        few["frozen"] = (model.parameters.names[0],)
    return _saved(ms.meta_calibrate(model, tasks, method(**few), seed=0))


def _of_structures() -> dict[str, tuple[dict[str, bytes], str]]:
    """A process over families, networks of graphs, and the mean of both."""
    import metasci as ms
    from metasci.learned.networks import NetworkMethod
    from metasci.learned.ways import WAYS
    from metasci.materials.architectures import Architecture
    from metasci.priors.blend import BlendPrior
    from metasci.priors.networks import NetworkPrior

    shipped = ms.load("boiling_point")
    tasks = ms.dataset("boiling_points").select([0, 1, 2])
    ways = {name: dataclasses.replace(WAYS[name], iterations=1) for name in ("Gaussian-process head",)}
    method = NetworkMethod(Architecture("smiles", width=4, layers=1), ways=ways, networks=1, parts=3, first=1)
    networks = NetworkPrior("mine", shipped.model, method, shipped.card).retrain(tasks, seed=0)
    process = dataclasses.replace(shipped.retrain(tasks.select([0, 1]), seed=0), name="mine")
    blend = BlendPrior("mine", shipped.model, shipped.card, process, networks)
    whole = {"families": process, "network": networks, "blend": blend}
    return {kind: (_saved(prior), MOLECULES) for kind, prior in whole.items()}


def _imported() -> dict[str, tuple[dict[str, bytes], str]]:
    """Priors whose equation is described as data: of a control stream, and of a PEtab problem."""
    import metasci as ms

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run1.mod").write_text(STREAMS[0])
        for file, text in PETAB.items():
            (folder / file).write_text(text)
        stream, problem = (
            ms.Prior.from_nonmem(folder / "run1.mod"),
            ms.Prior.from_petab(folder / "problem.yaml"),
        )
    doses = "ID,TIME [h],AMT [mg],RATE [mg/h],EVID,DV [mg/L]\n1,0,100,0,1,.\n1,2,.,.,0,3.1\n1,9,.,.,0,1.9\n"
    outputs = "task,time,condition,output,measurement\na,0,1,1,1.2\na,1,1,1,4.5\na,2.5,2,1,5\n"
    return {"nonmem": (_saved(stream), doses), "petab": (_saved(problem), outputs)}


def _own_table(name: str) -> str:
    """Three tasks of the data that a shipped prior was learned from."""
    import metasci as ms

    data = {"steel_tempering_discrepancy": "steel_tempering"}.get(name, name)
    prior = ms.load(name)
    tasks = ms.dataset(data, card=prior.card, model=prior.model).select(slice(0, 3))
    frame = tasks.to_frame(units=True)
    return str(frame.dropna(axis=1, how="all").to_csv(index=False))


@functools.cache
def own_line() -> dict[str, bytes]:
    """A prior of an equation of one's own, ``mine.line``, that was learned of alloys."""
    import metasci as ms

    @ms.equation(
        inputs={"cycles": "Mcycle"}, output=("relative_length", "1"), parameters=[ms.Parameter("a"), ms.Parameter("b")],
        name="mine.line",
    )  # fmt: skip
    def mine(cycles, *, a, b):  # type: ignore[no-untyped-def]
        return b + a * cycles

    tasks = ms.dataset("alloy_fatigue").select(slice(0, 5))
    return _saved(ms.meta_calibrate(mine, tasks, covariates=()))


@functools.cache
def declared() -> dict[str, bytes]:
    """A prior of the model that the card names, of which nothing was learned."""
    import metasci as ms
    from metasci.library import find

    return _saved(ms.Prior.declared(find("kinetics.avrami")))


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


@functools.cache
def checkpoint() -> bytes:
    """The file of a run of learning that was ended half-way."""
    import metasci as ms
    from metasci.library import find

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.safetensors"
        ms.meta_calibrate(find("kinetics.crack_growth"), ms.dataset("alloy_fatigue"), checkpoint=path)
        return path.read_bytes()


def run_of(content: bytes) -> dict[str, str]:
    """What a file of tensors says beside them."""
    import json

    size = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + size])["__metadata__"])


@functools.cache
def pieces() -> dict[str, bytes]:
    """Finished pieces of many calibrations, of which the last is missing."""
    import metasci as ms
    from metasci.priors import many

    tasks, kept = ms.dataset("theophylline").select(slice(0, 3)), {}
    with tempfile.TemporaryDirectory() as folder:
        assemble = many.assemble

        def ended(*_: object) -> None:
            kept.update(
                {f".many.nc.parts/{p.name}": p.read_bytes() for p in Path(folder).glob(".many.nc.parts/*.nc")}
            )
            raise KeyboardInterrupt

        many.assemble = ended
        try:
            with contextlib.suppress(KeyboardInterrupt):
                ms.load("theophylline").calibrate_many(tasks, chunk=1, out=Path(folder) / "many.nc")
        finally:
            many.assemble = assemble
    return dict(sorted(kept.items())[:2])


@functools.cache
def message() -> bytes:
    """Tensors as a site sends them."""
    import torch

    from metasci.federated.messages import packed

    plain = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)
    return packed({"tasks": plain[5], "sum": plain[:4], "products": plain[:4].reshape(2, 2)})
