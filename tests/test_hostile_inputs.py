"""What strangers' files once did: hang, fill the memory, or be believed; each is one sentence now."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kills
import numpy as np
import pytest
import torch

import metasci as ms
from metasci.catalogue import shipped
from metasci.data.cards import Card
from metasci.data.tables import read_table
from metasci.errors import InputError
from metasci.expressions import bounded, compiled
from metasci.files import read_tensors, write_tensors
from metasci.library import find
from metasci.meta.descriptions import describe, method_from
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.patients.stream_checks import check_stream
from metasci.unit_grammar import factors_of

HEAD = "$PROBLEM a drug\n$INPUT ID TIME AMT DV WT\n$DATA {data} IGNORE=@\n$PK\nCL = {formula}\n"


@pytest.fixture
def within_seconds() -> Iterator[None]:
    """End a test that waits for what never comes."""

    def overdue(*_: object) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, overdue)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes with names")
@pytest.mark.parametrize("name", ["theophylline", "steel_tempering", "boiling_point"])
def test_a_pipe_in_the_place_of_a_table_is_refused(name: str, tmp_path: Path, within_seconds: None) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="no regular file"):
        ms.load(name).calibrate(tmp_path / "pipe.csv")


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes with names")
@pytest.mark.parametrize("lacking", ["prior.json", "prior.safetensors"])
def test_a_pipe_among_the_files_of_a_prior_is_refused(
    lacking: str, tmp_path: Path, within_seconds: None
) -> None:
    for name in ("prior.json", "prior.safetensors"):
        content = (shipped("models") / "theophylline" / name).read_bytes()
        os.mkfifo(tmp_path / name) if name == lacking else (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="no regular file"):
        ms.load(tmp_path)


def test_a_long_table_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its rows are split: fifteen megabytes took twenty seconds."""
    path, model = tmp_path / "long.csv", find("patients.one_compartment_oral")
    path.write_text("time [h],dose [mg/kg],weight [kg]\n" + 120_000 * "1,4,72.5\n")
    monkeypatch.setattr("metasci.data.tables.table_of", lambda *_: pytest.fail("its rows are split"))
    with pytest.raises(InputError, match="has no column 'concentration'"):
        read_table(path, Card.from_model(model), model)


def test_a_long_table_that_is_whole_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metasci.data.text_tables._LONG", 1000)
    path, model = tmp_path / "long.csv", find("patients.one_compartment_oral")
    path.write_text(
        "# oven 3\ntime [h];dose [mg/kg];concentration [mg/L];weight [kg]\n" + 60 * "1,5;4,0;7,25;72,5\n"
    )
    table = read_table(path, Card.from_model(model), model)
    assert len(table) == 60
    assert table["concentration"].unique().tolist() == [7.25]


def test_a_workbook_of_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    from metasci.data.cells import table_of

    book = openpyxl.Workbook()
    for _ in range(30):
        book.active.append([1.0] * 5)
    with io.BytesIO() as written:
        book.save(written)
        content = written.getvalue()
    assert len(table_of(content, "a.xlsx")) == 29
    monkeypatch.setattr("metasci.data.workbooks._MOST_CELLS", 100)
    with pytest.raises(InputError, match="more than 100 cells; save the sheet as CSV"):
        table_of(content, "a.xlsx")


def test_a_packed_table_without_a_line_s_end_is_not_read_as_a_header(tmp_path: Path) -> None:
    import gzip

    from metasci.data.events.cells import headers_of

    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"\0" * 5_000_000))
    assert sum(map(len, headers_of(tmp_path / "a.csv.gz"))) <= 2**20


