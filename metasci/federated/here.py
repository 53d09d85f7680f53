"""Flower's grid within one process: its workflows, strategies and mods as they are, and no other process or port.

Every site's ClientApp is called where it stands, one after another, with a context that it keeps from message to
message as SuperNodes do. What is sent is counted as Flower would write it to a line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from metasci.errors import FAILURES
from metasci.extras import needed

__all__ = ["GridHere", "run_here"]

_RUN = 1
_PURPOSE = "learning over Flower"


@dataclass
class GridHere:
    """Sites that are called in this process.

    Parameters
    ----------
    app : flwr.clientapp.ClientApp
    count : int
        Of sites; the first one is told that it is partition 0.
    fails : callable
        Of a site and the number of messages that it has had: whether it is dead.

    Attributes
    ----------
    down, up : int
        Bytes of what was sent so far, all sites together.
    seconds : float
        That sites took to answer, all together.
    failed : dict of int to str
        Sites that did not answer since this was emptied, and why.
    answered : set of int
        Sites that answered to the last messages.
    """

    app: Any
    count: int
    fails: Callable[[int, int], bool] = lambda site, messages: False
    down: int = 0
    up: int = 0
    seconds: float = 0.0
    failed: dict[int, str] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    _contexts: dict[int, Any] = field(default_factory=dict)
    _had: dict[int, int] = field(default_factory=dict)
    _dead: set[int] = field(default_factory=set)

    @property
    def run(self) -> Any:
        """As workflows ask for it."""
        return SimpleNamespace(run_id=_RUN)

    def get_node_ids(self) -> list[int]:
        """From 1 on: Flower keeps zero for itself. The dead are not there, as they would soon not be on a line."""
        return [node for node in range(1, self.count + 1) if node not in self._dead]

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        """Every site's answer, or the error that it ended in."""
        self.answered = set()
        return [self._answer(message) for message in messages]

    def _answer(self, message: Any) -> Any:
        app = needed("flwr.app", "federated", _PURPOSE)
        node = message.metadata.dst_node_id
        message.metadata.__dict__["_message_id"] = f"{node}-{self._had.get(node, 0)}"
        self.down += _bytes(message.content)
        message.content = deepcopy(message.content)  # a site may change what it was sent
        began = time.perf_counter()
        try:
            if self.fails(node - 1, self._had.get(node, 0)):
                self._dead.add(node)
                raise ConnectionError("the line is dead")
            answer = self.app(message, self._context(node))
        except FAILURES as error:
            self.failed[node - 1] = f"{type(error).__name__}: {str(error)[:80]}"
            return app.Message(app.Error(1, f"{type(error).__name__}: {error}"), reply_to=message)
        finally:
            self._had[node] = self._had.get(node, 0) + 1
            self.seconds += time.perf_counter() - began
        self.up += _bytes(answer.content)
        self.answered.add(node - 1)
        return answer

    def _context(self, node: int) -> Any:
        app = needed("flwr.app", "federated", _PURPOSE)
        if node not in self._contexts:
            own = {"partition-id": node - 1, "num-partitions": self.count}
            self._contexts[node] = app.Context(_RUN, node, own, app.RecordDict(), {})
        return self._contexts[node]


def _bytes(content: Any) -> int:
    written = needed("flwr.common.serde", "federated", _PURPOSE).recorddict_to_proto(content)
    return int(written.ByteSize())


def run_here(workflow: Any, strategy: Any, grid: GridHere, rounds: int) -> None:
    """Run a workflow of Flower's over sites in this process.

    Parameters
    ----------
    workflow : flwr.server.workflow.DefaultWorkflow
    strategy : flwr.server.strategy.Strategy
    grid : GridHere
    rounds : int
    """
    app = needed("flwr.app", "federated", _PURPOSE)
    legacy = needed("flwr.server", "federated", _PURPOSE)
    identity = needed("flwr.supercore.task_identity", "federated", _PURPOSE).TaskIdentity
    before = identity._task_id, identity._run_id, identity._node_id
    identity.task_id, identity.run_id, identity.node_id = 0, _RUN, 0  # whose messages these are
    context = app.Context(_RUN, 0, {}, app.RecordDict(), {})
    config = legacy.ServerConfig(num_rounds=rounds)
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # a line for each site and round; what matters is in the rounds
    try:
        workflow(grid, legacy.LegacyContext(context=context, config=config, strategy=strategy))
    finally:
        logger.setLevel(level)
        identity._task_id, identity._run_id, identity._node_id = before
