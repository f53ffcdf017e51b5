"""A record's events folded, in order, into configurations, attempts and decisions.

The driver folds each event as it writes it, and a reader folds the file: both get the same history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from tune_app.space import Metric
from tune_app.stats.units import shares_out_of_range
from tune_app.status import PRECEDENCE, Status
from tune_app.sweep.configurations import PATIENCE, Attempt, Configuration
from tune_app.sweep.evaluation import rank_key, usable
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
    Started,
    Stopped,
    Undone,
    Values,
)


@dataclass(frozen=True)
class BeforeExtension:
    """The state before an extension: number of configurations, checkpoints, converged replicates.

    ``attempts`` maps a trial to its checkpoint and its converged replicates.
    """

    configurations: int
    attempts: Mapping[str, tuple[Saved | None, set[int]]]
    stopping_inputs: list[tuple[Attempt, Epoch] | Attempt | Decision]


class History:
    """The events of a record, folded in order."""

    def __init__(self) -> None:
        self.header: Created | None = None
        self.configurations: dict[int, Configuration] = {}
        self.attempts: dict[str, Attempt] = {}
        self.decisions: list[Decision] = []
        #: The input of early stopping, in the order of the record: epochs, decisions, and attempts that
        #: ended early without a decision. An extension that restarts every trial clears it.
        self.stopping_inputs: list[tuple[Attempt, Epoch] | Attempt | Decision] = []
        self.openings: list[Opened] = []
        #: The extensions that are in force, each with the space after it as YAML.
        self.extensions: list[Extended] = []
        #: The state before each of them.
        self.before_extensions: list[BeforeExtension] = []
        self.reruns: list[Rerun] = []
        #: Metrics that are named like a share, but have a value outside of 0 to 1.
        self.shares_out_of_range: frozenset[str] = frozenset()

    def apply(self, event: Event) -> None:
        """Apply one event, which `tune_app.sweep.event_checks` has found valid."""
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
        """The event that opened the newest session; an empty event before the first."""
        return self.openings[-1] if self.openings else Opened()

    def next_trial(self, sample: int) -> str:
        """The name of the next trial of a sample: ``12.1``, then ``12.2``, ..."""
        return f"{sample}.{self.configurations[sample].begun + 1}"

    def status(self, configuration: Configuration, replicates: range, live: bool) -> Status:
        """The status of a configuration: see `tune_app.status.PRECEDENCE`."""
        if configuration.duplicate_of is not None:
            return self.status(self.configurations[configuration.duplicate_of], replicates, live)
        states = set()
        for replicate in replicates:
            attempt = configuration.last(replicate)
            states.add(attempt.status(replicate, live) if attempt else Status.PLANNED)
        return next(status for status in PRECEDENCE if status in states)

    def ranked(
        self, metric: Metric, evaluate: str, replicates: range, live: bool = False
    ) -> list[tuple[Configuration, float]]:
        """The finished configurations with their means, best first; equal means in the order of samples.

        A duplicate has the mean of the configuration that it repeats, and follows it.
        """
        found = []
        for configuration in self.configurations.values():
            if self.status(configuration, replicates, live) == Status.FINISHED:
                trained = self.configurations[configuration.duplicate_of or configuration.sample]
                value = trained.value(metric, evaluate, replicates)
                if value is not None:
                    found.append((configuration, value))
        return sorted(found, key=lambda each: rank_key(metric, each[1], each[0].sample))

    @property
    def wanted(self) -> str:
        """The newest space, as YAML."""
        return self.extensions[-1].space if self.extensions else self.header.yaml if self.header else ""

    def _on_session(self, event: Created | Opened | Extended | Undone | Retried | Rerun) -> None:
        match event:
            case Created():
                self.header = event
            case Opened():
                self.openings.append(event)
                for attempt in self.attempts.values():
                    attempt.end = attempt.end or Status.INTERRUPTED
            case Extended():
                self._on_extended(event)
            case Undone():
                self._on_undone(event)
            case Retried():
                for sample in event.samples:
                    for attempt in self.configurations[sample].attempts:
                        attempt.excused = True
                        attempt.end = Status.INTERRUPTED if attempt.end == Status.FAILED else attempt.end
            case Rerun():
                self.reruns.append(event)

    def _on_extended(self, event: Extended) -> None:
        self.extensions.append(event)
        kept = {a.trial: (a.saved, set(a.converged)) for a in self.attempts.values()}
        self.before_extensions.append(
            BeforeExtension(len(self.configurations), kept, list(self.stopping_inputs))
        )
        if event.from_start:
            self.stopping_inputs.clear()
            for attempt in self.attempts.values():
                attempt.saved = None
                attempt.converged.clear()  # another schedule may converge later

    def _on_undone(self, event: Undone) -> None:
        extension, before = self.extensions.pop(), self.before_extensions.pop()
        for trial in event.trials:
            attempt = self.attempts.pop(trial)
            self.configurations[attempt.sample].attempts.remove(attempt)
        for sample in list(self.configurations)[event.keeps :]:
            del self.configurations[sample]
        if extension.from_start and self.attempts.keys() <= before.attempts.keys():
            self.stopping_inputs = before.stopping_inputs
            for attempt in self.attempts.values():
                attempt.saved, attempt.converged = before.attempts[attempt.trial]
        if event.space != self.wanted:  # a part of the extension was trained, and stays
            self.extensions.append(replace(extension, space=event.space))
            self.before_extensions.append(before)

    def _on_planned(self, event: Planned) -> None:
        self.configurations[event.sample] = Configuration(
            event.sample, event.fingerprint, event.config, event.duplicate_of, event.asked, event.t
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
        self.shares_out_of_range = self.shares_out_of_range | shares_out_of_range(event.metrics)
        if not all(usable(value) for values in event.metrics.values() for value in values):
            event = replace(event, metrics=_usable(event.metrics))
        attempt.epochs.append(event)
        if not attempt.follows:
            self.stopping_inputs.append((attempt, event))

    def _on_decision(self, event: Decision, attempt: Attempt) -> None:
        self.decisions.append(event)
        self.stopping_inputs.append(event)
        if event.stop:  # the decision itself ends the trial: a crash could lose a second event
            attempt.end = Status.STOPPED
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
                attempt.end, attempt.reason = Status.STOPPED, event.reason
                attempt.saved = event.saved or attempt.saved
            case Failed():
                attempt.end = Status.FAILED if event.final else Status.INTERRUPTED
                attempt.reason, attempt.log = event.reason, event.log
                attempt.excused = event.moved

    def _on_finished(self, event: Finished, attempt: Attempt) -> None:
        attempt.end = Status.FINISHED
        if attempt.ended_early:
            self.stopping_inputs.append(attempt)
        attempt.test = _usable(event.test)
        self.shares_out_of_range = self.shares_out_of_range | shares_out_of_range(attempt.test)
        attempt.evaluated = event.evaluated
        attempt.scores = event.scores
        attempt.look = event.look
        attempt.weights = event.weights
        attempt.saved = event.saved or attempt.saved


def _usable(metrics: Values) -> Values:
    """Metrics with None for values that cannot be averaged; earlier versions recorded such values."""
    return {name: [value if usable(value) else None for value in values] for name, values in metrics.items()}
