"""Equations of patients: compartments, absorption, covariates, doses."""

import warnings
from typing import Any

from metasci.patients import antibiotics, body, other_drugs
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.drugs import (
    one_compartment,
    one_compartment_first_order,
    one_compartment_zero_order,
    propofol,
    quinidine,
    remifentanil,
    three_compartment,
    three_compartment_first_order,
    two_compartment,
    two_compartment_first_order,
)
from metasci.patients.effects import (
    Category,
    Exponential,
    Formula,
    Linear,
    Maturation,
    Occasion,
    Power,
    Threshold,
)
from metasci.patients.equations import Entry, Observed, ode_model
from metasci.patients.nonlinear import indirect_response, michaelis_menten, michaelis_menten_oral
from metasci.patients.nonmem import from_nonmem
from metasci.patients.per_kilogram import (
    one_compartment_bolus,
    one_compartment_oral,
    one_compartment_oral_per_kilogram,
    one_compartment_per_kilogram,
)
from metasci.patients.regimen import DoseArrays, doses
from metasci.patients.viral import viral_decay_biphasic, viral_load

__all__ = [
    "Category",
    "DoseArrays",
    "Entry",
    "Exponential",
    "Formula",
    "Linear",
    "Maturation",
    "Observed",
    "Occasion",
    "Power",
    "Structure",
    "Threshold",
    "antibiotics",
    "body",
    "compartment_model",
    "doses",
    "from_nonmem",
    "indirect_response",
    "michaelis_menten",
    "michaelis_menten_oral",
    "ode_model",
    "one_compartment",
    "one_compartment_bolus",
    "one_compartment_first_order",
    "one_compartment_oral",
    "one_compartment_oral_per_kilogram",
    "one_compartment_per_kilogram",
    "one_compartment_zero_order",
    "other_drugs",
    "propofol",
    "quinidine",
    "remifentanil",
    "three_compartment",
    "three_compartment_first_order",
    "two_compartment",
    "two_compartment_first_order",
    "viral_decay_biphasic",
    "viral_load",
]


def __getattr__(name: str) -> Any:
    """Names that have changed: the old one still works for a while, and says the new."""
    if name == "Doses":
        warnings.warn(
            "metasci.patients.Doses is now DoseArrays; the old name goes in version 0.3.",
            DeprecationWarning,
            stacklevel=2,
        )
        return DoseArrays
    raise AttributeError(f"module 'metasci.patients' has no attribute '{name}'")
