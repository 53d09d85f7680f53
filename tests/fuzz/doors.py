"""Every door: how a case for it is made from a sound input, and how it is tried."""

from __future__ import annotations

import json
import random
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import mutations, objects, seeds
from .case import Case
from .equations import own_equation
from .imports import nonmem, petab
from .packed import packed
from .page import app, shown

Random = random.Random


def _read(rng: Random) -> Case:
    prior, table = rng.choice(sorted(seeds.TABLES.items()))
    return Case("csv", ("calibrate", prior, "data.csv", "--json"), {"data.csv": mutations.table(rng, table)})


def _written(rng: Random) -> Case:
    """Also what is written, with names of the table's own in it."""
    prior, table = rng.choice([item for item in sorted(seeds.TABLES.items()) if "task" in item[1]])
    named = table.replace("ann", rng.choice(mutations.HOSTILE)).replace("a,", f"{mutations.cell(rng)},")
    return Case(
        "written",
        ("calibrate", prior, "data.csv", "--out", "out"),
        {"data.csv": named.encode("utf-8", "replace")},
    )


def _events(rng: Random) -> Case:
    prior, table = rng.choice(sorted(seeds.EVENTS.items()))
    return Case(
        "events", ("calibrate", prior, "data.csv", "--json"), {"data.csv": mutations.table(rng, table)}
    )


_TOML = (
    "1", "-1", "1.5", "true", "[]", "[1]", "{}", '""', '"x"', '"../.."', '"/etc/passwd"', '"a\\u0000b"', "nan", "inf",
    '["a", 1]', "[[1]]", "{ a = { a = {} } }", "2024-01-01", '"h,min"', "9" * 40, '"""\n"""', "[" * 400 + "]" * 400,
    "{ 1 = [99] }", '"input"', '"output"', '"covariate"', '"time"', '"task"', '"%"', '"crystal"', '"smiles"',
)  # fmt: skip


def _card(rng: Random) -> Case:
    lines = seeds.CARD.splitlines()
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(lines))
        kind = rng.random()
        if kind < 0.55 and "=" in lines[place]:
            lines[place] = f"{lines[place].partition('=')[0]}= {rng.choice(_TOML)}"
        elif kind < 0.65:
            del lines[place]
        elif kind < 0.75:
            lines.insert(
                place,
                f"{rng.choice(('url', 'sha256', 'external', 'kind', 'at', 'of', 'limit', 'codes', 'xyz', 'events', 'task', 'without_copies', 'compilation'))} = {rng.choice(_TOML)}",
            )
        elif kind < 0.85:
            lines[place] = lines[place].replace('"', f'"{json.dumps(rng.choice(mutations.HOSTILE))[1:-1]}', 1)
        else:
            lines[place] = mutations.text(rng, lines[place], '="[]{}.,#\n\\ abc019')
    content = "\n".join(lines).encode("utf-8", "replace")
    if rng.random() < 0.1:
        content = mutations.flipped(rng, content)
    data = mutations.table(rng, seeds.CARD_DATA) if rng.random() < 0.3 else seeds.CARD_DATA.encode()
    arguments = rng.choice(
        (
            ("info", "folder", "--json"),
            ("evaluate", "prior", "folder", "--shots", "0", "--json"),
            ("evaluate", "prior", "folder", "--json"),
        )
    )
    files = {"folder/dataset.toml": content, "folder/data.csv": data}
    if "prior" in arguments:
        files |= {f"prior/{name}": held for name, held in seeds.declared().items()}
    return Case("card", arguments, files)


def _prior(rng: Random) -> Case:
    return _prior_of(rng, rng.choice(sorted(seeds.priors())))


