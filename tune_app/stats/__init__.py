"""What a handful of runs can say, and what they cannot.

``intervals`` speaks of one figure, ``patients`` of images drawn again, ``twolevel`` of seeds and patients
at once, ``pairs`` and ``family`` of configurations side by side, ``power`` of what it would take,
``outcomes`` of what each test image adds to a metric. Arrays go by letter: R replicates, N images, J
patients, K configurations, M pairs of them; axes before those are repetitions, each judged by itself.
"""

from tune_app.stats.family import holm, holm_adjusted, letters
from tune_app.stats.intervals import Interval, mean_interval, prediction_interval_of_one_run, quantile, wilson
from tune_app.stats.outcomes import Outcomes, outcomes
from tune_app.stats.pairs import Difference, Pairwise, over_patients, over_seeds, paired, step, welch
from tune_app.stats.patients import Units, patient_interval
from tune_app.stats.power import needed, power
from tune_app.stats.twolevel import FEWEST_SEEDS, Components, TwoLevel, components, two_level

__all__ = [
    "FEWEST_SEEDS",
    "Components",
    "Difference",
    "Interval",
    "Outcomes",
    "Pairwise",
    "TwoLevel",
    "Units",
    "components",
    "holm",
    "holm_adjusted",
    "letters",
    "mean_interval",
    "needed",
    "outcomes",
    "over_patients",
    "over_seeds",
    "paired",
    "patient_interval",
    "power",
    "prediction_interval_of_one_run",
    "quantile",
    "step",
    "two_level",
    "welch",
    "wilson",
]
