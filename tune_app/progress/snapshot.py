"""The state of a sweep at one moment, as plain values for the live view and for Prometheus.

The driver changes the history in another thread meanwhile: its collections are copied before they are
walked, and whatever has ended is looked at only once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tune_app.space import Config, canonical
from tune_app.space.labels import SHORT, Labels
from tune_app.stats.arithmetic import mean
from tune_app.stats.units import MetricUnits
from tune_app.status import ENDED, FAULTY, WAITING, Status
from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt, Configuration, rank_key


@dataclass(frozen=True)
class Row:
    """One configuration: ``epoch`` is the mean over its replicates, rounded down, None before the first.

    ``values`` holds the metric of each replicate that has one; ``done`` counts replicate-epochs that need
    no more training, those saved by early stopping included; ``seconds`` sums its replicates' training.
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

    @property
    def mean(self) -> float:
        """Mean of the metric; only for a row that has values."""
        return mean(self.values)


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment.

    ``rows`` in the order of their sample numbers; ``newest`` the samples that ended, the last first;
    ``unplanned`` configurations that a searcher has yet to suggest; ``done`` of ``wanted``, and
    ``trained`` in this session or before, are replicate-epochs.
    """

    metric: str
    epochs: int
    varying: list[str]
    rows: list[Row]
    newest: list[int]
    unplanned: int
    done: int
    wanted: int
    trained: int
    best: Row | None
    labels: Labels = field(default_factory=Labels)
    units: MetricUnits = field(default_factory=MetricUnits)

    @property
    def states(self) -> list[str]:
        """The state of each configuration, those yet to be suggested included."""
        return [row.state for row in self.rows] + [WAITING] * self.unplanned

    @property
    def share(self) -> float:
        """How much of what is wanted is done, 0 to 1."""
        return min(1.0, self.done / self.wanted) if self.wanted else 1.0


@dataclass
class SnapshotTaker:
    """Takes snapshots of one sweep. Rows that have ended are kept from one snapshot to the next."""

    sweep: Sweep
    _expected: int = field(init=False)
    _ended: dict[int, Row] = field(init=False, default_factory=dict)
    _labels: Labels = field(init=False, default_factory=lambda: Labels(most=SHORT))
    _named: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._expected = self.sweep.space.size()

    def take(self, live: bool = True) -> Snapshot:
        """Take a snapshot; ``live`` says whether a session is running."""
        history, space = self.sweep.history, self.sweep.space
        configurations = list(history.configurations.values())
        rows = {each.sample: self._ended.get(each.sample) or self._row(each, live) for each in configurations}
        for each in configurations:
            if each.duplicate_of is not None and each.sample not in self._ended:
                rows[each.sample] = _as_duplicate(rows[each.sample], rows[each.duplicate_of])
        self._ended |= {sample: row for sample, row in rows.items() if row.ended}
        for each in configurations[self._named :]:
            self._labels.add(each.config)
        self._named = len(configurations)
        unplanned = max(0, self._expected - len(rows))
        own = len(rows) - sum(each.duplicate_of is not None for each in configurations) + unplanned
        return Snapshot(
            space.metric.name,
            space.epochs,
            _varying(self.sweep, configurations),
            list(rows.values()),
            list(reversed(self._ended)),
            unplanned,
            sum(row.done for row in rows.values()),
            own * space.seeds * space.epochs,
            sum(len(a.epochs) * len(a.replicates) for a in list(history.attempts.values())),
            self._best(rows),
            self._labels,
            MetricUnits(history.shares_out_of_range),
        )

    def _row(self, configuration: Configuration, live: bool) -> Row:
        if not configuration.attempts:
            return Row(
                configuration.sample, configuration.config, WAITING, duplicate_of=configuration.duplicate_of
            )
        space = self.sweep.space
        newest = [(replicate, configuration.last(replicate)) for replicate in space.replicate_numbers]
        begun = [(replicate, a) for replicate, a in newest if a]
        status = self.sweep.history.status(configuration, space.replicate_numbers, live)
        state = WAITING if status == Status.PLANNED or (live and status == Status.INTERRUPTED) else status
        states = [a.status(replicate, live) for replicate, a in begun]
        done = [
            space.epochs if state in ENDED else a.epoch if state == Status.RUNNING else 0
            for state, (_, a) in zip(states, begun, strict=True)
        ]
        found = [
            configuration.value(space.metric, space.evaluate, [replicate])
            for replicate, a in begun
            if replicate not in a.diverged
        ]
        return Row(
            configuration.sample,
            configuration.config,
            state,
            epoch=sum(a.epoch for _, a in begun) // space.seeds,
            values=tuple(each for each in found if each is not None),
            seconds=sum(_seconds(a, replicate) for replicate, a in begun),
            device="+".join(dict.fromkeys(a.device for _, a in begun if a.device)),
            done=sum(done),
            ended=len(begun) == space.seeds and ENDED.issuperset(states),
            reason=next((a.fault for _, a in begun if a.fault), "") if state in FAULTY else "",
        )

    def _best(self, rows: dict[int, Row]) -> Row | None:
        """The best finished configuration, or the best running one if none has finished."""
        for state in (Status.FINISHED, Status.RUNNING):
            ranked = [row for row in rows.values() if row.state == state and row.values]
            if ranked:
                return min(ranked, key=lambda row: rank_key(self.sweep.space.metric, row.mean, row.sample))
        return None


def _seconds(attempt: Attempt, replicate: int) -> float:
    index = attempt.replicates.index(replicate)
    return sum(epoch.durations_s[index] for epoch in list(attempt.epochs))


def _as_duplicate(row: Row, of: Row) -> Row:
    """The row of a duplicate, which shows the outcome of another configuration."""
    return replace(of, sample=row.sample, config=row.config, duplicate_of=of.sample, seconds=0.0, done=0)


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
