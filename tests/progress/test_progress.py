from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tune_app import progress, space, words
from tune_app.progress import drawing
from tune_app.progress.drawing import Timing
from tune_app.progress.pace import Pace
from tune_app.progress.snapshot import Row, Snapshot, Surveyor
from tune_app.progress.watch import PlainLines
from tune_app.space import labels
from tune_app.sweep import Sweep
from tune_app.sweep.events import Diverged, Epoch, Event, Failed, Finished, Opened, Planned, Started, Stopped

GRID = """
task: pneumonia
space: {lr: {grid: [3e-6, 3e-5]}, step_size: {grid: [4, 8]}}
fixed: {gamma: 0.4}
epochs: 4
seeds: 2
metric: {name: val_accuracy, mode: max}
"""


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A sweep that is trained by hand, event by event, as a driver would record it."""

    def __init__(self, folder: Path, text: str = GRID, name: str = "hand") -> None:
        path = folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        self.sweep = Sweep.create(space.load(path), runs_dir=folder / "runs")

    def start(self, sample: int, *replicates: int) -> str:
        trial = self.sweep.history.next_trial(sample)
        chosen = list(replicates) or list(range(self.sweep.space.seeds))
        target = self.sweep.space.epochs
        self.sweep.note(
            Started(trial=trial, sample=sample, replicates=chosen, epoch=0, target=target, node="n")
        )
        return trial

    def epoch(self, trial: str, values: list[float | None], device: str = "cpu", s: float = 0.5) -> None:
        attempt = self.sweep.history.attempts[trial]
        self.sweep.note(
            Epoch(
                trial=trial,
                epoch=attempt.epoch + 1,
                device=device,
                metrics={self.sweep.space.metric.name: values},
                durations_s=[s] * len(values),
            )
        )

    def finish(self, sample: int, values: list[float | None]) -> None:
        trial = self.start(sample)
        for _ in range(self.sweep.space.epochs):
            self.epoch(trial, values)
        self.end(trial)

    def end(self, trial: str, event: str = "finished") -> None:
        attempt = self.sweep.history.attempts[trial]
        evaluated = [attempt.epoch] * len(attempt.replicates)
        known: dict[str, Event] = {
            "finished": Finished(trial=trial, epoch=attempt.epoch, evaluated=evaluated, test={}, scores=None),
            "failed": Failed(trial=trial, reason="ValueError: no", log="logs/x.log"),
            "stopped": Stopped(trial=trial, reason="early"),
        }
        self.sweep.note(known[event])


@contextmanager
def run(folder: Path, text: str = GRID) -> Iterator[Run]:
    made = Run(folder, text)
    with made.sweep.writing():
        yield made


def look(made: Run, live: bool = True) -> Snapshot:
    return Surveyor(made.sweep).look(live)


def drawn(snapshot: Snapshot, width: int = 100, height: int = 40, timing: Timing | None = None) -> list[str]:
    """The lines of the table as a terminal of that size shows them."""
    console = Console(file=io.StringIO(), record=True, width=width, height=height, force_terminal=True)
    console.print(drawing.live(snapshot, timing or Timing(None, 0.0), width, height))
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "taken", "left"),
    [
        (0.04, "0.0 s", "0 s left"),
        (18.04, "18.0 s", "18 s left"),
        (59.97, "1 min 00 s", "60 s left"),
        (125, "2 min 05 s", "2 min left"),
        (3599.9, "1 h 00 min", "1 h 00 min left"),
        (7500, "2 h 05 min", "2 h 05 min left"),
    ],
)
def test_durations(seconds: float, taken: str, left: str) -> None:
    assert (words.duration(seconds), words.left(seconds)) == (taken, left)


def test_pace_is_that_of_the_last_ten_seconds() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.per_second() is None
    pace.note(1000)  # trained in an earlier sitting
    assert pace.per_second() is None
    for second in range(1, 61):
        clock.now += 1
        pace.note(1000 + 10 * min(second, 30) + 100 * max(0, second - 30))
    assert pace.per_second() == pytest.approx(100)


def test_pace_of_epochs_that_take_a_minute_each_does_not_fall_to_nothing() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(4):
        pace.note(int((clock.now - 100) // 60) * 5)
        clock.now += 60
    for _ in range(55):
        clock.now += 1
        pace.note(15)
    assert pace.per_second() == pytest.approx(5 / 60, rel=0.7)


def test_snapshot_of_every_state(tmp_path: Path) -> None:
    text = GRID.replace("[4, 8]", "[4, 8, 2, 1]")
    with run(tmp_path, text) as made:
        made.finish(1, [0.9, 0.94])
        stopped = made.start(2)
        made.epoch(stopped, [0.5, 0.6])
        made.end(stopped, "stopped")
        diverged = made.start(3)
        made.epoch(diverged, [0.99, None], device="gpu 0")
        made.sweep.note(Diverged(trial=diverged, epoch=1, replicates=[1]))
        made.end(diverged)
        made.end(made.start(4), "failed")
        running = made.start(5)
        made.epoch(running, [0.95, 0.95], s=0.25)
        made.epoch(running, [0.97, 0.97], s=0.25)
        made.epoch(made.start(6, 1), [0.3])
        snapshot = look(made)
    assert snapshot.states == [
        *["finished", "stopped", "diverged", "failed"],
        *["running", "running", "waiting", "waiting"],
    ]
    rows = {row.sample: row for row in snapshot.rows}
    assert rows[1] == Row(
        1, rows[1].config, "finished", 4, (0.9, 0.94), 4.0, "cpu", 8, ended=True, reason="", twin=None
    )
    assert [row.done for row in snapshot.rows] == [8, 8, 8, 8, 4, 1, 0, 0]
    assert (snapshot.done, snapshot.wanted, snapshot.trained) == (37, 64, 8 + 2 + 2 + 4 + 1)
    assert rows[3].values == (0.99,)
    assert rows[3].device == "gpu 0"
    assert rows[4].reason == "ValueError: no"
    assert (rows[5].epoch, rows[5].values, rows[5].seconds) == (2, (0.97, 0.97), 1.0)
    assert rows[6].epoch == 0, "one of two replicates has begun: the mean is a half"
    assert rows[7].epoch is None
    assert snapshot.varying == ["lr", "step_size"]
    assert snapshot.newest == [4, 3, 2, 1]
    assert snapshot.best == rows[1], "the running one is better, but has not finished"


def test_before_any_has_finished_the_best_running_one_is_the_best(tmp_path: Path) -> None:
    text = GRID.replace("val_accuracy, mode: max", "val_loss, mode: min")
    with run(tmp_path, text) as made:
        made.epoch(made.start(1), [0.5, 0.5])
        made.epoch(made.start(2), [0.4, 0.4])
        best = look(made).best
    assert best is not None
    assert best.sample == 2


def test_best_epoch_is_shown_where_the_space_evaluates_it(tmp_path: Path) -> None:
    with run(tmp_path, GRID + "evaluate: best\n") as made:
        trial = made.start(1)
        for values in ([0.5, 0.8], [0.9, 0.7], [0.6, 0.6]):
            made.epoch(trial, list(values))
        assert look(made).rows[0].values == (0.9, 0.8)


def test_replicates_dealt_out_over_trials_are_one_row(tmp_path: Path) -> None:
    with run(tmp_path) as made:
        first, second = made.start(1, 0), made.start(1, 1)
        for _ in range(4):
            made.epoch(first, [0.9], device="gpu 0")
        made.epoch(second, [0.5], device="gpu 1")
        made.end(first)
        row = look(made).rows[0]
        assert (row.state, row.epoch, row.done, row.values) == ("running", 2, 5, (0.9, 0.5))
        assert row.device == "gpu 0+gpu 1"
        for _ in range(3):
            made.epoch(second, [0.7])
        made.end(second)
        assert look(made).rows[0].state == "finished"


def test_what_a_crash_cut_off_waits_again_and_reads_interrupted_at_the_end(tmp_path: Path) -> None:
    with run(tmp_path) as made:
        made.epoch(made.start(1), [0.5, 0.5])
        made.sweep.note(Opened(provenance={}))
        made.epoch(made.start(2), [0.5, 0.5])
        assert [row.state for row in look(made).rows[:2]] == ["waiting", "running"]
        assert look(made).done == 2
        assert [row.state for row in look(made, live=False).rows[:2]] == ["interrupted", "interrupted"]


def test_a_twin_shows_the_outcome_of_its_original_and_asks_for_no_work(tmp_path: Path) -> None:
    text = GRID.replace("step_size: {grid: [4, 8]}", "gamma: {choice: [0.4]}").replace(
        "fixed: {gamma: 0.4}", ""
    )
    with run(tmp_path, text + "search: {algorithm: random, samples: 2}\n") as made:
        twins = {each.sample: each.twin for each in made.sweep.history.configurations.values()}
        assert twins == {1: None, 2: None, 3: 1, 4: 2}
        before = look(made)
        assert (before.wanted, before.states) == (2 * 2 * 4, ["waiting"] * 4)
        made.finish(1, [0.9, 0.9])
        after = look(made)
    assert after.states == ["finished", "waiting", "finished", "waiting"]
    assert after.done == 8
    assert drawn(after)[3].split() == [
        "3e-6",
        "0.4",
        "4/4",
        "90.0%",
        "(90.0,",
        "90.0)",
        "finished",
        "like",
        "1",
        "cpu",
    ]


def test_optunas_configurations_are_expected_before_they_are_known(tmp_path: Path) -> None:
    text = """
