"""Tasks of inputs and targets to adapt a network to, and what their errors cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.networks.network import Network
from metasci.meta.networks.normalisation import running_statistics

__all__ = ["NetworkEpisode", "TaskLoss", "cross_entropy", "squared_error"]

TaskLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Of outputs (task, case, ...), targets and a mask (task, case), to the loss of every task, (task,). Without a
mask everything counts."""


def squared_error(output: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Mean squared error of each task's cases, (task,)."""
    if output.shape != target.shape:
        raise InputError(
            f"outputs of shape {tuple(output.shape)} cannot be compared with targets of shape {tuple(target.shape)}."
        )
    if mask is None:
        return (output - target).square().flatten(1).sum(1) / max(output[0].numel(), 1)
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
    try:
        each = -torch.log_softmax(output, -1).gather(-1, target.clamp(min=0)[..., None])[..., 0]
    except RuntimeError as error:
        beyond = f", the greatest of them {target.max():g}" if target.numel() else ""
        raise InputError(
            f"targets are to be whole numbers of classes from 0 to {output.shape[-1] - 1}, (task, case), for scores of "
            f"shape {tuple(output.shape)}; these are {tuple(target.shape)} of {target.dtype}{beyond}."
        ) from error
    return torch.where(mask, each, 0.0).sum(1) / mask.sum(1).clamp(min=1)


def _check_side(side: str, inputs: Any, targets: Tensor, mask: Tensor | None) -> None:
    """That support or query are of the same tasks, and the mask is of their cases."""
    if not isinstance(targets, Tensor) or targets.dim() < 2:
        raise InputError(f"the {side}'s targets are to be a tensor, (task, case, …).")
    if any(isinstance(leaf, Tensor) and leaf.is_inference() for leaf in tree_leaves([inputs, targets])):
        raise InputError(
            f"the {side} has tensors that were made under `torch.inference_mode()`, through which torch has no "
            "gradient; make them under `torch.no_grad()`, or clone them."
        )
    for leaf in tree_leaves(inputs):
        if isinstance(leaf, Tensor) and (not leaf.dim() or len(leaf) != len(targets)):
            raise InputError(
                f"the {side} has targets of {len(targets)} tasks, and inputs of shape {tuple(leaf.shape)}; both "
                "need the same tasks first."
            )
    if mask is not None and (mask.dtype != torch.bool or mask.shape != targets.shape[:2]):
        raise InputError(
            f"the {side}'s mask is to be {tuple(targets.shape[:2])} of bool, (task, case), not {tuple(mask.shape)} of "
            f"{mask.dtype}."
        )


def _without_masked_nonsense(inputs: Any, mask: Tensor | None) -> Any:
    """Inputs in which a masked case is finite: a slope of zero times NaN would be NaN, for all cases together."""
    if mask is None or not isinstance(inputs, Tensor) or inputs.shape[:2] != mask.shape:
        return inputs
    wrong = ~torch.isfinite(inputs) & ~mask.reshape(*mask.shape, *[1] * (inputs.dim() - 2))
    return torch.where(wrong, torch.zeros_like(inputs), inputs)


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
        What is measured; everything by default. What is not may be anything, even NaN.
    loss : callable
        `squared_error`, `cross_entropy`, or one of your own.

    Raises
    ------
    InputError
        If inputs, targets and masks are not of the same tasks and cases.
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
        sides = (
            ("support", self.inputs, self.targets, self.mask),
            ("query", self.query_inputs, self.query_targets, self.query_mask),
        )
        for side, inputs, targets, mask in sides:
            _check_side(side, inputs, targets, mask)
        for name, mask in (("inputs", self.mask), ("query_inputs", self.query_mask)):
            object.__setattr__(self, name, _without_masked_nonsense(getattr(self, name), mask))
        if len(self.targets) != len(self.query_targets):
            raise InputError(
                f"the support has {len(self.targets)} tasks, the query {len(self.query_targets)}; both need the same."
            )

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def asked(self) -> Tensor | None:
        """Which tasks have a query, (task,), all if nothing is said; the mean of the losses is over them."""
        if self.query_mask is not None:
            return self.query_mask.any(1)
        return (
            None if self.query_targets.shape[1] else self.query_targets.new_zeros(len(self), dtype=torch.bool)
        )

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """Every task starts from the same weights; buffers are shared."""
        buffers = self.network.buffer_names
        self.network.check_known(learned)
        shared = {name: value for name, value in learned.items() if name in buffers}
        weights = {n: v.expand(len(self), *v.shape) for n, v in learned.items() if n not in buffers}
        return weights, shared

    def support(self, parameters: Parameters) -> Tensor:
        """Loss of each task's support, (task,)."""
        seen = self._support_mask if self.network.looks_at_support else None
        return self._of_tasks(self.loss(self.network(parameters, self.inputs, seen), self.targets, self.mask))

    def query(self, parameters: Parameters) -> Tensor:
        """Loss of each task's query, (task,)."""
        return self._of_tasks(self.loss(self.outputs(parameters), self.query_targets, self.query_mask))

    def _of_tasks(self, loss: Tensor) -> Tensor:
        """A loss, if it is one of each task."""
        if loss.shape != (len(self),):
            raise InputError(
                f"the loss is to be one number for each of {len(self)} tasks, not of shape {tuple(loss.shape)}: take "
                "the mean over cases, and none over tasks."
            )
        return loss

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
