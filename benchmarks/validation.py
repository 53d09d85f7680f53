"""What docs/validation.md says: estimates against other programs, doses against closed forms, searches against SciPy.

    python benchmarks/validation.py programs     # NONMEM, Monolix, posologyr
    python benchmarks/validation.py events       # event handling
    python benchmarks/validation.py wide 300 2.0 # patients, ω², and a seed if another than 5
    python benchmarks/validation.py petab NAME   # a public problem under METASCI_DATA_DIR/petab
    python benchmarks/validation.py optimum NAME 20
    python benchmarks/validation.py vancomycin   # posologyr's case study
    python benchmarks/validation.py cptpsp FOLDER 003 101 901   # mapbayr's simulated patients, where you have the files

The last ones take minutes. The files that pharmpy carries are read where it is installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from scipy.optimize import minimize

import metasci as ms
from metasci.fits.objective import objective_function
from metasci.patients import Structure

TESTS = Path(__file__).resolve().parent.parent / "tests"
ORAL = {"clearance": "4 L/h", "volume": "70 L", "absorption_rate": "1 1/h"}


# mapbayr's first validation model as NONMEM 7.4 has it (run001.phi of that package): doses, levels; η and objective
NONMEM_001 = {
    "1": (1e4, [1.5, 4.4, 7.1, 24.6], [91.2904, 110.826, 79.384, 20.6671],
          [4.05058386e-1, 7.28505976e-2, -7.49540941e-2], 27.967767051231519),
    "2": (1e4, [25.9], [45.1629], [-1.45364976e-1, 2.40587840e-2, -6.18814556e-3], 6.7164157151717241),
    "3": (1e4, [215, 216, 221, 222.6], [7.79911, 6.7926, 96.7771, 72.8342],
          [7.67680982e-1, -1.39206821e-1, 8.21537434e-2], 23.269101579198335),
    "8": (3e4, [232.4], [239.501], [2.66508767e-2, -7.04240138e-3, 1.23001684e-3], 10.191383106145331),
}  # fmt: skip


def table(times: list[float], values: list[float], dose: float, **columns: object) -> pd.DataFrame:
    rows = [{"ID": "a", "TIME": 0.0, "AMT": dose, "EVID": 1, "DV": "."}]
    rows += [
        {"ID": "a", "TIME": t, "AMT": 0.0, "EVID": 0, "DV": v} for t, v in zip(times, values, strict=True)
    ]
    return pd.DataFrame([{**row, **columns} for row in rows])


def etas(fit: ms.Calibration) -> np.ndarray:
    return fit.adapted.coordinates.numpy() * [each.spread for each in fit.prior.model.parameters]


def programs() -> None:
    noise = ms.Proportional((0.05**0.5,))
    fifth = dict.fromkeys(ORAL, 0.2)
    first = ms.Prior.published(
        Structure(1, "first-order"), typical=ORAL, variability=fifth, noise=noise, source="ex001"
    )
    data = table([1.5, 4.4, 7.1, 24.6], [91.2904, 110.826, 79.384, 20.6671], 10000.0)
    told = [0.405058, 0.0728506, -0.0749541]
    print(f"ex001 of mapbayr, NONMEM's etas: {np.abs(etas(first.calibrate(data))[0] - told).max():.1e}")
    frames = []
    for name, (dose, times, levels, *_) in NONMEM_001.items():
        frame = table(times, levels, dose, ADDL=0, II=0.0).assign(ID=name)
        later = frame.iloc[:1].assign(TIME=72.0, ADDL=6, II=24.0)
        frames.append(pd.concat([frame, later]).sort_values("TIME", kind="stable"))
    fit = first.calibrate(pd.concat(frames, ignore_index=True))
    told = np.array([each[3] for each in NONMEM_001.values()])
    objective = np.array([each[4] for each in NONMEM_001.values()])
    print(f"mapbayr's model 001, NONMEM's 12 etas of four patients: {np.abs(etas(fit) - told).max():.1e}")
    off = np.abs(objective_function(fit).to_numpy() - objective).max()
    print(f"mapbayr's model 001, NONMEM's objective of four patients: {off:.1e}")
    lag = ms.Prior.published(
        Structure(1, "first-order", lag=True), typical={**ORAL, "lag": "60 min"}, variability={**fifth, "lag": 0.2},
        noise=noise, source="posologyr",
    )  # fmt: skip
    data = table([1.5, 4.4, 7.1, 24.6], [67.4275, 115.4490, 83.7768, 21.8323], 10000.0)
    told = [0.396186, 0.037017, 0.082508, -0.09676]
    print(
        f"posologyr's example with a lag, its etas: {np.abs(etas(lag.calibrate(data))[0] - told).max():.1e}"
    )
    data = table([1.0, 6.0], [58.0, 14.0], 2000.0, RATE=0.0)
    data.loc[0, "RATE"] = 4000.0
    data = data.assign(**{"creatinine_clearance [mL/min]": 50, "weight [kg]": 62, "oxygenation [mmHg]": 169})
    told = [0.449952188793169, 0.273058665000001, 0.70615858706018, -0.138843]
    found = etas(ms.load("amikacin_burdet_2015").calibrate(data))[0]
    print(f"amikacin (Burdet 2015), posologyr's and Monolix' etas: {np.abs(found - told).max():.1e}")
    import pharmpy.internals

    folder = Path(pharmpy.internals.__file__).parent / "example_models"
    prior = ms.Prior.from_nonmem(folder / "pheno.mod")
    frame = pd.read_csv(folder / "pheno.dta", sep=r"\s+")
    frame.attrs["units"] = {"WGT": "kg"}
    fit = prior.calibrate(frame)
    printed = pd.read_csv(folder / "pheno.phi", sep=r"\s+", skiprows=1)
    off = np.abs(etas(fit) - printed[["ETA(1)", "ETA(2)"]].to_numpy()).max()
    print(f"pheno_real (pharmpy), NONMEM's 118 etas, printed to six digits: {off:.1e}")
    total, each = objective_function(fit).sum(), objective_function(fit).to_numpy()
    print(
        f"pheno_real, objective: {total:.8f}, NONMEM's 586.27605629, apart {abs(total - 586.27605628520962):.1e}"
    )
    print(f"pheno_real, objective of each of 59 patients: {np.abs(each - printed['OBJ']).max():.1e}")


def events() -> None:
    scenarios = module(TESTS / "test_event_scenarios.py")
    several = {name: (*scenarios.SCENARIOS[name], {}) for name in scenarios.SCENARIOS}
    lagged = Structure(1, "first-order", lag=True)
    several |= {name: (lagged, *scenarios.LAGGED[name], {"lag": 7.5}) for name in scenarios.LAGGED}
    for name, (structure, doses, expected, options) in several.items():
        off = [
            np.abs(
                scenarios.predicted(
                    scenarios.events(*doses), structure, changing, absorption_rate=scenarios.KA, **options
                )
                - expected
            ).max()
            / expected.max()
            for changing in (False, True)
        ]
        print(f"{name}: {off[0]:.1e} by closed forms, {off[1]:.1e} along the records")


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def wide(count: int, variance: float, seed: int = 5) -> None:
    """Patients of a population that varies much: the estimate against the best of many searches."""
    random = np.random.default_rng(seed)
    times = np.array([1.5, 4.4, 7.1, 24.6])
    prior = ms.Prior.published(
        Structure(1, "first-order"), typical=ORAL, variability=dict.fromkeys(ORAL, variance), source="simulated",
        noise=ms.Proportional((0.05**0.5,)),
    )  # fmt: skip

    def curve(eta: np.ndarray) -> np.ndarray:
        clearance, volume, speed = np.exp(eta) * [4.0, 70.0, 1.0]
        rate = clearance / volume
        return 1e4 / volume * speed / (speed - rate) * (np.exp(-rate * times) - np.exp(-speed * times))

    drawn = random.normal(size=(count, 3)) * variance**0.5
    seen = np.array([np.abs(curve(eta) * (1.0 + 0.05**0.5 * random.normal(size=4))) for eta in drawn])
    frames = [table(times.tolist(), list(values), 1e4).assign(ID=str(k)) for k, values in enumerate(seen)]
    fit = prior.calibrate(pd.concat(frames, ignore_index=True))

    def cost(eta: np.ndarray, values: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            f = curve(eta)
            found = 0.5 * (eta**2).sum() / variance
            found += (0.5 * (values - f) ** 2 / (0.05 * f**2) + np.log(np.abs(f))).sum()
        return float(found) if np.isfinite(found) else 1e10

    starts = [np.zeros(3), [0, 0, 1.5], [0, 0, -1.5], [1.5, 0, 0], [0, 1.5, 0]]
    worse, most = 0, 0.0
    for own, eta, values in zip(etas(fit), drawn, seen, strict=True):
        best = min(minimize(cost, start, args=(values,), method="BFGS").fun for start in (*starts, eta))
        gap = cost(own, values) - best
        worse, most = worse + (gap > 1e-3), max(most, gap)
    flagged = int((~fit.adapted.converged).sum())
    drawn_from = f"ω² = {variance:g}, seed {seed}"
    print(f"{drawn_from}: {worse} of {count} worse by more than 1e-3 (worst {most:.1e}); {flagged} flagged")


def vancomycin() -> None:
    """The patient of posologyr's case study, whose estimates that vignette prints where it is built."""
    from scipy.integrate import solve_ivp

    typical = {"clearance": "4.5 L/h", "central_volume": "58.4 L", "peripheral_volume": "38.4 L"}
    spread = np.array([0.147, 0.510, 0.282])
    prior = ms.Prior.published(
        Structure(2), name="goti", source="posologyr", typical={**typical, "exchange_clearance": "6.5 L/h"},
        variability=dict(zip(typical, spread, strict=True)), noise=ms.CombinedDeviations((3.4, 0.227)),
        covariates={"clearance": ms.patients.Power("creatinine_clearance", "mL/min", 120, 0.8)},
    )  # fmt: skip
    data = pd.DataFrame(
        {"ID": 1, "TIME": [0.0, 13.0, 24.2, 48.0], "DV": [".", 12, ".", 10.5], "AMT": [2000, 0, 1400, 0]}
    ).assign(DUR=[2, 0, 2, 0], EVID=[1, 0, 1, 0], **{"creatinine_clearance [mL/min]": 65.0})
    here = etas(prior.calibrate(data))[0][[0, 1, 2]]

    def solved(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        clearance, central, far = np.array([4.5 * (65 / 120) ** 0.8, 58.4, 38.4]) * np.exp(eta)
        state, found = np.zeros(3), {}
        for begin, end, rate in (
            (0, 2, 1000),
            (2, 13, 0),
            (13, 24, 0),
            (24, 24.2, 0),
            (24.2, 26.2, 700),
            (26.2, 48, 0),
        ):

            def slope(t: float, x: np.ndarray, rate: float = rate) -> list[float]:
                flow = 6.5 * (x[0] / central - x[1] / far)
                return [rate - clearance / central * x[0] - flow, flow, x[0] / central]

            state = solve_ivp(slope, (begin, end), state, "LSODA", rtol=1e-10, atol=1e-10).y[:, -1]
            found[end] = state
        return np.array([found[13][0], found[48][0]]) / central, np.array(
            [found[24][2], found[48][2] - found[24][2]]
        )

    def cost(eta: np.ndarray) -> float:
        f = solved(eta)[0]
        sd = 3.4 + 0.227 * f
        return float(
            (eta**2 / spread).sum() + (((np.array([12, 10.5]) - f) / sd) ** 2 + 2 * np.log(sd)).sum()
        )

    best = minimize(cost, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    first, second = solved(here)[1]
    print(f"posologyr's case study of vancomycin: etas {', '.join(f'{eta:.5f}' for eta in here)}")
    print(
        f"  apart from SciPy's minimum {np.abs(here - best.x).max():.1e}; AUC of 0 to 24 h {first:.1f}, of 24 to 48 h "
        f"{second:.1f} mg/L*h"
    )


def cptpsp(folder: str, *numbers: str) -> None:
    """mapbayr's simulated patients (github.com/FelicienLL/mapbayr-CPTPSP-2021): control streams, data, NONMEM's η."""
    import io
    import zipfile

    units = {"BW": "kg", "WT": "kg", "AGE": "year"}
    for number in numbers:
        data = pd.read_csv(Path(folder) / "data" / f"data_to_fit{number}.csv", dtype=str)
        data.columns = [{"time": "TIME"}.get(name, name.upper()) for name in data]
        data = data.drop(columns=[name for name in ("S2_SAMPLING", "NDV") if name in data])
        taken = {name: unit for name, unit in units.items() if name in data}
        prior = ms.Prior.from_nonmem(Path(folder) / "nonmem code" / f"run{number}.mod", units=taken)
        data.attrs["units"] = taken
        found = etas(prior.calibrate(data))
        archive = zipfile.ZipFile(Path(folder) / "nonmem output" / f"run{number}.zip")
        name = next(each for each in archive.namelist() if each.endswith(f"run{number}.phi"))
        phi = pd.read_csv(io.StringIO(archive.read(name).decode()), sep=r"\s+", skiprows=1)
        told = phi[[each for each in phi if each.startswith(("ETA(", "PHI("))]].to_numpy()
        off = np.abs(found - told)
        print(
            f"{number}: {len(off)} patients, etas apart {np.median(off.max(1)):.1e} in the median, {off.max():.1e} "
            f"at most, {100 * (off.max(1) < 1e-3).mean():.1f} % of patients within 1e-3",
            flush=True,
        )


def problem_of(name: str):
    from metasci.petab import read_problem

    folder = Path(os.environ["METASCI_DATA_DIR"]) / "petab" / name
    return folder, read_problem(folder / f"{name}.yaml")


def petab(name: str) -> None:
    folder, problem = problem_of(name)
    found, _ = problem.simulate(problem.nominal)
    told = pd.read_csv(folder / f"simulatedData_{name}.tsv", sep="\t")
    by = ["simulationConditionId", "time"]
    rows = problem.rows.assign(
        found=found,
        simulationConditionId=[problem.system.labels["condition"][k - 1] for k in problem.rows["condition"]],
    )
    if len(told) == len(rows) and np.allclose(told["time"], rows["time"]):
        rows["simulation"] = told["simulation"].to_numpy()
    else:
        rows = rows.merge(told.drop_duplicates(by)[[*by, "simulation"]], on=by)
    off = np.abs(rows["found"] - rows["simulation"]) / np.maximum(
        rows["simulation"].abs(), 1e-3 * rows["simulation"].abs().max()
    )
    print(f"{name}: predictions apart {off.max():.1e}, objective {problem.objective(problem.nominal):.4f}")


def optimum(name: str, starts: int) -> None:
    _, problem = problem_of(name)
    best = problem.optimum(starts=starts)
    nominal = problem.objective(problem.nominal)
    reached = sum(end < best.objective + 1e-2 for end in best.every)
    print(f"{name}: best of {starts} {best.objective:.4f} ({reached} of them), the file's {nominal:.4f}")


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    {
        "programs": programs, "events": events, "petab": petab, "cptpsp": cptpsp, "vancomycin": vancomycin,
        "wide": lambda count, variance, *seed: wide(int(count), float(variance), *map(int, seed)),
        "optimum": lambda name, starts: optimum(name, int(starts)),
    }[command](*rest)  # fmt: skip
