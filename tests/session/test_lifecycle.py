"""Going on with a run: whatever way a sweep came about, the same wants leave the same results."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from facts import lacking
from lines import read
from small_task import GRID, TASK, request, run

from tune_app import results
from tune_app import space as spaces
from tune_app.driver.driver import Driver
from tune_app.errors import DataError, Interrupted, RunError, SpaceError, TrialsFailed
from tune_app.session import confirm, lifecycle, loading, rerun, stop
from tune_app.session.loading import LoadedTask
from tune_app.session.request import Request, request_for
from tune_app.session.session import Session
from tune_app.status import Status
from tune_app.sweep import Sweep, find_sample
from tune_app.sweep.events import Saved, Source
from tune_app.tasks import task_folder

UserModule = Callable[[str], str]

COSINE = TASK.replace(
    "scheduler(self, config, optimizer)", "scheduler(self, config, optimizer, epochs)"
).replace('StepLR(optimizer, 2, config.get("gamma", 0.5))', "CosineAnnealingLR(optimizer, epochs)")


def again(name: str, **options: Any) -> tuple[Request, LoadedTask, Sweep]:
    sweep = Sweep.open(Path("runs") / name)
    asked = request_for(sweep, address="inline", **options)
    return asked, loading.load(asked, sweep), sweep


def extend(name: str, **more: Any) -> Sweep:
    asked, loaded, sweep = again(name)
    wider = spaces.extend(sweep.space, **more)
    return lifecycle.extend(asked, loaded, sweep, wider, str(more)).train()


def rows(name: str) -> pd.DataFrame:
    """``seeds.csv`` without times and numbers, in an order that hangs on parameters alone."""
    frames = results.load(Sweep.open(Path("runs") / name))
    kept = frames.seeds.drop(columns=["sample", "duration_s", "device"])
    return kept.sort_values([*frames.parameters, "replicate"], ignore_index=True)


def assert_alike(one: str, other: str) -> None:
    pd.testing.assert_frame_equal(rows(one), rows(other), check_exact=True, check_like=True)


def events(name: str, *kinds: str) -> list[dict[str, Any]]:
    return [e for _, e in read(Path("runs") / name / "record.jsonl") if e["event"] in kinds]


def end_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have the driver end after so many reports, as a signal would, without the grace to be saved."""
    reports = [0]
    original = Driver.report

    def report(self: Driver, *args: Any) -> bool:
        going = original(self, *args)
        reports[0] += 1
        if reports[0] == count:
            self.ending = "a test"
            return False
        return going

    monkeypatch.setattr(Driver, "report", report)


# ---------------------------------------------------------------- resume


@pytest.mark.parametrize("evaluate", ["last", "best"])
@pytest.mark.parametrize("after", [1, 3, 5, 7])
def test_a_resumed_run_equals_an_undisturbed_one(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, after: int, evaluate: str
) -> None:
    task = f"{user_module(TASK)}:Task"
    text = f"{GRID}evaluate: {evaluate}\n"
    run(request(task, text, "whole"))
    with monkeypatch.context() as patch:
        end_after(patch, after)
        with pytest.raises(TrialsFailed, match=r"(?s)a test.*tune-app resume halves"):
            run(request(task, text, "halves"))
    lifecycle.resume(*again("halves")).train()
    assert_alike("whole", "halves")
    trained = [(e["trial"].split(".")[0], e["epoch"]) for e in events("halves", "epoch")]
    assert len(trained) == len(set(trained)) == 2 * 4, "no epoch before the checkpoint is trained again"


PATIENT = GRID.replace("epochs: 4\nseeds: 2", "epochs: 9\nseeds: 3") + (
    "stop: {scheduler: none, patience: 2, min_delta: 0.005}\nmetric: {name: val_loss, mode: min}\n"
)


