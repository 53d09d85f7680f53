"""The optimum of PEtab's problem Zhao_QuantBiol2020 without metasci: its seven conditions share no parameter.

    METASCI_DATA_DIR=... python benchmarks/epidemic_by_scipy.py

Each condition is a small least-squares problem of three parameters: SciPy's LSODA solves its four equations, SciPy's
`least_squares` fits them from twelve starts, and the standard deviation is the residuals' root mean square. The sum is
the objective, −ln L, within the file's bounds.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

# as the SBML file has them: people, and at the first time those not quarantined, quarantined, and confirmed
PEOPLE = {"Wuhan": 9_010_000.0, "Hubei": 48_000_000.0, "China": 1_335_000_000.0}
BEGIN = {
    "Wuhan_Stage_I": (258, 0, 258), "Wuhan_Stage_II": (15270, 0, 2000), "Wuhan_Stage_III": (4000, 5000, 36000),
    "Hubei_Stage_I": (270, 0, 0), "Hubei_Stage_II": (5700, 1500, 1600),
    "China_Stage_I": (291, 0, 0), "China_Stage_II": (2800, 2000, 4000),
}  # fmt: skip
LOWER, UPPER = np.array([-3.0, -8.0, -8.0]), np.array([2.0, 0.0, 0.0])  # log10 of R, γ₁, γ₂


def confirmed(name: str, times: np.ndarray, log10: np.ndarray) -> np.ndarray:
    reproduction, quarantine, confirmation = 10.0**log10
    people = PEOPLE[name.split("_")[0]]

    def slope(t: float, x: np.ndarray) -> list[float]:
        infected = reproduction * quarantine * x[0] * x[1] / people
        left, told = quarantine * x[1], confirmation * x[2]
        return [-infected, infected - left, left - told, told]

    begin = [people, *map(float, BEGIN[name])]
    found = solve_ivp(slope, (0.0, times[-1]), begin, "LSODA", t_eval=times, rtol=1e-9, atol=1e-6)
    return found.y[3] if found.success else np.full(len(times), 1e9)


def main() -> None:
    folder = Path(os.environ["METASCI_DATA_DIR"]) / "petab" / "Zhao_QuantBiol2020"
    data = pd.read_csv(folder / "measurementData_training_Zhao_QuantBiol2020.tsv", sep="\t")
    nominal = pd.read_csv(folder / "parameters_Zhao_QuantBiol2020.tsv", sep="\t").set_index("parameterId")[
        "nominalValue"
    ]
    random, total, at_file = np.random.default_rng(0), 0.0, 0.0
    for condition, rows in data.groupby("simulationConditionId"):
        name = str(condition).removeprefix("model1_")
        times, seen = rows["time"].to_numpy(float), rows["measurement"].to_numpy(float)

        def off(
            log10: np.ndarray, name: str = name, times: np.ndarray = times, seen: np.ndarray = seen
        ) -> np.ndarray:
            return np.clip((confirmed(name, times, log10) - seen) / 1000.0, -1e9, 1e9)

        def objective(square: float, count: int = len(rows)) -> float:
            return count * (np.log(1000.0 * np.sqrt(square)) + 0.5 + 0.5 * np.log(2.0 * np.pi))

        place, stage = name.split("_", 1)
        own = np.log10([float(nominal[f"{key}_{stage}_{place}"]) for key in ("R", "gamma_1", "gamma_2")])
        at_file += objective(np.mean(off(own) ** 2))
        # half of the starts anywhere within the bounds, half where rates are of an ordinary size
        least = np.array([LOWER, [-1.0, -2.0, -2.0]])
        starts = [random.uniform(least[k % 2], UPPER) for k in range(12)]
        ends = [
            least_squares(off, start, bounds=(LOWER, UPPER), xtol=1e-12, ftol=1e-12, gtol=1e-12, max_nfev=200)
            for start in starts
        ]
        best = min(ends, key=lambda end: end.cost)
        total += objective(2.0 * best.cost / len(rows))
    print(f"the file's rates, each standard deviation its residuals' root mean square: {at_file:.4f}")
    print(f"the sum of the seven conditions' optima: {total:.4f}")


if __name__ == "__main__":
    main()
