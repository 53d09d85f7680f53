"""Compartment equations of patients."""

from metasci.patients.one_compartment import one_compartment_bolus, one_compartment_oral

__all__ = ["one_compartment_bolus", "one_compartment_oral"]
