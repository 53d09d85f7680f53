"""A user's own equation: what it returns, raises and declares, as a file that the command line runs."""

from __future__ import annotations

from random import Random

from . import seeds
from .case import Case

_RETURNS = (
    "a * x + b", "a", "x", "None", "1.0", "'x'", "[a, b]", "(a * x, b)", "torch.stack([a * x, b * x])", "a.detach() * x",
    "(a * x).sum()", "a.numpy() * x", "np.asarray(x)", "torch.zeros(3)", "torch.full_like(x, torch.nan)", "(a * x).to(torch.int64)",
    "torch.log(-a.abs() * x - 1)", "1 / (a * 0)", "a * x ** 1e9", "torch.exp(1e9 * a * x)", "a * x + 1j", "a * unknown",
    "a.reshape(-1)", "(a * x).T", "a * x if a > 0 else b", "math.exp(a)", "a * x + torch.rand(3)", "a * x + torch.randn_like(x)",
    "a[0, 0] * x", "model(x)", "1 / 0", "[][1]", "{}['a']", "x.frobnicate()", "a * x.unsqueeze(-1)", "(a * x).float()", "(a * x).half()",
    "a * np.exp(x)", "torch.where(a > 1e9, a, torch.nan) * x", "a * x + b.item()", "a * x * float('inf')", "a.abs().sqrt() * x - b",
    "torch.linalg.inv(a * 0)", "-(a * x)", "torch.sign(a) * x", "torch.round(a) * x",
)  # fmt: skip
_BODIES = (
    "raise ValueError('mine ' * 99)", "raise SystemExit(3)", "raise GeneratorExit", "raise MemoryError", "assert a is None",
    "x += 1", "a *= 2", "del a", "print('hello')", "import warnings; warnings.warn('mine')", "return mine(x, a=a, b=b)",
    "raise StopIteration", "raise RuntimeError('\\x1b[31m\\n\\n')", "torch.manual_seed(0)", "b = a.mean()", "pass",
)  # fmt: skip
_DECLARED = (
    "ms.Parameter('a')", "ms.Parameter('a', 'h,min')", "ms.Parameter('a', typical=float('nan'))", "ms.Parameter('a', lower=2, upper=1)",
    "ms.Parameter('', '1')", "ms.Parameter('b')", "ms.Parameter('a', typical=-1, lower=0)", "ms.Parameter('x')", "'a'", "None",
    "ms.Parameter('a', spread=-1)", "ms.Parameter('a', typical=1e300)", "ms.Parameter('a', typical='1')", "ms.Parameter('a b')",
)  # fmt: skip
_INPUTS = (
    "{'cycles': 'Mcycle'}",
    "{'cycles': 'h'}",
    "{'x': '1'}",
    "{}",
    "{'cycles': 1}",
    "['cycles']",
    "{'cycles': 'h,min'}",
    "{'cycles': None}",
)
_OUTPUTS = (
    "('relative_length', '1')",
    "('relative_length', 'mm')",
    "('y', '1')",
    "'relative_length'",
    "None",
    "('', '')",
    "(1, 2)",
)

_FILE = """import math
import numpy as np
import torch
import metasci as ms

@ms.equation(inputs={inputs}, output={output}, parameters=[{declared}, ms.Parameter('b')], name={name!r})
def mine({arguments}):
    {body}
    return {value}
"""


def own_equation(rng: Random) -> Case:
    """A file with one or two things wrong, learned from or calibrated with."""

    def changed(sound: str, others: tuple[str, ...], share: float) -> str:
        return rng.choice(others) if rng.random() < share else sound

    arguments = changed(
        "cycles, *, a, b",
        (
            "cycles, a, b",
            "*, a, b",
            "x, *, a, b",
            "cycles, *, a",
            "**all",
            "cycles, *, a, b, c",
            "cycles, *, a, b=1.0",
            "",
        ),
        0.1,
    )
    text = _FILE.format(
        inputs=changed(_INPUTS[0], _INPUTS, 0.1), output=changed(_OUTPUTS[0], _OUTPUTS, 0.1),
        declared=changed(_DECLARED[0], _DECLARED, 0.15), body=changed("pass", _BODIES, 0.25),
        value=changed("b + a * x", _RETURNS, 0.6), arguments=arguments,
        name=changed("mine.line", ("", "a\\nb", "../x", "kinetics.avrami", "<b>"), 0.05),
    ).replace("a * x", "a * cycles").replace(" x", " cycles").replace("(x", "(cycles")  # fmt: skip
    if rng.random() < 0.08:
        text = rng.choice(
            (
                text.replace(":", "", 1),
                text.replace("mine", "other"),
                "",
                "mine = 3\n",
                "mine = None\n",
                text + "\x00",
                "raise Exception\n",
                "import nothing_of_the_kind\n",
            )
        )
    arguments_of = rng.choice(
        (
            ("train", "own.py:mine", "alloy_fatigue", "--out", "learned", "--covariates", "none"),
            ("train", "own.py:mine", "alloy_fatigue", "--out", "learned", "--method", "fomaml"),
            ("calibrate", "prior", "fatigue.csv", "--model", "own.py:mine", "--json"),
        )
    )
    files = {"own.py": text.encode("utf-8", "replace"), "fatigue.csv": seeds.FATIGUE.encode()}
    if "prior" in arguments_of:
        files |= {f"prior/{name}": content for name, content in seeds.own_line().items()}
    return Case("equation", arguments_of, files)
