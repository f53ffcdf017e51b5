"""Checks that an event can follow the events before it: before it is recorded, and when a record is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from tune_app.sweep import record
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.events import (
    Checkpoint,
    Code,
    Created,
    Decision,
    Diverged,
    Ended,
    Epoch,
    Event,
    EventError,
    Extended,
    Failed,
    Finished,
    Opened,
    Planned,
    Rerun,
    Retried,
    Started,
    Stopped,
    Undone,
)
from tune_app.sweep.history import History
from tune_app.sweep.record import START, Position


def fold(
    found: Iterable[tuple[Position, Event]], label: str, history: History, at: Position = START
) -> Position:
    """Check the events of a record and apply them to a history; returns the position after the last.

    Args:
        found: as `record.read` yields them from ``at`` on.
        label: the record's name in errors.
        history: the history of the events before ``at``.

    Raises:
        RunError: an event cannot follow those before it; names the byte.
    """
    for after, event in found:
        try:
            check(event, history)
        except EventError as error:
            raise record.damage_error(label, at, str(error)) from error
        history.apply(event)
        at = after
    return at


def check(event: Event, history: History) -> None:
    """Raise EventError if an event cannot follow the events in the history."""
    match event:
        case Epoch():
            _check_epoch(event, _attempt(event.trial, history))
        case Planned():
            _check_planned(event, history)
        case Started():
            _check_started(event, history)
        case Decision() | Failed():
            attempt = _attempt(event.trial, history)
            if event.sample not in (None, attempt.sample):
                raise EventError(f"trial {event.trial} is not of configuration {event.sample}")
        case Diverged() | Ended():
            attempt = _attempt(event.trial, history)
            if not set(event.replicates) <= set(attempt.replicates):
                raise EventError(f"trial {event.trial} does not train replicates {event.replicates}")
            if isinstance(event, Ended) and not 1 <= event.epoch <= attempt.epoch:
                raise EventError(f"a replicate of trial {event.trial} ended after epoch {event.epoch}")
        case Finished():
            attempt = _attempt(event.trial, history)
            _check_length(attempt, "evaluated epochs", len(event.evaluated))
            for name, values in event.test.items():
                _check_length(attempt, name, len(values))
            if event.scores is not None:
                _check_length(attempt, "test scores", *event.scores.shape[:1])
        case Code() | Checkpoint() | Stopped():
            _attempt(event.trial, history)
        case Rerun():
            _configuration(event.sample, history)
        case Retried():
            for sample in event.samples:
                _configuration(sample, history)
        case Undone():
            _check_undone(event, history)
        case Created() | Opened() | Extended():
            pass
        case other:
            assert_never(other)


def _check_undone(event: Undone, history: History) -> None:
    if not history.extensions:
        raise EventError("there is no extension that could be undone")
    before, there = history.before_extensions[-1], len(history.configurations)
    if not before.configurations <= event.keeps <= there:
        raise EventError(f"{event.keeps} configurations stay, and not {before.configurations} to {there}")
    undone = [_attempt(trial, history) for trial in event.trials]
    for attempt in undone:
        if attempt.trial in before.attempts:
            raise EventError(f"trial {attempt.trial} is older than the extension that is undone")
    for configuration in list(history.configurations.values())[event.keeps :]:
        if any(attempt not in undone for attempt in configuration.attempts):
            raise EventError(f"configuration {configuration.sample} was trained")


def _attempt(trial: str, history: History) -> Attempt:
    if attempt := history.attempts.get(trial):
        return attempt
    raise EventError(f"no trial {trial[:20]!r} has started")


def _configuration(sample: int, history: History) -> Configuration:
    if configuration := history.configurations.get(sample):
        return configuration
    raise EventError(f"no configuration {sample} is planned")


def _check_length(attempt: Attempt, what: str, count: int = 0) -> None:
    if count != len(attempt.replicates):
        raise EventError(
            f"trial {attempt.trial} trains {len(attempt.replicates)} replicates, and there are {count} "
            f"values of {what[:40]!r}"
        )


def _check_epoch(event: Epoch, attempt: Attempt) -> None:
    if event.epoch != attempt.epoch + 1:
        raise EventError(f"trial {event.trial} reports epoch {event.epoch} after epoch {attempt.epoch}")
    _check_length(attempt, "seconds", len(event.durations_s))
    for name, values in event.metrics.items():
        _check_length(attempt, name, len(values))


def _check_planned(event: Planned, history: History) -> None:
    if event.sample != (number := len(history.configurations) + 1):
        raise EventError(f"configuration {event.sample} is planned, and the next one is {number}")
    if (
        event.duplicate_of is not None
        and _configuration(event.duplicate_of, history).duplicate_of is not None
    ):
        raise EventError(f"configuration {event.sample} repeats {event.duplicate_of}, which repeats another")


def _check_started(event: Started, history: History) -> None:
    configuration = _configuration(event.sample, history)
    if configuration.duplicate_of is not None:
        raise EventError(
            f"configuration {event.sample} repeats {configuration.duplicate_of}, and is not trained"
        )
    if event.trial != (name := history.next_trial(event.sample)):
        raise EventError(f"a trial {event.trial[:20]!r} starts, and the next one is {name}")
    if len(set(event.replicates)) < len(event.replicates):
        raise EventError(f"trial {event.trial} trains a replicate twice: {event.replicates}")
    if event.start and event.start.epoch != event.epoch:
        raise EventError(f"trial {event.trial} starts from epoch {event.epoch}, not {event.start.epoch}")
    for replicate in event.replicates if event.epoch else ():
        before = configuration.last(replicate)
        if before is None or before.epoch < event.epoch:
            raise EventError(f"trial {event.trial} starts from epoch {event.epoch}, which was not trained")
