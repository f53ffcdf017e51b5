"""Whole sweeps in this process: what is trained, what is recorded, what is left for the next session."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lines import read

from benchmarks.chaos import audit
from tune_app import results, stopping
from tune_app import space as spaces
from tune_app.data import Dataset
from tune_app.data.identity import NO_DATA
from tune_app.driver.driver import Driver
from tune_app.engines import inline
from tune_app.errors import StorageError
from tune_app.status import Status
from tune_app.sweep import Sweep, record
from tune_app.sweep.events import Decision, Event, Finished, Opened, ScoreRows
from tune_app.tasks.pneumonia import Pneumonia
from tune_app.tasks.task import Splits

UserModule = Callable[[str], str]

CURVES = """
    from pathlib import Path

    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            with Path("trained.log").open("a") as log:
                log.write(f"{config['level']}/{context.replicate}/{epoch}\\n")
            value = config["level"] * epoch + context.replicate / 1000
            yield {"train_loss": 1 / epoch, "val_accuracy": value, "test_accuracy": 0.0123}
"""


def parse(task: str, text: str = "", levels: str = "[1, 2, 3]") -> spaces.SearchSpace:
    grid = f"space: {{level: {{grid: {levels}}}}}\n" if levels else ""
    return spaces.parse(f"task: {task}\nepochs: 4\nseeds: 2\n{grid}{text}", file="my.yaml", name="my")


def new(space: spaces.SearchSpace) -> Sweep:
    return Sweep.create(space, NO_DATA, "runs")


def sit(sweep: Sweep, splits: Splits | None = None) -> Driver:
    """One session of a sweep, as ``tune-app run`` holds it."""
    with sweep.writing():
        sweep.note(Opened(), durable=True)
        driver = Driver(sweep, stopping.make_stopper(sweep.space))
        inline.run(driver, splits)
    return driver


def statuses(sweep: Sweep) -> list[Status]:
    return Sweep.open(sweep.paths.folder).statuses()


def events(sweep: Sweep, *names: str) -> list[dict[str, Any]]:
    return [event for _, event in read(sweep.paths.record) if not names or event["event"] in names]


def trained() -> Counter[str]:
    """How often each level/replicate/epoch was trained."""
    return Counter(Path("trained.log").read_text().split())


# ---------------------------------------------------------------- to the end


def test_a_sweep_runs_to_its_end(user_module: UserModule) -> None:
    sweep = new(parse(f"{user_module(CURVES)}:task"))
    driver = sit(sweep)
    assert statuses(sweep) == ["finished"] * 3
    assert (driver.ending, driver.fatal, driver.next_trial()) == (None, None, None)
    assert len(trained()) == 3 * 2 * 4
    assert set(trained().values()) == {1}
    attempt = Sweep.open(sweep.paths.folder).history.attempts["2.1"]
    assert [epoch.metrics["val_accuracy"] for epoch in attempt.epochs] == [
        [2.0 * e, 2.0 * e + 0.001] for e in range(1, 5)
    ]
    assert (attempt.test, attempt.evaluated, attempt.scores) == (
        {"test_accuracy": [0.0123] * 2},
        [4, 4],
        None,
    )
    assert (attempt.device, attempt.node) == ("cpu", "inline")
    assert Sweep.open(sweep.paths.folder).lacking() == []


def test_the_chest_x_ray_task_leaves_its_test_scores(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = parse("pneumonia", "configs: [{lr: 1e-3}]\nfixed: {batch_size: 8, nodes: 8}", levels="")
    sweep = new(space)
    sit(sweep, Pneumonia().splits(tiny))
    [finished] = events(sweep, "finished")
    assert (finished["scores"]["offset"], finished["scores"]["shape"]) == (0, [2, 10])
    assert len(sweep.scores.read(ScoreRows(**finished["scores"]))) == 2 * 10 * 4
    assert set(finished["test"]) == {
        f"test_{n}" for n in ("accuracy", "loss", "auc", "sensitivity", "specificity")
    }


def test_two_runs_leave_the_same_record_but_for_times(user_module: UserModule) -> None:
    space = parse(f"{user_module(CURVES)}:task", "stop: {scheduler: asha}\nseed: 3")

    def record() -> list[dict[str, Any]]:
        sweep = new(space)
        sit(sweep)
        return [{k: v for k, v in e.items() if k not in ("t", "durations_s", "crc")} for e in events(sweep)]

    assert record() == record()


def test_nothing_of_the_test_set_is_recorded_before_the_end(user_module: UserModule) -> None:
    sweep = new(parse(f"{user_module(CURVES)}:task", "stop: {scheduler: asha}"))
    sit(sweep)
    lines = sweep.paths.record.read_text().splitlines()
    ends = [line for line in lines if "test_" in line or "0.0123" in line]
    assert {json.loads(line)["event"] for line in ends} == {"finished"}
    assert {json.loads(line)["event"] for line in lines} >= {"started", "epoch", "decision", "finished"}


# ---------------------------------------------------------------- early stopping


def test_asha_stops_what_is_behind_and_says_so(user_module: UserModule) -> None:
    text = "stop: {scheduler: asha, grace_period: 1, reduction_factor: 2}\nseed: 1"
    sweep = new(parse(f"{user_module(CURVES)}:task", text, levels="[1, 2, 3, 4, 5, 6, 7, 8]"))
    sit(sweep)
    found = statuses(sweep)
    assert set(found) == {"finished", "stopped"}
    assert found[7] == "finished", "the best is never stopped"
    stops = [event for event in events(sweep, "decision") if event["stop"]]
    assert [sample for sample, status in enumerate(found, 1) if status == "stopped"] == sorted(
        event["sample"] for event in stops
    )
    for event in stops:
        assert event["value"] < event["threshold"]
        attempt = Sweep.open(sweep.paths.folder).history.attempts[event["trial"]]
        assert attempt.epoch == event["epoch"], "not one epoch more is trained"
        assert (attempt.test, attempt.reason) == ({}, f"early stopping at epoch {event['epoch']}")
    assert sit(sweep).ending is None
    assert statuses(sweep) == found, "what was stopped stays so"


def test_under_early_stopping_the_order_is_shuffled_by_the_seed(user_module: UserModule) -> None:
    def order(text: str) -> list[int]:
        sweep = new(parse(f"{name}:task", text, levels="[1, 2, 3, 4, 5, 6, 7, 8]"))
        sit(sweep)
        return [event["sample"] for event in events(sweep, "started")]

    name = user_module(CURVES)
    in_order = list(range(1, 9))
    assert order("") == in_order
    shuffled = order("stop: {scheduler: asha}\nseed: 1")
    assert shuffled != in_order
    assert sorted(shuffled) == in_order
    assert shuffled == order("stop: {scheduler: asha}\nseed: 1")
    assert shuffled != order("stop: {scheduler: asha}\nseed: 2")
    for scheduler in ("median", "hyperband", "asha, patience: 2"):
        assert order(f"stop: {{scheduler: {scheduler}}}\nseed: 1") == shuffled
    assert order("stop: {scheduler: none, patience: 2}\nseed: 1") == in_order, (
        "nobody is compared with another"
    )


CONVERGING = """
    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            value = min(epoch, config["level"] + context.replicate)
            yield {"val_accuracy": value, "test_accuracy": value, "val_auc": float("nan")}
