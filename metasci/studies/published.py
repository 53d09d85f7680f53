"""The published priors that ship, into ``models/``: ``python -m metasci.studies.published``.

Each is a model of `metasci.patients` with its variability and residual error, as its source prints them, and a card
with the source, the population, its range, and what the numbers were compared with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from metasci.files import write_atomically
from metasci.priors.equation import Prior
from metasci.studies.published_antibiotics import ANTIBIOTICS
from metasci.studies.published_other_drugs import OTHER_DRUGS
from metasci.words import number, pretty_unit, words

__all__ = ["PUBLISHED", "card_of", "main"]

PUBLISHED: dict[str, Callable[[], Prior]] = {
    publication.name: publication.prior
    for publication in sorted((*ANTIBIOTICS, *OTHER_DRUGS), key=lambda publication: publication.name)
}
"""What makes each, by name."""


def card_of(prior: Prior) -> str:
    """The card of a published prior, Markdown."""
    record, model, ranges = prior.training["published"], prior.model, prior.training["ranges"]
    rows = []
    spreads = dict(
        zip(model.parameters.names, prior.state.covariance.diagonal().sqrt().tolist(), strict=True)
    )
    for parameter in (*model.parameters, *model.fixed):
        omega = parameter.spread * spreads[parameter.name] if parameter.name in spreads else 0.0
        shown = f"{omega**2:.4g}" if omega else "fixed"
        rows.append(f"| {words(parameter.name)} | {parameter.unit} | {parameter.typical:.6g} | {shown} |")
    whom = model.individual.reference if model.individual else ""
    covariates = []
    for name, covariate in model.inputs.items():
        if name != "time":
            unit = "" if covariate.unit == "1" else f", {pretty_unit(covariate.unit)}"
            span = ": {} to {}".format(*map(number, ranges[name])) if name in ranges else ""
            covariates.append(f"- {words(name)}{unit}{span}")
    noise = ", ".join(
        f"{scale} {value:.4g}" for scale, value in zip(model.noise.scales, model.noise.typical, strict=True)
    )
    return "\n".join(
        [
            f"# {prior.name}: published numbers",
            "",
            f"{model.description.partition(chr(10))[0]} Model `{model.name}`.",
            "",
            f"Source: {record['source']}.",
            "",
            f"Population: {record['population']}.",
            "",
            f"| parameter{f' of {whom}' if whom else ''} | unit | typical value | variance ω² |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Noise: {noise} ({type(model.noise).__name__}).",
            "",
            "## Covariates",
            "",
            *(covariates or ["None."]),
            "",
            "## Know before use",
            "",
            *(f"- {remark}" for remark in record["remarks"]),
            "",
            "Numbers are facts of the publication and were typed in from it or from an open implementation of it; "
            "this is research software and no medical device.",
            "",
        ]
    )


def main(folder: str | Path = "models") -> None:
    """Write every published prior and its card."""
    for name, maker in PUBLISHED.items():
        prior = maker()
        prior.save(Path(folder) / name)
        write_atomically(Path(folder) / name / "CARD.md", card_of(prior).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
