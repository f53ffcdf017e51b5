"""The notice that a spot machine gets, from a metadata server of our own; with Ray: tests/cluster."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tune_app.cluster import spot
from tune_app.errors import ClusterError


class Cloud(ThreadingHTTPServer):
    """A metadata server: answers by path; on AWS's terms only to who brings the token."""

    answers: dict[str, bytes]


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self._say(b"a token" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else None)

    def do_GET(self) -> None:
        known = (self.headers["X-aws-ec2-metadata-token"], self.headers["Metadata-Flavor"])
        assert isinstance(self.server, Cloud)
        self._say(
            self.server.answers.get(self.path) if known in (("a token", None), (None, "Google")) else None
        )

    def _say(self, text: bytes | None) -> None:
        self.send_response(404 if text is None else 200)
        self.end_headers()
        self.wfile.write(text or b"")

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    server = Cloud(("127.0.0.1", 0), Handler)
    server.answers = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(cloud: Cloud) -> str:
    return f"http://127.0.0.1:{cloud.server_address[1]}"


@pytest.mark.parametrize(
    ("name", "quiet", "notice"),
    [("aws", None, b'{"action": "terminate", "time": "..."}'), ("gcp", b"FALSE", b"TRUE")],
)
def test_a_notice_is_told_from_none(cloud: Cloud, name: str, quiet: bytes | None, notice: bytes) -> None:
    kind = spot.CLOUDS[name]
    if quiet:
        cloud.answers[kind.path] = quiet
    assert not spot.has_notice(kind, url(cloud))
    cloud.answers[kind.path] = notice
    assert spot.has_notice(kind, url(cloud))
    assert not spot.has_notice(kind, "http://127.0.0.1:1")


def test_ray_is_told_until_it_has_heard(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    told: list[int] = []

    def drain(notice_s: int) -> bool:
        told.append(notice_s)
        return len(told) == 2

    monkeypatch.setattr(spot, "drain", drain)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            cloud.answers[spot.CLOUDS["aws"].path] = b"{}"

    monkeypatch.setattr(time, "sleep", wait)
    with FileLock(tmp_path / "tune-app-spot.lock"):
        spot.watch("aws", url(cloud))
    assert not waits, "one watches already"
    spot.watch("aws", url(cloud))
    assert (len(waits), told) == (4, [110, 110])


def test_an_unknown_cloud_is_refused() -> None:
    with pytest.raises(ClusterError, match=r'"gpc": .*Did you mean "gcp"'):
        spot.watch("gpc")
