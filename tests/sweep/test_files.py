"""Files of a run folder that are written again from the record."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tune_app import space as spaces
from tune_app.errors import DiskError, StorageError
from tune_app.sweep import Sweep
from tune_app.sweep.events import Opened
from tune_app.sweep.files import keep_writing, not_written, write_file, write_view


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep.create(spaces.parse("task: a:b\nspace: {x: {grid: [1]}}", name="my"), runs_dir=tmp_path)


def test_a_file_is_written_only_where_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "view.txt"
    write_view(path, "text", pytest.fail)
    before = path.stat().st_ino
    write_view(path, "text", pytest.fail)
    assert path.stat().st_ino == before
    write_view(path, "other", pytest.fail)
    assert path.read_text() == "other"


def test_a_file_that_the_disk_refuses_is_told_and_left_out(tmp_path: Path) -> None:
    told: list[str] = []
    write_view(tmp_path, "text", told.append)
    [note] = told
    assert note.startswith(f"note: {tmp_path}: cannot be written")
    assert not_written(tmp_path, StorageError("in words")) == "note: in words"


def test_views_are_restored_from_the_record(sweep: Sweep) -> None:
    with sweep.writing():
        sweep.note(Opened(provenance={"versions": {"torch": "2"}}))
    sweep.paths.space.write_text("edited")
    sweep.restore_views(pytest.fail)
    assert spaces.parse(sweep.paths.space.read_text()) == sweep.space
    assert '"torch": "2"' in sweep.paths.provenance.read_text()


def test_a_list_of_images_that_was_edited_is_noticed(sweep: Sweep) -> None:
    assert not sweep.test_images_edited(b"anything"), "nothing is recorded of it"
    with sweep.writing():
        sweep.note(Opened(test_images_crc32=zlib.crc32(b"index,label\n")))
    assert not sweep.test_images_edited(b"index,label\n")
    assert sweep.test_images_edited(b"index,label\n0,1\n")


def test_what_the_disk_takes_is_written_whatever_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "refused").mkdir()

    def write() -> None:
        with keep_writing():
            write_file(tmp_path / "refused", "a")
            write_file(tmp_path / "taken", "b")

    with pytest.raises(DiskError, match=r"refused: cannot be written"):
        write()
    assert (tmp_path / "taken").read_text() == "b"
    with pytest.raises(DiskError):
        write_file(tmp_path / "refused", "a")
