"""Measurements whose figures are quoted; each module is run by itself, and leaves its results/."""
