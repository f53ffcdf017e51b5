"""A Ray to train on: one of its own on this machine, or the cluster at an address; joined, and left again."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from tune_app.engines.ray import addresses, nodes, private_api, ray_session, working_dir
from tune_app.engines.ray.nodes import Cluster
from tune_app.engines.ray.ray_session import RayInstance
from tune_app.engines.ray.warm import WarmRay
from tune_app.errors import DiskError, ResourceError, describe
from tune_app.tasks.task_folder import TRAVELLED

_SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a GPU sees none
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the record is ours; Tune's loggers cost 4 ms a report
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),  # Tune's own state is never restored from
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

#: Of a Ray that is started here: its raylet tries to connect to a server of its own before that listens, and
#: would wait a second before it tries again.
_OF_OWN_RAY = {
    "RAY_raylet_client_connect_timeout_milliseconds": "20",
    "RAY_raylet_client_num_connect_attempts": "500",
    # a token would be written to the home folder, and asked for by clusters started later
    "RAY_AUTH_MODE": "disabled",
}

#: Ray starts a process for each CPU at once. Of more than these, most would load in vain what a trial needs.
_FEW_CPUS = 16

#: With less room on the disk, it is the reason for which Ray does not start.
_LEAST_FREE_BYTES = 1 << 20

#: Where Ray puts its files unless told otherwise.
_SHORT = "/tmp"

_QUIET = ("ray", "ray.tune", "ray.train", "ray.data", "ray.air")


@contextmanager
def connect(
    address: str = "local",
    data_bytes: int = 0,
    cpus: int | None = None,
    gpus: int | None = None,
    modules: Path | None = None,
    ahead: Sequence[str] = (),
    warm: WarmRay | None = None,
    lasting: bool = False,
) -> Iterator[Cluster]:
    """Start Ray on this machine, or join the cluster at ``address``; leave it at the end.

    Its processes end in the background, which takes over a second; ``ray_session.wait_until_gone`` waits.

    Args:
        address: ``local``, or the ``host:port`` of a cluster that this machine is part of.
        data_bytes: size of the arrays that the workers will share.
        cpus: CPUs to declare on ``local`` instead of those that are there.
        gpus: GPUs to declare on ``local`` likewise.
        modules: the folder of the user's own modules, which travel to the workers of a cluster.
        ahead: modules that the processes of ``local`` load as they start, before there is work for them.
        warm: the warm Ray, which is joined instead.
        lasting: start a Ray for other processes of this machine; ``private_api.prestart`` gives it workers.

    Raises:
        ResourceError: no cluster answers at the address, or Ray does not start here.
        DiskError: Ray's folder has no room.
        RayLost: one of its servers has died meanwhile.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    local, address = address == "local" and not warm, warm.address if warm else address
    if not local or ((cpus or os.cpu_count() or 1) > _FEW_CPUS and not lasting):
        ahead = ()
    settings = private_api.loading(ahead) | (private_api.LASTING if lasting else {})
    options: dict[str, Any] = {}
    with ExitStack() as stack:
        stack.enter_context(private_api.silence_servers())
        if local:
            for name, value in _OF_OWN_RAY.items():
                os.environ.setdefault(name, value)
            options = {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
            options["object_store_memory"] = _object_store_bytes(data_bytes)
            _shorten_socket_paths(stack)
            stack.enter_context(private_api.lean())
        if warm or lasting:
            stack.enter_context(private_api.on_loopback())
        if warm or local:
            stack.enter_context(private_api.inherited_environment())
        else:
            options["runtime_env"] = _travelling(stack, modules)
        ray_session.wait_until_gone()
        # Ray would put the working directory first on its workers' path, where a `random.py` stops them.
        empty = stack.enter_context(tempfile.TemporaryDirectory(prefix="tune-app-ray-"))
        instance = ray_session.instance = RayInstance(owned=local, warm=bool(warm))
        stack.callback(instance.leave, ray.shutdown, private_api.connected)
        with chdir(empty), instance.starting():
            instance.call(lambda: _init(address, options, settings))
        instance.servers = instance.call(lambda: nodes.servers(local or bool(warm)))
        cluster = instance.call(nodes.current if local or warm else nodes.capacity)
        yield replace(cluster, cpus=cluster.cpus / warm.slots) if warm else cluster


atexit.register(ray_session.wait_until_gone)  # before Ray's own, which waits without a limit


def _init(address: str, options: dict[str, Any], settings: Mapping[str, Any]) -> None:
    try:
        private_api.init(
            settings,
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            **options,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        folder, _ = addresses.ray_folder()
        if address == "local" and shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
            full = os.strerror(errno.ENOSPC)
            text = f"{folder}: {full}. Ray keeps its files there, or where RAY_TMPDIR says."
            raise DiskError(text) from error
        if "Version mismatch" in str(error):
            raise ResourceError(
                f"--address {address}: {' '.join(str(error).split())}\n"
                "  A cluster's machines need the Ray and Python of this machine: ray up FILE installs them."
            ) from error
        raise ResourceError(
            f"--address {address}: Ray did not answer: {describe(error)}\n"
            '  Use "local" to start it here, or the address that "ray start --head" printed; from outside of '
            "a cluster: tune-app submit"
        ) from error
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _travelling(stack: ExitStack, modules: Path | None) -> dict[str, Any]:
    """What the workers of a cluster need of this process: settings, and the user's own modules if any.

    A job that was sent to the cluster has brought its modules already.
    """
    environment: dict[str, Any] = {"env_vars": {name: os.environ[name] for name in _SETTINGS}}
    if modules is not None and not private_api.in_a_job():
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tune-app-modules-"))
        # Below the working directory, for that comes first on the workers' path.
        working_dir.pack(modules, Path(folder) / TRAVELLED)
        environment["working_dir"] = folder
    return environment


def _shorten_socket_paths(stack: ExitStack) -> None:
    """Have Ray use /tmp where its sockets cannot lie in ``$TMPDIR``; that is used for all else.

    Their paths have 107 bytes at most (103 on macOS), in ASCII.
    """
    folder, name = addresses.ray_folder()
    fault = _socket_fault(folder)
    if fault and (name != "TMPDIR" or _socket_fault(_SHORT)):
        raise ResourceError(
            f"{f'{name}=' if name else ''}{folder}: Ray cannot put its sockets there: {fault}. Set "
            "RAY_TMPDIR to a writable folder on this machine whose path is short and ASCII, such as /tmp."
        )
    if fault:
        os.environ["RAY_TMPDIR"] = _SHORT
        stack.callback(os.environ.pop, "RAY_TMPDIR", None)


def _socket_fault(folder: str) -> str:
    """Why a socket with a path as long as Ray's cannot be made in a folder; empty if it can."""
    if not folder.isascii():
        return "its path is not ASCII"
    below = Path(os.path.abspath(folder), "ray")  # noqa: PTH100 - as Ray takes it, with links unresolved
    path = below / f"session_{'0' * 26}_{os.getpid()}/sockets/plasma_store".replace("/", "-")
    try:
        below.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as tried:
            tried.bind(str(path))
    except OSError as error:
        return error.strerror or f"{error}, for {len(os.fsencode(path))} bytes"
    finally:
        with suppress(OSError):
            path.unlink()
    return ""


def _object_store_bytes(data_bytes: int) -> int:
    """Room for the arrays and some reports, within the free shared memory."""
    needed, shm = data_bytes + (128 << 20), Path("/dev/shm")
    if shm.is_dir() and needed > 0.9 * (free := shutil.disk_usage(shm).free):
        raise ResourceError(
            f"the data needs {needed >> 20} MiB of shared memory and /dev/shm has {free >> 20} MiB free. "
            "Use a smaller --image-size, or enlarge /dev/shm (docker run --shm-size=4g)."
        )
    return needed
