"""The model card of a shipped prior, from its measured figures."""

from __future__ import annotations

from typing import Any

import torch

from metasci import catalogue
from metasci.library import find
from metasci.priors.equation import Prior
from metasci.studies.ship import Recipe

_FIGURES = ("rmse", "mae", "mdape", "coverage90", "nlpd")
_HEADS = ("RMSE", "MAE", "median abs. error, %", "coverage of 90 % intervals", "negative log density")


_WHAT_WAS_CHOSEN = {
    "steel_tempering_discrepancy": (
        "How many readings of each task are drawn in a step, how many steps are made, that learning goes by halves of "
        "the tasks given each other and the form of the covariances were chosen while figures of tasks left out were "
        "looked at, so that the figures above are partly chosen on. So was the noise: under an even one on the "
        "Rockwell scale intervals were too narrow for soft steels (`benchmarks/discrepancy.md`). How far "
        "groups of a level are believed to differ was said beforehand."
    ),
    "alloy_fatigue_discrepancy": (
        "Chosen with these cracks in view: that the scales are those that learning climbs to (sampled, as from fewer "
        "tasks, they had 0.113, 0.049 and 0.028 from 1, 3 and 5 readings, in seven parts), and that learning goes by "
        "halves of the tasks given each other (`benchmarks/what_scales_go_by.md`)."
    ),
    "theophylline_early_noise": (
        "That noise is greater at first was seen in the residuals of all tasks, and of the forms tried (constant; "
        "combined; falling over one hour, over two, and over a time that is learned) the last was taken, which says "
        "least beforehand. All that fall had about the same figures on tasks left out; all its scales are learned anew "
        "without each task."
    ),
    "phenobarbital_heavy_tails": (
        "That some readings lie far off was seen in the errors of all tasks: the same fit with a smaller noise has the "
        "smaller error in the median, and the greater one in the root mean square. Proportional and log-normal noise "
        "and a discrepancy were tried, too, on tasks left out (9.9, 9.7 and 8.8 % in the median after one reading, in "
        "ten parts). How heavy the tails are is learned anew without each task."
    ),
}


def card_text(recipe: Recipe, measured: dict[str, Any]) -> str:
    """Markdown for ``models/NAME/CARD.md``."""
    prior = Prior.load(catalogue.shipped("models") / recipe.folder)
    shipped, unit = measured["shipped"], measured["shipped"]["unit"]
    data = prior.card
    parts = [
        f"# {recipe.folder}: a learned prior\n",
        f"{data.title}. Model `{recipe.model}`: {find(recipe.model).description.partition(chr(10))[0]}\n",
        f"Learned from {prior.training['tasks']} tasks ({prior.training['measurements']} measurements) by "
        f"{prior.method.name} in {shipped['training_seconds']:.1f} s on one thread; seed {prior.training['seed']}. "
        f"Source of the data: {data.source}. Licence of the data: {data.licence}.\n",
        _population(prior),
        "## Held-out figures of what ships\n",
        f"{_held_out(shipped)} and the prior learned anew without it; support: "
        f"{shipped['support']}; {shipped['seeds']} random choice(s) of the support a task; {shipped['tasks']} tasks. "
        f"RMSE and MAE in {unit}, aggregated as {shipped['aggregate'].replace('_', ' ')}.\n",
        _baselines(shipped),
        f"Command: `metasci evaluate {recipe.folder} {recipe.data} --leave-out {shipped['leave_out']} "
        f"--shots {','.join(str(k) for k in _shots(shipped))}{_in_parts(shipped)}`\n",
        *_chosen(recipe, measured, unit),
        "## Know before use\n",
        "\n".join(f"- {trap}" for trap in data.traps) + "\n",
    ]
    if measured["left_out"]:
        parts.append(
            f"Left out of training and evaluation, too few rows: {', '.join(measured['left_out'])}.\n"
        )
    if recipe.model.startswith("patients."):
        parts.append("This is research software and no medical device.\n")
    return "\n".join(parts)


def _held_out(report: dict[str, Any]) -> str:
    """What is left out, one by one or in parts."""
    if report["folds"] is None:
        return f"Each `{report['leave_out']}` is left out in turn"
    return f"Each of {report['folds']} parts of the values of `{report['leave_out']}` is left out in turn"


def _in_parts(report: dict[str, Any]) -> str:
    return "" if report["folds"] is None else f" --folds {report['folds']} --seeds {report['seeds']}"


def _chosen(recipe: Recipe, measured: dict[str, Any], unit: str) -> list[str]:
    """What the recipe was chosen against; of one beside another, on what it was chosen."""
    if not measured["variants"]:
        chosen = _WHAT_WAS_CHOSEN[recipe.folder]
        return [
            "## What was chosen, and on what\n",
            f"`{recipe.data}` is the other prior of these data; its card has the table of methods. {chosen}\n",
        ]
    return [
        "## What it was chosen against\n",
        f"All under one protocol: groups left out in {_folds(measured)} parts, the same supports and queries. "
        f"Numbers are RMSE ({unit}), then coverage of 90 % intervals, then negative log density. Command: "
        f"`python benchmarks/shipped_priors.py {recipe.folder}`\n",
        _variants(measured["variants"]),
        _choice(recipe, measured["variants"]),
    ]


