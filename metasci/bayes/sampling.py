"""Sampling of a hierarchical model by nutpie, and whether to trust what it gave."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.bayes import versions
from metasci.bayes.gradients import check_gradient, of_compiled

if TYPE_CHECKING:
    import pymc as pm

__all__ = ["Posterior", "compile_model", "pooled", "sample"]

# 1.1 passes chains that disagree; 1.01 (Vehtari et al., Bayesian Anal 16 (2021) 667) needs longer chains than ours
_HIGHEST_RHAT = 1.05
# quantiles of 5 % and 95 % then have a standard error of about a fifth of a standard deviation
_LOWEST_SIZE = 100.0
# of the draws: one in two hundred is an accident, more is a region that is not explored
_MOST_DIVERGING = 0.005
_GREATEST_ERROR = 0.05  # of a log density, absolute: weights of draws are then wrong by no more than 5 %


@dataclass(frozen=True)
class Posterior:
    """What sampling gave.

    Attributes
    ----------
    draws : dict of str to array
        Every variable's draws, the chains behind each other, (draw, ...).
    tasks : tuple of str
        Names of the tasks, in the order of the task dimension.
    data : arviz.InferenceData or xarray.DataTree
        The same with named dims and coords, and the sampler's statistics.
    seconds, compile_seconds : float
        Of sampling, and of compiling before it.
    rhat : float
        The highest rank-normalised split R-hat of any variable.
    effective_size : float
        The lowest effective sample size, of bulk or tail, of any variable.
    divergences : int
        How many draws ended in a divergent trajectory.
    density_error : float
        By how much, in nats, the log density that was sampled is off at draws, at most: differential equations take
        steps that stay (`metasci.ode.FixedSteps`), and these are held against steps that adapt.

    Notes
    -----
    The chains are said to have converged when R-hat is at most 1.05, the effective sample size at least 100
    (50 for each of two chains, as Vehtari et al., Bayesian Anal 16 (2021) 667, ask for R-hat itself to be
    trusted), at most 0.5 % of the draws diverged, and the sampled log density is right to 0.05 nats.
    """

    draws: dict[str, np.ndarray]
    tasks: tuple[str, ...]
    data: Any
    seconds: float
    compile_seconds: float
    rhat: float
    effective_size: float
    divergences: int
    density_error: float = 0.0
    chains: int = 1
    judged: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.draws["coordinates"])

    def chain(self, number: int) -> Posterior:
        """One chain's draws alone; what is said of convergence stays that of all."""
        length = len(self) // self.chains
        part = slice(number * length, (number + 1) * length)
        return replace(self, draws={name: values[part] for name, values in self.draws.items()}, chains=1)

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against trusting the chains, a clause each; empty if nothing does."""
        sentences = []
        if not self.rhat <= _HIGHEST_RHAT:
            sentences.append(f"the chains disagree (R-hat {self.rhat:.3f}, above {_HIGHEST_RHAT})")
        if not self.effective_size >= _LOWEST_SIZE:
            sentences.append(
                f"the effective sample size is {self.effective_size:.0f}, below {_LOWEST_SIZE:.0f}"
            )
        if self.divergences > _MOST_DIVERGING * len(self):
            sentences.append(f"{self.divergences} of {len(self)} draws diverged")
        if not self.density_error <= _GREATEST_ERROR:
            sentences.append(
                f"the differential equation's fixed steps put the log density off by {self.density_error:.2g} nats, "
                f"above {_GREATEST_ERROR}"
            )
        return tuple(sentences)

    @property
    def converged(self) -> bool:
        """Whether nothing speaks against trusting the chains."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """One sentence on the chains."""
        if self.problems:
            return f"The chains have not converged: {'; '.join(self.problems)}."
        return f"The chains have converged (R-hat {self.rhat:.3f}, effective sample size {self.effective_size:.0f})."


def compile_model(built: pm.Model, initial: Mapping[str, Any] | None = None) -> Any:
    """Compile a PyMC model for nutpie; variables without an initial value start at random.

    Data are compiled in as constants, and only what is sampled is recorded: both halve the time.
    """
    import nutpie
    import pytensor
    from pymc.model.transform.optimization import freeze_dims_and_data

    frozen = freeze_dims_and_data(built)
    random = np.random.default_rng(0)  # a hair off: nutpie refuses to start where any slope is exactly zero
    start = {k: v + 1e-3 * random.standard_normal(np.shape(v)) for k, v in (initial or {}).items()}
    jittered = {v for v in frozen.free_RVs if v.name not in start}
    with pytensor.config.change_flags(mode="FAST_COMPILE"):  # for the first point only
        return nutpie.compile_pymc_model(frozen, initial_points=start, jitter_rvs=jittered, var_names=[])


def derive(built: pm.Model, sampled: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every variable of a model, (chain, draw, ...), from the draws of the unconstrained ones.

    One vectorised pass in Python: compiling this as well would take longer than all of it.
    """
    import pytensor
    import pytensor.tensor as pt
    from pytensor.compile.mode import Mode
    from pytensor.graph.replace import vectorize_graph

    stacked = {
        v: pt.tensor(v.name, shape=(None, None, *v.type.shape), dtype=v.dtype) for v in built.value_vars
    }
    wanted = [v for v in built.unobserved_value_vars if v not in stacked]
    results = vectorize_graph(wanted, stacked)
    evaluate = pytensor.function(
        list(stacked.values()),
        results,
        mode=Mode(linker="py", optimizer="fast_compile"),
        on_unused_input="ignore",
    )
    values = evaluate(*(sampled[v.name] for v in stacked))
    many = next(iter(sampled.values())).shape[:2]
    named = {
        v.name: value if value.ndim > v.ndim else np.broadcast_to(value, (*many, *value.shape))  # a constant
        for v, value in zip(wanted, values, strict=True)
    }
    return {**{v.name: sampled[v.name] for v in stacked if v.name in built.named_vars}, **named}


