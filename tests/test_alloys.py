"""Laws far from where they were declared, quantities, contents as covariates, one alloy alone, and lack of fit."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci import kinetics
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.kinetics import along, avrami
from metasci.kinetics.clocks import Arrhenius
from metasci.library import find, registered
from metasci.model import Input, equation
from metasci.parameters import Parameter
from metasci.units import unit

GAS_CONSTANT = 8.31446261815324e-3


def _fractions(
    middle: float,
    energy: float,
    exponent: float,
    rate: float,
    seed: int,
    tasks: int = 6,
    scatter: float = 0.5,
) -> TaskSet:
    """Simulated JMAK: rates at the middle temperature (K), energies that scatter by 10 %."""
    rng = np.random.default_rng(seed)
    rows = []
    for task in range(tasks):
        own_energy = energy * np.exp(0.1 * rng.normal())
        own_rate = rate * np.exp(scatter * rng.normal())
        for kelvin in middle * np.array([0.95, 1.0, 1.05]):
            factor = np.exp(-own_energy / GAS_CONSTANT * (1.0 / kelvin - 1.0 / middle))
            for time in np.array([0.2, 0.6, 1.5, 4.0]) / rate:
                clean = 1.0 - np.exp(-((own_rate * factor * time) ** exponent))
                rows.append((f"a{task}", time, kelvin, clean + 0.02 * rng.normal()))
    frame = pd.DataFrame(rows, columns=["task", "time [s]", "temperature [K]", "fraction"])
    return TaskSet.from_frame(frame, Card.from_model(avrami), model=avrami)


def _rmse(prior: ms.Prior, tasks: TaskSet) -> float:
    table = prior.calibrate(tasks).at_measurements()
    return float(np.sqrt(((table["predicted"] - table["fraction"]) ** 2).mean()))


@pytest.mark.parametrize(
    ("middle", "energy", "rate"), [(1600.0, 300.0, 7e-4), (620.0, 330.0, 2e-3), (1600.0, 300.0, 2e-8)]
)
def test_a_law_learns_at_any_temperature(middle: float, energy: float, rate: float, tmp_path: Path) -> None:
    tasks = _fractions(middle, energy, 1.3, rate, seed=1)
    prior = ms.meta_calibrate(avrami, tasks)
    assert prior.model.reference is not None
    assert abs(prior.model.reference.temperature - middle) <= 15.0
    typical = prior.model.parameters.to_physical(prior.state.mean)
    assert float(typical["activation_energy"]) == pytest.approx(energy, rel=0.1)
    assert float(typical["exponent"]) == pytest.approx(1.3, rel=0.1)
    assert _rmse(prior, tasks) < 0.025  # noise .02
    assert "1600 K" in prior.model.parameters.parameters[0].description or middle != 1600.0

    prior.save(tmp_path / "saved")
    again = ms.load(tmp_path / "saved")
    assert again.model.reference.temperature == prior.model.reference.temperature
    assert again.digest() == prior.digest()
    assert _rmse(again, tasks) == _rmse(prior, tasks)


def test_a_reference_is_left_where_it_is_among_the_data() -> None:
    tasks = _fractions(900.0, 250.0, 2.0, 1e-3, seed=2, tasks=3)
    prior = ms.meta_calibrate(avrami, tasks)
    assert prior.model is avrami
    assert "reference_temperature" not in prior.description()
    moved = ms.meta_calibrate(avrami, tasks, reference="650 degC")
    assert moved.model.reference is not None
    assert moved.model.reference.temperature == pytest.approx(923.15)


def test_every_law_with_a_clock_says_the_same_at_another_reference() -> None:
    movable = {
        name: model
        for name, model in registered().items()
        if model.reference and "temperature" in model.inputs
    }
    expected = (
        "avrami", "tempering", "grain_growth", "undercooled_transformation", "creep_strain", "parabolic_oxidation",
        "recrystallisation",
    )  # fmt: skip
    assert {f"kinetics.{name}" for name in expected} <= set(movable)
    powers = {  # how each parameter that is stated at the reference goes with the clock's speed
        "rate": 1.0, "incubation": -1.0, "half_time": -1.0, "parabolic_constant": 1.0, "peak_time": -1.0,
    }  # fmt: skip
    for name, model in movable.items():
        if name == "kinetics.age_hardening" or model.reference is None:
            continue  # its strength, too, is stated at the reference
        old, new = model.reference.declared, model.reference.declared + 40.0
        values = {p.name: p.typical for p in model.parameters}
        factor = np.exp(-values["activation_energy"] / GAS_CONSTANT * (1.0 / new - 1.0 / old))
        there = {key: value * factor ** powers.get(key, 0.0) for key, value in values.items()}
        inputs = {key: np.array([0.5, 2.0]) for key in model.inputs}
        inputs |= {"temperature": np.array([old - 20.0, old + 10.0]), "time": np.array([300.0, 2000.0])}
        moved = model.at_reference(new)
        np.testing.assert_allclose(moved(inputs, there), model(inputs, values), rtol=1e-9, err_msg=name)
        assert along(moved).reference.temperature == new
        assert along(moved).name == along(model).name


def test_a_reference_above_the_solvus_is_refused() -> None:
    with pytest.raises(InputError, match="below 460 K"):
        find("kinetics.age_hardening").at_reference(480.0)
    with pytest.raises(InputError, match="states no rates"):
        find("kinetics.yield_strength").at_reference(480.0)


def test_a_held_parameter_stays_held_at_another_reference() -> None:
    held = avrami.with_fixed({"exponent": 3.0}).at_reference(1600.0)
    assert held.parameters.names == ("rate", "activation_energy")
    values = {"rate": 1e-3, "activation_energy": 300.0}
    found = held({"time": np.array([500.0]), "temperature": np.array([1600.0])}, values)
    np.testing.assert_allclose(found, 1.0 - np.exp(-(0.5**3)))


def test_a_run_that_cannot_learn_is_refused_or_told() -> None:
    from metasci.math import exp, minimum

    @equation(inputs={"time": Input("s"), "temperature": Input("K")}, output=("fraction", "1"), name="test.deaf",
              parameters=[Parameter("rate", "1/s", 1e6, positive=True, spread=0.1)])  # fmt: skip
    def deaf(time: np.ndarray, temperature: np.ndarray, *, rate: np.ndarray) -> np.ndarray:
        return 1.0 - exp(-minimum(rate * time, 50.0)) + 0.0 * temperature

    tasks = _fractions(1600.0, 300.0, 1.3, 7e-4, seed=3, tasks=3)
    with pytest.raises(InputError, match=r"nothing can be learned: the fraction that 'test\.deaf' predicts"):
        ms.meta_calibrate(deaf, tasks)

    @equation(inputs={"time": Input("s"), "temperature": Input("K")}, output=("fraction", "1"), name="test.level",
              parameters=[Parameter("level", "1", 0.5)])  # fmt: skip
    def level(time: np.ndarray, temperature: np.ndarray, *, level: np.ndarray) -> np.ndarray:
        return level + 0.0 * time + 0.0 * temperature

    alike = _fractions(1600.0, 300.0, 1.3, 7e-4, seed=3, tasks=12, scatter=0.0)
    with pytest.warns(UserWarning, match="hardly better than a constant"):
        ms.meta_calibrate(level, alike)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ms.meta_calibrate(avrami, tasks)


def test_quantities_keep_their_unit() -> None:
    assert float(kinetics.hollomon_jaffe(1 * unit("h"), 600 * unit("degC"))) == pytest.approx(17463.0)
    assert float(kinetics.larson_miller(9878, 900 * unit("degF"))) == pytest.approx(18125.0, abs=1.0)
    assert float(kinetics.hollomon_jaffe_time(17463.0 * unit("K"), 600 * unit("degC"))) == pytest.approx(1.0)
    peaks = np.array([426.85, 441.85, 457.35]) * unit("degC")
    assert kinetics.kissinger([5.0, 10.0, 20.0], peaks).activation_energy == pytest.approx(181.0, abs=0.5)
    apart = [426.85 * unit("degC"), 441.85 * unit("degC"), 457.35 * unit("degC")]
    rates = np.array([5.0, 10.0, 20.0]) * unit("degC/min")
    assert kinetics.kissinger(rates, apart).activation_energy == pytest.approx(181.0, abs=0.5)
    assert float(kinetics.time_to_fraction(0.5, 1.0, 3.6 * unit("1/h"), 2.0)) == pytest.approx(832.6, abs=0.1)
    clock = Arrhenius(900.0)
    assert clock.speed(676.85 * unit("degC"), activation_energy=200.0) == pytest.approx(
        clock.speed(950.0, activation_energy=200.0)
    )
    assert Arrhenius(600 * unit("degC")).reference == pytest.approx(873.15)
    body = ms.patients.body
    assert body.body_surface(70 * unit("kg"), 1.70 * unit("m")) == pytest.approx(
        body.body_surface(70.0, 170.0)
    )


def test_models_take_quantities() -> None:
    values = {"rate": 1e-3, "activation_energy": 250.0, "exponent": 2.0}
    found = avrami({"time": 0.5 * unit("h"), "temperature": 620 * unit("degC")}, values)
    plain = avrami({"time": np.array(1800.0), "temperature": np.array(893.15)}, values)
    assert float(found) == pytest.approx(float(plain))
    in_joules = {**values, "activation_energy": 250_000 * unit("J/mol")}
    assert float(avrami({"time": 1800.0, "temperature": 893.15}, in_joules)) == pytest.approx(float(plain))


def test_quantities_of_another_kind_are_refused() -> None:
    with pytest.raises(InputError, match="temperature: 'hour' cannot be converted"):
        kinetics.hollomon_jaffe(1.0, 2 * unit("h"))
    with pytest.raises(InputError, match="some values carry a unit"):
        kinetics.kissinger([5.0, 10.0], [700.0, 440 * unit("degC")])


def test_all_covariates_are_all_that_the_card_marks(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = []
    for task, carbon in enumerate(np.linspace(0.1, 0.9, 12)):
        rate = 1e-3 * np.exp(2.0 * (carbon - 0.5))
        for time in (200.0, 600.0, 1500.0):
            fraction = 1.0 - np.exp(-((rate * time) ** 2.0)) + 0.01 * rng.normal()
            rows.append((f"a{task}", time, 600.0, carbon, fraction))
    frame = pd.DataFrame(rows, columns=["task", "time [s]", "temperature [degC]", "carbon [wt%]", "fraction"])
    card = Card.from_model(avrami, {"carbon": "percent"})
    tasks = TaskSet.from_frame(frame, card, model=avrami)
    prior = ms.meta_calibrate(avrami, tasks, covariates="all")
    assert prior.covariates.names == ("carbon",)
    assert prior.covariates.transforms == ("identity",)
    low, high = (
        prior.typical(carbon=f"{carbon} wt%").parameters.set_index("name").loc["rate", "estimate"]
        for carbon in (0.3, 0.7)
    )
    assert np.log(high / low) == pytest.approx(0.8, abs=0.1)
    prior.save(tmp_path / "saved")
    again = ms.load(tmp_path / "saved")
    assert again.model.covariates == {"carbon": "percent"}
    assert again.digest() == prior.digest()
    assert ms.meta_calibrate(avrami, tasks).covariates.names == ()


def _one_alloy(seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    time, kelvin = np.tile([300.0, 805.0, 2159.0, 5792.0], 4), np.repeat([1400.0, 1500.0, 1600.0, 1700.0], 4)
    truth = {"rate": 1e-4, "activation_energy": 300.0, "exponent": 1.3}
    clean = avrami.at_reference(1540.0)({"time": time, "temperature": kelvin}, truth)
    return pd.DataFrame(
        {"time [s]": time, "temperature [K]": kelvin, "fraction": clean + rng.normal(0, 0.03, 16)}
    )


def test_one_alloy_alone_is_fitted_with_declared_values(tmp_path: Path) -> None:
    fit = ms.Prior.declared(avrami).calibrate(_one_alloy())
    rows = fit.parameters.set_index("name")
    for name, value in (("activation_energy", 300.0), ("exponent", 1.3)):
        assert rows.loc[name, "lower"] < value < rows.loc[name, "upper"]
        assert rows.loc[name, "estimate"] == pytest.approx(value, rel=0.1)
    assert fit.prior.model.reference.temperature == 1540.0
    assert any("nothing was learned" in sentence for sentence in fit.warnings)
    assert fit.noise["sd"] == pytest.approx(0.03, rel=0.5)


def test_a_models_name_in_the_place_of_a_prior() -> None:
    from metasci.cli.arguments import learned_prior

    assert learned_prior("kinetics.avrami").training["declared"] is True
    assert "declared" not in learned_prior("steel_tempering").training
    with pytest.raises(InputError, match=r"no model or learned prior 'kinetics\.avramy'"):
        learned_prior("kinetics.avramy")


def test_lack_of_fit_is_told() -> None:
    """A curve that rises and falls is none that softening can follow: H13-like secondary hardening."""
    temperature, hardness = [20.0, 425.0, 510.0, 600.0, 650.0], [54.0, 53.0, 55.0, 46.0, 33.0]
    frame = pd.DataFrame({"time [h]": [1.0, 2.0, 2.0, 2.0, 2.0], "temperature [degC]": temperature,
                          "hardness [HRC]": hardness, "carbon [wt%]": 0.39})  # fmt: skip
    fit = ms.load("steel_tempering").calibrate(frame)
    assert any("cannot bend as these measurements do" in sentence for sentence in fit.warnings)


def test_a_rise_that_a_wide_prior_could_fit_is_told_by_its_measurements() -> None:
    """Contents far beyond those learned from: at odd parameters the curve passes within 2 HRC."""
    contents = {"carbon": 0.39, "chromium": 5.2, "molybdenum": 1.4, "vanadium": 0.95, "silicon": 1.05}
    hardness = np.array([54.0, 53.0, 55.0, 46.0, 33.0])
    frame = pd.DataFrame({"time [h]": [1.0, 2.0, 2.0, 2.0, 2.0], "temperature [degC]": [20, 425, 510, 600, 650],
                          **{f"{name} [wt%]": content for name, content in contents.items()}})  # fmt: skip
    prior = ms.load("steel_tempering")
    told = " ".join(prior.calibrate(frame.assign(**{"hardness [HRC]": hardness})).warnings)
    assert "hardness rises from 53 HRC at 425 °C to 55 HRC at 510 °C, where its curves only fall" in told
    falling = " ".join(prior.calibrate(frame.assign(**{"hardness [HRC]": np.sort(hardness)[::-1]})).warnings)
    assert "cannot bend" not in falling


def test_noise_about_a_flat_curve_is_no_turn() -> None:
    """Fractions that are complete scatter about one, each time up or down."""
    from metasci.fits.turning import turns

    tasks = _fractions(900.0, 250.0, 2.0, 1e-3, seed=6, tasks=60)
    prior = ms.meta_calibrate(avrami, tasks.select(slice(0, 20)))
    assert len(turns(prior.calibrate(tasks.select(slice(20, 60))))) <= 4


def test_measurements_of_the_law_itself_are_no_misfit() -> None:
    from metasci.fits.misfit import misfits

    tasks = _fractions(900.0, 250.0, 2.0, 1e-3, seed=6, tasks=40)
    prior = ms.meta_calibrate(avrami, tasks.select(slice(0, 20)))
    assert len(misfits(prior.calibrate(tasks.select(slice(20, 40))))) <= 2


def test_another_law_is_a_misfit() -> None:
    from metasci.fits.misfit import misfits

    tasks = _fractions(900.0, 250.0, 2.0, 1e-3, seed=6, tasks=10)
    prior = ms.meta_calibrate(avrami, tasks)
    frame = tasks.select([0]).to_frame()
    frame["fraction"] = 0.5 + 0.4 * np.sin(np.arange(len(frame)))
    found = misfits(prior.calibrate(frame[["time", "temperature", "fraction"]].set_axis(
        ["time [s]", "temperature [K]", "fraction"], axis=1)))  # fmt: skip
    assert len(found) == 1
    assert found[0].outlier is None


def test_a_single_slip_is_named() -> None:
    tasks = _fractions(900.0, 250.0, 2.0, 1e-3, seed=7, tasks=10)
    prior = ms.meta_calibrate(avrami, tasks)
    frame = tasks.select([0]).to_frame()[["time", "temperature", "fraction"]]
    frame.columns = ["time [s]", "temperature [K]", "fraction"]
    frame.loc[5, "fraction"] += 0.4
    sentences = prior.calibrate(frame).warnings
    assert any("measurement 6 (fraction" in each and "stands apart" in each for each in sentences)


_SALT = """data_{name}
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 {first}
Cl1 Cl 0.5 0.5 0.5 1.0

