"""How many small mistakes the tests would notice: mutants of the sources, drawn at random, against the likely tests.

    python benchmarks/mutants.py --count 60 --seed 1 --out mutants.json

A mutant is one change of one expression: a comparison, a sign, an operator, a number, a condition. The tests run in a
copy of what git holds, so nothing here is touched. For each mutant the test files that name the most of its module's
public names run, with the module's own doctests; what survives them is listed with its line, to be explained or killed.
POSIX only: each mutant runs in a fork of one process that has loaded the heavy libraries.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("meta", "bayes", "patients", "data")
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass
class Mutant:
    """One change, and what became of it."""

    file: str
    line: int
    kind: str
    before: str
    after: str
    tests: tuple[str, ...] = ()
    outcome: str = ""
    seconds: float = 0.0


def places(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Expressions that can be changed; annotations, texts and sentences of errors are none."""

    def walk(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST) or isinstance(
                    child, ast.Raise | ast.JoinedStr | ast.Assert
                ):
                    continue
                if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                    continue
                if isinstance(child, ast.Assign) and "__all__" in ast.unparse(child.targets[0]):
                    continue
                if kind := _kind(child):
                    yield child, kind
                yield from walk(child)

    return walk(tree)


def _kind(node: ast.AST) -> str:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        return "comparison"
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return "operator"
    if isinstance(node, ast.BoolOp):
        return "and/or"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        return "sign"
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return "number"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return "truth"
    return "condition" if isinstance(node, ast.If | ast.IfExp) else ""


def change(node: ast.AST, kind: str) -> None:
    """Make the change, in place."""
    if isinstance(node, ast.Compare):
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp):
        node.op = OPERATORS[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        if not isinstance(node.op, ast.UAdd):  # `not x` becomes `not not x`
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.If | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Constant):
        value = node.value
        node.value = (
            not value
            if isinstance(value, bool)
            else value + 1
            if isinstance(value, int)
            else 2.0 * value or 1.0
        )


def drawn(root: Path, count: int, seed: int, rooms: tuple[str, ...]) -> list[tuple[Mutant, str]]:
    """Mutants, each place alike, with the source that each makes."""
    files = [path for room in rooms for path in sorted((root / "metasci" / room).rglob("*.py"))]
    sources = {path: path.read_text(encoding="utf-8") for path in files}
    everywhere = [
        (path, number)
        for path, source in sources.items()
        for number, _ in enumerate(places(ast.parse(source)))
    ]
    made = []
    for path, number in random.Random(seed).sample(everywhere, min(count, len(everywhere))):
        tree = ast.parse(sources[path])
        node, kind = list(places(tree))[number]
        shown = node.test if isinstance(node, ast.If | ast.IfExp) else node
        before = ast.unparse(shown)
        change(node, kind)
        shown = node.test if isinstance(node, ast.If | ast.IfExp) else node
        name = path.relative_to(root).as_posix()
        made.append(
            (
                Mutant(name, node.lineno, kind, before, ast.unparse(ast.fix_missing_locations(shown))),
                ast.unparse(tree),
            )
        )
    return made


def likely_tests(root: Path, file: str, most: int) -> tuple[str, ...]:
    """Test files that import the module or name most of what it offers."""
    source = (root / file).read_text(encoding="utf-8")
    names = [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    scores = {}
    for path in sorted((root / "tests").glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        found = sum(min(3, len(re.findall(rf"\b{name}\b", text))) for name in names)
        scores[path.name] = found + 10 * (f"{module} import" in text)
    best = sorted((name for name, score in scores.items() if score), key=lambda name: -scores[name])
    return tuple(f"tests/{name}" for name in best[:most])


def judge(root: Path, mutant: Mutant, source: str, limit: float) -> None:
    """Run the tests on the mutant, in a fork; a failure kills it, and one that takes too long counts for nothing."""
    path = root / mutant.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        os.chdir(root)
        sys.path.insert(0, str(root))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(root)]
        os._exit(int(pytest.main([*options, mutant.file, *mutant.tests])))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    outcomes = {0: "survived", 5: "survived", -signal.SIGXCPU: "out of time", -signal.SIGKILL: "out of time"}
    mutant.outcome = outcomes.get(code, "killed")
    mutant.seconds = round(time.monotonic() - begun, 1)
    path.write_text(whole, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", nargs="+", default=ROOMS)
    parser.add_argument("--files", type=int, default=3, help="most test files for a mutant")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of the processor for a mutant")
    parser.add_argument("--minutes", type=float, default=120.0, help="no new mutant after so many")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    begun = time.monotonic()
    for heavy in ("torch", "pandas", "xarray", "pint", "scipy.optimize", "scipy.stats", "pytest"):
        __import__(heavy)
    done: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(copy, filter="data")
        sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != ROOT]
        for mutant, source in drawn(copy, asked.count, asked.seed, tuple(asked.rooms)):
            if time.monotonic() - begun > 60.0 * asked.minutes:
                break
            mutant.tests = likely_tests(copy, mutant.file, asked.files)
            judge(copy, mutant, source, asked.limit)
            done.append(mutant)
            print(
                f"{mutant.outcome:15} {mutant.file}:{mutant.line} {mutant.before} -> {mutant.after}",
                flush=True,
            )
            if asked.out:
                asked.out.write_text(
                    json.dumps([asdict(each) for each in done], indent=1) + "\n", encoding="utf-8"
                )
    judged = [each for each in done if each.outcome != "out of time"]
    killed = sum(each.outcome == "killed" for each in judged)
    print(
        f"{killed} of {len(judged)} mutants killed, {killed / max(len(judged), 1):.0%}; "
        f"{len(done) - len(judged)} ran out of time"
    )


if __name__ == "__main__":
    main()
