"""Checks a file for ``ray up``: Ray's own validation, and mistakes that it does not find."""

from __future__ import annotations

import json
import logging
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema

from tune_app.cluster.cluster_file import ClusterFile
from tune_app.engines.ray import private_api
from tune_app.errors import describe, nearest
from tune_app.space.reader import Path as Key

#: The providers of Ray: what each cannot do without, and an example of it.
_NEEDS: dict[str, dict[str, str]] = {
    "aws": {"region": "us-west-2"},
    "gcp": {"region": "us-central1", "availability_zone": "us-central1-a", "project_id": "my-project"},
    "azure": {"location": "westus2", "resource_group": "my-group"},
    "local": {"head_ip": "192.0.2.1", "worker_ips": "[192.0.2.2, 192.0.2.3]"},
    **{name: {} for name in ("aliyun", "vsphere", "spark")},
}
#: Without it the autoscaler on the head dies, while ``ray up`` says that all is well.
_HEAD_NEEDS = {"aws": "boto3", "gcp": "google-api-python-client"}
#: Keys of clouds; where one is misspelled, that costs money or the GPU, and no check of Ray finds it.
_CLOUD_KEYS = (
    *("InstanceType", "ImageId", "BlockDeviceMappings", "DeviceName", "VolumeSize", "VolumeType"),
    *("InstanceMarketOptions", "MarketType", "SpotOptions", "MaxPrice", "IamInstanceProfile"),
    *("SubnetId", "SubnetIds", "machineType", "initializeParams", "diskSizeGb", "sourceImage"),
    *("guestAccelerators", "acceleratorType", "acceleratorCount", "metadata", "scheduling"),
    *("onHostMaintenance", "provisioningModel", "preemptible"),
)
#: Images, drivers and wheels of CUDA take some 60 GB.
_LEAST_DISK_GB = 100

_RAY_PIN = re.compile(r"\bray(?:\[[\w,-]*\])?\s*(==|>=|~=|<=|@|>|<)\s*([\w.*-]+)")
_PYTHON = re.compile(r"\bpython(?:\s+|=+)?(3\.\d+)", re.IGNORECASE)
_UNSAFE = re.compile(r"--dashboard-host[= ]['\"]?(0\.0\.0\.0|::|\*)")


def ray_pins(commands: str) -> list[tuple[str, str]]:
    """What shell commands ask of Ray: ``("==", "2.60.0")`` for ``pip install ray[tune]==2.60.0``."""
    return _RAY_PIN.findall(commands)


def check(file: ClusterFile) -> None:
    """Add the problems of a file for ``ray up``."""
    values = json.loads(json.dumps(file.values, skipkeys=True, default=str))
    _schema(file, values)
    kind = str(file.get("provider", "type"))
    if kind not in _NEEDS:
        hint = nearest(kind, _NEEDS)
        file.error(("provider", "type"), f'"{kind}" is not a provider.{hint} There are: {", ".join(_NEEDS)}.')
        return
    for name, example in _NEEDS[kind].items():
        file.require(("provider",), name, f"{name}: {example}")
    file.warn_of_typos(("provider",), [name for needs in _NEEDS.values() for name in needs])
    at: Key = ("provider", "cache_stopped_nodes")
    if kind in ("aws", "gcp") and file.get(*at) is not False:
        file.warn(at, "stopped machines keep disks that cost money. Set cache_stopped_nodes: false.")
    if kind == "local":
        _local(file)
    else:
        _node_types(file, kind)
    _setup(file, kind)
    _start(file, "head_start_ray_commands", "--autoscaling-config=")
    _start(file, "worker_start_ray_commands", "$RAY_HEAD_IP")
    for remote, local in file.mapping("file_mounts").items():
        if not Path(str(local)).expanduser().exists():
            fix = f"Name a file or folder on this machine, from {Path.cwd()}."
            file.error(("file_mounts", remote), f"{local} does not exist. {fix}")
    if all(problem.warning for problem in file.problems):
        _validate(file, values)


def _schema(file: ClusterFile, values: dict[str, Any]) -> None:
    """Check keys and types by Ray's schema, if it brings one."""
    schema = private_api.cluster_schema()
    for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(values):
        at = tuple(error.absolute_path)
        if error.validator != "additionalProperties":
            file.error(at, f"ray up refuses it: {error.message}")
            continue
        known = error.schema["properties"]
        for name in error.instance.keys() - known.keys() - {"min_workers"}:  # judged below
            file.error((*at, name), f"ray up does not know this key.{nearest(name, known)}")


