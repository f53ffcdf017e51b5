"""What a sweep shows: which configuration was chosen, what it is tied with, and what the test set says.

Two questions are kept apart. ``seeds``: would other seeds change a difference, on these images?
``patients``: would other patients change it, for these trained models? Only finished configurations are
compared. Every formula, and what is promised of it: docs/statistics.md.
"""

from tune_app.results.verdict.compute import judge, mode
from tune_app.results.verdict.model import (
    LEVEL,
    MOST,
    QUESTIONS,
    Comparison,
    Pair,
    PairTest,
    Standing,
    Verdict,
)

__all__ = [
    "LEVEL",
    "MOST",
    "QUESTIONS",
    "Comparison",
    "Pair",
    "PairTest",
    "Standing",
    "Verdict",
    "judge",
    "mode",
]
