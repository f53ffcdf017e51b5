"""A folder is moved, removed or replaced while it trains: no other is written into, nothing finished lost."""

from __future__ import annotations

import pickle
import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_task import GRID, TASK, request, run

from benchmarks.chaos.moved import ACTS, content, elsewhere, other
from tune_app import results, stopping, storage
from tune_app import space as spaces
from tune_app.data.identity import NO_DATA
from tune_app.driver.driver import Driver
from tune_app.engines import inline
from tune_app.errors import FolderChanged, RunError
from tune_app.sweep import Sweep
from tune_app.sweep.events import Opened
from tune_app.sweep.opened_folder import OpenedFolder, in_use, remove, write_atomically
from tune_app.sweep.paths import RunPaths
from tune_app.tasks import task as tasks
from tune_app.tasks.task import Task
from tune_app.training.trial import Trial

#: Looped, for then nothing is measured.
SPACE = f"{GRID}replicates: looped\n"
UserModule = Callable[[str], str]


@pytest.fixture
def task(user_module: UserModule) -> str:
    return f"{user_module(TASK)}:Task"


def train(sweep: Sweep) -> Sweep:
    """One session of a sweep, as ``tune-app run --address inline`` holds it."""
    loaded = tasks.load(sweep.space.task)
    assert isinstance(loaded, Task)
    with sweep.writing():
        sweep.note(Opened(), durable=True)
        driver = Driver(sweep, stopping.make_stopper(sweep.space))
        inline.run(driver, loaded.splits(None))
        driver.tidy()
    return sweep


def new(task: str, name: str, grid: str = "0.01, 0.1") -> Sweep:
    text = GRID.replace("0.01, 0.1", grid)
    return Sweep.create(spaces.parse(f"task: {task}\n{text}", name="my"), NO_DATA, "runs", name)


def rows(sweep: Sweep) -> pd.DataFrame:
    return results.load(sweep).seeds.drop(columns=["duration_s", "device", "data", "data_sha256"])


#: What a session calls between two of which a folder may be taken from under it, and how often at least.
CALLS: dict[str, tuple[type, str, int]] = {
    "before a trial is handed out": (Driver, "next_trial", 2),
    "before a trial starts": (Driver, "start", 2),
    "before an epoch": (Trial, "step", 8),
    "before a report": (Driver, "report", 8),
}


@contextmanager
def disturbed(act: Callable[[], object], where: str, number: int) -> Iterator[None]:
    """Call ``act`` before the so manieth call of one of ``CALLS``."""
    owner, name, _ = CALLS[where]
    original, calls = getattr(owner, name), iter(range(1, 1000))

    def called(*args: Any, **named: Any) -> Any:
        if next(calls) == number:
            act()
        return original(*args, **named)

    setattr(owner, name, called)
    try:
        yield
    finally:
        setattr(owner, name, original)


def redirect_checkpoints(folder: Path) -> None:
    (folder / "checkpoints").rename(folder / "checkpoints-left")
    (folder / "checkpoints").symlink_to(other(folder).absolute() / "checkpoints")


def replace_record(folder: Path) -> None:
    """As some editors save a file."""
    shutil.copy(folder / "record.jsonl", folder / "record.new")
    (folder / "record.new").replace(folder / "record.jsonl")


ALL = {**ACTS, "checkpoints elsewhere": redirect_checkpoints, "record replaced": replace_record}


