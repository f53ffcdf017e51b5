"""Checks a file for ``ray up``: Ray's own validation, and mistakes that it does not find."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from tune_app.cluster import known_keys, versions
from tune_app.cluster.cluster_file import ClusterFile
from tune_app.engines.ray import private_api
from tune_app.errors import describe, nearest

#: What a provider cannot do without, and an example of it.
_NEEDS = {
    "aws": {"region": "us-west-2"},
    "gcp": {"region": "us-central1", "availability_zone": "us-central1-a", "project_id": "my-project"},
    "azure": {"location": "westus2", "resource_group": "my-group"},
    "local": {"head_ip": "192.0.2.1", "worker_ips": "[192.0.2.2, 192.0.2.3]"},
}
#: Without it the autoscaler on the head dies, while ``ray up`` says that all is well.
_HEAD_NEEDS = {"aws": "boto3", "gcp": "google-api-python-client"}
#: Images, drivers and wheels of CUDA take some 60 GB.
_LEAST_DISK_GB = 100
_UNSAFE = re.compile(r"--dashboard-host[= ]['\"]?(0\.0\.0\.0|::|\*)")
_PLACEHOLDER = re.compile(r"ami-0+")


def check(file: ClusterFile) -> None:
    """Add the problems of a file for ``ray up``."""
    kind = file.get("provider", "type")
    if not _keys(file) or not _provider(file, kind):
        return
    if kind == "local":
        _local(file)
    else:
        _node_types(file, kind)
    _setup(file, kind)
    _start(file, kind)
    _mounts(file)
    if not any(not problem.warning for problem in file.problems):
        _as_ray_sees_it(file)


def _keys(file: ClusterFile) -> bool:
    """Check the keys of the first two levels against Ray's schema; returns whether to check further."""
    if schema := private_api.cluster_schema():
        first = schema["properties"]
        below = {name: dict.fromkeys(first[name].get("properties", {})) for name in ("provider", "auth")}
        # the first has a level of names; the second is judged below
        free = {"available_node_types", "min_workers"}
        file.unknown((), {**dict.fromkeys(first), **below, **dict.fromkeys(free)}, "ray up")
    for name in ("cluster_name", "provider"):
        if file.get(name) is None:
            file.error((), f"{name} is missing. Add it, as in cluster.yaml.")
    return isinstance(file.get("provider"), dict)


def _provider(file: ClusterFile, kind: Any) -> bool:
    kinds = private_api.providers()
    if kind not in kinds:
        file.error(
            ("provider", "type"),
            f'"{kind}" is no provider.{nearest(str(kind), kinds)} There are: {", ".join(kinds)}.',
        )
        return False
    for name, example in _NEEDS.get(kind, {}).items():
        if file.get("provider", name) is None:
            file.error(("provider",), f"{name} is missing. Add it, as in: {name}: {example}")
    if kind in ("aws", "gcp") and file.get("provider", "cache_stopped_nodes") is not False:
        file.warn(
            ("provider", "cache_stopped_nodes"),
            "stopped machines keep their disks, which cost on. Set cache_stopped_nodes: false.",
        )
    return True


def _local(file: ClusterFile) -> None:
    if file.get("available_node_types"):
        file.error(
            ("available_node_types",),
            "machines of your own have no types. Remove it; name their IPs instead.",
        )
    ips = file.get("provider", "worker_ips")
    least = file.get("min_workers")
    if isinstance(ips, list) and isinstance(least, int) and least < len(ips):
        file.warn(("min_workers",), f"only {least} of the {len(ips)} worker_ips join. Set it to {len(ips)}.")
    command = " ".join(_commands(file, "head_start_ray_commands"))
    if "RAY_enable_autoscaler_v2=0" not in command:
        file.error(
            ("head_start_ray_commands",),
            "Ray's second autoscaler never counts the head of such a cluster, and starts one worker too few. "
            "Put there: export RAY_enable_autoscaler_v2=0",
        )


