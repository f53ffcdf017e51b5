"""A snapshot as text: a table that fits the terminal, or plain lines where there is none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from tune_app.progress.snapshot import Row, Snapshot
from tune_app.status import LIVE, WAITING, Status
from tune_app.sweep.rung_states import RungState
from tune_app.text import duration, rate, time_left, wrapped

_STYLES = {
    Status.RUNNING: "cyan",
    Status.FINISHED: "green",
    Status.STOPPED: "yellow",
    Status.INTERRUPTED: "yellow",
    Status.PAUSED: "blue",
    Status.DIVERGED: "red",
    Status.FAILED: "bold red",
    WAITING: "dim",
}
_GAP = 3
_STATE = "state"
_INDENT = 2

#: Lines of the footer that the best configuration may take, and the last failure.
_MOST_LINES = 2


@dataclass(frozen=True)
class Timing:
    """Replicate-epochs a second, None before any; seconds since the start; whether it is over."""

    per_second: float | None
    elapsed_s: float
    over: bool = False


def live(snapshot: Snapshot, timing: Timing, width: int, height: int) -> Group:
    """The table, the bar and the best configuration, within ``width`` columns and ``height`` lines."""
    footer = _footer(snapshot, timing, width)[: max(1, height - 5)]
    room = max(1, height - len(footer) - 4)  # header, "... and more", blank line, the cursor's own line
    shown = _choose(snapshot, room)
    below = [Text(line, overflow="ellipsis", no_wrap=True) for line in ("", *footer)]
    if rest := _rest(snapshot, shown):
        below.insert(0, Text(rest, style="dim", overflow="ellipsis", no_wrap=True))
    return Group(*_table(snapshot, shown, width), *below)


def ended(snapshot: Snapshot, row: Row, number: int) -> str:
    """One line for a configuration that has ended, as the ``number``-th of all."""
    total = len(snapshot.states)
    parts = [
        f"{number:>{len(str(total))}}/{total}",
        _name(snapshot, row, between="  "),
        _measured(snapshot, row),
        f"{_state(row)}: {row.reason}" if row.reason else _state(row),
        _time(row),
        row.device,
    ]
    return " " * _INDENT + (" " * _GAP).join(part for part in parts if part)


def heartbeat(snapshot: Snapshot, timing: Timing) -> str:
    """One line on how far the sweep is."""
    return " " * _INDENT + (" " * _GAP).join([*_progress(snapshot, timing), *_rungs(snapshot)])


def decided(snapshot: Snapshot, rung: RungState) -> str:
    """One line for a rung that has decided on all that came there."""
    said = f"{len(rung.promoted):,} of {rung.size:,} promoted"
    return f"{' ' * _INDENT}{_rung(snapshot, rung)} has decided: {said}"


def _choose(snapshot: Snapshot, room: int) -> list[Row]:
    """What is shown where not all fits: the best, running, the newest that ended, then waiting; by sample."""
    if len(snapshot.rows) <= room:
        return snapshot.rows
    rows = {row.sample: row for row in snapshot.rows}
    running = [sample for sample, row in rows.items() if row.state == Status.RUNNING]
    best = [snapshot.best.sample] if snapshot.best else []
    order = dict.fromkeys([*best, *running, *snapshot.newest, *rows])
    return [rows[sample] for sample in sorted(list(order)[:room])]


def _rest(snapshot: Snapshot, shown: list[Row]) -> str:
    samples = {row.sample for row in shown}
    states = [row.state for row in snapshot.rows if row.sample not in samples]
    states += [WAITING] * snapshot.unplanned
    return f"{' ' * _INDENT}... and {len(states)} more: {count_states(states)}" if states else ""


def count_states(states: list[str]) -> str:
    """``2 finished, 1 running``."""
    found = Counter(states)
    return ", ".join(f"{found[state]} {state}" for state in LIVE if found[state])


def _table(snapshot: Snapshot, rows: list[Row], width: int) -> list[Text]:
    """Lines of aligned columns. Made by hand: rich's Table takes ten times as long, four times a second."""
    columns = _columns(snapshot, rows, width)
    lines = []
    for index in range(1 + len(rows)):
        line = Text(" " * _INDENT, no_wrap=True, overflow="ellipsis")
        for column in columns:
            colour = _STYLES[rows[index - 1].state] if index and column[0] == _STATE else ""
            line.append(column[index], colour if index else "bold")
            line.append(" " * (_width(column) - cell_len(column[index]) + _GAP))
        line.rstrip()
        lines.append(line)
    return lines


def _width(column: list[str]) -> int:
    return max(map(cell_len, column))