@pytest.mark.parametrize("replicates", ["looped", "stacked"])
def test_replicates_that_converge_at_different_epochs_do_so_after_any_kill_and_extension(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, replicates: str
) -> None:
    task = f"{user_module(TASK.replace('Dropout(0.2)', 'ReLU()'))}:Task"
    text = f"{PATIENT}replicates: {replicates}\n"
    run(request(task, text, "whole"))
    ends = rows("whole")["epochs"]
    assert len(set(ends)) > 2, "they end at different epochs"
    assert set(rows("whole")["status"]) == {"finished"}
    assert sum(len(event["replicates"]) for event in events("whole", "ended")) == sum(ends < 9)
    for after in range(1, len(events("whole", "epoch")), 3):
        name = f"after{after}"
        with monkeypatch.context() as patch:
            end_after(patch, after)
            with pytest.raises(TrialsFailed):
                run(request(task, text, name))
        lifecycle.resume(*again(name)).train()
        assert_alike("whole", name)
    run(request(task, text.replace("epochs: 9", "epochs: 5").replace("seeds: 3", "seeds: 2"), "less"))
    extend("less", epochs="9")
    before = len(events("less", "epoch"))
    assert extend("less", seeds="3").lacking() == []
    extended, whole = (rows(name).drop(columns="test_looks") for name in ("less", "whole"))
    exact = replicates == "looped"  # the size of a stack decides the last digits
    pd.testing.assert_frame_equal(extended, whole, check_exact=exact, check_like=True)
    assert {e["trial"].split(".")[1] for e in events("less", "epoch")[before:]} == {"3"}
    again_ = rerun.rerun(*again("whole"), sample=1)
    assert (again_.differences, again_.compared > 0) == ([], True)


BREAKING = """
    def task(config, context):
        for epoch in range(1, context.epochs + 1):
            yield {"val_accuracy": epoch + config["lr"], "test_accuracy": context.epochs}
            if epoch == 2 + context.replicate:
                return
"""


def test_a_function_that_ended_by_itself_lacks_nothing_until_more_epochs_are_wanted(
    user_module: UserModule,
) -> None:
    task = f"{user_module(BREAKING)}:task"
    run(request(task, GRID))
    assert rows("one")["epochs"].tolist() == [2, 3, 2, 3]
    trained = len(events("one", "epoch"))
    lifecycle.resume(*again("one")).train()
    extend("one", seeds="3")
    assert rows("one")["epochs"].tolist() == [2, 3, 4, 2, 3, 4]
    assert len(events("one", "epoch")) == trained + 2 * 4
    extend("one", epochs="6")
    assert rows("one")["test_accuracy"].tolist() == [6] * 6
    assert Sweep.open("runs/one").lacking() == []