def _node_types(file: ClusterFile, kind: str) -> None:
    if file.get("min_workers") is not None:
        file.error(
            ("min_workers",), "Ray ignores it here. Put min_workers into a type under available_node_types."
        )
    types = file.get("available_node_types")
    if not isinstance(types, dict) or not types:
        file.error((), "available_node_types is missing: the machines to start. Copy it from cluster.yaml.")
        return
    head = file.get("head_node_type")
    if head not in types:
        named = f'"{head}" is no type' if head else "is missing"
        file.error(
            ("head_node_type",),
            f"{named}.{nearest(str(head), types)} One of: {', '.join(types)}",
        )
    of_type = dict.fromkeys(("node_config", "resources", "min_workers", "max_workers", "docker", "labels"))
    of_type |= dict.fromkeys(("worker_setup_commands", "object_store_memory"))
    for name, content in types.items():
        at = ("available_node_types", name)
        file.unknown(at, of_type, "a node type")
        if not isinstance(content, dict) or not isinstance(content.get("node_config"), dict):
            file.error(at, "node_config is missing: the machine to start, as its cloud knows it.")
            continue
        if kind == "aws":
            _aws(file, (*at, "node_config"))
        elif kind == "gcp" and known_keys.GCP_TPU not in content["node_config"]:
            _gcp(file, at)
    if isinstance(types.get(head), dict) and file.get("available_node_types", head, "resources", "CPU") != 0:
        file.warn(
            ("available_node_types", head, "resources"),
            'trials run on the head as well, and may starve what drives them. Set resources: {"CPU": 0}.',
        )


def _aws(file: ClusterFile, at: tuple[str, ...]) -> None:
    file.unknown(at, known_keys.AWS, "EC2")
    if file.get(*at, "InstanceType") is None:
        file.error(at, "InstanceType is missing. Add it, as in: InstanceType: g5.xlarge")
    image = file.get(*at, "ImageId")
    if image is None:
        file.error(
            at, "ImageId is missing, and Ray's default is Ubuntu 18.04. Name one, as cluster.yaml says."
        )
    elif _PLACEHOLDER.fullmatch(str(image)) and not _marked(file, _PLACEHOLDER):
        file.error((*at, "ImageId"), f"{image} is a placeholder. Name an image of your region.")
    sizes = [
        disk.get("Ebs", {}).get("VolumeSize")
        for disk in file.get(*at, "BlockDeviceMappings") or []
        if isinstance(disk, dict) and isinstance(disk.get("Ebs", {}), dict)
    ]
    _disk(file, (*at, "BlockDeviceMappings"), sizes, "Ebs: {VolumeSize: 150}")


def _marked(file: ClusterFile, text: re.Pattern[str]) -> bool:
    """Whether a line with this text still has its mark."""
    lines = file.file.read_text(encoding="utf-8").splitlines()
    return any(text.search(line) and "# CHANGE:" in line for line in lines)


def _gcp(file: ClusterFile, at: tuple[str, ...]) -> None:
    config = (*at, "node_config")
    file.unknown(config, known_keys.GCP, "Compute Engine")
    if file.get(*config, "machineType") is None:
        file.error(config, "machineType is missing. Add it, as in: machineType: n1-standard-8")
    disks = [disk for disk in file.get(*config, "disks") or [] if isinstance(disk, dict)]
    sizes = [(disk.get("initializeParams") or {}).get("diskSizeGb") for disk in disks if disk.get("boot")]
    _disk(file, (*config, "disks"), sizes, "diskSizeGb: 150")
    if file.get(*at, "resources", "CPU") is None:
        file.error(
            (*at, "resources"), 'Google does not tell Ray: state what it has, as in {"CPU": 8, "GPU": 1}.'
        )
    if not file.get(*config, "guestAccelerators"):
        return
    if not file.get(*at, "resources", "GPU"):
        file.error(
            (*at, "resources"), 'the GPU is not seen by Ray unless stated, as in {"CPU": 8, "GPU": 1}.'
        )
    scheduling = file.get(*config, "scheduling") or []
    settings = [scheduling] if isinstance(scheduling, dict) else scheduling
    if not any(isinstance(each, dict) and each.get("onHostMaintenance") == "TERMINATE" for each in settings):
        file.error(
            (*config, "scheduling"),
            "a machine with a GPU cannot be moved, and Google refuses it. Add: onHostMaintenance: TERMINATE",
        )
    if "install-nvidia-driver" not in str(file.get(*config, "metadata")):
        file.warn(
            (*config, "metadata"),
            "without the item {key: install-nvidia-driver, value: 'True'} no GPU is found.",
        )


