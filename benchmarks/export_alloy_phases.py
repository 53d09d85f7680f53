"""Write `alloy_phases/data.csv` from the data of `mpea`: ``python benchmarks/export_alloy_phases.py``.

An alloy of a publication is one row however often it was measured. Valence electrons of an atom are those of Guo, Ng,
Lu and Liu, J Appl Phys 109 (2011) 103505, averaged over the alloy; alloys with an element that is not in the table, and
publications of fewer than four alloys, are left out.
"""

from __future__ import annotations

import re

import pandas as pd

from metasci import catalogue
from metasci.data.frames import csv_bytes

VALENCE = {
    "Al": 3, "B": 3, "C": 4, "Ca": 2, "Co": 9, "Cr": 6, "Cu": 11, "Fe": 8, "Ga": 3, "Hf": 4, "Li": 1, "Mg": 2,
    "Mn": 7, "Mo": 6, "N": 5, "Nb": 5, "Nd": 3, "Ni": 10, "Pd": 10, "Re": 7, "Sc": 3, "Si": 4, "Sn": 4, "Ta": 5,
    "Ti": 4, "V": 5, "W": 6, "Y": 3, "Zn": 12, "Zr": 4, "Ag": 11,
}  # fmt: skip
LEAST = 4  # alloys of a publication


def electrons(formula: str) -> float:
    """Valence electrons of an atom, averaged over the alloy; NaN where an element is not in the table."""
    parts = re.findall(r"([A-Z][a-z]?)([\d.]*)", formula)
    amounts = [(VALENCE.get(element, float("nan")), float(amount or 1.0)) for element, amount in parts]
    return sum(v * a for v, a in amounts) / sum(a for _, a in amounts)


def alloys() -> pd.DataFrame:
    """A row for each alloy of a publication."""
    raw = pd.read_csv(catalogue.shipped("datasets") / "mpea" / "data.csv")
    frame = pd.DataFrame(
        {
            "publication": raw["IDENTIFIER: Reference ID"],
            "formula": raw["FORMULA"],
            "processing": raw["PROPERTY: Processing method"],
            "phase": raw["PROPERTY: BCC/FCC/other"],
        }
    )
    frame = frame.dropna(subset="phase").drop_duplicates().sort_values("publication", kind="stable")
    frame["electrons"] = frame["formula"].map(electrons).round(4)
    frame = frame.dropna(subset="electrons")
    kept = frame[frame.groupby("publication")["phase"].transform("size") >= LEAST]
    return kept[["publication", "formula", "processing", "electrons", "phase"]]


def main() -> None:
    """Write the table, and print its counts."""
    frame = alloys()
    (catalogue.shipped("datasets") / "alloy_phases" / "data.csv").write_bytes(csv_bytes(frame))
    counts = frame["phase"].value_counts().to_dict()
    print(f"{len(frame)} alloys of {frame['publication'].nunique()} publications, {counts}")


if __name__ == "__main__":
    main()
