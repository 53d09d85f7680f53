"""How many small mistakes the tests would notice: mutants of the sources, drawn at random, against what reaches them.

    python benchmarks/mutants.py --count 200 --seed 1 --calls calls.jsonl --out mutants.json
    python benchmarks/mutants.py --again --seconds 120 --calls calls.jsonl --out mutants.json
    python benchmarks/mutants.py --table --out mutants.json

A mutant is one change of one expression: a comparison, a sign, an operator, a number, a condition. The tests run in a
copy of what git holds, so nothing here is touched. First each file of tests runs once, for some seconds, and it is
noted in the file of `--calls` which test calls which functions. For each mutant those tests run that call the function
that was changed, the most special ones first, as many as `--seconds` allow. A test kills a mutant if it fails with it
and passes without it; one with which they do not end in five times their time has run out of time. What is in the file
of `--out` is not judged a second time, so a run that was ended goes on; `--again` takes those that live or ran out of
time. What survives is listed with its line, to be explained or killed.
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
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, FrameType

import pytest

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
    tests: int = 0
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


class Reached:
    """Which tests call which functions, as one run of them told; see `Calls`."""

    def __init__(self, root: Path, notes: Path) -> None:
        self.root = root
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, frozenset[str]] = {}
        for line in notes.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            self.seconds[row["test"]], self.calls[row["test"]] = row["seconds"], frozenset(row["functions"])

    def of(self, file: str, line: int, most: float) -> tuple[str, ...]:
        """The tests that reach a line, those first that call the fewest functions, of so many seconds together.

        What stands outside of functions is reached by what calls any function that names it, or any of the module.
        """
        tree = ast.parse((self.root / file).read_text(encoding="utf-8"))
        wanted = {f"{file}:{first}" for first in _functions_of(tree, line)}
        tests = [test for test, functions in self.calls.items() if functions & wanted]
        chosen, spent = [], 0.0
        for test in sorted(tests, key=lambda name: (len(self.calls[name]), self.seconds[name])):
            spent += self.seconds[test]
            if chosen and spent > most:
                break
            chosen.append(test)
        return tuple(chosen)


def _first_line(function: ast.FunctionDef) -> int:
    """Where its code begins, as Python counts: at its first decorator."""
    return min([function.lineno, *(each.lineno for each in function.decorator_list)])


def _functions_of(tree: ast.Module, line: int) -> set[int]:
    """First lines of the functions that are changed with a line."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    around = [each for each in functions if each.lineno <= line <= (each.end_lineno or 0)]
    if around and any(line >= each.body[0].lineno for each in around):
        return {_first_line(max(around, key=lambda each: each.lineno))}
    statement = next(each for each in tree.body if each.lineno <= line <= (each.end_lineno or 0))
    own = {_first_line(each) for each in ast.walk(statement) if isinstance(each, ast.FunctionDef)}
    names = {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for each in functions:
        if names & {node.id for node in ast.walk(each) if isinstance(node, ast.Name)}:
            own.add(_first_line(each))
    return own or {_first_line(each) for each in functions}


class Calls:
    """A plugin of pytest that notes for each test which functions of some folders it calls, a line of JSON each."""

    def __init__(self, root: Path, rooms: Sequence[str], notes: Path) -> None:
        self.root, self.notes = f"{root}/", notes
        self.within = tuple(f"{root}/metasci/{room}/" for room in rooms)
        self.here: set[CodeType] = set()

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        self.here.add(frame.f_code)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.here, begun = set(), time.process_time()
        sys.settrace(self._called)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            functions = sorted(
                f"{code.co_filename.removeprefix(self.root)}:{code.co_firstlineno}"
                for code in self.here
                if code.co_filename.startswith(self.within)
            )
            if functions:
                seconds = round(time.process_time() - begun, 3)
                row = {"test": item.nodeid, "seconds": seconds, "functions": functions}
                with self.notes.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def note_calls(root: Path, rooms: Sequence[str], notes: Path, limit: float) -> None:
    """Run each file of tests once, for so many seconds at most, and all doctests of the folders."""
    begun = notes.with_suffix(".begun")
    done = set(begun.read_text(encoding="utf-8").splitlines()) if begun.exists() else set()
    files = [f"tests/{path.name}" for path in sorted((root / "tests").glob("test_*.py"))]
    for name in [*(f"metasci/{room}" for room in rooms), *files]:
        if name in done or Path(name).name in NOT_LIKELY:
            continue
        outcome, _ = outcome_of(root, [name], limit, ("--maxfail=1000",), Calls(root, rooms, notes))
        print(f"{name}: {outcome}", flush=True)
        with begun.open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")


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


def outcome_of(
    root: Path, what: Sequence[str], limit: float, options: Sequence[str] = (), *plugins: object
) -> tuple[str, str]:
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
        fixed = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(root)]
        os._exit(int(pytest.main([*fixed, *options, *what], plugins=[FirstFailure(note), *plugins])))
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

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sound: dict[str, bool] = {}

    def passes_without(self, test: str) -> bool:
        """Whether a test, or a file that could not be collected, is fine where nothing was changed."""
        if test not in self.sound:
            collected = () if "::" in test else ("--collect-only",)
            self.sound[test] = outcome_of(self.root, [test], 120.0, collected)[0] == "passed"
        return self.sound[test]

    def judge(self, mutant: Mutant, source: str, tests: Sequence[str], limit: float) -> None:
        """A test that fails with the mutant and passes without it kills it."""
        mutant.tests = len(tests)
        if not tests:
            mutant.outcome = "survived"
            return
        path = self.root / mutant.file
        whole = path.read_text(encoding="utf-8")
        begun = time.monotonic()
        while True:
            path.write_text(source, encoding="utf-8")
            unsound = [f"--deselect={test}" for test, fine in self.sound.items() if not fine]
            outcome, failed = outcome_of(self.root, tests, limit, unsound)
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
    parser.add_argument("--calls", type=Path, default=Path("calls.jsonl"), help="which tests call what; kept")
    parser.add_argument("--seconds", type=float, default=40.0, help="of tests for a mutant, at most")
    parser.add_argument("--limit", type=float, default=30.0, help="of a file of tests whose calls are noted")
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
            note_calls(copy, asked.rooms, asked.calls.resolve(), asked.limit)
            judge, reached = Judge(copy), Reached(copy, asked.calls)
            for mutant, source in drawn(copy, asked.count, asked.seed, tuple(asked.rooms)):
                if time.monotonic() - begun > 60.0 * asked.minutes:
                    break
                before = done.get(mutant.key)
                if before and not (asked.again and before.outcome in ("survived", "out of time")):
                    continue
                tests = reached.of(mutant.file, mutant.line, asked.seconds)
                mutant.why = before.why if before else ""
                # what takes five times as long as all of them, with time to load, does not end
                judge.judge(mutant, source, tests, 60.0 + 5.0 * sum(reached.seconds[name] for name in tests))
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
