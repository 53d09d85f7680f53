"""The catalogue: what ships is found, what does not is looked for, fetched, and compared with its card."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metasci import catalogue
from metasci.data.cards import Card
from metasci.errors import InputError

CSV = b"time [h],y\n0,1\n1,2\n"
SUM = hashlib.sha256(CSV).hexdigest()


def folder_with(tmp_path: Path, line: str, checksum: str = SUM) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir(exist_ok=True)
    (folder / "dataset.toml").write_text(
        f'name = "mine"\n{line}\nsha256 = "{checksum}"\n'
        '[columns."time [h]"]\nname = "time"\nrole = "input"\nunit = "h"\n[columns.y]\nrole = "output"\nunit = "1"\n'
    )
    return folder


@pytest.fixture(autouse=True)
def no_data_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "needs_data" not in request.keywords:
        monkeypatch.delenv("METASCI_DATA_DIR", raising=False)


def test_names_and_cards():
    known = catalogue.names("datasets")
    assert {"theophylline", "phenobarbital", "alloy_fatigue", "steel_tempering"} <= set(known)
    for name in known:
        assert catalogue.card(name).name == name
    assert isinstance(catalogue.names("models"), tuple)
    with pytest.raises(InputError, match="nothing of the kind 'studies' ships"):
        catalogue.names("studies")


def test_a_wheel_carries_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "metasci"
    (package / "_shipped").mkdir(parents=True)
    shutil.copytree(
        catalogue.shipped("datasets") / "theophylline", package / "_shipped/datasets/theophylline"
    )
    monkeypatch.setattr(catalogue, "__file__", str(package / "catalogue.py"))
    assert catalogue.names("datasets") == ("theophylline",)
    assert len(catalogue.dataset("theophylline")) == 12
    assert catalogue.names("models") == ()


def test_unknown_names_are_met_with_known_ones():
    with pytest.raises(
        InputError, match=r"no data set or file 'theofylline'; data sets are alloy_fatigue, .*theophylline"
    ):
        catalogue.dataset("theofylline")
    with pytest.raises(InputError, match="no data set or file"):
        catalogue.card("nowhere")


def test_folder_with_a_card(tmp_path: Path):
    folder = folder_with(tmp_path, 'file = "data.csv"')
    with pytest.raises(InputError, match="data of 'mine' cannot be read"):
        catalogue.dataset(folder)
    (folder / "data.csv").write_bytes(CSV)
    assert catalogue.dataset(folder).names == ("data",)
    (folder / "data.csv").write_bytes(CSV.replace(b"2", b"3"))
    with pytest.raises(InputError, match=rf"data.csv' is not the file .* 'mine' .* should be {SUM}"):
        catalogue.dataset(folder)
    with pytest.raises(InputError, match="has no dataset"):
        catalogue.dataset(tmp_path)


def test_csv_needs_a_card_and_netcdf_has_one(tmp_path: Path):
    path = tmp_path / "new.csv"
    path.write_bytes(CSV)
    with pytest.raises(InputError, match="needs a card"):
        catalogue.dataset(path)
    card = Card.from_toml(folder_with(tmp_path, 'file = "data.csv"') / "dataset.toml")
    tasks = catalogue.dataset(path, card=card)
    assert tasks.names == ("new",)
    assert catalogue.dataset(tasks.to_netcdf(tmp_path / "new.nc")).dataset.identical(tasks.dataset)


def test_external_data_say_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = folder_with(tmp_path, 'external = "somewhere/data.csv"')
    with pytest.raises(
        InputError, match=r"set METASCI_DATA_DIR to the folder that holds 'somewhere/data.csv' .* not set"
    ):
        catalogue.dataset(folder)
    monkeypatch.setenv("METASCI_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match="METASCI_DATA_DIR is"):
        catalogue.dataset(folder)
    (tmp_path / "somewhere").mkdir()
    (tmp_path / "somewhere/data.csv").write_bytes(CSV)
    assert catalogue.dataset(folder).counts.tolist() == [2]
    (tmp_path / "somewhere/data.csv").write_bytes(CSV + b"2,3\n")
    with pytest.raises(InputError, match="its SHA-256 is"):
        catalogue.dataset(folder)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server on this machine that gives the file data.csv."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "data.csv").write_bytes(CSV)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(served))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_external_data_are_fetched_once(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda _: tmp_path / "cache")
    folder = folder_with(tmp_path, f'external = "x/data.csv"\nurl = "{server}/data.csv"')
    with pytest.raises(InputError, match=r"do not ship: set .* or fetch them with `metasci fetch mine`"):
        catalogue.dataset(folder)  # reading opens no connection
    assert not (tmp_path / "cache").exists()
    assert catalogue.fetch(folder) == tmp_path / "cache/mine/data.csv"
    (tmp_path / "served/data.csv").unlink()
    assert catalogue.dataset(folder).counts.tolist() == [2]


def test_external_data_that_cannot_be_fetched(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda _: tmp_path / "cache")
    folder = folder_with(tmp_path, f'external = "x/data.csv"\nurl = "{server}/data.csv"', checksum="0" * 64)
    with pytest.raises(
        InputError, match=r"data of 'mine' could not be fetched from http.*data\.csv"
    ) as caught:
        catalogue.fetch(folder)
    assert "\n" not in str(caught.value)
    without = folder_with(tmp_path, f'external = "x/data.csv"\nurl = "{server}/data.csv"', checksum="")
    with pytest.raises(InputError, match="its card needs an https address and a sha256"):
        catalogue.fetch(without)


@pytest.mark.parametrize(
    "address",
    ["http://example.org/data.csv", "http://127.0.0.1:80@example.org/data.csv", "ftp://example.org/data.csv",
     "http://[1/data.csv"],
)  # fmt: skip
def test_nothing_is_fetched_from_an_address_that_others_can_listen_to(tmp_path: Path, address: str):
    folder = folder_with(tmp_path, f'external = "x/data.csv"\nurl = "{address}"')
    with pytest.raises(InputError, match="needs an https address"):
        catalogue.fetch(folder)


@pytest.mark.parametrize(
    "line",
    ['file = "/etc/passwd"', 'file = "../outside.csv"', 'file = "link.csv"', 'file = "."', 'file = "a\\u0000b"',
     'external = "../outside.csv"', 'external = "/etc/passwd"', 'file = "pipe"', 'file = "/dev/zero"',
     'file = "data.csv"\nsha256_ = "x"', 'name_ = 1'],
)  # fmt: skip
def test_a_card_leads_nowhere_but_into_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str):
    monkeypatch.setenv("METASCI_DATA_DIR", str(tmp_path / "mine"))
    (tmp_path / "outside.csv").write_bytes(CSV)
    folder = folder_with(tmp_path, line, checksum="")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    os.mkfifo(folder / "pipe")
    with pytest.raises(InputError) as caught:
        catalogue.dataset(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["/tmp/victim", "../..", "..", "a/b", "", ".hidden", "x" * 200, "a\\nb"])
def test_names_are_names(tmp_path: Path, name: str):
    folder = folder_with(tmp_path, 'file = "data.csv"')
    text = (folder / "dataset.toml").read_text().replace('name = "mine"', f'name = "{name}"')
    (folder / "dataset.toml").write_text(text)
    with pytest.raises(InputError, match=r"has no name of letters, digits|cannot be read|control character"):
        catalogue.card(folder)


def test_steel_tempering_ships():
    tasks = catalogue.dataset("steel_tempering")
    assert len(tasks) == 31
    assert tasks.dataset["temperature"].attrs["units"] == "degC"


def test_it_is_light():
    code = (
        "import sys, metasci.catalogue as c; c.card('theophylline');"
        "print([m for m in ('torch', 'xarray', 'pandas', 'pint', 'pooch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


STEEL = """
name = "steels"
external = "steels/steels.csv"
url = "{address}/upstream.csv"
sha256 = "{checksum}"
task = ["steel"]
[upstream]
columns = {{ source = "Source", year = "Source", steel = "Steel type", time = "Time (s)", hardness = "Hardness (HRC)" }}
part = {{ source = [", ", "before"], year = [", ", "after"] }}
missing = ["?"]
replace = {{ steel = {{ "AISI-SAE" = "AISI" }} }}
keep = [{{ source = ["Penha"], steel = ["AISI 4140"] }}, {{ source = ["Grange and Baughman"] }}]
[columns.source]
role = "note"
[columns.year]
role = "note"
[columns.steel]
role = "task"
[columns.time]
role = "input"
unit = "s"
[columns.hardness]
role = "output"
unit = "HRC"
"""
THEIRS = """Steel type,Source,Time (s),Hardness (HRC),Cu
'AISI-SAE 4140',"Penha, 2010",600, 50.6 ,0
AISI-SAE 1045,"Penha, 2010",600,41.0,0
AISI-SAE 1045,"Grange and Baughman, 1956",3600,39.5,?
"""
OURS = (
    b"source,year,steel,time,hardness\nPenha,2010,AISI 4140,600,50.6\n"
    b"Grange and Baughman,1956,AISI 1045,3600,39.5\n"
)


def test_what_an_address_has_becomes_what_the_card_says(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda _: tmp_path / "cache")
    folder = tmp_path / "steels"
    folder.mkdir()
    text = STEEL.format(address=server, checksum=hashlib.sha256(OURS).hexdigest())
    (folder / "dataset.toml").write_text(text)
    (tmp_path / "served/upstream.csv").write_text(THEIRS.replace("3600", "7200"))
    with pytest.raises(InputError, match="nothing was kept, and set METASCI_DATA_DIR"):
        catalogue.fetch(folder)
    (tmp_path / "served/upstream.csv").write_text(THEIRS.replace("Source", "Origin"))
    with pytest.raises(InputError, match="has no column 'Source'"):
        catalogue.fetch(folder)
    assert not (tmp_path / "cache").exists()
    (tmp_path / "served/upstream.csv").write_text(THEIRS)
    assert catalogue.fetch(folder).read_bytes() == OURS
    assert catalogue.dataset(folder).names == ("AISI 4140", "AISI 1045")


def test_data_that_ship_are_not_fetched():
    with pytest.raises(InputError, match="ship with metasci; there is nothing to fetch"):
        catalogue.fetch("theophylline")


def test_all_data_but_propofol_ship_and_have_a_licence():
    for name in catalogue.names("datasets"):
        card = catalogue.card(name)
        assert bool(card.file) != (name == "propofol"), name
        assert card.licence.startswith(("MIT", "Apache-2.0", "GPL", "LGPL")), name
        assert len(card.sha256) == 64
        assert card.url is None or card.url.startswith("https://")
