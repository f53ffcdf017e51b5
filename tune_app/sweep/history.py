"""What a record says: its events folded into configurations, attempts and decisions.

The driver folds each event as it writes it, a reader folds the file: both see the same history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from tune_app.space import Config, Metric
from tune_app.stats import arithmetic
from tune_app.stats.units import beyond
from tune_app.sweep.evaluation import Row, evaluated, rank, usable
from tune_app.sweep.events import (
    Checkpoint,
    Code,
    Created,
    Decision,
    Diverged,
    Ended,
    Epoch,
    Event,
    Extended,
    Failed,
    Finished,
    Opened,
    Planned,
    Rerun,
    Retried,
    Saved,
    ScoreRows,
    Started,
    Stopped,
    Undone,
    Values,
)

#: What ended a replicate before its last epoch, as it is recorded: ``patience``, or ``task``, the code
#: itself.
PATIENCE, TASK = "patience", "task"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of a metric over replicates; None when there are none, or one has no value."""
    known = [value for value in values if value is not None]
    return arithmetic.mean(known) if known and len(known) == len(values) else None


@dataclass
class Attempt:
    """One trial as it was run: some replicates of a configuration, on one device, from some epoch."""

    trial: str
    sample: int
    replicates: tuple[int, ...]
    start_epoch: int
    target: int
    started_at: float
    #: When the last event about it was recorded, in seconds since 1970.
    last_at: float = 0.0
    device: str = ""
    node: str = ""
    epochs: list[Epoch] = field(default_factory=list)
    diverged: dict[int, int] = field(default_factory=dict)
    #: What was not finite in a replicate that diverged; older records do not say.
    why: dict[int, str] = field(default_factory=dict)
    #: The last epoch of each replicate that ended by itself before the others: its metrics stay as they were.
    ended_at: dict[int, int] = field(default_factory=dict)
    #: Those of them that patience ended. More epochs would not train them further.
    converged: set[int] = field(default_factory=set)
    end: str | None = None
    reason: str = ""
    log: str = ""
    test: Values = field(default_factory=dict)
    evaluated: list[int] = field(default_factory=list)
    scores: ScoreRows | None = None
    look: int = 0
    saved: Saved | None = None
    weights: Saved | None = None
    forgiven: bool = False
    follows: bool = False
    #: The session that it ran in: an index of ``History.openings``.
    session: int = -1
    #: Files and versions, where its process had others than its session has recorded; see `sweep.code`.
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str | None] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The last epoch that is recorded."""
        return self.epochs[-1].epoch if self.epochs else self.start_epoch

    @property
    def ended(self) -> bool:
        """Whether nothing goes on from where it is: it finished, was stopped, or all of it diverged."""
        return self.end in ("finished", "stopped") or len(self.diverged) == len(self.replicates)

    @property
    def ended_early(self) -> bool:
        """Whether it has finished before its last epoch, and early stopping goes by it."""
        return self.end == "finished" and self.epoch < self.target and not self.follows

    @property
    def complete(self) -> bool:
        """Whether more epochs would train none of its replicates: each diverged, or was ended by patience."""
        return all(r in self.diverged or r in self.converged for r in self.replicates)

    @property
    def fault(self) -> str:
        """Why it failed, or what was not finite where a replicate diverged; empty where all is well."""
        if self.end == "failed":
            return self.reason
        for replicate, epoch in self.diverged.items():
            what = self.why.get(replicate) or "a value was not finite"
            return f"{what} at epoch {epoch}, seed {replicate}"
        return ""

    def status(self, replicate: int, live: bool) -> str:
        """How this attempt stands for one of its replicates."""
        if replicate in self.diverged:
            return "diverged"
        return self.end or ("running" if live else "interrupted")


@dataclass
class Configuration:
    """A sample: one point of the space, and all attempts to train its replicates."""

    sample: int
    fingerprint: str
    config: Config
    twin: int | None = None
    asked: bool = False
    #: Seconds since 1970.
    planned_at: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    #: How many attempts have begun, those included that were undone.
    begun: int = 0

    def last(self, replicate: int) -> Attempt | None:
        """The newest attempt that trained this replicate."""
        return next((a for a in reversed(self.attempts) if replicate in a.replicates), None)

    def epochs(self, replicate: int) -> list[Row]:
        """Epoch, metrics and seconds of a replicate; what a later attempt did again replaces the earlier."""
        rows: list[Row] = []
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

    def means(self, metric: str, replicates: Iterable[int]) -> dict[int, float]:
        """A metric's mean over replicates, by epoch, up to where one of them diverged.

        A replicate that has ended keeps its last value. An epoch that another one, once begun, has not
        reached is left out.
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

    def value(
        self, metric: Metric, evaluate: str, replicates: Iterable[int], by: Metric | None = None
    ) -> float | None:
        """The mean of a metric over the replicates, each at its evaluated epoch; None while one lacks it.

        The ``best`` epoch is the first that is best by the metric ``by``, ``metric`` itself unless given.
        """
        rows = [evaluated(self.epochs(replicate), by or metric, evaluate) for replicate in replicates]
        return mean([row[1].get(metric.name) if row else None for row in rows])

    @property
    def stopped_at(self) -> int | None:
        """The epoch at which this configuration was stopped, or None."""
        return max((a.epoch for a in self.attempts if a.end == "stopped"), default=None)

    def lacks(self, replicate: int, epochs: int) -> bool:
        """Whether a replicate is still to be trained, to ``epochs`` or to where its configuration stopped."""
        attempt = self.last(replicate)
        if attempt is None:
            return True
        if attempt.end == "finished":
            more = attempt.target < (self.stopped_at or epochs) and not attempt.complete
            return more and replicate not in attempt.diverged
        # One that diverged goes along, frozen, while others of its trial are to go on.
        return attempt.end in (None, "interrupted") and len(attempt.diverged) < len(attempt.replicates)

    def failures(self, replicate: int) -> int:
        """How often this replicate's trials have failed since the last ``tune-app retry``."""
        return sum(
            bool(a.reason) and a.end != "stopped" and not a.forgiven
            for a in self.attempts
            if replicate in a.replicates
        )

    def looks(self, replicate: int) -> int:
        """How often the test set has been looked at for this replicate."""
        attempts = (a for a in self.attempts if replicate in a.replicates and replicate not in a.diverged)
        return sum(a.look > 0 for a in attempts)


