"""How numbers, parameters and times are written in a terminal; reports have `report.formats`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from tune_app.history import Config
from tune_app.space import Scalar

#: Metrics that are shares of 1, shown in per cent, by the last word of their names.
SHARES = ("accuracy", "auc", "sensitivity", "specificity")
_LONGEST_TEXT = 24

#: Every state that a configuration can be shown in, the most telling first.
STATES = ("failed", "diverged", "finished", "stopped", "interrupted", "running", "waiting")


def value(of: Scalar) -> str:
    """A parameter's value, as in a search-space file, to four significant digits.

    >>> value(0.00003), value(True), value(None), value("bce")
    ('3e-05', 'true', 'null', 'bce')
    """
    if of is None:
        return "null"
    if isinstance(of, bool):
        return str(of).lower()
    if isinstance(of, float):
        return f"{of:.4g}"
    text = "".join(letter if letter.isprintable() else "?" for letter in str(of))
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."


def point(config: Config, names: Iterable[str], between: str = ", ") -> str:
    """The named parameters of a configuration that exist in it: ``lr 3e-05, step_size 4``."""
    return between.join(f"{name} {value(config[name])}" for name in names if name in config)


def is_share(name: str) -> bool:
    """Whether a metric is a share of 1, and so shown in per cent."""
    return name.rsplit("_", 1)[-1] in SHARES


def measure(name: str, mean: float, half_width: float | None) -> str:
    """A metric and the half-width of its interval: shares as per cent, others with four digits.

    >>> measure("val_auc", 0.93561, 0.00449), measure("val_loss", 0.212345, None)
    ('93.6% ± 0.4', '0.2123')
    """
    share = is_share(name)
    text = f"{mean:.1%}" if share else f"{mean:.4g}"
    if half_width is None:
        return text
    return f"{text} ± {half_width * 100:.1f}" if share else f"{text} ± {half_width:.2g}"


@lru_cache(maxsize=4096)
def over_replicates(name: str, values: tuple[float, ...]) -> str:
    """Mean of a metric over replicates with its 95% t interval; empty without values."""
    if not values:
        return ""
    from tune_app.stats import mean_interval  # here, for it loads scipy, and the first table has no values

    interval = mean_interval(values)
    return measure(name, interval.mean, interval.half_width) if interval.mean is not None else ""


def duration(seconds: float) -> str:
    """A time that was taken.

    >>> duration(18.04), duration(125), duration(7500)
    ('18.0 s', '2 min 05 s', '2 h 05 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if round(seconds) < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def left(seconds: float) -> str:
    """A time that is still to come, no finer than it is known.

    >>> left(12.7), left(200), left(7500)
    ('13 s left', '3 min left', '2 h 05 min left')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s left"
    if seconds < 3570:
        return f"{seconds / 60:.0f} min left"
    return f"{duration(max(seconds, 3600))} left"


def rate(per_second: float) -> str:
    """Replicate-epochs a second."""
    return f"{per_second:.0f} epochs/s" if per_second >= 9.5 else f"{per_second:.2g} epochs/s"


def count(number: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: int) -> str:
    """Bytes for people.

    >>> size(1500), size(50 << 20), size(3 << 29)
    ('1 KiB', '50 MiB', '1.5 GiB')
    """
    for unit, digits, least in (("GiB", 1, 1 << 30), ("MiB", 0, 1 << 20)):
        if size_bytes >= least:
            return f"{size_bytes / least:.{digits}f} {unit}"
    return f"{size_bytes / 1024:.0f} KiB"


def aligned(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows of cells in columns, three spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(indent + line.rstrip() for line in lines)


def counts(states: Iterable[str], between: str = ", ") -> str:
    """How many there are of each state: ``2 finished, 1 running``."""
    found = Counter(states)
    return between.join(f"{found[state]} {state}" for state in STATES if found[state])