"""


def test_a_replicate_that_converges_has_finished_and_is_ranked(user_module: UserModule) -> None:
    name = user_module(CONVERGING)
    more = "stop: {scheduler: none, patience: 2}"
    sweep = new(parse(f"{name}:task", more, levels="[4, 1, 9]"))
    sit(sweep)
    assert statuses(sweep) == ["finished"] * 3
    assert events(sweep, "decision") == []
    ended = {(e["trial"], e["replicates"][0], e["epoch"], e["by"]) for e in events(sweep, "ended")}
    assert ended == {("2.1", 0, 3, "patience")}
    frames = results.load(sweep)
    assert frames.seeds["epochs"].tolist() == [4, 4, 3, 4, 4, 4]
    assert frames.seeds["test_accuracy"].tolist() == [4, 4, 1, 2, 4, 4]
    assert frames.seeds["val_auc"].isna().all()
    assert results.ranked(frames)["sample"].tolist() == [1, 3, 2]
    last = [e["metrics"]["val_accuracy"] for e in events(sweep, "epoch") if e["trial"] == "2.1"][-1]
    assert last == [1.0, 2.0], "one that has ended keeps its last value"
    assert sweep.lacking() == []
    wider = sweep.space.model_copy(update={"epochs": 6})
    with sweep.writing():
        sweep.extend(wider, "--epochs 6", from_start=False)
    assert [spec.sample for spec in sweep.lacking()] == [1, 2, 3]
    assert [spec.replicates for spec in sweep.lacking()] == [(0, 1)] * 3
    sit(sweep)
    assert results.load(sweep).seeds["epochs"].tolist() == [6, 6, 3, 4, 6, 6]
    assert sweep.lacking() == []


# ---------------------------------------------------------------- failure and divergence

BROKEN = """
    def task(config, context):
        yield {"val_accuracy": 1.0, "test_accuracy": 1.0}
        if config["level"] in (LEVELS):
            raise ValueError(f"cannot bear MESSAGE")
        for _ in range(3):
            yield {"val_accuracy": 2.0, "test_accuracy": 2.0}