@pytest.mark.parametrize("text", ["%h", "%rh", "‰min"])
def test_a_percent_sign_begins_no_name(text: str) -> None:
    with pytest.raises(InputError, match="is not a unit"):
        factors_of(text, known=str.isalpha)


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        (("exp", 1e9), math.inf),
        (("div", 1.0, 0.0), math.inf),
        (("div", 0.0, 0.0), math.nan),
        (("pow", 10.0, 400.0), math.inf),
        (("pow", 0.0, -1.0), math.inf),
        (("pow", -2.0, 3.0), -8.0),
        (("sin", math.inf), math.nan),
        (("trunc", math.inf), math.inf),
        (("trunc", -2.7), -2.0),
        (("floor", -2.7), -3.0),
        (("where", ("and", 1.0, ("gt", 2.0, 1.0)), 5.0, 6.0), 5.0),
        (("where", ("not", 3.0), 5.0, 6.0), 6.0),
    ],
)
def test_formulas_of_numbers_are_as_arrays_have_them(formula: Any, value: float) -> None:
    np.testing.assert_equal(compiled(formula)({}), value)


def test_whole_powers_of_arrays_are_their_products() -> None:
    x = torch.linspace(-2.0, 2.0, 5, dtype=torch.float64)
    assert torch.equal(compiled(("pow", "x", 3.0))({"x": x}), x**3)
    assert torch.isinf(compiled(("pow", "x", 1e30))({"x": x}))[0]


def test_formulas_have_a_size_and_a_depth() -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = ("exp", deep)
    with pytest.raises(InputError, match="nested more than 200 deep"):
        bounded(deep, "here")
    with pytest.raises(InputError, match="more than 20000 parts"):
        bounded(("add", *["x"] * 20_000), "here")


@pytest.mark.parametrize(
    "formula",
    ["9**9**9", "2**999999999", "2**(1000*1000)", "THETA(1)**9**9", "2**(9**9)", "WT**1E9", "2 ** -999"],
)
def test_powers_of_numbers_that_fill_the_memory_are_refused(formula: str, tmp_path: Path) -> None:
    (tmp_path / "run1.mod").write_text(HEAD.format(data="none.csv", formula=formula))
    with pytest.raises(InputError, match="is greater than 99"):
        check_stream(tmp_path / "run1.mod")


@pytest.mark.parametrize(
    "formula",
    [
        "THETA(1)*(WT/70)**0.75",
        "WT**(1/3)",
        "2**10",
        "WT**(-0.25)",
        "WT**THETA(2)**2 ; 9**9**9",
        "WT**(2*THETA(3))",
    ],
)
def test_powers_that_models_have_are_taken(formula: str, tmp_path: Path) -> None:
    (tmp_path / "run1.mod").write_text(HEAD.format(data="none.csv", formula=formula))
    check_stream(tmp_path / "run1.mod")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("none.csv", "/dev/zero"), "no regular file"),
        (lambda text: text + "$OMEGA BLOCK(200) 0.1\n", "larger than 60"),
        (lambda text: text + "; \n" * 4000, "up to 3000"),
        (lambda text: text + ";" * 2**20, "are read"),
    ],
)
def test_control_streams_are_bounded(change: Callable[[str], str], words: str, tmp_path: Path) -> None:
    (tmp_path / "run1.mod").write_text(change(HEAD.format(data="none.csv", formula="THETA(1)")))
    with pytest.raises(InputError, match=words):
        check_stream(tmp_path / "run1.mod")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<a>" * 400 + "</a>" * 400, "nested more than 300 deep"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>', "document type"),
        ("<a", "no XML"),
    ],
)
def test_models_in_xml_are_looked_through_before_they_are_parsed(
    content: str, words: str, tmp_path: Path
) -> None:
    """libsbml calls itself for each element, until its stack is full and the process gone."""
    from metasci.petab.sbml import read_network

    (tmp_path / "model.xml").write_text(content)
    with pytest.raises(InputError, match=words):
        read_network(tmp_path / "model.xml")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("penalty", "x"), ("penalty", [0.1]), ("penalty", float("nan")), ("penalty", True), ("iterations", 1.5),
        ("iterations", 2**70), ("shots", [1]), ("shots", "1"), ("support", 5), ("compile", 1), ("frozen", [1]),
        ("step_size", [0.1]),
    ],
)  # fmt: skip
def test_what_a_file_says_of_a_method_is_of_its_type(field: str, value: Any) -> None:
    described = describe(ms.MAML())
    assert method_from(described) == ms.MAML()
    with pytest.raises(InputError, match=field):
        method_from({**described, field: value})


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("precision", lambda value: -value, "no precision"),
        ("pull", lambda value: value * torch.nan, "'pull' is not finite"),
        ("width", lambda value: -value, "'width' must be above zero"),
        ("log_noise", lambda value: value + 100.0, "logarithm of no scale"),
        ("freedom", lambda value: value * 0.0, "'freedom' must be above zero"),
    ],
)
def test_a_learned_process_is_looked_through(name: str, change: Callable[[Any], Any], words: str) -> None:
    state = ms.load("steel_tempering_discrepancy").state
    assert isinstance(state, DiscrepancyState)
    state.check()
    with pytest.raises(InputError, match=words):
        dataclasses.replace(state, **{name: change(getattr(state, name))}).check()


