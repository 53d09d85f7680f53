"""A prior as if its spread and noise were known: then all of a linear model is Gaussian, and closed forms hold."""

from __future__ import annotations

from dataclasses import replace

import torch

import metasci as ms
from metasci.meta.laplace.gaussian_state import KNOWN


def as_known(prior: ms.Prior) -> ms.Prior:
    """The same prior; what it does not know of its own scales is left out."""
    known = torch.tensor(KNOWN, dtype=torch.float64)
    return replace(prior, state=replace(prior.state, spread_freedom=known, noise_freedom=known))
