from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lines import read

from tune_app import space as spaces
from tune_app import stopping
from tune_app.driver import driver as drivers
from tune_app.driver.driver import Driver
from tune_app.errors import DiskError, StorageError
from tune_app.sweep import Sweep, control
from tune_app.sweep.events import Numerics, Saved
from tune_app.training.protocol import SAVE_NOW, EpochReport, Failure, TestOutcome

SPACE = """
task: pneumonia
space: {lr: {grid: [1, 2, 3]}}
seeds: 2
epochs: 3
evaluate: best
stop: {scheduler: asha, grace_period: 1, reduction_factor: 2}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    with Sweep.create(spaces.parse(SPACE, file="my.yaml", name="my"), runs_dir=tmp_path).writing() as sweep:
        yield sweep


@pytest.fixture
def driver(sweep: Sweep) -> Driver:
    return Driver(sweep, stopping.make_stopper(sweep.space))


def report(epoch: int, value: float | None, **more: Any) -> EpochReport:
    return EpochReport(epoch, {"val_accuracy": [value, value]}, [0.5, 0.5], **more)


def begin(driver: Driver) -> str:
    spec = driver.next_trial()
    assert spec
    return driver.start(spec, node="here")


def events(driver: Driver, *names: str) -> list[dict[str, Any]]:
    return [event for _, event in read(driver.sweep.paths.record) if event["event"] in names]


OUTCOME = TestOutcome({"test_accuracy": [0.5, 0.6]}, [3, 2], b"12345678" * 2, (2, 2))


def test_decisions_and_ends_are_on_the_disk_before_they_take_effect(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, on_disk = os.fsync, [0]

    def note(descriptor: int) -> None:
        fsync(descriptor)
        on_disk[0] = os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fsync", note)

    def unsynced() -> int:
        return driver.sweep.paths.record.stat().st_size - on_disk[0]

    first, second, third = (begin(driver) for _ in range(3))
    assert driver.report(first, report(1, 0.5), "cpu"), "the first at a rung goes on"
    assert unsynced() == 0
    assert not driver.report(second, report(1, 0.4), "cpu")
    assert unsynced() == 0
    assert driver.report(first, report(2, 0.5), "cpu")
    assert not driver.report(first, report(3, 0.5, done=True, test=OUTCOME), "cpu")
    assert unsynced() == 0
    place = driver.sweep.history.attempts[first].scores
    assert place
    assert driver.sweep.scores.read(place) == OUTCOME.scores
    driver.fail(third, Failure("ValueError: no", "Traceback ..."))
    assert unsynced() == 0
    assert [event["stop"] for event in events(driver, "decision")] == [False, True, False]


def file(trial: str, what: str) -> str:
    return f"{trial.replace('.', '-')}-000001-{what}.pt"


def saved(driver: Driver, name: str, epoch: int = 1) -> Saved:
    driver.sweep.paths.checkpoints.mkdir(exist_ok=True)
    (driver.sweep.paths.checkpoints / name).touch()
    return Saved(epoch, name, 0, 0)


def files(driver: Driver) -> list[str]:
    return sorted(path.name for path in driver.sweep.paths.checkpoints.iterdir())


def test_what_a_crash_would_go_on_from_is_never_past_an_undecided_epoch(driver: Driver) -> None:
    first, second = begin(driver), begin(driver)
    driver.report(first, report(1, 0.5, saved=saved(driver, "1-0-000001-state.pt")), "cpu")
    driver.report(second, report(1, 0.4, saved=saved(driver, "2-0-000001-state.pt")), "cpu")
    kinds = [event["event"] for event in events(driver, "epoch", "decision", "checkpoint")]
    assert kinds == ["epoch", "decision", "checkpoint", "epoch", "decision"]
    assert files(driver) == ["1-0-000001-state.pt"], "what was stopped goes on no more"


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_last_state_is_recorded_with_the_end_in_one_event(tmp_path: Path, keep: str) -> None:
    space = spaces.parse(f"{SPACE}keep: {keep}", file="my.yaml", name="my")
    with Sweep.create(space, runs_dir=tmp_path).writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(space))
        trial = begin(driver)
        driver.report(trial, report(1, 0.5, saved=saved(driver, "1-0-000001-state.pt")), "cpu")
        last = saved(driver, "1-0-000003-state.pt", 3) if keep == "last" else None
        driver.report(trial, report(2, 0.5), "cpu")
        driver.report(trial, report(3, 0.5, done=True, test=OUTCOME, saved=last), "cpu")
        assert [event["saved"]["file"] for event in events(driver, "checkpoint")] == ["1-0-000001-state.pt"]
        assert events(driver, "finished")[0].get("saved") == (msgspec.structs.asdict(last) if last else None)
        assert files(driver) == (["1-0-000003-state.pt"] if last else [])
        attempt = Sweep.open(sweep.paths.folder).history.attempts[trial]
        assert attempt.saved == (last or Saved(1, "1-0-000001-state.pt", 0, 0))


def test_of_no_use_any_more_is_what_a_crash_left(driver: Driver) -> None:
    """A crash between the end of a trial and the removal of its files, or of those of one that it beat."""
    for value in (0.5, 0.9):
        trial = begin(driver)
        driver.report(trial, report(1, value, saved=saved(driver, file(trial, "state"))), "cpu")
        weights = saved(driver, file(trial, "weights"))
        driver.report(trial, report(2, value), "cpu")
        driver.report(trial, report(3, value, done=True, test=OUTCOME, weights=weights), "cpu")
    gone = begin(driver)
    driver.report(gone, report(1, 0.9, saved=saved(driver, file(gone, "state"))), "cpu")
    left = files(driver)
    beaten, best = (attempt.trial for attempt in list(driver.sweep.history.attempts.values())[:2])
    assert left == sorted([file(best, "weights"), file(gone, "state")])
    for name in (
        file(beaten, "weights"),
        file(beaten, "state"),
        "9-0-000001-state.pt",
        "x.pt.part",
        SAVE_NOW,
    ):
        saved(driver, name)
    driver.tidy()
    assert files(driver) == left


def test_a_state_that_was_gone_on_from_is_of_no_use_any_more(tmp_path: Path) -> None:
    space = spaces.parse(f"{SPACE}keep: last", file="my.yaml", name="my")
    with Sweep.create(space, runs_dir=tmp_path).writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(space))
        first = begin(driver)
        driver.report(first, report(1, 0.5, saved=saved(driver, "1-0-000001-state.pt")), "cpu")
        driver.fail(first, Failure("OSError: for once", "Traceback ..."))
        again = begin(driver)
        driver.report(again, report(2, 0.5, saved=saved(driver, "2-0-000001-state.pt", 2)), "cpu")
        saved(driver, "1-0-000001-state.pt")
        driver.tidy()
        assert files(driver) == ["2-0-000001-state.pt"]


def test_the_device_is_told_once(driver: Driver) -> None:
    trial = begin(driver)
    for epoch in (1, 2):
        driver.report(trial, report(epoch, 0.5), "cuda:3")
    assert ["device" in event for event in events(driver, "epoch")] == [True, False]
    assert driver.sweep.history.attempts[trial].device == "cuda:3"


def test_an_ending_sweep_hands_out_nothing_and_lets_trials_go(driver: Driver) -> None:
    trial = begin(driver)
    driver.ending = "a test"
    assert driver.next_trial() is None
    assert not driver.report(trial, report(1, 0.5), "cpu")
    assert driver.sweep.history.attempts[trial].status(0, live=False) == "interrupted"


def test_a_trial_that_ends_while_the_sweep_ends_is_finished_all_the_same(driver: Driver) -> None:
    trial = begin(driver)
    driver.report(trial, report(1, 0.5), "cpu")
    driver.report(trial, report(2, 0.5), "cpu")
    driver.ending = "a test"
    driver.report(trial, report(3, 0.5, done=True, test=OUTCOME), "cpu")
    assert driver.sweep.history.attempts[trial].end == "finished"


def test_a_divergence_is_recorded_once_and_where_all_diverge_no_test_is(driver: Driver) -> None:
    trial = begin(driver)
    driver.report(trial, report(1, 0.5), "cpu")
    driver.report(trial, report(2, None, diverged={1: 2}), "cpu")
    attempt = driver.sweep.history.attempts[trial]
    assert [attempt.status(r, live=True) for r in (0, 1)] == ["stopped", "diverged"]
    gone = begin(driver)
    assert not driver.report(gone, report(1, None, diverged={0: 1, 1: 1}, done=True, test=OUTCOME), "cpu")
    assert [event["replicates"] for event in events(driver, "diverged")] == [[1], [0], [1]]
    assert events(driver, "finished") == []


def test_a_replicate_that_has_ended_counts_at_the_rungs_with_its_last_value(driver: Driver) -> None:
    first, second = begin(driver), begin(driver)
    driver.report(first, report(1, 0.5), "cpu")
    driver.report(second, report(1, 0.9), "cpu")
    ended = {0: (1, "task")}
    driver.report(first, EpochReport(2, {"val_accuracy": [None, 0.7]}, [0.0, 0.5], ended=ended), "cpu")
    [at_2] = [event for event in events(driver, "decision") if event["rung"] == 2]
    assert at_2["value"] == pytest.approx(0.6), "the mean of its last 0.5 and the other's 0.7"
    [event] = events(driver, "ended")
    assert (event["trial"], event["replicates"], event["epoch"], event["by"]) == (first, [0], 1, "task")
    done = EpochReport(2, {}, [0.0, 0.0], ended={**ended, 1: (2, "task")}, done=True, test=OUTCOME)
    assert not driver.report(first, done, "cpu")
    assert [event["epoch"] for event in events(driver, "epoch") if event["trial"] == first] == [1, 2]
    attempt = driver.sweep.history.attempts[first]
    assert (attempt.end, attempt.epoch, attempt.ended_at) == ("finished", 2, {0: 1, 1: 2})


def test_a_disk_that_refuses_the_record_is_kept_as_the_reason(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = begin(driver)

    def full(*_: Any, **__: Any) -> None:
        raise StorageError("no room")

    monkeypatch.setattr(driver.sweep, "note", full)
    with pytest.raises(StorageError, match="no room"):
        driver.fail(trial, Failure("ValueError: no", "Traceback ..."))
    assert driver.ending == "the disk refused a write"
    assert isinstance(driver.fatal, StorageError)


def test_logs_that_cannot_be_written_are_left_out_with_one_note(
    sweep: Sweep,
) -> None:
    told: list[str] = []
    driver = Driver(sweep, stopping.make_stopper(sweep.space), notify=told.append)
    driver.sweep.paths.logs.write_text("a file, where the folder of logs should be")
    for _ in range(2):
        driver.fail(begin(driver), Failure("ValueError: no", "Traceback ..."))
    assert (driver.ending, driver.fatal) == (None, None)
    assert [event["log"] for event in events(driver, "failed")] == ["", ""]
    assert len(told) == 1


def test_half_a_request_is_read_once_it_is_whole(driver: Driver) -> None:
    driver.tick()
    driver.sweep.paths.control.mkdir()
    path = driver.sweep.paths.control / "1.json"
    path.write_text('{"do": "st')
    driver.tick()
    assert (driver.ending, path.exists()) == (None, True)
    path.write_text('{"do": "stop"}')
    driver.tick()
    assert (driver.ending, path.exists()) == ("asked to stop by tune-app stop", False)


def test_that_test_figures_were_shown_is_recorded_and_training_goes_on(driver: Driver) -> None:
    for by in ("show", "anything"):
        control.ask(driver.sweep.paths.control, {"do": "opened", "by": by})
    driver.tick()
    assert driver.ending is None
    assert [event["by"] for event in events(driver, "testopened")] == ["show"]


def test_what_is_stopped_by_name_stops_in_all_its_parts_those_that_wait_included(tmp_path: Path) -> None:
    space = spaces.parse(SPACE.partition("stop:")[0].replace("[1, 2, 3]", "[1]"), file="my.yaml", name="my")
    numerics = Numerics("looped", 1, "float32")
    with Sweep.create(space, runs_dir=tmp_path, numerics=numerics).writing() as sweep:
        driver = Driver(sweep, stopping.make_stopper(space), slots=2)
        first = begin(driver)
        control.ask(sweep.paths.control, {"do": "stop", "sample": 1})
        driver.tick()
        part = EpochReport(1, {"val_accuracy": [0.5]}, [0.5])
        going = [driver.report(trial, part, "cpu") for trial in (first, begin(driver))]
        assert going == [False, False]
        assert driver.next_trial() is None
        assert [event["reason"] for event in events(driver, "stopped")] == [
            "by tune-app stop, at epoch 1"
        ] * 2
        assert sweep.statuses() == ["stopped"]


def test_gathered_checkpoints_are_written_here(driver: Driver) -> None:
    name, data = "1-0-000001-state.pt", b"the state"
    saved = Saved(1, name, len(data), zlib.crc32(data))
    gathered = report(1, 0.5, saved=saved, savable=True, files={name: data})
    driver.report(begin(driver), gathered, "cpu on there")
    assert (driver.sweep.paths.checkpoints / name).read_bytes() == data


def test_a_checkpoint_that_stayed_behind_is_told_once(sweep: Sweep) -> None:
    told: list[str] = []
    driver = Driver(sweep, stopping.make_stopper(sweep.space), gather=True, notify=told.append)
    for _ in range(2):
        driver.report(begin(driver), report(1, 0.5, too_large_bytes=300 << 20), "cpu on there")
    assert [line[:40] for line in told] == ["note: a checkpoint of 300 MiB is too lar"]


def test_a_disk_that_refuses_a_gathered_checkpoint_ends_the_sweep(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drivers, "write_atomically", refuse)
    with pytest.raises(StorageError):
        driver.report(begin(driver), report(1, 0.5, files={"a": b"b"}), "cpu on there")
    assert driver.ending == "the disk refused a write"


def test_a_trial_that_moved_has_not_failed_however_often(driver: Driver) -> None:
    spec = driver.next_trial()
    assert spec
    times = driver.sweep.space.max_failures + 2
    for _ in range(times):
        driver.fail(driver.start(spec), Failure("MachineLeaving: away", "", moved=True))
        spec = next(each for each in iter(driver.next_trial, None) if each.sample == spec.sample)
    assert driver.ending is None
    assert [(event["moved"], event["final"]) for event in events(driver, "failed")] == [(True, False)] * times
    assert driver.sweep.history.configurations[spec.sample].failures(0) == 0
    driver.fail(driver.start(spec), Failure("RuntimeError: boom", ""))
    assert driver.sweep.history.configurations[spec.sample].failures(0) == 1


def test_trials_are_saved_at_a_hangup_and_go_on(driver: Driver) -> None:
    first, second = begin(driver), begin(driver)
    asking = driver.sweep.paths.checkpoints / SAVE_NOW
    driver.save()
    assert (driver.saving, asking.exists()) == (True, True)
    assert driver.report(first, report(1, 0.5, savable=True), "cpu"), (
        "its epoch had ended before it was asked"
    )
    driver.tick()
    assert asking.exists()
    assert driver.report(first, report(2, 0.6, savable=True, saved=Saved(2, "1.pt", 1, 0)), "cpu")
    assert asking.exists(), "the other is still to be saved"
    assert driver.report(second, report(1, 0.7), "cpu"), "a function has nothing to save"
    assert (driver.saving, asking.exists(), driver.ending) == (False, False, None)


def test_a_trial_that_ends_is_not_waited_for(driver: Driver) -> None:
    trial = begin(driver)
    driver.save()
    driver.fail(trial, Failure("ValueError: no", "Traceback ..."))
    driver.tick()
    assert not driver.saving


def test_a_checkpoint_that_the_disk_refuses_is_no_failure_of_its_trial(driver: Driver) -> None:
    trial = begin(driver)
    failure = Failure.of(DiskError("1.pt: cannot be written: No space left on device."))
    with pytest.raises(DiskError, match=r"1\.pt: .*No space left"):
        driver.fail(trial, failure)
    assert (events(driver, "failed"), driver.over()) == ([], True)
    assert driver.sweep.statuses() == ["interrupted", "planned", "planned"]


def test_a_trial_that_was_abandoned_has_not_failed(driver: Driver) -> None:
    trial = begin(driver)
    driver.end("Ray has died")
    assert not driver.over()
    driver.abandon(trial)
    assert driver.over()
    assert driver.sweep.statuses() == ["interrupted", "planned", "planned"]