def test_a_resume_reads_no_checkpoint_before_it_is_used(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = f"{user_module(TASK)}:Task"
    with monkeypatch.context() as patch:
        end_after(patch, 2)
        with pytest.raises(TrialsFailed):
            run(request(task))
    read_: list[str] = []
    whole = Sweep.whole

    def spy(self: Sweep, saved: Saved) -> bool:
        read_.append(saved.file)
        return whole(self, saved)

    monkeypatch.setattr(Sweep, "whole", spy)
    sweep = Sweep.open("runs/one")
    assert sweep.outstanding() == 2
    assert sweep.lacking()[0].start
    assert read_ == []
    lifecycle.resume(*again("one")).train()
    assert len(read_) == 1


def cut_before(name: str, kind: str, nth: int = 1) -> None:
    """Take a record back to just before its nth event of a kind, as a crash there would have left it."""
    path = Path("runs") / name / "record.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    at = [n for n, line in enumerate(lines) if json.loads(line)["event"] == kind][nth - 1]
    path.write_bytes(b"".join(lines[:at]))


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_crash_just_before_an_end_trains_no_epoch_too_many(user_module: UserModule, keep: str) -> None:
    task = f"{user_module(TASK)}:Task"
    text = GRID.replace("keep: last", f"keep: {keep}")
    run(request(task, text, "whole"))
    run(request(task, text))
    cut_before("one", "finished")
    lifecycle.resume(*again("one")).train()
    assert_alike("one", "whole")


def test_what_is_not_the_same_data_is_refused(
    user_module: UserModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = user_module(TASK)
    run(request(f"{name}:Task"))
    task_folder._folders.clear()  # as a new process begins
    Path(f"{name}.py").write_text(Path(f"{name}.py").read_text().replace("default_rng(3)", "default_rng(4)"))
    with pytest.raises(DataError, match=r"\bone\b"):
        again("one")


def test_data_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = Sweep.create(
        spaces.parse("task: pneumonia"),
        runs_dir="runs",
        name="one",
        source=Source("xr", str(tmp_path / "xr"), 8, "patient", everything=True),
    )
    with pytest.raises(DataError, match=r"(?s)xr: .*--data"):
        request_for(sweep)
    (tmp_path / "xr").mkdir()
    assert request_for(sweep).data == "xr"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    asked = request_for(sweep, resources={"max_concurrent": 1, "cpus_per_trial": None})
    assert (asked.data, asked.image_size, asked.split, asked.everything) == (
        str(tmp_path / "xr"),
        8,
        "patient",
        True,
    )
    assert asked.space.resources == spaces.Resources(max_concurrent=1)
    assert request_for(sweep, data="phantom").data == "phantom"


def test_a_time_limit_ends_a_sitting_resumably(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    with pytest.raises(TrialsFailed, match=r"(?s)time limit.*\b0 of 2 .*tune-app resume one"):
        run(request(task, time_limit_s=1e-9))
    trained, saved = events("one", "epoch"), events("one", "checkpoint")
    assert saved[-1]["saved"]["epoch"] == trained[-1]["epoch"] < 4, "it is saved before it ends"
    lifecycle.resume(*again("one")).train()
    run(request(task, name="whole"))
    assert_alike("one", "whole")


# ---------------------------------------------------------------- extend


@pytest.mark.parametrize("keep", ["last", "best", "none"])
def test_an_extended_grid_equals_one_asked_for_whole(user_module: UserModule, keep: str) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task, GRID.replace("keep: last", f"keep: {keep}")))
    extend("one", seeds="+1")
    extend("one", add=["lr=0.03"])
    extend("one", epochs="8")
    wide = GRID.replace("[0.01, 0.1]", "[0.01, 0.1, 0.03]").replace("epochs: 4", "epochs: 8")
    run(request(task, wide.replace("seeds: 2", "seeds: 3"), "whole"))
    whole = rows("whole").drop(columns="test_looks")
    pd.testing.assert_frame_equal(rows("one").drop(columns="test_looks"), whole, check_exact=True)
    assert set(rows("one")["test_looks"]) == {2}
    assert set(rows("whole")["test_looks"]) == {1}
    trained = sum(len(e["durations_s"]) for e in events("one", "epoch"))
    fresh = 3 * 3 * 8
    assert trained == (fresh if keep == "last" else fresh + 3 * 3 * 4)


def test_a_schedule_that_reads_epochs_starts_again(user_module: UserModule) -> None:
    task = f"{user_module(COSINE)}:Task"
    run(request(task))
    extend("one", epochs="+2")
    run(request(task, GRID.replace("epochs: 4", "epochs: 6"), "whole"))
    looks = "test_looks"
    pd.testing.assert_frame_equal(rows("one").drop(columns=looks), rows("whole").drop(columns=looks))
    assert [e["epoch"] for e in events("one", "epoch")].count(1) == 4


def test_what_was_stopped_stays_so_and_new_seeds_train_to_its_end(user_module: UserModule) -> None:
    name = user_module(
        """
        def task(config, context):
            for epoch in range(1, context.epochs + 1):
                value = config["level"] * epoch + context.replicate
                yield {"val_accuracy": value, "test_accuracy": 0.5}
        """
    )
    text = (
        "space: {level: {grid: [1, 2, 3, 4, 5, 6]}}\nepochs: 9\nseeds: 2\n"
        "stop: {scheduler: asha, grace_period: 2, reduction_factor: 2}\nseed: 1"
    )
    before = run(request(f"{name}:task", text))
    assert set(before.statuses()) == {"finished", "stopped"}
    decided = len(before.history.decisions)
    after = extend("one", seeds="+2")
    assert after.statuses() == before.statuses()
    assert len(after.history.decisions) == decided, "no new decisions"
    for configuration in after.history.configurations.values():
        ends = {configuration.epochs(r)[-1][0] for r in range(4)}
        assert len(ends) == 1
        assert all(bool(a.test) == (a.end == "finished") for a in configuration.attempts)
    longer = extend("one", epochs="18")
    assert [s for s, was in zip(longer.statuses(), before.statuses(), strict=True) if was == "stopped"] == [
        "stopped"
    ] * before.statuses().count(Status.STOPPED)


def test_an_extension_survives_a_crash_between_record_and_space_file(user_module: UserModule) -> None:
    run(request(f"{user_module(TASK)}:Task"))
    old = Path("runs/one/space.yaml").read_text()
    extend("one", seeds="3")
    Path("runs/one/space.yaml").write_text(old)
    assert Sweep.open("runs/one").space.seeds == 3
    lifecycle.resume(*again("one")).train()
    assert spaces.load("runs/one/space.yaml").seeds == 3
    assert [(e["asked"], e["from_start"]) for e in events("one", "extended")] == [("{'seeds': '3'}", False)]


def test_an_extension_is_whole_after_a_crash_in_its_middle(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task))
    extend("one", add=["lr=0.03"])
    cut_before("one", "planned", 3)
    lifecycle.resume(*again("one")).train()
    run(request(task, GRID.replace("[0.01, 0.1]", "[0.01, 0.1, 0.03]"), "whole"))
    assert_alike("one", "whole")


