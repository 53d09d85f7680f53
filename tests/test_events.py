"""Event tables: what they become, and what is refused with which sentence."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from known import as_known
from scipy.optimize import minimize

import metasci as ms
from metasci.data.events.read import looks_like_events, read_events
from metasci.data.regimen import Regimen
from metasci.errors import InputError
from metasci.patients import (
    Occasion,
    Power,
    Structure,
    compartment_model,
    one_compartment as iv,
    one_compartment_bolus,
    quinidine,
)

HEADER = ["ID", "TIME", "AMT", "RATE", "EVID", "MDV", "ADDL", "II", "SS", "DV"]


def table(*rows: tuple, header: list[str] = HEADER) -> pd.DataFrame:
    return pd.DataFrame([dict(zip(header, row, strict=True)) for row in rows])


DOSE = (1, 0, 100, 0, 1, 1, 0, 0, 0, ".")
SAMPLE = (1, 2, 0, 0, 0, 0, 0, 0, 0, 5.0)


def test_a_dose_and_a_sample() -> None:
    data, card = read_events(table(DOSE, SAMPLE), iv)
    assert data["dose"].values.tolist() == [[100.0]]
    assert data["concentration"].values.tolist() == [[5.0]]
    assert card.output.name == "concentration"
    assert json.loads(data.attrs["records"])["measurements"] == 1
    assert json.loads(data.attrs["assumed_units"])["TIME"] == "h"


def test_additional_doses_are_those_written_out() -> None:
    short, _ = read_events(table((1, 0, 100, 50, 1, 1, 3, 8, 0, "."), (1, 30, 0, 0, 0, 0, 0, 0, 0, 5.0)), iv)
    rows = [(1, 8 * k, 100, 50, 1, 1, 0, 0, 0, ".") for k in range(4)]
    long, _ = read_events(table(*rows, (1, 30, 0, 0, 0, 0, 0, 0, 0, 5.0)), iv)
    assert set(short) == set(long)
    for name in ("dose", "dose_time", "dose_duration", "dose_interval"):
        np.testing.assert_array_equal(short[name].values, long[name].values)
    assert short["dose_duration"].values[0, 0] == 2.0
    counts = [json.loads(data.attrs["records"]) for data in (short, long)]
    assert [(each["doses"], each["additional_doses"]) for each in counts] == [(4, 3), (4, 0)]


def test_a_steady_state_forgets_and_the_second_kind_adds() -> None:
    rows = [DOSE, (1, 24, 100, 0, 1, 1, 0, 12, 1, "."), (1, 30, 0, 0, 0, 0, 0, 0, 0, 5.0)]
    forgets, _ = read_events(table(*rows), iv)
    assert forgets["dose_until"].values[0, 0] == 24.0
    assert forgets["dose_interval"].values.tolist() == [[0.0, 12.0]]
    rows[1] = (1, 24, 100, 0, 1, 1, 0, 12, 2, ".")
    adds, _ = read_events(table(*rows), iv)
    assert "dose_until" not in adds  # nothing is forgotten


def test_a_reset_ends_doses_and_may_start_time_anew() -> None:
    rows = [DOSE, SAMPLE, (1, 0, 50, 0, 4, 1, 0, 0, 0, "."), (1, 1, 0, 0, 0, 0, 0, 0, 0, 3.0)]
    data, _ = read_events(table(*rows), iv)
    np.testing.assert_allclose(data["dose_time"].values, [[0.0, 3.0]])
    assert data["dose_until"].values[0, 0] == pytest.approx(3.0)
    assert data["time"].values.tolist() == [[2.0, 4.0]]


def test_a_sample_before_a_dose_of_the_same_time_does_not_see_it() -> None:
    second = (1, 12, 100, 0, 1, 1, 0, 0, 0, ".")
    trough = (1, 12, 0, 0, 0, 0, 0, 0, 0, 1.0)
    prior_like = dict.fromkeys(iv.parameters.names, 0.0)
    predicted = []
    for order in ((trough, second), (second, trough)):
        tasks = ms.TaskSet.from_events(table(DOSE, *order), iv)
        batch = tasks.batch(iv)
        z = np.array([[list(prior_like.values())]])
        predicted.append(float(iv.at(torch.as_tensor(z), batch.inputs)[0, 0]))
    assert predicted[0] == pytest.approx(100 / 40 * np.exp(-12 * 5 / 40), rel=1e-9)
    assert predicted[1] == pytest.approx(predicted[0] + 100 / 40, rel=1e-9)


def test_measurements_below_the_limit_are_marked() -> None:
    header = [*HEADER, "LLOQ", "BLQ"]
    rows = [(*DOSE, 0.1, 0), (*SAMPLE, 0.1, 0), (1, 9, 0, 0, 0, 0, 0, 0, 0, ".", 0.1, 1)]
    tasks = ms.TaskSet.from_events(table(*rows, header=header), iv)
    batch = tasks.batch(iv)
    assert batch.censored is not None
    assert batch.censored.tolist() == [[False, True]]
    assert batch.output.tolist() == [[5.0, 0.1]]
    low = [(*DOSE, 0.1), (*SAMPLE[:-1], 0.02, 0.1)]
    data, _ = read_events(table(*low, header=[*HEADER, "LLOQ"]), iv)
    assert data["concentration_below"].values.tolist() == [[1.0]]
    assert data["concentration"].values.tolist() == [[0.1]]


def test_a_limit_on_the_row_of_a_dose_says_nothing_of_its_dv() -> None:
    """The classic form: neither EVID nor MDV, zeros in DV, and the limit in every row."""
    rows = pd.DataFrame(
        {"ID": 1, "TIME": [0, 1, 9], "AMT": [100, 0, 0], "DV": [0, 2.0, 0], "BLQ": [0, 0, 1], "LLOQ": 0.3}
    )
    batch = ms.TaskSet.from_events(rows, iv).batch(iv)
    assert batch.output.tolist() == [[2.0, 0.3]]
    assert batch.censored.tolist() == [[False, True]]
    wrong = rows.assign(DV=[0, 0.1, 0])
    with pytest.raises(InputError, match=r"row 1: 0\.1 lies below the limit"):
        ms.TaskSet.from_events(wrong, iv)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_unicode_text_of_spreadsheets_is_read(separator: str, tmp_path: Path) -> None:
    text = table(DOSE, SAMPLE).to_csv(index=False, sep=separator)
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "wide.csv").write_bytes(text.encode("utf-16"))
    plain, wide = (ms.TaskSet.from_events(tmp_path / f"{name}.csv", iv) for name in ("plain", "wide"))
    assert wide.dataset["concentration"].values.tolist() == plain.dataset["concentration"].values.tolist()


def test_units_in_headers_are_converted_and_checked() -> None:
    frame = pd.DataFrame(
        {"id": [1, 1], "time [min]": [0, 120], "Amt [g]": [0.1, 0], "dv [ug/L]": [".", 5000.0]}
    )
    data, _ = read_events(frame, iv)
    assert data["time"].values.tolist() == [[2.0]]
    np.testing.assert_allclose(data["dose"].values, [[100.0]])
    assert data["concentration"].values == pytest.approx(5.0)
    with pytest.raises(InputError, match=r"TIME cannot be in 'mg'"):
        read_events(frame.rename(columns={"time [min]": "TIME [mg]"}), iv)


def test_dates_and_clocks_are_hours_since_the_first_record() -> None:
    hours = table(DOSE, (1, 26.5, 0, 0, 0, 0, 0, 0, 0, 5.0))
    dated = hours.assign(DATE=["2024-02-28", "2024-02-29"], TIME=["08:00", "10:30"])
    stamped = hours.drop(columns="TIME").assign(DATETIME=["2024-02-28 08:00", "2024-02-29 10:30"])
    numbered = dated.assign(TIME=[8.0, 10.5])  # the hour of the day
    minutes = dated.drop(columns="TIME").assign(**{"TIME [min]": [480, 630]})
    for frame in (dated, stamped, numbered, minutes):
        data, _ = read_events(frame, iv)
        assert data["time"].values.tolist() == [[26.5]]
    with pytest.raises(InputError, match="write it as 2024-03-01"):
        read_events(dated.assign(DATE=["3/1/2024", "3/2/2024"]), iv)


def test_covariates_are_carried_forward_into_records_and_events() -> None:
    header = ["ID", "TIME", "AMT", "EVID", "DV", "weight [kg]", "alpha_1_acid_glycoprotein [g/L]",
              "creatinine_clearance", "heart_failure"]  # fmt: skip
    rows = [
        (1, 0, 200, 1, ".", 70, 0.8, 1, 0),
        (1, 3, 0, 2, ".", ".", 1.2, ".", "."),
        (1, 6, 0, 0, 2.0, ".", ".", ".", "."),
    ]
    data, card = read_events(table(*rows, header=header), quinidine, carried="forward")
    assert card.events["carried"] == "forward"
    assert data["dose"].values.tolist() == [[200.0, 0.0]]
    assert data["dose_alpha_1_acid_glycoprotein"].values.tolist() == [[0.8, 1.2]]
    assert data["alpha_1_acid_glycoprotein"].values.tolist() == [[1.2]]
    assert data["weight"].values.tolist() == [[70.0]]
    assert json.loads(data.attrs["records"])["passed_over"]["rows without dose or measurement"] == 1
    backward, _ = read_events(table(*rows, header=header), quinidine)
    assert backward["dose_alpha_1_acid_glycoprotein"].values.tolist() == [[0.8, 1.2]]
    assert backward["dose_time"].values.tolist() == [[0.0, 1e-300]]  # from just after the dose on
    with pytest.raises(InputError, match="carried is one of backward, forward, not 'sideways'"):
        read_events(table(*rows, header=header), quinidine, carried="sideways")


def changed(row: tuple, **values: object) -> tuple:
    return tuple(values.get(name, cell) for name, cell in zip(HEADER, row, strict=True))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((DOSE, SAMPLE, changed(SAMPLE, TIME=1)), r"row 2: time goes back from 2 to 1 within patient '1'"),
        ((changed(DOSE, AMT=0), SAMPLE), r"row 0: the dose has no amount"),
        (
            (DOSE, changed(SAMPLE, AMT=10)),
            r"row 1: an amount of 10 stands on a row that is no dose",
        ),
        ((changed(DOSE, AMT=-5), SAMPLE), r"row 0: the amount -5 is negative"),
        ((changed(DOSE, RATE=-1), SAMPLE), r"RATE -1 asks for a rate or duration that is estimated"),
        ((changed(DOSE, RATE=-2), SAMPLE), r"RATE -2 asks for a rate or duration that is estimated"),
        ((changed(DOSE, ADDL=2), SAMPLE), r"ADDL 2 needs II"),
        ((changed(DOSE, SS=1), SAMPLE), r"SS 1 needs II"),
        ((changed(DOSE, II=8), SAMPLE), r"II 8 needs ADDL or SS"),
        (
            (changed(DOSE, AMT=0, SS=1, II=2, RATE=10), SAMPLE),
            r"the interval 2 stands on an endless infusion",
        ),
        ((changed(DOSE, SS=3, II=2), SAMPLE), r"SS is 0, 1 or 2, not 3"),
        ((changed(DOSE, EVID=7), SAMPLE), r"EVID is 0, 1, 2, 3 or 4, not 7"),
        ((DOSE, changed(SAMPLE, MDV=2)), r"MDV is 0 or 1, not 2"),
        ((DOSE, changed(SAMPLE, DV=".")), r"row 1: the measurement is missing"),
        ((DOSE, changed(SAMPLE, DV="high")), r"'high' is not a number"),
        ((DOSE, changed(SAMPLE, TIME=".")), r"every record needs a time"),
        (
            (DOSE, SAMPLE, changed(DOSE, ID=2), changed(SAMPLE, ID=2), changed(SAMPLE, TIME=9)),
            r"'1' comes back",
        ),
        ((DOSE, changed(SAMPLE, ID=".")), r"nobody knows whose record"),
        ((changed(SAMPLE, TIME=0), changed(DOSE, TIME=1)), r"measured before the first dose"),
    ],
)
def test_records_that_make_no_sense_are_refused(rows: tuple, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_events(table(*rows), iv)


def test_what_a_model_cannot_do_is_said() -> None:
    frame = table(changed(DOSE, RATE=50), SAMPLE).assign(weight=70.0)
    with pytest.raises(InputError, match="an infusion needs a model whose doses tell their duration"):
        read_events(frame, one_compartment_bolus, units={"weight": "kg"})
    with pytest.raises(InputError, match="no column 'weight', which is needed"):
        read_events(table(DOSE, SAMPLE), one_compartment_bolus)


def test_ways_in_are_told_by_compartments() -> None:
    oral = ms.patients.two_compartment_first_order
    header = [*HEADER, "CMT"]
    vein = (1, 0, 100, 50, 1, 1, 0, 0, 0, ".", 2)
    mouth = (1, 12, 200, 0, 1, 1, 0, 0, 0, ".", 1)
    seen = (1, 14, 0, 0, 0, 0, 0, 0, 0, 5.0, 2)
    data, _ = read_events(table(vein, mouth, seen, header=header), oral)
    assert data["dose_compartment"].values.tolist() == [[2.0, 1.0]]
    assert data["dose_duration"].values.tolist() == [[2.0, 0.0]]
    with pytest.raises(InputError, match="row 0: an infusion that is to be absorbed is not modelled"):
        read_events(table(vein[:-1], mouth[:-1], seen[:-1]), oral)
    with pytest.raises(InputError, match="row 1: CMT 3 is no way in"):
        read_events(table(vein, (*mouth[:-1], 3), seen, header=header), oral)
    with pytest.raises(InputError, match="doses go into compartment 1 here and 2 before"):
        read_events(table(vein, mouth, seen, header=header), iv)
    with pytest.raises(InputError, match="an infusion needs a model whose doses tell their duration"):
        read_events(table(vein, seen, header=header), ms.patients.one_compartment_zero_order)


def test_what_is_an_event_table() -> None:
    assert looks_like_events(["ID", "TIME", "AMT", "DV"])
    assert not looks_like_events(["task", "time [h]", "dose [mg]", "concentration [mg/L]"])


def test_times_after_the_dose_alone_are_no_times(tmp_path: Path) -> None:
    path = tmp_path / "after.csv"
    path.write_text("ID,TAD,AMT [mg],DV [mg/L],EVID\n1,0,100,.,1\n1,2,0,1.7,0\n")
    with pytest.raises(InputError, match=r"after\.csv has no column 'TIME'; say which it is"):
        read_events(path, iv)


def test_a_regimen_becomes_the_event_table_of_the_same_doses() -> None:
    regimen = Regimen().oral(320, "mg").every("12 h", 6)
    frame = regimen.table(times=[2.0, "10 h"], values=[5.0, 2.0])
    data, _ = read_events(frame, iv)
    assert data["dose_time"].values.tolist() == [[0.0, 12.0, 24.0, 36.0, 48.0, 60.0]]
    both = Regimen().bolus(0.5, "g") + Regimen().infusion(300, "mg", over="30 min", at="1 day").steady_state(
        "8 h"
    )
    data, _ = read_events(both.table(times=[25.0], values=[1.0]), iv)
    np.testing.assert_allclose(data["dose"].values, [[500.0, 300.0]])
    np.testing.assert_allclose(data["dose_duration"].values, [[0.0, 0.5]])
    assert data["dose_until"].values[0, 0] == 24.0
    for wrong, sentence in (
        (lambda: Regimen().every("12 h", 2), "no dose yet"),
        (lambda: Regimen().oral(-1), "above zero"),
        (lambda: Regimen().oral(1, "mg").every("0 h", 2), "interval must be above zero"),
        (lambda: Regimen().infusion(1, "mg", over=0), "takes some time"),
        (lambda: Regimen().oral(1, "mg", at="2 kg"), "at"),
        (lambda: Regimen().table(), "at least one dose"),
        (lambda: Regimen().oral(1).table(times=[1.0], values=[1.0, 2.0]), "2 values for 1 times"),
    ):
        with pytest.raises(InputError, match=sentence):
            wrong()


@pytest.mark.needs_data("propofol")
def test_propofol_is_read_whole() -> None:
    tasks = ms.dataset("propofol")
    counts = json.loads(tasks.dataset.attrs["records"])
    assert (len(tasks), counts["measurements"], counts["doses"]) == (849, 13027, 37748)
    amount, duration = tasks.dataset["dose"].values, tasks.dataset["dose_duration"].values
    assert int(((amount > 0) & (duration == 0)).sum()) == 24
    assert len(set(tasks.groups("study"))) == 24


def test_shipped_event_tables_are_read_whole() -> None:
    quinidine_tasks, remifentanil_tasks = ms.dataset("quinidine"), ms.dataset("remifentanil")
    assert (len(quinidine_tasks), int(quinidine_tasks.counts.sum())) == (136, 361)
    assert int((quinidine_tasks.dataset["dose_interval"].values > 0).sum()) == 249
    assert (len(remifentanil_tasks), int(remifentanil_tasks.counts.sum())) == (65, 1992)


def test_a_prior_takes_an_event_table(tmp_path) -> None:
    path = tmp_path / "infusion.csv"
    text = "ID,TIME,AMT,RATE,DV,weight [kg],age [year],height [cm],lean_body_mass [kg],sex\n"
    person = "70,40,170,55,1"
    path.write_text(f"{text}a,0,1000,100,.,{person}\na,5,0,0,20,{person}\na,15,0,0,3,{person}\n")
    fit = ms.load("remifentanil").calibrate(path)
    assert int(fit.batch.mask.sum()) == 2
    assert fit.batch.inputs["dose_duration"].tolist() == [[[10.0]]]


def test_a_prior_of_a_single_dose_takes_repeated_ones_from_an_event_table() -> None:
    prior = as_known(ms.load("theophylline"))  # whose median is the curve at the estimate
    once = Regimen().oral(320, "mg").table([1.0, 9.0], [7.0, 4.0], value_unit="mg/L", weight="65 kg")
    plain = pd.DataFrame(
        {"subject": 1, "weight [kg]": 65.0, "dose [mg/kg]": 320 / 65, "time [h]": [1.0, 9.0],
         "concentration [mg/L]": [7.0, 4.0]}
    )  # fmt: skip
    fits = prior.calibrate(once), prior.calibrate(plain)
    np.testing.assert_allclose(*(fit.table()["estimate"] for fit in fits), rtol=1e-7)
    np.testing.assert_allclose(*(fit.table()["lower"] for fit in fits), rtol=1e-7)
    twice = Regimen().oral(320, "mg").every("12 h", 2)
    fit = prior.calibrate(twice.table([25.0], [8.0], weight="65 kg"))
    values = {row["name"]: row["estimate"] for row in fit.table().to_dict("records")}
    single = prior.model({"time": np.array([25.0, 13.0]), "dose": 320 / 65}, values)
    predicted = fit.predict(time=25.0)["median"].item()
    assert predicted == pytest.approx(single.sum(), rel=1e-9)


def test_infusions_steady_states_and_resets_reach_a_prior_of_boluses() -> None:
    prior = ms.load("phenobarbital")
    table = Regimen().infusion(30, "mg", over="1 h").steady_state("12 h").table(weight="1.5 kg")
    fit = prior.calibrate(table)
    values = {row["name"]: row["estimate"] for row in fit.table().to_dict("records")}
    rate, volume = values["clearance"] / values["volume"], 1.5 * values["volume"]
    peak = 30 / (rate * volume) * (1 - np.exp(-rate)) / (1 - np.exp(-12 * rate))
    assert fit.predict(time=1.0)["median"].item() == pytest.approx(peak, rel=1e-9)


def test_a_patient_without_measurements_is_the_typical_one_of_these_covariates() -> None:
    infused = Regimen().infusion(2500, "ug", over="10 min")
    about = {"weight": "64 kg", "age": "58 year", "height": "166 cm", "lean_body_mass": "46.5 kg", "sex": 2}
    fit = ms.load("remifentanil").calibrate(infused.table(**about))
    table = fit.table()
    np.testing.assert_array_equal(table["estimate"], table["prior"])
    np.testing.assert_allclose(table["shrinkage"], 1.0)
    assert fit.summary().count("warning") == 1
    assert "nothing was measured" in fit.summary()
    assert np.isfinite(fit.predict(time=[6.0, 600.0])["median"].values).all()
    with pytest.raises(InputError, match="not a number with a unit, such as '64 kg'"):
        infused.table(weight="sixty-four kg")


def predicted(model: ms.Model, frame: pd.DataFrame, carried: str = "backward", **values: float) -> np.ndarray:
    """What a model says at the measurements of the first patient, with typical values but for some."""
    inputs = ms.TaskSet.from_events(frame, model, carried=carried).batch(model).inputs
    parameters = {one.name: values.get(one.name, one.typical) for one in model.parameters}
    return model(
        inputs, {name: torch.full((1, 1), value, dtype=torch.float64) for name, value in parameters.items()}
    )[0].numpy()


def test_a_change_recorded_after_a_sample_of_the_same_time_is_kept() -> None:
    model = compartment_model(
        Structure(1), name="test_carried", effects={"clearance": [Power("weight", "kg", 70.0, 0.75)]},
        changing=("weight",),
    )  # fmt: skip
    header = ["ID", "TIME", "EVID", "AMT", "DV", "weight [kg]"]

    def at(change: float) -> pd.DataFrame:
        rows = [
            (1, 0, 1, 100, ".", 70),
            (1, 6, 0, 0, 1.0, 70),
            (1, change, 2, 0, ".", 35),
            (1, 24, 0, 0, 1.0, 35),
        ]
        return table(*rows, header=header)

    np.testing.assert_allclose(predicted(model, at(6.0)), predicted(model, at(6.0 + 1e-12)), rtol=1e-9)
    k = 5 / 40
    expected = 100 / 40 * np.exp(-k * np.array([6.0, 6.0 + 18 * 0.5**0.75]))
    np.testing.assert_allclose(predicted(model, at(6.0)), expected, rtol=1e-9)
    still = compartment_model(
        Structure(1), name="test_still", effects={"clearance": [Power("weight", "kg", 70.0, 0.75)]}
    )
    with pytest.raises(InputError, match="weight of patient '1' changes from 70 to 35, but model"):
        read_events(at(6.0), still)


def test_occasions_change_clearance_from_then_on() -> None:
    effects = {"clearance": [Occasion(parameter="clearance", count=2)]}
    model = compartment_model(Structure(1), name="test_occasions", effects=effects)
    rows = [(1, 0, 1, 100, ".", "."), (1, 12, 1, 100, ".", 2), (1, 14, 0, 0, 1.0, 2)]
    frame = table(*rows, header=["ID", "TIME", "EVID", "AMT", "DV", "OCC"])
    frame.loc[0, "OCC"] = 1
    k1, k2 = 5 / 40 * np.exp(0.5), 5 / 40 * np.exp(-0.5)
    found = predicted(model, frame, clearance_occasion_1=0.5, clearance_occasion_2=-0.5, carried="forward")
    np.testing.assert_allclose(found, 100 / 40 * (np.exp(-12 * k1) + 1) * np.exp(-2 * k2), rtol=1e-9)
    nonmem = predicted(model, frame, clearance_occasion_1=0.5, clearance_occasion_2=-0.5)
    np.testing.assert_allclose(nonmem, 100 / 40 * (np.exp(-14 * k2) + np.exp(-2 * k2)), rtol=1e-9)
    with pytest.raises(InputError, match="occasion"):
        read_events(frame.assign(OCC=[1, 7, 7]), model)
    with pytest.raises(InputError, match=r"OCC 1\.5 is no whole number"):
        read_events(frame.assign(OCC=[1, 1.5, 1.5]), model)


def test_bioavailability_is_that_of_the_occasion_of_the_dose() -> None:
    effects = {"bioavailability": [Occasion(parameter="bioavailability", count=2)]}
    model = compartment_model(Structure(1, bioavailability=True), name="test_fractions", effects=effects)
    rows = [(1, 0, 1, 100, ".", 1), (1, 12, 1, 100, ".", 2), (1, 20, 0, 0, 1.0, 2)]
    frame = table(*rows, header=["ID", "TIME", "EVID", "AMT", "DV", "OCC"])
    found = predicted(model, frame, bioavailability_occasion_1=0.3, bioavailability_occasion_2=-0.5)
    each = 0.7 * 100 / 40 * np.exp([0.3 - 20 / 8, -0.5 - 8 / 8])
    np.testing.assert_allclose(found, each.sum(), rtol=1e-9)


def test_a_dose_given_with_a_reset_is_lost_whatever_the_model() -> None:
    effects = {"clearance": [Power("weight", "kg", 70.0, 0.75)]}
    rows = [(1, 0, 1, 100, ".", 70), (1, 6, 1, 100, ".", 70), (1, 6, 4, 50, ".", 70), (1, 24, 0, 0, 1.0, 70)]
    frame = table(*rows, header=["ID", "TIME", "EVID", "AMT", "DV", "weight [kg]"])
    for changing in ((), ("weight",)):
        model = compartment_model(Structure(1), name="test_resets", effects=effects, changing=changing)
        np.testing.assert_allclose(predicted(model, frame), 50 / 40 * np.exp(-18 / 8), rtol=1e-9)


def test_two_outputs_are_told_by_their_measurements() -> None:
    model = ms.patients.indirect_response
    header = ["ID", "TIME", "EVID", "AMT", "DV", "DVID"]
    rows = [(1, 0, 0, 0, 95.0, 2), (1, 0, 1, 100, ".", "."), (1, 6, 0, 0, 8.0, 1), (1, 24, 0, 0, 60.0, 2)]
    data, _ = read_events(table(*rows, header=header), model)
    assert data["output"].values.tolist() == [[2.0, 1.0, 2.0]]
    assert data["dose_time"].values.tolist() == [[1e-300]]  # after what was measured before it
    rows[2] = (1, 6, 0, 0, 8.0, ".")
    with pytest.raises(InputError, match="every measurement needs to say which output"):
        read_events(table(*rows, header=header), model)
    rows[2] = (1, 6, 0, 0, 8.0, 3)
    with pytest.raises(InputError, match="row 2"):
        read_events(table(*rows, header=header), model)


def test_a_duration_that_the_model_estimates_is_rate_minus_two() -> None:
    rows = (changed(DOSE, RATE=-2), SAMPLE)
    data, _ = read_events(table(*rows), ms.patients.one_compartment_zero_order)
    assert data["dose"].values.tolist() == [[100.0]]
    with pytest.raises(InputError, match="zero-order absorption takes RATE -2"):
        read_events(table(*rows), iv)


def test_a_value_above_the_limit_is_not_below_it() -> None:
    header = [*HEADER, "LLOQ", "BLQ"]
    with pytest.raises(InputError, match="lies above the limit of quantification in LLOQ, but BLQ 1"):
        read_events(table((*DOSE, 0.5, 0), (*SAMPLE, 0.5, 1), header=header), iv)


def test_a_prior_learned_from_an_event_table_without_doses_takes_another() -> None:
    model = ms.patients.viral_decay_biphasic
    chance = np.random.default_rng(1)
    rows = [
        (f"p{who}", day, value + 0.1 * chance.standard_normal())
        for who in range(6)
        for day, value in ((0, 5.0), (7, 4.0), (14, 3.3), (28, 2.9), (56, 2.5))
    ]
    table = pd.DataFrame(rows, columns=["ID", "TIME", "DV"]).assign(EVID=0)
    tasks = ms.TaskSet.from_events(table, model)
    prior = ms.meta_calibrate(model, tasks, ms.GaussianPrior(iterations=3))
    fit = prior.calibrate(table[table["ID"] == "p1"])
    assert fit.tasks.names == ("p1",)
    assert int(fit.batch.mask.sum()) == 5


def test_a_limit_where_nothing_can_be_measured_yet_says_nothing() -> None:
    table = Regimen().oral("320 mg").table([6.0], [5.0], value_unit="mg/L")
    first = pd.DataFrame({"ID": ["patient"], "TIME [h]": [0.0], "DV [mg/L]": ["<0.2"], "EVID": [0]})
    both = pd.concat([table.iloc[:1], first, table.iloc[1:]])
    model = ms.patients.one_compartment_first_order
    tasks = ms.TaskSet.from_events(both, model), ms.TaskSet.from_events(table, model)
    old = ms.TaskSet.from_events(pd.concat([table, table.assign(ID="another")]), model)
    # were the noise not known, the limit would tell that it is no larger than that
    prior = as_known(ms.meta_calibrate(model, old, ms.GaussianPrior(iterations=1)))
    fits = [prior.calibrate(each) for each in tasks]
    np.testing.assert_allclose(*(fit.parameters["estimate"] for fit in fits), rtol=1e-9)
    np.testing.assert_allclose(*(fit.parameters["upper"] for fit in fits), rtol=1e-9)


def classic(value: object) -> pd.DataFrame:
    """The classic table of phenobarbital, as it has been handed on: neither EVID nor MDV, and a value on dose rows."""
    frame = ms.dataset("phenobarbital").to_frame()
    return pd.DataFrame({
        "ID": frame["task"], "TIME": frame["time"], "AMT": frame["dose"].fillna(0.0), "weight [kg]": frame["weight"],
        "apgar": frame["apgar"], "DV": frame["concentration"].astype(object).where(frame["dose"].isna(), value),
    }).sort_values(["ID", "TIME"], kind="stable")  # fmt: skip


@pytest.mark.parametrize("value", [0, ".", 12.5])
def test_what_stands_in_dv_on_the_row_of_a_dose_is_no_measurement(value: object) -> None:
    data, _ = read_events(classic(value), one_compartment_bolus)
    counts = json.loads(data.attrs["records"])
    assert (counts["patients"], counts["measurements"], counts["doses"]) == (59, 155, 589)
    assert counts["values_on_dose_rows"] == (589 if value == 12.5 else 0)
    frame = classic(value)
    own = ms.load("phenobarbital").calibrate(frame[frame["ID"] == "1"])
    assert int(own.batch.mask.sum()) == 2
    assert any("values in DV on rows of doses are no" in each for each in own.warnings) == (value == 12.5)
    both = pd.DataFrame({"ID": 1, "TIME": [0, 5, 9], "AMT": [100, 50, 0], "DV": [".", 2.0, 3.0]})
    shared, _ = read_events(both, iv, dose_rows_measure=True)
    assert shared["concentration"].values.tolist() == [[2.0, 3.0]]


def test_a_header_that_is_a_slip_is_refused_and_one_that_nobody_knows_is_named() -> None:
    frame = table(DOSE, SAMPLE)
    for slip, meant in (
        ("ADLL", "ADDL"),
        ("TIEM", "TIME"),
        ("RATTE", "RATE"),
        ("EVDI", "EVID"),
        ("AMTT", "AMT"),
    ):
        with pytest.raises(InputError, match=f"'{slip}' is not known; did you mean {meant}"):
            read_events(frame.rename(columns={meant: slip}), iv)
    for slip, meant in (("DURATON", "DURATION"), ("INTERVALL", "INTERVAL"), ("LIMT", "LIMIT")):
        with pytest.raises(InputError, match=f"'{slip}' is not known; did you mean {meant}"):
            read_events(frame.drop(columns=["II", "ADDL"]).assign(**{slip: 1.0}), iv)
    with pytest.raises(InputError, match="'wieght' is not known; did you mean weight"):
        read_events(frame.assign(wieght=70.0), one_compartment_bolus)
    data, _ = read_events(frame.drop(columns="RATE").assign(RACE=1, hospital="A", TAD=[0, 2]), iv)
    assert data.attrs["unknown"] == "RACE, hospital"
    assert data.attrs["dropped"] == "TAD"
    remifentanil = Regimen().infusion(2500, "ug", over="10 min").table(
        [6 / 60, 14 / 60], [52.0, 12.5], value_unit="ng/mL",
        weight="64 kg", age="58 year", height="166 cm", lean_body_mass="46.5 kg", sex=2,
    )  # fmt: skip
    fit = ms.load("remifentanil").calibrate(remifentanil.assign(ward="B", nurse=7))
    assert any("columns ward, nurse are not used" in warning for warning in fit.warnings)


def test_a_duration_says_what_a_rate_says() -> None:
    fast, _ = read_events(table(changed(DOSE, RATE=50), SAMPLE), iv)
    for header in ("DUR", "duration", "DURATION [min]", "TINF"):
        lasting = 120 if "min" in header else 2
        frame = table(DOSE, SAMPLE).drop(columns="RATE").assign(**{header: [lasting, 0]})
        data, _ = read_events(frame, iv)
        np.testing.assert_allclose(data["dose_duration"].values, fast["dose_duration"].values)
    both = table(changed(DOSE, RATE=50), SAMPLE).assign(DUR=[3, 0])
    with pytest.raises(InputError, match="row 0: the duration 3 is not the amount over the rate"):
        read_events(both, iv)
    read_events(both.assign(DUR=[2, 0]), iv)
    for rate, lasting in ((0.5, 100), (400, 0.5)):
        with pytest.raises(InputError, match=f"the duration {lasting} is not the amount over the rate"):
            read_events(both.assign(RATE=[rate, 0], DUR=[lasting, 0]), iv)
    with pytest.raises(InputError, match="row 1: DUR 2 stands on a row that gives no dose"):
        read_events(both.assign(DUR=[2, 2]), iv)


def test_limits_as_monolix_writes_them() -> None:
    frame = table(DOSE, SAMPLE, changed(SAMPLE, TIME=9, DV=0.1)).assign(CENS=[0, 0, 1])
    for limit in (None, [".", ".", 0]):
        data, _ = read_events(frame if limit is None else frame.assign(LIMIT=limit), iv)
        assert data["concentration_below"].values.tolist() == [[0.0, 1.0]]
        assert data["concentration"].values.tolist() == [[5.0, 0.1]]
    between, _ = read_events(frame.assign(LIMIT=[".", ".", 0.05]), iv)
    assert between["concentration"].values.tolist() == [[5.0, 0.05]]
    np.testing.assert_array_equal(between["concentration_upper"].values, [[np.nan, 0.1]])
    assert "concentration_below" not in between
    above = frame.assign(CENS=[0, -1, 0])
    for limit, upper in ((None, None), ([".", 8.0, "."], 8.0)):
        data, _ = read_events(above if limit is None else above.assign(LIMIT=limit), iv)
        assert data["concentration"].values.tolist() == [[5.0, 0.1]]
        if upper is None:
            assert data["concentration_above"].values.tolist() == [[1.0, 0.0]]
        else:
            np.testing.assert_array_equal(data["concentration_upper"].values, [[upper, np.nan]])
    with pytest.raises(InputError, match=r"'2' is neither 0, 1 \(below the limit\) nor -1"):
        read_events(frame.assign(CENS=[0, 0, 2]), iv)
    own, _ = read_events(
        frame.assign(DV=[".", 5.0, "."]).rename(columns={"CENS": "BLOQ"}).assign(LOQ=0.2), iv
    )
    assert own["concentration"].values.tolist() == [[5.0, 0.2]]


def test_levels_above_a_limit_and_between_two_numbers() -> None:
    """In any unit, to the bit what Monolix' flags say; and the calibration counts their probability."""
    levels = [".", ">5", "0.05..0.1", "≤ 0.02"]
    frame = table(DOSE, SAMPLE, changed(SAMPLE, TIME=9), changed(SAMPLE, TIME=12)).assign(DV=levels)
    data, _ = read_events(frame, iv)
    assert data["concentration"].values.tolist() == [[5.0, 0.05, 0.02]]
    assert data["concentration_above"].values.tolist() == [[1.0, 0.0, 0.0]]
    assert data["concentration_below"].values.tolist() == [[0.0, 0.0, 1.0]]
    np.testing.assert_array_equal(data["concentration_upper"].values, [[np.nan, 0.1, np.nan]])
    counts = json.loads(data.attrs["records"])
    assert counts["measurements"] == 3
    assert {counts[name] for name in ("below_limit", "above_limit", "between_limits")} == {1}
    small = frame.assign(DV=[".", ">5000", "50..100", "<20"]).rename(columns={"DV": "DV [ug/L]"})
    converted, _ = read_events(small, iv)
    np.testing.assert_allclose(converted["concentration_upper"].values, [[np.nan, 0.1, np.nan]])
    np.testing.assert_allclose(converted["concentration"].values, data["concentration"].values)
    for cell, sentence in (
        ("0.2..0.1", "begins above its end"),
        ("> much", "is not a number"),
        ("1..", "is not"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_events(frame.assign(DV=[".", cell, 1.0, 1.0]), iv)


@pytest.mark.parametrize(
    ("level", "sentence"),
    [
        ("3e20", "3e20 mg/L is more than any substance weighs; check"),
        ("-3e20", "weighs, and below zero; check"),
    ],
)
def test_no_level_is_heavier_than_a_substance_above_or_below_zero(level: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_events(table(DOSE, changed(SAMPLE, DV=level)).rename(columns={"DV": "DV [mg/L]"}), iv)
    read_events(table(DOSE, changed(SAMPLE, DV=-0.03)), iv)  # what an assay near its limit says


def test_rxode2_writes_the_compartment_into_evid() -> None:
    oral = ms.patients.one_compartment_first_order
    for evid, ways in ((101, [[1.0]]), (201, [[2.0]])):
        data, _ = read_events(table(changed(DOSE, EVID=evid), SAMPLE), oral)
        assert data["dose_compartment"].values.tolist() == ways
    steady, _ = read_events(table(changed(DOSE, EVID=110, II=12), SAMPLE), iv)
    assert steady["dose_interval"].values.tolist() == [[12.0]]
    for evid, sentence in (
        (10101, "rxode2's code of an infusion"),
        (130, "EVID is 0, 1, 2, 3 or 4, not 130"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_events(table(changed(DOSE, EVID=evid), SAMPLE), iv)
    for evid, model in ((201, iv), (301, oral)):  # a compartment that nothing enters, in a table without CMT
        with pytest.raises(InputError, match=f"column 'EVID', row 0: EVID {evid} names no"):
            read_events(table(changed(DOSE, EVID=evid), SAMPLE), model)
    with pytest.raises(InputError, match="CMT liver is no compartment that doses"):
        read_events(table(DOSE, SAMPLE).assign(CMT=["liver", ""]), iv)
    with pytest.raises(InputError, match="CMT 2 is not the compartment that EVID names"):
        read_events(table(changed(DOSE, EVID=101), SAMPLE).assign(CMT=2), oral)


def test_compartments_and_outputs_may_have_names() -> None:
    oral, frame = ms.patients.one_compartment_first_order, table(DOSE, SAMPLE)
    for names, way in ((["depot", "central"], 1.0), (["Central", "Central"], 2.0)):
        data, _ = read_events(frame.assign(CMT=names), oral)
        assert data["dose_compartment"].values.tolist() == [[way]]
    read_events(frame.assign(CMT=["central", "central"], DVID="cp"), iv)
    for model, names, sentence in (
        (oral, ["elbow", "central"], "CMT elbow is no way in"),
        (
            iv,
            ["depot", "central"],
            "CMT depot is no compartment that doses of 'patients.one_compartment' go into",
        ),
        (iv, [99, 1], "CMT 99 is no compartment that doses of"),
        (iv, [2, 1], "2 is central where a drug is absorbed"),
        (ms.patients.michaelis_menten_oral, ["iv", "iv"], "CMT iv is no compartment"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_events(frame.assign(CMT=names), model)
    with pytest.raises(InputError, match=r"'cp' is no number of an output .* codes = "):
        read_events(frame.assign(DVID="cp"), ms.patients.indirect_response)


def test_cells_may_be_separated_by_tabs_or_semicolons(tmp_path) -> None:
    lines = ["ID,TIME [h],AMT [mg],EVID,DV", "1,0,100.5,1,.", "1,2,0,0,1.75", "1,9,0,0,<0.25"]
    expected, _ = read_events(_written(tmp_path, "comma.csv", lines), iv)
    semicolons = [re.sub(r"\.(?=\d)", ",", line.replace(",", ";")) for line in lines]
    for name, rows in (("tab.tsv", [line.replace(",", "\t") for line in lines]), ("semi.csv", semicolons)):
        data, _ = read_events(_written(tmp_path, name, rows), iv)
        xr_equal = [np.array_equal(data[key].values, expected[key].values) for key in expected.data_vars]
        assert all(xr_equal)
        fit = ms.load("phenobarbital").calibrate(
            _written(tmp_path, name, [*(row + ("\t" if "\t" in row else ";") + end for row, end in
                                        zip(rows, ["weight [kg]", "1.5", "1.5", "1.5"], strict=True))])
        )  # fmt: skip
        assert int(fit.batch.mask.sum()) == 2


def _written(folder, name: str, lines: list[str]):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def _patient_with_card(folder, events: str, amount: str, level: str, rows: list[str]):
    """A folder with a table and the card that says what it means."""
    folder.mkdir()
    _written(folder, "levels.csv", [f"ID,TIME [h],{amount},{level},weight [kg]", *rows])
    lines = ['name = "mine"', 'file = "levels.csv"', 'model = "patients.one_compartment"', "[events]", 'ID = "ID"',
             'TIME = "TIME [h]"', f'AMT = "{amount}"', f'DV = "{level}"', events, "[columns.ID]", 'role = "task"',
             f'[columns."{level}"]', 'role = "output"', f'unit = "{level.split("[")[1][:-1]}"']  # fmt: skip
    _written(folder, "dataset.toml", lines)
    return folder


def test_a_prior_reads_a_folder_by_its_card(tmp_path) -> None:
    """What a covariate's change and a molar mass mean is said there, for the command line as well."""
    from typer.testing import CliRunner

    from metasci.cli.main import app

    def estimates(prior: str, data: object) -> dict[str, float]:
        result = CliRunner().invoke(app, ["calibrate", prior, str(data), "--json"])
        assert result.exit_code == 0, result.output
        return {row["name"]: row["estimate"] for row in json.loads(result.stdout)["parameters"]}

    prior = ms.Prior.published(
        Structure(1), source="made up", noise=ms.Proportional((0.1,)), changing=("weight",),
        typical={"clearance": "5 L/h", "volume": "40 L"}, variability={"clearance": 0.09, "volume": 0.04},
        covariates={"clearance": Power("weight", "kg", 70.0, 0.75)},
    )  # fmt: skip
    saved = str(prior.save(tmp_path / "prior"))
    rows = ["1,0,100,,70", "1,6,0,1.3,70", "1,24,0,0.2,35"]
    found = {
        carried: estimates(
            saved,
            _patient_with_card(tmp_path / carried, f'carried = "{carried}"', "AMT [mg]", "DV [mg/L]", rows),
        )
        for carried in ("backward", "forward")
    }

    def best(later: float) -> list[float]:
        def cost(eta: np.ndarray) -> float:
            rate, volume = 5.0 * np.exp(eta[0]) / (40.0 * np.exp(eta[1])), 40.0 * np.exp(eta[1])
            f = 100.0 / volume * np.exp(-rate * np.array([6.0, 6.0 + 18.0 * later]))
            return float(
                (((np.array([1.3, 0.2]) - f) / (0.1 * f)) ** 2 + 2.0 * np.log(f)).sum()
                + eta[0] ** 2 / 0.09
                + eta[1] ** 2 / 0.04
            )

        eta = minimize(cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
        return [5.0 * np.exp(eta[0]), 40.0 * np.exp(eta[1])]

    for carried, later in (("backward", 0.5**0.75), ("forward", 1.0)):
        assert list(found[carried].values()) == pytest.approx(best(later), rel=1e-5)
    # the same in moles
    rows = ["1,0,0.5,,70", "1,6,0,6.5,70", "1,24,0,1,70"]
    grams = ["1,0,116.1,,70", "1,6,0,1.5093,70", "1,24,0,0.2322,70"]
    mass = 'molar_mass = "232.2 g/mol"'
    moles = estimates(saved, _patient_with_card(tmp_path / "m", mass, "AMT [mmol]", "DV [umol/L]", rows))
    same = estimates(saved, _patient_with_card(tmp_path / "g", "", "AMT [mg]", "DV [mg/L]", grams))
    assert list(moles.values()) == pytest.approx(list(same.values()), rel=1e-9)


def test_clocks_zones_and_slashes() -> None:
    frame = table(DOSE, SAMPLE, changed(SAMPLE, TIME=26))
    for name, written in (
        ("DATETIME", ["2022/02/02 08:00", "2022/02/02 10:00", "2022/02/03 10:00"]),
        ("DATETIME", ["2022-02-02T08:00Z", "2022-02-02T12:00+02:00", "2022-02-03T05:00:00-0500"]),
        ("TIME", ["2022-2-2 8:00", "2022-2-2 10:00", "2022-2-3 10:00"]),
    ):
        data, _ = read_events(frame.drop(columns="TIME").assign(**{name: written}), iv)
        assert data["time"].values.tolist() == [[2.0, 26.0]]
    data, _ = read_events(frame.iloc[:2].assign(TIME=["08:00", "10:00"]), iv)
    assert data["time"].values.tolist() == [[2.0]]
    for written, sentence in (
        (["08:00", "10:00", "09:00"], "the clock goes back from 10:00 to 09:00, which needs a column DATE"),
        (
            ["2022-02-02 08:00Z", "2022-02-02 10:00", "2022-02-03 10:00"],
            "some times say their zone and others do not",
        ),
        (["2022/02/30 08:00", "2022/03/02 10:00", "2022/03/03 10:00"], "there is no day '2022/02/30'"),
        (["08:00", "08:30:60", "09:00"], "'08:30:60' is no time of the day; write it as 08:30"),
        (["2/3/2022 08:00", "2/3/2022 10:00", "2/3/2022 12:00"], "write it as 2024-03-01 08:30"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_events(frame.assign(TIME=written), iv)


def test_negative_times_run_from_the_first_record_of_a_patient_who_is_given_doses() -> None:
    frame = table(changed(DOSE, TIME=-24), changed(SAMPLE, TIME=-1), changed(SAMPLE, TIME=2))
    data, _ = read_events(frame, iv)
    assert (data["dose_time"].values.tolist(), data["time"].values.tolist()) == ([[0.0]], [[23.0, 26.0]])
    assert json.loads(data.attrs["records"])["patients_from_first_record"] == 1
    before, _ = read_events(table(changed(DOSE, TIME=-24), SAMPLE), iv)  # only the dose is before zero
    assert (before["dose_time"].values.tolist(), before["time"].values.tolist()) == ([[-24.0]], [[2.0]])
    frame = pd.DataFrame({"ID": 1, "TIME": [-3, 7], "DV": [5.0, 4.0], "EVID": 0})
    with pytest.raises(InputError, match="-3 lies below the least time allowed"):
        read_events(frame, ms.patients.viral_decay_biphasic)


def test_concentrations_are_in_the_units_that_the_model_says() -> None:
    nano = compartment_model(Structure(1), name="test_nano", output=ms.Output("concentration", "ng/mL"))
    frame = pd.DataFrame(
        {"ID": 1, "TIME": [0, 2, 8], "AMT [mg]": [100, 0, 0], "DV [ng/mL]": [".", 1700, 1050]}
    )
    k = np.log(1700 / 1050) / 6
    volume = 100 / (1.7 * np.exp(2 * k))
    found = predicted(nano, frame, clearance=k * volume, volume=volume)
    np.testing.assert_allclose(found, [1700, 1050], rtol=1e-9)
    assert 3.5 < k * volume < 4.5
    with pytest.raises(InputError, match="concentration cannot be in 'kg'"):
        compartment_model(Structure(1), name="test_kilos", output=ms.Output("concentration", "kg"))
    molar = ms.Output("concentration", "umol/L")
    with pytest.raises(InputError, match="the molar mass leads; give it, molar_mass="):
        compartment_model(Structure(1), name="test_moles", output=molar)
    model = compartment_model(Structure(1), name="test_moles", output=molar, molar_mass="250 g/mol")
    np.testing.assert_allclose(
        predicted(model, frame.drop(columns="DV [ng/mL]").assign(DV=[".", 1, 1]))[0],
        10 * np.exp(-0.25),
        rtol=1e-9,
    )
    moles = frame.drop(columns="DV [ng/mL]").assign(**{"DV [umol/L]": [".", 6.8, 4.2]})
    with pytest.raises(
        InputError, match=r"from 'umol/L' to 'mg/L' the molar mass leads; .* \[events\] of a card"
    ):
        read_events(moles, iv)
    data, card = read_events(moles, iv, molar_mass="250 g/mol")
    np.testing.assert_allclose(data["concentration"].values, [[1.7, 1.05]])
    assert card.events["molar_mass"] == "250 g/mol"
    with pytest.raises(InputError, match="molar_mass is a mass per mole"):
        read_events(moles, iv, molar_mass="250 g")


def test_a_card_says_how_a_table_is_read(tmp_path) -> None:
    _written(tmp_path, "mine.csv", ["who,when,given,level", "a,0,100,7", "a,4,50,9.5", "a,9,0,2"])
    card = """
name = "mine"
file = "mine.csv"
model = "patients.one_compartment"
[events]
ID = "who"
TIME = "when [h]"
AMT = "given [mmol]"
DV = "level [mg/L]"
molar_mass = "250 mg/mmol"
dose_rows_measure = "yes"
allow_before_dose = "yes"
[columns.who]
role = "task"
[columns.level]
role = "output"
unit = "mg/L"
"""
    (tmp_path / "dataset.toml").write_text(card)
    tasks = ms.dataset(tmp_path)
    assert tasks.dataset["concentration"].values.tolist() == [[7.0, 9.5, 2.0]]
    np.testing.assert_allclose(tasks.dataset["dose"].values, [[25000.0, 12500.0]])
    (tmp_path / "dataset.toml").write_text(
        card.replace('allow_before_dose = "yes"', 'allow_before_dose = "perhaps"')
    )
    with pytest.raises(InputError, match="allow_before_dose = 'perhaps'; write yes or no"):
        ms.dataset(tmp_path)


def test_one_patient_needs_no_name() -> None:
    rows = "TIME [h],AMT [mg],DV [mg/L],weight [kg]\n0,25,.,1.4\n2,.,17.3,1.4\n12.5,3.5,.,1.4\n"
    named = pd.read_csv(io.StringIO(rows), dtype=str)
    alone, _ = read_events(named, one_compartment_bolus)
    with_name, _ = read_events(named.assign(ID="patient"), one_compartment_bolus)
    xr.testing.assert_equal(alone, with_name)
    with pytest.raises(InputError, match=r"no column 'ID'.*not in use: bed"):
        read_events(named.assign(bed="7"), one_compartment_bolus)


def test_rows_of_comments_are_none_of_the_records() -> None:
    """A frame whose first column holds a remark, or NONMEM's column C with a lone C in it."""
    expected, _ = read_events(table(DOSE, SAMPLE), iv)
    rows = table(DOSE, changed(SAMPLE, DV=9.0), SAMPLE)
    remarked = rows.astype(object)
    remarked.loc[1] = ["# the pump was changed", *[np.nan] * (len(HEADER) - 1)]
    struck = rows.copy()
    struck.insert(0, "C", [".", "C", "."])
    for frame in (remarked.astype({"TIME": float}), struck):
        data, _ = read_events(frame, iv)
        assert json.loads(data.attrs["records"])["comments"] == 1
        for name in expected.data_vars:
            np.testing.assert_array_equal(data[name].values, expected[name].values)


@pytest.mark.parametrize("carried", ["backward", "forward"])
def test_additional_doses_leave_the_covariates_of_their_time_as_they_are(carried: str) -> None:
    """A weight recorded between them holds on, as where every dose has a row that says it."""
    model = compartment_model(
        Structure(1), name="test_additional", effects={"clearance": [Power("weight", "kg", 70.0, 0.75)]},
        changing=("weight",),
    )  # fmt: skip
    header = ["ID", "TIME", "EVID", "AMT", "ADDL", "II", "DV", "weight [kg]"]
    told, seen = (1, 10, 2, 0, 0, 0, ".", 35), (1, 30, 0, 0, 0, 0, 1.0, 20)
    short = [(1, 0, 1, 100, 3, 8, ".", 70), told, seen]
    later = {"forward": (70, 35, 35), "backward": (35, 20, 20)}[carried]
    doses = [(1, 8 * k, 1, 100, 0, 0, ".", weight) for k, weight in enumerate(later, 1)]
    long = [(1, 0, 1, 100, 0, 0, ".", 70), doses[0], told, *doses[1:], seen]
    found = [predicted(model, table(*rows, header=header), carried) for rows in (short, long)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
