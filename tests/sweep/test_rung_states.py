"""Who is paused, promoted or stopped at a rung, from the record."""

from __future__ import annotations

from pathlib import Path

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.sweep import Sweep
from tune_app.sweep.rung_states import RungState, rung_states

TEXT = """
task: pneumonia
space: {lr: {grid: [1, 2, 3, 4, 5, 6]}}
epochs: 4
seeds: 1
stop: {scheduler: halving, reduction_factor: 2}
"""


def states(sweep: Sweep) -> list[RungState]:
    return rung_states(sweep.space, sweep.history)


def come(recorder: Recorder, sample: int, value: float, after: int = 0) -> str:
    """A trial that trains from one rung to the next, or to the first."""
    trial = recorder.start(sample, epoch=after)
    for _ in range(after or 1):
        recorder.epoch(trial, [value])
    return trial


def test_each_configuration_is_at_one_place_of_a_rung(tmp_path: Path) -> None:
    with Sweep.create(spaces.parse(TEXT), runs_dir=tmp_path).writing() as sweep:
        recorder = Recorder.of(sweep)
        assert [(each.number, each.epoch, each.size, each.came) for each in states(sweep)] == [
            (1, 1, 6, 0),
            (2, 2, 0, 0),
        ]
        waiting = [come(recorder, sample, sample / 10) for sample in (1, 2)]
        for trial, value in zip(waiting, (0.1, 0.2), strict=True):
            recorder.pause(trial, value)
        recorder.fail(recorder.start(3))
        recorder.diverge(come(recorder, 4, 0.4))
        recorder.start(5)
        first, second = states(sweep)
        assert (first.paused, first.promoted, first.others) == ({1: 0.1, 2: 0.2}, {}, {3, 4})
        assert (first.came, first.decided, second.size, second.decided) == (4, False, 0, False)
        for sample, value in ((5, 0.5), (6, 0.6)):
            recorder.promote(come(recorder, sample, value) if sample == 6 else _on(recorder, value), value)
        recorder.promote(waiting[1], 0.2)
        recorder.decide(waiting[0], 0.1, 0.2, stop=True)
        first, second = states(sweep)
        assert (first.promoted, first.stopped) == ({2: 0.2, 5: 0.5, 6: 0.6}, {1: 0.1})
        assert (first.decided, second.size, second.decided) == (True, 3, False)
        recorder.stop(come(recorder, 2, 0.9, after=1))  # by a person, before the rung decides
        assert states(sweep)[1].others == {2}


def _on(recorder: Recorder, value: float) -> str:
    recorder.epoch("5.1", [value])
    return "5.1"


def test_a_space_whose_rules_never_wait_has_no_rungs(tmp_path: Path) -> None:
    text = TEXT.replace("halving", "asha")
    assert states(Sweep.create(spaces.parse(text), runs_dir=tmp_path)) == []
