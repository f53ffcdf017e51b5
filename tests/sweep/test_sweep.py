"""A run folder: created, opened, written and read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from lines import read

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.data.identity import NO_DATA, DataIdentity
from tune_app.errors import FolderChanged, RunError
from tune_app.space import SearchSpace
from tune_app.sweep import Sweep, control
from tune_app.sweep.events import Numerics, Opened
from tune_app.sweep.history import History
from tune_app.sweep.paths import find_run, find_runs
from tune_app.sweep.record import Record
from tune_app.sweep.sweep import fingerprint
from tune_app.sweep.trial_spec import SweepSettings, TrialSpec

DATA = DataIdentity(
    "xrays", "folder", "c0ffee" * 4, 64, "image", {"train": 8, "val": 2, "test": 4}, ("A note.",)
)


def parse(text: str = "space: {lr: {grid: [0.1, 0.2]}}\nseeds: 3", name: str = "my") -> SearchSpace:
    return spaces.parse(f"task: pneumonia\n{text}", file="my.yaml", name=name)


def test_what_is_created_is_found_again(tmp_path: Path) -> None:
    made = Sweep.create(parse(), DATA, tmp_path / "new" / "runs", "run", Numerics(threads=2))
    found = Sweep.open(tmp_path / "new" / "runs" / "run")
    assert (found.name, found.space, found.data) == ("run", parse(), DATA)
    assert found.numerics == made.numerics == Numerics("looped", 2, "float32")
    assert [c.config for c in found.history.configurations.values()] == [{"lr": 0.1}, {"lr": 0.2}]
    assert [c.fingerprint for c in found.history.configurations.values()] == [
        fingerprint("pneumonia", {"lr": lr}, DATA) for lr in (0.1, 0.2)
    ]
    assert found.header.seed == 0


def test_unnamed_runs_are_numbered(tmp_path: Path) -> None:
    assert [Sweep.create(parse(), runs_dir=tmp_path).name for _ in range(3)] == ["my-1", "my-2", "my-3"]


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    Sweep.create(parse(), runs_dir=tmp_path, name="mine")
    with pytest.raises(RunError, match="mine: exists"):
        Sweep.create(parse(), runs_dir=tmp_path, name="mine")


def test_a_record_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in mid-creation leaves a folder that the next try takes over."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tune_app.sweep.sweep.plan_of", crash)
        with pytest.raises(KeyboardInterrupt):
            Sweep.create(parse(), runs_dir=tmp_path, name="mine")
    assert (tmp_path / "mine" / "record.jsonl.part").exists()
    with pytest.raises(RunError, match='no run called "mine"'):
        Sweep.open(tmp_path / "mine")
    made = Sweep.create(parse(), runs_dir=tmp_path, name="mine")
    assert [event["event"] for _, event in read(made.paths.record)] == ["created", "planned", "planned"]
    assert not (tmp_path / "mine" / "record.jsonl.part").exists()


def test_a_folder_that_is_taken_away_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_away(*_: object) -> list[object]:
        (tmp_path / "mine").rename(tmp_path / "elsewhere")
        return []

    monkeypatch.setattr("tune_app.sweep.sweep.plan_of", take_away)
    with pytest.raises(FolderChanged, match="mine: "):
        Sweep.create(parse(), runs_dir=tmp_path, name="mine")
    assert not (tmp_path / "mine").exists()


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(RunError, match="mine: "):
        Sweep.create(parse(), runs_dir=tmp_path, name="mine")
    assert [path.name for path in (tmp_path / "mine").iterdir() if path.name[0] != "."] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-x", "a b", "ü", "a" * 101, "a\tb"])
def test_a_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match=r"--name .*\b100\b"):
        Sweep.create(parse(), runs_dir=tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "7", "_x", "a.b-c+d", "a" * 100])
def test_plain_names_are_taken(tmp_path: Path, name: str) -> None:
    assert Sweep.create(parse(), runs_dir=tmp_path, name=name).name == name


@pytest.mark.parametrize("name", [None, "run"])
@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, name: str | None, below: str) -> None:
    (tmp_path / "runs").write_text("a file, where the folder should be")
    with pytest.raises(RunError, match=r"runs.*--runs-dir"):
        Sweep.create(parse(), runs_dir=tmp_path / "runs" / below, name=name)


SEEDS = 3


ENDS = st.sampled_from(["finished", "stopped", "failed", "diverged", "interrupted", "none"])


PIECES = st.lists(
    st.tuples(st.integers(1, 2), st.sets(st.integers(0, SEEDS - 1), min_size=1), ENDS), max_size=8
)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep.create(parse(), runs_dir=tmp_path_factory.mktemp("runs"))


@given(PIECES)
def test_exactly_what_has_not_ended_is_lacking(
    planned: Sweep, pieces: list[tuple[int, set[int], str]]
) -> None:
    sweep = Sweep.open(planned.paths.folder)
    history = sweep.history
    todo = {sample: set(range(SEEDS)) for sample in (1, 2)}
    for sample, chosen, end in pieces:
        replicates = sorted(chosen & todo[sample])  # what has ended is not started again
        if not replicates:
            continue
        recorder = Recorder(history.apply, history, replicates, 30)
        trial = recorder.start(sample)
        if end == "diverged":  # the lowest; the others of its trial are under way
            recorder.diverge(trial, replicates[0])
            if len(replicates) == 1:  # else it goes along, frozen, when the others go on
                todo[sample] -= set(replicates)
        elif end == "stopped":
            recorder.stop(trial)
        elif end == "failed":
            recorder.fail(trial)
        elif end == "finished":
            recorder.finish(trial)
        elif end == "interrupted":
            recorder.interrupt()
        if end in ("finished", "stopped", "failed"):
            todo[sample] -= set(replicates)
    expected = {sample: tuple(sorted(left)) for sample, left in todo.items() if left}
    assert {spec.sample: spec.replicates for spec in sweep.lacking()} == expected


def test_a_new_sweep_lacks_everything(planned: Sweep) -> None:
    assert planned.lacking() == [
        TrialSpec(
            sample,
            {"lr": lr},
            (0, 1, 2),
            target=30,
            settings=SweepSettings.of(planned.space, planned.numerics),
        )
        for sample, lr in ((1, 0.1), (2, 0.2))
    ]


WRITER = """
import sys, time
from tune_app.sweep.events import Opened
from tune_app.sweep import Sweep
with Sweep.open(sys.argv[1]).writing() as sweep:
    sweep.note(Opened(), durable=True)
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    folder = sweep.paths.folder
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "writing\n"
        assert sweep.live()
        with pytest.raises(RunError, match="my-1: "), sweep.writing():
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert not sweep.live()
    with sweep.writing():
        assert sweep.live()
        assert len(sweep.history.openings) == 1, "what the other process wrote was taken in"
        sweep.note(Opened())
    assert not sweep.live()
    assert len(Sweep.open(folder).history.openings) == 2


