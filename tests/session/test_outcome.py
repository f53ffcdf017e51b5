from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.errors import (
    DiskError,
    Interrupted,
    RayLost,
    SpaceError,
    StorageError,
    TrialsFailed,
    TuneAppError,
)
from tune_app.session import outcome
from tune_app.sweep import Sweep
from tune_app.sweep.opened_folder import write_atomically

SPACE = "task: pneumonia\nspace: {lr: {grid: [1, 2]}}\nseeds: 1\nepochs: 1\n"


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep.create(spaces.parse(SPACE, file="my.yaml", name="my"), runs_dir=tmp_path, name="one")


def finish(sweep: Sweep) -> None:
    with sweep.writing():
        for sample in (1, 2):
            Recorder.of(sweep).train(sample, [0.5], test={"test_accuracy": [0.5]})


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES]
)
def test_a_refused_write_names_the_file_and_ends_with_the_advice(number: int) -> None:
    with pytest.raises(DiskError) as raised, outcome.errors_with_advice(lambda: "Do this."):
        raise OSError(number, "refused", "a/file")
    lines = str(raised.value).splitlines()
    assert raised.value.exit_code == 1
    assert lines[0].startswith("a/file: cannot be written: refused")
    assert lines[-1] == "  Do this."


def test_a_lost_ray_ends_with_the_advice() -> None:
    with (
        pytest.raises(RayLost, match=r"^gone\n  Do this\.$"),
        outcome.errors_with_advice(lambda: "Do this."),
    ):
        raise RayLost("gone")


def test_another_error_is_raised_unchanged() -> None:
    with pytest.raises(FileNotFoundError), outcome.errors_with_advice(lambda: "Do this."):
        raise FileNotFoundError(errno.ENOENT, "no such file", "x")


def test_the_next_command_is_resume_until_everything_is_trained(sweep: Sweep) -> None:
    said = outcome.next_command(sweep)
    assert said.startswith("0 of 2 ")
    assert said.endswith("tune-app resume one")
    finish(sweep)
    assert outcome.next_command(sweep).endswith("tune-app report one")


def test_a_run_that_could_not_be_made_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(self), None, str(target))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        Sweep.create(spaces.parse(SPACE, file="my.yaml", name="my"), runs_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_refused_leaves_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "x", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def end(why: str = "", search_error: SpaceError | None = None) -> Any:
    """A driver that has ended so."""
    return SimpleNamespace(ending=why or None, queue=SimpleNamespace(search_error=search_error))


def test_the_outcome_of_a_sweep_that_is_trained_is_no_error(sweep: Sweep) -> None:
    finish(sweep)
    assert outcome.outcome(sweep, end(), []) is None
    assert outcome.outcome(sweep, None, []) is None
    assert outcome.outcome(sweep, end("the time limit was reached"), []) is None


@pytest.mark.parametrize(("caught", "kind", "code"), [([2], Interrupted, 130), ([], TrialsFailed, 1)])
def test_a_session_that_ends_early_names_the_command_that_resumes_it(
    sweep: Sweep, caught: list[int], kind: type[TuneAppError], code: int
) -> None:
    error = outcome.outcome(sweep, end("why"), caught)
    assert type(error) is kind
    assert error.exit_code == code
    assert str(error).endswith("tune-app resume one")


def test_a_sampler_without_suggestions_is_the_outcome(sweep: Sweep) -> None:
    error = outcome.outcome(sweep, end(search_error=SpaceError("all is tried")), [])
    assert isinstance(error, TrialsFailed)
    assert str(error).startswith("all is tried\n")


@pytest.mark.parametrize("taken", [True, False])
def test_what_the_storage_lacks_is_an_error(sweep: Sweep, taken: bool) -> None:
    finish(sweep)
    mirror: Any = SimpleNamespace(taken="taken over" if taken else "", unmirrored=lambda: "lacks two events")
    with pytest.raises(StorageError, match="taken over" if taken else "lacks two events"):
        outcome.raise_outcome(sweep, None, [], mirror)
