"""Configurations and attempts, as events describe them; which epoch counts, and which result is better."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from tune_app.space import Config, Metric, SearchSpace
from tune_app.stats import arithmetic
from tune_app.status import Status
from tune_app.sweep import events

#: What can end a replicate before its last epoch, as recorded: patience, or the task's own code.
PATIENCE, TASK = "patience", "task"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of a metric over replicates; None without replicates, or if one has no value."""
    known = [value for value in values if value is not None]
    return arithmetic.mean(known) if known and len(known) == len(values) else None


#: A larger value counts as diverged, because sums and differences of such values may not be finite.
LARGEST = 1e100

#: Epoch, metrics and seconds of one epoch of one replicate; a metric is None where it was not reported.
EpochRow = tuple[int, dict[str, float | None], float]


def usable(value: float | None) -> bool:
    """Whether a metric can be compared and averaged: it exists, is finite, and is at most ``LARGEST``."""
    return value is not None and math.isfinite(value) and abs(value) <= LARGEST


def improved_value(
    found: Mapping[str, float | None], keep: tuple[str, int], best: float | None
) -> float | None:
    """The value of an epoch, times the sign in ``keep``, if it is better than ``best``; else None.

    ``best`` is the newest value that an earlier call returned. Of equal epochs the first stays the best. An
    epoch without the metric does not count.
    """
    name, sign = keep
    value = found.get(name)
    if value is None or not math.isfinite(value):
        return None
    return sign * value if best is None or sign * value > best else None


def evaluated_epoch(rows: Sequence[EpochRow], metric: Metric, evaluate: str) -> EpochRow | None:
    """The epoch of a replicate that counts in the results, if any: the last, or the best by ``metric``."""
    if evaluate == "last":
        return rows[-1] if rows else None
    chosen, best = None, None
    for row in rows:
        value = improved_value(row[1], (metric.name, metric.sign), best)
        if value is not None:
            chosen, best = row, value
    return chosen


def window_mean(rows: Sequence[EpochRow], space: SearchSpace, metric: str) -> float | None:
    """What a replicate is chosen by: a metric's mean over the last epochs, up to the evaluated one.

    ``space.choose.window`` is how many; fewer where fewer were trained. None where one lacks the metric.
    """
    evaluated = evaluated_epoch(rows, space.metric, space.evaluate)
    return mean_up_to(rows, evaluated[0] if evaluated else 0, space.choose.window, metric)


def mean_up_to(rows: Sequence[EpochRow], epoch: int, window: int, metric: str) -> float | None:
    """A metric's mean over the last epochs up to ``epoch``, as many as ``window`` if there are."""
    end = bisect_right(rows, epoch, key=lambda row: row[0])
    return mean([found.get(metric) for _, found, _ in rows[max(0, end - window) : end]])


def rank_key(metric: Metric, mean: float, number: int) -> tuple[float, int]:
    """A sort key for best first; equal means are sorted by number."""
    return -metric.sign * mean, number


