"""Priors of published numbers against NONMEM, Monolix and posologyr, independent integration, and scipy's minima."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import metasci as ms
from metasci.errors import InputError
from metasci.fits.objective import objective_function
from metasci.math import where
from metasci.patients import Formula, Occasion, Power, Structure, Threshold, body, compartment_model
from metasci.patients.effects import described_effect, effect_described

published = ms.Prior.published


ORAL = {"clearance": "4 L/h", "volume": "70 L", "absorption_rate": "1 1/h"}
FIFTH = {"clearance": 0.2, "volume": 0.2, "absorption_rate": 0.2}


def _table(times: list[float], values: list[float], dose: float, **columns: object) -> pd.DataFrame:
    rows = [{"ID": "a", "TIME": 0.0, "AMT": dose, "EVID": 1, "DV": "."}]
    rows += [
        {"ID": "a", "TIME": t, "AMT": 0.0, "EVID": 0, "DV": v} for t, v in zip(times, values, strict=True)
    ]
    return pd.DataFrame([{**row, **columns} for row in rows])


def _etas(fit: ms.Calibration) -> np.ndarray:
    spread = np.array([parameter.spread for parameter in fit.prior.model.parameters])
    return fit.adapted.coordinates[0].numpy() * spread


def test_mapbayr_example_has_its_etas() -> None:
    prior = ms.Prior.published(
        Structure(1, "first-order"),
        typical=ORAL,
        variability=FIFTH,
        noise=ms.Proportional((0.05**0.5,)),
        source="ex001",
    )
    data = _table([1.5, 4.4, 7.1, 24.6], [91.2904, 110.826, 79.384, 20.6671], 10000.0)
    assert _etas(prior.calibrate(data)) == pytest.approx([0.405058, 0.0728506, -0.0749541], abs=2e-6)


def test_patients_of_mapbayr_have_nonmems_etas_and_objectives() -> None:
    """NONMEM 7.4 on mapbayr's model 001, patients 2 and 3: doses to come, and levels late in a course."""
    prior = ms.Prior.published(
        Structure(1, "first-order"), typical=ORAL, variability=FIFTH, noise=ms.Proportional((0.05**0.5,)), source="001"
    )  # fmt: skip
    frames = []
    for name, times, levels in (
        ("2", [25.9], [45.1629]),
        ("3", [215.0, 216.0, 221.0, 222.6], [7.79911, 6.7926, 96.7771, 72.8342]),
    ):
        first = _table(times, levels, 10000.0, ADDL=0, II=0.0).assign(ID=name)
        later = first.iloc[:1].assign(TIME=72.0, ADDL=6, II=24.0)
        frames.append(pd.concat([first, later]).sort_values("TIME", kind="stable"))
    fit = prior.calibrate(pd.concat(frames, ignore_index=True))
    etas = fit.adapted.coordinates.numpy() * [each.spread for each in fit.prior.model.parameters]
    told = [
        [-0.145364976, 0.0240587840, -0.00618814556],
        [0.767680982, -0.139206821, 0.0821537434],
    ]
    np.testing.assert_allclose(etas, told, atol=2e-7)
    np.testing.assert_allclose(objective_function(fit), [6.7164157151717241, 23.269101579198335], atol=1e-6)


def test_posologyr_example_with_a_lag_has_its_etas() -> None:
    prior = ms.Prior.published(
        Structure(1, "first-order", lag=True), typical={**ORAL, "lag": "60 min"}, source="posologyr",
        variability={**FIFTH, "lag": 0.2}, noise=ms.Proportional((0.05**0.5,)),
    )  # fmt: skip
    data = _table([1.5, 4.4, 7.1, 24.6], [67.4275, 115.4490, 83.7768, 21.8323], 10000.0)
    assert _etas(prior.calibrate(data)) == pytest.approx([0.396186, 0.037017, 0.082508, -0.09676], abs=2e-5)


