from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.driver.checkpoint_request import CheckpointRequest
from tune_app.training.protocol import SAVE_NOW


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    return tmp_path / SAVE_NOW


def test_a_request_stands_until_all_that_were_asked_have_answered(tmp_path: Path, asking: Path) -> None:
    request = CheckpointRequest(tmp_path)
    assert (request.pending, asking.exists()) == (False, False)
    request.ask(["1.1", "2.1"])
    assert (request.pending, asking.exists()) == (True, True)
    request.answered("1.1")
    request.answered("3.1")
    assert (request.pending, asking.exists()) == (True, True)
    request.answered("2.1")
    assert (request.pending, asking.exists()) == (False, False)


def test_a_trial_that_has_ended_is_not_waited_for(tmp_path: Path, asking: Path) -> None:
    request = CheckpointRequest(tmp_path)
    request.ask(["1.1", "2.1"])
    request.only_for({"2.1", "3.1"})
    assert request.pending
    request.only_for({"3.1"})
    assert (request.pending, asking.exists()) == (False, False)


def test_a_folder_that_is_gone_does_not_matter(tmp_path: Path) -> None:
    request = CheckpointRequest(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    request.ask(["1.1"])
    (tmp_path / "checkpoints" / SAVE_NOW).unlink()
    (tmp_path / "checkpoints").rmdir()
    request.answered("1.1")
    assert not request.pending
