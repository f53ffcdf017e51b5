"""What both engines do around the training: hand out trials, record what comes back, decide.

An engine (of `tune_app.engines`) asks for the next trial, says when it has started, passes on each report,
and learns whether the trial goes on. It never touches the record itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tune_app.driver import logs, sharding
from tune_app.driver.logs import Logs
from tune_app.driver.retention import Keeper, SaveNow
from tune_app.errors import DiskError, FolderChanged, SpaceError, StorageError, refused
from tune_app.space import Scalar
from tune_app.stopping import (
    Stopper,
    StoppingDecision,
    end_observation,
    observation,
    order_key,
    replay_inputs,
)
from tune_app.sweep import Sweep, code, control
from tune_app.sweep.configurations import Attempt, Configuration
from tune_app.sweep.events import (
    Checkpoint,
    Code,
    Decision,
    Diverged,
    Ended,
    Epoch,
    Event,
    Failed,
    Finished,
    Planned,
    Saved,
    Started,
    Stopped,
    Values,
)
from tune_app.sweep.history import History
from tune_app.sweep.plan import fingerprint
from tune_app.sweep.record import write_atomically
from tune_app.sweep.trial_spec import TrialFiles, TrialSpec
from tune_app.training.protocol import EpochReport, Failure, TestOutcome

#: When so many configurations have failed alike, and no trial has ended well, the sweep ends.
ALIKE_FAILURES = 3
#: Errors that depend on the size of a configuration: the same one elsewhere may have room.
_OF_MEMORY = ("OutOfMemoryError", "MemoryError")
#: When a sweep ends before its time, how long its trials may take to reach the end of an epoch and be saved.
GRACE_S = 10.0


class Searcher(Protocol):
    """Suggests points, and learns of every event that is recorded."""

    def ask(self, sample: int) -> dict[str, Scalar]:
        """A configuration to be tried as that sample. Raises SpaceError when it can suggest none."""

    def observe(self, event: Event, history: History) -> None:
        """An event has been recorded and taken into ``history``. Never raises."""


class Driver:
    """Conducts one sitting of a sweep that is open for writing.

    Args:
        searcher: suggests points where the space does not know them all; caught up with the record.
        time_limit_s: seconds after which the sitting ends, to be gone on with another time.
        gather: whether workers may be on other machines, and send their checkpoints in their reports.
        tell: says a line to the user.
        slots: how many trials may run at a time: those that would have none get a share of the replicates.
    """

    def __init__(
        self,
        sweep: Sweep,
        stopper: Stopper,
        searcher: Searcher | None = None,
        time_limit_s: float | None = None,
        gather: bool = False,
        tell: Callable[[str], None] = lambda _: None,
        slots: int = 1,
    ) -> None:
        self.sweep = sweep
        self._stopper = stopper
        stopper.replay(*replay_inputs(sweep.history, sweep.space.stop_metric.name))
        self._searcher = searcher
        #: Whether workers may be on other machines.
        self.gather = gather
        self._tell = tell
        self._told_of_size = False
        self._code = code.of_session(sweep.history, len(sweep.history.openings) - 1)
        self._deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._identities = {c.fingerprint: c.sample for c in reversed(self._configurations())}
        self._keeper = Keeper(sweep)
        specs = self._order([spec for c in self._configurations() for spec in self._ready(c)])
        if sweep.numerics.replicates == "looped" and sharding.parts(sweep.space) > 1:
            specs = sharding.deal(specs, slots)
        self._queue = deque(specs)
        #: How many trials there are to be run, those included that are yet to be suggested.
        self.trials = max(len(specs), sweep.outstanding())
        self._running: dict[str, TrialSpec] = {}
        self._logs = Logs(sweep.paths, lambda line: self._tell(line))
        self._fresh: set[str] = set()
        #: Samples that are to stop, in whatever parts they are trained.
        self._to_stop: set[int] = set()
        self._ending_since: float | None = None
        self._save_now = SaveNow(sweep.paths.checkpoints)
        #: The samples that failed in this session, by what makes two failures alike.
        self._failures: dict[tuple[str, str], set[int]] = {}
        self._ended_well = False
        self.tidy()
        #: Why the sweep is to end before all is trained; engines look at it after each event.
        self.ending: str | None = None
        #: The error of a write that ended it, to be raised once the engine has wound down.
        self.fatal: StorageError | FolderChanged | None = None
        #: Why the searcher suggests nothing more; what was suggested before is trained to its end.
        self.unsuggested: SpaceError | None = None

    def _order(self, specs: list[TrialSpec]) -> list[TrialSpec]:
        """Where trials are held against one another, the order decides with whom: shuffled by the seed.

        Each spec draws its own place, so that a resumed sweep goes on in the order it began in.
        """
        if not self._stopper.compares:
            return specs
        return sorted(specs, key=lambda spec: order_key(self.sweep.space.seed, spec.sample))

    def _configurations(self) -> list[Configuration]:
        return list(self.sweep.history.configurations.values())

    def _ready(self, configuration: Configuration) -> list[TrialSpec]:
        """Trials of a configuration that may start now.

        While early stopping may still decide on its first replicates, those that follow wait for it.
        """
        specs = self.sweep.lacking_of(configuration)
        if specs and self._stopper.rules and not specs[0].follows:
            return specs[:1]
        return specs

    def tidy(self) -> None:
        """Remove from the checkpoints' folder what is of no use any more, such as what a crash left there."""
        self._keeper.tidy()

    def next_trial(self) -> TrialSpec | None:
        """The next trial to start, or None when there is none for now.

        Trials that are known come first; then the searcher is asked, until there are as many samples as
        the space wants. A point that was tried before trains nothing.
        """
        self._guard(self.sweep.opened.verify)  # what a trial starts from is read from there
        while not self.ending:
            if self._queue:
                spec = self._queue.popleft()
                sound = spec.start is None or self.sweep.whole(spec.start)
                return self._handed_out(spec if sound else replace(spec, start=None))
            if self._searcher is None or self._asked() >= (self.sweep.space.search.samples or 0):
                return None
            if not self._ask(self._searcher):
                return None
        return None

    def _asked(self) -> int:
        return sum(configuration.asked for configuration in self._configurations())

    def _ask(self, searcher: Searcher) -> bool:
        """Plan one more sample, if the searcher suggests one."""
        sample = len(self.sweep.history.configurations) + 1
        try:
            config = searcher.ask(sample)
        except SpaceError as error:
            self.unsuggested = error
            return False
        identity = fingerprint(self.sweep.space.task, config, self.sweep.data)
        first = self._identities.setdefault(identity, sample)
        duplicate_of = first if first != sample else None
        planned = Planned(
            sample=sample, fingerprint=identity, config=config, duplicate_of=duplicate_of, asked=True
        )
        self._note(planned, durable=True)
        self._queue.extend(self.sweep.lacking_of(self.sweep.history.configurations[sample]))
        return True

    def _handed_out(self, spec: TrialSpec) -> TrialSpec:
        """A planned trial with what only this session knows: where its files go, and the code."""
        folder = self.sweep.paths.checkpoints.absolute()
        if self.gather:
            content = (folder / spec.start.file).read_bytes() if spec.start else None
            files = TrialFiles(str(folder), gather=True, content=content)
        else:
            files = TrialFiles(str(folder), str(self._output(spec).absolute()), opened=self.sweep.opened)
        return replace(spec, files=files, code=self._code, reported=self._reported(spec))

    def _reported(self, spec: TrialSpec) -> tuple[tuple[tuple[int, float | None], ...], ...]:
        """What patience must know of each replicate up to its checkpoint."""
        if spec.start is None or spec.settings.patience is None:
            return ()
        configuration = self.sweep.history.configurations[spec.sample]
        name, _ = spec.settings.stop_metric
        return tuple(
            tuple(
                (epoch, found.get(name))
                for epoch, found, _ in configuration.epochs(replicate)
                if epoch <= spec.start.epoch
            )
            for replicate in spec.replicates
        )

    def _output(self, spec: TrialSpec) -> Path:
        return logs.expected(self.sweep.paths, self.sweep.history.configurations[spec.sample], spec)

    def start(self, spec: TrialSpec, node: str = "") -> str:
        """A worker has begun a trial; returns the name of the trial."""
        trial = self.sweep.history.next_trial(spec.sample)
        self._logs.open(trial, self._output(spec))
        before = self.sweep.history.configurations[spec.sample].last(spec.replicates[0])
        if spec.start is None and before and before.saved and not before.ended:
            self._tell(
                f"note: {before.saved.file}, the checkpoint of configuration {spec.sample}, is missing or "
                "damaged: it starts again from its first epoch"
            )
        self._note(
            Started(
                trial=trial,
                sample=spec.sample,
                replicates=list(spec.replicates),
                epoch=spec.start.epoch if spec.start else 0,
                target=spec.target,
                node=node,
                start=spec.start,
                follows=spec.follows or None,
            )
        )
        self._running[trial] = spec
        self._fresh.add(trial)
        return trial

    def report(self, trial: str, report: EpochReport, device: str) -> bool:
        """Record a worker's report, decide on it, and say whether the trial goes on."""
        spec = self._running[trial]
        first = trial in self._fresh
        self._fresh.discard(trial)
        attempt = self.sweep.history.attempts[trial]
        trained = report.epoch > attempt.epoch  # else the last replicates ended without another epoch
        if trained:
            self._note(
                Epoch(
                    trial=trial,
                    epoch=report.epoch,
                    metrics=self._carried(spec, report),
                    durations_s=report.durations_s,
                    device=device if first else "",
                    looped=report.looped if first else "",
                )
            )
        self._logs.add(trial, report.output)
        if report.code:
            self._note_code(trial, report.code)
        for name, data in report.files.items():
            self._guard(partial(write_atomically, self.sweep.paths.checkpoints / name, data))
        if report.too_large_bytes and not self._told_of_size:
            self._told_of_size = True
            self._tell(
                f"note: a checkpoint of {report.too_large_bytes >> 20} MiB is too large to travel to this "
                "machine: none is kept, and an interrupted trial starts again from its first epoch"
            )
        before = attempt.saved
        for replicate, epoch in report.diverged.items():
            if replicate not in attempt.diverged:
                why = report.why.get(replicate)
                self._note(Diverged(trial=trial, epoch=epoch, replicates=[replicate], why=why), durable=True)
        for replicate, (epoch, by) in report.ended.items():
            if replicate not in attempt.ended_at:
                self._note(Ended(trial=trial, epoch=epoch, replicates=[replicate], by=by), durable=True)
        # The stopper takes in every value, as it will again when it is made anew from the record.
        decisions = self._judge(attempt) if trained and not spec.follows else []
        # An end is one event, with the last state in it: there is no moment at which a crash parts them.
        last = report.saved if self.sweep.space.keep == "last" else None
        if report.done:
            if not spec.tested:
                self._stop(trial, f"as its configuration was, at epoch {report.epoch}", last)
            elif report.test and len(report.diverged) < len(spec.replicates):
                self._finish(trial, report, report.test, last)
            return self._end(trial, before, report.saved)
        if spec.sample in self._to_stop:
            self._stop(trial, f"by tune-app stop, at epoch {report.epoch}", last)
            return self._end(trial, before, report.saved)
        for decision in decisions:
            kept = last if decision.stop else None
            decided = Decision(
                trial=trial, sample=spec.sample, epoch=report.epoch, saved=kept, **vars(decision)
            )
            self._note(decided, durable=True)
            if decision.stop:
                return self._end(trial, before, report.saved)
        # Only now: what would go on from here, after a crash, must not be past what is decided here.
        if report.saved:
            self._keep(trial, report.saved)
        if report.saved or not report.savable:
            self._save_now.saved(trial)
        # A sweep that ends lets its trials be saved first, if they can be.
        going = not self.over() and (self.ending is None or (report.savable and not report.saved))
        if not going:
            self._running.pop(trial)
            self._logs.close(trial)
        return going

    def _carried(self, spec: TrialSpec, report: EpochReport) -> Values:
        """The metrics of an epoch, in which a replicate that has ended keeps those of its own last epoch."""
        metrics = {name: list(values) for name, values in report.metrics.items()}
        configuration = self.sweep.history.configurations[spec.sample]
        for replicate, (epoch, _) in report.ended.items():
            if epoch < report.epoch:
                last = next(found for at, found, _ in configuration.epochs(replicate) if at == epoch)
                for name, value in last.items():
                    values = metrics.setdefault(name, [None] * len(spec.replicates))
                    values[spec.replicates.index(replicate)] = value
        return metrics

    def _judge(self, attempt: Attempt) -> list[StoppingDecision]:
        """What early stopping decides on the epoch that was recorded last."""
        seen = observation(attempt, attempt.epochs[-1], self.sweep.space.stop_metric.name)
        return self._stopper.judge(seen.sample, seen.epoch, seen.value)

    def _note_code(self, trial: str, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Record what code a trial's process had beyond what this session knows of, or instead of it."""
        self._note(Code(trial=trial, files=dict(found["files"]), versions=dict(found["versions"])))
        theirs = code.of_attempt(self.sweep.history, self.sweep.history.attempts[trial], self._code)
        if departed := code.differences(self._code, theirs):
            self._tell(f"note: the process of trial {trial} has other code: {', '.join(departed)}")
        new = {name: value for name, value in found["files"].items() if name not in self._code.all}
        self._code = replace(self._code, found={**self._code.found, **new})

    def end(self, why: str) -> None:
        """Have the session end in good order, from whatever thread; the first reason stands."""
        self.ending = self.ending or why

    def save(self) -> None:
        """Have all trials that run saved after their epoch, and go on. Called by a signal's handler too."""
        with suppress(OSError, StorageError, FolderChanged):  # the next write tells
            self._save_now.ask(self._running)

    @property
    def saving(self) -> bool:
        """Whether trials are to be saved after their epoch, due or not."""
        return self.ending is not None or self._save_now.asked

    def over(self) -> bool:
        """Whether the sitting ends now: something has ended it, and no trial is still to be saved."""
        if self.ending is None:
            return False
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            if self.fatal is None and self._running:
                with suppress(StorageError, FolderChanged):  # kept in ``fatal``
                    self._guard(lambda: self._save_now.ask(self._running))
        late = time.monotonic() - self._ending_since > GRACE_S
        return late or self.fatal is not None or not self._running

    def _keep(self, trial: str, saved: Saved) -> None:
        """Record a checkpoint; only then may the one before it go."""
        before = self.sweep.history.attempts[trial].saved
        self._note(Checkpoint(trial=trial, saved=saved), durable=True)
        if before and before.file != saved.file:
            self._keeper.remove(before.file)

    def _stop(self, trial: str, reason: str, last: Saved | None) -> None:
        self._note(Stopped(trial=trial, reason=reason, saved=last), durable=True)

    def _finish(self, trial: str, report: EpochReport, test: TestOutcome, last: Saved | None) -> None:
        spec = self._running[trial]
        configuration = self.sweep.history.configurations[spec.sample]
        place = None
        if test.scores:
            place = self._guard(lambda: self.sweep.scores.append(test.scores, test.shape))
        finished = Finished(
            trial=trial,
            epoch=report.epoch,
            evaluated=test.evaluated,
            test=test.metrics,
            scores=place,
            look=1 + max(configuration.looks(replicate) for replicate in spec.replicates),
            weights=report.weights,
            saved=last,
        )
        self._note(finished, durable=True)
        attempt = self.sweep.history.attempts[trial]
        if attempt.ended_early:
            seen = end_observation(attempt, self.sweep.space.stop_metric.name)
            self._stopper.end(seen.sample, seen.epoch, seen.value)
        self._keeper.compare(configuration)

    def _end(self, trial: str, *states: Saved | None) -> bool:
        """A trial has ended, and its end is recorded; of the states that it has written the last may stay."""
        spec = self._running.pop(trial)
        self._logs.close(trial)
        self._ended_well = True
        last = self.sweep.history.attempts[trial].saved if self.sweep.space.keep == "last" else None
        for state in states:
            if state and (last is None or state.file != last.file):
                self._keeper.remove(state.file)
        self._let_follow(spec)
        return False

    def _let_follow(self, leader: TrialSpec) -> None:
        """Early stopping is done with a configuration: the replicates that waited for it may start."""
        if not leader.follows and self._stopper.rules:
            configuration = self.sweep.history.configurations[leader.sample]
            self._queue.extend(spec for spec in self._ready(configuration) if spec.follows)

    def abandon(self, trial: str) -> None:
        """The process of a trial is gone with all others: the next session goes on from its checkpoint."""
        if self._running.pop(trial, None):
            self._logs.close(trial)

    def fail(self, trial: str, failure: Failure) -> None:
        """A trial has failed. The sweep goes on.

        It is tried again from its last checkpoint, up to ``max_failures`` times, but not where another try
        must fail too; one that was ``moved`` has not failed. When several configurations have failed alike,
        no trial has ended well, and none that runs has reported an epoch, the sweep ends.

        Raises:
            DiskError: it is no failure; the disk has refused a checkpoint.
        """
        self._guard(self.sweep.opened.verify)  # else it may be what the trial has failed of
        reason, moved = failure.reason, failure.moved
        spec = self._running.pop(trial)
        if failure.refused:
            self._logs.close(trial)
            raise self._refused(DiskError(failure.refused))
        self._logs.add(trial, failure.output)
        written = self._logs.close(trial, failure.log)
        configuration = self.sweep.history.configurations[spec.sample]
        failures = configuration.failures(spec.replicates[0])
        final = not moved and (failure.mistaken or failures >= self.sweep.space.max_failures)
        failed = Failed(trial=trial, reason=reason, log=written, sample=spec.sample, final=final, moved=moved)
        self._note(failed, durable=True)
        if not final:
            retried = set(spec.replicates)
            again = [
                spec.only(tuple(r for r in spec.replicates if r in retried))
                for spec in self._ready(configuration)
                if retried & set(spec.replicates)
            ]
            self._queue = deque(self._order([*self._queue, *again]))
        else:
            self._let_follow(spec)
        if moved or self._ended_well:
            return
        alike = self._failures.setdefault(_likeness(failure), set())
        alike.add(spec.sample)
        going_well = any(
            other.sample not in alike and name not in self._fresh for name, other in self._running.items()
        )
        if len(alike) >= ALIKE_FAILURES and not going_well:
            at = f" ({failure.place})" if failure.place and not failure.mistaken else ""
            self.ending = (
                f"{len(alike)} configurations failed alike, and none has ended well: {failure.reason}{at}"
            )

    def tick(self) -> None:
        """Called a few times a second: sync the record; obey the clock and the control folder."""
        self._guard(self.sweep.sync_if_due)
        self._save_now.tidy(self._running)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.end("the time limit was reached")
        self.over()
        for request in control.take_requests(self.sweep.paths.control):
            if request.get("do") != "stop":
                continue
            if "sample" in request:
                self._to_stop.add(request["sample"])
            else:
                self.end("asked to stop by tune-app stop")

    def _note(self, event: Event, *, durable: bool = False) -> None:
        noted = self._guard(lambda: self.sweep.note(event, durable=durable))
        if self._searcher:
            self._searcher.observe(noted, self.sweep.history)

    def _guard(self, write: Callable[[], Any]) -> Any:
        """Run a write; one that is refused ends the sweep at once, resumably, with its error."""
        try:
            return write()
        except (StorageError, FolderChanged, OSError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> StorageError | FolderChanged:
        """A write was refused: the session ends with this error."""
        if not isinstance(error, StorageError | FolderChanged):
            error = refused(error) or DiskError(f"{self.sweep.paths.folder}: cannot be written: {error}.")
        self.fatal = self.fatal or error
        storage = isinstance(self.fatal, StorageError)
        self.ending = "the disk refused a write" if storage else "the folder of the run was changed"
        return self.fatal


def _likeness(failure: Failure) -> tuple[str, str]:
    """What two failures share that are alike: the exception's class, and the line that raised it.

    The message counts where no line is known, and where memory ran out: it says how much was asked for.
    """
    by_message = not failure.place or failure.kind in _OF_MEMORY
    return failure.kind, failure.reason if by_message else failure.place
