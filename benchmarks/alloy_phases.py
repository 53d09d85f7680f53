"""Which phase has an alloy of several principal elements? ``python benchmarks/alloy_phases.py``.

Measured alloys of the MPEA data set (datasets/mpea/dataset.toml has source and licence). Classes are face-centred
cubic, body-centred cubic and anything else or more, against the mean number of valence electrons (Guo, Ng, Lu and Liu,
J Appl Phys 109 (2011) 103505). Each publication is a task: what a laboratory calls a second phase, and how it cools, is
its own. A fifth of the publications is held out in turn, and an alloy is one row however often it was measured.
"""

from __future__ import annotations

import re

import pandas as pd

import metasci as ms
import metasci.catalogue
from metasci.evaluation.protocol import Protocol
from metasci.responses import linear_predictor

VALENCE = {
    "Al": 3, "B": 3, "C": 4, "Ca": 2, "Co": 9, "Cr": 6, "Cu": 11, "Fe": 8, "Ga": 3, "Hf": 4, "Li": 1, "Mg": 2,
    "Mn": 7, "Mo": 6, "N": 5, "Nb": 5, "Nd": 3, "Ni": 10, "Pd": 10, "Re": 7, "Sc": 3, "Si": 4, "Sn": 4, "Ta": 5,
    "Ti": 4, "V": 5, "W": 6, "Y": 3, "Zn": 12, "Zr": 4, "Ag": 11,
}  # fmt: skip
LEAST = 4  # alloys of a publication
CLASSES = ("FCC", "BCC", "other")


def electrons(formula: str) -> float:
    """Valence electrons of an atom, averaged over the alloy; NaN where an element is not in the table."""
    parts = re.findall(r"([A-Z][a-z]?)([\d.]*)", formula)
    amounts = [(VALENCE.get(element, float("nan")), float(amount or 1.0)) for element, amount in parts]
    return sum(v * a for v, a in amounts) / sum(a for _, a in amounts)


def alloys() -> pd.DataFrame:
    """A row for each alloy of a publication."""
    raw = pd.read_csv(ms.catalogue.shipped("datasets") / "mpea" / "data.csv")
    frame = pd.DataFrame(
        {
            "task": "publication " + raw["IDENTIFIER: Reference ID"].astype(str),
            "formula": raw["FORMULA"],
            "processing": raw["PROPERTY: Processing method"].astype(str),
            "outcome": raw["PROPERTY: BCC/FCC/other"],
        }
    )
    frame = frame[frame["outcome"].isin(CLASSES)].drop_duplicates().sort_values("task", kind="stable")
    frame["electrons"] = (frame["formula"].map(electrons) - 7.0) / 1.5
    frame = frame.dropna(subset="electrons")
    return frame[frame.groupby("task")["outcome"].transform("size") >= LEAST]


def main() -> None:
    """Print figures of two ways to learn, by the number of alloys of the new publication that are known."""
    model = linear_predictor(
        ["electrons"],
        noise=ms.outcomes.Categorical(classes=CLASSES),
        name="benchmarks.alloy_phase",
        spread=2.0,
    )
    frame = alloys()[["task", "electrons", "outcome"]]
    print(
        f"{len(frame)} alloys of {frame['task'].nunique()} publications; {frame['outcome'].value_counts().to_dict()}"
    )
    rule = pd.cut(
        frame["electrons"] * 1.5 + 7.0, [0.0, 6.87, 8.0, 99.0], right=False, labels=["BCC", "other", "FCC"]
    )
    print(
        f"the published rule (below 6.87 BCC, from 8.0 on FCC): {(rule == frame['outcome']).mean():.3f} right"
    )
    tasks = ms.TaskSet.from_frame(frame, ms.Card.from_model(model), model=model)
    protocol = Protocol(shots=(0, 1, 3), support="random", query="rest", aggregate="pooled")
    prior = ms.meta_calibrate(model, tasks)
    found = ms.evaluate(prior, tasks, protocol=protocol, leave_out="task", folds=5, seeds=5)
    print(found.frame.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
