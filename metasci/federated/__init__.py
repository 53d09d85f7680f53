"""Hospitals or laboratories learn one prior together, and no row of theirs leaves them.

A server asks, sites answer, and the server makes of the answers the next question. What goes to and fro are a few
tensors, as bytes; what they are is a *procedure*:

- `ByStatistics`: expectation–maximisation of a Gaussian prior. Sites answer with sums over their tasks, and the
  result is that of learning from all tasks in one place.
- `ByGradients`: MAML, FOMAML, Reptile. Sites answer with their mean meta-gradient.
- `ByWeights`: FedAvg, Per-FedAvg. Sites take some steps of their own and answer with where these lead.

`learn` runs one in this process, over sites that stand side by side; `metasci.federated.flower` runs the same over
Flower's simulation, or its server and clients as processes.

Sources: McMahan and others, AISTATS 54 (2017) 1273, for FedAvg; Fallah, Mokhtari and Ozdaglar, NeurIPS 33 (2020)
3557, for Per-FedAvg; Dempster, Laird and Rubin, JRSS B 39 (1977) 1, for what a maximisation step needs to know.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "ByGradients": "metasci.federated.gradients",
    "ByStatistics": "metasci.federated.statistics",
    "ByWeights": "metasci.federated.gradients",
    "Federated": "metasci.federated.learning",
    "Federation": "metasci.federated.learning",
    "Procedure": "metasci.federated.procedure",
    "Site": "metasci.federated.procedure",
    "combine": "metasci.federated.statistics",
    "learn": "metasci.federated.learning",
    "site_statistics": "metasci.federated.statistics",
}

__all__ = [
    "ByGradients",
    "ByStatistics",
    "ByWeights",
    "Federated",
    "Federation",
    "Procedure",
    "Site",
    "combine",
    "learn",
    "site_statistics",
]

if TYPE_CHECKING:
    from metasci.federated.gradients import ByGradients, ByWeights
    from metasci.federated.learning import Federated, Federation, learn
    from metasci.federated.procedure import Procedure, Site
    from metasci.federated.statistics import ByStatistics, combine, site_statistics


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'metasci.federated' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
