from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.errors import DiskError
from tune_app.sweep.files import keep_writing, write_file


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