def _prior_of(rng: Random, kind: str) -> Case:
    """Both files of one kind, one of them changed."""
    sound, table = seeds.priors()[kind]
    description, tensors = sound["prior.json"], sound["prior.safetensors"]
    way = rng.random()
    if way < 0.6:
        changed = mutations.tree(rng, json.loads(description))
        if isinstance(changed, dict) and rng.random() < 0.5:
            changed.pop("tensors_sha256", None)  # as somebody does who wants it to be believed
        description = json.dumps(changed).encode()
    elif way < 0.7:
        description = mutations.flipped(rng, description)
    elif way < 0.8:
        tensors = mutations.flipped(rng, tensors)
    else:
        description, tensors = _with_other_tensors(rng, description, tensors)
    files = {"prior/prior.json": description, "prior/prior.safetensors": tensors, "data.csv": table.encode()}
    # a fit of its differential equations from three rows takes longer than a case may; `info` reads all of it, too
    asked = ("info", "prior", "--json") if kind == "petab" else ("calibrate", "prior", "data.csv", "--json")
    return Case("prior", asked, files)


def _with_other_tensors(rng: Random, description: bytes, tensors: bytes) -> tuple[bytes, bytes]:
    """Numbers of another sign, size or shape, with the checksum taken out of the description."""
    import torch
    from safetensors.torch import load, save

    state = load(tensors)
    name = rng.choice(sorted(state))
    value = state[name]
    state[name] = rng.choice(
        (
            lambda: -value,
            lambda: value * 1e12,
            lambda: value * 0,
            lambda: value * torch.nan,
            lambda: value.flatten()[:1].clone(),
            lambda: torch.cat([value.flatten()] * 2),
            lambda: value.to(torch.float32),
            lambda: value.to(torch.int64),
            lambda: value.mT.clone() if value.dim() > 1 else value.unsqueeze(0),
            lambda: (
                value
                + torch.randn(
                    value.shape,
                    generator=torch.Generator().manual_seed(rng.randrange(9)),
                    dtype=torch.float64,
                ).to(value.dtype)
            ),
        )
    )()
    plain = json.loads(description)
    plain.pop("tensors_sha256", None)
    return json.dumps(plain).encode(), save({key: item.contiguous() for key, item in state.items()})


def _netcdf(rng: Random) -> Case:
    return Case(
        "netcdf",
        ("evaluate", "theophylline", "tasks.nc", "--shots", "1", "--json"),
        {"tasks.nc": mutations.flipped(rng, seeds.netcdf())},
    )


def _zarr(rng: Random) -> Case:
    files = dict(seeds.zarr())
    name = rng.choice(sorted(files))
    if rng.random() < 0.25:
        del files[name]
    elif name.endswith(".json") and rng.random() < 0.7:
        files[name] = json.dumps(mutations.tree(rng, json.loads(files[name]))).encode()
    else:
        files[name] = mutations.flipped(rng, files[name])
    return Case("zarr", ("python:zarr", "tasks.zarr"), files)


def _conditions(rng: Random) -> Case:
    prior, sound = rng.choice(
        (
            ("steel_tempering", ("time=1,2,5 h", "temperature=200,400,600 degC")),
            ("theophylline", ("time=1,2 h", "dose=4 mg/kg")),
            ("alloy_fatigue", ("cycles=0.02,0.04 Mcycle",)),
            ("alloy_strength", ("formula=CoNi", "temperature=600 degC")),
        )
    )
    asked = [
        mutations.text(rng, text, "0123456789.,=-+eE ;degChms/*[]x") if rng.random() < 0.6 else text
        for text in sound
    ]
    if rng.random() < 0.2:
        asked.append(rng.choice(asked))
    if rng.random() < 0.3:
        asked[0] = f"{asked[0].partition('=')[0]}={mutations.cell(rng)} {rng.choice(mutations.UNITS)}"
    options = [part for text in asked for part in ("--at", text)]
    return Case(
        "conditions",
        ("predict", prior, "data.csv", *options, "--json"),
        {"data.csv": seeds.TABLES[prior].encode()},
    )


def _unit(rng: Random) -> Case:
    sound = rng.choice(mutations.UNITS)
    text = (
        mutations.text(rng, sound, "hmgLsKC/*^()²³¹⁻0123456789 .%·-_[]{},;µΩ°")
        if rng.random() < 0.8
        else sound
    )
    return Case("unit", ("python:unit", text, rng.choice(("h", "mg/L", "degC", "K", "1", "HRC"))))


