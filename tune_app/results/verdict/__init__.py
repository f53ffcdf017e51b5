"""What a sweep shows: which configuration was chosen, what it is tied with, and what the test set says.

Two questions are kept apart. ``seeds``: would other seeds change a difference, on these images?
``patients``: would other patients change it, for these trained models? Only finished configurations are
compared. Every formula, and what is promised of it: docs/statistics.md.
"""

from tune_app.results.verdict.judging import judge, mode
from tune_app.results.verdict.model import LEVEL, MOST, QUESTIONS, Answer, Comparison, Pair, Standing, Verdict

__all__ = [
    "LEVEL",
    "MOST",
    "QUESTIONS",
    "Answer",
    "Comparison",
    "Pair",
    "Standing",
    "Verdict",
    "judge",
    "mode",
]