VIEWS = ("space.yaml", "provenance.json", "test_images.csv")


def spoil(path: Path, how: str) -> None:
    """Remove a file, write something else over it, or put a folder in its place."""
    text = path.read_text()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "removed":
        edited = text.replace("seeds: 2", "seeds: 9").replace("mode: max", "mode: min").replace(",0,", ",1,")
        path.write_text(edited if how == "edited" else "}{")


@pytest.mark.parametrize("how", ["removed", "edited", "garbage"])
def test_files_that_the_record_can_make_decide_nothing_and_are_written_again(
    user_module: UserModule, how: str
) -> None:
    run(request(f"{user_module(TASK)}:Task"))
    paths = [Path("runs/one") / name for name in VIEWS]
    before, space = [path.read_text() for path in paths], Sweep.open("runs/one").space
    for path in paths:
        spoil(path, how)
    asked, loaded, sweep = again("one")
    assert sweep.space == space
    confirming = confirm.confirmation(asked, sweep, 1, 2).space
    assert (confirming.metric, confirming.epochs) == (space.metric, space.epochs)
    lifecycle.resume(asked, loaded, sweep).train()
    assert [path.read_text() for path in paths] == before
    for path in paths:
        spoil(path, how)
    assert extend("one", seeds="3").space.seeds == 3
    assert spaces.load("runs/one/space.yaml").seeds == 3
    assert [path.read_text() for path in paths[1:]] == before[1:]


def test_a_file_that_cannot_be_written_never_ends_a_sweep(
    user_module: UserModule, capsys: pytest.CaptureFixture[str]
) -> None:
    run(request(f"{user_module(TASK)}:Task"))
    for name in VIEWS:
        spoil(Path("runs/one") / name, "folder")
    assert set(extend("one", seeds="3").statuses()) == {"finished"}
    said = capsys.readouterr().out
    assert [said.count(f"{name}: cannot be written") for name in VIEWS] == [1, 1, 1]