def _smiles(rng: Random) -> Case:
    alphabet = "CNOPSFIclnos()[]=#@+-\\/123456789%.*H$:~?"
    return Case(
        "smiles", ("python:structure", "smiles", mutations.text(rng, rng.choice(seeds.SMILES), alphabet))
    )


def _formula(rng: Random) -> Case:
    alphabet = "ACFNTVWZabeilnort0123456789.-() %wtx"
    return Case(
        "formula", ("python:structure", "formula", mutations.text(rng, rng.choice(seeds.FORMULAS), alphabet))
    )


def _cif(rng: Random) -> Case:
    lines = seeds.CIF.splitlines()
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(lines))
        words = lines[place].split(" ")
        kind = rng.random()
        if kind < 0.5:
            words[-1 if rng.random() < 0.5 else rng.randrange(len(words))] = rng.choice(
                (
                    "?",
                    ".",
                    "0",
                    "-1",
                    "1e9",
                    "1e-9",
                    "90",
                    "180",
                    "nan",
                    "inf",
                    "0.5(3)",
                    "(",
                    "X",
                    "Cs2+",
                    "loop_",
                    "D",
                    mutations.cell(rng),
                )
            )
            lines[place] = " ".join(words)
        elif kind < 0.6:
            lines[place] += f" {rng.choice(('1', '?', 'x', mutations.cell(rng)))}"
        elif kind < 0.7:
            del lines[place]
        elif kind < 0.8:
            lines.insert(place, rng.choice(lines))
        elif kind < 0.85:
            lines[place:place] = ["'x, y, z'"] * rng.randint(1, 4000)
        else:
            lines[place] = mutations.text(rng, lines[place], " _;'\"#loop0123456789.-xyz,\n")
    content = "\n".join(lines).encode("utf-8", "replace")
    return Case(
        "cif",
        ("python:structure", "crystal", "one.cif"),
        {"one.cif": mutations.flipped(rng, content) if rng.random() < 0.15 else content},
    )


_COMMANDS = (
    ("calibrate", "theophylline", "data.csv", "--level", "0.9"),
    ("calibrate", "theophylline", "data.csv", "--json"),
    ("predict", "theophylline", "data.csv", "--at", "time=1 h", "--at", "dose=4 mg/kg", "--level", "0.5"),
    ("plot", "alloy_fatigue", "fatigue.csv", "--out", "picture.svg"),
    ("recommend", "phenobarbital", "doses.csv", "--target", "trough", "--doses", "3,4 mg", "--intervals", "12,24 h", "--low", "10", "--high", "30", "--number", "3"),
    ("recommend", "phenobarbital", "doses.csv", "--target", "peak", "--solve", "--intervals", "12 h", "--low", "10", "--high", "30", "--multiple", "0.5 mg", "--start", "72 h"),
    ("template", "quinidine", "--out", "table.csv"),
    ("study", "alloy-fatigue-x"),
    ("fetch", "theophylline"),
    ("furnace", "steel_tempering", "steel.csv", "--temperature", "600 degC", "--at-least", "30 HRC"),
    ("evaluate", "alloy_fatigue", "alloy_fatigue", "--shots", "0,1", "--seeds", "1", "--support", "first"),
    ("evaluate", "theophylline", "theophylline", "--shots", "0", "--query", "rest"),
    ("map", "steel_tempering", "steel.csv", "--out", "map.svg", "--times", "0.1,100 h"),
    ("train", "kinetics.crack_growth", "alloy_fatigue", "--out", "learned", "--method", "pooled", "--seed", "1"),
    ("info", "theophylline", "--json"),
    ("template", "quinidine"),
    ("list",),
)  # fmt: skip


_GRADES = ("carbon=0.4,Mn=0.85", "C=0.40,Cr=0.95", "AISI 4140", "carbon=0.4")


