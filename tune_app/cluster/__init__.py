"""Clusters: their files checked before anything is started, sweeps sent to them and brought home."""

from __future__ import annotations

from pathlib import Path

from tune_app.cluster import kuberay, ray_up
from tune_app.cluster.cluster_file import Problem, marks, read, render
from tune_app.errors import ClusterError

__all__ = ["check", "render"]


def check(file: Path) -> list[Problem]:
    """The problems of a file for ``ray up``, or of KubeRay's manifests; marked placeholders are warnings.

    Raises:
        ClusterError: it cannot be read, or is not a cluster file.
    """
    documents = read(file)
    judge, ours = ray_up.check, documents
    if any("apiVersion" in document.values for document in documents):
        judge = kuberay.check
        ours = [each for each in documents if str(each.get("apiVersion")).startswith("ray.io/")]
        if not ours:
            raise ClusterError(f"{file}: has no RayCluster or RayJob (apiVersion: ray.io/v1).")
    elif len(documents) > 1:
        raise ClusterError(f"{file}: ray up reads one document, but this file has {len(documents)}.")
    for each in ours:
        judge(each)
    return [*(problem for each in ours for problem in each.problems), *marks(file)]
