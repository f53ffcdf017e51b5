"""Every part of Ray that is not its public API, each with a way to do without it.

Where a release of Ray has moved or dropped one of them, that costs speed or comfort, never a sweep. Nothing
else in tune-app uses such a part. Names are looked up when they are used: a missing one breaks no import.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from pathlib import Path
from typing import Any

import ray

from tune_app.errors import ResourceError, describe

_FOR_EVER_S = 10**9
_ANSWER_WITHIN_S = 10.0

#: What a missing module, a missing name in one, and another signature raise.
_MISSING = (ImportError, AttributeError, TypeError)


def _part(name: str) -> Any:
    """A module of Ray, or with ``module:name`` what is in it. Raises one of ``_MISSING``."""
    return pkgutil.resolve_name(name)


@contextmanager
def _patched(owner: str, **values: Any) -> Iterator[None]:
    """Give attributes of a part of Ray other values while the context lasts, if it has them all."""
    try:
        part = _part(owner)
        before = {name: getattr(part, name) for name in values}
    except _MISSING:
        yield
        return
    for name, value in values.items():
        setattr(part, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(part, name, value)


# ---------------------------------------------------------------- starting and leaving Ray


def init(settings: Mapping[str, Any], **options: Any) -> None:
    """``ray.init``, with settings of Ray's own, such as ``loading``.

    An unknown one ends Ray's own processes: ``ray.init`` is then tried again without them, and each trial's
    process takes some seconds longer to start.
    """
    if settings:
        try:
            ray.init(**options, _system_config=dict(settings))
        except (RuntimeError, ValueError, TypeError):
            ray.shutdown()
        else:
            return
    ray.init(**options)


def loading(modules: Sequence[str]) -> dict[str, Any]:
    """The setting with which Ray's processes load modules before there is work for them."""
    return {"preload_python_modules": list(modules)} if modules else {}


#: The settings of a Ray that outlives its users: it starts no processes unless it is asked for them, and ends
#: what a user's process has started together with that.
LASTING = {"prestart_worker_first_driver": False, "process_group_cleanup_enabled": True}


def prestart(count: int, host: str, port: int, token: str) -> None:
    """Have the raylet at a port start processes that load ahead, for whoever comes next, and keep them.

    Raises:
        ResourceError: it cannot be asked.
    """
    try:
        grpc, messages = _part("grpc"), _part("ray.core.generated.node_manager_pb2")
        service = _part("ray.core.generated.node_manager_pb2_grpc:NodeManagerServiceStub")
        request = messages.PrestartWorkersRequest(num_workers=count, keep_alive_duration_secs=_FOR_EVER_S)
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            asked = service(channel).PrestartWorkers
            asked(request, timeout=_ANSWER_WITHIN_S, metadata=[("authorization", f"Bearer {token}")])
    except ModuleNotFoundError as error:
        raise ResourceError("pip install grpcio: without it, Ray starts no processes ahead.") from error
    except Exception as error:  # whatever gRPC and another release of Ray raise
        raise ResourceError(f"Ray starts no processes ahead: {describe(error)}") from error


def usable_cpus() -> int:
    """The CPUs that Ray counts on this machine: in a container, those that it may use."""
    try:
        return int(_part("ray._private.utils:get_num_cpus")())
    except _MISSING:
        return os.cpu_count() or 1


def on_loopback() -> AbstractContextManager[None]:
    """Have ``ray.init`` take 127.0.0.1 for this machine's address: no other machine reaches its ports."""
    return _patched("ray._private.ray_constants", ENABLE_RAY_CLUSTER=False)


def _nothing(*_: Any, **__: Any) -> None: ...


@contextmanager
def lean() -> Iterator[None]:
    """Have ``ray.init`` start only what a sweep on one machine uses, and wait for nothing else.

    Three servers take two seconds: the API server (without a dashboard it only counts usage), the
    autoscaler's monitor, and the monitor of logs, which nobody reads. The agent, which serves the metrics,
    takes any free port: it would wait three seconds where another Ray has its usual one. What the agent
    imports is not imported here only to see whether it is installed.
    """
    servers = ("start_api_server", "start_log_monitor", "start_monitor")
    with ExitStack() as stack:
        stack.enter_context(_patched("ray._private.node:Node", **dict.fromkeys(servers, _nothing)))
        if all(importlib.util.find_spec(name) for name in _OF_AGENT):
            stack.enter_context(_patched("ray._private.utils", get_dashboard_dependency_error=_nothing))
        with suppress(*_MISSING):
            start = _part("ray._private.services:start_raylet")

            def start_raylet(*given: Any, **named: Any) -> Any:
                return start(*given, **named | {name: 0 for name in named if name == _PORT_OF_AGENT})

            stack.enter_context(_patched("ray._private.services", start_raylet=start_raylet))
        yield


