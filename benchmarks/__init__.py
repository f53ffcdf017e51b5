"""Measurements of tune-app: each module prints a table and keeps it in ``results/``."""
