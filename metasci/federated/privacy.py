"""How much of a site is hidden: noise on what moves weights, and what that promises.

A site more or less changes the sum of clipped moves by at most the clip. Gaussian noise of z clips on it then gives
zero- concentrated differential privacy of 1/(2 z²) in every round; rounds add up. Which ε that is for a δ is a sum
and a root.

Sources: McMahan and others 2018 (arXiv 1710.06963) for clipped means; Andrew and others 2021 (arXiv 1905.03871) for
clips that adapt; Bun and Steinke 2016 (arXiv 1605.02065), propositions 1.6 and 1.3 and lemma 2.3, for how rounds add
up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from metasci.errors import InputError

__all__ = ["Privacy"]

_CLIPPINGS, _PLACES = ("fixed", "adaptive"), ("server", "site")


@dataclass(frozen=True)
class Privacy:
    """How much is hidden.

    What ε counts are the answers of rounds. That a site takes part, its number of tasks and, unless the method states
    one, the step that is stable for them are told in the clear.

    Parameters
    ----------
    clip : float
        Greatest length that a site may move the weights by in a round; where it adapts, the first one.
    noise : float
        Standard deviation of the noise in units of what one site can change: of the clip on the sum (a site more or
        less), or, where each site adds its own, of twice the clip on its answer (any answer for any other).
    clipping : "fixed" or "adaptive"
        Whether the clip stays, or follows the length that half of the sites' moves have.
    noised_by : "server" or "site"
        Whether the server adds noise to the sum, or each site to its own answer, so that nobody else is to be trusted.
    seed : int
        Of the noise, on one machine; what has to be secret takes a seed that nobody knows.

    Raises
    ------
    InputError
        If a choice is not known, or a clip that adapts is asked of sites that add noise.
    """

    clip: float = 1.0
    noise: float = 1.0
    clipping: str = "fixed"
    noised_by: str = "server"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clipping not in _CLIPPINGS or self.noised_by not in _PLACES:
            raise InputError(
                f"Privacy: say clipping 'fixed' or 'adaptive' and noised_by 'server' or 'site', not '{self.clipping}' "
                f"and '{self.noised_by}'."
            )
        if self.clipping == "adaptive" and self.noised_by == "site":
            raise InputError("Privacy: sites that add noise have a fixed clip; say noised_by='server'.")
        if not self.clip > 0.0 or not self.noise >= 0.0:
            raise InputError("Privacy: the clip must be above zero, and the noise not below.")

    def epsilon(self, rounds: int, delta: float = 1e-3) -> float:
        """The ε that so many rounds promise each site, for a δ; infinite without noise.

        Examples
        --------
        >>> round(Privacy(noise=4.0).epsilon(rounds=20), 2)
        4.78
        """
        if not self.noise:
            return math.inf
        concentrated = 0.5 * rounds / self.noise**2
        return concentrated + 2.0 * math.sqrt(concentrated * math.log(1.0 / delta))
