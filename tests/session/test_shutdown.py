from __future__ import annotations

import errno
from pathlib import Path

import pytest

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.errors import DiskError, RayLost
from tune_app.session import shutdown
from tune_app.sweep import Sweep
from tune_app.sweep.record import write_atomically

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
    with pytest.raises(DiskError) as raised, shutdown.errors_with_advice(lambda: "Do this."):
        raise OSError(number, "refused", "a/file")
    lines = str(raised.value).splitlines()
    assert raised.value.exit_code == 1
    assert lines[0].startswith("a/file: cannot be written: refused")
    assert lines[-1] == "  Do this."


def test_a_lost_ray_ends_with_the_advice() -> None:
    with (
        pytest.raises(RayLost, match=r"^gone\n  Do this\.$"),
        shutdown.errors_with_advice(lambda: "Do this."),
    ):
        raise RayLost("gone")


def test_another_error_is_raised_unchanged() -> None:
    with pytest.raises(FileNotFoundError), shutdown.errors_with_advice(lambda: "Do this."):
        raise FileNotFoundError(errno.ENOENT, "no such file", "x")


def test_the_next_command_is_resume_until_everything_is_trained(sweep: Sweep) -> None:
    said = shutdown.next_command(sweep)
    assert said.startswith("0 of 2 ")
    assert said.endswith("tune-app resume one")
    finish(sweep)
    assert shutdown.next_command(sweep).endswith("tune-app report one")


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