def test_test_images_that_were_edited_are_refused(user_module: UserModule) -> None:
    run(request(f"{user_module(TASK)}:Task"))
    spoil(Path("runs/one/test_images.csv"), "edited")
    with pytest.raises(RunError, match=r"test_images\.csv: .*resume one"):
        results.load(Sweep.open("runs/one")).test_images()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "nothing to extend by"),
        ({"seeds": "1"}, r"--seeds 1: there are 2 already.*write more than 2"),
        ({"seeds": "many"}, r"--seeds many: write how many more, as in --seeds \+5"),
        ({"epochs": "+-1"}, r"--epochs \+-1: write how many"),
        ({"samples": "+5"}, r"--samples \+5: my is a grid, which has no samples"),
        ({"add": ["lr"]}, r"--add lr: write name=value"),
        ({"add": ["lr=0.1"]}, r"lr has 0.1 already"),
        ({"add": ["lrr=0.2"]}, r'no parameter called "lrr" is searched. Did you mean "lr"'),
        ({"add": ["lr=[1]"]}, r"--add lr=\[1\]"),
        ({"add": ["{lr: 0.2, other: 1}", "{lr: 0.2, other: 1}"]}, "the same point"),
    ],
)
def test_what_extends_nothing_is_told(more: dict[str, Any], words: str) -> None:
    space = spaces.parse("task: pneumonia\n" + GRID, name="my")
    with pytest.raises(SpaceError, match=f"(?s){words}"):
        spaces.extend(space, **more)


def test_a_drawn_parameter_takes_no_values_but_whole_points() -> None:
    text = "space: {lr: {uniform: [0, 1]}}\nsearch: {algorithm: random, samples: 3}"
    space = spaces.parse(f"task: pneumonia\n{text}", name="my")
    with pytest.raises(SpaceError, match=r"lr .*uniform"):
        spaces.extend(space, add=["lr=0.5"])
    wider = spaces.extend(space, add=["{lr: 0.5}"], samples="+2")
    assert wider.planned()[0] == {"lr": 0.5}
    assert wider.planned()[1:4] == space.planned()


def test_more_samples_keep_the_first(user_module: UserModule) -> None:
    text = "space: {lr: {uniform: [0.01, 0.1]}}\nepochs: 1\nseeds: 1\nsearch: {algorithm: random, samples: 2}"
    task = f"{user_module(TASK)}:Task"
    run(request(task, text))
    extend("one", samples="+2")
    run(request(task, text.replace("samples: 2", "samples: 4"), "whole"))
    assert_alike("one", "whole")
    assert len(events("one", "started")) == 4


# ---------------------------------------------------------------- retry

FAILING = """
    from pathlib import Path

    def task(config, context):
        yield {"val_accuracy": 1.0}
        if config["level"] > 1 and not Path("fixed").exists():
            raise ValueError(f"cannot bear {config['level']}")
        yield {"val_accuracy": 2.0}
"""
LEVELS = "space: {level: {grid: [1, 2, 3]}}\nepochs: 2\nseeds: 1\nmax_failures: 1\n"


def test_what_failed_is_tried_again_once_it_is_fixed(user_module: UserModule) -> None:
    with pytest.raises(TrialsFailed, match=r"(?s)2 of 3.*ValueError: cannot"):
        run(request(f"{user_module(FAILING)}:task", LEVELS))
    asked, loaded, sweep = again("one")
    assert lifecycle.failed(sweep, ()) == [2, 3]
    assert lifecycle.failed(sweep, ("3.1",)) == [3]
    with pytest.raises(RunError, match=r"\b1\b.*finished.*\b2, 3"):
        lifecycle.failed(sweep, ("1",))
    with pytest.raises(TrialsFailed, match="2 of 3"):  # not fixed: its retries begin anew, and fail
        lifecycle.retry(asked, loaded, sweep, [2]).train()
    assert len(events("one", "failed")) == 6
    Path("fixed").touch()
    asked, loaded, sweep = again("one")
    done = lifecycle.retry(asked, loaded, sweep, lifecycle.failed(sweep, ())).train()
    assert done.statuses() == ["finished"] * 3
    with pytest.raises(RunError, match="failed"):
        lifecycle.failed(done, ())


def test_trials_are_found_by_what_a_user_calls_them(user_module: UserModule) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task"))
    assert [find_sample(sweep, each) for each in ("1", "2", "2.1")] == [1, 2, 2]
    for wrong in ("3", "0", "x", "", "-1", "1.2", "²"):
        with pytest.raises(RunError, match=f'one: .*"{wrong}"'):
            find_sample(sweep, wrong)


# ---------------------------------------------------------------- stop