"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            _SALT.format(name="one", first="1.0") + _SALT.format(name="two", first="1.0"),
            r"2 crystals \(one, two\)",
        ),
        (_SALT.format(name="one", first="1.0 7"), "a row does not fit its columns"),
        (_SALT.format(name="one", first="?"), "the occupancy of site Na1 is"),
    ],
)
def test_a_cif_that_is_not_one_whole_crystal_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    pytest.importorskip("ase")
    from metasci.materials.crystals import atoms_of

    (tmp_path / "salt.cif").write_text(text)
    with pytest.raises(InputError, match=sentence):
        atoms_of(str(tmp_path / "salt.cif"))
    (tmp_path / "whole.cif").write_text(
        "data_empty\n_journal_year 2020\n\n" + _SALT.format(name="one", first="1.0")
    )
    assert len(atoms_of(str(tmp_path / "whole.cif"))) == 8


def test_per_cent_by_weight_is_read_where_it_is_said() -> None:
    pytest.importorskip("chemicals")
    from metasci.materials.compositions import canonical, fractions

    found = fractions("Fe-18Cr-8Ni wt%")
    weights = {"Fe": 74.0 / 55.845, "Cr": 18.0 / 51.9961, "Ni": 8.0 / 58.6934}
    for element, weight in weights.items():
        assert found[element] == pytest.approx(weight / sum(weights.values()), abs=1e-5)
    assert fractions("Ti-6Al-4V at%") == pytest.approx({"Ti": 0.9, "Al": 0.06, "V": 0.04})
    assert fractions("Ti-6Al-4V (at.%)") == pytest.approx({"Ti": 0.9, "Al": 0.06, "V": 0.04})
    assert fractions("Fe74Cr18Ni8 wt%") == pytest.approx(found)
    assert fractions("Fe74Cr18Ni8 at%") == pytest.approx({"Fe": 0.74, "Cr": 0.18, "Ni": 0.08})
    with pytest.raises(InputError, match="by weight or of atoms"):
        fractions("Ti-6Al-7Nb")
    with pytest.warns(UserWarning, match="write 'Ti-6Al-4V wt%'"):
        assert canonical("Ti6Al4V") == "Al4Ti6V"
    for text, meant in (("CuZn37", "Cu-37Zn"), ("TiAl6V4", "Ti-6Al-4V"), ("AlSi7Mg0.3", "Al-7Si-0.3Mg")):
        with pytest.warns(UserWarning, match=f"if they are per cent by weight, write '{meant} wt%'"):
            canonical(text)
    for text, total in (("Fe60Ni60 wt%", 120), ("Fe100Ni5 at%", 105), ("Al0.5CoCrFeNi at%", 4.5)):
        with pytest.raises(InputError, match=f"comes to {total} %, and not to 100"):
            canonical(text)
    assert fractions("Fe73.9Cr18.2Ni8.1 at%")["Cr"] == pytest.approx(0.182, abs=1e-3)  # rounded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canonical("Al0.25CoNi")
        canonical("Mg2SiO4")
        canonical("AlCo2Cr2Fe2Ni2")


