"""Which directions of the start do the tasks agree on? The Hessian of the loss after adaptation, by its eigenvectors.

Where the mean query loss after adaptation curves strongly, moving the start hurts: the tasks agree on it, and
adaptation cannot make up for it. Where it is flat, every task finds its own way from anywhere: the start is free. The
leading eigenpairs come from Hessian-vector products alone (double backward; Pearlmutter, Neural Comput 6 (1994) 147)
by Lanczos' method, so that a network's start can be looked at, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from metasci.data.tasks import TaskSet
from metasci.diagnostics.combinations import named_combination
from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import query_loss
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.episode import Episode
from metasci.meta.compositions.gradients import Exact
from metasci.meta.episodes import sample_support
from metasci.meta.gradient import GradientMethod
from metasci.priors.equation import Prior

__all__ = ["composition_hessian", "leading_eigenpairs", "meta_hessian"]

Array = NDArray[np.float64]


def leading_eigenpairs(
    loss: Callable[[Tensor], Tensor], at: Tensor, count: int, *, seed: int = 0
) -> tuple[Array, Array]:
    """Eigenvalues of a Hessian that are greatest in size, and their eigenvectors.

    Parameters
    ----------
    loss : callable
        Of a flat tensor (parameter,) to a number, differentiable twice.
    at : Tensor, (parameter,)
    count : int
        How many; with as many as there are parameters the whole Hessian is made, otherwise Lanczos' method is used.
    seed : int
        Of the vector that it begins from.

    Returns
    -------
    values : array, (direction,)
        Falling in size.
    vectors : array, (direction, parameter)

    Examples
    --------
    >>> scale = torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64)
    >>> values, _ = leading_eigenpairs(lambda x: 0.5 * (scale * x**2).sum(), torch.zeros(3, dtype=torch.float64), 2)
    >>> values.round(6).tolist()
    [5.0, 2.0]
    """
    size = at.numel()
    if not 0 < count <= size:
        raise InputError(f"count: of {size} directions {count} cannot be had.")
    here = at.detach().clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(loss(here), here, create_graph=True)

    def product(vector: Array) -> Array:
        along = torch.as_tensor(vector.reshape(-1), dtype=here.dtype, device=here.device)
        (moved,) = torch.autograd.grad(slope, here, along, retain_graph=True)
        product_array: Array = moved.double().cpu().numpy()
        return product_array

    if count == size:
        dense = np.stack([product(row) for row in np.eye(size)])
        values, vectors = np.linalg.eigh(0.5 * (dense + dense.T))
    else:
        begin = np.random.default_rng(seed).standard_normal(size)
        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        values, vectors = eigsh(operator, k=count, which="LM", v0=begin)
    order = np.argsort(-np.abs(values), kind="stable")
    return values[order], vectors.T[order]


def composition_hessian(
    composition: Composition,
    episode: Episode,
    learned: Parameters,
    names: Sequence[str],
    *,
    count: int = 5,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Leading eigenpairs of the mean query loss after adaptation, with respect to some learned tensors.

    Parameters
    ----------
    composition : Composition
        Its steps are differentiated exactly and in one segment, whatever its own meta-gradient is.
    episode : Episode
    learned : dict of Tensor
    names : sequence of str
        The learned tensors that move.
    count : int
        How many directions.
    labels : sequence of str, optional
        Of the elements of these tensors, one after the other.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``eigenvalue`` (direction), ``eigenvector`` (direction, parameter), ``task_curvature`` (direction, task), and
        the coordinate ``combination``, each direction in words.
    """
    exact = replace(composition, gradient=Exact())
    shapes = {name: learned[name].shape for name in names}
    flat = torch.cat([learned[name].detach().ravel() for name in names])

    def losses(values: Tensor) -> Tensor:
        parts = values.split([shape.numel() for shape in shapes.values()])
        moved = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return query_loss(exact, episode, {**learned, **moved})

    values, vectors = leading_eigenpairs(
        lambda at: losses(at).mean(), flat, min(count, flat.numel()), seed=seed
    )
    each = np.stack(
        [
            _curvature_of_tasks(losses, flat, torch.as_tensor(v, dtype=flat.dtype, device=flat.device))
            for v in vectors
        ]
    )
    elements = list(labels or _elements(shapes))
    result = xr.Dataset(
        {
            "eigenvalue": ("direction", values),
            "eigenvector": (("direction", "parameter"), vectors),
            "task_curvature": (("direction", "task"), each),
        },
        {
            "direction": np.arange(len(values)),
            "parameter": elements,
            "combination": ("direction", [named_combination(vector, elements) for vector in vectors]),
        },
        {"complete": int(len(values) == flat.numel())},
    )
    for name in ("eigenvalue", "task_curvature"):
        result[name].attrs["units"] = "query loss per (unit of the start)**2"
    return result.assign_attrs(verdict=_verdict(result))


