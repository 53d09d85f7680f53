"""The libraries that hierarchical Bayes needs; imported before all others that do."""

import importlib.util
import warnings

from metasci.extras import missing

for _library in ("arviz", "numba", "nutpie", "pymc"):
    if importlib.util.find_spec(_library) is None:
        raise missing(_library, "bayes", "hierarchical Bayes")

# nothing here runs through PyTensor's C code, whose linear algebra the warning is about
warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")
