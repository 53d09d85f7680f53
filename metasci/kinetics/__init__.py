"""Kinetic equations of alloys.

A law is written once, in time at a reference temperature (`kinetic_law`); it is a model of time and temperature, and
with `along` one of time along any measured temperature history.
"""

from metasci.kinetics.ageing import age_hardening
from metasci.kinetics.calorimetry import heat_flow
from metasci.kinetics.clocks import Arrhenius, Undercooled
from metasci.kinetics.crack_growth import crack_growth, paris_crack_length, paris_growth_rate
from metasci.kinetics.creep import creep_strain, larson_miller_rupture, minimum_creep_rate
from metasci.kinetics.critical_temperatures import critical_temperature
from metasci.kinetics.grains import grain_growth, recrystallisation
from metasci.kinetics.laws import along, kinetic_law
from metasci.kinetics.oxidation import parabolic_oxidation
from metasci.kinetics.parametric import (
    hollomon_jaffe,
    hollomon_jaffe_time,
    kissinger,
    larson_miller,
    larson_miller_time,
)
from metasci.kinetics.strength import yield_strength
from metasci.kinetics.tempering import (
    secondary_hardening,
    tempering,
    tempering_rockwell,
    tempering_to_limit,
)
from metasci.kinetics.transformation import (
    avrami,
    avrami_incubation,
    koistinen_marburger,
    time_to_fraction,
    transformation_time,
    undercooled_transformation,
)

__all__ = [
    "Arrhenius",
    "Undercooled",
    "age_hardening",
    "along",
    "avrami",
    "avrami_incubation",
    "crack_growth",
    "creep_strain",
    "critical_temperature",
    "grain_growth",
    "heat_flow",
    "hollomon_jaffe",
    "hollomon_jaffe_time",
    "kinetic_law",
    "kissinger",
    "koistinen_marburger",
    "larson_miller",
    "larson_miller_rupture",
    "larson_miller_time",
    "minimum_creep_rate",
    "parabolic_oxidation",
    "paris_crack_length",
    "paris_growth_rate",
    "recrystallisation",
    "secondary_hardening",
    "tempering",
    "tempering_rockwell",
    "tempering_to_limit",
    "time_to_fraction",
    "transformation_time",
    "undercooled_transformation",
    "yield_strength",
]
