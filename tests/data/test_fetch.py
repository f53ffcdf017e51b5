from __future__ import annotations

import hashlib
import io
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tune_app.data import course, fetch, progress_bar
from tune_app.errors import DataError


def _content(seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, 300_000 + seed, dtype=np.uint8).tobytes()


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


CONTENT = {name: _content(seed) for seed, name in enumerate(course.COURSE_FILES)}
BLOBS = {name: _blob(content) for name, content in CONTENT.items()}
FIRST = next(iter(CONTENT))


@dataclass
class Server:
    """What a loopback server does, and what it was asked."""

    url: str = ""
    ranges: bool = True
    break_after: int | None = None  # bytes sent before the connection closes
    hang_after: int | None = None  # bytes sent before nothing more comes
    status: int = 200
    content: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # (file, its Range header)
    sent_bytes: int = 0
    done: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.removeprefix("/dataset/"), self.headers.get("Range")
            state.asked.append((name, wanted))
            if state.status != 200:
                self.send_error(state.status)
                return
            body = state.content[name]
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            limit = next((n for n in (state.break_after, state.hang_after) if n is not None), len(body))
            chunk = body[start : start + limit]
            state.sent_bytes += len(chunk)  # before the client, who then asks us, can have them
            self.wfile.write(chunk)
            self.wfile.flush()
            if state.hang_after is not None:
                state.done.wait(10)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{httpd.server_port}/dataset/"
        yield state
        state.done.set()
        httpd.shutdown()
        thread.join()


def _right(out: Path) -> bool:
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    return files == sorted(CONTENT) and all((out / name).read_bytes() == CONTENT[name] for name in CONTENT)


def test_success_and_nothing_twice(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    first = fetch(tmp_path, base_url=server.url, files=BLOBS, progress=lambda *seen: told.append(seen))
    assert _right(tmp_path)
    assert first == dict.fromkeys(BLOBS, True)
    for name, content in CONTENT.items():
        there = [count for file, count, total in told if file == name and total == len(content)]
        assert there == sorted(there)
        assert (there[0], there[-1]) == (0, len(content))
    second = fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert second == dict.fromkeys(BLOBS, False)
    assert len(server.asked) == len(BLOBS)


def test_a_broken_download_is_resumed_without_sending_bytes_again(server: Server, tmp_path: Path) -> None:
    server.break_after = 100_000
    with pytest.raises(DataError, match=r"100,000 of 300,000 bytes"):
        fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert not (tmp_path / FIRST).exists()
    assert (tmp_path / f"{FIRST}.part").stat().st_size == 100_000
    server.break_after = None
    fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert _right(tmp_path)
    assert server.asked[:2] == [(FIRST, None), (FIRST, "bytes=100000-")]
    assert server.sent_bytes == sum(len(content) for content in CONTENT.values())


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges, server.break_after = False, 100_000
    with pytest.raises(DataError, match=r"[\d,]+ of [\d,]+ bytes"):
        fetch(tmp_path, base_url=server.url, files=BLOBS)
    server.break_after = None
    fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert server.asked[1] == (FIRST, "bytes=100000-")
    assert _right(tmp_path)


def test_a_complete_part_is_only_checked(server: Server, tmp_path: Path) -> None:
    part = tmp_path / f"{FIRST}.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[FIRST])
    fetch(tmp_path, base_url=server.url, files={FIRST: BLOBS[FIRST]})
    assert (tmp_path / FIRST).read_bytes() == CONTENT[FIRST]
    assert server.sent_bytes == 0


def test_a_wrong_part_is_removed_and_the_next_run_is_right(server: Server, tmp_path: Path) -> None:
    part = tmp_path / f"{FIRST}.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 400_000)  # longer than the file: the server answers 416
    with pytest.raises(DataError, match=BLOBS[FIRST]):
        fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert not part.exists()
    fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert _right(tmp_path)


def test_a_wrong_file_is_removed_and_reported(server: Server, tmp_path: Path) -> None:
    server.content[FIRST] = b"something else"
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, base_url=server.url, files=BLOBS)
    said = str(caught.value)
    assert _blob(b"something else") in said
    assert BLOBS[FIRST] in said
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch(tmp_path, base_url=server.url, files=BLOBS)
    (tmp_path / FIRST).write_bytes(b"damaged")
    again = fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert [name for name, new in again.items() if new] == [FIRST]
    assert _right(tmp_path)


@pytest.mark.parametrize("after", [0, 50_000])
def test_a_hanging_server_is_left_and_resumed(server: Server, tmp_path: Path, after: int) -> None:
    server.hang_after = after
    with pytest.raises(DataError, match=r"\b0\.3 s\b"):
        fetch(tmp_path, base_url=server.url, files=BLOBS, timeout_s=0.3)
    assert (tmp_path / f"{FIRST}.part").stat().st_size == after
    server.hang_after = None
    fetch(tmp_path, base_url=server.url, files=BLOBS)
    assert _right(tmp_path)
    assert server.asked[1] == (FIRST, f"bytes={after}-" if after else None)


def test_a_server_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(DataError, match=r"\b0\.2 s\b"):
            fetch(tmp_path, base_url=url, files=BLOBS, timeout_s=0.2)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_refusals_of_the_server(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DataError, match=rf"normal.npy: .*\b{status}\b"):
        fetch(tmp_path, base_url=server.url, files=BLOBS)


def test_refused_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DataError, match="Connection refused"):
        fetch(tmp_path, base_url=f"http://127.0.0.1:{port}/", files=BLOBS)


def test_unknown_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DataError, match="Name or service not known"):
        fetch(tmp_path, base_url="http://files.invalid/", files=BLOBS)


@pytest.mark.parametrize("url", ["no url", "gopher://127.0.0.1/", "http://127.0.0.1:port/"])
def test_bad_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match=FIRST):
        fetch(tmp_path, base_url=url, files=BLOBS)


def test_disk_errors(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Not a directory|File exists"):
        fetch(tmp_path / "file", base_url=server.url, files=BLOBS)


def test_full_disk_keeps_what_arrived(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, block: object) -> int:
            raise OSError(28, "No space left on device")

    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", *rest: Full() if mode == "ab" else real(path, mode, *rest)
    )
    with pytest.raises(DataError, match=r"normal.npy.part: .*No space left"):
        fetch(tmp_path, base_url=server.url, files=BLOBS)


def test_progress_bar_shows_files(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        fetch(tmp_path, base_url=server.url, files=BLOBS, progress=progress)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert all(name in shown.err for name in BLOBS)