def test_amikacin_has_the_etas_of_posologyr_and_monolix() -> None:
    data = _table([1.0, 6.0], [58.0, 14.0], 2000.0, RATE=0.0)
    data.loc[0, "RATE"] = 4000.0
    data = data.assign(**{"creatinine_clearance [mL/min]": 50, "weight [kg]": 62, "oxygenation [mmHg]": 169})
    fit = ms.load("amikacin_burdet_2015").calibrate(data)
    expected = [0.449952188793169, 0.273058665000001, 0.70615858706018, -0.138843]
    assert _etas(fit) == pytest.approx(expected, abs=5e-6)


def test_phenobarbital_has_nonmems_objective_function() -> None:
    prior = ms.load("phenobarbital_grasela_1985")
    fit = prior.calibrate(ms.dataset("phenobarbital", model=prior.model))
    assert objective_function(fit).sum() == pytest.approx(586.27605628520962, abs=5e-8)
    # and the same by scipy, from the formula
    frame = fit.at_measurements()
    first = frame[frame["task"] == frame["task"].iloc[0]]
    assert objective_function(fit).iloc[0] == pytest.approx(
        _foce(fit, first["concentration"].to_numpy()), abs=1e-6
    )


def _foce(fit: ms.Calibration, levels: np.ndarray) -> float:
    """The objective of the first task by finite differences of its equation."""
    inputs = {name: values[0].numpy() for name, values in fit.batch.inputs.items()}
    times, weight = inputs["time"][: len(levels)], float(inputs["weight"].ravel()[0])
    apgar = float(inputs["apgar"].ravel()[0])
    omega, noise = np.array([0.0293508, 0.0279060]), 0.0132410

    def curve(eta: np.ndarray) -> np.ndarray:
        clearance = 0.00469555 * weight * np.exp(eta[0])
        volume = 0.984258 * weight * (1.0 + 0.15892 * (apgar < 5)) * np.exp(eta[1])
        elapsed = times[:, None] - inputs["dose_time"].ravel()
        left = np.where(elapsed >= 0.0, np.exp(-clearance / volume * np.maximum(elapsed, 0.0)), 0.0)
        return (inputs["dose"].ravel() * left).sum(1) / volume

    def cost(eta: np.ndarray) -> float:
        f = curve(eta)
        return float(
            (eta**2 / omega).sum() + ((levels - f) ** 2 / (noise * f**2) + np.log(noise * f**2)).sum()
        )

    at = minimize(cost, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x
    f, h = curve(at), 1e-5
    slope = np.stack([(curve(at + h * e) - curve(at - h * e)) / (2 * h) for e in np.eye(2)], 1)
    curvature = np.diag(1 / omega) + slope.T @ ((1 / (noise * f**2) + 2.0 / f**2)[:, None] * slope)
    return cost(at) + float(np.log(omega).sum() + np.linalg.slogdet(curvature)[1])


def test_parameters_without_variability_are_fixed_exactly() -> None:
    matrix = pd.DataFrame(np.diag([0.2, 0.3, 0.0, 0.0]), index=(names := [
        "clearance", "central_volume", "peripheral_volume", "exchange_clearance"]), columns=names)  # fmt: skip
    numbers = {
        "typical": dict(zip(names, (4.0, 40.0, 60.0, 8.0), strict=True)), "noise": ms.Additive((0.5,)), "source": "s"
    }  # fmt: skip
    prior = ms.Prior.published(Structure(2), variability=matrix, **numbers)
    assert prior.model.parameters.names == ("clearance", "central_volume")
    fit = prior.calibrate(_table([1.0, 8.0, 20.0], [9.0, 5.0, 3.0], 500.0))
    own = fit.individual.set_index("name")
    for name, value in (("peripheral_volume", 60.0), ("exchange_clearance", 8.0)):
        assert own.loc[name, ["estimate", "lower", "upper", "reference"]].tolist() == [value] * 4
        assert own.loc[name, "fixed"]
    narrow = ms.Prior.published(
        Structure(2), variability={**dict.fromkeys(names[:2], 0.2), "central_volume": 0.3,
                                   "peripheral_volume": 1e-12, "exchange_clearance": 1e-12}, **numbers,
    )  # fmt: skip
    tiny = narrow.calibrate(_table([1.0, 8.0, 20.0], [9.0, 5.0, 3.0], 500.0))
    assert _etas(fit) == pytest.approx(_etas(tiny)[:2], abs=1e-6)


def test_variability_is_said_as_variance_percent_deviation_covariance_or_correlation() -> None:
    common = {"typical": ORAL, "noise": ms.Proportional((0.2,)), "source": "s"}
    one = ms.Prior.published(
        Structure(1, "first-order"),
        variability={"clearance": "30 %", "volume": "sd 0.4", ("clearance", "volume"): 0.05}, **common,
    )  # fmt: skip
    spreads = [parameter.spread for parameter in one.model.parameters]
    assert spreads == pytest.approx([np.log1p(0.09) ** 0.5, 0.4])
    correlation = 0.05 / (spreads[0] * spreads[1])
    other = ms.Prior.published(
        Structure(1, "first-order"), variability={"clearance": "30 %", "volume": 0.16},
        correlation={("clearance", "volume"): correlation}, **common,
    )  # fmt: skip
    assert np.allclose(one.state["covariance"], other.state["covariance"], atol=1e-15)
    for wrong, said in (
        ({"clearance": "much"}, "no variance"),
        ({"klearance": 0.1}, "no parameter"),
        ({"clearance": -0.1}, "zero or above"),
        ({"clearance": 0.1, ("clearance", "volume"): 0.1}, "without a variance"),
        ({"clearance": 0.1, "volume": 0.1, ("clearance", "volume"): 0.2}, "not positive definite"),
    ):
        with pytest.raises(ms.InputError, match=said):
            ms.Prior.published(Structure(1, "first-order"), variability=wrong, **common)
    with pytest.raises(ms.InputError, match="'volume' is missing"):
        ms.Prior.published(Structure(1), typical={"clearance": 4.0}, variability={"clearance": 0.1},
                           noise=ms.Additive(), source="s")  # fmt: skip


TIMES, LEVELS = np.array([1.0, 4.0, 11.0]), np.array([12.0, 7.5, 2.2])


def _bolus(clearance: float, volume: float) -> np.ndarray:
    return 500.0 / volume * np.exp(-clearance / volume * TIMES)


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"variability": {}}, "no parameter varies, so that nothing could be learned"),
        ({"variability": {"clearance": 0.0}}, "no parameter varies"),
        ({"variability": {"clearance": 0.09, "volume": 0.04}, "correlation": {("clearance", "volume"): 1.0}},
         "not positive definite"),
        ({"occasions": {"ka": 0.1}}, "'ka' is no parameter; they are clearance, volume\\.$"),
        ({"covariates": {"ka": Power("weight", "kg", 70, 1)}}, "'ka' is no parameter"),
        ({"typical": {"clearance": "0.06 L/h/kg", "volume": "49 L"}}, r"by weight; give it for a body of 70 kg"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_prior_are_refused_with_the_way_out(
    numbers: dict[str, object], sentence: str
) -> None:
    given = {"typical": {"clearance": "4.2 L/h", "volume": "49 L"}, "variability": {"clearance": 0.09}}
    with pytest.raises(ms.errors.InputError, match=sentence):
        ms.Prior.published(Structure(1), source="none", noise=ms.Additive((0.1,)), **{**given, **numbers})


@pytest.mark.parametrize(
    ("noise", "deviation"),
    [
        (ms.Additive((0.8,)), lambda f: 0.8 + 0.0 * f),
        (ms.Proportional((0.2,)), lambda f: 0.2 * f),
        (ms.Combined((0.5, 0.1)), lambda f: np.sqrt(0.25 + 0.01 * f**2)),
        (ms.CombinedDeviations((0.5, 0.1)), lambda f: 0.5 + 0.1 * f),
        (ms.PowerNoise((0.3, 0.7)), lambda f: 0.3 * f**0.7),
    ],
)
def test_every_residual_error_has_scipys_minimum(noise: ms.noise.Noise, deviation: object) -> None:
    prior = ms.Prior.published(
        Structure(1), typical={"clearance": 4.0, "volume": 40.0}, source="s", noise=noise,
        variability={"clearance": 0.1, "volume": 0.08, ("clearance", "volume"): 0.04},
    )  # fmt: skip
    inverse = np.linalg.inv([[0.1, 0.04], [0.04, 0.08]])

    def cost(eta: np.ndarray) -> float:
        f = _bolus(4.0 * np.exp(eta[0]), 40.0 * np.exp(eta[1]))
        sd = deviation(f)  # type: ignore[operator]
        return float(0.5 * eta @ inverse @ eta + (0.5 * ((LEVELS - f) / sd) ** 2 + np.log(sd)).sum())

    best = minimize(cost, np.zeros(2), method="BFGS", options={"gtol": 1e-8})
    fit = prior.calibrate(_table(TIMES.tolist(), LEVELS.tolist(), 500.0))
    assert _etas(fit) == pytest.approx(best.x, abs=2e-5)


def test_normal_logit_and_skewed_parameters_have_scipys_minimum() -> None:
    weight = 50.0
    prior = ms.Prior.published(
        Structure(1, bioavailability=True), source="s", noise=ms.Additive((0.5,)),
        typical={"clearance": 4.0, "volume": 40.0, "bioavailability": 0.7},
        variability={"clearance": 0.3, "volume": "20 %", "bioavailability": 0.25},
        distributions={"clearance": 0.5, "volume": "normal", "bioavailability": "logit"},
        covariates={"clearance": Power("weight", "kg", 70.0, 0.75)},
    )  # fmt: skip

    def own(eta: np.ndarray) -> tuple[float, float, float]:
        skewed = np.expm1(0.5 * eta[0]) / 0.5
        clearance = 4.0 * (weight / 70.0) ** 0.75 * np.exp(skewed)
        return clearance, 40.0 + eta[1], 1.0 / (1.0 + np.exp(-(np.log(0.7 / 0.3) + eta[2])))

    def cost(eta: np.ndarray) -> float:
        clearance, volume, fraction = own(eta)
        off = (LEVELS - fraction * _bolus(clearance, volume)) / 0.5
        return float(0.5 * (eta**2 / [0.3, 64.0, 0.25]).sum() + 0.5 * (off**2).sum())

    best = minimize(
        cost, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000}
    )
    fit = prior.calibrate(_table(TIMES.tolist(), LEVELS.tolist(), 500.0, **{"weight [kg]": weight}))
    assert fit.individual["estimate"].tolist()[:3] == pytest.approx(own(best.x), rel=1e-5)
    # what no covariate changes has one interval, whichever table tells it: even about a normal parameter's estimate
    told, declared = (frame.set_index("name") for frame in (fit.individual, fit.parameters))
    for name in ("volume", "bioavailability"):
        for end in ("estimate", "lower", "upper"):
            assert told.loc[name, end] == pytest.approx(declared.loc[name, end], rel=1e-9)
    low, middle, high = told.loc["volume", ["lower", "estimate", "upper"]]
    assert high - middle == pytest.approx(middle - low, rel=1e-9)