def _shots(report: dict[str, Any]) -> list[int]:
    return sorted({row["shots"] for row in report["results"]})


def _folds(measured: dict[str, Any]) -> int:
    return int(measured["variants"][0]["folds"])


def _population(prior: Prior) -> str:
    """The typical task and the range of tasks."""
    centre, covariance = prior.state.mean, prior.state.covariance
    if not isinstance(
        covariance, torch.Tensor
    ):  # of a task of which nothing is known but that its covariates are ordinary
        batch = prior.typical(**_ordinary(prior)).batch
        adapted = prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))
        centre, covariance = adapted.start[0], adapted.start_covariance[0]
    sd = covariance.diagonal().sqrt()
    space = prior.model.parameters
    low, middle, high = (space.to_physical(centre + shift * sd) for shift in (-1.645, 0.0, 1.645))
    lines = ["| parameter | unit | typical task | 90 % of tasks, at given covariates |", "|---|---|---|---|"]
    for parameter in space:
        name = parameter.name
        row = f"{float(middle[name]):.4g} | {float(low[name]):.4g} to {float(high[name]):.4g}"
        lines.append(f"| {name.replace('_', ' ')} | {parameter.unit} | {row} |")
    scales = ", ".join(
        f"{name} {float(value):.3g}"
        for name, value in zip(prior.model.noise.scales, torch.exp(prior.state.log_noise), strict=True)
    )
    names = ", ".join(prior.covariates.names) or "none"
    return "\n".join(lines) + f"\n\nNoise: {scales}. Covariates that shift the start: {names}.\n"


def _ordinary(prior: Prior) -> dict[str, str]:
    """The mean covariates of the tasks learned from; none acts through a transform here."""
    centres = zip(prior.covariates.names, prior.covariates.centre.tolist(), strict=True)
    return {name: f"{centre} {prior.model.covariates[name]}" for name, centre in centres}


def _baselines(report: dict[str, Any]) -> str:
    lines = ["| method | shots | " + " | ".join(_HEADS) + " |", "|" + "---|" * (len(_HEADS) + 2)]
    for row in report["results"]:
        cells = " | ".join(f"{row[name]:.3g}" for name in _FIGURES)
        lines.append(f"| {row['method']} | {row['shots']} | {cells} |")
    return "\n".join(lines) + "\n"


def _variants(table: list[dict[str, Any]]) -> str:
    shots = _shots(table[0])
    lines = [
        "| method | equation | covariates | penalty | " + " | ".join(f"{k} shots" for k in shots) + " |",
        "|" + "---|" * (len(shots) + 4),
    ]
    for row in table:
        by_shots = {entry["shots"]: entry for entry in row["results"]}
        cells = " | ".join(
            f"{by_shots[k]['rmse']:.3g} / {by_shots[k]['coverage90']:.2f} / {by_shots[k]['nlpd']:.3g}"
            for k in shots
        )
        covariates = "with" if row["covariates"] else "without"
        equation = row["model"].partition(".")[2]
        lines.append(f"| {row['label']} | {equation} | {covariates} | {row['penalty']:g} | {cells} |")
    return "\n".join(lines) + "\n"


def _mean(row: dict[str, Any], figure: str) -> float:
    values = [entry[figure] for entry in row["results"] if entry["shots"] > 0]
    return sum(values) / len(values)


def _choice(recipe: Recipe, table: list[dict[str, Any]]) -> str:
    shared = getattr(recipe.method, "task_noise", None)
    mine = next(
        row for row in table
        if row["label"].startswith(recipe.method.name) and row["penalty"] == 0.0 and row["model"] == recipe.model
        and row["label"].endswith({True: "noise of each task", False: "one noise", None: ""}[shared])
        and (bool(row["covariates"]) or not any(other["covariates"] for other in table))
    )  # fmt: skip
    lines = [f"What ships: {mine['label']}, {mine['model']}. Averaged over the shots above zero, it has:\n"]
    for row in table:
        if row is mine or row["penalty"] != 0.0:
            continue
        ratio = _mean(mine, "rmse") / _mean(row, "rmse") - 1.0
        nats = _mean(mine, "nlpd") - _mean(row, "nlpd")
        known = "with" if row["covariates"] else "without"
        other = f"{row['label']}, {row['model'].partition('.')[2]}, {known} covariates"
        lines.append(f"- against {other}: RMSE {100 * ratio:+.1f} %, negative log density {nats:+.3f}")
    twins = [(row, other) for row in table for other in table if _twin(row, other)]
    worst = max((abs(_mean(a, "rmse") / _mean(b, "rmse") - 1.0) for a, b in twins), default=0.0)
    lines.append(
        f"\nThe physical penalties change no method's RMSE by more than {round(100.0 * worst, 2):g} %: "
        "the equation keeps its laws by construction wherever its parameters are inside their bounds."
    )
    return "\n".join(lines) + "\n"


def _twin(row: dict[str, Any], other: dict[str, Any]) -> bool:
    same = all(row[key] == other[key] for key in ("label", "model", "covariates"))
    return same and row["penalty"] == 0.0 and other["penalty"] > 0.0
