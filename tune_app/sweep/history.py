"""A record's events folded, in order, into configurations, attempts and decisions.

The driver folds each event as it writes it, and a reader folds the file: both get the same history. An event
is checked first against those before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from tune_app.space import Metric, SearchSpace
from tune_app.stats.units import shares_out_of_range
from tune_app.status import Status
from tune_app.sweep import events
from tune_app.sweep.configurations import Attempt, Configuration, rank_key
from tune_app.sweep.record import START, Position, damage_error
from tune_app.text import counted

#: How many replicates batches may add to a configuration: a record may come from a stranger.
MOST_ADDED = 10_000


@dataclass(frozen=True)
class BeforeExtension:
    """The state before an extension.

    ``attempts`` has each trial's checkpoint and converged replicates, ``added`` the number of replicates that
    each configuration has beyond those of the space, by sample.
    """

    configurations: int
    attempts: Mapping[str, tuple[events.Saved | None, set[int]]]
    stopping_inputs: list[tuple[Attempt, events.Epoch] | Attempt | events.Decision]
    added: Mapping[int, int]
    settlings: int


@dataclass
class Settling:
    """Batches of seeds that ``tune-app settle`` has added, and how it ended: None while it goes on."""

    batches: list[events.Batch]
    ended: events.Settled | None = None

    @property
    def spent(self) -> int:
        """How many replicates it has added."""
        return sum(sum(batch.seeds) for batch in self.batches)

    @property
    def line(self) -> str:
        """How far it is: ``settling, batch 2: 3 configurations left, 30 of 60 seeds``."""
        batch, number = self.batches[-1], len(self.batches)
        left = counted(len(batch.samples), "configuration")
        return f"settling, batch {number}: {left} left, {self.spent:,} of {batch.budget:,} seeds"


class History:
    """The events of a record, folded in order."""

    def __init__(self) -> None:
        self.header: events.Created | None = None
        self.configurations: dict[int, Configuration] = {}
        self.attempts: dict[str, Attempt] = {}
        self.decisions: list[events.Decision] = []
        #: The input of early stopping, in the order of the record: epochs, decisions, and attempts that
        #: ended early without a decision. An extension that restarts every trial clears it.
        self.stopping_inputs: list[tuple[Attempt, events.Epoch] | Attempt | events.Decision] = []
        self.openings: list[events.Opened] = []
        #: The extensions that are in force, each with the space after it as YAML; the state before each.
        self.extensions: list[events.Extended] = []
        self.before_extensions: list[BeforeExtension] = []
        self.settlings: list[Settling] = []
        #: When people were shown the test figures of all configurations.
        self.test_openings: list[events.TestOpened] = []
        #: Metrics that are named like a share, but have a value outside of 0 to 1.
        self.shares_out_of_range: frozenset[str] = frozenset()

    @property
    def session(self) -> events.Opened:
        """The event that opened the newest session; an empty event before the first."""
        return self.openings[-1] if self.openings else events.Opened()

    @property
    def settling(self) -> Settling | None:
        """The settling that goes on."""
        return self.settlings[-1] if self.settlings and not self.settlings[-1].ended else None

    @property
    def wanted(self) -> str:
        """The newest space, as YAML; ``space.yaml`` is a copy for people."""
        return self.extensions[-1].space if self.extensions else self.header.yaml if self.header else ""

    def next_trial(self, sample: int) -> str:
        """The name of the next trial of a sample: ``12.1``, then ``12.2``, ..."""
        return f"{sample}.{self.configurations[sample].begun + 1}"

    def status(self, configuration: Configuration, replicates: range, live: bool) -> Status:
        """The status of a configuration: the first of those of its replicates, in the order of `Status`."""
        if configuration.duplicate_of is not None:
            return self.status(self.configurations[configuration.duplicate_of], replicates, live)
        attempts = ((configuration.last(replicate), replicate) for replicate in replicates)
        states = {each.status(r, live) if each else Status.PLANNED for each, r in attempts}
        return next(status for status in Status if status in states)

    def counted(self, configuration: Configuration, space: SearchSpace) -> range:
        """The replicates behind its results: those of a batch count once the whole batch is trained."""
        replicates = configuration.replicates(space)
        if not configuration.pending or self.batch_is_trained(space):
            return replicates
        return replicates[: -configuration.pending]

    def batch_is_trained(self, space: SearchSpace) -> bool:
        """Whether all replicates of the open batch have ended, none with a failure; True without one."""
        for each in self.configurations.values():
            if each.pending and each.duplicate_of is None:
                replicates = each.replicates(space)
                failed = self.status(each, replicates, live=False) == Status.FAILED
                if failed or any(each.lacks(replicate, space.epochs) for replicate in replicates):
                    return False
        return True

    def ranked(self, space: SearchSpace) -> list[tuple[Configuration, float]]:
        """The finished configurations with what they are chosen by, best first; equal ones by their samples.

        A duplicate has the value of the configuration that it repeats, and follows it.
        """
        found = []
        for configuration in self.configurations.values():
            replicates = self.counted(configuration, space)
            if self.status(configuration, replicates, live=False) == Status.FINISHED:
                trained = self.configurations[configuration.duplicate_of or configuration.sample]
                value = trained.choice(space, replicates=replicates)
                if value is not None:
                    found.append((configuration, value))
        return sorted(found, key=lambda each: self.place(space.metric, each[1], each[0]))

    def place(self, metric: Metric, value: float, configuration: Configuration) -> tuple[bool, float, int]:
        """A sort key for best first. Those that settling has left behind come after all others.

        Few of their seeds may have a higher mean by chance than all seeds of those that it went on with.
        """
        left = self.left_behind(configuration)
        return left, *rank_key(metric, value, configuration.sample)

    def left_behind(self, configuration: Configuration) -> bool:
        """Whether a settling that compared it went on without it."""
        original = configuration.duplicate_of or configuration.sample
        batches = [settling.batches[-1] for settling in self.settlings if settling.batches]
        return any(original in batch.among and original not in batch.samples for batch in batches)

    def fold(
        self, found: Iterable[tuple[Position, events.Event]], label: str, at: Position = START
    ) -> Position:
        """Check and apply events as `record.read` yields them from ``at`` on; returns where they end.

        A RunError names ``label`` and the byte of an event that cannot follow those before it.
        """
        for after, event in found:
            try:
                self.check(event)
            except events.EventError as error:
                raise damage_error(label, at, str(error)) from error
            self.apply(event)
            at = after
        return at

    def apply(self, event: events.Event) -> None:
        """Apply one event that ``check`` has found valid."""
        match event:
            case events.Started():
                attempt = Attempt.of(event, session=len(self.openings) - 1)
                self.attempts[attempt.trial] = attempt
                self.configurations[attempt.sample].attempts.append(attempt)
                self.configurations[attempt.sample].begun += 1
            case events.OfTrial():
                self._on_trial(event, self.attempts[event.trial])
            case events.Planned():
                self.configurations[event.sample] = planned = Configuration(
                    event.sample, event.fingerprint, event.config, event.duplicate_of, event.asked, event.t
                )
                if event.duplicate_of is not None:
                    planned.added = self.configurations[event.duplicate_of].added
            case events.Created():
                self.header = event
            case events.Opened():
                self.openings.append(event)
                for attempt in self.attempts.values():
                    attempt.end = attempt.end or Status.INTERRUPTED
            case events.Extended():
                self._on_extended(event)
            case events.Undone():
                self._on_undone(event)
            case events.Batch():
                self._on_batch(event)
            case events.Settled():
                self._on_settled(event)
            case events.TestOpened():
                self.test_openings.append(event)
            case events.Retried():
                for sample in event.samples:
                    for attempt in self.configurations[sample].attempts:
                        attempt.excused = True
                        attempt.end = Status.INTERRUPTED if attempt.end == Status.FAILED else attempt.end

    def _on_trial(self, event: events.OfTrial, attempt: Attempt) -> None:
        attempt.apply(event)
        match event:
            case events.Epoch():
                self.shares_out_of_range |= shares_out_of_range(event.metrics)
                if not attempt.follows:
                    self.stopping_inputs.append((attempt, attempt.epochs[-1]))
            case events.Decision():
                self.decisions.append(event)
                self.stopping_inputs.append(event)
            case events.Finished():
                self.shares_out_of_range |= shares_out_of_range(attempt.test)
                if attempt.ended_early:
                    self.stopping_inputs.append(attempt)

    def _on_extended(self, event: events.Extended) -> None:
        self.extensions.append(event)
        kept = {a.trial: (a.saved, set(a.converged)) for a in self.attempts.values()}
        added = {each.sample: each.added for each in self.configurations.values()}
        count, inputs = len(self.configurations), list(self.stopping_inputs)
        self.before_extensions.append(BeforeExtension(count, kept, inputs, added, len(self.settlings)))
        self._absorb(added, event.absorbs)
        for sample in event.revives:
            self.configurations[sample].revive(event.lost)
        if event.from_start:
            self.stopping_inputs.clear()
            for attempt in self.attempts.values():
                attempt.saved = None
                attempt.converged.clear()  # another schedule may converge later

    def _on_undone(self, event: events.Undone) -> None:
        extension, before = self.extensions.pop(), self.before_extensions.pop()
        for trial in event.trials:
            attempt = self.attempts.pop(trial)
            self.configurations[attempt.sample].attempts.remove(attempt)
        for sample in list(self.configurations)[event.keeps :]:
            del self.configurations[sample]
        for sample in event.rests:
            self.configurations[sample].rest()
        if extension.from_start and self.attempts.keys() <= before.attempts.keys():
            self.stopping_inputs = before.stopping_inputs
            for attempt in self.attempts.values():
                attempt.saved, attempt.converged = before.attempts[attempt.trial]
        self._absorb(before.added, event.absorbs)
        if event.space != self.wanted:  # a part of the extension was trained, and stays
            left = [sample for sample in extension.revives if sample not in event.rests]
            self.extensions.append(replace(extension, space=event.space, absorbs=event.absorbs, revives=left))
            self.before_extensions.append(before)

    def _absorb(self, added: Mapping[int, int], absorbs: int) -> None:
        for configuration in self.configurations.values():
            original = configuration.duplicate_of or configuration.sample
            configuration.added = max(0, added.get(original, 0) - absorbs)

    def _on_batch(self, event: events.Batch) -> None:
        if self.settling:
            self.settling.batches.append(event)
        else:
            self.settlings.append(Settling([event]))
        seeds = dict(zip(event.samples, event.seeds, strict=True))
        for configuration in self.configurations.values():
            original = configuration.duplicate_of or configuration.sample
            configuration.pending = seeds.get(original, 0)
            configuration.added += configuration.pending

    def _on_settled(self, event: events.Settled) -> None:
        settling, undone = self.settlings[-1], event.why == "undone"
        settling.ended = event
        if undone:
            settling.batches.pop()
        for configuration in self.configurations.values():
            configuration.added -= configuration.pending if undone else 0
            configuration.pending = 0

    def check(self, event: events.Event) -> None:
        """Raise EventError if an event cannot follow those before it."""
        for sample in (*getattr(event, "revives", ()), *getattr(event, "rests", ())):
            self._configuration(sample)
        match event:
            case events.Started():
                self._check_started(event)
            case events.OfTrial():
                _check_of_trial(event, self._attempt(event.trial))
            case events.Planned():
                number, same = len(self.configurations) + 1, event.duplicate_of
                _require(event.sample == number, f"configuration {event.sample}; the next is {number}")
                if same is not None and self._configuration(same).duplicate_of is not None:
                    raise events.EventError(
                        f"configuration {event.sample} repeats {same}, which repeats another"
                    )
            case events.Rerun():
                self._configuration(event.sample)
            case events.Retried():
                for sample in event.samples:
                    self._configuration(sample)
            case events.Batch():
                self._check_batch(event)
            case events.Settled() | events.Extended():
                expected = isinstance(event, events.Settled)
                _require(bool(self.settling) == expected, f"the run is{' not' * expected} being settled")
            case events.Undone():
                self._check_undone(event)

    def _check_started(self, event: events.Started) -> None:
        trial, epoch, configuration = event.trial, event.epoch, self._configuration(event.sample)
        same, name = configuration.duplicate_of, self.next_trial(event.sample)
        _require(same is None, f"configuration {event.sample} repeats {same}, and is not trained")
        _require(trial == name, f"a trial {trial[:20]!r} starts, and the next one is {name}")
        _require(len(set(event.replicates)) == len(event.replicates), f"trial {trial} has a replicate twice")
        _require(event.start is None or event.start.epoch == epoch, f"trial {trial} has another checkpoint")
        for last in map(configuration.last, event.replicates if epoch else ()):
            _require(
                last is not None and last.epoch >= epoch,
                f"trial {trial} starts from epoch {epoch}, which was not trained",
            )

    def _check_batch(self, event: events.Batch) -> None:
        _require(
            set(event.samples) <= set(event.among), "a batch is of configurations that were not compared"
        )
        each = len(set(event.samples)) == len(event.samples) == len(event.seeds)
        _require(each, "a batch does not have one number of seeds for each configuration")
        for sample, seeds in zip(event.samples, event.seeds, strict=True):
            configuration = self._configuration(sample)
            same, most = configuration.duplicate_of, configuration.added + seeds <= MOST_ADDED
            _require(same is None, f"configuration {sample} repeats {same}, and is not trained")
            _require(most, f"configuration {sample} gets more than {MOST_ADDED} seeds")

    def _check_undone(self, event: events.Undone) -> None:
        _require(bool(self.extensions), "there is no extension that could be undone")
        before, there = self.before_extensions[-1], len(self.configurations)
        _require(len(self.settlings) == before.settlings, "seeds were added since the extension")
        _require(before.configurations <= event.keeps <= there, f"{event.keeps} configurations stay")
        undone = [self._attempt(trial) for trial in event.trials]
        for attempt in undone:
            _require(attempt.trial not in before.attempts, f"trial {attempt.trial} is not of the extension")
        for configuration in list(self.configurations.values())[event.keeps :]:
            trained = any(attempt not in undone for attempt in configuration.attempts)
            _require(not trained, f"configuration {configuration.sample} was trained")

    def _attempt(self, trial: str) -> Attempt:
        _require(trial in self.attempts, f"no trial {trial[:20]!r} has started")
        return self.attempts[trial]

    def _configuration(self, sample: int) -> Configuration:
        _require(sample in self.configurations, f"no configuration {sample} is planned")
        return self.configurations[sample]


def _check_of_trial(event: events.OfTrial, attempt: Attempt) -> None:
    counts: dict[str, int] = {}
    metrics: events.Values = {}
    match event:
        case events.Epoch():
            _require(
                event.epoch == attempt.epoch + 1,
                f"trial {event.trial} reports epoch {event.epoch} after epoch {attempt.epoch}",
            )
            counts, metrics = {"seconds": len(event.durations_s)}, event.metrics
        case events.Finished():
            counts, metrics = {"evaluated epochs": len(event.evaluated)}, event.test
            if event.scores:
                counts["test scores"] = event.scores.shape[0] if event.scores.shape else 0
        case events.Decision() | events.Failed():
            _require(
                event.sample in (None, attempt.sample),
                f"trial {event.trial} is not of configuration {event.sample}",
            )
        case events.Paused() | events.Promoted():
            _require(event.epoch == attempt.epoch, f"trial {event.trial} is not at epoch {event.epoch}")
        case events.Diverged() | events.Ended():
            _require(
                set(event.replicates) <= set(attempt.replicates),
                f"trial {event.trial} does not train replicates {event.replicates}",
            )
            _require(
                isinstance(event, events.Diverged) or 1 <= event.epoch <= attempt.epoch,
                f"a replicate of trial {event.trial} ended after epoch {event.epoch}",
            )
    for name, count in (*counts.items(), *((name, len(values)) for name, values in metrics.items())):
        _require(
            count == len(attempt.replicates),
            f"trial {event.trial} trains {len(attempt.replicates)} replicates, and has {count} values of "
            f"{name[:40]!r}",
        )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise events.EventError(otherwise)
