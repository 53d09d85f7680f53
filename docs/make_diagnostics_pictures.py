"""Draw the pictures of the pages on diagnostics, ``python docs/make_diagnostics_pictures.py``, by their own examples.

A page's picture is what its examples call ``figure``; a second one is called ``next_figure``.
"""

from __future__ import annotations

from pathlib import Path

from run_examples import DOCS, FENCE, Shell, examples_of, workplace

from metasci.report.style import to_png

OUT = DOCS / "images" / "diagnostics"
SUFFIXES = {"figure": "", "next_figure": "-next"}


def draw(page: Path) -> list[Path]:
    """Run the examples of a page and save the figures they leave."""
    shell = Shell()
    with workplace():
        for fence in FENCE.finditer(page.read_text()):
            for example in examples_of(fence["kind"], fence["body"], 0):
                shell.run(example)
    written = []
    for name, suffix in SUFFIXES.items():
        if name in shell.names:
            written.append(OUT / f"{page.stem}{suffix}.png")
            written[-1].write_bytes(to_png(shell.names[name], 1.6))
    return written


def main() -> None:
    """Draw and save."""
    OUT.mkdir(parents=True, exist_ok=True)
    for page in sorted((DOCS / "diagnostics").glob("*.md")):
        for path in draw(page):
            print(f"written: {path.relative_to(DOCS)}")


if __name__ == "__main__":
    main()
