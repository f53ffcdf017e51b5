"""What a good colleague would say of a sweep before it goes into a report."""

from tune_app.results.warnings.checks import ResultWarning, check, seen_before

__all__ = ["ResultWarning", "check", "seen_before"]
