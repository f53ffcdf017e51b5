"""Warnings about the results of a sweep, to read before they go into a report."""

from tune_app.results.warnings.checks import ResultWarning, check, runs_on_same_test_set

__all__ = ["ResultWarning", "check", "runs_on_same_test_set"]
