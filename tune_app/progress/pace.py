"""The rate at which replicate-epochs are trained."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_WINDOW_S = 10.0


class Pace:
    """The rate over about ten seconds, or longer if epochs take longer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, trained: int) -> None:
        """Note the number of replicate-epochs trained so far; the first call starts the clock."""
        now = self._clock()
        if not self._seen or trained > self._seen[-1][1]:
            self._seen.append((now, trained))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW_S:
            self._seen.popleft()

    def per_second(self) -> float | None:
        """Replicate-epochs per second, None before the first."""
        if len(self._seen) < 2:
            return None
        (since, before), (_, trained) = self._seen[0], self._seen[-1]
        elapsed = self._clock() - since
        return (trained - before) / elapsed if elapsed > 0 else None
