"""Checks KubeRay's RayCluster and RayJob: mistakes that ``kubectl apply`` accepts, or refuses late."""

from __future__ import annotations

import re
from typing import Any

from tune_app.cluster import known_keys, versions
from tune_app.cluster.cluster_file import ClusterFile
from tune_app.errors import nearest
from tune_app.space.reader import Path as Key

_KINDS = ("RayCluster", "RayJob")


def check(file: ClusterFile) -> None:
    """Add the problems of a manifest."""
    kind = file.get("kind")
    if kind not in _KINDS:
        file.error(
            ("kind",), f'"{kind}" is none that trains.{nearest(str(kind), _KINDS)} One of: RayCluster, RayJob'
        )
        return
    if not file.get("metadata", "name"):
        file.error(("metadata",), "name is missing. Add it, as in: metadata: {name: tune-app}")
    if not isinstance(file.get("spec"), dict):
        file.error((), "spec is missing. Copy it from clusters/kuberay.yaml.")
        return
    at: Key = ("spec",)
    if kind == "RayJob":
        file.unknown(at, known_keys.RAY_JOB, "RayJob")
        _job(file)
        at = ("spec", "rayClusterSpec")
        if file.get("spec", "clusterSelector"):  # an existing cluster: its settings are not in this file
            return
    else:
        file.unknown(at, known_keys.RAY_CLUSTER, "RayCluster")
    _cluster(file, at)


def _job(file: ClusterFile) -> None:
    if not file.get("spec", "entrypoint"):
        file.error(
            ("spec",), "entrypoint is missing. Add it, as in: entrypoint: tune-app run grid --runs-dir /runs"
        )
    if not file.get("spec", "shutdownAfterJobFinishes"):
        file.warn(("spec",), "the machines stay when the sweep is done. Set shutdownAfterJobFinishes: true.")


def _cluster(file: ClusterFile, at: Key) -> None:
    here = versions.ray()
    version = file.get(*at, "rayVersion")
    if str(version) != here:
        asked = f"is {version}" if version else "is missing"
        file.error(
            (*at, "rayVersion"),
            f'rayVersion {asked}, and {here} is installed here. Write: rayVersion: "{here}"',
        )
    head = (*at, "headGroupSpec")
    if not isinstance(file.get(*head), dict):
        file.error(at, "headGroupSpec is missing. Copy it from clusters/kuberay.yaml.")
    else:
        _head(file, head)
        _pod(file, head)
    groups = file.get(*at, "workerGroupSpecs") or []
    if not groups:
        file.warn(at, "workerGroupSpecs is missing: every trial runs on the head.")
    scaling = bool(file.get(*at, "enableInTreeAutoscaling"))
    for index, group in enumerate(groups):
        if isinstance(group, dict):
            _group(file, (*at, "workerGroupSpecs", index), group, scaling)
            _pod(file, (*at, "workerGroupSpecs", index))


def _head(file: ClusterFile, at: Key) -> None:
    service = file.get(*at, "serviceType")
    if service in ("LoadBalancer", "NodePort") or file.get(*at, "enableIngress"):
        what = "enableIngress" if service not in ("LoadBalancer", "NodePort") else "serviceType"
        file.error(
            (*at, what),
            "whoever reaches the dashboard can run anything. Use ClusterIP, and kubectl port-forward.",
        )
    if str(file.get(*at, "rayStartParams", "num-cpus")) != "0":
        file.warn(
            (*at, "rayStartParams"),
            'trials run on the head as well, and may starve what drives them. Set num-cpus: "0".',
        )


def _group(file: ClusterFile, at: Key, group: dict[str, Any], scaling: bool) -> None:
    if not group.get("groupName"):
        file.error(at, "groupName is missing. Add it, as in: groupName: gpu")
    replicas = group.get("replicas", group.get("minReplicas", 0))
    least, most = group.get("minReplicas", replicas), group.get("maxReplicas", replicas)
    if not all(isinstance(number, int) for number in (least, replicas, most)):
        file.error(at, "replicas, minReplicas and maxReplicas are whole numbers.")
    elif not least <= replicas <= most:
        file.error(at, f"minReplicas {least} <= replicas {replicas} <= maxReplicas {most} does not hold.")
    elif least < most and not scaling:
        file.error(
            at,
            f"{least} to {most} machines, and nothing scales them. Set enableInTreeAutoscaling: true, "
            "or minReplicas and maxReplicas alike.",
        )
    elif not most:
        file.error(at, "no machine is ever started. Set replicas.")


def _pod(file: ClusterFile, at: Key) -> None:
    here = versions.ray()
    containers = (*at, "template", "spec", "containers")
    if not isinstance(file.get(*containers), list) or not file.get(*containers):
        file.error(at, "template.spec.containers is missing. Copy it from clusters/kuberay.yaml.")
        return
    ray = (*containers, 0)  # KubeRay's rule: the first one runs Ray
    image = str(file.get(*ray, "image") or "")
    tagged = re.search(r"(?:^|/)rayproject/ray[\w-]*:([\w.]+)", image)
    if not image:
        file.error(ray, "image is missing.")
    elif tagged and tagged[1] != here:
        file.error((*ray, "image"), f"Ray {tagged[1]} in there and {here} here. Use an image of Ray {here}.")
    environment = {str(each.get("name")): str(each.get("value")) for each in file.get(*ray, "env") or []}
    if environment.get("RAY_USAGE_STATS_ENABLED") != "0":
        file.error(ray, 'usage statistics are sent. Add: env: [{name: RAY_USAGE_STATS_ENABLED, value: "0"}]')
    if not file.get(*ray, "resources", "limits"):
        file.warn(
            ray, "without resources.limits Ray counts the whole node as its own. State cpu, memory and GPUs."
        )