task: pneumonia
space: {lr: {loguniform: [1e-7, 1e-3]}, gamma: {uniform: [0.1, 0.9]}}
search: {algorithm: optuna, samples: 20}
epochs: 4
seeds: 2
"""
    with run(tmp_path, text) as made:
        snapshot = look(made)
        assert (snapshot.rows, snapshot.unplanned, snapshot.wanted) == ([], 20, 160)
        assert snapshot.varying == ["lr", "gamma"]
        assert "  ... and 20 more: 20 waiting" in drawn(snapshot)
        made.sweep.note(Planned(sample=1, fingerprint="f", config={"lr": 1e-5, "gamma": 0.5}, twin=None))
        made.epoch(made.start(1), [0.5, 0.6])
        snapshot = look(made)
    assert (len(snapshot.rows), snapshot.unplanned, snapshot.wanted) == (1, 19, 160)


def test_table_at_100_columns(tmp_path: Path) -> None:
    with run(tmp_path) as made:
        made.finish(1, [0.93, 0.94])
        trial = made.start(2)
        made.epoch(trial, [0.8, 0.82], device="gpu 0")
        lines = drawn(look(made), timing=Timing(4.0, 3.0))
    assert lines == [
        "  lr     step_size   epoch   val_accuracy         state      time    device",
        "  3e-6   4           4/4     93.5% (93.0, 94.0)   finished   4.0 s   cpu",
        "  3e-6   8           1/4     81.0% (80.0, 82.0)   running    1.0 s   gpu 0",
        "  3e-5   4           -                            waiting",
        "  3e-5   8           -                            waiting",
        "",
        "=========---------------------   31%   1 finished, 1 running, 2 waiting   4 epochs/s   6 s left",
        "best so far: 93.5% (93.0, 94.0)   lr 3e-6, step_size 4",
    ]


def test_before_the_first_epoch_a_clock_shows_that_it_lives(tmp_path: Path) -> None:
    with run(tmp_path) as made:
        snapshot = look(made)
    assert drawn(snapshot, timing=Timing(None, 7.6))[-1].endswith("    0%   4 waiting   starting: 8 s")
    assert drawing.heartbeat(snapshot, Timing(None, 12.0)) == "    0%   4 waiting   starting: 12 s"


def test_table_at_60_columns_drops_device_and_time_and_packs_the_footer(tmp_path: Path) -> None:
    with run(tmp_path) as made:
        made.finish(1, [0.93, 0.94])
        made.end(made.start(2), "failed")
        lines = drawn(look(made), width=60, timing=Timing(4.0, 3.0))
    assert lines == [
        "  lr     step_size   epoch   val_accuracy         state",
        "  3e-6   4           4/4     93.5% (93.0, 94.0)   finished",
        "  3e-6   8           0/4                          failed",
        "  3e-5   4           -                            waiting",
        "  3e-5   8           -                            waiting",
        "",
        "========--------   50%   1 failed, 1 finished, 2 waiting",
        "4 epochs/s   4 s left",
        "best so far: 93.5% (93.0, 94.0)   lr 3e-6, step_size 4",
        "failed: lr 3e-6, step_size 8: ValueError: no",
    ]


def test_parameters_that_find_no_room_give_way_to_the_samples_number(tmp_path: Path) -> None:
    names = [f"a_rather_long_parameter_{i}" for i in range(4)]
    text = "task: pneumonia\nspace: {" + ", ".join(f"{name}: {{grid: [1, 2]}}" for name in names) + "}\n"
    with run(tmp_path, text) as made:
        narrow, wide = drawn(look(made), width=60), drawn(look(made), width=200)
    assert narrow[0] == "  sample   epoch   val_accuracy   state"
    assert narrow[1].split() == ["1", "-", "waiting"]
    assert wide[0].split()[:4] == names


def test_a_single_configuration_is_named_by_its_number(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{lr: 1e-3}]\nseeds: 2\nepochs: 1\n"
    with run(tmp_path, text) as made:
        made.finish(1, [0.5, 0.5])
        snapshot = look(made)
    assert drawn(snapshot)[0].split()[0] == "sample"
    assert "sample 1" in drawing.ended(snapshot, snapshot.rows[0], 1)


def test_a_parameter_that_exists_only_beside_another_is_a_dash_elsewhere(tmp_path: Path) -> None:
    text = """
