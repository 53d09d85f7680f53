"""Learned priors with their verbs: calibrate, calibrate many, update, retrain."""
