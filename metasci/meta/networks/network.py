"""A torch module with weights of its own for every task, and tasks of inputs and targets to adapt it to.

All tasks run at once. Stacks of linear layers and activations run as batched matrix products; any other
module, such as a graph network, runs under `torch.func.vmap`. Where that cannot go (recurrent layers, a way through
the module that depends on the numbers), tasks run one after the other, and a warning says so once.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
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
    running_statistics,
    statistics_from,
    with_task_statistics,
)
from metasci.meta.networks.stateless import called, check_repeatable, with_padding_kept

__all__ = ["Network", "NetworkEpisode", "cross_entropy", "squared_error"]

TaskLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Of outputs (task, case, ...), targets and a mask (task, case), to the loss of every task, (task,). Without a
mask everything counts."""

_ELEMENTWISE = (
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.SiLU,
    nn.GELU,
    nn.Softplus,
    nn.ELU,
    nn.LeakyReLU,
    nn.Identity,
)


def squared_error(output: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Mean squared error of each task's cases, (task,)."""
    if output.shape != target.shape:
        raise InputError(
            f"outputs of shape {tuple(output.shape)} cannot be compared with targets of shape {tuple(target.shape)}."
        )
    if mask is None:
        return (output - target).square().flatten(1).mean(1)
    seen = mask.reshape(
        *mask.shape, *[1] * (output.dim() - 2)
    )  # what is not measured may be anything, even NaN
    error = (torch.where(seen, output, 0.0) - torch.where(seen, target, 0.0)).square()
    return error.flatten(1).sum(1) / (mask.sum(1).clamp(min=1) * output[0, 0].numel())


def cross_entropy(output: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Mean cross-entropy of each task's cases, (task,); outputs are scores (task, case, class), targets numbers.

    A negative number is no class: such a case does not count.
    """
    known = target >= 0
    mask = known if mask is None else mask & known
    each = -torch.log_softmax(output, -1).gather(-1, target.clamp(min=0)[..., None])[..., 0]
    return torch.where(mask, each, 0.0).sum(1) / mask.sum(1).clamp(min=1)


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
        check_repeatable(self.module)
        try:
            own = copy.deepcopy(self.module)
        except RuntimeError as error:
            raise InputError(
                f"the module {type(self.module).__name__} cannot be copied: it holds a tensor with a history of "
                "gradients; detach what is no weight."
            ) from error
        own = with_task_statistics(with_padding_kept(own), self.statistics)
        object.__setattr__(self, "module", own)

    def start(self) -> Parameters:
        """The module's weights, without task dimension; those that require no gradient stay the module's own."""
        own = self.module.named_parameters()
        return {name: value.detach().clone() for name, value in own if value.requires_grad}

    @cached_property
    def is_plain(self) -> bool:
        """Whether the module is a stack of linear layers and activations."""
        return _is_plain(self.module)

    @cached_property
    def buffer_names(self) -> frozenset[str]:
        """Names of what the module carries beside its weights."""
        return frozenset(name for name, _ in self.module.named_buffers())

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
            return _stacked(self.module, parameters, "", inputs)
        own = self.buffer_names
        weights = {name: value for name, value in parameters.items() if name not in own}
        shared = {name: value.detach() for name, value in parameters.items() if name in own}

        def one(weights: Parameters, inputs: Any, support: Tensor | None) -> Tensor:
            with statistics_from(support):
                output: Tensor = called(self.module, {**weights, **shared}, inputs)
            return output

        if not self._one_by_one:
            cases = None if support is None else 0
            try:
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

    @property
    def _one_by_one(self) -> bool:
        """Whether tasks are known not to run side by side."""
        return bool(self.__dict__.get("_one_by_one", False))

    def _in_turn(
        self, one: Callable[..., Tensor], weights: Parameters, inputs: Any, support: Tensor | None
    ) -> Tensor:
        """Outputs of the tasks, one after the other, (task, case, ...)."""
        tasks = len(next(iter(weights.values()))) if weights else len(tree_leaves(inputs)[0])
        name = type(self.module).__name__
        changed = {key: value._version for key, value in self.module.named_buffers()}
        drawn = torch.get_rng_state()
        outputs = []
        for task in range(tasks):
            of_task = {key: value[task] for key, value in weights.items()}
            own = tree_map(lambda tensor: tensor[task], inputs)  # noqa: B023
            try:
                outputs.append(one(of_task, own, None if support is None else support[task]))
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


def _first_sentence(error: BaseException) -> str:
    """What a library's error says, shortened to its first line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].removesuffix(".")[:160]


@dataclass(frozen=True)
class NetworkEpisode:
    """Tasks of inputs and targets for a network; an `Episode`.

    Parameters
    ----------
    network : Network
    inputs, targets : Tensor or nested tensors, Tensor
        Of the support, (task, case, ...).
    query_inputs, query_targets : the same, of the query
    mask, query_mask : Tensor of bool, (task, case), optional
        What is measured; everything by default.
    loss : callable
        `squared_error`, `cross_entropy`, or one of your own.
    """

    network: Network
    inputs: Any
    targets: Tensor
    query_inputs: Any
    query_targets: Tensor
    mask: Tensor | None = None
    query_mask: Tensor | None = None
    loss: TaskLoss = squared_error

    def __post_init__(self) -> None:
        if len(self.targets) != len(self.query_targets):
            raise InputError(
                f"the support has {len(self.targets)} tasks, the query {len(self.query_targets)}; both need the same."
            )

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def asked(self) -> Tensor | None:
        """Which tasks have a query, (task,), all if nothing is said; the mean of the losses is over them."""
        return None if self.query_mask is None else self.query_mask.any(1)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """Every task starts from the same weights; buffers are shared."""
        buffers = self.network.buffer_names
        shared = {name: value for name, value in learned.items() if name in buffers}
        weights = {n: v.expand(len(self), *v.shape) for n, v in learned.items() if n not in buffers}
        return weights, shared

    def support(self, parameters: Parameters) -> Tensor:
        """Loss of each task's support, (task,)."""
        seen = self._support_mask if self.network.looks_at_support else None
        return self.loss(self.network(parameters, self.inputs, seen), self.targets, self.mask)

    def query(self, parameters: Parameters) -> Tensor:
        """Loss of each task's query, (task,)."""
        return self.loss(self.outputs(parameters), self.query_targets, self.query_mask)

    def outputs(self, parameters: Parameters) -> Tensor:
        """What the network says at the query's inputs, (task, case, ...)."""
        if not self.network.looks_at_support:
            return self.network(parameters, self.query_inputs)
        # Statistics are the support's at these weights, so the support runs along; its outputs are not used.
        if not isinstance(self.inputs, Tensor):
            raise InputError(
                "statistics of the task need inputs that are one tensor; use 'running' or 'frozen' ones."
            )
        both = torch.cat([self.inputs, self.query_inputs], 1)
        seen = self._support_mask
        none = torch.zeros(self.query_targets.shape[:2], dtype=torch.bool, device=seen.device)
        return self.network(parameters, both, torch.cat([seen, none], 1))[:, seen.shape[1] :]

    def refreshed(self, learned: Parameters) -> Parameters:
        """The learned tensors with running averages that have seen this support; others are as they were.

        Raises
        ------
        InputError
            If running averages are wanted but are not among what is learned.
        """
        own = self.network.buffers()
        if self.network.statistics != "running" or not own:
            return learned
        if lost := set(own) - set(learned):
            raise InputError(
                f"the running average '{min(lost)}' is not among what is learned: begin with "
                "{**initial(...), **network.buffers()}."
            )
        return running_statistics(self.network.module, learned, self.inputs, self.mask)

    def fixed(self) -> tuple[Any, ...]:
        """What is not a tensor: a traced program holds for episodes that share it."""
        return (self.network, self.loss)

    def tensors(self) -> dict[str, Any]:
        """All tensors, by field."""
        parts = ("inputs", "targets", "query_inputs", "query_targets", "mask", "query_mask")
        return {name: value for name in parts if (value := getattr(self, name)) is not None}

    def with_tensors(self, tensors: dict[str, Any]) -> NetworkEpisode:
        """The same network and loss with other measurements."""
        return replace(self, **tensors)

    def select(self, index: Tensor) -> NetworkEpisode:
        """Some of the tasks, by position."""
        return self.with_tensors(tree_map(lambda tensor: tensor[index], self.tensors()))

    @property
    def _support_mask(self) -> Tensor:
        if self.mask is not None:
            return self.mask
        return torch.ones(self.targets.shape[:2], dtype=torch.bool, device=self.targets.device)


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is a stack of linear layers and activations, of exactly these classes."""
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    if type(module) is nn.Sequential:
        names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
        tied = len(names) > len(list(module.parameters()))
        return not tied and all(_is_plain(layer) for layer in module)
    if type(module) is nn.Linear:
        ordinary = {"weight", "bias"} >= {name for name, _ in module.named_parameters()}
        return ordinary and all(value.requires_grad for value in module.parameters())
    return type(module) in _ELEMENTWISE and not getattr(module, "inplace", False)


def _stacked(module: nn.Module, parameters: Parameters, prefix: str, inputs: Tensor) -> Tensor:
    """The forward pass of a plain stack, with a weight matrix for every task."""
    if isinstance(module, nn.Sequential):
        for name, layer in module.named_children():
            inputs = _stacked(layer, parameters, f"{prefix}{name}.", inputs)
        return inputs
    if not isinstance(module, nn.Linear):
        output: Tensor = module(inputs)
        return output
    shape = inputs.shape
    flat = inputs if inputs.dim() == 3 else inputs.reshape(shape[0], -1, shape[-1])
    missing = {name for name, _ in module.named_parameters() if f"{prefix}{name}" not in parameters}
    if missing:
        own = {
            f"{prefix}{n}": module.get_parameter(n).expand(len(inputs), *module.get_parameter(n).shape)
            for n in missing
        }
        parameters = {**parameters, **own}
    weight = parameters[f"{prefix}weight"].transpose(1, 2)
    if module.bias is None:
        made = torch.bmm(flat, weight)
    else:
        made = torch.baddbmm(parameters[f"{prefix}bias"].unsqueeze(1), flat, weight)
    return made if inputs.dim() == 3 else made.reshape(*shape[:-1], -1)