@dataclass
class Attempt:
    """One trial that was run: some replicates of a configuration, on one device, from ``start_epoch``."""

    trial: str
    sample: int
    replicates: tuple[int, ...]
    start_epoch: int
    target: int
    #: Times are in seconds since 1970.
    started_at: float
    last_at: float = 0.0
    #: When it left its slot, if it has waited at a rung: it may be promoted or stopped much later.
    paused_at: float | None = None
    node: str = ""
    saved: events.Saved | None = None
    #: Whether it takes no part in early stopping.
    follows: bool = False
    #: Index of its session in ``History.openings``.
    session: int = -1
    device: str = ""
    epochs: list[events.Epoch] = field(default_factory=list)
    #: The epoch at which a replicate became non-finite, and what did; older records do not say what.
    diverged: dict[int, int] = field(default_factory=dict)
    why: dict[int, str] = field(default_factory=dict)
    #: The last epoch of each replicate that ended before the others. Its metrics keep their last values.
    ended_at: dict[int, int] = field(default_factory=dict)
    #: The replicates that patience ended. More epochs would not train them further.
    converged: set[int] = field(default_factory=set)
    #: The rungs beyond which it, or the trial that continues it, trains on.
    promoted: set[int] = field(default_factory=set)
    #: What early stopping compared, by rung.
    ranked_by: dict[int, float | None] = field(default_factory=dict)
    end: Status | None = None
    reason: str = ""
    #: How it was paused or stopped, if its configuration was revived since.
    rested: tuple[Status, str] | None = None
    log: str = ""
    test: events.Values = field(default_factory=dict)
    evaluated: list[int] = field(default_factory=list)
    scores: events.ScoreRows | None = None
    look: int = 0
    weights: events.Saved | None = None
    excused: bool = False
    #: Files and versions of its process that differ from those of its session; see `sweep.code`.
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, event: events.Started, session: int) -> Attempt:
        """A trial that has just started."""
        attempt = cls(event.trial, event.sample, tuple(event.replicates), event.epoch, event.target, event.t)
        attempt.node, attempt.saved, attempt.follows = event.node, event.start, bool(event.follows)
        attempt.last_at, attempt.session = event.t, session
        return attempt

    def apply(self, event: events.OfTrial) -> None:
        """Apply an event of this trial."""
        self.last_at = event.t
        if isinstance(event, events.Decision | events.Paused | events.Promoted):
            self.ranked_by[event.epoch] = event.value
        match event:
            case events.Epoch():
                self.device = event.device or self.device
                self.epochs.append(replace(event, metrics=_usable(event.metrics)))
            case events.Code():
                self.files |= event.files
                self.versions |= event.versions
            case events.Checkpoint():
                self.saved = event.saved
            case events.Decision(stop=True):  # it ends the trial by itself: a crash could lose a second event
                self.end, self.reason = Status.STOPPED, f"early stopping at epoch {event.epoch}"
                self.saved = event.saved or self.saved
            case events.Paused():
                self.end, self.saved = Status.PAUSED, event.saved or self.saved
                self.paused_at = event.t
            case events.Promoted():
                self.promoted.add(event.epoch)
                self.end = Status.INTERRUPTED if self.end == Status.PAUSED else self.end
            case events.Stopped():
                self.end, self.reason = Status.STOPPED, event.reason
                self.saved = event.saved or self.saved
            case events.Diverged():
                self.diverged |= dict.fromkeys(event.replicates, event.epoch)
                self.why |= dict.fromkeys(event.replicates, event.why or "")
            case events.Ended():
                self.ended_at |= dict.fromkeys(event.replicates, event.epoch)
                if event.by == PATIENCE:
                    self.converged.update(event.replicates)
            case events.Finished():
                self.end, self.test = Status.FINISHED, _usable(event.test)
                self.evaluated, self.scores, self.look = event.evaluated, event.scores, event.look
                self.weights, self.saved = event.weights, event.saved or self.saved
            case events.Failed():
                self.end = Status.FAILED if event.final else Status.INTERRUPTED
                self.reason, self.log, self.excused = event.reason, event.log, event.moved

    @property
    def epoch(self) -> int:
        """The last recorded epoch."""
        return self.epochs[-1].epoch if self.epochs else self.start_epoch

    @property
    def left_at(self) -> float:
        """When it left its slot, as far as the record says."""
        return self.last_at if self.paused_at is None else self.paused_at

    @property
    def ended(self) -> bool:
        """Whether no trial can resume from it: it finished, was stopped, or every replicate diverged."""
        return self.end in (Status.FINISHED, Status.STOPPED) or len(self.diverged) == len(self.replicates)

    @property
    def ended_early(self) -> bool:
        """Whether it finished before its target epoch, which early stopping has to take into account."""
        return self.end == Status.FINISHED and self.epoch < self.target and not self.follows

    @property
    def fault(self) -> str:
        """Why it failed or diverged; empty otherwise."""
        if self.end == Status.FAILED:
            return self.reason
        for replicate, epoch in self.diverged.items():
            what = self.why.get(replicate) or "a value was not finite"
            return f"{what} at epoch {epoch}, seed {replicate}"
        return ""

    def status(self, replicate: int, live: bool) -> Status:
        """The status of one of its replicates; ``live`` says whether a session is running."""
        if replicate in self.diverged:
            return Status.DIVERGED
        return self.end or (Status.RUNNING if live else Status.INTERRUPTED)