#: The states in which a configuration, or a replicate, is trained no further unless somebody asks for it.
ENDED = frozenset({"finished", "stopped", "diverged", "failed"})

#: The states in which something went wrong: `Attempt.fault` says what.
FAULTY = frozenset({"diverged", "failed"})

#: When the replicates of a configuration differ, the row shows the first of these that occurs.
PRECEDENCE = ("running", "failed", "interrupted", "diverged", "planned", "stopped", "finished")


@dataclass(frozen=True)
class Before:
    """What an extension found: how many configurations, the checkpoint of each trial, and what converged."""

    configurations: int
    attempts: Mapping[str, tuple[Saved | None, set[int]]]
    course: list[tuple[Attempt, Epoch] | Attempt | Decision]


class History:
    """The events of a record, folded in order."""

    def __init__(self) -> None:
        self.header: Created | None = None
        self.configurations: dict[int, Configuration] = {}
        self.attempts: dict[str, Attempt] = {}
        self.decisions: list[Decision] = []
        #: What early stopping goes by, in the order of the record: epochs, the decisions on them, and
        #: attempts
        #: that ended by themselves before their last epoch. An extension that trains everything from the
        #: start begins a new course.
        self.course: list[tuple[Attempt, Epoch] | Attempt | Decision] = []
        self.openings: list[Opened] = []
        #: The space as it stands after each extension, as YAML, with what was asked.
        self.extensions: list[Extended] = []
        #: What each extension found.
        self.before: list[Before] = []
        self.reruns: list[Rerun] = []
        #: Metrics that are shares by their names, but have a value outside of 0 to 1.
        self.beyond: frozenset[str] = frozenset()

    def apply(self, event: Event) -> None:
        """Take in one event, which can follow those before it: see `tune_app.sweep.coherence`."""
        match event:
            case Epoch():
                self._on_epoch(event, attempt := self.attempts[event.trial])
            case Decision():
                self._on_decision(event, attempt := self.attempts[event.trial])
            case Started():
                attempt = self._on_started(event)
            case Planned():
                self._on_planned(event)
                return
            case Opened() | Extended() | Undone() | Retried() | Created() | Rerun():
                self._on_session(event)
                return
            case _:
                self._on_trial(event, attempt := self.attempts[event.trial])
        attempt.last_at = event.t

    @property
    def session(self) -> Opened:
        """How the newest session began; an empty event before the first."""
        return self.openings[-1] if self.openings else Opened()

    def next_trial(self, sample: int) -> str:
        """A name for the next attempt at a sample: ``12.1``, then ``12.2``, ..."""
        return f"{sample}.{self.configurations[sample].begun + 1}"

    def status(self, configuration: Configuration, replicates: range, live: bool) -> str:
        """How a configuration stands, over its replicates."""
        if configuration.twin is not None:
            return self.status(self.configurations[configuration.twin], replicates, live)
        states = set()
        for replicate in replicates:
            attempt = configuration.last(replicate)
            states.add(attempt.status(replicate, live) if attempt else "planned")
        return next(status for status in PRECEDENCE if status in states)

    def ranked(
        self, metric: Metric, evaluate: str, replicates: range, live: bool = False
    ) -> list[tuple[Configuration, float]]:
        """The finished configurations with their means, the best first: the lowest sample of equal ones.

        A point that was drawn again stands beside the first, as it has the same mean.
        """
        found = []
        for configuration in self.configurations.values():
            if self.status(configuration, replicates, live) == "finished":
                trained = self.configurations[configuration.twin or configuration.sample]
                value = trained.value(metric, evaluate, replicates)
                if value is not None:
                    found.append((configuration, value))
        return sorted(found, key=lambda each: rank(metric, each[1], each[0].sample))

    @property
    def wanted(self) -> str:
        """The space that is wanted now, as YAML."""
        return self.extensions[-1].space if self.extensions else self.header.yaml if self.header else ""

    def _on_session(self, event: Created | Opened | Extended | Undone | Retried | Rerun) -> None:
        match event:
            case Created():
                self.header = event
            case Opened():
                self.openings.append(event)
                for attempt in self.attempts.values():
                    attempt.end = attempt.end or "interrupted"
            case Extended():
                self._on_extended(event)
            case Undone():
                self._on_undone(event)
            case Retried():
                for sample in event.samples:
                    for attempt in self.configurations[sample].attempts:
                        attempt.forgiven = True
                        attempt.end = "interrupted" if attempt.end == "failed" else attempt.end
            case Rerun():
                self.reruns.append(event)

    def _on_extended(self, event: Extended) -> None:
        self.extensions.append(event)
        kept = {a.trial: (a.saved, set(a.converged)) for a in self.attempts.values()}
        self.before.append(Before(len(self.configurations), kept, list(self.course)))
        if event.from_start:
            self.course.clear()
            for attempt in self.attempts.values():
                attempt.saved = None
                attempt.converged.clear()  # another schedule may converge later

    def _on_undone(self, event: Undone) -> None:
        extension, before = self.extensions.pop(), self.before.pop()
        for trial in event.trials:
            attempt = self.attempts.pop(trial)
            self.configurations[attempt.sample].attempts.remove(attempt)
        for sample in list(self.configurations)[event.keeps :]:
            del self.configurations[sample]
        if extension.from_start and self.attempts.keys() <= before.attempts.keys():
            self.course = before.course
            for attempt in self.attempts.values():
                attempt.saved, attempt.converged = before.attempts[attempt.trial]
        if event.space != self.wanted:  # a part of it was trained, and stays
            self.extensions.append(replace(extension, space=event.space))
            self.before.append(before)

    def _on_planned(self, event: Planned) -> None:
        self.configurations[event.sample] = Configuration(
            event.sample, event.fingerprint, event.config, event.twin, event.asked, event.t
        )

    def _on_started(self, event: Started) -> Attempt:
        attempt = Attempt(
            event.trial,
            event.sample,
            tuple(event.replicates),
            event.epoch,
            event.target,
            event.t,
            node=event.node,
            saved=event.start,
            follows=bool(event.follows),
            session=len(self.openings) - 1,
        )
        self.attempts[attempt.trial] = attempt
        self.configurations[attempt.sample].attempts.append(attempt)
        self.configurations[attempt.sample].begun += 1
        return attempt

    def _on_epoch(self, event: Epoch, attempt: Attempt) -> None:
        attempt.device = event.device or attempt.device
        self.beyond = self.beyond | beyond(event.metrics)
        if not all(usable(value) for values in event.metrics.values() for value in values):
            event = replace(event, metrics=_usable(event.metrics))
        attempt.epochs.append(event)
        if not attempt.follows:
            self.course.append((attempt, event))

    def _on_decision(self, event: Decision, attempt: Attempt) -> None:
        self.decisions.append(event)
        self.course.append(event)
        if event.stop:  # the decision is the end: no second event that a crash could lose
            attempt.end = "stopped"
            attempt.reason = f"early stopping at epoch {event.epoch}"
            attempt.saved = event.saved or attempt.saved

    def _on_trial(
        self, event: Code | Checkpoint | Diverged | Ended | Finished | Stopped | Failed, attempt: Attempt
    ) -> None:
        match event:
            case Code():
                attempt.files |= event.files
                attempt.versions |= event.versions
            case Checkpoint():
                attempt.saved = event.saved
            case Diverged():
                attempt.diverged |= dict.fromkeys(event.replicates, event.epoch)
                attempt.why |= dict.fromkeys(event.replicates, event.why or "")
            case Ended():
                attempt.ended_at |= dict.fromkeys(event.replicates, event.epoch)
                if event.by == PATIENCE:
                    attempt.converged.update(event.replicates)
            case Finished():
                self._on_finished(event, attempt)
            case Stopped():
                attempt.end, attempt.reason = "stopped", event.reason
                attempt.saved = event.saved or attempt.saved
            case Failed():
                attempt.end = "failed" if event.final else "interrupted"
                attempt.reason, attempt.log = event.reason, event.log
                attempt.forgiven = event.moved

    def _on_finished(self, event: Finished, attempt: Attempt) -> None:
        attempt.end = "finished"
        if attempt.ended_early:
            self.course.append(attempt)
        attempt.test = _usable(event.test)
        self.beyond = self.beyond | beyond(attempt.test)
        attempt.evaluated = event.evaluated
        attempt.scores = event.scores
        attempt.look = event.look
        attempt.weights = event.weights
        attempt.saved = event.saved or attempt.saved


def _usable(metrics: Values) -> Values:
    """Metrics without values that no mean can be drawn over; an earlier version recorded such."""
    return {name: [value if usable(value) else None for value in values] for name, values in metrics.items()}
