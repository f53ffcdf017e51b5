from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tune_app import addresses


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray"


def test_a_laptop_starts_a_ray_of_its_own() -> None:
    assert addresses.default() == "local"


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert addresses.default() == "10.0.0.1:6379"


def test_a_machine_of_a_cluster_joins_it_while_it_answers(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        (folder / "ray_current_cluster").write_text(f"{address}\n")
        assert addresses.default() == address
    assert addresses.default() == "local", "the file outlived its cluster"


@pytest.mark.parametrize("text", ["", "nonsense", "host:port", "127.0.0.1:0"])
def test_a_damaged_file_names_no_cluster(text: str, folder: Path) -> None:
    (folder / "ray_current_cluster").write_text(text)
    assert addresses.default() == "local"