def test_writing_folds_what_it_notes_and_a_reader_catches_up(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    reader = Sweep.open(sweep.paths.folder)
    mirrored: list[bytes] = []
    with sweep.writing(mirrored.append):
        sweep.note(Opened(storage="/mnt"))
        assert sweep.history.openings[0].storage == "/mnt"
        reader.refresh()
        assert reader.history.openings == sweep.history.openings
        reader.refresh()
        assert len(reader.history.openings) == 1
    assert b"".join(mirrored) == sweep.paths.record.read_bytes().splitlines(keepends=True)[-1]
    with pytest.raises(RuntimeError, match="outside"):
        sweep.note(Opened())


def test_a_torn_event_is_cut_by_the_next_writer(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    whole = sweep.paths.record.read_bytes()
    sweep.paths.record.write_bytes(whole + b'{"event":"ope')
    sweep = Sweep.open(sweep.paths.folder)
    with sweep.writing():
        sweep.note(Opened())
    assert [event["event"] for _, event in read(sweep.paths.record)] == [
        "created",
        "planned",
        "planned",
        "opened",
    ]


def test_what_was_asked_of_a_process_that_died_is_not_asked_of_the_next(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    sweep.paths.control.mkdir()
    (sweep.paths.control / "1.json").write_text('{"do": "stop"}')
    with sweep.writing():
        assert list(sweep.paths.control.iterdir()) == []


def test_what_is_asked_while_a_run_is_being_opened_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held, so whoever asks sees a live run; nothing has been read yet."""
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    made = Record.__init__

    def ask_first(self: Record, *args: Any) -> None:
        control.ask(sweep.paths.control, {"do": "stop"})
        made(self, *args)

    acquire = FileLock.acquire

    def ask_then(self: FileLock, *args: Any, **options: Any) -> Any:
        held = acquire(self, *args, **options)
        control.ask(sweep.paths.control, {"do": "stop", "sample": 1})
        return held

    monkeypatch.setattr(FileLock, "acquire", ask_then)
    monkeypatch.setattr(Record, "__init__", ask_first)
    with sweep.writing():
        heard = list(control.take_requests(sweep.paths.control))
    assert heard == [{"do": "stop", "sample": 1}, {"do": "stop"}]


def test_readers_do_not_take_one_another_for_an_owner(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)

    def look() -> None:
        seen.extend(Sweep.open(sweep.paths.folder).live() for _ in range(100))

    seen: list[bool] = []
    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert (len(seen), any(seen)) == (400, False)


def test_points_that_a_crash_kept_from_the_record_are_planned(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    whole = [event for _, event in read(sweep.paths.record)]
    lines = sweep.paths.record.read_bytes().splitlines(keepends=True)
    sweep.paths.record.write_bytes(b"".join(lines[:2]))
    sweep = Sweep.open(sweep.paths.folder)
    with sweep.writing():
        assert [sweep.record_planned_points(), sweep.record_planned_points()] == [1, 0]
    now = [event for _, event in read(sweep.paths.record)]
    assert [{**e, "t": 0, "crc": ""} for e in now] == [{**e, "t": 0, "crc": ""} for e in whole]


def test_a_run_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    sweep.paths.lock.unlink(missing_ok=True)
    sweep.paths.lock.mkdir()  # refuses to be opened for writing, even by root
    with pytest.raises(RunError, match="my-1: "), sweep.writing():
        pass
    assert not sweep.live()


def test_a_record_without_a_sweep_is_told(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path)
    sweep.paths.record.write_bytes(b"")
    with pytest.raises(RunError, match="holds no sweep"):
        Sweep.open(sweep.paths.folder)
    sweep.paths.record.write_bytes(b'{"event":"opened","t":1}\n')
    with pytest.raises(RunError, match="holds no sweep"):
        Sweep.open(sweep.paths.folder)


def test_runs_are_found_by_name_or_path_newest_first(tmp_path: Path) -> None:
    for name in ("old", "new"):
        Sweep.create(parse(), runs_dir=tmp_path, name=name)
    (tmp_path / "stray").mkdir()
    os.utime(tmp_path / "old" / "record.jsonl", (1, 1))
    assert [folder.name for folder in find_runs(tmp_path)] == ["new", "old"]
    assert find_runs(tmp_path / "none") == []
    assert find_run("old", tmp_path) == find_run(str(tmp_path / "old"), "elsewhere") == tmp_path / "old"
    with pytest.raises(RunError, match=r'(?s)"odl".*"old".*new, old'):
        find_run("odl", tmp_path)
    with pytest.raises(RunError, match="none"):
        Sweep.open(tmp_path / "none" / "x")


def test_a_label_says_what_the_data_is() -> None:
    assert DATA.label() == "xrays (8 train, 2 validation, 4 test; sha256 c0ffeec0ffee)"
    assert "no data" in NO_DATA.label()


def test_history_starts_empty() -> None:
    assert (History().configurations, History().decisions) == ({}, [])


def test_what_people_were_shown_is_recorded_at_once_or_by_the_next_writer(tmp_path: Path) -> None:
    shown = Sweep.create(parse(), runs_dir=tmp_path, name="run")
    shown.record_opening("show", pytest.fail)
    assert [each.by for each in Sweep.open(shown.paths.folder).history.test_openings] == ["show"]
    with Sweep.open(shown.paths.folder).writing() as writer:
        shown.record_opening("report", pytest.fail)
        assert [each.by for each in shown.test_openings] == ["show", "report"]
        assert len(writer.history.test_openings) == 1
    with Sweep.open(shown.paths.folder).writing() as writer:
        assert [each.by for each in writer.test_openings] == ["show", "report"]
    assert list(shown.paths.control.iterdir()) == []


def test_the_papers_tables_are_recorded_once(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path, name="run")
    for _ in range(2):
        sweep.record_opening("paper", pytest.fail)
    assert len(Sweep.open(sweep.paths.folder).test_openings) == 1


def test_a_mirrored_record_grows_only_while_it_is_mirrored(tmp_path: Path) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path, name="run")
    with sweep.writing():
        sweep.note(Opened(storage="/elsewhere"))
    for _ in range(2):
        sweep.record_opening("paper", pytest.fail)
    before = sweep.paths.record.read_bytes()
    with Sweep.open(sweep.paths.folder).writing():
        pass
    assert sweep.paths.record.read_bytes() == before
    mirrored: list[bytes] = []
    with Sweep.open(sweep.paths.folder).writing(mirrored.append) as writer:
        assert [each.by for each in writer.test_openings] == ["paper"]
    assert before + b"".join(mirrored) == sweep.paths.record.read_bytes()


def test_in_a_folder_that_cannot_be_written_a_note_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep.create(parse(), runs_dir=tmp_path, name="run")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(sweep.opened), "locked", refuse)
    monkeypatch.setattr(control, "ask", refuse)
    notes: list[str] = []
    sweep.record_opening("show", notes.append)
    assert len(notes) == 1
    assert "Permission denied" in notes[0]
    assert sweep.test_openings == []
