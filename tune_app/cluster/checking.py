"""Checks a cluster file offline: a file for ``ray up``, or KubeRay's manifests."""

from __future__ import annotations

from pathlib import Path

from tune_app.cluster import kuberay, ray_up
from tune_app.cluster.cluster_file import Problem, marks, read
from tune_app.errors import ClusterError


def check(file: Path) -> list[Problem]:
    """The problems of a file; marked placeholders are warnings.

    Raises:
        ClusterError: it cannot be read, or is not a cluster file.
    """
    documents = read(file)
    manifests = [document for document in documents if "apiVersion" in document.values]
    found: list[Problem] = []
    if manifests:
        ours = [each for each in manifests if str(each.get("apiVersion")).startswith("ray.io/")]
        if not ours:
            raise ClusterError(f"{file}: holds no RayCluster or RayJob (apiVersion: ray.io/v1).")
        for each in ours:
            kuberay.check(each)
            found += each.problems
    else:
        if len(documents) > 1:
            raise ClusterError(f"{file}: ray up reads one document, and this file has {len(documents)}.")
        ray_up.check(documents[0])
        found += documents[0].problems
    return [*found, *marks(file)]
