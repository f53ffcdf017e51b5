"""What a record says: its events folded into configurations, attempts and decisions.

The driver folds each event as it writes it, a reader folds the file: both see the same history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tune_app.record import Event
from tune_app.space import Scalar

Config = Mapping[str, Scalar]

#: A metric's values of one epoch, one a replicate; None where a replicate has none.
Values = dict[str, list[float | None]]


@dataclass
class Epoch:
    """Metrics of one epoch: each a list with one value a replicate, and each replicate's seconds."""

    epoch: int
    metrics: Values
    durations_s: list[float]


@dataclass
class Attempt:
    """One trial as it was run: some replicates of a configuration, on one device, from some epoch."""

    trial: str
    sample: int
    replicates: tuple[int, ...]
    start_epoch: int
    target: int
    started_at: float
    device: str = ""
    node: str = ""
    epochs: list[Epoch] = field(default_factory=list)
    diverged: dict[int, int] = field(default_factory=dict)
    end: str | None = None
    reason: str = ""
    log: str = ""
    test: Values = field(default_factory=dict)
    evaluated: list[int] = field(default_factory=list)
    scores: Event | None = None

    @property
    def epoch(self) -> int:
        """The last epoch that is recorded."""
        return self.epochs[-1].epoch if self.epochs else self.start_epoch

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
    attempts: list[Attempt] = field(default_factory=list)

    def last(self, replicate: int) -> Attempt | None:
        """The newest attempt that trained this replicate."""
        return next((a for a in reversed(self.attempts) if replicate in a.replicates), None)

    def epochs(self, replicate: int) -> list[tuple[int, dict[str, float | None], float]]:
        """Epoch, metrics and seconds of a replicate; what a later attempt did again replaces the earlier."""
        rows: list[tuple[int, dict[str, float | None], float]] = []
        for attempt in self.attempts:
            if replicate in attempt.replicates:
                index = attempt.replicates.index(replicate)
                last = attempt.diverged.get(replicate)
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

    def ended(self) -> set[int]:
        """Replicates that are not to be trained again: finished, stopped, diverged or failed."""
        replicates = {r for attempt in self.attempts for r in attempt.replicates}
        ended = set()
        for replicate in replicates:
            attempt = self.last(replicate)
            if attempt and attempt.status(replicate, live=False) != "interrupted":
                ended.add(replicate)
        return ended


#: When the replicates of a configuration differ, the row shows the first of these that occurs.
PRECEDENCE = ("running", "failed", "interrupted", "diverged", "planned", "stopped", "finished")


@dataclass(frozen=True)
class Judgement:
    """A decision of the early stopping, as it was recorded."""

    trial: str
    sample: int
    epoch: int
    rung: float
    value: float | None
    threshold: float | None
    stop: bool
    rule: str = "asha"
    bracket: int | None = None


class History:
    """The events of a record, folded in order."""

    def __init__(self) -> None:
        self.configurations: dict[int, Configuration] = {}
        self.attempts: dict[str, Attempt] = {}
        self.decisions: list[Judgement] = []
        #: Every recorded epoch, in the order of the record, with the attempt that it belongs to.
        self.reports: list[tuple[Attempt, Epoch]] = []
        self.openings: list[Event] = []

    def apply(self, event: Event) -> None:
        """Take in one event; kinds that this version does not know are left alone."""
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler:
            handler(event)

    def next_trial(self, sample: int) -> str:
        """A name for the next attempt at a sample: ``12.1``, then ``12.2``, ..."""
        return f"{sample}.{len(self.configurations[sample].attempts) + 1}"

    def status(self, configuration: Configuration, seeds: int, live: bool) -> str:
        """How a configuration stands, over its replicates."""
        if configuration.twin is not None:
            return self.status(self.configurations[configuration.twin], seeds, live)
        states = set()
        for replicate in range(seeds):
            attempt = configuration.last(replicate)
            states.add(attempt.status(replicate, live) if attempt else "planned")
        return next(status for status in PRECEDENCE if status in states)

    def _on_opened(self, event: Event) -> None:
        self.openings.append(event)
        for attempt in self.attempts.values():
            attempt.end = attempt.end or "interrupted"

    def _on_planned(self, event: Event) -> None:
        self.configurations[event["sample"]] = Configuration(
            event["sample"], event["fingerprint"], event["config"], event["twin"]
        )

    def _on_started(self, event: Event) -> None:
        attempt = Attempt(
            event["trial"],
            event["sample"],
            tuple(event["replicates"]),
            event["epoch"],
            event["target"],
            event["t"],
            node=event["node"],
        )
        self.attempts[attempt.trial] = attempt
        self.configurations[attempt.sample].attempts.append(attempt)

    def _on_epoch(self, event: Event) -> None:
        attempt = self.attempts[event["trial"]]
        attempt.device = event.get("device", attempt.device)
        attempt.epochs.append(Epoch(event["epoch"], event["metrics"], event["durations_s"]))
        self.reports.append((attempt, attempt.epochs[-1]))

    def _on_decision(self, event: Event) -> None:
        fields = ("trial", "sample", "epoch", "rung", "value", "threshold", "stop")
        judgement = Judgement(
            **{name: event[name] for name in fields},
            rule=event.get("rule", "asha"),
            bracket=event.get("bracket"),
        )
        self.decisions.append(judgement)
        if judgement.stop:  # the decision is the end: no second event that a crash could lose
            attempt = self.attempts[judgement.trial]
            attempt.end = "stopped"
            attempt.reason = f"early stopping at epoch {judgement.epoch}"

    def _on_diverged(self, event: Event) -> None:
        for replicate in event["replicates"]:
            self.attempts[event["trial"]].diverged[replicate] = event["epoch"]

    def _on_finished(self, event: Event) -> None:
        attempt = self.attempts[event["trial"]]
        attempt.end = "finished"
        attempt.test = event["test"]
        attempt.evaluated = event["evaluated"]
        attempt.scores = event["scores"]

    def _on_stopped(self, event: Event) -> None:
        attempt = self.attempts[event["trial"]]
        attempt.end, attempt.reason = "stopped", event["reason"]

    def _on_failed(self, event: Event) -> None:
        attempt = self.attempts[event["trial"]]
        attempt.end, attempt.reason, attempt.log = "failed", event["reason"], event["log"]
