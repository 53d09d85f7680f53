"""What ships is whole and safe: data with true checksums, models without pickle, no paths of a machine."""

from __future__ import annotations

import ast
import csv
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hatchling.builders.wheel import WheelBuilder

import metasci
from metasci.extras import DISTRIBUTION

ROOT = Path(__file__).resolve().parent.parent


def folders(name: str) -> list[Path]:
    """Folders of shipped things, `datasets` or `models`; those that start with _ or . are none."""
    return sorted(path for path in (ROOT / name).glob("[!_.]*") if path.is_dir())


DATASETS = folders("datasets")
MODELS = folders("models")
SOURCES = sorted((ROOT / "metasci").rglob("*.py"))


def card_of(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "dataset.toml").read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------------------------------- data sets


def test_data_sets_ship() -> None:
    expected = {"alloy_fatigue", "indomethacin", "phenobarbital", "quinidine", "remifentanil", "theophylline"}
    assert expected <= {folder.name for folder in DATASETS if (folder / "data.csv").is_file()}


@pytest.mark.parametrize("folder", DATASETS, ids=lambda folder: folder.name)
def test_data_set_has_a_card(folder: Path) -> None:
    card = card_of(folder)
    assert card["name"] == folder.name
    assert {"title", "source", "licence", "tasks", "rows", "columns", "traps", "sha256"} <= card.keys()
    assert {column["role"] for column in card["columns"].values()} >= {"task", "input", "output"}
    assert ("file" in card) != ("external" in card), "data either ship or are read from elsewhere"


@pytest.mark.parametrize(
    "folder", [folder for folder in DATASETS if "file" in card_of(folder)], ids=lambda folder: folder.name
)
def test_shipped_data_are_what_the_card_says(folder: Path) -> None:
    card = card_of(folder)
    path = folder / card["file"]
    assert sha256(path) == card["sha256"]
    if ".json" in path.name:
        table = json.loads(gzip.decompress(path.read_bytes()))
        columns, rows = table["columns"], table["data"]
    else:
        columns, *rows = csv.reader(text_of(path))
    assert len(rows) == card["rows"]
    described = {header for header, column in card["columns"].items() if "of" not in column}
    assert described == set(columns) or ("events" in card and described <= set(columns))


def text_of(path: Path) -> io.StringIO:
    content = path.read_bytes()
    return io.StringIO((gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8"))


@pytest.mark.parametrize("name", ["steel_tempering", "hiv_actg315", "mpea", "phonons"])
def test_data_that_others_may_share_ship_with_their_notice(name: str) -> None:
    notice = (ROOT / "datasets" / name / "LICENCE.txt").read_text(encoding="utf-8").lstrip()
    assert notice.startswith(("MIT License", "Apache License"))
    assert "Copyright" in notice or name == "mpea"


def test_the_licence_of_the_package_names_those_of_all_that_ships() -> None:
    """PEP 639: one expression for everything in the wheel; each card begins with that of its data."""
    expression = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"]
    parts = {part.strip("()") for part in expression.split(" AND ")}
    cards = [card_of(folder) for folder in DATASETS]
    assert parts == {"BSD-3-Clause"} | {
        card["licence"].partition(" (")[0] for card in cards if "file" in card
    }


# ------------------------------------------------------------------------------------------- models


@pytest.mark.skipif(not MODELS, reason="no learned prior is in models/ yet")
def test_models_are_named_after_their_data() -> None:
    known = {folder.name for folder in DATASETS}
    for folder in MODELS:
        described = json.loads((folder / "prior.json").read_text())
        data, published = described["data"], "published" in described["training"]
        assert published or data["name"] in known or "external" in data, folder.name


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_model_is_whole_and_holds_no_code(folder: Path) -> None:
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"prior.safetensors", "prior.json", "CARD.md"} <= names
    suffixes = {Path(name).suffix for name in names}
    assert suffixes <= {".safetensors", ".json", ".md", ".csv", ".png", ".svg"}, suffixes
    assert isinstance(json.loads((folder / "prior.json").read_text(encoding="utf-8")), dict)
    with safetensors.safe_open(folder / "prior.safetensors", framework="np") as weights:
        assert list(weights.keys())


# ------------------------------------------------------------------------------------------ package

# Whatever can run code from a data file.
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
UNSAFE_FUNCTIONS = {"eval", "exec"}
UNSAFE_ATTRIBUTES = {
    ("torch", "load"),
    ("torch", "save"),
    ("pandas", "read_pickle"),
    ("pd", "read_pickle"),
    ("os", "system"),
}


def unsafe_lines(tree: ast.AST) -> list[str]:
    """Each use of pickle, eval and the like in a module; `torch.load` may read numbers only, and says so last."""
    found, numbers_only = [], set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                used = [name.name for name in names if name.name.partition(".")[0] in UNSAFE_MODULES]
            case ast.ImportFrom(module=str(module)):
                used = [module] if module.partition(".")[0] in UNSAFE_MODULES else []
            case ast.Call(func=ast.Name(id=name)):
                used = [name] if name in UNSAFE_FUNCTIONS else []
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="torch"), attr="load"),
                keywords=[*_, ast.keyword(arg="weights_only", value=ast.Constant(value=True))],
            ):
                numbers_only.add(node.func)
                continue
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if node not in numbers_only:
                used = [f"{name}.{attribute}"] if (name, attribute) in UNSAFE_ATTRIBUTES else []
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                used = ["allow_pickle=True"]
            case _:
                continue
        found += [f"line {node.lineno}: {name}" for name in used]
    return found


