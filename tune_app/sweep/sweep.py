"""A sweep: its folder, what is wanted (the frozen space), what is recorded, and what is lacking."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from tune_app import space as spaces
from tune_app.data.identity import NO_DATA, DataIdentity
from tune_app.errors import RunError, TuneAppError, disk_is_full
from tune_app.space import Config, SearchSpace
from tune_app.status import Status
from tune_app.sweep import control, trust
from tune_app.sweep.configurations import UNREVIVED, Configuration, Revival
from tune_app.sweep.events import Created, Event, Extended, Numerics, Planned, Saved, TestOpened
from tune_app.sweep.files import write_view
from tune_app.sweep.history import History
from tune_app.sweep.opened_folder import OpenedFolder, in_use, remove, replacing
from tune_app.sweep.paths import RunPaths, check_contained, is_run, new_folder, no_such_run
from tune_app.sweep.record import VERSION, Mirror, Position, Record, Scores, read
from tune_app.sweep.trial_spec import SweepSettings, TrialSpec
from tune_app.text import Notify

#: How long to wait for a run that is in use: whoever only looks whether it is live locks it for moments.
_BUSY_FOR_S = 0.5


class Sweep:
    """A run folder: made by ``create``, found again by ``open``; written through ``writing``."""

    def __init__(
        self,
        opened: OpenedFolder,
        space: SearchSpace,
        header: Created,
        history: History,
        position: Position,
        identity: str,
    ) -> None:
        self.paths = opened.paths
        #: The name of the run: its folder's.
        self.name = opened.paths.folder.name
        #: The folder whose record was read: nothing is written into another.
        self.opened = opened
        #: What tells this run from all others; see `tune_app.sweep.trust`.
        self.identity = identity
        self.header, self.history = header, history
        self.data, self.numerics = header.data, header.numerics
        self.want(space)
        self.scores = Scores(self.paths.scores)
        self._position = position
        self._record: Record | None = None

    @classmethod
    def create(
        cls,
        space: SearchSpace,
        data: DataIdentity = NO_DATA,
        runs_dir: Path | str = "runs",
        name: str | None = None,
        numerics: Numerics | None = None,
        taken: Collection[str] = (),
        **origin: Any,
    ) -> Sweep:
        """Create a run folder with a record of the frozen space and of the configurations known in advance.

        For ``name`` and ``taken`` see `new_folder`. ``origin`` goes into the record's first event. The record
        is moved into place last: a folder without one, left by a crash, is free to be used.
        """
        with new_folder(Path(runs_dir), name, space.name, taken) as folder:
            paths = RunPaths(folder)
            created = Created(
                version=VERSION,
                space=space.name,
                task=space.task,
                yaml=space.dump(),
                seed=space.seed,
                data=data,
                numerics=numerics or Numerics(),
                **origin,
            )
            with replacing(paths.record) as partial:
                partial.unlink(missing_ok=True)
                with closing(Record(partial)) as record:
                    record.append(created)
                    for planned in plan_of(space, data, History()):
                        record.append(planned)
                trust.remember(trust.identity_of_run(partial), trust.named(space, origin.get("source"), None))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str, to_undo: bool = False) -> Sweep:
        """Read a run folder; ``to_undo`` even if its last extension asks for more than can be trained."""
        folder = Path(folder)
        paths = RunPaths(folder)
        if not is_run(folder):
            raise RunError(no_such_run(folder))
        check_contained(folder)
        opened, identity = OpenedFolder(paths), trust.identity_of_run(paths.record)
        history = History()
        position = history.fold(read(paths.record), str(paths.record))
        if (header := history.header) is None:
            raise RunError(f"{paths.record}: holds no sweep: it has no whole line. Remove {folder}.")
        space = _wanted(header, history, paths)
        if not to_undo and (excess := spaces.excess(space)):
            undo = f" To undo the extension: tune-app extend {folder.name} --undo" * bool(history.extensions)
            raise RunError(f"{folder}: {excess}.{undo}")
        return cls(opened, space, header, history, position, identity)

    def want(self, space: SearchSpace) -> None:
        """Use ``space`` from now on."""
        self.space = space
        self.settings = SweepSettings.of(space, self.numerics)

    def refresh(self) -> None:
        """Read what another process has recorded since; raises FolderChanged."""
        self.opened.verify()
        known = self.history.wanted
        found = read(self.paths.record, self._position)
        self._position = self.history.fold(found, str(self.paths.record), self._position)
        if self.history.wanted != known:
            self.want(_wanted(self.header, self.history, self.paths))

    @contextmanager
    def writing(self, mirror: Mirror | None = None) -> Iterator[Sweep]:
        """Be the only writer of this run within the context; raises RunError, FolderChanged."""
        check_contained(self.paths.folder, written=True)
        # Requests to an earlier process. Those that come once the lock is held are for this one.
        stale = [path for path in self.paths.control.glob("*") if path.is_file()]
        shown = control.openings(self.paths.control)
        with ExitStack() as stack:
            try:
                stack.enter_context(self.opened.locked(_BUSY_FOR_S))
            except Timeout as error:
                raise self.busy_error() from error
            except OSError as error:
                if disk_is_full(error):
                    raise
                raise RunError(
                    f"{self.paths.folder}: cannot be written: {error.strerror}. Fix its permissions, or "
                    "leave out --name to start a new run."
                ) from error
            self._check_header()
            self.opened.pin(self.paths.scores)
            self.refresh()
            self._record = Record(self.paths.record, mirror, self._position, self.opened.verify)
            try:
                if mirror or not self.history.session.storage:
                    for opening in shown:
                        self.note(opening, durable=True)
                    for path in stale:
                        remove(path)
                yield self
            finally:
                record, self._record = self._record, None
                record.close()

    @contextmanager
    def rewriting(self) -> Iterator[None]:
        """Allow writing results, report and other derived files within the context; raises FolderChanged."""
        with self.opened.kept_open():
            self._check_header()
            yield

    def _check_header(self) -> None:
        """Raise FolderChanged if another run's record has got the inode of the one that was read."""
        if trust.identity_of_run(self.paths.record) != self.identity:
            raise self.opened.changed()

    def extend(
        self, space: SearchSpace, asked: str, from_start: bool, absorbs: int = 0, revival: Revival = UNREVIVED
    ) -> int:
        """Record a wider ``space`` and the arguments ``asked``; returns the number of new configurations.

        Recorded configurations keep their numbers, and new ones come after them. For the rest see `Extended`.
        """
        samples, lost = [each.sample for each in revival.configurations], [*revival.lost]
        absorbs, text = absorbs if self.history.settlings else 0, space.dump()
        extended = Extended(
            space=text, asked=asked, from_start=from_start, absorbs=absorbs, revives=samples, lost=lost
        )
        self.note(extended, durable=True)
        self.want(space)
        return self.record_planned_points()

    def record_planned_points(self) -> int:
        """Record the points that the space knows in advance and the record lacks; returns how many."""
        new = plan_of(self.space, self.data, self.history)
        for planned in new:
            self.note(planned)
        return len(new)

    def busy_error(self) -> RunError:
        """The error for a second process that wants to write this run."""
        return RunError(
            f"{self.paths.folder}: another tune-app process is working on this run. Wait for it, "
            "end it, or leave out --name to start a new run."
        )

    def live(self) -> bool:
        """Whether a process is writing this run now."""
        return in_use(self.paths)

    def statuses(self, live: bool = False) -> list[Status]:
        """The status of each configuration; ``live`` says whether a session is running."""
        configurations = self.history.configurations.values()
        return [self.history.status(each, each.replicates(self.space), live) for each in configurations]

    def note(self, event: Event, *, durable: bool = False) -> Event:
        """Record an event, then apply it to ``history``."""
        if self._record is None:
            raise RuntimeError("Sweep.note outside of Sweep.writing")
        self.history.check(event)  # one that cannot be read again is not recorded
        noted = self._record.append(event, durable=durable)
        self._position = self._record.position
        self.history.apply(noted)
        return noted

    @property
    def test_openings(self) -> list[TestOpened]:
        """When people were shown all test figures, also where that is still to be recorded."""
        return [*self.history.test_openings, *control.openings(self.paths.control)]

    def record_opening(self, by: str, notify: Notify) -> None:
        """Record that people are shown all test figures; in the ``paper``'s tables once.

        A request in ``control/`` asks the next process that writes the run to do so, if another writes it now
        or the record is mirrored: each of its events has to be mirrored.
        """
        event = TestOpened(by=by)
        if by == "paper" and any(each.by == by for each in self.test_openings):
            return
        if not self.live() and not self.history.session.storage:
            with suppress(RunError), self.writing():
                self.note(event, durable=True)
                return
        try:
            with self.rewriting():
                control.ask(self.paths.control, {"do": "opened", "by": by})
        except (OSError, TuneAppError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            notify(f"note: {self.paths.folder}: it is not recorded that test figures were shown: {why}")

    def sync_if_due(self) -> None:
        """Let an event wait a second at most for the disk; raises FolderChanged."""
        if self._record:
            self._record.sync_if_due()

    def lacking(self) -> list[TrialSpec]:
        """What is wanted minus what is recorded: for each configuration the replicates still to train."""
        return [spec for each in self.history.configurations.values() for spec in self.lacking_of(each)]

    def outstanding(self) -> int:
        """How many trials are still to be run, those that a searcher is yet to suggest included."""
        asked = sum(configuration.asked for configuration in self.history.configurations.values())
        wanted = (self.space.search.samples or 0) if self.space.search.algorithm == "optuna" else 0
        waiting = sum(each.paused for each in self.history.configurations.values())
        return len(self.lacking()) + waiting + max(0, wanted - asked)

    def complete_and_trained(self) -> bool:
        """Whether nothing is left to do: no trial to run, no point to record, no settling that goes on."""
        history = self.history
        return not (self.outstanding() or history.settling or plan_of(self.space, self.data, history))

    def lacking_of(self, configuration: Configuration) -> list[TrialSpec]:
        """What one configuration lacks: a trial for all replicates that resume from the same checkpoint.

        Whether the checkpoint is whole is checked where it is used: counting reads none.
        """
        if configuration.duplicate_of is not None:
            return []
        groups: dict[Saved | None, list[int]] = {}
        for replicate in configuration.replicates(self.space):
            if configuration.lacks(replicate, self.space.epochs):
                last = configuration.last(replicate)
                groups.setdefault(last.saved if last else None, []).append(replicate)
        stopped_at = configuration.stopped_at
        return [
            TrialSpec(
                configuration.sample,
                configuration.config,
                tuple(replicates),
                stopped_at or self.space.epochs,
                self.settings,
                saved,
                follows=configuration.revived or replicates[0] != self.space.first_replicate,
                tested=stopped_at is None,
            )
            for saved, replicates in groups.items()
        ]

    def restore_views(self, notify: Notify) -> None:
        """Write ``space.yaml`` and ``provenance.json`` as the record has them."""
        write_view(self.paths.space, self.history.wanted, notify)
        if self.history.openings:
            text = json.dumps(self.history.openings[0].provenance, indent=2)
            write_view(self.paths.provenance, f"{text}\n", notify)

    def test_images_edited(self, images: bytes) -> bool:
        """Whether the content of ``test_images.csv`` is other than recorded; False where nothing is."""
        known = [opened.test_images_crc32 for opened in self.history.openings]
        recorded = [crc32 for crc32 in known if crc32 is not None]
        return bool(recorded) and zlib.crc32(images) != recorded[-1]

    def prune(self) -> tuple[int, int]:
        """Remove all checkpoints and weights; returns how many files that were, and their bytes."""
        with self.writing():
            files = [path for path in self.paths.checkpoints.glob("*") if path.is_file()]
            size_bytes = sum(path.stat().st_size for path in files)
            for path in files:
                remove(path)
        return len(files), size_bytes

    def is_intact(self, saved: Saved) -> bool:
        """Whether a checkpoint is there and undamaged; without it a trial starts again from epoch 0."""
        try:
            return zlib.crc32((self.paths.checkpoints / saved.file).read_bytes()) == saved.crc32
        except OSError:
            return False


def _wanted(header: Created, history: History, paths: RunPaths) -> SearchSpace:
    """The space as the last extension left it; raises RunError if that names another code than the header."""
    first = spaces.parse(header.yaml, file=str(paths.space), name=header.space, recorded=True)
    if not history.extensions:
        return first
    now = spaces.parse(history.wanted, file=str(paths.space), name=header.space, recorded=True)
    for key, then, named in (
        ("task", first.task, now.task),
        ("search.sampler", first.search.sampler, now.search.sampler),
    ):
        if then != named:
            raise RunError(
                f"{paths.record}: the run began with {key}: {then}, and an extension has {key}: {named}. "
                "Restore the file from a copy."
            )
    return now


def find_sample(sweep: Sweep, trial: str) -> int:
    """The sample that a user means by ``12`` or ``12.1``; for a point drawn before, the first sample of it.

    Raises:
        RunError: there is none of that number.
    """
    number, history = trial.partition(".")[0], sweep.history
    known = history.configurations
    found = known.get(int(number)) if number.isascii() and number.isdigit() else None
    if found and ("." not in trial or trial in history.attempts):
        return found.duplicate_of or found.sample
    if found:
        there = ", ".join(attempt.trial for attempt in found.attempts) or "none yet"
    else:
        there = f"1 to {max(known)}, the numbers of their samples" if known else "none yet"
    raise RunError(
        f'{sweep.name}: no trial called "{trial}". There are: {there}. See: tune-app show {sweep.name}'
    )


def fingerprint(task: str, config: Config, data: DataIdentity) -> str:
    """Identity of a configuration: SHA-256 of the canonical JSON of task, parameters, data and split.

    Never of epochs, seeds, search, stop, metric or resources: those say how much is wanted, not what.
    """
    identity = {"task": task, "config": dict(config), "data": data.fingerprint, "split": data.split}
    return hashlib.sha256(spaces.canonical(identity).encode()).hexdigest()


def plan_of(space: SearchSpace, data: DataIdentity, history: History) -> list[Planned]:
    """An event for every point that a space knows in advance and a record lacks.

    A point that the record has as often as the space wants it is not planned again. One that comes a
    second time trains nothing: its ``duplicate_of`` names the first.
    """
    recorded = [c for c in history.configurations.values() if not c.asked]
    there = Counter(c.fingerprint for c in recorded)
    first = {c.fingerprint: c.sample for c in reversed(history.configurations.values())}
    found: list[Planned] = []
    for config in space.planned():
        identity = fingerprint(space.task, config, data)
        if there[identity]:
            there[identity] -= 1
            continue
        sample = len(history.configurations) + len(found) + 1
        earlier = first.setdefault(identity, sample)
        duplicate_of = earlier if earlier != sample else None
        found.append(
            Planned(sample=sample, fingerprint=identity, config=dict(config), duplicate_of=duplicate_of)
        )
    return found
