"""How long slots had nothing to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tune_app import space as spaces
from tune_app.space import SearchSpace
from tune_app.sweep import Sweep
from tune_app.sweep.event_lines import parse
from tune_app.sweep.history import History
from tune_app.sweep.idle_slots import idle_slots

HALVING = spaces.parse(
    "task: pneumonia\nspace: {lr: {grid: [1, 2, 3]}}\nepochs: 4\nseeds: 1\nstop: {scheduler: halving}\n"
)


class Times(History):
    """Events at chosen times; configurations are planned at 0."""

    def at(self, t: float, kind: str, trial: str = "", **fields: Any) -> None:
        known = {"trial": trial} if trial else {}
        self.apply(parse({"event": kind, "t": t, **known, **fields}))

    def plan(self, *samples: int, t: float = 0.5, asked: bool = False) -> None:
        for sample in samples:
            point = {"lr": sample}
            self.at(t, "planned", sample=sample, fingerprint="f", config=point, twin=None, asked=asked)

    def start(self, t: float, trial: str, epoch: int = 0) -> None:
        sample = int(trial.split(".")[0])
        self.at(t, "started", trial, sample=sample, replicates=[0], epoch=epoch, target=4, node="")

    def epoch(self, t: float, trial: str, epoch: int) -> None:
        self.at(t, "epoch", trial, epoch=epoch, metrics={"val_accuracy": [0.5]}, durations_s=[0.5])

    def pause(self, t: float, trial: str) -> None:
        self.epoch(t, trial, 1)
        self.at(t, "paused", trial, epoch=1, value=0.5)


def idle(history: History, space: SearchSpace = HALVING) -> tuple[float, float] | None:
    return idle_slots(space, history)


def first_rung(slots: int) -> Times:
    """Three configurations at two slots: one waits from 6 to 9 s, while the last one trains."""
    history = Times()
    history.at(1, "opened", slots=slots)
    history.plan(1, 2, 3)
    history.start(2, "1.1")
    history.start(2, "2.1")
    history.pause(5, "1.1")
    history.pause(6, "2.1")
    history.start(5.5, "3.1")  # half a second to start: a trial was ready
    history.epoch(9, "3.1", 1)
    return history


def test_a_slot_is_idle_while_all_others_wait() -> None:
    history = first_rung(slots=2)
    history.at(9, "decision", "3.1", sample=3, epoch=1, rung=1, value=0.1, threshold=0.5, stop=True)
    history.at(9, "promoted", "2.1", epoch=1, value=0.5)
    history.at(9, "decision", "1.1", sample=1, epoch=1, rung=1, value=0.1, threshold=0.5, stop=True)
    assert idle(history) == (3, 14)
    history.start(10, "2.2", epoch=1)  # a second to start
    history.epoch(12, "2.2", 2)
    assert idle(history) == (3 + 1 + 2, 20), "at the end one configuration trains alone"


def test_it_goes_on_in_the_next_session() -> None:
    history = first_rung(slots=2)  # killed in the epoch that 3 is in
    history.at(100, "opened", slots=4)
    history.start(101, "3.2", epoch=1)
    history.epoch(104, "3.2", 2)
    assert idle(history) == (3 + 3 * 3, 14 + 12)


def test_a_trial_that_fails_is_ready_at_once() -> None:
    history = Times()
    history.at(1, "opened", slots=1)
    history.plan(1)
    history.start(2, "1.1")
    history.at(3, "failed", "1.1", reason="ValueError", log="", final=False)
    history.start(5, "1.2")
    history.pause(6, "1.2")
    assert idle(history) == (0, 4)


def test_a_sampler_that_is_asked_for_a_point_takes_its_time() -> None:
    history = Times()
    history.at(1, "opened", slots=1)
    for begin, sample in ((2, 1), (5, 2)):
        history.plan(sample, t=begin, asked=True)
        history.start(begin, f"{sample}.1")
        history.pause(begin + 1, f"{sample}.1")
    assert idle(history) == (0, 4)


def test_there_is_nothing_to_say_where_nobody_waits_or_nothing_is_known(tmp_path: Path) -> None:
    asha = spaces.parse(HALVING.dump().replace("scheduler: halving", "scheduler: asha"))
    assert idle(first_rung(slots=2), asha) is None
    assert idle(Sweep.create(HALVING, runs_dir=tmp_path).history) is None
    history = first_rung(slots=2)
    history.openings[0] = parse({"event": "opened", "t": 1.0})  # type: ignore[assignment]
    assert idle(history) is None, "a record that does not have the number of slots"
