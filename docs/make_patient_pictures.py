"""Draw the pictures of the page on patients' figures, ``python docs/make_patient_pictures.py``, by its own examples.

Each figure that the examples leave is saved under the name it has there.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from run_examples import DOCS, FENCE, Shell, examples_of, workplace

from metasci.report.style import to_png

OUT = DOCS / "images" / "patients"
PAGE = DOCS / "patient-figures.md"


def draw(page: Path) -> list[Path]:
    """Run the examples of a page and save the figures they leave."""
    shell = Shell()
    with workplace():
        for fence in FENCE.finditer(page.read_text()):
            for example in examples_of(fence["kind"], fence["body"], 0):
                shell.run(example)
    written = []
    for name, value in shell.names.items():
        if isinstance(value, Figure):
            written.append(OUT / f"{name.replace('_', '-')}.png")
            written[-1].write_bytes(to_png(value, 1.6))
    return written


def main() -> None:
    """Draw and save."""
    OUT.mkdir(parents=True, exist_ok=True)
    for path in draw(PAGE):
        print(f"written: {path.relative_to(DOCS)}")


if __name__ == "__main__":
    main()