def _woman() -> dict[str, float]:
    return {"weight": 61.0, "height": 164.0, "sex": 2.0, "age": 71.0, "creatinine": 1.4, "pma": 60.0}


UNITS = {"weight": "kg", "height": "cm", "sex": "1", "age": "year", "creatinine": "mg/dL", "pma": "week"}
FORMULAS = {  # a published formula of clearance, its function, and its value in the woman above by hand
    "fat-free mass": (
        ("weight", "height", "sex"),
        lambda *, weight, height, sex: 4.0 * (body.fat_free_mass(weight, height, sex) / 50.0) ** 0.75,
        4.0 * (9270.0 * 61.0 / (8780.0 + 244.0 * 61.0 / 1.64**2) / 50.0) ** 0.75,
    ),
    "body surface": (
        ("weight", "height"), lambda *, weight, height: 2.2 * body.body_surface(weight, height),
        2.2 * (61.0 * 164.0 / 3600.0) ** 0.5,
    ),
    "Cockcroft and Gault beside a part that is not renal": (
        ("age", "weight", "creatinine", "sex"),
        lambda *, age, weight, creatinine, sex: 0.8 + 0.04 * body.cockcroft_gault(age, weight, creatinine, sex),
        0.8 + 0.04 * 0.85 * (140.0 - 71.0) * 61.0 / (72.0 * 1.4),
    ),
    "if-else on a category and a threshold": (
        ("sex", "age"),
        lambda *, sex, age: (
            where(sex == 2.0, 3.0 + 0.0 * sex, 4.0 + 0.0 * sex)
            * where(age > 65.0, 0.8 + 0.0 * age, 1.0 + 0.0 * age)
        ),
        3.0 * 0.8,
    ),
    "maturation with size": (
        ("weight", "pma"),
        lambda *, weight, pma: 15.0 * body.allometry(weight) * pma**3.4 / (pma**3.4 + 47.7**3.4),
        15.0 * (61.0 / 70.0) ** 0.75 * 60.0**3.4 / (60.0**3.4 + 47.7**3.4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_published_formulas_of_covariates_have_scipys_minimum(formula: str) -> None:
    names, function, typical = FORMULAS[formula]
    reference = {"weight": 70.0, "height": 176.0, "sex": 1.0, "age": 40.0, "creatinine": 1.0, "pma": 2000.0}
    clearance = Formula(
        function=function, units={name: UNITS[name] for name in names},
        reference={name: reference[name] for name in names},
    )  # fmt: skip
    prior = ms.Prior.published(
        Structure(1), typical={"clearance": clearance, "volume": 40.0}, variability={"clearance": 0.1, "volume": 0.05},
        noise=ms.CombinedDeviations((0.3, 0.1)), source="s",
    )  # fmt: skip
    given = {name if UNITS[name] == "1" else f"{name} [{UNITS[name]}]": _woman()[name] for name in names}
    fit = prior.calibrate(_table(TIMES.tolist(), LEVELS.tolist(), 500.0, **given))

    def cost(eta: np.ndarray) -> float:
        f = _bolus(typical * np.exp(eta[0]), 40.0 * np.exp(eta[1]))
        sd = 0.3 + 0.1 * f
        return float(0.5 * (eta**2 / [0.1, 0.05]).sum() + (0.5 * ((LEVELS - f) / sd) ** 2 + np.log(sd)).sum())

    best = minimize(cost, np.zeros(2), method="BFGS", options={"gtol": 1e-8})
    assert _etas(fit) == pytest.approx(best.x, abs=2e-5)
    own = fit.individual.set_index("name")["estimate"]
    assert own["clearance"] == pytest.approx(typical * np.exp(best.x[0]), rel=3e-5)


def test_a_fraction_that_is_log_normal_and_noise_on_the_logarithm_have_scipys_minimum() -> None:
    prior = ms.Prior.published(
        Structure(1, bioavailability=True), source="s", noise=ms.LogNormal((0.25,)),
        typical={"clearance": 4.0, "volume": 40.0, "bioavailability": 0.7},
        variability={"clearance": 0.1, "volume": 0.05, "bioavailability": 0.2},
        distributions={"bioavailability": "log-normal"},
    )  # fmt: skip

    def cost(eta: np.ndarray) -> float:
        f = 0.7 * np.exp(eta[2]) * _bolus(4.0 * np.exp(eta[0]), 40.0 * np.exp(eta[1]))
        return float(0.5 * (eta**2 / [0.1, 0.05, 0.2]).sum() + 0.5 * (np.log(LEVELS / f) ** 2).sum() / 0.0625)

    best = minimize(cost, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    fit = prior.calibrate(_table(TIMES.tolist(), LEVELS.tolist(), 500.0))
    assert _etas(fit) == pytest.approx(best.x, abs=2e-5)


def test_occasions_have_a_variance_of_their_own() -> None:
    prior = ms.Prior.published(
        Structure(1), typical={"clearance": 4.0, "volume": 40.0}, source="s", noise=ms.Additive((0.4,)),
        variability={"clearance": 0.1, "volume": 0.05}, occasions={"clearance": 0.03}, most_occasions=2,
    )  # fmt: skip
    data = pd.DataFrame({
        "ID": 1, "TIME": [0.0, 5.0, 100.0, 105.0], "AMT": [500.0, 0, 500.0, 0], "EVID": [1, 0, 1, 0],
        "DV": [".", 9.0, ".", 6.0], "occasion": [1, 1, 2, 2],
    })  # fmt: skip
    fit = prior.calibrate(data)

    def cost(eta: np.ndarray) -> float:
        volume = 40.0 * np.exp(eta[1])
        levels = [500.0 / volume * np.exp(-4.0 * np.exp(eta[0] + eta[k]) / volume * 5.0) for k in (2, 3)]
        # what the first dose leaves after 100 h is below a thousandth
        off = (np.array([9.0, 6.0]) - levels) / 0.4
        return float(0.5 * (eta**2 / [0.1, 0.05, 0.03, 0.03]).sum() + 0.5 * (off**2).sum())

    best = minimize(cost, np.zeros(4), method="BFGS")
    assert _etas(fit) == pytest.approx(best.x, abs=3e-3)
    assert abs(_etas(fit)[2] - _etas(fit)[3]) > 0.05
    # whose clearance is printed is said: that of the second occasion
    own = float(fit.individual.set_index("name").loc["clearance", "estimate"])
    assert own == pytest.approx(4.0 * np.exp(best.x[0] + best.x[3]), rel=3e-3)
    assert "as at the last measurement: occasion 2" in fit.summary()


def test_a_sum_of_clearances_and_thresholds_are_the_patients_own() -> None:
    clearance = Formula(
        function=lambda *, weight, crcl: 0.03 * weight + 0.04 * crcl,
        units={"weight": "kg", "crcl": "mL/min"},
        reference={"weight": 70.0, "crcl": 100.0},
    )
    prior = ms.Prior.published(
        Structure(1), typical={"clearance": clearance, "volume": 49.0}, variability={"clearance": 0.09, "volume": 0.04},
        covariates={"volume": [Power("weight", "kg", 70.0, 1.0), Threshold("apgar", at=5.0, below=1.2)]},
        noise=ms.Proportional((0.1,)), source="s",
    )  # fmt: skip
    assert prior.model.parameters.parameters[0].typical == pytest.approx(6.1)
    fit = prior.typical(weight="50 kg", crcl="30 mL/min", apgar=3)
    own = fit.individual.set_index("name")
    assert own["estimate"][["clearance", "volume"]].tolist() == pytest.approx([2.7, 42.0])
    assert own["reference"][["clearance", "volume"]].tolist() == pytest.approx([6.1, 49.0])
    assert own["estimate"]["half_life"] == pytest.approx(np.log(2) * 42.0 / 2.7)
    assert "70 kg" in fit.summary()


def test_effects_of_numbers_survive_their_description() -> None:
    for effect in (
        Power("weight", "kg", 70.0, 0.75),
        Threshold("apgar", at=5.0, below=1.2),
        Occasion(parameter="v"),
    ):
        described = described_effect(effect)
        assert described is not None
        assert effect_described(described) == effect
    assert described_effect(Formula(function=abs, units={})) is None


def test_a_prior_of_a_structure_is_read_back_and_one_of_code_needs_its_equation(tmp_path: Path) -> None:
    common = {"variability": {"clearance": "30 %"}, "noise": ms.CombinedDeviations((0.1, 0.2)), "source": "s"}
    data = _table([1.0, 8.0], [9.0, 5.0], 500.0, **{"weight [kg]": 50})
    plain = ms.Prior.published(
        Structure(1), name="plain", typical={"clearance": 4.0, "volume": 40.0},
        covariates={"volume": Power("weight", "kg", 70.0, 1.0)}, **common,
    )  # fmt: skip
    again = ms.load(plain.save(tmp_path / "plain"))
    first, second = (prior.calibrate(data) for prior in (plain, again))
    assert first.adapted.coordinates.tolist() == second.adapted.coordinates.tolist()
    assert first.summary() == second.summary()
    model = compartment_model(
        Structure(1), name="of_code", listed=False, typical={"clearance": 4.0, "volume": 40.0},
        effects={"volume": [Formula(function=lambda *, weight: weight / 70.0, units={"weight": "kg"})]},
    )  # fmt: skip
    folder = published(model, name="coded", **common).save(tmp_path / "coded")
    with pytest.raises(ms.InputError, match="covariate formula is code"):
        ms.load(folder)
    third = ms.load(folder, model).calibrate(data)
    assert third.adapted.coordinates.tolist() == first.adapted.coordinates.tolist()


def test_wide_priors_end_at_the_best_of_many_starts() -> None:
    random = np.random.default_rng(5)
    times, count, variance = np.array([1.5, 4.4, 7.1, 24.6]), 9, 1.0
    prior = ms.Prior.published(
        Structure(1, "first-order"), typical=ORAL, variability=dict.fromkeys(ORAL, variance), source="s",
        noise=ms.Proportional((0.05**0.5,)),
    )  # fmt: skip

    def curve(eta: np.ndarray) -> np.ndarray:
        clearance, volume, speed = np.exp(eta) * [4.0, 70.0, 1.0]
        rate = clearance / volume
        return 1e4 / volume * speed / (speed - rate) * (np.exp(-rate * times) - np.exp(-speed * times))

    etas = random.normal(size=(count, 3)) * variance**0.5
    seen = np.array([np.abs(curve(eta) * (1.0 + 0.05**0.5 * random.normal(size=4))) for eta in etas])
    frames = [_table(times.tolist(), list(values), 1e4).assign(ID=str(k)) for k, values in enumerate(seen)]
    fit = prior.calibrate(pd.concat(frames, ignore_index=True))
    assert bool(fit.adapted.converged.all())

    def cost(eta: np.ndarray, values: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            f = curve(eta)
            found = (
                0.5 * (eta**2).sum() / variance + (0.5 * (values - f) ** 2 / (0.05 * f**2) + np.log(f)).sum()
            )
        return float(found) if np.isfinite(found) else 1e10

    for place, values in enumerate(seen):
        own = cost(fit.adapted.coordinates[place].numpy() * variance**0.5, values)
        best = min(
            minimize(cost, start, args=(values,), method="BFGS").fun
            for start in (np.zeros(3), etas[place], [0, 0, 1.5], [0, 0, -1.5], [1.5, 0, 0], [0, 1.5, 0])
        )
        assert own < best + 1e-3, place


@pytest.mark.parametrize(
    ("levels", "variance", "best"),
    [
        ([49.7549921, 0.465192351, 0.0125788806, 1.40163525e-13], 2.0, [2.677749, -0.5534087, 1.5148263]),
        ([37.2943609, 14.2130626, 3.00536784, 2.56142266e-3], 2.0, [2.87394197, -0.56780856, -0.86074895]),
        ([1.85642534, 1.68687394, 1.10256615, 0.36008697], 2.0, [4.49267868, -0.05525164, -2.61274498]),
        ([11.94890706, 10.97014762, 5.88828316, 0.49967134], 1.0, [3.09580779, 0.12508933, -1.8807256]),
    ],
)
def test_absorption_and_elimination_change_places_where_that_is_better(
    levels: list[float], variance: float, best: list[float]
) -> None:
    """Of patients drawn from wide populations those whose deeper valley is not the one beside the prior's mean."""
    times, noise = np.array([1.5, 4.4, 7.1, 24.6]), ms.Proportional((0.05**0.5,))
    prior = ms.Prior.published(
        Structure(1, "first-order"), typical=ORAL, variability=dict.fromkeys(ORAL, variance), source="s", noise=noise
    )  # fmt: skip

    def cost(eta: np.ndarray) -> float:
        clearance, volume, speed = np.exp(eta) * [4.0, 70.0, 1.0]
        rate = clearance / volume
        f = 1e4 / volume * speed / (speed - rate) * (np.exp(-rate * times) - np.exp(-speed * times))
        residual = 0.5 * (np.array(levels) - f) ** 2 / (0.05 * f**2) + np.log(f)
        return float(0.5 * (eta**2).sum() / variance + residual.sum())

    fit = prior.calibrate(_table(times.tolist(), levels, 1e4))
    assert cost(_etas(fit)) < cost(np.array(best)) + 1e-6


def test_a_formula_whose_patient_is_another_is_refused() -> None:
    with pytest.raises(InputError, match="reference patient and its units differ in 'age'"):
        Formula(
            function=lambda *, weight: weight, units={"weight": "kg"}, reference={"weight": 70.0, "age": 40.0}
        )
