"""The trials of a sweep that are still to start, in order; a searcher may suggest more of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

from tune_app import stopping
from tune_app.driver import logs
from tune_app.errors import SpaceError
from tune_app.space import SearchSpace, Value
from tune_app.stopping import Stopper, order_key
from tune_app.sweep import Sweep
from tune_app.sweep.code import CodeState
from tune_app.sweep.configurations import Configuration
from tune_app.sweep.events import Event, Planned
from tune_app.sweep.history import History
from tune_app.sweep.sweep import fingerprint
from tune_app.sweep.trial_spec import TrialFiles, TrialSpec


class Searcher(Protocol):
    """Suggests points, and learns of every event that is recorded."""

    def ask(self, sample: int) -> dict[str, Value]:
        """A configuration to be tried as that sample. Raises SpaceError when it can suggest none."""

    def observe(self, event: Event, history: History) -> None:
        """An event has been recorded and taken into ``history``. Never raises."""


class TrialQueue:
    """The trials that may start, in order.

    Where early stopping compares configurations, their order matters. It is then drawn from the sweep's seed,
    so that a resumed sweep continues in the order that it began with. ``record`` records the event of a
    suggested configuration. Of ``slots`` trials at a time, those that would stay empty get a share of the
    replicates.
    """

    def __init__(
        self,
        sweep: Sweep,
        stopper: Stopper,
        searcher: Searcher | None,
        record: Callable[[Planned], object],
        slots: int,
    ) -> None:
        self._sweep, self._stopper, self._searcher, self._record = sweep, stopper, searcher, record
        configurations = sweep.history.configurations.values()
        self._samples = {each.fingerprint: each.sample for each in reversed(configurations)}
        self._slots = slots
        self._waiting: deque[TrialSpec] = deque()
        self.add(configurations)
        batch = sweep.history.settling.batches[-1] if sweep.history.settling else None
        #: How many trials there are to run, those included that are still to be suggested. While settling
        #: goes on there may be as many as a batch has seeds.
        self.total = max(len(self._waiting), sweep.outstanding(), sum(batch.seeds) if batch else 0)
        #: Why the searcher suggests nothing more; what it suggested before is trained.
        self.search_error: SpaceError | None = None

    @property
    def waiting(self) -> int:
        """How many trials have yet to be started, but for those that a searcher will suggest."""
        return len(self._waiting)

    def add(self, configurations: Iterable[Configuration]) -> None:
        """Queue what these lack. Early stopping and a sampler do not see replicates that follow others."""
        specs = self._in_order([spec for each in configurations for spec in self._ready(each)])
        whole = parts(self._sweep.space) == 1 and not all(spec.follows for spec in specs)
        if self._sweep.numerics.replicates == "looped" and not whole:
            specs = shard(specs, self._slots)
        self._waiting.extend(specs)

    def pop(self) -> TrialSpec | None:
        """The first trial that waits. One whose checkpoint is missing or damaged starts from epoch 1."""
        if not self._waiting:
            return None
        spec = self._waiting.popleft()
        whole = spec.start is None or self._sweep.is_intact(spec.start)
        return spec if whole else replace(spec, start=None)

    def ask(self) -> bool:
        """Let the searcher plan one more sample; whether it has. A point planned before adds no trial."""
        configurations = self._sweep.history.configurations
        asked = sum(each.asked for each in configurations.values())
        if self._searcher is None or asked >= (self._sweep.space.search.samples or 0):
            return False
        sample = len(configurations) + 1
        try:
            config = self._searcher.ask(sample)
        except SpaceError as error:
            self.search_error = error
            return False
        identity = fingerprint(self._sweep.space.task, config, self._sweep.data)
        first = self._samples.setdefault(identity, sample)
        duplicate_of = first if first != sample else None
        self._record(
            Planned(sample=sample, fingerprint=identity, config=config, duplicate_of=duplicate_of, asked=True)
        )
        self._waiting.extend(self._sweep.lacking_of(configurations[sample]))
        return True

    def retry(self, failed: TrialSpec) -> None:
        """Queue what a failed trial left to train, from its last checkpoint."""
        replicates = set(failed.replicates)
        again = [
            spec.only(tuple(r for r in spec.replicates if r in replicates))
            for spec in self._ready(self._sweep.history.configurations[failed.sample])
            if replicates & set(spec.replicates)
        ]
        self._waiting = deque(self._in_order([*self._waiting, *again]))

    def release_followers(self, leader: TrialSpec) -> None:
        """Queue the replicates that waited for the end of the trial that early stopping judged."""
        if not leader.follows and self._stopper.rule:
            configuration = self._sweep.history.configurations[leader.sample]
            self._waiting.extend(spec for spec in self._ready(configuration) if spec.follows)

    def release(self, configuration: Configuration) -> None:
        """Queue what a configuration that has waited at a rung may train now.

        The rungs of `halving` need every point first; elsewhere a promotion comes before a new point.
        """
        ready = self._ready(configuration)
        if self._sweep.space.stop.promotes:
            self._waiting.extendleft(reversed(ready))
        else:
            self._waiting.extend(ready)

    def _ready(self, configuration: Configuration) -> list[TrialSpec]:
        """What a configuration lacks and may start now: followers wait while early stopping may decide."""
        specs = [] if configuration.paused else self._sweep.lacking_of(configuration)
        return specs[:1] if specs and self._stopper.rule and not specs[0].follows else specs

    def _in_order(self, specs: list[TrialSpec]) -> list[TrialSpec]:
        if not self._stopper.rule:
            return specs
        space, configurations = self._sweep.space, self._sweep.history.configurations

        def place(spec: TrialSpec) -> tuple[bool, float]:
            first = space.stop.promotes and bool(configurations[spec.sample].promoted)
            return not first, order_key(space.seed, spec.sample)

        return sorted(specs, key=place)


def parts(space: SearchSpace) -> int:
    """Into how many trials a configuration may be split at most.

    One where early stopping or a sampler uses the mean of all replicates while they train, and where they
    are stacked, since the size of a stack is part of the numerics. Elsewhere a replicate has the same results
    wherever it is trained, and the record puts the parts together again.
    """
    whole = stopping.make_stopper(space).rule or space.search.algorithm == "optuna"
    return 1 if whole or space.replicates == "stacked" else space.seeds


def shard(specs: Sequence[TrialSpec], slots: int) -> list[TrialSpec]:
    """Split the last trials, which do not fill all slots, into parts; the others stay whole.

    The parts are as small as possible with no more parts than slots, so that the slots end at about the same
    time. Of J trials, the first ``J - J mod slots`` stay whole.
    """
    whole = len(specs) - len(specs) % max(slots, 1)
    cut = list(specs[whole:])
    for most in range(1, max((len(spec.replicates) for spec in cut), default=0)):
        found = [part for spec in cut for part in _cut(spec, most)]
        if len(found) <= slots:
            cut = found
            break
    return [*specs[:whole], *cut]


def _cut(spec: TrialSpec, most: int) -> list[TrialSpec]:
    """A trial in parts of about equal size, of ``most`` replicates at most."""
    count = -(-len(spec.replicates) // most)
    bounds = [len(spec.replicates) * part // count for part in range(count + 1)]
    return [spec.only(spec.replicates[low:high]) for low, high in pairwise(bounds)]


def completed(spec: TrialSpec, sweep: Sweep, code: CodeState, gather: bool) -> TrialSpec:
    """A planned trial as a worker gets it, with what only the session knows: where files go, and the code.

    ``gather`` says that the worker may run on a machine without the run's folder.

    Raises:
        OSError: the checkpoint cannot be read.
    """
    folder = sweep.paths.checkpoints.absolute()
    if gather:
        content = (folder / spec.start.file).read_bytes() if spec.start else None
        files = TrialFiles(str(folder), gather=True, content=content)
    else:
        output = logs.expected(sweep, spec).absolute()
        files = TrialFiles(str(folder), str(output), opened=sweep.opened)
    reported: list[tuple[tuple[int, float | None], ...]] = []
    if spec.start and spec.settings.patience is not None:  # what patience must know up to the checkpoint
        name, _ = spec.settings.stop_metric
        for replicate in spec.replicates:
            rows = sweep.history.configurations[spec.sample].epochs(replicate)
            values = ((epoch, found.get(name)) for epoch, found, _ in rows if epoch <= spec.start.epoch)
            reported.append(tuple(values))
    return replace(spec, files=files, code=code, reported=tuple(reported))
