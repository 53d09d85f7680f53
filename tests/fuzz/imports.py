"""Files of other programs: control streams of NONMEM, problems of PEtab with their SBML."""

from __future__ import annotations

import re
from random import Random

from . import mutations, seeds
from .case import Case

_STATEMENTS = (
    "$THETA (0,5) (0,30)", "$OMEGA BLOCK(2) 0.1 0.2 0.1", "$OMEGA -1", "$SIGMA 0", "$EST METH=1", "$SUBROUTINES ADVAN99",
    "$PRIOR NWPRI", "$INCLUDE /etc/passwd", "$DATA /etc/passwd", "$DATA /dev/zero", "$PK", "$ERROR", "$DES", "CL = CL",
    "CL = THETA(99)", "CL = ETA(0)", "CL = 1/0", "CL = LOG(-1)", "CL = EXP(1E9)", "CL = SIN(T)**THETA(1)", "CALL RANDOM(2)",
    "\"FIRST", "DO WHILE (1.EQ.1)", "IF (WT.GT.70) EXIT 1", "ENDIF", "IF (SEX.EQ.1) THEN", "Y = F", "Y = EPS(1)",
    "V = THETA(1)**THETA(2)**THETA(3)**9**9**9", "DADT(1) = A(9)", "DADT(1) = -1E300*A(1)", "A_0(1) = 5", "MTIME(1) = 3",
    "CL = __import__('os').system('id')", "CL = " + "(" * 300 + "1" + ")" * 300, "CL = " + "1+" * 3000 + "1",
)  # fmt: skip


def nonmem(rng: Random) -> Case:
    """A control stream, changed by lines, words and letters; imported as the command line does."""
    lines = rng.choice(seeds.STREAMS).splitlines()
    for _ in range(rng.randint(1, 2)):
        place, kind = rng.randrange(len(lines)), rng.random()
        if kind < 0.2:
            lines.insert(place, rng.choice(_STATEMENTS))
        elif kind < 0.3:
            lines[place] = rng.choice(_STATEMENTS)
        elif kind < 0.4:
            del lines[place]
        elif kind < 0.45:
            lines.insert(place, rng.choice(lines))
        elif kind < 0.65:
            lines[place] = _another_number(rng, lines[place])
        else:
            lines[place] = mutations.text(rng, lines[place], '()+-*/=.,$;&" 0123456789ETHAEPSVCLKF\n')
    content = "\n".join(lines).encode("utf-8", "replace")
    if rng.random() < 0.1:
        content = mutations.flipped(rng, content)
    return Case("nonmem", ("import", "run1.mod", "--out", "mine"), {"run1.mod": content})


def petab(rng: Random) -> Case:
    """A problem, one of its files changed."""
    files = {name: text.encode() for name, text in seeds.PETAB.items()}
    name = rng.choice(sorted(files))
    text = seeds.PETAB[name]
    kind = rng.random()
    if kind < 0.1:
        del files[name]
    elif kind < 0.2:
        files[name] = mutations.flipped(rng, files[name])
    elif name.endswith(".tsv"):
        changed = mutations.table(rng, text.replace("\t", ","))
        files[name] = changed if rng.random() < 0.1 else changed.replace(b",", b"\t")
    elif kind < 0.6:
        files[name] = _another_number(rng, text).encode("utf-8", "replace")
    else:
        pieces = re.split(r"(?<=>)|\n", text)
        place = rng.randrange(len(pieces))
        way = rng.random()
        if way < 0.3:
            del pieces[place]
        elif way < 0.6:
            pieces.insert(place, rng.choice(pieces))
        else:
            pieces[place] = mutations.text(rng, pieces[place] or " ", "<>/=\"'abkAB_[]{}: .0123456789&!*\n")
        files[name] = "\n".join(pieces).encode("utf-8", "replace")
    return Case("petab", ("import", "problem.yaml", "--out", "mine"), files)


def _another_number(rng: Random, text: str) -> str:
    """One number, name or path within a text, replaced by a hostile one."""
    words = list(re.finditer(r"[\w./]+", text))
    if not words:
        return text
    word = rng.choice(words)
    other = rng.choice(
        (mutations.cell(rng), "/etc/passwd", "../../x", "/dev/zero", "THETA(1)", "ETA(1)", "A", "k", "1e999")
    )
    return text[: word.start()] + other + text[word.end() :]
