"""Put a built documentation beside those of other versions, as the folder that a web server shows.

    python docs/publish.py docs/_build/html site 0.1.0
    python docs/publish.py docs/_build/html site dev

``site/versions.json`` lists the versions, the newest release first and development last; every page offers them
(`_static/versions.js`). ``site/index.html`` leads to the newest release.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

RELEASE = re.compile(r"\d+(\.\d+)*")


def publish(built: Path, site: Path, version: str) -> None:
    """Copy one version in, in the place of an earlier build of it, and list all that are there."""
    if not (built / "index.html").is_file():
        raise SystemExit(f"{built} holds no built documentation: make docs")
    if not RELEASE.fullmatch(version) and version != "dev":
        raise SystemExit(f"a version is numbers with dots between, or dev, not '{version}'")
    site.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(site / version, ignore_errors=True)
    shutil.copytree(built, site / version, ignore=shutil.ignore_patterns(".buildinfo", ".doctrees"))
    names = sorted(
        (folder.name for folder in site.iterdir() if (folder / "index.html").is_file()),
        key=_age,
        reverse=True,
    )
    (site / "versions.json").write_text(json.dumps(names) + "\n", encoding="utf-8")
    (site / "index.html").write_text(
        '<!doctype html><html lang="en"><title>metasci</title>'
        f'<meta http-equiv="refresh" content="0; url={names[0]}/">'
        f'<a href="{names[0]}/">metasci {names[0]}</a></html>\n',
        encoding="utf-8",
    )
    (site / ".nojekyll").touch()  # names that begin with an underscore are published too


def _age(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split(".")) if RELEASE.fullmatch(name) else ()


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