@pytest.mark.parametrize("kind", ALL)
def test_a_folder_that_changes_at_random_instants(kind: str, task: str) -> None:
    whole, rng = train(new(task, "whole")), random.Random(kind)
    for where in rng.sample(list(CALLS), 2):
        number = rng.randint(1, CALLS[where][2])
        folder, at = Path("runs") / f"run-{where.replace(' ', '-')}", f"{where}, call {number}"
        shutil.copytree(whole.paths.folder, other(folder))
        before = content(other(folder))
        with disturbed(partial(ALL[kind], folder), where, number), pytest.raises(FolderChanged):
            train(new(task, folder.name))
        assert content(folder if kind == "swapped" else other(folder)) == before, at
        if kind in ("moved", "removed"):
            assert not folder.exists(), at
        if kind == "removed":
            continue
        if kind == "checkpoints elsewhere":
            (folder / "checkpoints").unlink()
            (folder / "checkpoints-left").rename(folder / "checkpoints")
        left = elsewhere(folder) if elsewhere(folder).exists() else folder
        pd.testing.assert_frame_equal(rows(train(Sweep.open(left))), rows(whole))


def test_scores_that_are_taken_away_end_a_sweep(task: str) -> None:
    """Those that follow would else be at the places of those that are gone."""
    sweep = new(task, "run")
    with (
        disturbed(sweep.paths.scores.unlink, "before a report", 7),
        pytest.raises(FolderChanged, match=r"test_scores\.bin"),
    ):
        train(sweep)
    assert not sweep.paths.scores.exists()


# ---------------------------------------------------------------- two writers


@pytest.fixture
def sweep(task: str) -> Sweep:
    return train(new(task, "run", "0.01"))


def test_without_its_lock_a_run_still_has_one_writer(sweep: Sweep) -> None:
    with sweep.writing():
        sweep.paths.lock.unlink()
        assert Sweep.open(sweep.paths.folder).live()
        with (
            pytest.raises(RunError, match="another tune-app process"),
            Sweep.open(sweep.paths.folder).writing(),
        ):
            pass
        before = sweep.paths.record.read_bytes()
        with pytest.raises(FolderChanged, match=r"\.lock"):
            sweep.note(Opened(), durable=True)
        assert sweep.paths.record.read_bytes() == before
    with Sweep.open(sweep.paths.folder).writing() as again:
        again.note(Opened(), durable=True)


def test_who_only_looks_whether_a_run_is_in_use_is_not_taken_for_a_writer(sweep: Sweep) -> None:
    sweep.paths.lock.unlink()
    look = f"""
        from pathlib import Path
        from tune_app.sweep.paths import RunPaths
        from tune_app.sweep.opened_folder import in_use
        print(sum(in_use(RunPaths(Path({str(sweep.paths.folder.absolute())!r}))) for _ in range(3000)))
    """
    both = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(look)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in both] == ["0", "0"]
    assert not sweep.paths.lock.exists(), "who only looks makes no file"
    with sweep.writing():
        assert in_use(sweep.paths)
    assert not in_use(sweep.paths)


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("act", "changed"),
    [
        (ACTS["moved"], ["record.jsonl", ".lock"]),
        (ACTS["removed"], ["record.jsonl", ".lock"]),
        (replace_record, ["record.jsonl"]),
    ],
)
def test_the_error_names_what_is_another_and_how_to_go_on(
    sweep: Sweep, act: Callable[[Path], object], changed: list[str]
) -> None:
    with sweep.writing():
        act(sweep.paths.folder)
        with pytest.raises(FolderChanged) as raised:
            sweep.note(Opened(), durable=True)
    assert raised.value.exit_code == 1
    text = str(raised.value)
    assert text.startswith(f"{sweep.paths.folder}: ")
    assert [name for name in ("record.jsonl", ".lock") if name in text] == changed
    assert "tune-app resume" in text


# ---------------------------------------------------------------- each writer


def test_a_worker_that_was_told_the_folder_writes_into_no_other(sweep: Sweep) -> None:
    told = pickle.loads(pickle.dumps(sweep.opened))
    shutil.copytree(sweep.paths.folder, other(sweep.paths.folder))
    inside, outside = sweep.paths.checkpoints / "1.pt", Path("elsewhere.pt")
    with told.watched():
        write_atomically(inside, b"1")
        ACTS["swapped"](sweep.paths.folder)
        before = content(sweep.paths.folder)
        with pytest.raises(FolderChanged):
            write_atomically(inside, b"2")
        for path in (inside, sweep.paths.study):
            with pytest.raises(FolderChanged):
                remove(path)
        write_atomically(outside, b"3")
    assert content(sweep.paths.folder) == before
    assert outside.read_bytes() == b"3"


