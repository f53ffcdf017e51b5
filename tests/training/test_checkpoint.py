from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest
import torch

from tune_app.errors import TrialError
from tune_app.training import checkpoint

CONTENT = {"epoch": 3, "replicates": [4, 7], "state": [{"a": torch.ones(2)}, {"a": torch.zeros(2)}]}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = checkpoint.save(tmp_path / "new", "1-0-000003-state.pt", CONTENT, 3)
    path = tmp_path / "new" / saved.file
    assert (saved.epoch, saved.size_bytes) == (3, path.stat().st_size)
    assert [each.name for each in path.parent.iterdir()] == [saved.file], "no partial file is left"
    content = checkpoint.load(path)
    assert [s["a"].tolist() for s in checkpoint.select(content, "state", [7, 4])] == [[0, 0], [1, 1]]


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_checkpoint_is_told(tmp_path: Path, kept: int) -> None:
    path = tmp_path / checkpoint.save(tmp_path, "x.pt", CONTENT, 3).file
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TrialError, match=r"x\.pt: cannot be read as a checkpoint"):
        checkpoint.load(path)


def test_a_missing_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="cannot be read"):
        checkpoint.load(tmp_path / "none.pt")


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("touched"),))


def test_no_code_is_run_by_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.pt").write_bytes(pickle.dumps({"epoch": 1, "replicates": [], "state": Evil()}))
    torch.save({"epoch": 1, "replicates": [], "state": Evil()}, "torch.pt")
    for name in ("evil.pt", "torch.pt"):
        with pytest.raises(TrialError):
            checkpoint.load(Path(name))
    assert not Path("touched").exists()


def test_the_clock_leaves_training_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = checkpoint.Clock(30)
    for after, due in ((29, False), (30, True)):
        now[0] = 100.0 + after
        assert clock.due() is due
    clock.wrote(5.0)  # so 100 s until the next
    now[0] += 99
    assert not clock.due()
    now[0] += 1
    assert clock.due()


def test_zero_means_after_every_epoch() -> None:
    clock = checkpoint.Clock(0)
    assert clock.due()
    clock.wrote(100.0)
    assert clock.due()
