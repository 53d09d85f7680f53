"""A torch module with weights of its own for every task.

All tasks run at once. Stacks of linear layers and activations run as batched matrix products; any other
module, such as a graph network, runs under `torch.func.vmap`. Where that cannot go (recurrent layers, a way through
the module that depends on the numbers), tasks run one after the other, and a warning says so once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.normalisation import (
    Statistics,
    TaskNormalisation,
    statistics_from,
    with_task_statistics,
)
from metasci.meta.networks.plain_stacks import is_plain, stacked
from metasci.meta.networks.repeatable import check_same_again, is_traced
from metasci.meta.networks.stateless import called, check_repeatable, copied, with_padding_kept

__all__ = ["Network"]


@dataclass(frozen=True)
class Network:
    """A torch module whose weights are adapted.

    Parameters
    ----------
    module : torch.nn.Module
        Its forward takes the inputs of one task's cases, (case, ...) or any nested tensors such as a batch of
        graphs, and gives one output a case. It is copied: what is done here does not touch it, and what is done to it
        afterwards does not matter here.
    statistics : "task", "running" or "frozen"
        Where batch normalisation takes its statistics, if the module has any: from the task's support (also for its
        query, which thus never influences itself or the support), from running averages over the supports of
        meta-training, or from those the module came with.

    Raises
    ------
    InputError
        If the statistics are of none of these kinds; if a layer draws at random, changes itself or has hooks on its
        gradients (`metasci.meta.networks.stateless`), or the module cannot be copied.

    Examples
    --------
    >>> network = Network(torch.nn.Linear(2, 1))
    >>> stacked = {name: value.expand(5, *value.shape) for name, value in network.start().items()}
    >>> network(stacked, torch.zeros(5, 3, 2)).shape
    torch.Size([5, 3, 1])
    """

    module: nn.Module
    statistics: Statistics = "task"

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise InputError(
                f"a network is made of a torch.nn.Module, not of a {type(self.module).__name__}."
            )
        check_repeatable(self.module)
        own = with_task_statistics(with_padding_kept(copied(self.module)), self.statistics)
        object.__setattr__(self, "module", own)

    def start(self) -> Parameters:
        """The module's weights, without task dimension; those that require no gradient stay the module's own."""
        own = self.module.named_parameters()
        return {name: value.detach().clone() for name, value in own if value.requires_grad}

    @cached_property
    def is_plain(self) -> bool:
        """Whether the module is a stack of linear layers and activations."""
        return is_plain(self.module)

    @cached_property
    def buffer_names(self) -> frozenset[str]:
        """Names of what the module carries beside its weights."""
        return frozenset(name for name, _ in self.module.named_buffers())

    @cached_property
    def _names(self) -> frozenset[str]:
        return (
            frozenset(name for name, _ in self.module.named_parameters(remove_duplicate=False))
            | self.buffer_names
        )

    def check_known(self, parameters: Parameters) -> None:
        """Refuse a name that the module has no tensor of, which would be learned and never used."""
        if unknown := parameters.keys() - self._names:
            raise InputError(
                f"the network {type(self.module).__name__} has no parameter '{min(unknown)}'; there are "
                f"{', '.join(sorted(self._names))}."
            )

    @cached_property
    def looks_at_support(self) -> bool:
        """Whether a layer takes its statistics from the task's support."""
        layers = self.module.modules()
        return self.statistics == "task" and any(isinstance(layer, TaskNormalisation) for layer in layers)

    def buffers(self) -> Parameters:
        """What the module carries beside its weights, such as running averages; counters are not among it."""
        own = self.module.named_buffers()
        return {name: value.detach().clone() for name, value in own if value.is_floating_point()}

    def __call__(self, parameters: Parameters, inputs: Any, support: Tensor | None = None) -> Tensor:
        """Outputs of every task, (task, case, ...).

        Parameters
        ----------
        parameters : dict of Tensor, (task, ...)
            Weights; those that are not given are the module's own. Buffers may be among them, without task dimension.
        inputs : Tensor or nested tensors, (task, case, ...)
        support : Tensor of bool, (task, case), optional
            Which cases batch normalisation may look at; all by default.
        """
        if support is None and self.is_plain and isinstance(inputs, Tensor):
            return stacked(self.module, parameters, "", inputs)
        own = self.buffer_names
        weights = {name: value for name, value in parameters.items() if name not in own}
        shared = {name: value.detach() for name, value in parameters.items() if name in own}

        def one(weights: Parameters, inputs: Any, support: Tensor | None) -> Tensor:
            with statistics_from(support):
                output = called(self.module, {**weights, **shared}, inputs)
            if not isinstance(output, Tensor):
                raise InputError(
                    f"the network {type(self.module).__name__} gives {_kind(output)} for its cases; "
                    "let its `forward` return one tensor."
                )
            return output

        self._try_once(one, weights, inputs, support)

        if not self._one_by_one:
            cases = None if support is None else 0
            try:
                with _without_fallback_warnings():
                    return vmap(one, in_dims=(0, 0, cases), randomness="error")(weights, inputs, support)
            except RuntimeError as error:
                if "random operation" in str(error):
                    raise InputError(
                        f"the network {type(self.module).__name__} draws at random (by `F.dropout`?), so that "
                        "no adaptation could be repeated; call `module.eval()` first, or leave it out."
                    ) from error
                cause = error
        outputs = self._in_turn(one, weights, inputs, support)
        if not self._one_by_one:
            self.__dict__["_one_by_one"] = True
            warnings.warn(
                f"tasks of the network {type(self.module).__name__} run one after the other, which takes longer: "
                f"they cannot run side by side ({_first_sentence(cause)}).",
                stacklevel=2,
            )
        return outputs

    def _try_once(
        self, one: Callable[..., Tensor], weights: Parameters, inputs: Any, support: Tensor | None
    ) -> None:
        """Before the first call of all, see that the first task can be computed again."""
        if self.__dict__.get("_tried", False) or is_traced() or not weights:
            return
        if not len(next(iter(weights.values()))):
            return
        first = tree_map(itemgetter(0), inputs)
        check_same_again(
            self.module,
            lambda weights, inputs: one(weights, inputs, None if support is None else support[0]),
            {name: value[0].detach() for name, value in weights.items()},
            first,
        )
        self.__dict__["_tried"] = True

    @property
    def _one_by_one(self) -> bool:
        """Whether tasks are known not to run side by side."""
        return bool(self.__dict__.get("_one_by_one", False))

    def _in_turn(
        self, call: Callable[..., Tensor], weights: Parameters, inputs: Any, support: Tensor | None
    ) -> Tensor:
        """Outputs of the tasks, one after the other, (task, case, ...)."""
        tasks = len(next(iter(weights.values()))) if weights else len(tree_leaves(inputs)[0])
        name = type(self.module).__name__
        changed = {key: value._version for key, value in self.module.named_buffers()}
        drawn = torch.get_rng_state()
        outputs = []
        for task in range(tasks):
            of_task = {key: value[task] for key, value in weights.items()}
            own = tree_map(itemgetter(task), inputs)
            try:
                outputs.append(call(of_task, own, None if support is None else support[task]))
            except InputError:
                raise
            except (RuntimeError, IndexError, TypeError, ValueError) as error:
                raise InputError(
                    f"the network {name} fails at task {task}: {_first_sentence(error)}."
                ) from error
        if not torch.equal(drawn, torch.get_rng_state()):
            raise InputError(
                f"the network {name} draws at random, so that no adaptation could be repeated; call `module.eval()` "
                "first, or leave it out."
            )
        for key, value in self.module.named_buffers():
            if value._version != changed[key]:
                raise InputError(
                    f"the network {name} changes its '{key}' whenever it is called, which tasks cannot share; "
                    "call `module.eval()` first."
                )
        return torch.stack(outputs)


@contextmanager
def _without_fallback_warnings() -> Iterator[None]:
    """Without torch's own words on operations that it loops over inside `vmap`: nobody can do anything about them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        yield


def _kind(output: Any) -> str:
    return "nothing" if output is None else f"a {type(output).__name__}"


def _first_sentence(error: BaseException) -> str:
    """What a library's error says, shortened to its first line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].removesuffix(".")[:160]
