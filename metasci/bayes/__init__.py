"""Hierarchical Bayes in PyMC: what the learned prior is held against."""

import warnings

from metasci.extras import require

require("bayes", "hierarchical Bayes")

# nothing here runs through PyTensor's C code, whose linear algebra the warning is about
warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")

from metasci.bayes.bands import ecdf_bands, leaves_bands  # noqa: E402
from metasci.bayes.baselines import complete_pooling, no_pooling  # noqa: E402
from metasci.bayes.comparison import compare, summary  # noqa: E402
from metasci.bayes.forecast import Forecast, curve, predictive  # noqa: E402
from metasci.bayes.hierarchical import hierarchical, initial_point  # noqa: E402
from metasci.bayes.implied import empirical_prior, implied_prior  # noqa: E402
from metasci.bayes.joint import Joint, joint_posterior, posterior_of_new_task  # noqa: E402
from metasci.bayes.populations import gaussian_distances, start_against_mean  # noqa: E402
from metasci.bayes.quick import Approximation, quick  # noqa: E402
from metasci.bayes.replicates import posterior_predictive, prior_predictive  # noqa: E402
from metasci.bayes.sampling import Posterior, sample  # noqa: E402
from metasci.bayes.simulation_based import importance_ranks, laplace_ranks, nuts_ranks, uniformity  # noqa: E402
from metasci.bayes.traced import TracedModel, sample_traced, traced  # noqa: E402

__all__ = [
    "Approximation",
    "Forecast",
    "Joint",
    "Posterior",
    "TracedModel",
    "compare",
    "complete_pooling",
    "curve",
    "ecdf_bands",
    "empirical_prior",
    "gaussian_distances",
    "hierarchical",
    "implied_prior",
    "importance_ranks",
    "initial_point",
    "joint_posterior",
    "laplace_ranks",
    "leaves_bands",
    "no_pooling",
    "nuts_ranks",
    "posterior_of_new_task",
    "posterior_predictive",
    "predictive",
    "prior_predictive",
    "quick",
    "sample",
    "sample_traced",
    "start_against_mean",
    "summary",
    "traced",
    "uniformity",
]
