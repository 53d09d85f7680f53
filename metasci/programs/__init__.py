"""Calibrators as programs of elementary array operations, which run where neither Python nor torch is."""

from metasci.programs.calibrator import Sizes, calibrator
from metasci.programs.export import export
from metasci.programs.feeding import given_of, settled
from metasci.programs.onnx_file import onnx_bytes
from metasci.programs.program import Program

__all__ = ["Program", "Sizes", "calibrator", "export", "given_of", "onnx_bytes", "settled"]
