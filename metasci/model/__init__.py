"""Models: an equation with named parameters, units, noise and physical constraints.

`equation` makes one of a plain function. The function broadcasts: its parameters carry the task as
their first dimension during adaptation, and nothing about tasks stands in the equation itself.
"""

from metasci.model.declarations import (
    EventColumn,
    History,
    Individual,
    Input,
    NumberedOutput,
    Output,
    Reference,
)
from metasci.model.making import equation, made, register
from metasci.model.model import Model

__all__ = [
    "EventColumn",
    "History",
    "Individual",
    "Input",
    "Model",
    "NumberedOutput",
    "Output",
    "Reference",
    "equation",
    "made",
    "register",
]