task: pneumonia
space:
  optimizer: {grid: [adam, sgd]}
  momentum: {grid: [0.5, 0.9], when: {optimizer: sgd}}
"""
    with run(tmp_path, text) as made:
        lines = drawn(look(made))
    assert [line.split()[:2] for line in lines[1:4]] == [["adam", "-"], ["sgd", "0.5"], ["sgd", "0.9"]]


def row(sample: int, state: str) -> Row:
    ended = state not in ("waiting", "running")
    values = () if state == "waiting" else (sample / 100, sample / 100)
    epoch = None if state == "waiting" else 4 if ended else 2
    reason = "OSError: " + "long words " * 20 if state == "failed" else ""
    return Row(sample, {"lr": sample * 1e-5}, state, epoch, values, 1.0, "cpu", 8, ended, reason)


def snapshot_of(states: list[str], newest: list[int] | None = None) -> Snapshot:
    rows = [row(sample, state) for sample, state in enumerate(states, start=1)]
    ended = [each.sample for each in reversed(rows) if each.ended]
    best = next((each for each in rows if each.state == "finished"), None)
    wanted = len(rows) * 8
    return Snapshot(
        "val_accuracy", 4, ["lr"], rows, newest or ended, 0, wanted // 2, wanted, wanted // 2, best
    )


def test_where_not_all_fit_running_and_the_newest_ended_come_before_the_waiting() -> None:
    states = ["finished"] * 58 + ["running"] * 4 + ["waiting"] * 12
    snapshot = snapshot_of(states, newest=[7, 30, *(n for n in range(58, 0, -1) if n not in (7, 30))])
    lines = drawn(snapshot, height=13)
    shown = [line.split()[0] for line in lines[1:8]]
    assert shown == [labels.text(n * 1e-5) for n in (7, 30, 58, 59, 60, 61, 62)]
    assert lines[8] == "  ... and 67 more: 55 finished, 12 waiting"
    assert lines[-1].startswith("best so far: 1.0%")


@given(
    states=st.lists(st.sampled_from(words.STATES), min_size=1, max_size=80),
    width=st.integers(60, 160),
    height=st.integers(6, 60),
    timing=st.builds(Timing, st.none() | st.floats(0.001, 1e5), st.floats(0, 1e6), over=st.booleans()),
)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_it_fits_the_terminal_and_leaves_nothing_uncounted(
    states: list[str], width: int, height: int, timing: Timing
) -> None:
    lines = drawn(snapshot_of(states), width, height, timing)
    assert len(lines) < height
    assert max(cell_len(line) for line in lines) <= width
    table = lines[1 : lines.index("")]
    more = [line for line in table if line.startswith("  ... and ")]
    hidden = int(more[0].split()[2]) if more else 0
    assert len(table) - len(more) + hidden == len(states)


def test_states_are_words_with_and_without_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = snapshot_of(list(words.STATES))

    def raw(settings: Mapping[str, str]) -> str:
        file = io.StringIO()
        console = Console(file=file, width=100, height=40, force_terminal=True, _environ=settings)
        console.print(drawing.live(snapshot, Timing(None, 0.0), 100, 40))
        return file.getvalue()

    coloured, plain = raw({"TERM": "xterm-256color"}), raw({"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert re.search("\x1b\\[[0-9;]*3[1-6]m", coloured)
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", plain)
    for text in (coloured, plain):
        assert all(state in text for state in words.STATES)


def test_markup_in_names_and_values_is_text(tmp_path: Path) -> None:
    text = 'task: pneumonia\nspace: {loss: {grid: ["[red]x[/red]", "[/]"]}}\n'
    with run(tmp_path, text) as made:
        lines = drawn(look(made))
    assert lines[1].startswith("  [red]x[/red]   -")
    assert lines[2].startswith("  [/]            -")


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=40)


def text_of(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_without_a_terminal_each_end_is_one_whole_line(tmp_path: Path) -> None:
    console, clock = plain_console(), Clock()
    with run(tmp_path) as made:
        made.finish(3, [0.5, 0.5])
        with progress.watch(made.sweep, "on 2 CPUs", console, clock):
            made.finish(2, [0.93, 0.94])
            wait_for(lambda: "2/4" in text_of(console))
            made.end(made.start(1), "failed")
            wait_for(lambda: "3/4" in text_of(console))
            clock.now += 4
    assert text_of(console).splitlines() == [
        "on 2 CPUs",
        "  2/4   lr 3e-6  step_size 8   93.5% (93.0, 94.0)   finished   4.0 s   cpu",
        "  3/4   lr 3e-6  step_size 4   failed: ValueError: no",
        "   75%   1 failed, 2 finished, 1 waiting   2 epochs/s   took 4.0 s",
    ]


def test_without_a_terminal_silence_lasts_ten_seconds_at_most(tmp_path: Path) -> None:
    console, clock = plain_console(), Clock()
    screen = PlainLines(console, clock)
    with run(tmp_path) as made:
        made.epoch(made.start(1), [0.5, 0.5])
        snapshot = look(made)
        for _ in range(100):  # 25 seconds
            clock.now += 0.25
            screen.show(snapshot, Timing(2.0, clock.now - 100))
    assert text_of(console).splitlines() == ["    6%   1 running, 3 waiting   2 epochs/s   15 s left"] * 2


def test_lines_are_flushed_as_they_come(tmp_path: Path) -> None:
    class Slow(io.StringIO):
        seen: list[str] = []  # noqa: RUF012

        def flush(self) -> None:
            self.seen.append(self.getvalue())

    console = Console(file=Slow())
    progress.note("one [line]", console)
    assert Slow.seen[-1] == "one [line]\n"


def test_waiting_is_one_line_without_a_terminal() -> None:
    console = plain_console()
    with progress.waiting("starting Ray", console):
        assert text_of(console) == "starting Ray ...\n"
    assert text_of(console) == "starting Ray ...\n"


def test_a_fault_in_showing_ends_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError("in drawing")

    monkeypatch.setattr(drawing, "ended", broken)
    with run(tmp_path) as made:
        with progress.watch(made.sweep, "plan", plain_console()):
            made.finish(1, [0.5, 0.5])
            time.sleep(0.6)
            made.finish(2, [0.5, 0.5])
        assert made.sweep.statuses()[1] == "finished"
    told = capsys.readouterr()
    assert told.err.count("ZeroDivisionError: in drawing") == 1
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_a_disk_that_is_full_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    with run(tmp_path) as made, progress.watch(made.sweep, "plan", Console(file=Full())):
        made.finish(1, [0.5, 0.5])
    assert "No space left on device" in capsys.readouterr().err


def test_an_exception_of_the_training_passes_through(tmp_path: Path) -> None:
    console = plain_console()

    def train(made: Run) -> None:
        with progress.watch(made.sweep, "plan", console):
            made.epoch(made.start(1), [0.5, 0.5])
            raise KeyboardInterrupt

    with run(tmp_path) as made, pytest.raises(KeyboardInterrupt):
        train(made)
    assert "1 interrupted, 3 waiting" in text_of(console)
    assert "progress" not in [thread.name for thread in threading.enumerate()]


def test_it_can_be_looked_at_while_it_is_written(tmp_path: Path) -> None:
    text = (
        GRID.replace("{grid: [3e-6, 3e-5]}", "{uniform: [0, 1]}")
        + "search: {algorithm: optuna, samples: 300}"
    )
    faults: list[Exception] = []
    over = threading.Event()
    with run(tmp_path, text.replace(", step_size: {grid: [4, 8]}", "")) as made:
        surveyor = Surveyor(made.sweep)

        def watch() -> None:
            while not over.is_set():
                try:
                    drawn(surveyor.look())
                except Exception as error:  # noqa: BLE001 - collected for the assertion
                    faults.append(error)

        thread = threading.Thread(target=watch)
        thread.start()
        for sample in range(1, 301):
            made.sweep.note(Planned(sample=sample, fingerprint=f"{sample}", config={"lr": sample}, twin=None))
            made.finish(sample, [0.5, 0.5])
        over.set()
        thread.join()
        assert faults == []
        assert surveyor.look().done == 300 * 8


DEMO = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_progress import Run
    from tune_app import progress

    if sys.stdout.isatty():
        with progress.waiting("starting Ray"):
            time.sleep(0.3)
    made = Run(Path({folder!r}))
    with made.sweep.writing(), progress.watch(made.sweep, "on 2 CPUs, 2 trials at a time"):
        for sample in (1, 2, 3, 4):
            made.finish(sample, [0.9, 0.8 + sample / 50])
            time.sleep(0.3)
        print("a line from elsewhere")
    print("the end")
"""


