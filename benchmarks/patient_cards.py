"""Write the model card of a prior of patients from the figures that `metasci evaluate NAME NAME --json` prints.

metasci evaluate quinidine quinidine --leave-out subject --json > figures.json
python benchmarks/patient_cards.py quinidine figures.json "What to know, a sentence or more."
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from card_text import _population

from metasci import catalogue
from metasci.priors.load import load

_HEADS = {
    "rmse": "RMSE", "mdape": "MDAPE, %", "mdpe": "MDPE, %", "f20": "F20, %", "f30": "F30, %",
    "coverage90": "coverage of 90 % intervals", "nlpd": "negative log density",
}  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """The figures of every method and number of samples."""
    lines = ["| method | shots | " + " | ".join(_HEADS.values()) + " |", "|" + "---|" * 9]
    for row in report["results"]:
        cells = " | ".join(f"{row[name]:.3g}" for name in _HEADS)
        lines.append(f"| {row['method']} | {row['shots']} | {cells} |")
    return "\n".join(lines)


def card(name: str, report: dict[str, Any], know: str) -> str:
    """Markdown for ``models/NAME/CARD.md``."""
    prior = load(name)
    data, training = prior.card, prior.training
    parts = f"in {report['folds']} parts" if report["folds"] else "one by one"
    return f"""# {name}: a learned prior

{data.title}. Model `{prior.model.name}`: {prior.model.description.partition(chr(10))[0]}

Learned from {training["tasks"]} tasks ({training["measurements"]} measurements) by {prior.method.name} in
{training["seconds"]} s on one thread; seed {training["seed"]}. Source of the data: {data.source}. Licence of the data:
{data.licence}.

{_population(prior)}
## Held-out figures

Groups of `{report["leave_out"]}` left out {parts}, the prior learned anew without them; support: {report["support"]};
{report["tasks"]} tasks. RMSE in {report["unit"]}; percentages are of the measurement.

{table(report)}

Command: `metasci evaluate {name} {name} --leave-out {report["leave_out"]}`

## What to know

{know}

This prior is for research and no medical device.
"""


def main() -> None:
    """Write one card."""
    name, figures, know = sys.argv[1:4]
    text = card(name, json.loads(Path(figures).read_text()), know)
    (catalogue.shipped("models") / name / "CARD.md").write_text(text)


if __name__ == "__main__":
    main()
