"""One session: what it leaves on the disk, and how it ends."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from facts import lacking
from small_task import (
    GRID,
    TASK,
    again,
    assert_alike,
    end_after,
    events,
    extend,
    request,
    run,
)

from tune_app import results
from tune_app import space as spaces
from tune_app.errors import DiskError, Interrupted, RunError, TrialsFailed
from tune_app.session import lifecycle, preview
from tune_app.session.session import Session
from tune_app.sweep import Sweep
from tune_app.sweep.events import Saved

UserModule = Callable[[str], str]


def test_a_time_limit_ends_a_session_that_can_be_resumed(user_module: UserModule) -> None:
    task = f"{user_module(TASK)}:Task"
    with pytest.raises(TrialsFailed, match=r"(?s)time limit.*\b0 of 2 .*tune-app resume one"):
        run(request(task, time_limit_s=1e-9))
    trained, saved = events("one", "epoch"), events("one", "checkpoint")
    assert saved[-1]["saved"]["epoch"] == trained[-1]["epoch"] < 4, "it is saved before it ends"
    lifecycle.resume(*again("one")).train()
    run(request(task, name="whole"))
    assert_alike("one", "whole")


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


def test_a_damaged_checkpoint_is_not_used(
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


def test_a_resume_reads_no_checkpoint_before_it_is_used(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = f"{user_module(TASK)}:Task"
    with monkeypatch.context() as patch:
        end_after(patch, 2)
        with pytest.raises(TrialsFailed):
            run(request(task))
    read_: list[str] = []
    whole = Sweep.is_intact

    def spy(self: Sweep, saved: Saved) -> bool:
        read_.append(saved.file)
        return whole(self, saved)

    monkeypatch.setattr(Sweep, "is_intact", spy)
    sweep = Sweep.open("runs/one")
    assert sweep.outstanding() == 2
    assert sweep.lacking()[0].start
    assert read_ == []
    lifecycle.resume(*again("one")).train()
    assert len(read_) == 1


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
    confirming = lifecycle.confirmation(asked, sweep, 1, 2).space
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


# ---------------------------------------------------------------- how a session ends


@contextmanager
def shown(sweep: Sweep, line: str) -> Iterator[None]:
    views.append((sweep.name, line))
    yield


views: list[tuple[str, str]] = []


def test_a_session_begins_when_its_view_opens(user_module: UserModule) -> None:
    views.clear()
    asked = request(f"{user_module(TASK)}:Task")
    new = Session(asked, asked.load())
    assert (new.sweep, new.began) == (None, False)
    sweep = new.train(shown)
    assert (new.sweep, new.began) == (sweep, True)
    again_ = Session(asked, asked.load(), sweep)
    assert again_.train(shown) is sweep
    assert again_.began
    assert [name for name, _ in views] == ["one", "one"]


def test_a_run_that_another_process_trains_is_left_alone(user_module: UserModule) -> None:
    asked = request(f"{user_module(TASK)}:Task")
    sweep = run(asked)
    busy = Session(asked, asked.load(), Sweep.open("runs/one"), lambda _: None)
    with sweep.writing(), pytest.raises(RunError, match="another tune-app process"):
        busy.train(shown)
    assert not busy.began


@pytest.mark.parametrize(
    ("existing", "change", "advice"),
    [
        (False, False, "No run was made"),
        (True, True, "The run is unchanged"),
        (True, False, "tune-app resume one"),
    ],
)
def test_a_disk_that_is_full_before_training_leaves_advice(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch, existing: bool, change: bool, advice: str
) -> None:
    asked = request(f"{user_module(TASK)}:Task")
    loaded = asked.load()
    sweep = Sweep.create(asked.space, loaded.identity, name="one", source=asked.source) if existing else None
    session = Session(asked, loaded, sweep, (lambda _: None) if change else None)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    monkeypatch.setattr(preview, "stacking", full)
    with pytest.raises(DiskError, match=rf"(?s)x: .*{advice}"):
        session.train()
    assert not session.began


def test_a_session_without_work_writes_again_what_is_missing(user_module: UserModule) -> None:
    sweep = run(request(f"{user_module(TASK)}:Task"))
    before = sweep.paths.record.read_bytes()
    sweep.paths.test_images.unlink()
    lifecycle.resume(*again("one")).train()
    assert sweep.paths.test_images.is_file()
    assert sweep.paths.record.read_bytes() == before


def test_what_the_end_needs_is_loaded_once_no_trial_waits(user_module: UserModule) -> None:
    """The last trial takes about a second."""
    counts: list[tuple[int, int]] = []
    asked = request(
        f"{user_module(TASK.replace('bce(', 'time.sleep(0.02) or bce(') + '    import time')}:Task"
    )
    Session(asked, asked.load()).train(
        load=lambda: counts.append((len(events("one", "started")), len(events("one", "finished"))))
    )
    assert counts == [(2, 1)]
