"""A sweep's progress as Prometheus metrics, served by Ray beside its own on every machine's metrics port.

Nothing here is read by tune-app: it is for a dashboard over many sweeps, and for alarms.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ray.util.metrics import Gauge

from tune_app import status
from tune_app.engines.ray.ray_session import repeating
from tune_app.progress.snapshot import Pace, SnapshotTaker
from tune_app.sweep import Sweep

_EVERY_S = 2.0

#: Name to what it is, and the tags beside ``run``.
METRICS = {
    "tune_app_trials": ("Configurations of a sweep, by state", ("state",)),
    "tune_app_done_ratio": ("Share of the wanted epochs that need no more training, 0 to 1", ()),
    "tune_app_epochs_per_second": ("Epochs per second, summed over replicates", ()),
    "tune_app_best_value": (
        "What the best configuration so far is chosen by, as its mean over seeds",
        ("metric",),
    ),
}


class Gauges:
    """The metrics of one sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self._taker = SnapshotTaker(sweep)
        self._pace = Pace(time.monotonic)
        self._run = sweep.name
        self._gauges = {
            name: Gauge(name, description=text, tag_keys=("run", *tags))
            for name, (text, tags) in METRICS.items()
        }

    def update(self, live: bool = True) -> None:
        """Set every metric to how the sweep stands; ``live`` says whether it is being trained."""
        snapshot = self._taker.take(live)
        self._pace.note(snapshot.trained)
        states = Counter(snapshot.states)
        for state in status.LIVE:  # every one, for a gauge keeps what it had
            self._set("tune_app_trials", states[state], state=state)
        self._set("tune_app_done_ratio", snapshot.share)
        self._set("tune_app_epochs_per_second", self._pace.per_second() if live else None)
        if snapshot.best:
            self._set("tune_app_best_value", snapshot.best.mean, metric=snapshot.metric)

    def _set(self, name: str, value: float | None, **tags: str) -> None:
        self._gauges[name].set(float(value or 0), tags={"run": self._run, **tags})


@contextmanager
def exporting(sweep: Sweep) -> Iterator[None]:
    """Keep the metrics of a sweep up to date for as long as the context lasts, on a thread of its own.

    An error in that never ends the sweep: it only leaves the metrics behind.
    """
    try:
        gauges = Gauges(sweep)
        gauges.update()
    except Exception:  # noqa: BLE001 - see above
        yield
        return
    try:
        with repeating(gauges.update, _EVERY_S):
            yield
    finally:
        with suppress(Exception):
            gauges.update(live=False)
