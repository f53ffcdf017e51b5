"""What both engines do around the training: hand out jobs, write down what comes back, decide.

An engine (``run`` over Ray, ``inline`` in this process) asks for the next job, says when it started,
passes on each report and is told whether to go on. It never touches the record itself.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tune_app.errors import StorageError
from tune_app.messages import Order, Report, Sealed
from tune_app.stop import Stopper, lot, observed
from tune_app.sweep import Job, Sweep

#: When so many trials have ended, and each failed with the same words, the sweep ends.
ALIKE_FAILURES = 3


class Driver:
    """Conducts one sitting of a sweep that is open for writing."""

    def __init__(self, sweep: Sweep, stopper: Stopper) -> None:
        self.sweep = sweep
        self._stopper = stopper
        stopper.replay(observed(sweep.history, sweep.space.metric.name), sweep.history.decisions)
        self._jobs = deque(self._order(sweep.lacking()))
        self._running: dict[str, Job] = {}
        self._fresh: set[str] = set()
        self._failures: list[str] = []
        self._ended_well = False
        #: Why the sweep is to end before all is trained; engines look at it after each event.
        self.ending: str | None = None
        #: The disk error that ended it, to be raised once the engine has wound down.
        self.fatal: StorageError | None = None

    def _order(self, jobs: list[Job]) -> list[Job]:
        """Where trials are held against one another, the order decides with whom: shuffled by the seed.

        Each job draws its own place, so that a resumed sweep goes on in the order it began in.
        """
        if not self._stopper.compares:
            return jobs
        return sorted(jobs, key=lambda job: lot(self.sweep.space.seed, job.sample))

    @property
    def waiting(self) -> int:
        """Jobs not handed out yet."""
        return 0 if self.ending else len(self._jobs)

    def next_job(self) -> Job | None:
        """The next job to start, or None when there is none left."""
        return self._jobs.popleft() if self.waiting else None

    def order(self, job: Job) -> Order:
        """The job with all that a worker must know of the sweep."""
        space = self.sweep.space
        return Order(
            job,
            space.task,
            space.seed,
            space.metric.name,
            space.metric.mode,
            space.evaluate,
            self.sweep.numerics,
        )

    def start(self, job: Job, node: str = "") -> str:
        """A worker has begun a job; returns the name of the trial."""
        trial = self.sweep.history.next_trial(job.sample)
        self._note(
            "started",
            trial=trial,
            sample=job.sample,
            replicates=list(job.replicates),
            epoch=0,
            target=job.epochs,
            node=node,
        )
        self._running[trial] = job
        self._fresh.add(trial)
        return trial

    def report(self, trial: str, report: Report, device: str) -> bool:
        """Record a worker's report, decide on it, and say whether the trial goes on."""
        job = self._running[trial]
        where: dict[str, Any] = {"device": device} if trial in self._fresh else {}
        self._fresh.discard(trial)
        self._note(
            "epoch",
            trial=trial,
            epoch=report.epoch,
            metrics=report.metrics,
            durations_s=report.durations_s,
            **where,
        )
        known = self.sweep.history.attempts[trial].diverged
        new = [replicate for replicate in report.diverged if replicate not in known]
        if new:
            self._note("diverged", durable=True, trial=trial, epoch=report.epoch, replicates=new)
        if report.done:
            if report.sealed and len(report.diverged) < len(job.replicates):
                self._finish(trial, report, report.sealed)
            return self._end(trial)
        for decision in self._stopper.judge(job.sample, report.epoch, report.value):
            self._note(
                "decision",
                durable=True,
                trial=trial,
                sample=job.sample,
                epoch=report.epoch,
                **asdict(decision),
            )
            if decision.stop:
                return self._end(trial)
        return self.ending is None

    def _finish(self, trial: str, report: Report, sealed: Sealed) -> None:
        place = None
        if sealed.scores:
            place = self._guard(lambda: self.sweep.scores.append(sealed.scores, sealed.shape))
        self._note(
            "finished",
            durable=True,
            trial=trial,
            epoch=report.epoch,
            evaluated=sealed.evaluated,
            test=sealed.metrics,
            scores=place,
        )

    def _end(self, trial: str) -> bool:
        self._running.pop(trial)
        self._ended_well = True
        return False

    def fail(self, trial: str, reason: str, log: str) -> None:
        """A trial has failed: ``reason`` in one line, ``log`` in full. The sweep goes on.

        When the first trials all fail alike there is no use in trying the rest, and it ends.
        """
        job = self._running.pop(trial)
        name = f"{trial}.log"
        self._guard(lambda: self._write_log(name, log))
        self._note("failed", durable=True, trial=trial, reason=reason, log=f"logs/{name}", sample=job.sample)
        self._failures.append(reason)
        alike = len(self._failures) >= ALIKE_FAILURES and len(set(self._failures)) == 1
        if alike and not self._ended_well:
            self.ending = f"the first {len(self._failures)} trials all failed alike: {reason}"

    def _write_log(self, name: str, log: str) -> None:
        logs = self.sweep.paths.logs
        logs.mkdir(exist_ok=True)
        (logs / name).write_text(log, encoding="utf-8")

    def tick(self) -> None:
        """Called by the engine a few times a second: syncs the record and obeys the control folder."""
        self._guard(self.sweep.sync_if_due)
        for path in sorted(self.sweep.paths.control.glob("*.json")):
            try:
                request = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:  # being written right now: it is whole at the next tick
                continue
            path.unlink()
            if isinstance(request, dict) and request.get("do") == "stop":
                self.ending = self.ending or "asked to stop by tune-app stop"

    def _note(self, event: str, *, durable: bool = False, **fields: Any) -> None:
        self._guard(lambda: self.sweep.note(event, durable=durable, **fields))

    def _guard(self, write: Callable[[], Any]) -> Any:
        """Run a write; a disk that refuses it ends the sweep, resumably, with this error."""
        try:
            return write()
        except (StorageError, OSError) as error:
            self.ending = "the disk refused a write"
            self.fatal = self.fatal or _as_storage_error(error, self.sweep)
            raise self.fatal from error


def _as_storage_error(error: Exception, sweep: Sweep) -> StorageError:
    if isinstance(error, StorageError):
        return error
    return StorageError(
        f"{sweep.paths.folder}: cannot be written: {error}. Everything recorded before is safe."
    )