def _map(rng: Random) -> Case:
    """A tempering map, of readings or of a composition alone."""
    prior = "steel_tempering" if rng.random() < 0.9 else rng.choice(("theophylline", "alloy_fatigue"))

    def changed(sound: str, alphabet: str) -> str:
        return (mutations.text(rng, sound, alphabet) or "x") if rng.random() < 0.4 else sound

    words, files = ["map", prior], {}
    if rng.random() < 0.4:
        words.append("data.csv")
        table = seeds.STEEL.encode() if rng.random() < 0.5 else mutations.table(rng, seeds.STEEL)
        files["data.csv"] = table
    if not files or rng.random() < 0.1:
        words += ["--composition", changed(rng.choice(_GRADES), "0123456789.,=-+eE CMnoarbwt%AISI")]
    for name, sound in (("--times", "0.1,100 h"), ("--temperatures", "200,650 degC")):
        if rng.random() < 0.5:
            words += [name, changed(sound, "0123456789.,-+e hmsdegCK*^()")]
    if rng.random() < 0.3:
        words += ["--out", rng.choice(("map.svg", "map.txt", ".", "no/map.png", mutations.cell(rng) or "x"))]
    if rng.random() < 0.1:
        words += ["--task", mutations.cell(rng) or "a"]
    return Case("map", tuple(word.replace("\x00", "?") for word in words), files)


_EXPORTED = ("theophylline", "alloy_fatigue", "steel_tempering", "quinidine", "bacteria", "boiling_point")
_SIZES = ("0", "-1", "1", "3", "12", "2147483648", "99999")


def _export(rng: Random) -> Case:
    """The calibrator as a program: sizes, names and priors that it may not be made for."""
    places = ("one.txt", "folder/one.onnx", ".", "/dev/full", mutations.cell(rng) or "x")
    words = ["export", rng.choice(_EXPORTED), "one.onnx" if rng.random() < 0.7 else rng.choice(places)]
    for name in ("--readings", "--queries", "--events", "--steps"):
        if rng.random() < 0.4:
            words += [name, rng.choice(_SIZES if rng.random() < 0.8 else (mutations.cell(rng),))]
    if rng.random() < 0.3:
        words += ["--precision", rng.choice(("half", "single", "quarter", mutations.cell(rng)))]
    return Case("export", tuple(word.replace("\x00", "?") for word in words), {})


def _average(rng: Random) -> Case:
    """Several models of one drug, of which one may be none, weighed by a table that was changed."""
    known = ("vancomycin_goti_2018", "vancomycin_buelga_2005", "vancomycin_thomson_2009")
    priors = [rng.choice(known) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    if rng.random() < 0.2:
        priors[0] = rng.choice(
            ("theophylline", "boiling_point", "wine", mutations.cell(rng).replace("\x00", "?") or "x")
        )
    words = ["average", "data.csv", *priors, "--json"]
    if rng.random() < 0.4:
        words += ["--at", mutations.text(rng, "time=40,48 h", "0123456789.,=- hmin").replace("\x00", "?")]
    if rng.random() < 0.2:
        words += ["--by", rng.choice(("prediction", "x", ""))]
    table = mutations.table(rng, seeds.EVENTS["vancomycin_goti_2018"])
    return Case("average", tuple(words), {"data.csv": table})


def _arguments(rng: Random) -> Case:
    words = list(rng.choice(_COMMANDS))
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(words))
        kind = rng.random()
        if kind < 0.5:
            words[place] = rng.choice(
                (
                    mutations.cell(rng),
                    rng.choice(
                        (
                            "2147483648",
                            "-1",
                            "99999999999999999999",
                            "0,,1",
                            "1,-1",
                            "1e3",
                            "0.9 ",
                            "--",
                            "-",
                            "--help",
                            "--out",
                            "--json",
                            "theophylline",
                            "kinetics.",
                            ".",
                            "..",
                            "x.py:y",
                            "x.py:",
                            ":",
                            "data.csv",
                            "/",
                            "/dev/null",
                            "/dev/full",
                            "\udcff",
                            "5 HRC",
                            "600",
                            "600 K",
                            "trough,peak",
                            "nan mg",
                        )
                    ),
                )
            )
        elif kind < 0.65:
            del words[place]
            if not words:
                words = ["list"]
        elif kind < 0.8:
            words.insert(place, rng.choice(words))
        else:
            words[place] = mutations.text(rng, words[place], "abc-_=,.0123456789 /\\'\"") or "x"
    words = [word.replace("\x00", "?") for word in words]  # no system passes it on
    files = {
        "data.csv": seeds.THEOPHYLLINE, "fatigue.csv": seeds.FATIGUE, "doses.csv": "\n".join(seeds.PHENOBARBITAL.splitlines()[:5]),
        "steel.csv": seeds.STEEL,
    }  # fmt: skip
    return Case("arguments", tuple(words), {name: content.encode() for name, content in files.items()})


