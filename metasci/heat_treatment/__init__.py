"""What a metallurgist asks of a calibrated alloy: how long in the furnace, what a cycle does, when it transforms, and
which test to do next.
"""

from metasci.heat_treatment.cycles import along_cycle, prior_along
from metasci.heat_treatment.diagrams import transformation_diagram
from metasci.heat_treatment.furnace import FurnaceTime, furnace_time
from metasci.heat_treatment.planning import next_test

__all__ = ["FurnaceTime", "along_cycle", "furnace_time", "next_test", "prior_along", "transformation_diagram"]