def _curvature_of_tasks(losses: Callable[[Tensor], Tensor], at: Tensor, vector: Tensor) -> Array:
    """Second derivative of every task's loss along a direction, (task,), all in one pass."""
    shift = at.new_zeros(()).requires_grad_()
    value = losses(at + shift * vector)
    weight = torch.ones_like(
        value
    ).requires_grad_()  # differentiating by the weights takes the sum apart again
    (first,) = torch.autograd.grad(value, shift, weight, create_graph=True)
    (second,) = torch.autograd.grad(first, shift, create_graph=True)
    (each,) = torch.autograd.grad(second, weight)
    curvature: Array = each.detach().double().numpy()
    return curvature


def _elements(shapes: dict[str, torch.Size]) -> list[str]:
    labels = []
    for name, shape in shapes.items():
        places = np.ndindex(*shape) if len(shape) else [()]
        labels += [name + (f"[{','.join(map(str, place))}]" if place else "") for place in places]
    return labels


def _verdict(result: xr.Dataset) -> str:
    """What the tasks agree on, and what is free."""
    values, words = result["eigenvalue"].values, result["combination"].values
    upward = int((result["task_curvature"][0] > 0).sum())
    of = f"upward in {upward} of {result.sizes['task']} tasks"
    text = f"The tasks agree most on {words[0]} (curvature {values[0]:.3g}, {of})"
    if result.attrs["complete"] and len(values) > 1:
        last = values[-1]
        times = f", {values[0] / last:.3g} times less" if last > 0 else ""
        text += f"; {words[-1]} is the freest (curvature {last:.3g}{times})"
    if (values < 0).any():
        where = words[int(np.argmin(values))]
        text += f"; along {where} the loss curves downward, so that the start is at no minimum"
    return text + "."


def meta_hessian(
    prior: Prior, tasks: TaskSet, *, shots: int = 3, seeds: int = 10, count: int | None = None
) -> xr.Dataset:
    """The same for the start of a scientific model, from a prior learned with a gradient method.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
    shots : int
        Measurements in a support; the others of the task are its query.
    seeds : int
        Random supports of every task, over which the loss is averaged.
    count : int, optional
        How many directions; all by default.

    Returns
    -------
    xarray.Dataset
        See `composition_hessian`; parameters are the model's, in scaled coordinates.

    Raises
    ------
    InputError
        If the prior does not adapt by inner steps, or no measurement is left for a query.

    Examples
    --------
    >>> import metasci as ms
    >>> patients, model = ms.dataset("theophylline"), ms.patients.one_compartment_oral
    >>> prior = ms.meta_calibrate(model, patients, ms.MAML(steps=2, iterations=10))
    >>> meta_hessian(prior, patients, seeds=2).sizes
    Frozen({'direction': 3, 'parameter': 3, 'task': 12})
    """
    method = prior.method
    if not isinstance(method, GradientMethod):
        raise InputError(
            f"the prior '{prior.name}' adapts by {method.name}, not by inner steps; use MAML or kin."
        )
    batch = prior.batch(tasks)
    if int(batch.mask.sum(1).min()) <= shots:
        raise InputError(f"a task has no measurement left to judge by after {shots}; ask for fewer shots.")
    support = torch.cat([sample_support(batch.mask, (shots, shots), "random", seed) for seed in range(seeds)])
    rows = batch.select(torch.arange(len(batch)).repeat(seeds))
    episode = method.episode(prior.problem(rows), prior.covariates.design(rows.covariates), support)
    names = prior.model.parameters.names
    result = composition_hessian(
        method.adaptation(float(prior.state.first_step)),
        episode,
        prior.state.learned,
        ["mean"],
        count=count or len(names),
        labels=names,
    )
    each = result["task_curvature"].values.reshape(result.sizes["direction"], seeds, len(batch)).mean(1)
    result = result.drop_vars("task_curvature").assign_coords(task=list(batch.names))
    result["task_curvature"] = (("direction", "task"), each, {"units": result["eigenvalue"].attrs["units"]})
    return result.assign_attrs(
        verdict=_verdict(result), shots=shots, simulated=str(tasks.card.simulated).lower(), method=method.name
    )
