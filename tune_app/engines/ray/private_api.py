"""Every part of Ray that is not its public API, each with a way to do without it.

Where a release of Ray has moved or dropped one of them, that costs speed or comfort, never a sweep. Nothing
else in tune-app uses such a part. Names are looked up when they are used: a missing one breaks no import.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

#: Methods of Ray's ``Node`` that start servers which only a cluster uses.
_SERVERS_OF_A_CLUSTER = ("start_api_server", "start_log_monitor", "start_monitor")

#: What a missing module, a missing name in one, and another signature raise.
_MISSING = (ImportError, AttributeError, TypeError)


# ---------------------------------------------------------------- starting and leaving Ray


def preload_options(modules: Sequence[str]) -> dict[str, Any]:
    """Arguments of ``ray.init`` that have its processes load modules before there is work for them.

    An unknown setting ends Ray's own processes, so ``ray.init`` is tried again without these arguments; then
    each trial's process takes some seconds longer to start.
    """
    return {"_system_config": {"preload_python_modules": list(modules)}} if modules else {}


def init(more: Mapping[str, Any], **options: Any) -> None:
    """``ray.init`` with the arguments of ``preload_options``, and without them where it fails with them."""
    if more:
        try:
            ray.init(**options, **more)
        except (RuntimeError, ValueError, TypeError):
            ray.shutdown()
        else:
            return
    ray.init(**options)


@contextmanager
def lean() -> Iterator[None]:
    """Have ``ray.init`` not start three servers that a sweep on one machine does not use.

    These are the API server (without a dashboard it only counts usage), the autoscaler's monitor, and the
    monitor of logs, which nobody reads. Without this part they start, which takes two seconds.
    """
    try:
        from ray._private.node import Node

        before = {name: getattr(Node, name) for name in _SERVERS_OF_A_CLUSTER}
    except _MISSING:
        yield
        return
    for name in before:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def connected() -> bool:
    """Whether this process still has the part of Ray that its objects need; True where that is unknown."""
    try:
        from ray._private.worker import global_worker
    except _MISSING:
        return True
    return hasattr(global_worker, "core_worker")


@contextmanager
def inherited_environment() -> Iterator[None]:
    """Have Tune name no environment for its processes: on this machine they inherit what it would put there.

    With one, Ray would start other processes than those that it has started ahead; that is what happens where
    this part is missing.
    """
    try:
        from ray.tune.execution import class_cache

        before = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
        environment = {str(name): str(value) for name, value in before[0].items()}
    except _MISSING:
        yield
        return
    class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = {}, set()
    os.environ.update({name: os.environ.get(name, value) for name, value in environment.items()})
    try:
        yield
    finally:
        class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE = before


def prevent_restart() -> None:
    """Have what is left of a Ray that has died, and still calls it, start no other one."""
    with contextlib.suppress(*_MISSING):
        from ray._private import auto_init_hook

        auto_init_hook.enable_auto_connect = False


@contextmanager
def silence_servers() -> Iterator[None]:
    """Have Ray not print what its servers publish, such as the raylet's log when it has died."""
    try:
        from ray._private import worker

        before = worker.print_to_stdstream
        worker.print_to_stdstream = lambda *_, **__: None
    except _MISSING:
        yield
        return
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def in_a_job() -> bool:
    """Whether this process is a job that was submitted to a cluster; else its modules travel once more."""
    return bool(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"))


# ---------------------------------------------------------------- between driver and workers


def put(key: bytes, value: bytes) -> None:
    """Let all workers ``get`` a value; where they cannot, trials are not saved before a sweep ends."""
    try:
        from ray.experimental import internal_kv

        internal_kv._internal_kv_put(key, value, overwrite=True)
    except _MISSING:
        return


def get(key: bytes) -> bytes:
    """What the driver has ``put``; empty where there is nothing."""
    try:
        from ray.experimental import internal_kv

        return bytes(internal_kv._internal_kv_get(key) or b"")
    except _MISSING:
        return b""


def draining(timeout_s: float) -> list[str]:
    """The ids of the nodes that are about to be taken away.

    Where that cannot be asked, a trial goes on from its last checkpoint once its machine is gone.

    Raises:
        RpcError: the head does not answer.
    """
    try:
        from ray.experimental import internal_kv

        found = internal_kv.internal_kv_get_gcs_client().get_draining_nodes(timeout=timeout_s)
    except _MISSING:
        return []
    return sorted(found)


# ---------------------------------------------------------------- trials of Tune


def cause_of_death(trial: Any) -> tuple[BaseException | None, str]:
    """The error with which the process of a trial has ended, if it can be read, and Ray's text about it.

    Tune's public ``Trial.get_error`` looks in the storage, where these files come only later.
    """
    error, text = None, ""
    with contextlib.suppress(*_MISSING, OSError):
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    try:
        error = ray.cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except Exception:  # noqa: BLE001 - whatever reading an object from a file may raise
        with contextlib.suppress(Exception):
            error = trial.get_error()
    return error if isinstance(error, BaseException) else None, text


# ---------------------------------------------------------------- files for ray up


def cluster_schema() -> dict[str, Any]:
    """The JSON schema of a file for ``ray up``; one that takes everything where Ray does not bring one."""
    try:
        import ray.autoscaler

        text = Path(str(ray.autoscaler.__file__)).with_name("ray-schema.json").read_text(encoding="utf-8")
        return dict(json.loads(text))
    except (*_MISSING, OSError, ValueError):
        return {}


def validate_cluster(values: dict[str, Any]) -> None:
    """Let Ray check the content of a file for ``ray up``, if it can; raises whatever Ray raises."""
    try:
        from ray.autoscaler._private.util import prepare_config, validate_config
    except _MISSING:
        return
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        validate_config(prepare_config(values))