@dataclass
class Configuration:
    """One point of the space, with all attempts to train its replicates."""

    sample: int
    fingerprint: str
    config: Config
    duplicate_of: int | None = None
    asked: bool = False
    #: Seconds since 1970.
    planned_at: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    #: Number of attempts that have begun, including those that were undone.
    begun: int = 0
    #: How many replicates it has beyond those of the space, and how many of these the open batch has added.
    added: int = 0
    pending: int = 0
    #: Whether it was paused or stopped, and is to be trained to the end all the same.
    revived: bool = False

    def revive(self, lost: Collection[str]) -> None:
        """Train what was paused or stopped to the end; the trials ``lost`` have no checkpoint."""
        self.revived = True
        for attempt in self.attempts:
            if attempt.end in (Status.PAUSED, Status.STOPPED):
                attempt.rested = attempt.end, attempt.reason
                attempt.saved = None if attempt.trial in lost else attempt.saved
                attempt.end, attempt.reason = Status.INTERRUPTED, ""

    def rest(self) -> None:
        """Be paused or stopped as before it was revived."""
        self.revived = False
        for attempt in self.attempts:
            if attempt.rested:
                (attempt.end, attempt.reason), attempt.rested = attempt.rested, None

    def replicates(self, space: SearchSpace) -> range:
        """The numbers of its replicates: those of the space, then those that were added."""
        return range(space.first_replicate, space.first_replicate + space.seeds + self.added)

    def last(self, replicate: int) -> Attempt | None:
        """The newest attempt that trained this replicate."""
        return next((a for a in reversed(self.attempts) if replicate in a.replicates), None)

    def epochs(self, replicate: int) -> list[EpochRow]:
        """The epochs of a replicate, in order. An epoch that was trained again has its newest values."""
        rows: list[EpochRow] = []
        for attempt in self.attempts:
            if replicate in attempt.replicates:
                index = attempt.replicates.index(replicate)
                last = attempt.diverged.get(replicate, attempt.ended_at.get(replicate))
                rows = [row for row in rows if row[0] <= attempt.start_epoch]
                rows += [
                    (
                        each.epoch,
                        {name: values[index] for name, values in each.metrics.items()},
                        each.durations_s[index],
                    )
                    for each in attempt.epochs
                    if last is None or each.epoch <= last
                ]
        return rows

    def with_ended(
        self, metrics: events.Values, replicates: Sequence[int], ended: Mapping[int, tuple[int, str]]
    ) -> events.Values:
        """The metrics of an epoch, in which a replicate that ``ended`` before keeps its last ones."""
        found = {name: list(values) for name, values in metrics.items()}
        for replicate, (epoch, _) in ended.items():
            for name, value in next((m for at, m, _ in self.epochs(replicate) if at == epoch), {}).items():
                found.setdefault(name, [None] * len(replicates))[replicates.index(replicate)] = value
        return found

    def means(self, metric: str, replicates: Iterable[int]) -> dict[int, float]:
        """A metric's mean over replicates, by epoch, up to where one of them diverged.

        A replicate that has ended keeps its last value. Epochs that another replicate has begun but not
        reached are left out.
        """
        columns = []
        for replicate in replicates:
            attempt, rows = self.last(replicate), self.epochs(replicate)
            if attempt and rows:
                column = {epoch: found.get(metric) for epoch, found, _ in rows}
                if replicate in attempt.ended_at:
                    after = range(rows[-1][0] + 1, attempt.epoch + 1)
                    column |= dict.fromkeys(after, column[rows[-1][0]])
                columns.append(column)
        gone = min((at for a in self.attempts for at in a.diverged.values()), default=None)
        found = {}
        for epoch in sorted({epoch for column in columns for epoch in column}):
            value = mean([column.get(epoch) for column in columns])
            if value is not None and (gone is None or epoch < gone):
                found[epoch] = value
        return found

    def choice(
        self, space: SearchSpace, metric: Metric | None = None, replicates: range | None = None
    ) -> float | None:
        """What it is chosen by: the mean over replicates of ``window_mean``; None while one has none.

        ``metric`` is the one that ranks unless given, ``replicates`` are all.
        """
        name, chosen = (metric or space.metric).name, replicates or self.replicates(space)
        return mean([window_mean(self.epochs(each), space, name) for each in chosen])

    @property
    def paused(self) -> bool:
        """Whether it waits at a rung of early stopping."""
        return any(attempt.end == Status.PAUSED for attempt in self.attempts)

    @property
    def promoted(self) -> set[int]:
        """The rungs beyond which it trains on."""
        return {rung for attempt in self.attempts for rung in attempt.promoted}

    @property
    def stopped_at(self) -> int | None:
        """The epoch at which the configuration was stopped, or None."""
        return max((a.epoch for a in self.attempts if a.end == Status.STOPPED), default=None)

    def lacks(self, replicate: int, epochs: int) -> bool:
        """Whether a replicate is still to be trained, to ``epochs`` or to where its configuration stopped."""
        attempt = self.last(replicate)
        if attempt is None:
            return True
        if attempt.end == Status.FINISHED:
            settled = attempt.diverged.keys() | attempt.converged
            more = attempt.target < (self.stopped_at or epochs) and not settled.issuperset(attempt.replicates)
            return more and replicate not in attempt.diverged
        # A diverged replicate stays in the trial, frozen, while others of the trial are trained.
        return attempt.end in (None, Status.INTERRUPTED) and len(attempt.diverged) < len(attempt.replicates)

    def failures(self, replicate: int) -> int:
        """How often the trials of a replicate have failed since the last ``tune-app retry``."""
        return sum(
            bool(a.reason) and a.end != Status.STOPPED and not a.excused
            for a in self.attempts
            if replicate in a.replicates
        )

    def looks(self, replicate: int) -> int:
        """How often a replicate was evaluated on the test set."""
        attempts = (a for a in self.attempts if replicate in a.replicates and replicate not in a.diverged)
        return sum(a.look > 0 for a in attempts)


class Revival(NamedTuple):
    """Configurations to be trained to the end after all, and their trials whose checkpoints are not there."""

    configurations: Sequence[Configuration] = ()
    lost: Collection[str] = ()


#: No configuration is revived.
UNREVIVED = Revival()


def _usable(metrics: events.Values) -> events.Values:
    """Metrics with None for values that cannot be averaged; earlier versions recorded such values."""
    return {name: [value if usable(value) else None for value in values] for name, values in metrics.items()}
