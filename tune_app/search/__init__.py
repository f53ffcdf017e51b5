"""Samples from Optuna: the sampler, its distributions, and the study file."""
