"""Licences of what the package needs, as it is installed here, and of the data that ship with it.

`python benchmarks/licences.py` prints two tables in Markdown; `--extras` with what the extras bring.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata

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


def needed(
    name: str, extras: bool, known: dict[str, metadata.Distribution]
) -> dict[str, metadata.Distribution]:
    """A distribution and what it needs, by name."""
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return known
    key = distribution.metadata["Name"].lower().replace("_", "-")
    if key in known:
        return known
    known[key] = distribution
    for requirement in distribution.requires or ():
        matched = _NAME.match(requirement)
        if matched and ("extra ==" not in requirement or (extras and name == "metasci-calibration")):
            needed(matched.group(), extras, known)
    return known


def main() -> None:
    """Print the tables."""
    found = needed("metasci-calibration", "--extras" in sys.argv, {})
    if not found:
        raise SystemExit("metasci-calibration is not installed here: python -m pip install .")
    print("| package | version | licence |\n|---|---|---|")
    for name in sorted(found):
        print(f"| {name} | {found[name].version} | {licence(found[name])} |")
    print("\n| data that ship | licence |\n|---|---|")
    for name in catalogue.names("datasets"):
        card = catalogue.card(name)
        print(f"| {name} | {card.licence or 'not said'}{'' if card.file else ' (the card only)'} |")


if __name__ == "__main__":
    main()