def _disk(file: ClusterFile, at: tuple[str, ...], sizes: list[Any], example: str) -> None:
    largest = max((size for size in sizes if isinstance(size, int)), default=0)
    if largest < _LEAST_DISK_GB:
        has = f"{largest} GB of disk" if largest else "the image's own disk"
        file.warn(at, f"{has} may be too small for drivers, CUDA and data. Give it more, as in {example}.")


def _setup(file: ClusterFile, kind: str) -> None:
    """Versions: Ray's own defaults install a nightly build."""
    keys = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    commands = [command for key in keys for command in _commands(file, key)]
    here = versions.ray()
    fix = f"Put into setup_commands: pip install 'ray[default,tune]=={here}'"
    pins = versions.ray_pins(commands)
    image = str(file.get("docker", "image") or "")
    if not pins and not image:
        if kind == "local":
            file.warn(("setup_commands",), f"nothing installs Ray: every machine needs {here}. {fix}")
        else:
            file.error(("setup_commands",), f"nothing installs Ray, or a nightly build does. {fix}")
    for operator, version in pins:
        if (operator, version) != ("==", here):
            asked = f"{operator}{version}" if operator != "@" else "a build of its own"
            file.error(
                ("setup_commands",),
                f"Ray {asked} there and {here} here do not understand each other. {fix}",
            )
    for python in versions.pythons(commands):
        if python != versions.python():
            file.warn(
                ("setup_commands",),
                f"Python {python} there, {versions.python()} here: tune-app submit does not mind, ray:// "
                "does not.",
            )
    needed = _HEAD_NEEDS.get(kind)
    if needed and needed not in " ".join(commands):
        file.error(
            ("head_setup_commands",),
            f"without {needed} on the head no worker ever comes, and ray up does not say so. "
            f"Add: pip install {needed}",
        )


def _start(file: ClusterFile, kind: str) -> None:
    for key, needed in (("head", "--autoscaling-config="), ("worker", "$RAY_HEAD_IP")):
        name = f"{key}_start_ray_commands"
        commands = _commands(file, name)
        text = " ".join(commands)
        if "ray start" not in text:
            why = "Ray's default" if not commands else "it"
            opens = " and opens the dashboard to the world" if kind in ("aws", "gcp") and not commands else ""
            file.error((name,), f"{why} sends usage statistics{opens}. Copy {name} from cluster.yaml.")
            continue
        if needed not in text:
            file.error((name,), f"{needed} is missing: no worker would join. See cluster.yaml.")
        if "RAY_USAGE_STATS_ENABLED=0" not in text and "--disable-usage-stats" not in text:
            file.error(
                (name,), "usage statistics are sent. Put before ray start: export RAY_USAGE_STATS_ENABLED=0;"
            )
        if _UNSAFE.search(text):
            file.error(
                (name,),
                "whoever reaches the dashboard can run anything. Remove --dashboard-host; ray dashboard and "
                "tune-app submit tunnel to it.",
            )
        if re.search(r"ulimit -n \d+ *&&", text):
            file.warn(
                (name,), "where ulimit may not raise it, ray start is not reached. End it with ; not &&."
            )


def _mounts(file: ClusterFile) -> None:
    mounts = file.get("file_mounts") or {}
    for remote, local in mounts.items() if isinstance(mounts, dict) else ():
        if not Path(str(local)).expanduser().exists():
            file.error(
                ("file_mounts", remote),
                f"{local} is not there. Name a file or folder on this machine, from {Path.cwd()}.",
            )


def _commands(file: ClusterFile, key: str) -> list[str]:
    commands = file.get(key)
    return [str(command) for command in commands] if isinstance(commands, list) else []


def _as_ray_sees_it(file: ClusterFile) -> None:
    """Ray's own validation, after all other checks have passed."""
    import click
    import jsonschema

    values = json.loads(json.dumps(file.values, default=str))
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        private_api.validate_cluster(values)
    except jsonschema.ValidationError as error:
        file.error(tuple(error.absolute_path), f"ray up refuses it: {error.message}")
    except (click.ClickException, SystemExit) as error:
        file.error((), f"ray up refuses it: {describe(error)}")
    except Exception as error:  # noqa: BLE001 - whatever a wrong type causes in there
        file.error((), f"ray up refuses it: {describe(error)}")