WAITING = """
    import time
    from pathlib import Path

    def task(config, context):
        for epoch in range(1, 200):
            Path(f"at.{config['level']}.{epoch}").touch()
            while config["level"] == 2 and epoch == 2 and not Path("go").exists():
                time.sleep(0.01)
            yield {"val_accuracy": epoch}
            if config["level"] != 2 and epoch == 3:
                return
"""


def asking(trial: str | None) -> tuple[threading.Thread, list[BaseException]]:
    """Ask from another thread, as another process would, once configuration 2 is under way."""
    errors: list[BaseException] = []

    def work() -> None:
        while not Path("at.2.2").exists():
            time.sleep(0.01)
        threading.Timer(0.3, Path("go").touch).start()
        try:
            stop.request_stop(Sweep.open("runs/one"), trial)
        except RunError as error:
            errors.append(error)
            Path("go").touch()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, errors


def test_one_trial_is_stopped_and_the_others_go_on(user_module: UserModule) -> None:
    thread, errors = asking("2")
    run(request(f"{user_module(WAITING)}:task", LEVELS.replace("epochs: 2", "epochs: 199")))
    thread.join()
    assert errors == []
    assert Sweep.open("runs/one").statuses() == ["finished", "stopped", "finished"]
    [stopped] = events("one", "stopped")
    assert "tune-app stop" in stopped["reason"]
    assert list(Path("runs/one/control").iterdir()) == []


def test_a_whole_run_is_stopped_resumably(user_module: UserModule) -> None:
    thread, errors = asking(None)
    text = LEVELS.replace("epochs: 2", "epochs: 3")
    with pytest.raises(TrialsFailed, match=r"(?s)tune-app stop.*tune-app resume one"):
        run(request(f"{user_module(WAITING)}:task", text))
    thread.join()
    assert errors == []
    assert lifecycle.resume(*again("one")).train().statuses() == ["finished"] * 3


def test_there_must_be_something_to_stop(user_module: UserModule) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task"))
    with pytest.raises(RunError, match="one"):
        stop.request_stop(sweep, None)
    with pytest.raises(RunError, match=r"\b1 is finished"):
        stop.request_stop(sweep, "1")
    with Sweep.open("runs/one").writing(), pytest.raises(RunError, match=r"\b0\.1 s\b.*control"):
        stop.request_stop(sweep, None, wait_s=0.1)


# ---------------------------------------------------------------- rerun


def test_a_rerun_comes_out_the_same_or_says_what_differs(user_module: UserModule) -> None:
    name = user_module(TASK)
    run(request(f"{name}:Task"))
    same = rerun.rerun(*again("one"), 2)
    assert (same.differences, same.device) == ([], "cpu")
    per_epoch, tests = 7, 5
    assert same.compared == 2 * (4 * per_epoch + tests)
    source = Path(f"{name}.py").read_text()
    task_folder._folders.clear()  # as a new process begins
    Path(f"{name}.py").write_text(source.replace("Dropout(0.2)", "Dropout(0.3)"))
    other = rerun.rerun(*again("one"), 2)
    assert 0 < len(other.differences) <= other.compared
    replicate, metric, then, now = other.differences[0]
    assert (replicate, metric) == (0, "train_loss of epoch 1") or metric.endswith("of epoch 1")
    assert then != now
    assert [(e["sample"], e["differing"] > 0) for e in events("one", "rerun")] == [(2, False), (2, True)]
    assert [path.name for path in Path("runs").iterdir()] == ["one"], "the second training leaves no run"


def test_only_what_has_ended_is_trained_again(user_module: UserModule) -> None:
    with pytest.raises(TrialsFailed):
        run(request(f"{user_module(FAILING)}:task", LEVELS))
    with pytest.raises(RunError, match=r"\b2 is failed"):
        rerun.rerun(*again("one"), 2)


# ---------------------------------------------------------------- confirm