DOORS: dict[str, Callable[[Random], Case]] = {
    "csv": _read,
    "written": _written,
    "events": _events,
    "card": _card,
    "prior": _prior,
    "netcdf": _netcdf,
    "zarr": _zarr,
    "conditions": _conditions,
    "unit": _unit,
    "smiles": _smiles,
    "formula": _formula,
    "cif": _cif,
    "arguments": _arguments,
    "packed": packed,
    "nonmem": nonmem,
    "petab": petab,
    "equation": own_equation,
    "app": app,
    "export": _export,
    "average": _average,
    "map": _map,
    "frame": objects.frame,
    "dataset": objects.dataset,
    "checkpoint": objects.checkpoint,
    "pieces": objects.pieces,
    "message": objects.message,
}
"""How a case is made, by the name of the door."""


def case_of(door: str, rng: Random) -> Case:
    """A case of a door; ``prior:KIND`` is the door of priors for one kind of them."""
    name, _, kind = door.partition(":")
    return _prior_of(rng, kind) if kind else DOORS[name](rng)


# how cases are tried ------------------------------------------------------------------------------


def call(case: Case, folder: Path) -> Any:
    """What a case asks for; the status of the command line, or what a function gives."""
    first, *rest = case.arguments
    if first.startswith("python:"):
        return _FUNCTIONS[first.removeprefix("python:")](*rest)
    return _command_line(case.arguments)


def _command_line(arguments: tuple[str, ...]) -> int:
    from metasci.cli.main import run
    from metasci.cli.voice import hushed

    with hushed():  # as the program does
        return run(list(arguments))


def _unit_of(text: str, other: str) -> list[float]:
    from metasci.errors import InputError
    from metasci.units import convert, same_dimension, unit

    unit(text)
    if not same_dimension(text, other):
        raise InputError(f"'{text[:60]!r}' is of another dimension than '{other}'.")
    return [float(value) for value in np.atleast_1d(convert([1.0, 2.0], text, other))]


def _structure(kind: str, text: str) -> list[float]:
    from metasci.materials.structures import canonical, features

    with warnings.catch_warnings():  # of what a formula may mean, which the command line prints
        warnings.simplefilter("ignore", UserWarning)
        known = canonical(kind, text)
    described = features(kind, [known])
    return [*described.counts.ravel().tolist(), *described.descriptors.ravel().tolist()]


def _zarr_store(path: str) -> list[float]:
    """A number for each estimate; a missing chunk must not become one."""
    import metasci as ms

    result = ms.load("theophylline").calibrate_many(path, out="result.nc")
    result = result.load()
    return [*result["estimate"].values.ravel().tolist(), *result["lower"].values.ravel().tolist()]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "unit": _unit_of,
    "structure": _structure,
    "zarr": _zarr_store,
    "app": shown,
    "frame": objects.of_frame,
    "dataset": objects.of_dataset,
    "pieces": objects.of_pieces,
    "message": objects.of_message,
}

assert tomllib.loads(seeds.CARD)["name"] == "cold"