def test_a_mistyped_duplicate_is_named() -> None:
    pytest.importorskip("rdkit")
    rows = pd.DataFrame(
        {"smiles": ["CCCCC=O", "CCCCC=O", "CCCCCC=O"], "boiling_point [degC]": [103, 1030, 131]}
    )
    sentences = ms.load("boiling_point").calibrate(rows).warnings
    assert any("are at odds" in sentence and "CCCCC=O" in sentence for sentence in sentences)


def test_a_report_says_the_unit_of_its_conditions() -> None:
    rows = pd.DataFrame(
        {"formula": ["CoCrNi"], "temperature [degC]": [25.0], "yield_strength [MPa]": [380.0]}
    )
    page = ms.load("alloy_strength").calibrate(rows).contents()["report.html"].decode()
    assert "<th>temperature (K)</th>" in page
    assert "<th>formula</th>" in page


def test_temperatures_are_printed_as_they_were_read() -> None:
    """They stood in kelvin, without a word, above a table of degC."""
    table = pd.DataFrame(
        {
            "formula": "CoCrFeNi",
            "temperature [degC]": [25, 400, 300],
            "yield_strength [MPa]": [250, 180, None],
        }
    )
    _, head, first, *_ = ms.load("alloy_strength").calibrate(table).summary().splitlines()
    assert head.split()[:3] == ["formula", "temperature", "[degC]"]
    assert first.split()[:3] == ["CoCrFeNi", "25.0", "250"]
