"""Watches a spot machine for its cloud to want it back, and has Ray drain it: trials are saved, and leave.

    python -m tune_app.cluster.spot aws     # two minutes of notice
    python -m tune_app.cluster.spot gcp     # thirty seconds

Nothing in Ray asks a cloud. Started beside ``ray start`` by the files for ``ray up``, once a machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from tune_app.errors import ClusterError, nearest

_LOOK_EVERY_S = 2.0
_ANSWER_WITHIN_S = 2.0


@dataclass(frozen=True)
class Cloud:
    """Where a machine asks its cloud: any answer there, or ``word`` if there is one, is the notice."""

    metadata: str
    path: str
    notice_s: int
    word: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Where a token for the question comes from, as AWS wants it.
    token: str = ""


CLOUDS = {
    "aws": Cloud(
        "http://169.254.169.254", "/latest/meta-data/spot/instance-action", 110, token="/latest/api/token"
    ),
    "gcp": Cloud(
        "http://metadata.google.internal",
        "/computeMetadata/v1/instance/preempted",
        25,
        b"TRUE",
        {"Metadata-Flavor": "Google"},
    ),
}


def has_notice(cloud: Cloud, metadata: str = "") -> bool:
    """Whether the cloud wants this machine back; ``metadata`` is where to ask instead of at its own address.

    No answer means no.
    """
    root, headers = metadata or cloud.metadata, dict(cloud.headers)
    if cloud.token:
        asked = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = _answer(urllib.request.Request(root + cloud.token, headers=asked, method="PUT"))
        headers["X-aws-ec2-metadata-token"] = (token or b"").decode()
    found = _answer(urllib.request.Request(root + cloud.path, headers=headers))
    return found is not None and cloud.word in found


def _answer(request: urllib.request.Request) -> bytes | None:
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_WITHIN_S) as answer:
            return bytes(answer.read())
    except OSError:  # 404 until there is a notice; every error of urllib is one
        return None


def drain(notice_s: int) -> bool:
    """Have Ray drain this machine; returns whether it did."""
    why = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot reclaim")
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", *why]
    return not subprocess.call([*command, f"--deadline-remaining-seconds={notice_s}"])


def watch(name: str, metadata: str = "") -> None:
    """Wait for a notice, and pass it on to Ray; at once over where this machine is watched already.

    Raises:
        ClusterError: an unknown cloud.
    """
    if name not in CLOUDS:
        raise ClusterError(f'"{name}": unknown cloud.{nearest(name, CLOUDS)} Known: aws, gcp')
    cloud = CLOUDS[name]
    try:
        with FileLock(Path(tempfile.gettempdir()) / "tune-app-spot.lock", timeout=0):
            while not (has_notice(cloud, metadata) and drain(cloud.notice_s)):
                time.sleep(_LOOK_EVERY_S)
    except Timeout:
        return


if __name__ == "__main__":
    try:
        watch(*sys.argv[1:3])
    except (ClusterError, TypeError) as error:
        sys.exit(f"{error}\nUsage: python -m tune_app.cluster.spot aws|gcp [METADATA_URL]")
