"""Where a sweep trains when nobody says, and whether a cluster's head listens at an address.

Only what was started on purpose counts: ``$RAY_ADDRESS``, or ``ray start`` (so by ``ray up`` on each of its
machines), which leaves its address in a file. The private Ray of another sweep leaves none, so two sweeps on
a laptop do not meet. Nothing here imports Ray, which itself tries an address for minutes.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from tune_app.errors import ResourceError

_ANSWER_WITHIN_S = 1.0
#: Seconds within which a head must answer; a name server may take several to find its machine.
_REACH_WITHIN_S = 15.0
#: gRPC's HTTP/2: a client begins with empty settings, and the first frame of the server is of this type.
_GREETING, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 4


def default_address() -> str:
    """``$RAY_ADDRESS``, ``warm``, the cluster that ``ray start`` made this machine part of, or ``local``."""
    if address := _of_environment():
        return address
    from tune_app.engines.ray import warm  # it takes longer to load than RAY_ADDRESS needs

    return warm.ADDRESS if warm.find() else local_cluster() or "local"


def _of_environment() -> str:
    return os.environ.get("RAY_ADDRESS", "").strip()


def _left() -> str:
    """The address that ``ray start`` left on this machine, which ``ray stop`` removes; else empty."""
    folder, name = ray_folder()
    for place in (folder, *(["/tmp"] if name == "TMPDIR" else [])):  # $TMPDIR may be new since then
        with suppress(OSError, ValueError):
            return Path(place, "ray/ray_current_cluster").read_text(encoding="utf-8").strip()
    return ""


def ray_folder() -> tuple[str, str]:
    """The folder in which Ray makes its own, and the variable that names it; empty where none does."""
    for name in ("RAY_TMPDIR", *(["TMPDIR"] if sys.platform.startswith("linux") else [])):
        if name in os.environ:
            return os.environ[name], name
    return "/tmp", ""


def local_cluster() -> str | None:
    """The address that ``ray start`` left on this machine, if something answers there; else None.

    A machine that lost its power leaves the file behind.
    """
    address = _left()
    with suppress(OSError, ValueError), socket.create_connection(_parts(address), _ANSWER_WITHIN_S):
        return address
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
    if address in ("local", "warm"):
        return address
    if address == "auto":
        address = _left()
        if not address:
            fix = "Start one with: ray start --head; or give local instead of auto."
            raise ResourceError(f"{given}: this machine is part of no cluster. {fix}")
        given += f" ({address}, the address of the last ray start)"
    if "://" in address:
        raise ResourceError(
            f"{given}: start a sweep on its cluster, so that it continues without your connection.\n"
            "  From here: tune-app submit SPACE --cluster cluster.yaml"
        )
    try:
        host, port = _parts(address)
    except ValueError:
        fix = "Give host:port, as ray start --head printed it, or auto, local or inline."
        raise ResourceError(f"{given}: not an address. {fix}") from None
    if fault := _fault(host, port):
        raise ResourceError(
            f"{given}: no Ray cluster answers there: {fault}.\n"
            '  On a machine of the cluster, give the address that "ray start --head" printed. To start Ray '
            "here, give local. Is the cluster up (ray up FILE), and does a firewall block this machine?"
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
                grpc = _speaks_grpc(connection)
                faults.append("" if grpc else "another program than Ray listens at that port")
        except (OSError, UnicodeError) as error:
            faults.append(getattr(error, "strerror", None) or str(error))

    thread = threading.Thread(target=ask, daemon=True)  # nothing ends the search for the name of a machine
    thread.start()
    thread.join(_REACH_WITHIN_S)
    return faults[0] if faults else f"no answer within {_REACH_WITHIN_S:g} s"


def _speaks_grpc(connection: socket.socket) -> bool:
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True  # it answers only those who can show a certificate
    connection.settimeout(_REACH_WITHIN_S / 3)
    connection.sendall(_GREETING)
    with suppress(TimeoutError), connection.makefile("rb") as answer:
        return answer.read(9)[3:4] == bytes([_SETTINGS])
    return False
