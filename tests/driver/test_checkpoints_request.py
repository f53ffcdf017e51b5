from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.driver.checkpoints import CheckpointRequest
from tune_app.training.protocol import SAVE_NOW


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    return tmp_path / SAVE_NOW


def test_a_request_stands_until_all_that_were_asked_have_answered(tmp_path: Path, asking: Path) -> None:
    request = CheckpointRequest(tmp_path)
    assert (request.pending, asking.exists()) == (set(), False)
    request.ask(["1.1", "2.1"])
    assert (len(request.pending), asking.exists()) == (2, True)
    request.wait_for({"2.1", "4.1"})
    assert (len(request.pending), asking.exists()) == (1, True)
    request.wait_for({"1.1"})
    assert (request.pending, asking.exists()) == (set(), False)


def test_a_folder_that_is_gone_does_not_matter(tmp_path: Path) -> None:
    request = CheckpointRequest(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    request.ask(["1.1"])
    (tmp_path / "checkpoints" / SAVE_NOW).unlink()
    (tmp_path / "checkpoints").rmdir()
    request.wait_for(set())
    assert not request.pending