"""


def broken(levels: str, message: str) -> str:
    return BROKEN.replace("LEVELS", levels).replace("MESSAGE", message)


def test_a_trial_that_raises_has_failed_and_the_others_go_on(user_module: UserModule) -> None:
    sweep = new(parse(f"{user_module(broken('2,', 'two'))}:task"))
    assert sit(sweep).ending is None
    assert statuses(sweep) == ["finished", "failed", "finished"]
    failed = events(sweep, "failed")
    assert [(e["trial"], e["final"]) for e in failed] == [("2.1", False), ("2.2", False), ("2.3", True)]
    assert {e["reason"] for e in failed} == {"ValueError: cannot bear two"}
    log = (sweep.paths.folder / failed[-1]["log"]).read_text()
    assert log.startswith("Traceback")
    assert 'raise ValueError(f"cannot bear two")' in log
    assert sit(sweep).ending is None
    assert len(events(sweep, "started")) == 2 + 3, "what failed for good is not tried again"


def test_without_retries_a_failure_is_final(user_module: UserModule) -> None:
    sweep = new(parse(f"{user_module(broken('2,', 'two'))}:task", "max_failures: 0"))
    sit(sweep)
    assert [event["final"] for event in events(sweep, "failed")] == [True]
    assert statuses(sweep) == ["finished", "failed", "finished"]


def test_a_failed_trial_goes_on_and_nothing_is_lost(user_module: UserModule) -> None:
    name = user_module(
        """
        from pathlib import Path

        def task(config, context):
            for epoch in range(1, 5):
                if epoch == 3 and config["level"] == 1 and not Path("failed").exists():
                    Path("failed").touch()
                    raise OSError("for once")
                yield {"val_accuracy": epoch}
        """
    )
    sweep = new(parse(f"{name}:task", levels="[1, 2]"))
    sit(sweep)
    assert statuses(sweep) == ["finished", "finished"]
    rows = Sweep.open(sweep.paths.folder).history.configurations[1].epochs(0)
    assert [epoch for epoch, *_ in rows] == [1, 2, 3, 4]


FAILING = """
    def task(config, context):
        x = config["level"]
        if x:
            {action}
        for _ in range(context.epochs):
            yield {{"val_accuracy": 0.5}}
    """

#: What a task may do wrong, how often it is tried then, and whether the configurations fail alike.
FAULTS = {
    "the same message": ("raise ValueError('no')", 3, True),
    "messages of their own": ("raise ValueError(f'no {x}')", 3, True),
    "a list": ("yield {'val_accuracy': [x]}", 1, True),
    "a text": ("yield {'val_accuracy': f'high {x}'}", 1, True),
    "no metric": ("yield {f'val_{x}': 0.5}", 1, True),
    "no mapping": ("yield [x]", 1, True),
    "a column": ("yield {'val_accuracy': x, 'n': x}", 1, True),
    "other types": ("raise {1: ValueError, 2: KeyError}.get(x % 3, TypeError)('no')", 3, False),
    "other lines": (
        "if x % 3 == 0: raise ValueError('no')\n"
        "            if x % 3 == 1: raise ValueError('no')\n"
        "            raise ValueError('no')",
        3,
        False,
    ),
    "too large": ("raise MemoryError(f'{x} GiB')", 3, False),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("max_failures", [0, 2])
def test_a_sweep_ends_when_three_configurations_fail_alike(
    user_module: UserModule, fault: str, max_failures: int
) -> None:
    action, tries, alike = FAULTS[fault]
    name = user_module(FAILING.format(action=action))
    levels = "[1, 2, 3, 4, 5, 6]" if alike else "[1, 2, 3]"
    sweep = new(parse(f"{name}:task", f"max_failures: {max_failures}", levels=levels))
    driver = sit(sweep)
    assert (driver.ending is not None) is alike
    if alike:
        ended = "failed" if tries == 1 or max_failures == 0 else "interrupted"
        assert statuses(sweep) == [ended] * 3 + ["planned"] * 3
    else:
        assert statuses(sweep) == ["failed"] * 3
        tries = min(tries, 1 + max_failures)
        assert [len(c.attempts) for c in sweep.history.configurations.values()] == [tries] * 3


def test_after_one_good_end_failures_end_nothing(user_module: UserModule) -> None:
    sweep = new(parse(f"{user_module(broken('2, 3, 4, 5', 'it'))}:task", levels="[1, 2, 3, 4, 5]"))
    assert sit(sweep).ending is None
    assert statuses(sweep) == ["finished"] + ["failed"] * 4


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("scheduler", ["none", "asha"])
def test_a_configuration_that_diverges_is_marked(user_module: UserModule, seeds: int, scheduler: str) -> None:
    name = user_module(
        """
        def task(config, context):
            for epoch in range(1, 5):
                gone = config["level"] == 2 and context.replicate == 0 and epoch == 2
                yield {"val_accuracy": float("inf") if gone else epoch, "test_accuracy": 0.5}
        """
    )
    text = f"stop: {{scheduler: {scheduler}, grace_period: 2, reduction_factor: 2}}"
    sweep = new(parse(f"{name}:task", text).model_copy(update={"seeds": seeds}))
    sit(sweep)
    assert statuses(sweep) == ["finished", "diverged", "finished"]
    [diverged] = events(sweep, "diverged")
    assert (diverged["trial"], diverged["epoch"], diverged["replicates"]) == ("2.1", 2, [0])
    finished = {event["trial"]: event["test"] for event in events(sweep, "finished")}
    if seeds == 2 and scheduler == "none":
        assert finished["2.1"] == {"test_accuracy": [None, 0.5]}
    else:
        assert "2.1" not in finished
    assert Sweep.open(sweep.paths.folder).lacking() == []


# ---------------------------------------------------------------- sessions

STOPPING = """
    import json
    from pathlib import Path

    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            with Path("trained.log").open("a") as log:
                log.write(f"{config['level']}/{context.replicate}/{epoch}\\n")
            if config["level"] == 2 and context.replicate == 1 and epoch == 2 and not Path("asked").exists():
                Path("asked").touch()
                control = Path("runs/my-1/control")
                control.mkdir()
                (control / "0.json").write_text('{"do": "st')
                (control / "1.json").write_text('["of another version"]')
                (control / "2.json").write_text('{"do": "dance"}')
                (control / "3.json").write_text(json.dumps({"do": "stop"}))
            yield {"val_accuracy": config["level"] * epoch, "test_accuracy": 0.5}