def test_the_best_are_confirmed_on_seeds_that_are_new(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task, GRID.replace("[0.01, 0.1]", "[0.001, 0.01, 0.1]")))
    asked, loaded, sweep = again("one")
    best = [int(each) for each in results.ranked(results.load(sweep))["sample"]]

    def confirmed() -> Sweep:
        return Session(confirm.confirmation(asked, sweep, top=2, seeds=3), loaded).train()

    first, second = confirmed(), confirmed()
    assert (first.name, second.name) == ("one-confirm", "one-confirm-2")
    assert first.header.confirms == "one"
    for number, made in enumerate((first, second)):
        assert made.statuses() == ["finished"] * 2
        configs = [c.config for c in made.history.configurations.values()]
        assert configs == [sweep.history.configurations[sample].config for sample in best[:2]]
        frames = results.load(made)
        start = 2 + 3 * number
        assert sorted(set(frames.seeds["replicate"])) == [start, start + 1, start + 2]


def test_a_damaged_run_beside_it_stops_no_confirmation_but_a_damaged_confirmation_does(
    user_module: UserModule,
) -> None:
    asked = request(f"{user_module(TASK)}:Task")
    sweep = run(asked)
    for name in ("other", "one-confirm"):
        (Path("runs") / name).mkdir()
        (Path("runs") / name / "record.jsonl").write_bytes(b"no record\n")
        if name == "other":
            assert confirm.confirmation(asked, sweep, 1, 2).name == "one-confirm"
    with pytest.raises(RunError, match="one-confirm"):
        confirm.confirmation(asked, sweep, 1, 2)


def test_a_point_that_was_drawn_twice_is_confirmed_once_and_goes_by_its_first_number(
    user_module: UserModule,
) -> None:
    draws = GRID.replace("{grid: [0.01, 0.1]}", "{choice: [0.01, 0.1]}")
    run(request(f"{user_module(TASK)}:Task", f"{draws}search: {{algorithm: random, samples: 5}}\n"))
    asked, _, sweep = again("one")
    first = {c.sample: c.duplicate_of or c.sample for c in sweep.history.configurations.values()}
    assert len(set(first.values())) == 2
    confirmed = confirm.confirmation(asked, sweep, top=3, seeds=2).space
    assert {point["lr"] for point in confirmed.configs} == {0.01, 0.1}
    assert len(confirmed.configs) == 2
    assert {sample: find_sample(sweep, str(sample)) for sample in first} == first


def test_without_a_finished_configuration_there_is_nothing_to_confirm(user_module: UserModule) -> None:
    asked = request(f"{user_module(TASK)}:Task")
    sweep = Sweep.create(asked.space, runs_dir="runs", name="one")
    with pytest.raises(RunError, match="finished"):
        confirm.confirmation(asked, sweep, 5, 20)


# ---------------------------------------------------------------- what stays on the disk


@pytest.mark.parametrize(("keep", "left"), [("none", 0), ("best", 1), ("last", 2)])
def test_checkpoints_are_kept_as_asked(user_module: UserModule, keep: str, left: int) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task", GRID.replace("keep: last", f"keep: {keep}")))
    files = sorted(path.name for path in sweep.paths.checkpoints.iterdir())
    assert len(files) == left
    if keep == "best":
        best = int(results.ranked(results.load(sweep)).iloc[0]["sample"])
        assert files == [f"{best}-0-000004-weights.pt"]
    count, size = sweep.prune()
    assert (count, size > 0) == (left, left > 0)
    assert list(sweep.paths.checkpoints.iterdir()) == []
    assert json.loads(Path("runs/one/provenance.json").read_text())


def test_a_damaged_checkpoint_is_not_gone_on_from(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = f"{user_module(TASK)}:Task"
    run(request(task, name="whole"))
    with monkeypatch.context() as patch:
        end_after(patch, 3)
        with pytest.raises((TrialsFailed, Interrupted)):
            run(request(task))
    [path] = Path("runs/one/checkpoints").glob("*-state.pt")
    path.write_bytes(path.read_bytes()[:-100])
    lifecycle.resume(*again("one")).train()
    said = " ".join(capsys.readouterr().out.split())
    assert any(lacking(line, [path.name, "configuration 1"]) == [] for line in said.splitlines())
    assert_alike("one", "whole")
    assert [e["epoch"] for e in events("one", "epoch")].count(1) == 3
