"""The same procedures over Flower: its simulation, or its server and clients as processes of their own.

Everything that travels is in the messages of `metasci.federated.messages`; Flower carries them. `server` and `client`
make the two apps of a Flower project, which `flwr run` sends to a running SuperLink and its SuperNodes; `simulate`
runs both in one place. Flower pins other versions than metasci, so that it has an environment of its own
(``pip install 'metasci-calibration[federated]'``).

Source: Beutel and others 2020 (arXiv 2007.14390).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.extras import needed
from metasci.federated.learning import Federated, Federation, Heard, as_procedure, prior_of, reply
from metasci.federated.procedure import Procedure, Site

if TYPE_CHECKING:
    from metasci.data.cards import Card
    from metasci.data.tasks import TaskSet
    from metasci.model import Model

__all__ = ["GridLines", "client", "heard_from", "server", "simulate"]

_RECORD = "metasci"
# seconds that a round waits for a site before it goes on without it
_PATIENCE = 60.0
_LONGEST_NAME = 80  # letters of a site's name, which stands in tables and in the prior


@dataclass(frozen=True)
class GridLines:
    """Sites behind Flower's grid, all asked at once.

    Parameters
    ----------
    grid : flwr.serverapp.Grid
    count : int
        How many sites are waited for before the first question.
    patience : float
        Seconds until a round goes on without those that have not answered.
    """

    grid: Any
    count: int
    patience: float = _PATIENCE

    def ask(self, question: bytes, number: int) -> Mapping[str, Heard]:
        app = needed("flwr.app", "federated", "learning over Flower")
        nodes = self._nodes()
        content = {"question": question, "number": number}
        messages = [
            app.Message(app.RecordDict({_RECORD: app.ConfigRecord(content)}), node, "train") for node in nodes
        ]
        began = time.perf_counter()
        heard: dict[str, Heard] = {}
        answered = set()
        for message in self.grid.send_and_receive(messages, timeout=self.patience):
            node = message.metadata.src_node_id
            answered.add(node)
            if message.has_error():
                heard[f"node {node}"] = Heard(b"", why_not=str(message.error.reason)[:80])
                continue
            name, answer = heard_from(message.content)
            # a node that takes another's name would put its answer in the other's place
            heard[f"node {node}" if not name or name in heard else name] = (
                Heard(b"", why_not=f"another node has its name, '{name}'") if name in heard else answer
            )
        waited = time.perf_counter() - began
        for node in set(nodes) - answered:
            heard[f"node {node}"] = Heard(b"", why_not=f"nothing in {waited:.0f} s")
        return heard

    def _nodes(self) -> list[int]:
        """Those that are there; the first question waits for all."""
        until = time.monotonic() + self.patience
        while len(nodes := list(self.grid.get_node_ids())) < self.count and time.monotonic() < until:
            time.sleep(0.2)
        return nodes


def heard_from(content: Any) -> tuple[str, Heard]:
    """A site's name and answer as its message has them; no name where it is no such message."""
    try:
        record = content[_RECORD]
        name, answer, seconds = record["site"], record["answer"], float(record["seconds"])
    except (KeyError, TypeError, ValueError):
        return "", Heard(b"", why_not="its message is none of a site")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        return "", Heard(b"", why_not="its name is none")
    if not isinstance(answer, bytes) or not 0.0 <= seconds < float("inf"):
        return "", Heard(b"", why_not="its message is none of a site")
    return name, Heard(answer, seconds)


def client(procedure: Procedure[Any], site_of: Callable[[Any], tuple[str, Site]]) -> Any:
    """The ClientApp of a site.

    Parameters
    ----------
    procedure : Procedure
        The same as the server's.
    site_of : callable
        Of Flower's context, whose ``node_config`` says which site this is: its name, and what it has.
    """
    app = needed("flwr.app", "federated", "learning over Flower")
    own = needed("flwr.clientapp", "federated", "learning over Flower").ClientApp()

    @own.train()
    def train(message: Any, context: Any) -> Any:
        name, site = site_of(context)
        record = message.content[_RECORD]
        began = time.perf_counter()
        answer = reply(procedure, site, record["question"], int(record["number"]))
        content = {"answer": answer, "site": name, "seconds": time.perf_counter() - began}
        return app.Message(app.RecordDict({_RECORD: app.ConfigRecord(content)}), reply_to=message)

    return own


def server(
    procedure: Procedure[Any],
    model: Model,
    card: Card,
    count: int,
    done: Callable[[Federated], None],
    *,
    covariates: tuple[str, ...] = (),
    least: float = 0.5,
    patience: float = _PATIENCE,
) -> Any:
    """The ServerApp.

    Parameters
    ----------
    procedure : Procedure
    model : Model
    card : Card
        What the sites' columns mean.
    count : int
        Of sites.
    done : callable
        Takes what was learned, such as to save its prior.
    covariates : tuple of str
    least : float
        Share of the sites that must answer in every round.
    patience : float
        Seconds until a round goes on without those that have not answered.
    """
    app = needed("flwr.serverapp", "federated", "learning over Flower").ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        federation = Federation(GridLines(grid, count, patience), least)
        state, rounds = federation.run(procedure, model, covariates)
        done(Federated(prior_of(procedure, model, state, card, card.name, rounds), rounds))

    return app


def simulate(
    model: Model,
    sites: Mapping[str, TaskSet],
    procedure: Any = None,
    *,
    covariates: tuple[str, ...] = (),
    least: float = 0.5,
) -> Federated:
    """Learn a prior in Flower's simulation, each site a client with a process.

    Arguments are those of `metasci.federated.learn`.
    """
    # Flower reports its use to its makers unless it is told not to; nothing leaves this machine
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    run = needed("flwr.simulation", "federated", "learning over Flower").run_simulation
    chosen, names = as_procedure(procedure), list(sites)
    here = [Site(model, tasks, tuple(covariates)) for tasks in sites.values()]
    learned: list[Federated] = []

    def site_of(context: Any) -> tuple[str, Site]:
        at = int(context.node_config["partition-id"])
        return names[at], here[at]

    app = server(
        chosen,
        model,
        next(iter(sites.values())).card,
        len(names),
        learned.append,
        covariates=tuple(covariates),
        least=least,
    )
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run(app, client(chosen, site_of), num_supernodes=len(names), backend_config=resources)
    if not learned:
        raise InputError("Flower's simulation ended before anything was learned; its own messages say why.")
    return learned[0]