@pytest.mark.parametrize("name", ["centre", "precision", "pull", "rows/place", "rows/task"])
def test_a_learned_process_that_lacks_a_part_says_which(name: str) -> None:
    state = ms.load("steel_tempering_discrepancy").state
    assert isinstance(state, DiscrepancyState)
    tensors = state.tensors()
    assert DiscrepancyState.of(tensors).tensors().keys() == tensors.keys()
    with pytest.raises(InputError, match=f"'{re.escape(name)}' is missing"):
        DiscrepancyState.of({key: value for key, value in tensors.items() if key != name})


def test_a_finished_piece_that_was_changed_is_calibrated_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, tasks = ms.load("theophylline"), ms.dataset("theophylline").select(slice(0, 2))
    expected = prior.calibrate_many(tasks, chunk=1)

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metasci.priors.many.assemble", ended)
    with pytest.raises(KeyboardInterrupt):
        prior.calibrate_many(tasks, chunk=1, out=tmp_path / "many.nc")
    monkeypatch.undo()
    piece = sorted((tmp_path / ".many.nc.parts").glob("*.nc"))[0]
    content = bytearray(piece.read_bytes())
    at = content.index(np.float64(expected["estimate"].values[0, 0]).tobytes())
    content[at + 6] ^= 1  # one bit of an estimate
    piece.write_bytes(content)
    found = prior.calibrate_many(tasks, chunk=1, out=tmp_path / "many.nc")
    np.testing.assert_array_equal(found["estimate"], expected["estimate"])


def test_a_checkpoint_that_was_changed_is_refused(tmp_path: Path) -> None:
    path, tasks, model = (
        tmp_path / "half.safetensors",
        ms.dataset("alloy_fatigue"),
        find("kinetics.crack_growth"),
    )
    ms.meta_calibrate(model, tasks, checkpoint=path)
    tensors, said = read_tensors(path)
    write_tensors(path, {**tensors, "log_noise": tensors["log_noise"] + 1.0}, said)
    with pytest.raises(InputError, match="holds other numbers than were written"):
        ms.meta_calibrate(model, tasks, checkpoint=path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("name", [name for name in kills.WORK if name != "study"])
def test_work_that_is_killed_at_random_ends_as_if_it_was_not(name: str) -> None:
    kills.often_kept()
    assert not kills.killed(name, 3).faults


def test_rows_of_no_task_are_refused(tmp_path: Path) -> None:
    prior = ms.load("steel_tempering_discrepancy")
    tensors = prior.state.tensors()
    spoiled = {**tensors, "rows/task": torch.full_like(tensors["rows/task"], torch.inf)}
    dataclasses.replace(prior, state=prior.method.state_of(spoiled)).save(tmp_path / "spoiled")
    with pytest.raises(InputError, match="'rows/task' holds what is no number of a task"):
        ms.load(str(tmp_path / "spoiled"))