def test_the_search_for_pickle_finds_it() -> None:
    bad = (
        "import pickle\nfrom joblib import load\neval('1')\ntorch.load('x')\nnumpy.load(p, allow_pickle=True)"
    )
    assert len(unsafe_lines(ast.parse(bad))) == 5
    assert unsafe_lines(ast.parse("network.eval()\nnumpy.load(path)")) == []
    assert unsafe_lines(ast.parse("torch.load(path, weights_only=True)")) == []
    assert unsafe_lines(ast.parse("torch.load(path, weights_only=False)")) == ["line 1: torch.load"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    assert unsafe_lines(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_every_table_is_written_without_formulas() -> None:
    """Tables leave by `csv_bytes`, which guards their cells; only what is compared with a checksum stays as it is."""
    elsewhere = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if re.search(r"\.to_csv\(|csv\.DictWriter\(", path.read_text(encoding="utf-8"))
    }
    assert elsewhere == {"metasci/data/frames.py", "metasci/data/upstream.py"}


def test_no_path_of_a_machine_is_in_the_project() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    absolute = re.compile(r"(?<![\w./:~-])/(?:work|root|home|Users|mnt)/[\w.]")
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file() or path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if absolute.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert found == []


def read_text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert metasci.__version__ == version
    released = re.search(
        rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", read_text("CHANGELOG.md"), re.MULTILINE
    )
    assert released, "the changelog has no section of this version with its date"
    assert f"\nversion: {version}\ndate-released: {released[1]}\n" in read_text("CITATION.cff")
    assert f'  version: "{version}"\n' in read_text("docs/conda-recipe.yaml")
    assert f"  version = {{{version}}},\n  year    = {{{released[1][:4]}}},\n" in read_text("docs/cite.md")


def test_the_wheel_carries_code_data_and_models_and_nothing_else() -> None:
    files = {included.distribution_path for included in WheelBuilder(str(ROOT)).recurse_included_files()}
    for folder in (*DATASETS, *MODELS):
        for path in filter(Path.is_file, folder.rglob("*")):
            assert f"metasci/_shipped/{path.relative_to(ROOT).as_posix()}" in files
    assert {path.relative_to(ROOT).as_posix() for path in SOURCES} <= files
    assert "metasci/py.typed" in files
    assert {file for file in files if not file.startswith("metasci/")} == set()
    assert {
        file for file in files if file.startswith("metasci/_shipped/") and file.endswith((".R", ".py"))
    } == set()


def test_what_is_tested_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin)] == []
    pinned = {re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["bayes"], *extras["dev"], *extras["docs"]]
    assert {re.match(r"[a-z0-9-]+", entry.lower()).group() for entry in wanted} <= pinned  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------- extras


def test_every_hint_to_install_names_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    texts = [*SOURCES, ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    hints = {
        path.relative_to(ROOT).as_posix(): hint
        for path in texts
        for hint in re.findall(r"(?:install +['\"]?|\W)metasci\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    assert hints == {}
    named = {
        extra
        for path in texts
        for extra in re.findall(rf"{DISTRIBUTION}\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    assert named <= set(project["optional-dependencies"])
    assert named


# Rooms whose libraries come with an extra: nothing else loads them before it is asked for.
OF_EXTRAS = {
    "app": {"shiny", "uvicorn"},
    "bayes": {
        "arviz",
        "arviz_stats",
        "better_optimize",
        "numba",
        "nutpie",
        "pymc",
        "pymc_extras",
        "pytensor",
    },
    "materials": {"torch_geometric"},
}


def test_what_is_imported_on_a_plain_install_is_a_dependency() -> None:
    """Every library that a module loads at its top stands among the dependencies, or belongs to the room's extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies = {re.split(r"[<>=\[ ]", entry)[0].lower() for entry in project["dependencies"]}
    missing = {
        f"{path.relative_to(ROOT)}: {library}"
        for path in SOURCES
        for library in libraries_loaded_by(path)
        if library not in dependencies | OF_EXTRAS.get(path.relative_to(ROOT / "metasci").parts[0], set())
    }
    assert missing == set()
    assert {"h5netcdf", "h5py"} <= dependencies, "xarray writes NetCDF through both, and names neither"


def libraries_loaded_by(path: Path) -> set[str]:
    """Top-level names of the libraries that a module imports when it is loaded."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    names = {name.name for node in statements if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module or "" for node in statements if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - {"metasci", *sys.stdlib_module_names}
