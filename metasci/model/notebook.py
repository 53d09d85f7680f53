"""A model as a notebook shows it: its equation in words, its parameters, what it takes and which laws hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasci.markup import captioned, notes, table
from metasci.words import number, pretty_unit, words

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["model_html"]


def model_html(model: Model) -> str:
    """A table of the parameters under the first paragraph of the description."""
    takes = [f"{words(name)} ({pretty_unit(each.unit) or '1'})" for name, each in model.inputs.items()]
    takes += [f"{words(name)} ({pretty_unit(each.unit) or '1'})" for name, each in model.histories.items()]
    output = f"{words(model.output.name)} ({pretty_unit(model.output.unit) or '1'})"
    summary = " ".join(model.description.partition("\n\n")[0].split())
    rows = [
        [words(each.name), number(each.typical), pretty_unit(each.unit), each.description]
        for each in model.parameters
    ]
    remarks = [
        f"takes {', '.join(takes)}",
        f"gives {output}",
        *(f"{output} is {law.law}" for law in model.constraints),
    ]
    return captioned(
        model.name, summary, table(["parameter", "ordinarily", "unit", "meaning"], rows), notes(remarks)
    )
