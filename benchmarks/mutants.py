"""How many small mistakes the tests would notice: mutants of the sources, drawn at random, against the likely tests.

    python benchmarks/mutants.py --count 200 --seed 1 --out mutants.json
    python benchmarks/mutants.py --again --files 8 --limit 240 --out mutants.json
    python benchmarks/mutants.py --table --out mutants.json

A mutant is one change of one expression: a comparison, a sign, an operator, a number, a condition. The tests run in a
copy of what git holds, so nothing here is touched. For each mutant the test files run that name the most of what its
module offers, or of what the modules that use it offer, with the module's own doctests. A test kills a mutant if it
fails with it and passes without it. What
is in the file of `--out` is not judged a second time, so a run that was ended goes on; `--again` takes those that live
or ran out of time, against more test files. What survives is listed with its line, to be explained or killed.
POSIX only: each mutant runs in a fork of one process that has loaded the heavy libraries.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("meta", "bayes", "patients", "data")
# They run the whole package in other processes: a mutant is seen there late or never.
NOT_LIKELY = {"test_docs.py", "test_notebooks.py", "test_demo.py", "test_packaging.py", "test_app_browser.py"}
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
    killer: str = ""
    seconds: float = 0.0
    why: str = ""

    @property
    def key(self) -> tuple[str, int, str, str, str]:
        """What tells it from others."""
        return self.file, self.line, self.kind, self.before, self.after


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


def public_names(source: str) -> set[str]:
    """What a module offers."""
    kinds = ast.FunctionDef | ast.ClassDef
    return {
        node.name
        for node in ast.parse(source).body
        if isinstance(node, kinds) and not node.name.startswith("_")
    }


class LikelyTests:
    """Which test files speak of a module: by what it offers, and, less, by what the modules that use it offer."""

    def __init__(self, root: Path) -> None:
        sources = {
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
            for path in (root / "metasci").rglob("*.py")
        }
        self.names = {module: public_names(source) for module, source in sources.items()}
        self.users: dict[str, set[str]] = {module: set() for module in sources}
        for module, source in sources.items():
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                        if name in self.users and not module.endswith("__init__"):
                            self.users[name].add(module)
        files = (path for path in sorted((root / "tests").glob("test_*.py")) if path.name not in NOT_LIKELY)
        self.texts = {path.name: path.read_text(encoding="utf-8") for path in files}
        self.words = {name: Counter(re.findall(r"\w+", text)) for name, text in self.texts.items()}

    def of(self, file: str, most: int) -> tuple[str, ...]:
        """So many test files, the likeliest first."""
        start = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        distance = {start: 0}
        queue = [start]
        for module in queue:
            for user in self.users.get(module, ()) if distance[module] < 3 else ():
                if user not in distance:
                    distance[user] = distance[module] + 1
                    queue.append(user)
        scores: Counter[str] = Counter()
        for module, steps in distance.items():
            # a module three uses away counts as much as a mention of one's own: a quarter each time
            weight = 0.25**steps
            for test, text in self.texts.items():
                mentions = sum(min(3, self.words[test][name]) for name in self.names[module])
                scores[test] += weight * (mentions + 10.0 * (f"{module} import" in text))
        return tuple(f"tests/{name}" for name, score in scores.most_common(most) if score > 0.0)


class FirstFailure:
    """A plugin of pytest that writes down where the first failure was."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: object) -> None:
        self._note(report)

    def pytest_collectreport(self, report: object) -> None:
        self._note(report)

    def _note(self, report: object) -> None:
        if getattr(report, "failed", False) and not self.path.exists():
            self.path.write_text(str(getattr(report, "nodeid", "")), encoding="utf-8")


def outcome_of(root: Path, what: Sequence[str], limit: float, options: Sequence[str] = ()) -> tuple[str, str]:
    """Run pytest in a fork: how it ended, and the first test that failed."""
    note = root / ".first_failure"
    note.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        signal.alarm(int(8 * limit))  # one that waits for ever uses no processor
        os.chdir(root)
        os.environ["PYTHONPATH"] = str(root)
        sys.path.insert(0, str(root))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        import pytest

        fixed = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(root)]
        os._exit(int(pytest.main([*fixed, *options, *what], plugins=[FirstFailure(note)])))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it started and left
    code = os.waitstatus_to_exitcode(status)
    failed = note.read_text(encoding="utf-8") if note.exists() else ""
    if code in (0, 5):
        return "passed", ""
    if code in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGALRM):
        return "out of time", failed
    return "failed", failed


