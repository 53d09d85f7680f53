"""From a calibrated patient to a dose: targets of exposure, and the regimen that reaches one with a given
probability.
"""

from metasci.dosing.recommendation import Recommendation, recommend
from metasci.dosing.targets import Target

__all__ = ["Recommendation", "Target", "recommend"]
