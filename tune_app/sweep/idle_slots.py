"""How long slots had nothing to train while a sweep went on, from the times in its record."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from tune_app.space import SearchSpace
from tune_app.status import Status
from tune_app.sweep.configurations import Attempt
from tune_app.sweep.history import History
from tune_app.text import duration


class IdleSlots(NamedTuple):
    """Seconds of all slots together: those in which no configuration could train, and all."""

    idle_s: float
    all_s: float

    @property
    def line(self) -> str:
        """``slots were idle for 12.0 s of 60.0 s (20%): no other configuration could train``."""
        share = self.idle_s / self.all_s if self.all_s else 0.0
        idle = f"{duration(self.idle_s)} of {duration(self.all_s)} ({share:.0%})"
        return f"slots were idle for {idle}: no other configuration could train"


def idle_slots(space: SearchSpace, history: History) -> IdleSlots | None:
    """The idle time of all sessions; None where configurations never wait for others, or none has trained.

    A slot that is free while a trial may start is not idle: starting takes its time, and so does a sampler.
    """
    if not space.stop.waiting_rungs(space.epochs):
        return None
    sessions: dict[int, list[Attempt]] = defaultdict(list)
    ready: dict[str, float] = {}
    for configuration in list(history.configurations.values()):
        since = 0.0 if configuration.asked else configuration.planned_at
        for attempt in list(configuration.attempts):
            sessions[attempt.session].append(attempt)
            ready[attempt.trial] = min(since, attempt.started_at)
            since = attempt.last_at  # the next may start once this one has failed or is promoted
    found = [
        _of_session(history.openings[number].slots or 0, attempts, ready)
        for number, attempts in sessions.items()
        if number >= 0  # a record may lack the event that opens a session
    ]
    idle_s, all_s = sum(each.idle_s for each in found), sum(each.all_s for each in found)
    return IdleSlots(idle_s, all_s) if all_s else None


def _of_session(slots: int, attempts: list[Attempt], ready: dict[str, float]) -> IdleSlots:
    begin, end = min(each.started_at for each in attempts), max(each.left_at for each in attempts)
    changes = [(begin, 0), (end, 0)]
    for attempt in attempts:
        broken_off = attempt.end in (None, Status.INTERRUPTED) and not attempt.reason
        until = end if broken_off and attempt.paused_at is None else attempt.left_at
        changes += [(max(begin, ready[attempt.trial]), 1), (until, -1)]  # it trains, or waits for its start
    idle_s, busy = 0.0, 0
    for (now, change), (following, _) in pairwise(sorted(changes)):
        busy += change
        idle_s += max(0, slots - busy) * (following - now)
    return IdleSlots(idle_s, slots * (end - begin))
