"""The learned Gaussian prior: estimates by Gauss-Newton, Laplace posteriors, and their evidence."""
