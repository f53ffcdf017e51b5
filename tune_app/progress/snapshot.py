"""The state of a sweep at one moment and its rate, as plain values for the live view and for Prometheus.

The driver changes the history in another thread meanwhile: its collections are copied before they are
walked, and whatever has ended is looked at only once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tune_app.space import Config, canonical
from tune_app.space.labels import SHORT, Labels
from tune_app.stats.arithmetic import mean
from tune_app.stats.units import MetricUnits
from tune_app.status import ENDED, FAULTY, WAITING, Status
from tune_app.stopping import stages
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt, Configuration, window_mean
from tune_app.sweep.events import Batch
from tune_app.sweep.rung_states import RungState, rung_states

#: Seconds over which a rate is measured.
_WINDOW_S = 10.0


@dataclass(frozen=True)
class Row:
    """One configuration: ``epoch`` is the mean over its replicates, rounded down, None before the first.

    ``values`` holds what each replicate that counts is chosen by, so far; ``ranked``, whether all that count
    have finished. ``done`` counts replicate-epochs that need no more training, those saved by early stopping
    included; ``seconds`` sums its replicates' training.
    """

    sample: int
    config: Config
    state: str
    epoch: int | None = None
    values: tuple[float, ...] = ()
    seconds: float = 0.0
    device: str = ""
    done: int = 0
    ended: bool = False
    reason: str = ""
    duplicate_of: int | None = None
    ranked: bool = False

    @property
    def mean(self) -> float:
        """Mean of the metric; only for a row that has values."""
        return mean(self.values)


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment.

    ``rows`` in the order of their sample numbers; ``newest`` the samples that ended, the last first;
    ``unplanned`` configurations that a searcher has yet to suggest; ``done`` of ``wanted``, and
    ``trained`` in this session or before, are replicate-epochs; where configurations wait at
    ``rungs``, ``wanted`` is what is expected to be trained. ``settling`` says how far that is.
    ``choosing_epochs`` says over which epochs a value of ``Row.values`` is a mean; empty for one epoch.
    """

    metric: str
    choosing_epochs: str
    epochs: int
    varying: list[str]
    rows: list[Row]
    newest: list[int]
    unplanned: int
    done: int
    wanted: int
    trained: int
    best: Row | None
    settling: str = ""
    labels: Labels = field(default_factory=Labels)
    units: MetricUnits = field(default_factory=MetricUnits)
    rungs: list[RungState] = field(default_factory=list)

    @property
    def states(self) -> list[str]:
        """The state of each configuration, those yet to be suggested included."""
        return [row.state for row in self.rows] + [WAITING] * self.unplanned

    @property
    def share(self) -> float:
        """How much of what is wanted is done, 0 to 1."""
        return min(1.0, self.done / self.wanted) if self.wanted else 1.0


