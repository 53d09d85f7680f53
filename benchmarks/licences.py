"""Licences of what the package needs, as it is installed here, and of the data that ship with it.

`python benchmarks/licences.py` prints two tables in Markdown; `--extras` with what the extras bring.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from metasci import catalogue

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def licence(distribution: metadata.Distribution) -> str:
    """What a distribution says of its licence: an expression, else classifiers, else the first line of the text."""
    about = distribution.metadata
    if expression := about.get("License-Expression"):
        return expression
    classified = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or ()
        if text.startswith("License ::")
    ]
    if classified:
        return "; ".join(classified)
    lines = (about.get("License") or "").strip().splitlines()
    return lines[0][:60] if lines else "not said"


def requirements(extras: bool) -> list[str]:
    """What the package asks for, as `pyproject.toml` has it: a checkout need not be installed."""
    text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    more = project["optional-dependencies"].values() if extras else ()
    return [*project["dependencies"], *(entry for extra in more for entry in extra)]


def installed(asked: list[str]) -> tuple[dict[str, metadata.Distribution], set[str]]:
    """What is asked for and all that it needs, by name; and the names of what is not installed here."""
    known: dict[str, metadata.Distribution] = {}
    missing: set[str] = set()
    waiting = list(asked)
    while waiting:
        matched = _NAME.match(waiting.pop())
        name = matched.group().lower().replace("_", "-") if matched else ""
        if not name or name in known or name in missing:
            continue
        try:
            known[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            missing.add(name)
            continue
        waiting += [entry for entry in known[name].requires or () if "extra ==" not in entry]
    return known, missing


def main() -> None:
    """Print the tables."""
    found, missing = installed(requirements("--extras" in sys.argv))
    print("| package | version | licence |\n|---|---|---|")
    for name in sorted(found):
        print(f"| {name} | {found[name].version} | {licence(found[name])} |")
    if missing:
        print(f"\nNot installed here: {', '.join(sorted(missing))}")
    print("\n| data that ship | licence |\n|---|---|")
    for name in catalogue.names("datasets"):
        card = catalogue.card(name)
        print(f"| {name} | {card.licence or 'not said'}{'' if card.file else ' (the card only)'} |")


if __name__ == "__main__":
    main()
