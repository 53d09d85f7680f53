"""What a metallurgist asks of a calibrated alloy: how long in the furnace, what a cycle does, when it transforms, what
cooling makes of it and how hard that is, and which test to do next.
"""

from metasci.heat_treatment.constituents import hardness_by_composition
from metasci.heat_treatment.cooled import Cooled
from metasci.heat_treatment.cooling import CoolingCurve, constant_rate, end_quench, measured_cooling
from metasci.heat_treatment.cycles import along_cycle, prior_along
from metasci.heat_treatment.diagrams import transformation_diagram
from metasci.heat_treatment.furnace import FurnaceTime, furnace_time
from metasci.heat_treatment.planning import next_test
from metasci.heat_treatment.transformations import Martensite, Transformations, by_product, transformations

__all__ = [
    "Cooled",
    "CoolingCurve",
    "FurnaceTime",
    "Martensite",
    "Transformations",
    "along_cycle",
    "by_product",
    "constant_rate",
    "end_quench",
    "furnace_time",
    "hardness_by_composition",
    "measured_cooling",
    "next_test",
    "prior_along",
    "transformation_diagram",
    "transformations",
]
