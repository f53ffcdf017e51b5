"""Places that a run can be mirrored to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import mirroring
import pytest
from small_task import GRID

from tune_app import cli as command_line
from tune_app import storage
from tune_app.errors import RunError
from tune_app.storage import Store

UserModule = Callable[[str], str]


shared, task = mirroring.shared, mirroring.task


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", r'--storage "": .*\n.*s3://'),
        ("s4://bucket/runs", r"s4://bucket/runs: .*s3://BUCKET.*\n.*s3://"),
        ("s3:///runs", "names no bucket"),
        ("s3://key:secret@bucket/runs", r"s3://\.\.\.@bucket: .*\n.*AWS_ACCESS_KEY_ID"),
        ("missing/folder", "missing/folder: no such folder"),
        ("file.txt", r"file\.txt: no such folder"),
        ("/proc", r"cannot be used: .*\n.*permissions.*--storage none"),
        ("s3://bucket?nonsense=1", "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_before_anything_is_trained(
    task: str, capsys: pytest.CaptureFixture[str], uri: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file.txt").touch()
    Path("my.yaml").write_text(f"task: {task}\n{GRID}")
    flag = ["--storage", uri]
    if "missing" in uri:
        monkeypatch.setenv("TUNE_APP_STORAGE", uri)
        flag = []
    with pytest.raises(SystemExit) as ended:
        command_line.main(["run", "my.yaml", "--address", "inline", *flag])
    assert ended.value.code == 2
    assert re.search(said, capsys.readouterr().err)
    assert not Path("runs").exists()


def test_what_is_written_must_come_back(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "read", lambda self, name: b"something else")
    with pytest.raises(RunError, match=r"file|storage"):
        storage.connect(str(shared))


@pytest.mark.parametrize("uri", ["shared", "./x", "~/x"])
def test_a_path_on_another_machine_must_be_absolute(uri: str) -> None:
    with pytest.raises(RunError, match="absolute"):
        storage.remote_uri(uri)
    assert storage.remote_uri("/mnt/x") == storage.remote_uri("file:///mnt/x") == "/mnt/x"