"""


def test_a_control_file_stops_the_sweep_and_a_new_session_trains_what_lacks(user_module: UserModule) -> None:
    sweep = new(parse(f"{user_module(STOPPING)}:task"))
    driver = sit(sweep)
    assert driver.ending == "asked to stop by tune-app stop"
    assert statuses(sweep) == ["finished", "interrupted", "planned"]
    left = [path.name for path in sweep.paths.control.iterdir()]
    assert left == ["0.json"], "a request is taken away once it is read; half a request stays"
    before = trained()
    assert [(spec.sample, spec.replicates) for spec in Sweep.open(sweep.paths.folder).lacking()] == [
        (2, (0, 1)),
        (3, (0, 1)),
    ]
    again = Sweep.open(sweep.paths.folder)
    assert sit(again).ending is None
    assert statuses(again) == ["finished"] * 3
    assert [event["trial"] for event in events(again, "started")] == ["1.1", "2.1", "2.2", "3.1"]
    second = trained() - before
    assert not [key for key in second if key.startswith("1/")], "what had finished is not trained again"
    assert all(second[f"{level}/{r}/{e}"] == 1 for level in (2, 3) for r in (0, 1) for e in range(1, 5))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_in_mid_trial_loses_only_the_trial_under_way(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    sweep = new(parse(f"{user_module(CURVES)}:task"))
    tick = Driver.tick

    def interrupted(driver: Driver) -> None:
        tick(driver)
        if len(events(sweep, "epoch")) == 4 + 2:
            raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "tick", interrupted)
        with pytest.raises(interruption):
            sit(sweep)
    assert statuses(sweep) == ["finished", "interrupted", "planned"]
    assert not sweep.live()
    sit(sweep)
    assert statuses(sweep) == ["finished"] * 3


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("import sys; sys.exit(0)", "the task called sys.exit(0)"),
        ("exit('enough')", "the task called sys.exit('enough')"),
        ("raise KeyboardInterrupt", "the task raised KeyboardInterrupt"),
        ("raise GeneratorExit", "the task raised GeneratorExit"),
    ],
)
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_task_that_would_end_the_process_has_failed_and_the_others_go_on(
    user_module: UserModule, end: str, reason: str, epoch: int
) -> None:
    exits = f"if config['level'] == 2 and epoch == {epoch}:\n                {end}\n            yield {{"
    sweep = new(parse(f"{user_module(CURVES.replace('yield {', exits))}:task"))
    sit(sweep)
    assert statuses(sweep) == ["finished", "failed", "finished"]
    failed = events(sweep, "failed")[-1]
    assert reason in failed["reason"]
    assert end in (sweep.paths.folder / failed["log"]).read_text()


def test_a_resumed_sweep_under_asha_decides_on_all_of_its_record(user_module: UserModule) -> None:
    text = "stop: {scheduler: asha, grace_period: 2, reduction_factor: 2}\nseed: 4"
    space = parse(f"{user_module(CURVES)}:task", text, levels="[5, 1, 4, 2, 3, 6]")
    whole = new(space)
    sit(whole)
    halves = new(space)
    with halves.writing():
        halves.note(Opened())
        driver = Driver(halves, stopping.make_stopper(space))
        noted = halves.note

        def note(event: Event, **options: bool) -> Event:
            entry = noted(event, **options)
            if isinstance(event, Finished | Decision) and len(events(halves, "finished", "decision")) == 5:
                driver.ending = "a test"
            return entry

        halves.note = note  # type: ignore[method-assign]
        inline.run(driver, None)
    assert statuses(halves) != statuses(whole)
    again = Sweep.open(halves.paths.folder)
    sit(again)
    assert statuses(again) == statuses(whole)

    def decisions(sweep: Sweep) -> list[tuple[Any, ...]]:
        return [
            (e["sample"], e["rung"], e["value"], e["threshold"], e["stop"]) for e in events(sweep, "decision")
        ]

    assert len(set(decisions(whole))) > 5
    assert decisions(again) == decisions(whole)
    for sweep in (again, whole):
        assert audit.recompute((event for _, event in record.read(sweep.paths.record)), space) == []


def test_a_disk_that_refuses_ends_the_sweep_resumably(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = new(parse(f"{user_module(CURVES)}:task"))
    fsync, calls = os.fsync, Counter[str]()

    def full(descriptor: int) -> None:
        calls["fsync"] += 1
        if calls["fsync"] >= 3:  # the opening, the end of the first trial, and no more
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left") as caught:
            sit(sweep)
    assert caught.value.exit_code == 1
    assert statuses(sweep)[0] == "finished"
    again = Sweep.open(sweep.paths.folder)
    assert sit(again).ending is None
    assert statuses(again) == ["finished"] * 3