def demo(folder: Path) -> str:
    return textwrap.dedent(DEMO.format(tests=str(Path(__file__).parent), folder=str(folder)))


def on_a_terminal(program: str, settings: Mapping[str, str]) -> str:
    """What a Python program writes to a terminal of 80 columns and 24 lines."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **settings}
    command = [sys.executable, "-W", "error", "-c", program]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:  # Linux ends a terminal that nobody writes to any more with an error
            block = b""
        if not block:
            break
        written += block
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode()


def test_on_a_terminal_it_is_drawn_in_place_and_the_last_state_stays(tmp_path: Path) -> None:
    written = on_a_terminal(demo(tmp_path), {})
    assert "Traceback" not in written
    assert "starting Ray ..." in written
    assert "\x1b[1A" in written, "the cursor goes up to draw over what is there"
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "a line from elsewhere" in written
    plain = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "")
    last = plain[plain.rindex("  lr ") :].splitlines()
    assert [line.split() for line in last[1:5]] == [
        ["3e-6", "4", "4/4", "86.0%", "(90.0,", "82.0)", "finished", "4.0", "s", "cpu"],
        ["3e-6", "8", "4/4", "87.0%", "(90.0,", "84.0)", "finished", "4.0", "s", "cpu"],
        ["3e-5", "4", "4/4", "88.0%", "(90.0,", "86.0)", "finished", "4.0", "s", "cpu"],
        ["3e-5", "8", "4/4", "89.0%", "(90.0,", "88.0)", "finished", "4.0", "s", "cpu"],
    ]
    assert last[6].startswith("==============================  100%   4 finished")
    assert last[-1] == "the end"


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    written = on_a_terminal(demo(tmp_path), {"TERM": "dumb"})
    assert "\x1b" not in written
    assert written.count("finished   4.0 s   cpu") == 4


def test_force_color_does_not_make_a_terminal_of_a_pipe(tmp_path: Path) -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", "-c", demo(tmp_path)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert b"\x1b[1A" not in done.stdout
    assert done.stdout.decode().count("finished   4.0 s   cpu") == 4


def test_a_reader_that_has_gone_ends_nothing(tmp_path: Path) -> None:
    program = demo(tmp_path).replace("print(", "sys.stderr.write(")
    command = [sys.executable, "-W", "error", "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.close()
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert "the end" in told
    assert told.count("nobody reads the output any more") == 1
