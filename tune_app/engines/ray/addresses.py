"""Where a sweep trains when nobody says, and whether a cluster's head listens at an address.

Only what was started on purpose counts: ``$RAY_ADDRESS``, or ``ray start`` (so by ``ray up`` on each of its
machines), which leaves its address in a file. The private Ray of another sweep leaves none, so two sweeps on
a laptop do not meet. Nothing here imports Ray, which itself tries an address for minutes.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import suppress
from pathlib import Path

from tune_app.engines.ray.sockets import ray_folder
from tune_app.errors import ResourceError

_ANSWER_WITHIN_S = 1.0
#: Seconds within which a head must answer; a name server may take several to find its machine.
_REACH_WITHIN_S = 15.0

#: A gRPC request in HTTP/2: the preface, empty settings, and the headers of any call at all.
_CALL = b"\x83\x86\x04\x02/a\x01\x01a\x0f\x10\x10application/grpc\x00\x02te\x08trailers"
_REQUEST = (
    *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0"),
    *(len(_CALL).to_bytes(3), b"\x01\x05\0\0\0\x01", _CALL),
)
#: Types of frames, and how the headers of an answer with status 200 begin.
_HEADERS, _SETTINGS, _OK = 1, 4, 0x88


def default_address() -> str:
    """``$RAY_ADDRESS``; that of the cluster that ``ray start`` made this machine part of; ``local``."""
    return _of_environment() or local_cluster() or "local"


def _of_environment() -> str:
    return os.environ.get("RAY_ADDRESS", "").strip()


def _left(folder: Path | None = None) -> str:
    """The address that ``ray start`` left on this machine, which ``ray stop`` removes; else empty."""
    given, name = ray_folder()
    usual = [Path(given), *([Path("/tmp")] if name == "TMPDIR" else [])]  # $TMPDIR may be new since then
    for place in [folder] if folder else [each / "ray" for each in usual]:
        with suppress(OSError, ValueError):
            return (place / "ray_current_cluster").read_text(encoding="utf-8").strip()
    return ""


def local_cluster(folder: Path | None = None) -> str | None:
    """The address that ``ray start`` left on this machine, if something answers there; else None.

    A machine that lost its power leaves the file behind.
    """
    address = _left(folder)
    try:
        host, port = _parts(address)
        with socket.create_connection((host, port), _ANSWER_WITHIN_S):
            return address
    except (OSError, ValueError):
        return None


def resolve(address: str) -> str:
    """The ``host:port`` that an address means, where a cluster's head listens; ``local`` is itself.

    ``auto`` is ``$RAY_ADDRESS``, or the cluster that this machine is part of.

    Raises:
        ResourceError: it is no address, or none where a head listens.
    """
    address, environment = address.strip(), _of_environment()
    given = f"--address {address or repr(address)}"
    if environment and address in (environment, "auto"):
        given, address = f"RAY_ADDRESS={environment}", environment
    if address == "local":
        return address
    if address == "auto":
        address = _left()
        if not address:
            raise ResourceError(
                f"{given}: this machine is part of no cluster. Start one with: ray start --head; or say "
                "local instead of auto."
            )
        given += f", which is {address} by the last ray start"
    if "://" in address:
        raise ResourceError(
            f"{given}: a sweep is driven from within its cluster, so that it outlives your connection.\n"
            "  Send it there: tune-app submit SPACE --cluster cluster.yaml"
        )
    try:
        host, port = _parts(address)
    except ValueError:
        raise ResourceError(
            f"{given}: no address. It is host:port as ray start --head printed it, auto, local or inline."
        ) from None
    if fault := _fault(host, port):
        raise ResourceError(
            f"{given}: no Ray cluster answers there: {fault}.\n"
            '  Name the address that "ray start --head" printed, from a machine of the cluster, or local to '
            "start a Ray here. Is it up (ray up FILE), and does a firewall let this machine through?"
        )
    return address


def _parts(address: str) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):([0-9]{1,5})", address)
    if not found or not 0 < int(found[2]) < 1 << 16:
        raise ValueError(address)
    return found[1].strip("[]"), int(found[2])


def _fault(host: str, port: int) -> str:
    """Why no head can be there, within seconds; empty if one can."""
    faults: list[str] = []

    def ask() -> None:
        try:
            with socket.create_connection((host, port), _REACH_WITHIN_S) as connection:
                faults.append(
                    "" if _speaks_grpc(connection) else "something else than Ray listens at that port"
                )
        except (OSError, UnicodeError) as error:
            faults.append(getattr(error, "strerror", None) or str(error))

    thread = threading.Thread(target=ask, daemon=True)  # nothing ends the search for the name of a machine
    thread.start()
    thread.join(_REACH_WITHIN_S)
    return faults[0] if faults else f"no answer within {_REACH_WITHIN_S:g} s"


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether a server answers as gRPC does: in HTTP/2, and with status 200 whatever it is asked."""
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True  # it answers only those who can show a certificate
    connection.settimeout(_REACH_WITHIN_S / 3)
    greeted = False
    try:
        connection.sendall(b"".join(_REQUEST))
        with connection.makefile("rb") as answer:
            while len(head := answer.read(9)) == 9:
                length, kind = int.from_bytes(head[:3]), head[3]
                if kind == _HEADERS:
                    return answer.read(length)[:1] == bytes([_OK])
                greeted = greeted or kind == _SETTINGS
                if not greeted or len(answer.read(length)) < length:
                    break
    except TimeoutError:
        return greeted
    return False
