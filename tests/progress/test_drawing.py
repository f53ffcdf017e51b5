"""The live table."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import HALVING, decide_rung, drawn, look, recorded, snapshot_of, wait_at_rung
from rich.cells import cell_len
from rich.console import Console

from tune_app.progress import drawing
from tune_app.progress.drawing import Timing
from tune_app.space import labels
from tune_app.status import LIVE


def test_table_at_100_columns(tmp_path: Path) -> None:
    with recorded(tmp_path) as (sweep, recorder):
        recorder.train(1, [0.93, 0.94])
        trial = recorder.start(2)
        recorder.epoch(trial, [0.8, 0.82], device="gpu 0")
        lines = drawn(look(sweep), timing=Timing(4.0, 3.0))
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
    with recorded(tmp_path) as (sweep, _):
        snapshot = look(sweep)
    assert drawn(snapshot, timing=Timing(None, 7.6))[-1].endswith("    0%   4 waiting   starting: 8 s")
    assert drawing.heartbeat(snapshot, Timing(None, 12.0)) == "    0%   4 waiting   starting: 12 s"


def test_table_at_60_columns_drops_device_and_time_and_packs_the_footer(tmp_path: Path) -> None:
    with recorded(tmp_path) as (sweep, recorder):
        recorder.train(1, [0.93, 0.94])
        recorder.fail(recorder.start(2), "ValueError: no")
        lines = drawn(look(sweep), width=60, timing=Timing(4.0, 3.0))
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
    with recorded(tmp_path, text) as (sweep, _):
        narrow, wide = drawn(look(sweep), width=60), drawn(look(sweep), width=200)
    assert narrow[0] == "  sample   epoch   val_accuracy   state"
    assert narrow[1].split() == ["1", "-", "waiting"]
    assert wide[0].split()[:4] == names


def test_a_single_configuration_is_named_by_its_number(tmp_path: Path) -> None:
    text = "task: pneumonia\nconfigs: [{lr: 1e-3}]\nseeds: 2\nepochs: 1\n"
    with recorded(tmp_path, text) as (sweep, recorder):
        recorder.train(1, [0.5, 0.5])
        snapshot = look(sweep)
    assert drawn(snapshot)[0].split()[0] == "sample"
    assert "sample 1" in drawing.ended(snapshot, snapshot.rows[0], 1)


def test_a_parameter_that_exists_only_beside_another_is_a_dash_elsewhere(tmp_path: Path) -> None:
    text = """
task: pneumonia
space:
  optimizer: {grid: [adam, sgd]}
  momentum: {grid: [0.5, 0.9], when: {optimizer: sgd}}
"""
    with recorded(tmp_path, text) as (sweep, _):
        lines = drawn(look(sweep))
    assert [line.split()[:2] for line in lines[1:4]] == [["adam", "-"], ["sgd", "0.5"], ["sgd", "0.9"]]


def test_where_not_all_fit_running_and_the_newest_ended_come_before_the_waiting() -> None:
    states = ["finished"] * 58 + ["running"] * 4 + ["waiting"] * 12
    snapshot = snapshot_of(states, newest=[7, 30, *(n for n in range(58, 0, -1) if n not in (7, 30))])
    lines = drawn(snapshot, height=13)
    shown = [line.split()[0] for line in lines[1:8]]
    assert shown == [labels.text(n * 1e-5) for n in (1, 7, 30, 59, 60, 61, 62)], "the best, too"
    assert lines[8] == "  ... and 67 more: 55 finished, 12 waiting"
    assert lines[-1].startswith("best so far: 1.0%")


@given(
    states=st.lists(st.sampled_from(LIVE), min_size=1, max_size=80),
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


def test_a_long_name_of_the_best_goes_on_in_a_second_line(tmp_path: Path) -> None:
    names = [f"a_rather_long_parameter_{i}" for i in range(2)]
    text = "task: pneumonia\nspace: {" + ", ".join(f"{name}: {{grid: [1, 2]}}" for name in names) + "}\n"
    with recorded(tmp_path, text + "epochs: 1\nseeds: 2\n") as (sweep, recorder):
        recorder.train(1, [0.93, 0.94])
        lines = drawn(look(sweep), width=60)
    assert " ".join(" ".join(lines[-2:]).split()).endswith(", ".join(f"{name} 1" for name in names))


def test_states_are_words_with_and_without_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = snapshot_of(list(LIVE))

    def raw(settings: Mapping[str, str]) -> str:
        file = io.StringIO()
        console = Console(file=file, width=100, height=40, force_terminal=True, _environ=settings)
        console.print(drawing.live(snapshot, Timing(None, 0.0), 100, 40))
        return file.getvalue()

    coloured, plain = raw({"TERM": "xterm-256color"}), raw({"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert re.search("\x1b\\[[0-9;]*3[1-6]m", coloured)
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", plain)
    for text in (coloured, plain):
        assert all(state in text for state in LIVE)


def test_markup_in_names_and_values_is_text(tmp_path: Path) -> None:
    text = 'task: pneumonia\nspace: {loss: {grid: ["[red]x[/red]", "[/]"]}}\n'
    with recorded(tmp_path, text) as (sweep, _):
        lines = drawn(look(sweep))
    assert lines[1].startswith("  [red]x[/red]   -")
    assert lines[2].startswith("  [/]            -")


def test_states_are_counted_in_their_order() -> None:
    states = ["running", "finished", "failed", "finished", "waiting"]
    assert drawing.count_states(states) == "1 failed, 2 finished, 1 running, 1 waiting"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_rung_in_progress_says_who_came_waits_and_trains_on(tmp_path: Path, width: int) -> None:
    with recorded(tmp_path, HALVING) as (sweep, recorder):

        def rungs() -> list[str]:
            lines = drawn(look(sweep), width, timing=Timing(4.0, 3.0))
            assert max(map(cell_len, lines)) <= width
            return [part for line in lines if "rung" in line for part in re.split("   +", line)]

        assert rungs() == ["rung 1/2 (epoch 1): 0 of 9 came, 0 paused, 0 promoted"]
        wait_at_rung(recorder, *range(1, 8))
        assert rungs() == ["rung 1/2 (epoch 1): 7 of 9 came, 7 paused, 0 promoted"]
        decide_rung(recorder, [7], [])
        trial = recorder.start(7, epoch=1)
        for _ in range(2):
            recorder.epoch(trial, [0.8])
        recorder.pause(trial, 0.8)
        assert rungs() == [
            "rung 1/2 (epoch 1): 7 of 9 came, 6 paused, 1 promoted",
            "rung 2/2 (epoch 3): 1 came, 1 paused, 0 promoted",
        ]
        wait_at_rung(recorder, 8, 9)
        decide_rung(recorder, [8, 9], range(1, 7))
        assert rungs() == ["rung 2/2 (epoch 3): 1 of 3 came, 1 paused, 0 promoted"]
        assert drawn(look(sweep), width)[-1].startswith("best so far: 80.0%"), "also of those that wait"
