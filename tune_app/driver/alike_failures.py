"""Failures that are alike: they end a sweep whose trials all fail for the same reason."""

from __future__ import annotations

from collections.abc import Collection

from tune_app.training.protocol import Failure

#: When this many configurations have failed alike, and no trial has ended well, the sweep ends.
ALIKE_FAILURES = 3
#: Errors that depend on the size of a configuration: a smaller one may have room.
_OF_MEMORY = ("OutOfMemoryError", "MemoryError")


class AlikeFailures:
    """Counts, in one session, the configurations that failed alike until a trial ends well."""

    def __init__(self) -> None:
        #: The samples that failed, by what makes two failures alike.
        self._samples: dict[tuple[str, str], set[int]] = {}
        #: Whether a trial has ended well, so that no number of failures ends the sweep.
        self.one_ended_well = False

    def count(self, failure: Failure, sample: int, training: Collection[int]) -> str | None:
        """Count a failure of a configuration; returns why the sweep should end, None where it should not.

        Failures are alike that are of one class and raised by one line. The message counts where no line is
        known, and where memory ran out: it says how much was requested. ``training`` are configurations with
        a running trial that has reported an epoch.
        """
        if failure.moved or self.one_ended_well:
            return None
        by_message = not failure.place or failure.kind in _OF_MEMORY
        likeness = (failure.kind, failure.reason if by_message else failure.place)
        alike = self._samples.setdefault(likeness, set())
        alike.add(sample)
        if len(alike) < ALIKE_FAILURES or set(training) - alike:
            return None
        at = f" ({failure.place})" if failure.place and not failure.mistaken else ""
        return (
            f"{len(alike)} configurations failed with the same exception, and none has finished: "
            f"{failure.reason}{at}"
        )
