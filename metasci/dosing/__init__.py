"""From a calibrated patient to a dose: targets of exposure, and the regimen that reaches one with a given
probability.
"""

from metasci.dosing.exposure import exposure
from metasci.dosing.recommendation import Recommendation, recommend
from metasci.dosing.solving import SolvedDose, loading_and_maintenance, solve_dose
from metasci.dosing.targets import Target

__all__ = [
    "Recommendation",
    "SolvedDose",
    "Target",
    "exposure",
    "loading_and_maintenance",
    "recommend",
    "solve_dose",
]
