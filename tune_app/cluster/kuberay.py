"""Checks KubeRay's RayCluster and RayJob: mistakes that ``kubectl apply`` accepts, or refuses late."""

from __future__ import annotations

import re
from importlib import metadata

from tune_app.cluster.cluster_file import ClusterFile
from tune_app.errors import nearest
from tune_app.space.reader import Path as Key

_KINDS = ("RayCluster", "RayJob")
_EXAMPLE = "clusters/kuberay.yaml"
_KEYS = (
    *("entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "runtimeEnvYAML", "rayVersion"),
    *("rayClusterSpec", "clusterSelector", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec"),
    *(
        "workerGroupSpecs",
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "rayStartParams",
        "template",
    ),
    *("serviceType", "containers", "image", "resources", "limits", "requests", "volumes", "volumeMounts"),
    *("mountPath", "nodeSelector", "tolerations", "persistentVolumeClaim", "claimName"),
)


def check(file: ClusterFile) -> None:
    """Add the problems of a manifest."""
    kind = file.get("kind")
    if kind not in _KINDS:
        hint = nearest(str(kind), _KINDS)
        file.error(("kind",), f'"{kind}" cannot train a sweep.{hint} One of: {", ".join(_KINDS)}')
        return
    file.require(("metadata",), "name", "metadata: {name: tune-app}")
    file.require((), "spec", _EXAMPLE)
    file.warn_of_typos(("spec",), _KEYS)
    if kind == "RayCluster":
        _cluster(file, ("spec",))
        return
    file.require(("spec",), "entrypoint", "entrypoint: tune-app run grid --runs-dir /runs")
    if not file.get("spec", "shutdownAfterJobFinishes"):
        text = "the machines keep running when the sweep has ended. Set shutdownAfterJobFinishes: true."
        file.warn(("spec",), text)
    if not file.get("spec", "clusterSelector"):  # else the settings of its cluster are not in this file
        _cluster(file, ("spec", "rayClusterSpec"))


def _cluster(file: ClusterFile, at: Key) -> None:
    here, version = metadata.version("ray"), file.get(*at, "rayVersion")
    if str(version) != here:
        text = f'rayVersion is {version}, but this machine has Ray {here}. Write: rayVersion: "{here}"'
        file.error((*at, "rayVersion"), text)
    file.require(at, "headGroupSpec", _EXAMPLE)
    head, groups = (*at, "headGroupSpec"), (*at, "workerGroupSpecs")
    if file.mapping(*head):
        _head(file, head)
        _pod(file, head)
    if not file.elements(*groups):
        file.warn(at, "workerGroupSpecs is missing: every trial runs on the head.")
    for index in range(len(file.elements(*groups))):
        _group(file, (*groups, index), scaling=bool(file.get(*at, "enableInTreeAutoscaling")))
        _pod(file, (*groups, index))


def _head(file: ClusterFile, at: Key) -> None:
    for name, opens in (("serviceType", ("LoadBalancer", "NodePort")), ("enableIngress", (True,))):
        if file.get(*at, name) in opens:
            fix = "Use ClusterIP, and kubectl port-forward."
            file.error((*at, name), f"anyone who reaches the dashboard can run code. {fix}")
    if str(file.get(*at, "rayStartParams", "num-cpus")) != "0":
        text = 'trials run on the head, and may slow the driver down. Set num-cpus: "0".'
        file.warn((*at, "rayStartParams"), text)


def _group(file: ClusterFile, at: Key, scaling: bool) -> None:
    group = file.mapping(*at)
    file.require(at, "groupName", "groupName: gpu")
    replicas = group.get("replicas", group.get("minReplicas", 0))
    least, most = group.get("minReplicas", replicas), group.get("maxReplicas", replicas)
    if not all(isinstance(number, int) for number in (least, replicas, most)):
        file.error(at, "replicas, minReplicas and maxReplicas are whole numbers.")
    elif not least <= replicas <= most:
        file.error(at, f"minReplicas {least} <= replicas {replicas} <= maxReplicas {most} does not hold.")
    elif least < most and not scaling:
        fix = "Set enableInTreeAutoscaling: true, or make both equal."
        file.error(at, f"minReplicas is {least} and maxReplicas {most}, but autoscaling is off. {fix}")
    elif not most:
        file.error(at, "no machine would be started. Set replicas.")


def _pod(file: ClusterFile, at: Key) -> None:
    file.require((*at, "template", "spec"), "containers", _EXAMPLE)
    ray = (*at, "template", "spec", "containers", 0)  # KubeRay's rule: the first one runs Ray
    if not file.mapping(*ray):
        return
    here = metadata.version("ray")
    file.require(ray, "image", f"image: rayproject/ray:{here}")
    tagged = re.search(r"(?:^|/)rayproject/ray[\w-]*:([\w.]+)", str(file.get(*ray, "image")))
    if tagged and tagged[1] != here:
        file.error((*ray, "image"), f"the image has Ray {tagged[1]}. Use one with Ray {here}.")
    if {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} not in file.elements(*ray, "env"):
        fix = 'Add: env: [{name: RAY_USAGE_STATS_ENABLED, value: "0"}]'
        file.error(ray, f"Ray would send usage statistics. {fix}")
    if not file.get(*ray, "resources", "limits"):
        fix = "State cpu, memory and GPUs."
        file.warn(ray, f"without resources.limits, Ray counts the whole node as its own. {fix}")
