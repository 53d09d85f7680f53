"""Write `boiling_points/data.csv` from the tables of the package `chemicals`: members of one organic family each.

    python benchmarks/export_boiling_points.py

Needs chemicals and rdkit (made with chemicals 1.5.2 and rdkit 2026.9.1). Identifier tables are split line by line:
names in them hold quotation marks, on which readers of quoted tables lose a third of the rows.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import chemicals
from rdkit import Chem

TABLES = Path(chemicals.__file__).parent
HERE = Path(__file__).parents[1] / "datasets" / "boiling_points" / "data.csv"
ELEMENTS = {"C", "H", "N", "O", "S", "F", "Cl", "Br", "I"}

# A molecule belongs to a family if exactly one of these kinds of group occurs in it, once or several times.
GROUPS = {
    "alkene": "[CX3]=[CX3]",
    "alkyne": "[CX2]#[CX2]",
    "fluoride": "[#6][F]",
    "chloride": "[#6][Cl]",
    "bromide": "[#6][Br]",
    "iodide": "[#6][I]",
    "alcohol": "[CX4][OX2H]",
    "phenol": "c[OX2H]",
    "ether": "[OD2]([#6;!$(C=O)])[#6;!$(C=O)]",
    "aldehyde": "[CX3H1,CX3H2](=O)",
    "ketone": "[#6][CX3](=O)[#6]",
    "acid": "[CX3](=O)[OX2H]",
    "ester": "[CX3](=O)[OX2][#6;!$(C=O)]",
    "anhydride": "[CX3](=O)[OX2][CX3](=O)",
    "acyl halide": "[CX3](=O)[F,Cl,Br,I]",
    "amide": "[CX3](=O)[NX3]",
    "primary amine": "[NX3H2][#6;!$(C=O)]",
    "secondary amine": "[NX3H1]([#6;!$(C=O)])[#6;!$(C=O)]",
    "tertiary amine": "[NX3H0]([#6;!$(C=O)])([#6;!$(C=O)])[#6;!$(C=O)]",
    "N-heterocycle": "[n]",
    "nitrile": "[CX2]#[NX1]",
    "nitro": "[#6][NX3+](=O)[O-]",
    "thiol": "[#6][SX2H]",
    "sulfide": "[SX2]([#6])[#6]",
    "disulfide": "[SX2][SX2]",
    "S-heterocycle": "[s]",
    "O-heterocycle": "[o]",
    "sulfonyl": "[SX4,SX3]=O",
    "isocyanate": "N=C=[O,S]",
    "nitrite": "[OX2][N]=O",
    "nitrate": "O[N+](=O)[O-]",
    "imine": "[CX3]=[NX2]",
    "azo": "N=N",
    "peroxide": "OO",
    "hydrazine": "[NX3][NX3]",
    "hydroxylamine": "[NX3][OX2]",
}
PATTERNS = {name: Chem.MolFromSmarts(pattern) for name, pattern in GROUPS.items()}


def structures() -> dict[str, str]:
    """SMILES by CAS number."""
    found: dict[str, str] = {}
    for size in ("large", "small"):
        text = (TABLES / "Identifiers" / f"chemical identifiers pubchem {size}.tsv").read_text("utf-8")
        for line in text.split("\n"):
            cells = line.split("\t")
            if len(cells) > 5:
                found.setdefault(cells[1], cells[4])
    return found


def family(molecule: Chem.Mol) -> str | None:
    """The one family of a molecule, or None."""
    if {atom.GetSymbol() for atom in molecule.GetAtoms()} - ELEMENTS:
        return None
    groups = [name for name, pattern in PATTERNS.items() if molecule.HasSubstructMatch(pattern)]
    aromatic = any(atom.GetIsAromatic() for atom in molecule.GetAtoms())
    if not groups:
        return "aromatic hydrocarbon" if aromatic else "alkane"
    return f"{'aromatic' if aromatic else 'aliphatic'} {groups[0]}" if len(groups) == 1 else None


def main() -> None:
    """Write the table and print its counts."""
    known = structures()
    rows, whole = [], 0
    with (TABLES / "Misc" / "Physical Constants of Organic Compounds.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if not row["Tb"] or row["CAS"] not in known:
                continue
            molecule = Chem.MolFromSmiles(known[row["CAS"]])
            if molecule is None or len(Chem.GetMolFrags(molecule)) > 1:
                continue
            whole += 1
            if (name := family(molecule)) is not None:
                rows.append((name, row["CAS"], Chem.MolToSmiles(molecule), row["Tb"]))
    rows.sort()
    with HERE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("family", "CAS", "smiles", "boiling_point_K"))
        writer.writerows(rows)
    sizes = Counter(name for name, *_ in rows)
    large = [count for count in sizes.values() if count >= 15]
    print(
        f"{whole} boiling points with a structure of one component; {len(rows)} in one family only, of {len(sizes)}"
    )
    print(f"{len(large)} families have at least 15 members, {sum(large)} together")


if __name__ == "__main__":
    main()
