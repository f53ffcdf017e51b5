"""Metrics as text: shares of 1 in per cent, with mean and interval."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tune_app.stats.arithmetic import mean, to_decimals, to_digits

#: Metrics that are shares of 1, shown in per cent, by the last word of their names.
SHARES = ("accuracy", "auc", "sensitivity", "specificity")

#: Decimals of a percentage; other numbers get two significant digits more than that.
DIGITS = 1

#: What stands where there is no value.
NOTHING = "–"

#: How far beyond 0 and 1 the rounding of float32 may carry a share.
_ROUNDING = 1e-6


def parted(name: str) -> tuple[str, str, str]:
    """A metric's name before its first ``_``, ``/``, ``.`` or ``-``, that letter, and the rest.

    >>> parted("val_loss"), parted("test/top.5"), parted("loss")
    (('val', '_', 'loss'), ('test', '/', 'top.5'), ('loss', '', ''))
    """
    split, letter, what = (*re.split("([_/.-])", name, maxsplit=1), "", "")[:3]
    return split, letter, what


def on_test_set(name: str) -> str:
    """The name of the same measure of the test set: ``test/loss`` for ``val/loss``."""
    _, letter, what = parted(name)
    return f"test{letter or '_'}{what}"


def named_share(name: str) -> bool:
    """Whether a metric is a share of 1 by its name."""
    return re.split("[_/.-]", name)[-1] in SHARES


def shares_out_of_range(metrics: Mapping[str, Iterable[float | None]]) -> set[str]:
    """Metrics that are named like a share, but have a value outside of 0 to 1, such as per cent."""
    return {
        name
        for name, values in metrics.items()
        if named_share(name)
        and any(value is not None and not -_ROUNDING <= value <= 1 + _ROUNDING for value in values)
    }


def interval_legend(counts: Iterable[int]) -> str:
    """Explains what ``MetricUnits.measure`` writes, for configurations with these numbers of seeds."""
    two = "; of two seeds, both values" if any(count == 2 for count in counts) else ""
    return f"Mean ± half-width of its 95% interval, over n seeds{two}"


@dataclass(frozen=True)
class MetricUnits:
    """The units of a sweep's metrics; ``plain`` are those named like a share that are shown as recorded.

    A value outside of 0 to 1, of any configuration at any epoch, makes a metric plain everywhere.
    """

    plain: frozenset[str] = frozenset()

    def is_share(self, name: str) -> bool:
        """Whether a metric is shown in per cent."""
        return named_share(name) and name not in self.plain

    def scale(self, name: str) -> float:
        """What a metric's values are multiplied by to be shown."""
        return 100.0 if self.is_share(name) else 1.0

    def number(self, name: str, value: float | None, digits: int = DIGITS) -> str:
        """One value, without its unit: a share in per cent with ``digits`` decimals.

        >>> MetricUnits().number("val_accuracy", 0.8485), MetricUnits().number("val_loss", 0.2)
        ('84.9', '0.200')
        """
        if value is None or value != value:
            return NOTHING
        return (
            to_decimals(value, digits, 2) if self.is_share(name) else to_digits(value, digits + 2, zeros=True)
        )

    def half_width(self, name: str, value: float, digits: int = DIGITS) -> str:
        """Half the width of an interval, with one significant digit less than the value beside it."""
        return to_decimals(value, digits, 2) if self.is_share(name) else to_digits(value, digits + 1)

    def measure(self, name: str, values: Sequence[float], digits: int = DIGITS, unit: bool = False) -> str:
        """The mean over replicates with its interval, in the format that is used everywhere.

        The half-width of the 95% t interval; its two ends where it would leave 0 to 100%; of two replicates
        both values.

        >>> units = MetricUnits()
        >>> units.measure("val_accuracy", (0.92, 0.93, 0.94)), units.measure("val_loss", (0.2, 0.3))
        ('93.0 ± 2.5', '0.250 (0.200, 0.300)')
        >>> units.measure("val_accuracy", (0.9, 0.99, 1.0), unit=True)
        '96.3% (82.7 to 100.0)'
        """
        if not values:
            return NOTHING
        share, middle = self.is_share(name), mean(values)
        text = self.number(name, middle, digits) + ("%" if unit and share else "")
        if len(values) == 1:
            return text
        if len(values) == 2:
            return f"{text} ({', '.join(self.number(name, value, digits) for value in values)})"
        from tune_app.stats.intervals import mean_interval  # here, for it loads scipy

        reach = mean_interval(values).half_width or 0.0
        low, high = middle - reach, middle + reach
        if share and not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            ends = (max(0.0, low), min(1.0, high))
            return f"{text} ({' to '.join(self.number(name, end, digits) for end in ends)})"
        return f"{text} ± {self.half_width(name, reach, digits)}"

    def step(self, name: str, values: Iterable[float]) -> float:
        """The step between values of a share of few images, as recorded; 0 for other metrics."""
        from tune_app.stats import paired_tests  # here, for it loads scipy

        if not named_share(name):
            return 0.0
        whole = 1.0 if self.is_share(name) else 100.0
        return whole * paired_tests.share_step(value / whole for value in values)

    def note(self) -> str:
        """Why metrics that are named like a share are not shown in per cent; empty if all are."""
        if not self.plain:
            return ""
        names = ", ".join(sorted(self.plain))
        return f"{names}: shown as recorded, not in per cent, because some values lie outside 0 to 1"