def test_results_go_to_the_folder_whose_record_was_read(sweep: Sweep) -> None:
    frames = results.load(sweep)
    shutil.copytree(sweep.paths.folder, other(sweep.paths.folder))
    with sweep.rewriting():
        ACTS["swapped"](sweep.paths.folder)
        before = content(sweep.paths.folder)
        with pytest.raises(FolderChanged):
            results.write(frames)
    with pytest.raises(FolderChanged), sweep.rewriting():
        results.write(frames)
    assert content(sweep.paths.folder) == before


def test_an_inode_that_was_used_again_is_noticed_by_the_first_line(sweep: Sweep, task: str) -> None:
    another = train(new(task, "another", "0.2"))
    sweep.paths.record.write_bytes(another.paths.record.read_bytes())
    for writing in (sweep.writing, sweep.rewriting):
        with pytest.raises(FolderChanged), writing():
            pass


def test_events_that_wait_for_the_disk_see_the_folder_within_a_second(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sweep.writing():
        ACTS["moved"](sweep.paths.folder)
        sweep.note(Opened())
        monkeypatch.setattr("tune_app.sweep.record._SYNC_EVERY_S", 0.0)
        with pytest.raises(FolderChanged):
            sweep.note(Opened())


def test_while_an_epoch_lasts_the_folder_is_looked_for(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    with sweep.writing():
        driver = Driver(sweep, stopping.make_stopper(sweep.space))
        ACTS["moved"](sweep.paths.folder)
        monkeypatch.setattr("tune_app.sweep.record._SYNC_EVERY_S", 0.0)
        with pytest.raises(FolderChanged):
            driver.tick()
        assert isinstance(driver.fatal, FolderChanged)
        assert driver.over(), "no trial is waited for"


def test_a_storage_keeps_what_it_has_of_a_run_that_is_removed(task: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    asked = request(task, SPACE, "run", storage=str(tmp_path / "shared"))
    stored: dict[str, bytes] = {}

    def act() -> None:
        deadline = iter(range(500))
        while (
            not list((tmp_path / "shared" / "run" / "checkpoints").glob("*")) and next(deadline) is not None
        ):
            time.sleep(0.02)
        ACTS["removed"](Path("runs/run"))
        stored.update(content(tmp_path / "shared"))

    with disturbed(act, "before a report", 7), pytest.raises(FolderChanged):
        run(asked)
    now = content(tmp_path / "shared")
    assert stored.items() <= now.items()
    storage.fetch(str(tmp_path / "shared"), "run", Path("runs"), print)
    resumed = train(Sweep.open("runs/run"))
    pd.testing.assert_frame_equal(rows(resumed), rows(train(new(task, "whole"))))


def test_what_a_storage_has_more_is_added_to_the_record_that_was_opened(task: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    whole = run(request(task, SPACE, "run", storage=str(tmp_path / "shared")))
    record = whole.paths.record.read_bytes()
    whole.paths.record.write_bytes(b"".join(record.splitlines(keepends=True)[:9]) + b'{"torn')
    sweep = Sweep.open("runs/run")
    with storage.mirrored(str(tmp_path / "shared"), sweep.opened, print) as mirror, sweep.writing(mirror):
        assert sweep.complete_and_trained()
    assert whole.paths.record.read_bytes() == record


def test_nothing_is_made_where_a_folder_was(sweep: Sweep) -> None:
    opened = OpenedFolder(RunPaths(sweep.paths.folder))
    shutil.rmtree(sweep.paths.folder)
    with pytest.raises(FolderChanged), opened.kept_open():
        pass
    with pytest.raises(FolderChanged), opened.locked(0.1):
        pass
    assert not sweep.paths.folder.exists()