def _validate(file: ClusterFile, values: dict[str, Any]) -> None:
    """Have Ray validate what has passed all other checks."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        private_api.validate_cluster(values)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a wrong type causes in there
        file.error((), f"ray up refuses it: {describe(error)}")


def _local(file: ClusterFile) -> None:
    if file.get("available_node_types"):
        text = "your own machines have no node types. Remove this key and set worker_ips."
        file.error(("available_node_types",), text)
    ips, least = len(file.elements("provider", "worker_ips")), file.get("min_workers")
    if isinstance(least, int) and least < ips:
        file.warn(("min_workers",), f"only {least} of the {ips} worker_ips join. Set it to {ips}.")
    if "RAY_enable_autoscaler_v2=0" not in _commands(file, "head_start_ray_commands"):
        file.error(
            ("head_start_ray_commands",),
            "Ray's second autoscaler does not count the head of such a cluster and starts too few workers. "
            "Add this command: export RAY_enable_autoscaler_v2=0",
        )


def _node_types(file: ClusterFile, kind: str) -> None:
    if file.get("min_workers") is not None:
        text = "Ray ignores it here. Put min_workers into a type under available_node_types."
        file.error(("min_workers",), text)
    file.require((), "available_node_types", "cluster.yaml")
    types, head = file.mapping("available_node_types"), str(file.get("head_node_type"))
    at: Key = ("available_node_types", head, "resources")
    if head not in types:
        hint = nearest(head, map(str, types))
        text = f'"{head}" is not a node type.{hint} One of: {", ".join(map(str, types))}'
        file.error(("head_node_type",), text)
    elif file.get(*at, "CPU") != 0:
        file.warn(at, 'trials run on the head, and may slow the driver down. Set resources: {"CPU": 0}.')
    for name in types:
        at = ("available_node_types", name, "node_config")
        file.warn_of_typos(at, _CLOUD_KEYS)
        if kind == "aws":
            _aws(file, at)
        elif kind == "gcp" and not file.get(*at, "acceleratorType"):  # which asks for a TPU
            _gcp(file, at, ("available_node_types", name, "resources"))


def _aws(file: ClusterFile, at: Key) -> None:
    file.require(at, "InstanceType", "InstanceType: g5.xlarge")
    file.require(at, "ImageId", "cluster.yaml: Ray's default is Ubuntu 18.04")
    disks = (*at, "BlockDeviceMappings")
    sizes = [file.get(*disks, index, "Ebs", "VolumeSize") for index in range(len(file.elements(*disks)))]
    _disk(file, disks, sizes, "Ebs: {VolumeSize: 150}")


def _gcp(file: ClusterFile, at: Key, resources: Key) -> None:
    file.require(at, "machineType", "machineType: n1-standard-8")
    sizes = [
        file.get(*at, "disks", index, "initializeParams", "diskSizeGb")
        for index in range(len(file.elements(*at, "disks")))
        if file.get(*at, "disks", index, "boot")
    ]
    _disk(file, (*at, "disks"), sizes, "diskSizeGb: 150")
    example = 'State what it has, as in {"CPU": 8, "GPU": 1}.'
    if file.get(*resources, "CPU") is None:
        file.error(resources, f"Google does not tell Ray of CPUs. {example}")
    if not file.get(*at, "guestAccelerators"):
        return
    if not file.get(*resources, "GPU"):
        file.error(resources, f"Google does not tell Ray of the GPU. {example}")
    if "'onHostMaintenance': 'TERMINATE'" not in str(file.get(*at, "scheduling")):
        text = "Google cannot move a machine with a GPU, and refuses it. Add: onHostMaintenance: TERMINATE"
        file.error((*at, "scheduling"), text)
    if "install-nvidia-driver" not in str(file.get(*at, "metadata")):
        text = "Ray finds no GPU without the item {key: install-nvidia-driver, value: 'True'}."
        file.warn((*at, "metadata"), text)


def _disk(file: ClusterFile, at: Key, sizes: list[Any], example: str) -> None:
    largest = max((size for size in sizes if isinstance(size, int)), default=0)
    if largest < _LEAST_DISK_GB:
        has = f"{largest} GB of disk" if largest else "the image's own disk"
        file.warn(at, f"{has} may be too small for drivers, CUDA and data. Give it more, as in {example}.")


def _setup(file: ClusterFile, kind: str) -> None:
    """Versions: Ray's own defaults install a nightly build."""
    keys = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    commands = "\n".join(_commands(file, key) for key in keys)
    at, here = ("setup_commands",), metadata.version("ray")
    fix = f"Put into setup_commands: pip install 'ray[default,tune]=={here}'"
    pins = ray_pins(commands)
    if not pins and not file.get("docker", "image"):
        if kind == "local":
            file.warn(at, f"no command installs Ray: every machine needs {here}. {fix}")
        else:
            file.error(at, f"no command installs Ray {here}: Ray's default is a nightly build. {fix}")
    for operator, version in pins:
        if (operator, version) != ("==", here):
            file.error(at, f"Ray {operator}{version} cannot work with this machine's Ray {here}. {fix}")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    for there in _PYTHON.findall(commands):
        if there != python:
            text = (
                f"Python {there}, but {python} on this machine. tune-app submit allows this; ray:// does not."
            )
            file.warn(at, text)
    needed = _HEAD_NEEDS.get(kind, "")
    if needed not in commands:
        text = f"without {needed} the head starts no worker, and ray up does not say so."
        file.error(("head_setup_commands",), f"{text} Add: pip install {needed}")


def _start(file: ClusterFile, key: str, needed: str) -> None:
    text, at = _commands(file, key), (key,)
    if "ray start" not in text:
        why = "without ray start here, Ray's default command sends usage statistics and opens the dashboard"
        file.error(at, f"{why} to the world. Copy {key} from cluster.yaml.")
        return
    if needed not in text:
        file.error(at, f"{needed} is missing: no worker would join. See cluster.yaml.")
    if "RAY_USAGE_STATS_ENABLED=0" not in text and "--disable-usage-stats" not in text:
        fix = "Put before ray start: export RAY_USAGE_STATS_ENABLED=0;"
        file.error(at, f"Ray would send usage statistics. {fix}")
    if _UNSAFE.search(text):
        fix = "Remove --dashboard-host; ray dashboard and tune-app submit use an ssh tunnel."
        file.error(at, f"anyone who reaches the dashboard can run code. {fix}")
    if re.search(r"ulimit -n \d+ *&&", text):
        file.warn(at, "if ulimit fails, ray start does not run. Write ; instead of && after ulimit.")


def _commands(file: ClusterFile, key: str) -> str:
    """The shell commands at a key, one a line."""
    return "\n".join(map(str, file.elements(key)))