def _columns(snapshot: Snapshot, rows: list[Row], width: int) -> list[list[str]]:
    """The columns, each below its header, without those that a narrow terminal has no room for.

    First the device is left out, then the time, then parameters. Where a parameter is left out, or none
    varies, the number of the sample tells the rows apart.
    """
    sample = ["sample", *(str(row.sample) for row in rows)]
    parameters = [[name, *(_value(snapshot, row, name) for row in rows)] for name in snapshot.varying]
    middle = [
        ["epoch", *(_epoch(snapshot, row) for row in rows)],
        [snapshot.metric, *(_measured(snapshot, row) for row in rows)],
        [_STATE, *map(_state, rows)],
    ]
    extra = [["time", *map(_time, rows)], ["device", *(row.device for row in rows)]]
    every = len(parameters)
    columns = [sample]
    for kept, more in [(every, 2), (every, 1), *((kept, 0) for kept in range(every, -1, -1))]:
        first = parameters if kept == every > 0 else [sample, *parameters[:kept]]
        columns = [*first, *middle, *extra[:more]]
        if _INDENT + sum(map(_width, columns)) + _GAP * (len(columns) - 1) <= width:
            break
    return columns


def _value(snapshot: Snapshot, row: Row, name: str) -> str:
    return snapshot.labels.value(name, row.config[name]) if name in row.config else "-"


def _measured(snapshot: Snapshot, row: Row) -> str:
    return snapshot.units.measure(snapshot.metric, row.values, unit=True) if row.values else ""


def _epoch(snapshot: Snapshot, row: Row) -> str:
    return "-" if row.epoch is None else f"{row.epoch}/{snapshot.epochs}"


def _state(row: Row) -> str:
    return row.state if row.duplicate_of is None else f"{row.state} like {row.duplicate_of}"


def _time(row: Row) -> str:
    return duration(row.seconds) if row.seconds else ""


def _progress(snapshot: Snapshot, timing: Timing) -> list[str]:
    """Share done, counts, rate, and the time that is left or was taken; before the first epoch, a clock."""
    parts = [f"{int(snapshot.share * 100):3d}%", count_states(snapshot.states), snapshot.settling]
    if timing.per_second:
        parts.append(rate(timing.per_second))
    if timing.over:
        parts.append(f"took {duration(timing.elapsed_s)}")
    elif timing.per_second:
        left = time_left((snapshot.wanted - snapshot.done) / timing.per_second)
        parts.append(f"{left} in this batch" if snapshot.settling else left)
    else:
        parts.append(f"starting: {timing.elapsed_s:.0f} s")
    return [part for part in parts if part]


def _rungs(snapshot: Snapshot) -> list[str]:
    """How far each rung is that has still to decide: the first, and those that somebody has come to."""
    found, whole = [], True
    for rung in snapshot.rungs:
        if not rung.decided and (whole or rung.came):
            came = f"{rung.came:,} of {rung.size:,} came" if whole else f"{rung.came:,} came"
            waiting, gone_on = f"{len(rung.paused):,} paused", f"{len(rung.promoted):,} promoted"
            found.append(f"{_rung(snapshot, rung)}: {came}, {waiting}, {gone_on}")
        whole = rung.decided  # else more may come to the next rung
    return found


def _rung(snapshot: Snapshot, rung: RungState) -> str:
    return f"rung {rung.number}/{len(snapshot.rungs)} (epoch {rung.epoch})"


def _footer(snapshot: Snapshot, timing: Timing, width: int) -> list[str]:
    cells = 30 if width >= 80 else 16
    full = int(snapshot.share * cells)
    share, *others = _progress(snapshot, timing)
    lines = _pack([f"{'=' * full}{'-' * (cells - full)}  {share}", *others], width)
    lines += _pack(_rungs(snapshot), width)[:_MOST_LINES]
    if (best := snapshot.best) and not timing.over:
        at = "" if best.ranked else f", at epoch {_epoch(snapshot, best)}"
        by = f", by the {snapshot.choosing_epochs}" if snapshot.choosing_epochs else ""
        said = f"best so far{by}: {_measured(snapshot, best)}{at}   {_name(snapshot, best)}"
        lines += wrapped(said, width, _MOST_LINES).splitlines()
    failed = next((row for row in reversed(snapshot.rows) if row.reason), None)
    if failed:
        said = f"{failed.state}: {_name(snapshot, failed)}: {failed.reason}"
        lines += wrapped(said, width, _MOST_LINES).splitlines()
    return lines


def _pack(parts: list[str], width: int) -> list[str]:
    """Parts side by side, on as few lines as they fit on."""
    lines = parts[:1]
    for part in parts[1:]:
        joined = f"{lines[-1]}{' ' * _GAP}{part}"
        if cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _name(snapshot: Snapshot, row: Row, between: str = ", ") -> str:
    return snapshot.labels.point(row.config, snapshot.varying, between) or f"sample {row.sample}"
