"""Run the examples of the documentation: compare what they print with what stands there, or write it anew.

    python docs/run_examples.py            # writes what every example prints into the pages
    python docs/run_examples.py --check    # prints the differences instead
    python docs/run_examples.py --check index.md first-alloy.md

An example is a line after ``>>>`` in a block marked ``pycon``, or after ``$`` in one marked ``console``
(`metasci`, `cat`, `ls`, and `echo $?`). Those of a page run one after the other, in a copy of `docs/examples`.
The tests run them too (`tests/test_docs.py`). Numbers may differ in their last digit from machine to machine.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

DOCS = Path(__file__).resolve().parent
FENCE = re.compile(r"^```(?P<kind>pycon|console)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.(\d*))?(?:[eE]([-+]?\d+))?(?!\w)")


@dataclass(frozen=True)
class Example:
    """What is typed and what is printed; `line` is where it stands in the page."""

    kind: str
    typed: str
    printed: str
    line: int


class Shell:
    """A page's examples share names, a folder and the last exit status."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.status = 0

    def run(self, example: Example) -> str:
        """What the example prints, errors included."""
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            try:
                if example.kind == "pycon":
                    code = compile(
                        doctest.DocTestParser().get_examples(example.typed)[0].source, "<docs>", "single"
                    )
                    exec(code, self.names)  # noqa: S102
                else:
                    self._command(shlex.split(example.typed.replace("\\\n", " ").removeprefix("$ ")))
            except Exception:
                text.write(traceback.format_exc())
        lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
        return "".join(f"{line}\n" for line in lines)

    def _command(self, words: list[str]) -> None:
        if words[0] == "cat":
            print(Path(words[1]).read_text(), end="")
        elif words[0] == "ls":
            print("  ".join(sorted(path.name for path in Path(words[1]).iterdir())))
        elif words == ["echo", "$?"]:
            print(self.status)
        elif words[0] == "metasci":
            from metasci.cli import main

            self.status = 0
            with mock.patch.object(sys, "argv", words):
                try:
                    main()
                except SystemExit as stop:
                    self.status = int(stop.code or 0)
        else:
            raise ValueError(f"the documentation cannot run '{words[0]}'")


def examples_of(kind: str, body: str, line: int) -> list[Example]:
    """The examples of one block."""
    found: list[list[str]] = []
    typed: list[bool] = []
    starts = []
    prompt, more = (">>> ", ("...",)) if kind == "pycon" else ("$ ", ())
    for number, text in enumerate(body.splitlines(keepends=True)):
        if text.startswith(prompt):
            found.append([text, ""])
            starts.append(line + number)
            typed.append(True)
        elif not found:
            raise ValueError(f"line {line + number}: a block of examples begins with '{prompt}'")
        elif typed[-1] and (text.startswith(more) if more else found[-1][0].endswith("\\\n")):
            found[-1][0] += text
        else:
            typed[-1] = False
            found[-1][1] += text
    return [Example(kind, *pair, at) for pair, at in zip(found, starts, strict=True)]


def pages() -> list[Path]:
    """The pages that have examples."""
    return sorted(
        page for page in DOCS.rglob("*.md") if FENCE.search(page.read_text()) and "_build" not in page.parts
    )


@contextlib.contextmanager
def workplace() -> Iterator[None]:
    """A copy of the folder of examples as the current one; no data but those that ship, and lines of 80 characters."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, COLUMNS="80"):
        os.environ.pop("METASCI_DATA_DIR", None)
        there = shutil.copytree(DOCS / "examples", Path(folder) / "examples")
        os.chdir(there)
        sys.path.insert(0, str(there))  # as where Python is started by hand
        known = set(sys.modules)
        try:
            yield
        finally:
            os.chdir(before)
            sys.path.remove(str(there))
            for name in set(sys.modules) - known:
                if (there / f"{name}.py").is_file():
                    del sys.modules[name]


def run_page(page: Path) -> Iterator[tuple[Example, str]]:
    """Each example of a page, and what it prints now."""
    text = page.read_text()
    shell = Shell()
    with workplace():
        for fence in FENCE.finditer(text):
            line = text.count("\n", 0, fence.start("body")) + 1
            for example in examples_of(fence["kind"], fence["body"], line):
                yield example, shell.run(example)


def agree(stands: str, printed: str) -> bool:
    """Whether two outputs are the same but for spaces, ``...`` and the last digits of numbers."""
    theirs, ours = list(NUMBER.finditer(stands)), list(NUMBER.finditer(printed))
    if len(theirs) == len(ours) and "..." not in stands:
        for a, b in reversed(list(zip(theirs, ours, strict=True))):
            exponent = int(a[2] or 0) - len(a[1] or "")
            exact = a[1] is None and a[2] is None
            if not exact and abs(float(a[0]) - float(b[0])) <= 2.001 * 10.0**exponent:
                printed = printed[: b.start()] + a[0] + printed[b.end() :]
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    return doctest.OutputChecker().check_output(stands.strip() + "\n", printed.strip() + "\n", flags)


def rewritten(page: Path) -> str:
    """The page with what its examples print now; what agrees is left as it stands."""
    results = run_page(page)

    def block(fence: re.Match[str]) -> str:
        body = ""
        for _ in examples_of(fence["kind"], fence["body"], 0):
            example, printed = next(results)
            body += replace(example).typed + (example.printed if agree(example.printed, printed) else printed)
        return f"```{fence['kind']}\n{body}```"

    text = FENCE.sub(block, page.read_text())
    results.close()  # type: ignore[attr-defined]
    return text


def main(check: bool, names: list[str]) -> int:
    """Run every page, or those that are named; with `check`, only say what differs."""
    wrong = 0
    for page in [DOCS / name for name in names] or pages():
        if not check:
            page.write_text(rewritten(page))
            continue
        for example, printed in run_page(page):
            if not agree(example.printed, printed):
                wrong += 1
                print(
                    f"{page.relative_to(DOCS)}:{example.line}\n{example.typed}stands:\n{example.printed}printed:\n{printed}"
                )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:], [name for name in sys.argv[1:] if name != "--check"]))
