from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tune_app.cli import main
from tune_app.engines.ray import addresses
from tune_app.errors import ResourceError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray"


def test_a_laptop_starts_a_ray_of_its_own() -> None:
    assert addresses.default_address() == "local"


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert addresses.default_address() == "10.0.0.1:6379"


def test_a_machine_of_a_cluster_joins_it_while_it_answers(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        (folder / "ray_current_cluster").write_text(f"{address}\n")
        assert addresses.default_address() == address
    assert addresses.default_address() == "local", "the file outlived its cluster"


def test_what_ray_start_left_is_found_in_tmpdir(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", str(folder.parent))
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        (folder / "ray_current_cluster").write_text(address)
        assert addresses.default_address() == address


@pytest.mark.parametrize("text", ["", "nonsense", "host:port", "127.0.0.1:0"])
def test_a_damaged_file_names_no_cluster(text: str, folder: Path) -> None:
    (folder / "ray_current_cluster").write_text(text)
    assert addresses.default_address() == "local"


#: The first frame of any server that speaks HTTP/2.
SETTINGS = b"\0\0\6\4\0\0\0\0\0\0\4\0@\0\0"


@contextmanager
def answering(words: bytes | None) -> Iterator[str]:
    """The address of a server that answers whatever it is asked with these words; None is silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work() -> None:
            with server.accept()[0] as connection:
                connection.recv(1000)
                if words is not None:
                    connection.sendall(words)
                over.wait(60)

        over = threading.Event()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        over.set()
        thread.join()


def test_a_head_is_reached_by_its_name_or_by_auto(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = SETTINGS + b"\0\0\1\1\5\0\0\0\1\x88"
    with answering(head) as address:
        assert addresses.resolve(address) == address
    with answering(head) as address:
        (folder / "ray_current_cluster").write_text(address)
        assert addresses.resolve("auto") == address
    with answering(head) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert addresses.resolve("auto") == address
    assert addresses.resolve("local") == "local"


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"SSH-2.0-OpenSSH_9.6\r\n", None]
)
def test_what_listens_there_is_no_head(words: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_REACH_WITHIN_S", 1.0)
    with answering(words) as address, pytest.raises(ResourceError) as caught:
        addresses.resolve(address)
    assert f"--address {address}" in str(caught.value)


MALFORMED = (
    *("", " ", "foo", "127.0.0.1", "127.0.0.1:", ":6379", "127.0.0.1:abc", "127.0.0.1:0", "127.0.0.1:99999"),
    *(
        "a b:1",
        "ray://127.0.0.1:10001",
        "http://127.0.0.1:8265",
        "[::1]",
        "::1:6379",
        "1.2.3.4:80:80",
        "\n:1",
    ),
)


@pytest.mark.parametrize(
    "value", [*MALFORMED, "127.0.0.1:1", "no.such.host.invalid:6379", "auto", "a" * 300 + ":1"]
)
@pytest.mark.parametrize("by", ["--address ", "RAY_ADDRESS="])
def test_a_wrong_address_is_refused_at_once_by_where_it_was_given(
    value: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "RAY_ADDRESS=":
        monkeypatch.setenv("RAY_ADDRESS", value)
        if not value.strip():
            assert addresses.default_address() == "local"
            return
        value = addresses.default_address()
    began = time.monotonic()
    with pytest.raises(ResourceError) as caught:
        addresses.resolve(value)
    assert time.monotonic() - began < 30
    assert str(caught.value).startswith(f"{by}{value.strip() or repr('')}")


def test_an_address_that_swallows_everything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        over.wait(60)
        raise OSError("too late to be heard")

    over = threading.Event()
    monkeypatch.setattr(addresses, "_REACH_WITHIN_S", 0.2)
    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(ResourceError, match=r"10\.255\.255\.1:6379: .* no answer within 0\.2 s"):
        addresses.resolve("10.255.255.1:6379")
    over.set()


def test_auto_names_the_cluster_that_is_gone(folder: Path) -> None:
    (folder / "ray_current_cluster").write_text("127.0.0.1:1")
    given = r"--address auto \(127\.0\.0\.1:1, the address of the last ray start\)"
    with pytest.raises(ResourceError, match=given):
        addresses.resolve("auto")


def test_the_command_line_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(SystemExit) as caught:
        main(["run", "grid", "--image-size", "8"])
    assert caught.value.code == 2
    assert capfd.readouterr().err.startswith("RAY_ADDRESS=127.0.0.1:1: no Ray cluster answers there")
    assert not Path("runs").exists()
