"""What a good colleague would say of a sweep before it goes into a report."""

from tune_app.results.warnings.cautions import Caution, cautions, seen_before

__all__ = ["Caution", "cautions", "seen_before"]
