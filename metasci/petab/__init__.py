"""PEtab problems: parameter estimation problems of systems biology, as tables beside a model in SBML."""

from metasci.petab.problem import Problem
from metasci.petab.reading import read_problem

__all__ = ["Problem", "read_problem"]
