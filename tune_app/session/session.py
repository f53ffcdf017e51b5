"""One start of the program on a sweep.

A sweep is what is wanted minus what is recorded, so the commands that train are one operation. They differ in
the sweep that they are given and in the change that they record before training:

    run, confirm, rerun    no sweep: the session makes a new one
    resume                 an existing sweep, no change
    extend                 an existing sweep; the change wants more
    retry                  an existing sweep; the change excuses failures
    settle                 an existing sweep; the change adds the first batch of seeds, looks add the others
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tune_app import progress, stopping, storage
from tune_app import space as spaces
from tune_app.driver.driver import Driver
from tune_app.driver.trial_queue import Searcher, parts
from tune_app.engines.choice import Engine, open_engine
from tune_app.errors import RunError
from tune_app.session import outcome, preview, provenance, signals
from tune_app.session.request import LoadedTask, Request
from tune_app.storage import Mirror
from tune_app.sweep import Sweep, code, trust
from tune_app.sweep.events import Batch, Numerics, Opened, Settled
from tune_app.sweep.files import write_view
from tune_app.sweep.record import read
from tune_app.tasks import task
from tune_app.training import stacking_benchmark
from tune_app.training.stacking_benchmark import Choice

_LOOK_EVERY_S = 0.2

#: Shows a sweep for as long as it trains; the second argument is one line that says where it trains.
View = Callable[[Sweep, str], AbstractContextManager[Any]]


class Session:
    """One start of the program on a sweep.

    Args:
        request: what to train and where; its space is the one that is wanted after ``change``.
        loaded: the task and data of the request.
        sweep: the run to train; None makes a new one.
        change: records what is wanted from now on, once the run is open for writing.
        numerics: those of a new sweep; None measures them.
    """

    def __init__(
        self,
        request: Request,
        loaded: LoadedTask,
        sweep: Sweep | None = None,
        change: Callable[[Sweep], object] | None = None,
        numerics: Numerics | None = None,
    ) -> None:
        self.request = request
        self.loaded = loaded
        #: The run; None until a new one is made.
        self.sweep = sweep
        #: Whether training has begun, so that the results have to be written again.
        self.began = False
        self._change = change
        self._numerics = sweep.numerics if sweep else numerics

    def train(self, view: View | None = None, load: Callable[[], object] = lambda: None) -> Sweep:
        """Train what the sweep lacks, until it lacks nothing; returns the sweep.

        ``load`` is called in a thread near the end, to load modules that are needed after it.

        Raises:
            ResourceError, RunError: before anything is written.
            DiskError: a disk of this machine refused a write; the run can be resumed.
            FolderChanged: the folder was moved, removed or replaced; the run can be resumed where it is now.
            RayLost: Ray died before training began; the run can be resumed.
            StorageError: another machine took over the run, or the storage lacks the end of it.
            Interrupted: a signal ended the session; the run can be resumed.
            TrialsFailed: everything else ended, but these trials failed.
        """
        with outcome.errors_with_advice(self._advice):
            if self.sweep and self.sweep.live():
                raise self.sweep.busy_error()  # before an engine starts for nothing
            if self.sweep and not self._change and self._finish_if_trained(self.sweep, view):
                return self.sweep
            with (
                preview.stacking(self.request, self.loaded, self._numerics) as choose,
                self._engine() as engine,
            ):
                sweep = self.sweep = self.sweep or self._create(choose(engine.plan), engine)
                engine, sharing = preview.gpu_sharing(engine, sweep)
                with self._writing(sweep) as mirror:
                    self._record_start(sweep, sharing, engine.plan.concurrent)
                    sweep.restore_views(progress.note)
                    self._write_test_images(sweep)
                    with open_search(sweep) as searcher:
                        driver = Driver(
                            sweep,
                            stopping.make_stopper(sweep.space),
                            searcher,
                            self.request.time_limit_s,
                            gather=not self.request.on_this_machine,
                            notify=progress.note,
                            slots=engine.plan.concurrent,
                            look=_look,
                        )
                        if mirror:
                            mirror.on_taken_over(driver.end)
                        with (
                            self._shown(view, sweep, engine.line(driver)),
                            engine.exporting(sweep),
                            signals.ending(driver) as caught,
                            _loading(load, driver),
                        ):
                            engine.run(driver)
                            driver.tidy()
            outcome.raise_outcome(sweep, driver, caught, mirror)
        return sweep

    def _finish_if_trained(self, sweep: Sweep, view: View | None) -> bool:
        """End the session without an engine if nothing is lacking; returns whether it did.

        The storage may have events that this folder lacks, and with them new work, so this is checked again
        once the run is mirrored.
        """
        if not sweep.complete_and_trained():
            return False
        with self._writing(sweep) as mirror:
            if not sweep.complete_and_trained():
                return False
            last = sweep.history.session
            if self.request.storage != last.storage:
                sweep.note(Opened(provenance=last.provenance, storage=self.request.storage), durable=True)
            outcome.tidy(sweep)
            self._write_test_images(sweep)
        with self._shown(view, sweep, "everything is trained"):
            outcome.raise_outcome(sweep, None, [], mirror)
        return True

    def _engine(self) -> AbstractContextManager[Engine]:
        request, space, sweep = self.request, self.request.space, self.sweep
        trials = sweep.outstanding() if sweep and not self._change else space.size()
        return open_engine(
            request.address,
            space.resources,
            self.loaded.splits,
            max(trials, 1),
            size_bytes=self.loaded.size_bytes,
            parts=parts(space),
            modules=None if space.task in task.BUILTIN else Path.cwd(),
            wait_for_gpus=request.wait_for_gpus,
            wait_s=request.wait_s,
        )

    def _create(self, choice: Choice, engine: Engine) -> Sweep:
        """Make the folder of a new run, whose replicates are trained as measured."""
        request, space = self.request, self.request.space
        taken = storage.runs(request.storage)
        if request.name in taken:
            raise RunError(
                f"--name {request.name}: {request.storage} has a run of this name. Give another --name."
            )
        if space.replicates == "stacked" and choice.why != stacking_benchmark.AS_ASKED:
            progress.note(f"note: replicates {choice.line}")
        return Sweep.create(
            space,
            self.loaded.identity,
            request.runs_dir,
            request.name,
            self._numerics or Numerics(choice.replicates, engine.plan.threads, space.precision),
            taken,
            measured=asdict(choice),
            source=request.source,
            confirms=request.confirms,
        )

    @contextmanager
    def _writing(self, sweep: Sweep) -> Iterator[Mirror | None]:
        mirrored = storage.mirrored(self.request.storage, sweep.opened, progress.note)
        with mirrored as mirror, sweep.writing(mirror):
            yield mirror

    def _record_start(self, sweep: Sweep, sharing: dict[str, Any] | None, slots: int) -> None:
        """Record that this session starts, with which code and versions; then record the change."""
        request, images = self.request, self.loaded.test_images()
        current = code.collect(request.space.task, code.known_files(sweep.history))
        changes = code.differences(code.newest(sweep.history), current)
        first = next(iter(sweep.history.configurations.values()), None)
        settings = task.settings(self.loaded.task, dict(first.config if first else sweep.space.fixed))
        trust.remember(sweep.identity, trust.named(request.space, request.source, request.storage))
        start = Opened(
            provenance=provenance.collect(request.argv, self.loaded.identity, settings, current),
            storage=request.storage,
            test_images_crc32=zlib.crc32(images.encode()) if images else None,
            sharing=sharing,
            slots=slots,
        )
        sweep.note(start, durable=True)
        if self._change:
            self._change(sweep)
            self._change = None
        if warning := code.change_note(changes, code.mixed_if_trained(sweep.history, sweep.space, current)):
            progress.note(warning)
        sweep.record_planned_points()

    def _write_test_images(self, sweep: Sweep) -> None:
        if images := self.loaded.test_images():
            write_view(sweep.paths.test_images, images, progress.note)

    def _shown(self, view: View | None, sweep: Sweep, line: str) -> AbstractContextManager[Any]:
        self.began = True
        return view(sweep, line) if view else nullcontext()

    def _advice(self) -> str:
        """What to do after an error of the disk or of Ray."""
        if self.sweep is None:
            return "No run was made. Give the command again."
        if self._change:
            return "The run is unchanged. Give the command again."
        return outcome.next_command(self.sweep)


@contextmanager
def _loading(load: Callable[[], object], driver: Driver) -> Iterator[None]:
    """Call ``load`` in a thread once the last trials have started, and one of them has trained an epoch.

    Workers then start no more, and where fewer trials run than before, a CPU is idle.
    """
    history, over = driver.sweep.history, threading.Event()
    before = len(history.attempts)

    def work() -> None:
        while not over.wait(_LOOK_EVERY_S):
            if not driver.queue.waiting and any(
                each.epochs for each in [*history.attempts.values()][before:]
            ):
                load()
                return

    thread = threading.Thread(target=work, name="loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()  # while Ray is left, no other thread may let go of Ray's objects


def _look(sweep: Sweep) -> Batch | Settled:
    from tune_app.session import settle  # it loads pandas and scipy

    return settle.look(sweep)


@contextmanager
def open_search(sweep: Sweep) -> Iterator[Searcher | None]:
    """Yields the Optuna sampler, caught up with the record; None if all points are known in advance."""
    if sweep.space.search.algorithm != "optuna":
        yield None
        return
    from tune_app.search.searcher import OptunaSearch

    # The sampler must see the space as it was before any extension, or it would suggest other points.
    first = spaces.parse(sweep.header.yaml, file=str(sweep.paths.space), name=sweep.space.name, recorded=True)
    searcher = OptunaSearch(first, sweep.paths.study, sweep.name, progress.note)
    resumed = any(configuration.attempts for configuration in sweep.history.configurations.values())
    with progress.waiting("replaying the search") if resumed else nullcontext():
        searcher.catch_up(event for _, event in read(sweep.paths.record))
    if searcher.departs_at is not None:
        progress.note(
            f"from sample {searcher.departs_at} on, the sampler now suggests other points than "
            "before: Optuna or this machine has changed since the run began. The recorded points are kept."
        )
    try:
        yield searcher
    finally:
        searcher.close()