_PORT_OF_AGENT = "dashboard_agent_listen_port"
#: What `ray.dashboard.optional_deps` imports.
_OF_AGENT = ("aiohttp", "aiohttp_cors", "grpc", "opencensus", "opentelemetry", "prometheus_client")


def silence_servers() -> AbstractContextManager[None]:
    """Have Ray not print what its servers publish, such as the raylet's log when it has died."""
    return _patched("ray._private.worker", print_to_stdstream=_nothing)


def inherited_environment() -> AbstractContextManager[None]:
    """Have Tune name no environment for its processes: on this machine they inherit what it would put there.

    With one, Ray would start other processes than those that it has started ahead.
    """
    cache = "ray.tune.execution.class_cache"
    with suppress(*_MISSING):
        for name, value in _part(cache).DEFAULT_ENV_VARS.items():
            os.environ.setdefault(str(name), str(value))
    return _patched(cache, DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=set())


def connected() -> bool:
    """Whether this process still has the part of Ray that its objects need; True where that is unknown."""
    try:
        return hasattr(_part("ray._private.worker:global_worker"), "core_worker")
    except _MISSING:
        return True


def prevent_restart() -> None:
    """Have what is left of a Ray that has died, and still calls it, start no other one."""
    with suppress(*_MISSING):
        _part("ray._private.auto_init_hook").enable_auto_connect = False


def in_a_job() -> bool:
    """Whether this process is a job that was submitted to a cluster; else its modules travel once more."""
    return bool(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"))


# ---------------------------------------------------------------- between driver and workers


def put(key: bytes, value: bytes) -> None:
    """Let all workers ``get`` a value; where they cannot, trials are not saved before a sweep ends."""
    with suppress(*_MISSING):
        _part("ray.experimental.internal_kv:_internal_kv_put")(key, value, overwrite=True)


def get(key: bytes) -> bytes:
    """What the driver has ``put``; empty where there is nothing."""
    with suppress(*_MISSING):
        return bytes(_part("ray.experimental.internal_kv:_internal_kv_get")(key) or b"")
    return b""


def draining(timeout_s: float) -> list[str]:
    """The ids of the nodes that are about to be taken away.

    Where that cannot be asked, a trial goes on from its last checkpoint once its machine is gone.

    Raises:
        RpcError: the head does not answer.
    """
    with suppress(*_MISSING):
        head = _part("ray.experimental.internal_kv:internal_kv_get_gcs_client")()
        return sorted(head.get_draining_nodes(timeout=timeout_s))
    return []


# ---------------------------------------------------------------- trials of Tune


def cause_of_death(trial: Any) -> tuple[BaseException | None, str]:
    """The error with which the process of a trial has ended, if it can be read, and Ray's text about it.

    Tune's public ``Trial.get_error`` looks in the storage, where these files come only later.
    """
    error, text = None, ""
    with suppress(*_MISSING, OSError):
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    try:
        error = ray.cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except Exception:  # noqa: BLE001 - whatever reading an object from a file may raise
        with suppress(Exception):
            error = trial.get_error()
    return error if isinstance(error, BaseException) else None, text


# ---------------------------------------------------------------- files for ray up


def cluster_schema() -> dict[str, Any]:
    """The JSON schema of a file for ``ray up``; one that takes everything where Ray does not bring one."""
    with suppress(*_MISSING, OSError, ValueError):
        file = Path(_part("ray.autoscaler").__file__).with_name("ray-schema.json")
        return dict(json.loads(file.read_text(encoding="utf-8")))
    return {}


def validate_cluster(values: dict[str, Any]) -> None:
    """Let Ray check the content of a file for ``ray up``, if it can; raises whatever Ray raises."""
    try:
        util = _part("ray.autoscaler._private.util")
        prepare, validate = util.prepare_config, util.validate_config
    except _MISSING:
        return
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        validate(prepare(values))
