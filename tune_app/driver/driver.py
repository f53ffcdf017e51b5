"""What both engines do around the training: hand out trials, record what comes back, decide.

An engine (of `tune_app.engines`) asks for the next trial, says when it has started, passes on each report,
and learns whether the trial goes on. It never touches the record itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from tune_app.driver import logs
from tune_app.driver.alike_failures import AlikeFailures
from tune_app.driver.checkpoints import CheckpointRequest, CheckpointRetention
from tune_app.driver.logs import Logs
from tune_app.driver.trial_queue import Searcher, TrialQueue, completed
from tune_app.driver.waiting_trials import WaitingTrials
from tune_app.errors import DiskError, FolderChanged, StorageError, as_disk_error
from tune_app.status import Status
from tune_app.stopping import Stopper, StoppingDecision, observation, replay_inputs
from tune_app.sweep import Sweep, code, control, events
from tune_app.sweep.events import Batch, Event, Saved, Settled
from tune_app.sweep.opened_folder import write_atomically
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.training.protocol import EpochReport, Failure, TestOutcome

#: When a session ends early, how long its trials may take to end their epoch and write a checkpoint.
GRACE_S = 10.0


class Driver:
    """Conducts one session of a sweep that is open for writing.

    Args:
        sweep: open for writing.
        stopper: takes in the record here.
        searcher: suggests points where the space does not know them all; caught up with the record.
        time_limit_s: seconds after ``begin`` after which the session ends, to be resumed later.
        gather: whether workers may run on other machines, and send their checkpoints in their reports.
        notify: shows a line to the user.
        slots: how many trials may run at a time.
        look: says how settling goes on once a batch of seeds is trained: with another, or with its end.
    """

    def __init__(
        self,
        sweep: Sweep,
        stopper: Stopper,
        searcher: Searcher | None = None,
        time_limit_s: float | None = None,
        gather: bool = False,
        notify: Callable[[str], None] = lambda _: None,
        slots: int = 1,
        look: Callable[[Sweep], Batch | Settled] | None = None,
    ) -> None:
        self.sweep = sweep
        self._look = look
        #: Whether workers may run on other machines.
        self.gather = gather
        #: Why the session is to end before all is trained; engines look at it after each event.
        self.ending: str | None = None
        #: The error of a write that ended it, to be raised once the engine has stopped.
        self.fatal: StorageError | FolderChanged | None = None
        self._stopper, self._searcher, self._notify = stopper, searcher, notify
        self._metric = sweep.space.stop_metric.name
        stopper.replay(*replay_inputs(sweep.history, self._metric))
        self._time_limit_s = time_limit_s
        self._deadline: float | None = None
        self._ending_since: float | None = None
        #: The code of the session; files that a trial imports while it trains are added.
        self._code = code.of_session(sweep.history, len(sweep.history.openings) - 1)
        self.queue = TrialQueue(sweep, stopper, searcher, self._note, slots)
        self._running: dict[str, TrialSpec] = {}
        self._logs = Logs(sweep.paths, notify)
        self._retention = CheckpointRetention(sweep)
        self._waiting = WaitingTrials(sweep, self.queue, self._retention, self._note)
        self._checkpoint_request = CheckpointRequest(sweep.paths.checkpoints)
        self._failures = AlikeFailures()
        #: Samples that a user has stopped, in whatever trials they are trained.
        self._to_stop: set[int] = set()
        self._noted_size = False

    def begin(self) -> None:
        """Start the session: remove what a crash left among the checkpoints, and start the clock."""
        self.tidy()
        self._waiting.decide()
        if self._time_limit_s is not None:
            self._deadline = time.monotonic() + self._time_limit_s

    def tidy(self) -> None:
        """Remove the checkpoints that are no longer needed."""
        self._retention.remove_unneeded()

    def next_trial(self) -> TrialSpec | None:
        """The next trial to start, as a worker gets it; None for none now.

        Where none waits, the searcher is asked for more, and then settling.
        """
        with self._guarded():
            self.sweep.opened.verify()  # what a trial starts from is read from there
        while not self.ending:
            if spec := self.queue.pop():
                return completed(spec, self.sweep, self._code, self.gather)
            idle = not self._running
            if not (self.queue.ask() or (idle and self._waiting.conclude()) or self._add_batch()):
                return None
        return None

    def _add_batch(self) -> bool:
        """Where settling goes on and its last batch is trained: look, and queue the next batch, if any."""
        history, space = self.sweep.history, self.sweep.space
        if not self._look or not history.settling or not history.batch_is_trained(space):
            return False
        event = self._look(self.sweep)
        self._note(event)
        if isinstance(event, Settled):
            return False
        self._retention = CheckpointRetention(self.sweep)  # what was best may no longer be
        self.queue.add(history.configurations[sample] for sample in event.samples)
        return True

    def start(self, spec: TrialSpec, node: str = "") -> str:
        """A worker has begun a trial; returns the name of the trial."""
        trial = self.sweep.history.next_trial(spec.sample)
        self._logs.open(trial, logs.expected(self.sweep, spec))
        before = self.sweep.history.configurations[spec.sample].last(spec.replicates[0])
        if spec.start is None and before and before.saved and not before.ended:
            self._notify(
                f"note: {before.saved.file}, the checkpoint of configuration {spec.sample}, is missing or "
                "damaged: it starts again from its first epoch"
            )
        self._note(
            events.Started(
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
        return trial

    def report(self, trial: str, report: EpochReport, device: str) -> bool:
        """Record a worker's report, decide on it, and say whether the trial goes on."""
        spec, attempt = self._running[trial], self.sweep.history.attempts[trial]
        before = attempt.saved
        decisions = self._record_epoch(trial, report, device)
        ended = self._record_end(trial, report, decisions)
        # Only now: after a crash no trial may resume past an epoch that is still to be decided on.
        if report.saved and not ended:
            self._note(events.Checkpoint(trial=trial, saved=report.saved))
        waits = attempt.end == Status.PAUSED
        kept = attempt.saved if not ended or waits or spec.settings.keep == "last" else None
        for state in (before, report.saved):
            if state and (kept is None or state.file != kept.file):
                self._retention.remove(state.file)
        if report.saved or not report.savable:
            self._checkpoint_request.wait_for(self._running.keys() - {trial})
        if ended or report.epoch in spec.settings.rungs:
            self._waiting.decide(spec.sample)
        if ended:
            self.abandon(trial)
            self._failures.one_ended_well = True
            self.queue.release_followers(spec)
            return False
        # A session that ends lets its trials write a checkpoint first, if they can.
        goes_on = not self.over() and (self.ending is None or (report.savable and not report.saved))
        if not goes_on:
            self.abandon(trial)
        return goes_on

    def _record_epoch(self, trial: str, report: EpochReport, device: str) -> list[StoppingDecision]:
        """Record an epoch and which replicates ended in it; returns what early stopping decides on it."""
        spec, attempt = self._running[trial], self.sweep.history.attempts[trial]
        trained = report.epoch > attempt.epoch  # else the last replicates ended without another epoch
        if trained:
            first, configuration = not attempt.epochs, self.sweep.history.configurations[spec.sample]
            self._note(
                events.Epoch(
                    trial=trial,
                    epoch=report.epoch,
                    metrics=configuration.with_ended(report.metrics, spec.replicates, report.ended),
                    durations_s=report.durations_s,
                    device=device if first else "",
                    looped=report.looped if first else "",
                )
            )
        self._take_in(trial, report)
        for replicate, epoch in report.diverged.items():
            if replicate not in attempt.diverged:
                why = report.why.get(replicate)
                self._note(events.Diverged(trial=trial, epoch=epoch, replicates=[replicate], why=why))
        for replicate, (epoch, by) in report.ended.items():
            if replicate not in attempt.ended_at:
                self._note(events.Ended(trial=trial, epoch=epoch, replicates=[replicate], by=by))
        if not trained or spec.follows:
            return []
        # The stopper takes in every value, as it does again when it is rebuilt from the record.
        return self._stopper.judge(*observation(attempt, self._metric, attempt.epochs[-1]))

    def _take_in(self, trial: str, report: EpochReport) -> None:
        """Keep what came with a report: what was printed, code that was loaded, checkpoints."""
        self._logs.add(trial, report.output)
        if report.code:
            self._add_code(trial, report.code)
        for name, data in report.files.items():
            with self._guarded():
                write_atomically(self.sweep.paths.checkpoints / name, data)
        if report.too_large_bytes and not self._noted_size:
            self._noted_size = True
            self._notify(
                f"note: a checkpoint of {report.too_large_bytes >> 20} MiB is too large to travel to this "
                "machine: none is kept, and an interrupted trial starts again from its first epoch"
            )

    def _add_code(self, trial: str, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the files and versions that a trial's process has and the session does not."""
        files, versions = dict(found["files"]), dict(found["versions"])
        self._note(events.Code(trial=trial, files=files, versions=versions))
        history, known = self.sweep.history, self._code
        theirs = code.of_attempt(history.attempts[trial], known)
        if different := code.differences(known, theirs):
            self._notify(f"note: the process of trial {trial} has other code: {', '.join(different)}")
        new = {name: value for name, value in files.items() if name not in known.all}
        self._code = replace(known, found={**known.found, **new})

    def _record_end(self, trial: str, report: EpochReport, decisions: list[StoppingDecision]) -> bool:
        """Record the decisions of early stopping, and the end of a trial that ends here; whether it does."""
        # An end is one event with the last state in it, so that no crash separates the two.
        spec = self._running[trial]
        last = report.saved if spec.settings.keep == "last" else None
        if report.done:
            if not spec.tested:
                reason = f"as its configuration was, at epoch {report.epoch}"
                self._note(events.Stopped(trial=trial, reason=reason, saved=last))
            elif report.test and len(report.diverged) < len(spec.replicates):
                self._finish(trial, report, report.test, last)
            return True
        if spec.sample in self._to_stop:
            reason = f"by tune-app stop, at epoch {report.epoch}"
            self._note(events.Stopped(trial=trial, reason=reason, saved=last))
            return True
        for decision in decisions:
            saved = last if decision.stop else None
            self._note(
                events.Decision(
                    trial=trial, sample=spec.sample, epoch=report.epoch, saved=saved, **vars(decision)
                )
            )
            if decision.stop:
                return True
        if report.epoch in spec.settings.rungs and not spec.follows:
            return self._waiting.leaves(trial, report.saved)
        return False

    def _finish(self, trial: str, report: EpochReport, test: TestOutcome, last: Saved | None) -> None:
        spec = self._running[trial]
        configuration = self.sweep.history.configurations[spec.sample]
        rows = None
        if test.scores:
            with self._guarded():
                rows = self.sweep.scores.append(test.scores, test.shape)
        self._note(
            events.Finished(
                trial=trial,
                epoch=report.epoch,
                evaluated=test.evaluated,
                test=test.metrics,
                scores=rows,
                look=1 + max(configuration.looks(replicate) for replicate in spec.replicates),
                weights=report.weights,
                saved=last,
            )
        )
        attempt = self.sweep.history.attempts[trial]
        if attempt.ended_early:
            self._stopper.judge(*observation(attempt, self._metric))
        self._retention.keep_best(configuration)

    def abandon(self, trial: str) -> None:
        """A trial runs no longer and has not ended: the next session resumes it from its checkpoint."""
        if self._running.pop(trial, None):
            self._logs.close(trial)

    def fail(self, trial: str, failure: Failure) -> None:
        """A trial has failed. The sweep goes on.

        It is tried again from its last checkpoint, up to ``max_failures`` times, unless another try must fail
        too; one that was ``moved`` has not failed. When several configurations have failed alike, no trial
        has ended well, and none that runs has reported an epoch, the session ends.

        Raises:
            DiskError: the disk has refused a checkpoint, which is no failure of the trial.
        """
        with self._guarded():
            self.sweep.opened.verify()  # a changed folder may be why the trial failed
        spec = self._running.pop(trial)
        if failure.refused:
            self._logs.close(trial)
            raise self._refused(DiskError(failure.refused))
        self._logs.add(trial, failure.output)
        log = self._logs.close(trial, failure.log)
        failures = self.sweep.history.configurations[spec.sample].failures(spec.replicates[0])
        final = not failure.moved and (failure.mistaken or failures >= self.sweep.space.max_failures)
        self._note(
            events.Failed(
                trial=trial,
                reason=failure.reason,
                log=log,
                sample=spec.sample,
                final=final,
                moved=failure.moved,
            )
        )
        if final:
            self.queue.release_followers(spec)
            self._waiting.decide(spec.sample)
        else:
            self.queue.retry(spec)
        attempts = self.sweep.history.attempts
        training = {other.sample for name, other in self._running.items() if attempts[name].epochs}
        if why := self._failures.count(failure, spec.sample, training):
            self.ending = why

    def end(self, why: str) -> None:
        """Have the session end in good order, from whatever thread; the first reason stands."""
        self.ending = self.ending or why

    def save(self) -> None:
        """Have all running trials write a checkpoint after their epoch. A signal's handler may call it."""
        with suppress(OSError, StorageError, FolderChanged):  # the next write raises it
            self._checkpoint_request.ask(self._running)

    @property
    def saving(self) -> bool:
        """Whether trials are to write a checkpoint after their epoch, due or not."""
        return self.ending is not None or bool(self._checkpoint_request.pending)

    def over(self) -> bool:
        """Whether the session ends now: something has ended it, and no trial is still to be saved."""
        if self.ending is None:
            return False
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            if self.fatal is None and self._running:
                with suppress(StorageError, FolderChanged), self._guarded():  # kept in ``fatal``
                    self._checkpoint_request.ask(self._running)
        late = time.monotonic() - self._ending_since > GRACE_S
        return late or self.fatal is not None or not self._running

    def tick(self) -> None:
        """Called a few times a second: sync the record; obey the clock and the control folder."""
        with self._guarded():
            self.sweep.sync_if_due()
        self._checkpoint_request.wait_for(set(self._running))
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.end("the time limit was reached")
        self.over()
        for request in control.take_requests(self.sweep.paths.control):
            if opening := control.opening(request):
                self._note(opening)
            if request.get("do") == "stop" and "sample" in request:
                self._to_stop.add(request["sample"])
                self._waiting.stop(request["sample"])
            elif request.get("do") == "stop":
                self.end("asked to stop by tune-app stop")

    def _note(self, event: Event) -> None:
        """Record an event: decisions and ends before they take effect, others in groups."""
        grouped = isinstance(event, events.Started | events.Epoch | events.Code)
        with self._guarded():
            noted = self.sweep.note(event, durable=not grouped)
        if self._searcher:
            self._searcher.observe(noted, self.sweep.history)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A write that is refused ends the sweep at once, resumably, with its error."""
        try:
            yield
        except (StorageError, FolderChanged, OSError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> StorageError | FolderChanged:
        """A write was refused: the session ends with this error."""
        if not isinstance(error, StorageError | FolderChanged):
            error = as_disk_error(error) or DiskError(
                f"{self.sweep.paths.folder}: cannot be written: {error}."
            )
        self.fatal = self.fatal or error
        disk = isinstance(self.fatal, StorageError)
        self.ending = "the disk refused a write" if disk else "the folder of the run was changed"
        return self.fatal
