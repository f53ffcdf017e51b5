"""The source files of a task: those of its own folder that it imports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tune_app.tasks import task, task_folder
from tune_app.tasks.source_files import UNREADABLE, Sources, of_no_file

TASK = """
import numpy
from lib import early

def train(config, context):
    import lib.late
    yield {"val_accuracy": 1.0}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lib").mkdir()
    for name in ("lib/__init__.py", "lib/early.py", "lib/late.py", "lib/unused.py", ".hidden.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "work.py").write_text(TASK)
    yield tmp_path
    task_folder._folders.clear()


def sources() -> Sources:
    task.load("work:train")
    found = Sources.of("work:train")
    assert found
    return found


def test_the_imported_files_are_found_before_they_are_loaded(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in sources().imported()}
    assert names == {"work.py", "lib/__init__.py", "lib/early.py", "lib/late.py"}
    loaded = set(sources().loaded())
    assert loaded == names - {"lib/late.py"}


def test_a_hash_is_that_of_the_file_with_any_line_endings(folder: Path) -> None:
    late = folder / "lib/late.py"
    expected = {"lib/late.py": hashlib.sha256(b"# lib/late.py\n").hexdigest()}
    assert sources().hashes([late]) == expected
    late.write_bytes(b"# lib/late.py\r\n")
    assert sources().hashes([late]) == expected
    late.unlink()
    assert sources().hashes([late]) == {"lib/late.py": UNREADABLE}


def test_a_loaded_file_keeps_the_hash_of_what_was_loaded(folder: Path) -> None:
    found, early = sources(), folder / "lib/early.py"
    before = found.hashes([early])
    early.write_text("# another\n")
    assert found.hashes([early]) == before


def test_a_path_outside_of_the_tasks_files_is_none_of_them(folder: Path) -> None:
    found = sources()
    assert found.holds(folder / "lib/unused.py")
    for path in ("../work.py", "lib/none.py", ".venv/x.py", "lib/../lib/early.py"):
        assert not found.holds(folder / path)


def test_a_built_in_task_has_no_files() -> None:
    assert Sources.of("pneumonia") is None
    assert of_no_file("tune_app.tasks.pneumonia:Pneumonia") == {}
    assert list(of_no_file(f"{__name__}:sources")) == [f"{__name__}:sources"]
