"""Where Ray's sockets can lie; with a Ray: test_ray_private.py, whose TMPDIR is too long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_app.engines.ray import sockets
from tune_app.errors import ResourceError

SESSION = "ray/session_2026-11-27_18-39-21_508059_{pid}/sockets/plasma_store"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


def long(folder: Path, size: int = 90) -> Path:
    return folder / ("x" * max(1, size - len(str(folder)) - 1))


def used() -> str | None:
    with sockets.short_socket_paths():
        return os.environ.get("RAY_TMPDIR")


def test_a_usual_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_SHORT", "/tmp")
    assert used() is None
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert used() == "/tmp"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(size=st.integers(10, 200))
def test_a_path_is_too_long_where_rays_sockets_would_be(
    size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Path("/tmp") / ("x" * (size - 5))
    lasts = len(str(folder / SESSION.format(pid=os.getpid()))) <= 107
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        assert used() == (None if lasts else "/tmp")
    assert "RAY_TMPDIR" not in os.environ
    if (folder / "ray").is_dir():
        (folder / "ray").rmdir()
        folder.rmdir()


@pytest.mark.parametrize("name", ["not ASCII ü", "below a file/folder", "\udce9"])
@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_where_no_socket_can_lie_another_folder_is_taken_or_asked_for(
    name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below a file").touch()
    monkeypatch.setenv(variable, str(tmp_path / name))
    if variable == "TMPDIR":
        assert used() == "/tmp"
        assert "RAY_TMPDIR" not in os.environ
    else:
        with pytest.raises(ResourceError, match="RAY_TMPDIR="):
            used()


def test_a_folder_with_a_space_or_one_that_is_to_be_made_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(f"/tmp/s {os.getpid()}")
    monkeypatch.setenv("TMPDIR", str(folder))
    assert used() is None
    (folder / "ray").rmdir()
    folder.rmdir()


def test_without_a_short_folder_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_SHORT", str(long(tmp_path)))
    monkeypatch.setenv("TMPDIR", str(long(tmp_path)))
    with pytest.raises(ResourceError, match=r"TMPDIR=.*Set RAY_TMPDIR to"):
        used()
