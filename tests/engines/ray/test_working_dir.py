from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.engines.ray import working_dir
from tune_app.errors import TaskError


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_code_and_settings_travel_and_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    travels = ["mine.py", "my.yaml", "models/__init__.py", "models/net.py", "labels.csv"]
    stays = ["x.npy", "a.jpeg", "runs/my-1/space.yaml", "data/xrays/meta.json", ".git/config.py", "big.pt"]
    fill(source, *travels, *stays, "env/pyvenv.cfg", "env/lib/x.py", "tune_app/cli.py", "__pycache__/a.py")
    assert sorted(map(str, working_dir.pack(source, target))) == sorted(travels)
    assert sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()) == sorted(travels)
    assert (target / "models/net.py").read_text() == "models/net.py"


def test_too_much_is_refused_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_dir, "LARGEST_BYTES", 10)
    fill(tmp_path / "source", "one.py", "another.py")
    with pytest.raises(TaskError, match=r"more than 0 MiB.*file_mounts"):
        working_dir.pack(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()
