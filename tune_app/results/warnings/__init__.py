"""What a good colleague would say of a sweep before it goes into a report."""

from tune_app.results.warnings.checks import ResultWarning, check, runs_on_same_test_set

__all__ = ["ResultWarning", "check", "runs_on_same_test_set"]
