"""The verdict: which configuration was chosen, which ones may be the best, and the results on the test set.

It answers two questions separately. ``seeds``: would other seeds change a difference, on these images?
``patients``: would other patients change it, for these trained models? Only finished configurations are
compared. docs/explanation/statistics.md has every formula.
"""

from tune_app.results.verdict.compute import judge, mode
from tune_app.results.verdict.model import CANDIDATES, LEVEL, MOST, Comparison, Standing, Verdict

__all__ = ["CANDIDATES", "LEVEL", "MOST", "Comparison", "Standing", "Verdict", "judge", "mode"]
