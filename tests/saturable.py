"""The published posterior of a one-compartment model with saturable elimination, as a model of the package.

Stan's benchmark ``one_comp_mm_elim_abs``: one patient, 30 mg by mouth, the volume known, half-Cauchy priors on the
three parameters and the noise. Source and licence of data and moments stand in
`data/one_compartment_michaelis_menten.json`.

In the likelihood only maximum rate over half-saturation matters once the latter is large, so the posterior of both
falls off like the third power: their means exist, their variances do not, and the published mean squares of these
two are no moments of anything. They are not compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.integrate import solve_ivp

import metasci as ms
from metasci.data.batch import Batch
from metasci.patients.nonlinear import michaelis_menten_oral
from metasci.patients.regimen import doses

PUBLISHED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "one_compartment_michaelis_menten.json").read_text(encoding="utf-8")
)
TIME = np.array(PUBLISHED["time_day"], float)
MEASURED = np.array(PUBLISHED["concentration_mg_per_l"])
_DOSE, _VOLUME = float(PUBLISHED["dose_mg"]), float(PUBLISHED["volume_l"])


def _positive(name: str, unit: str) -> ms.Parameter:
    return ms.Parameter(name, unit, 1.0, positive=True, spread=1.0)  # a coordinate is the logarithm


@ms.equation(
    inputs={"time": "day"},
    histories={"dose": doses("mg", "day")},
    output=("concentration", "mg/L"),
    parameters=[
        _positive("absorption_rate", "1/day"),
        _positive("michaelis_constant", "mg/L"),
        _positive("maximum_rate", "mg/day"),
    ],
    noise=ms.LogNormal((0.13,)),
    joint=True,
    name="test.saturable",
)
def saturable(
    time, dose, dose_time, dose_duration, dose_interval, dose_until, *, absorption_rate, michaelis_constant,
    maximum_rate,
):  # fmt: skip
    """The package's equation of absorption and saturable elimination, its volume known."""
    return michaelis_menten_oral.function(
        time, dose, dose_time, dose_duration, dose_interval, dose_until, absorption_rate=absorption_rate,
        maximum_rate=maximum_rate, michaelis_constant=michaelis_constant, volume=_VOLUME + 0.0 * maximum_rate,
    )  # fmt: skip


def patient(copies: int = 1, strength: float = 1.0) -> Batch:
    """The patient, so many times: a task for each draw of the parameters. `strength` multiplies the dose."""

    def column(values: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values, float)).expand(copies, -1).clone()

    def event(value: float) -> torch.Tensor:
        return torch.full((copies, 1, 1), value, dtype=torch.float64)

    given = {
        "dose": event(strength * _DOSE), "dose_time": event(0.0), "dose_duration": event(0.0),
        "dose_interval": event(0.0), "dose_until": event(np.inf),
    }  # fmt: skip
    output = column(MEASURED)
    return Batch(
        {"time": column(TIME), **given}, output, torch.ones_like(output, dtype=torch.bool), output[:, :0],
        tuple(f"patient {copy + 1}" for copy in range(copies)),
    )  # fmt: skip


def log_likelihood(logarithms: np.ndarray) -> float:
    """By SciPy alone, from the logarithms of the three parameters and the noise; the dose as in Stan's equation."""
    absorption, half, fastest, sigma = np.exp(logarithms)

    def rate(time: float, concentration: np.ndarray) -> np.ndarray:
        entering = _DOSE * absorption / _VOLUME * np.exp(-absorption * time)
        return entering - fastest / _VOLUME * concentration / (half + concentration)

    curve = solve_ivp(
        rate, (0.0, TIME[-1]), [0.0], t_eval=TIME, method="LSODA", rtol=1e-10, atol=1e-12
    ).y[0]  # fmt: skip
    return float(stats.norm.logpdf(np.log(MEASURED), np.log(curve), sigma).sum())


def log_published_prior(logarithms: np.ndarray) -> np.ndarray:
    """Half-Cauchy of scale 1 on each quantity, as a density of its logarithm, summed over the last axis."""
    return np.sum(np.log(2.0 / np.pi) + logarithms - np.logaddexp(0.0, 2.0 * logarithms), -1)