class Judge:
    """Runs the tests on mutants; knows which tests fail without any."""

    def __init__(self, root: Path, limit: float) -> None:
        self.root, self.limit = root, limit
        self.sound: dict[str, bool] = {}

    def passes_without(self, test: str) -> bool:
        """Whether a test, or a file that could not be collected, is fine where nothing was changed."""
        if test not in self.sound:
            collected = () if "::" in test else ("--collect-only",)
            self.sound[test] = outcome_of(self.root, [test], self.limit, collected)[0] == "passed"
        return self.sound[test]

    def judge(self, mutant: Mutant, source: str) -> None:
        """A test that fails with the mutant and passes without it kills it."""
        path = self.root / mutant.file
        whole = path.read_text(encoding="utf-8")
        begun = time.monotonic()
        while True:
            path.write_text(source, encoding="utf-8")
            unsound = [f"--deselect={test}" for test, fine in self.sound.items() if not fine]
            outcome, failed = outcome_of(self.root, [mutant.file, *mutant.tests], self.limit, unsound)
            path.write_text(whole, encoding="utf-8")
            if outcome != "failed" or not failed or self.passes_without(failed):
                break
        mutant.outcome = {"passed": "survived", "failed": "killed"}.get(outcome, outcome)
        mutant.killer = failed if outcome == "failed" else ""
        mutant.seconds = round(time.monotonic() - begun, 1)


def table(mutants: Sequence[Mutant]) -> str:
    """Markdown: how many were killed, by room, and each that lives with the reason why it may."""
    lines = ["| room | mutants | killed | alike | live | out of time |", "|---" * 6 + "|"]
    rooms = sorted({each.file.split("/")[1] for each in mutants})
    for room in [*rooms, "all"]:
        own = [each for each in mutants if room in (each.file.split("/")[1], "all")]
        count = {
            name: sum(each.outcome == name for each in own)
            for name in ("killed", "alike", "survived", "out of time")
        }
        lines.append(f"| {room} | {len(own)} | {' | '.join(str(number) for number in count.values())} |")
    lines += ["", "| where | change | outcome | why |", "|---|---|---|---|"]
    for each in sorted(mutants, key=lambda mutant: (mutant.outcome, mutant.file, mutant.line)):
        if each.outcome != "killed":
            changed = f"`{each.before[:60]}` to `{each.after[:60]}`".replace("|", "\\|")
            lines.append(f"| {each.file}:{each.line} | {changed} | {each.outcome} | {each.why} |")
    return "\n".join(lines)


def score(mutants: Sequence[Mutant]) -> str:
    """The share that was killed, in a sentence; a mutant that does the same as the original is none."""
    counted = [each for each in mutants if each.outcome in ("killed", "survived")]
    killed = sum(each.outcome == "killed" for each in counted)
    alike = sum(each.outcome == "alike" for each in mutants)
    late = sum(each.outcome == "out of time" for each in mutants)
    return (
        f"{killed} of {len(counted)} mutants killed, {killed / max(len(counted), 1):.1%}; "
        f"{alike} do the same as the original, {late} ran out of time"
    )


def copy_of_head(folder: Path) -> None:
    """What git holds, in a folder that comes before this one among the places of imports."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != ROOT]


def load_libraries(root: Path) -> None:
    """Load the libraries of others that the tests load, once for all forks; metasci itself is loaded by each."""
    names = root / ".libraries"
    child = os.fork()
    if child == 0:
        os.chdir(root)
        sys.path.insert(0, str(root))
        silent = os.open(os.devnull, os.O_RDWR)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        import pytest

        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"])
        places = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
        names.write_text("\n".join(name for name, place in places.items() if "site-packages" in place))
        os._exit(0)
    os.waitpid(child, 0)
    before = dict(os.environ)
    for name in names.read_text().splitlines():
        if name.split(".")[0] not in ("metasci", "tests", "conftest"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    os.environ.clear()
    os.environ.update(before)


def asked_for() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", nargs="+", default=ROOMS)
    parser.add_argument("--files", type=int, default=3, help="most test files for a mutant")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of the processor for a mutant")
    parser.add_argument("--minutes", type=float, default=120.0, help="no new mutant after so many")
    parser.add_argument("--again", action="store_true", help="judge those that live or ran out of time again")
    parser.add_argument("--table", action="store_true", help="print what the file holds, and end")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    asked = asked_for()
    begun = time.monotonic()
    kept = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else []
    done = {each.key: each for each in (Mutant(**row) for row in kept)}
    if not asked.table:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder).resolve()
            copy_of_head(copy)
            load_libraries(copy)
            judge, likely = Judge(copy, asked.limit), LikelyTests(copy)
            for mutant, source in drawn(copy, asked.count, asked.seed, tuple(asked.rooms)):
                if time.monotonic() - begun > 60.0 * asked.minutes:
                    break
                before = done.get(mutant.key)
                if before and not (asked.again and before.outcome in ("survived", "out of time")):
                    continue
                mutant.tests = likely.of(mutant.file, asked.files)
                mutant.why = before.why if before else ""
                judge.judge(mutant, source)
                done[mutant.key] = mutant
                print(
                    f"{mutant.outcome:12} {mutant.seconds:5.0f} s {mutant.file}:{mutant.line} "
                    f"{mutant.before} -> {mutant.after} {mutant.killer}",
                    flush=True,
                )
                rows = json.dumps([asdict(each) for each in done.values()], indent=1)
                asked.out.write_text(rows + "\n", encoding="utf-8")
    else:
        print(table(list(done.values())))
    print(score(list(done.values())))


if __name__ == "__main__":
    main()
