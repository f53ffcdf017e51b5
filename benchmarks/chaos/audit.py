"""Checks that each recorded decision follows from the events before it."""

from __future__ import annotations

from collections.abc import Iterable

from tune_app.space import SearchSpace, parse
from tune_app.status import Status
from tune_app.stopping.pausing import Rungs
from tune_app.stopping.rules import StoppingDecision
from tune_app.stopping.stopper import make_stopper, observation, replay_inputs
from tune_app.sweep.events import (
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
    Paused,
    Promoted,
    Stopped,
    Undone,
)
from tune_app.sweep.history import History


def recompute(events: Iterable[Event], space: SearchSpace) -> list[str]:
    """Compute each recorded decision again from the events before it; returns a sentence per difference.

    Also reported: a decision that should have been recorded before the next event, and events of a trial
    after the decision to stop it. A decision that the end of a session kept out of the record is expected
    when the trial reports that epoch again.

    Args:
        events: the events of a record, or the first ones.
        space: the space before the first extension, unless the first event has it.
    """
    audit = _Audit(space)
    for event in events:
        audit.take(event)
    return audit.faults


class _Audit:
    """Reads a record and applies the rules of its space."""

    def __init__(self, space: SearchSpace) -> None:
        self.faults: list[str] = []
        self._history = History()
        self._want(space)
        self._trial = ""  # of the last epoch; judged once its divergences are known
        self._judged = True
        self._due: list[StoppingDecision] = []

    def _want(self, space: SearchSpace) -> None:
        self._space, self._stopper = space, make_stopper(space)
        self._stopper.replay(*replay_inputs(self._history, space.stop_metric.name))

    def take(self, event: Event) -> None:
        """Check the next event."""
        trial, attempts = getattr(event, "trial", self._trial), self._history.attempts
        if not self._judged and not isinstance(event, Diverged | Ended):
            self._judge()
        if isinstance(event, Opened | Extended | Undone):
            if self._due:
                self._stopper.queue_unrecorded(attempts[self._trial].sample, self._due)
            self._due = []
        elif isinstance(event, Stopped | Finished) and trial == self._trial:  # not by a rule
            self._due = []
        elif trial != self._trial or isinstance(event, Epoch | Finished | Failed):
            self.faults += [
                f"trial {self._trial}: not recorded: {_words(decision)}" for decision in self._due
            ]
            self._due = []
        if isinstance(event, Epoch | Finished | Decision) and attempts[trial].end == Status.STOPPED:
            kind = type(event).__name__.lower()
            self.faults.append(f"trial {trial}: {kind} at epoch {event.epoch}, after it was stopped")
        stop = self._space.stop
        waiting_rule = stop.scheduler if stop.waiting_rungs(self._space.epochs) else None
        if isinstance(event, Paused | Promoted) or (
            isinstance(event, Decision) and event.rule == waiting_rule
        ):
            self._check_rung(event)
        self._history.apply(event)
        match event:
            case Decision(rule=rule) if rule == waiting_rule:
                pass
            case Decision():
                self._compare(event)
            case Finished():
                attempt = self._history.attempts[trial]
                if attempt.ended_early:
                    self._stopper.judge(*observation(attempt, self._space.stop_metric.name))
            case Epoch():
                self._trial, self._judged = trial, self._history.attempts[trial].follows
            case Created(yaml=text) | Extended(space=text) | Undone(space=text):
                self._want(parse(text, name=self._space.name, recorded=True))

    def _judge(self) -> None:
        attempt = self._history.attempts[self._trial]
        seen = observation(attempt, self._space.stop_metric.name, attempt.epochs[-1])
        found = self._stopper.judge(*seen)
        if seen.epoch >= attempt.target or len(attempt.diverged) == len(attempt.replicates):
            self._stopper.queue_unrecorded(seen.sample, found)  # no decision is asked for at a trial's end
        else:
            self._due = found
        self._judged = True

    def _check_rung(self, recorded: Paused | Promoted | Decision) -> None:
        attempt = self._history.attempts[recorded.trial]
        rungs = Rungs(self._space, self._history)
        verdict = rungs.arrival(self._history.configurations[attempt.sample])
        if verdict is None and attempt.end == Status.PAUSED:
            verdict = next((each for each in rungs.conclude() if each.attempt is attempt), None)
        found = None if isinstance(recorded, Paused) else isinstance(recorded, Promoted)
        same = found == (verdict and verdict.goes_on) and recorded.value == rungs.value(
            attempt, attempt.epoch
        )
        if isinstance(recorded, Decision):
            same = same and verdict is not None and recorded.threshold == verdict.threshold
        if not same:
            kind = type(recorded).__name__.lower()
            self.faults.append(
                f"trial {recorded.trial}: {kind} at a rung; what follows from before: {verdict}"
            )

    def _compare(self, recorded: Decision) -> None:
        expected = self._due.pop(0) if self._due else None
        same = expected and all(getattr(recorded, name) == value for name, value in vars(expected).items())
        if not same:
            follows = _words(expected) if expected else "nothing"
            found = (
                f"trial {recorded.trial}: recorded: {_words(recorded)}; what follows from before: {follows}"
            )
            self.faults.append(found)


def _words(decision: StoppingDecision | Decision) -> str:
    verdict = "stop" if decision.stop else "go on"
    where = f" in bracket {decision.bracket}" if decision.bracket else ""
    return (
        f"{verdict} by {decision.rule}{where} at epoch {decision.rung} "
        f"(value {decision.value}, threshold {decision.threshold})"
    )