def sample(
    built: pm.Model,
    *,
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    seed: int = 0,
    initial: Mapping[str, Any] | None = None,
    progress: bool = True,
    target_accept: float = 0.9,
    cores: int = 2,
) -> Posterior:
    """Sample a hierarchical model with nutpie.

    Parameters
    ----------
    built : pymc.Model
        As `hierarchical` builds it.
    draws, tune, chains : int
        Draws kept and draws for tuning of each chain, and how many chains.
    seed : int
        The same seed gives the same draws on one machine, once numba has its cache there (code that is
        compiled afresh may round differently, and chains amplify that).
    initial : mapping of str to array, optional
        Where to start, as `initial_point` gives it.
    progress : bool
        Whether to show a progress bar.
    target_accept : float
        Acceptance rate that the step size is tuned to; higher takes smaller steps.
    cores : int
        How many chains run at once.

    Raises
    ------
    InputError
        If the gradient is not that of finite differences near the start: the equation must be differentiable there.
    """
    began = time.perf_counter()
    with versions.quiet():
        compiled = compile_model(built, initial)
    check_gradient(of_compiled(compiled), compiled.initial_point_func(seed), "the hierarchical model")
    compiled_at = time.perf_counter()
    with versions.quiet():
        data = versions.nuts(
            compiled,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=min(cores, chains),
            seed=seed,
            progress_bar=progress,
            target_accept=target_accept,
        )
        values = derive(built, versions.recorded(data))
        data = versions.with_posterior(data, values, built.named_vars_to_dims, built.coords)
        judged = tuple(v.name for v in built.free_RVs)
        rhat, size = versions.worst(data, judged)
    ended = time.perf_counter()
    return Posterior(
        draws=versions.draws(data),
        tasks=tuple(str(name) for name in built.coords["task"]),
        data=data,
        seconds=ended - compiled_at,
        compile_seconds=compiled_at - began,
        rhat=rhat,
        effective_size=size,
        divergences=int(np.asarray(data["sample_stats"]["diverging"]).sum()),
        chains=chains,
        judged=judged,
    )


def pooled(parts: Sequence[Posterior]) -> Posterior:
    """Chains of one model that were sampled apart, together; convergence is judged of all of them.

    A longer chain counts as several of the shortest one's length; a rest that is no whole one is left out.
    """
    if len(parts) == 1:
        return parts[0]
    length = min(len(part) // part.chains for part in parts)
    values = {
        name: np.concatenate([_chains(part, name, length) for part in parts]) for name in parts[0].draws
    }
    chains = len(next(iter(values.values())))
    dims = {name: tuple(f"{name} {at}" for at in range(value.ndim - 2)) for name, value in values.items()}
    data = versions.from_chains(values, dims, {})
    with versions.quiet():
        rhat, size = versions.worst(data, parts[0].judged)
    return replace(
        parts[0],
        draws=versions.draws(data),
        data=data,
        rhat=rhat,
        effective_size=size,
        chains=chains,
        seconds=sum(part.seconds for part in parts),
        compile_seconds=sum(part.compile_seconds for part in parts),
        divergences=sum(part.divergences for part in parts),
        density_error=max(part.density_error for part in parts),
    )


def _chains(posterior: Posterior, name: str, length: int) -> np.ndarray:
    """A variable's draws as chains of one length, (chain, draw, ...)."""
    values = posterior.draws[name]
    long = values.reshape(posterior.chains, -1, *values.shape[1:])
    several = long.shape[1] // length
    return long[:, : several * length].reshape(posterior.chains * several, length, *values.shape[1:])
