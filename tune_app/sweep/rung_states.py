"""The rungs at which configurations wait, as the record has them: who is paused, promoted or stopped."""

from __future__ import annotations

from dataclasses import dataclass, field

from tune_app.space import SearchSpace
from tune_app.status import Status
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.history import History


@dataclass
class RungState:
    """One rung, the ``number``-th, after ``epoch``.

    ``size`` is how many come there, as far as is known: all at the first rung, and at a later one those that
    were promoted before it. The values are what the rung ranks by, by sample. ``others`` ended before they
    came there, or diverged.
    """

    number: int
    epoch: int
    size: int
    paused: dict[int, float | None] = field(default_factory=dict)
    promoted: dict[int, float | None] = field(default_factory=dict)
    stopped: dict[int, float | None] = field(default_factory=dict)
    others: set[int] = field(default_factory=set)
    #: Whether nobody waits there, and nobody is still to come.
    decided: bool = False

    @property
    def came(self) -> int:
        """How many have come there, or come there no more because they have ended."""
        return len(self.paused) + len(self.promoted) + len(self.stopped) + len(self.others)


def rung_states(space: SearchSpace, history: History) -> list[RungState]:
    """Each rung of a space; none where no configuration waits for others."""
    found: list[RungState] = []
    known = list(history.configurations.values())
    coming = [each for each in known if each.duplicate_of is None]
    size = len(coming) + max(0, space.size() - len(known))
    for number, epoch in enumerate(space.stop.waiting_rungs(space.epochs), start=1):
        state = RungState(number, epoch, size)
        for configuration in coming:
            _place(state, configuration)
        before = not found or found[-1].decided
        state.decided = before and state.came >= size and not state.paused
        coming = [each for each in coming if each.sample in state.promoted]
        size = len(coming)
        found.append(state)
    return found


def _place(state: RungState, configuration: Configuration) -> None:
    judged = [attempt for attempt in list(configuration.attempts) if not attempt.follows]
    sample, last = configuration.sample, judged[-1] if judged else None
    value = next((a.ranked_by[state.epoch] for a in reversed(judged) if state.epoch in a.ranked_by), None)
    if any(state.epoch in attempt.promoted for attempt in judged):
        state.promoted[sample] = value
    elif configuration.revived:
        state.others.add(sample)
    elif last is None:
        return
    elif last.end == Status.PAUSED and last.epoch == state.epoch:
        state.paused[sample] = value
    elif last.end == Status.STOPPED and state.epoch in last.ranked_by and not last.diverged:
        state.stopped[sample] = value
    elif _has_ended(last):
        state.others.add(sample)


def _has_ended(last: Attempt) -> bool:
    return last.end in (Status.STOPPED, Status.FAILED, Status.FINISHED) or bool(last.diverged)