class SnapshotTaker:
    """Takes snapshots of one sweep. Rows that have ended are kept from one snapshot to the next."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._expected = sweep.space.size()
        self._ended: dict[int, Row] = {}
        self._batch: Batch | None = None
        self._labels, self._named = Labels(most=SHORT, given=sweep.space.labels), 0

    def take(self, live: bool = True) -> Snapshot:
        """Take a snapshot; ``live`` says whether a session is running."""
        history, space = self._sweep.history, self._sweep.space
        configurations = list(history.configurations.values())
        settling = history.settling
        if settling and self._batch is not settling.batches[-1]:
            self._batch = settling.batches[-1]
            for each in configurations:
                if each.pending:  # it has ended, and goes on
                    self._ended.pop(each.sample, None)
        rows = {each.sample: self._ended.get(each.sample) or self._row(each, live) for each in configurations}
        for each in configurations:
            if (first := each.duplicate_of) is not None and each.sample not in self._ended:
                same = replace(rows[first], duplicate_of=first, seconds=0.0, done=0)
                rows[each.sample] = replace(same, sample=each.sample, config=each.config)
        for each in configurations[self._named :]:
            self._labels.add(each.config)
        self._named = len(configurations)
        self._ended |= {sample: row for sample, row in rows.items() if row.ended}
        unplanned = max(0, self._expected - len(rows))
        own = [len(each.replicates(space)) for each in configurations if each.duplicate_of is None]
        done = sum(row.done for row in rows.values())
        wanted = (sum(own) + unplanned * space.seeds) * space.epochs
        rungs = rung_states(space, history)
        if rungs:  # what is stopped saves epochs that nobody had planned to train
            left = wanted - done if all(rung.decided for rung in rungs) else self._left(rungs, rows)
            done = space.seeds * sum(row.epoch or 0 for row in rows.values() if row.duplicate_of is None)
            wanted = done + left
        return Snapshot(
            space.metric.name,
            space.choosing_epochs,
            space.epochs,
            _varying(self._sweep, configurations),
            list(rows.values()),
            list(reversed(self._ended)),
            unplanned,
            done,
            wanted,
            sum(len(a.epochs) * len(a.replicates) for a in list(history.attempts.values())),
            self._best(rows),
            settling.line if settling else "",
            self._labels,
            MetricUnits(history.shares_out_of_range),
            rungs,
        )

    def _left(self, rungs: Sequence[RungState], rows: Mapping[int, Row]) -> int:
        """Replicate-epochs that are left if each rung promotes as many as its rule says."""
        space = self._sweep.space
        kept = stages(space, rungs[0].size)
        left, begin, coming = 0, 0, rungs[0].size
        for rung, promoted in zip(rungs, kept, strict=True):
            left += (coming - rung.came) * (rung.epoch - begin)
            coming = len(rung.promoted) if rung.decided else max(promoted, len(rung.promoted))
            begin = rung.epoch
        left += (coming - sum(rows[sample].ended for sample in rungs[-1].promoted)) * (space.epochs - begin)
        for row in rows.values():
            if row.duplicate_of is None and not row.ended and row.state != Status.PAUSED:
                passed = [rung.epoch for rung in rungs if row.sample in rung.promoted]
                left -= (row.epoch or 0) - max(passed, default=0)
        return max(left, 0) * space.seeds

    def _row(self, configuration: Configuration, live: bool) -> Row:
        sample, config, space = configuration.sample, configuration.config, self._sweep.space
        replicates = configuration.replicates(space)
        newest = {replicate: configuration.last(replicate) for replicate in replicates}
        begun = {replicate: attempt for replicate, attempt in newest.items() if attempt}
        if not begun:
            return Row(sample, config, WAITING, duplicate_of=configuration.duplicate_of)
        status = self._sweep.history.status(configuration, replicates, live)
        state = WAITING if status == Status.PLANNED or (live and status == Status.INTERRUPTED) else status
        states = {replicate: attempt.status(replicate, live) for replicate, attempt in begun.items()}
        running = sum(a.epoch for r, a in begun.items() if states[r] in (Status.RUNNING, Status.PAUSED))
        counted = self._sweep.history.counted(configuration, space)
        found = [
            window_mean(configuration.epochs(replicate), space, space.metric.name)
            for replicate, attempt in begun.items()
            if replicate in counted and replicate not in attempt.diverged
        ]
        return Row(
            sample,
            config,
            state,
            epoch=sum(attempt.epoch for attempt in begun.values()) // len(replicates),
            values=tuple(each for each in found if each is not None),
            seconds=sum(_seconds(attempt, replicate) for replicate, attempt in begun.items()),
            device="+".join(dict.fromkeys(attempt.device for attempt in begun.values() if attempt.device)),
            done=running + space.epochs * sum(each in ENDED for each in states.values()),
            ranked=self._sweep.history.status(configuration, counted, live) == Status.FINISHED,
            ended=len(begun) == len(replicates) and ENDED.issuperset(states.values()),
            reason=next((a.fault for a in begun.values() if a.fault), "") if state in FAULTY else "",
        )

    def _best(self, rows: dict[int, Row]) -> Row | None:
        """The best finished configuration; if none has finished, the best that is running or paused."""
        having = [row for row in rows.values() if row.values]
        begun = [row for row in having if row.state in (Status.RUNNING, Status.PAUSED)]
        for found in ([row for row in having if row.ranked], begun):
            if found:
                history, metric = self._sweep.history, self._sweep.space.metric
                return min(
                    found,
                    key=lambda row: history.place(metric, row.mean, history.configurations[row.sample]),
                )
        return None


def _seconds(attempt: Attempt, replicate: int) -> float:
    index = attempt.replicates.index(replicate)
    return sum(epoch.durations_s[index] for epoch in list(attempt.epochs))


def _varying(sweep: Sweep, configurations: list[Configuration]) -> list[str]:
    """Parameters that differ between configurations, or may: those of the space that are not grids."""
    names = dict.fromkeys(name for each in configurations for name in each.config)
    names |= dict.fromkeys(sweep.space.space)
    drawn = {name for name, sampler in sweep.space.space.items() if sampler.kind != "grid"}
    return [
        name
        for name in names
        if name in drawn
        or len({canonical(each.config[name]) if name in each.config else "" for each in configurations}) > 1
    ]


class Pace:
    """The rate over about ten seconds, or longer if epochs take longer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, trained: int) -> None:
        """Note the number of replicate-epochs trained so far; the first call starts the clock."""
        now = self._clock()
        if not self._seen or trained > self._seen[-1][1]:
            self._seen.append((now, trained))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW_S:
            self._seen.popleft()

    def per_second(self) -> float | None:
        """Replicate-epochs per second, None before the first."""
        if len(self._seen) < 2:
            return None
        (since, before), (_, trained) = self._seen[0], self._seen[-1]
        elapsed = self._clock() - since
        return (trained - before) / elapsed if elapsed > 0 else None
