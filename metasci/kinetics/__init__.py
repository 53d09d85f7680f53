"""Kinetic equations of alloys."""

from metasci.kinetics.crack_growth import crack_growth
from metasci.kinetics.tempering import tempering, tempering_rockwell
from metasci.kinetics.transformation import avrami

__all__ = ["avrami", "crack_growth", "tempering", "tempering_rockwell"]
