"""A Ray for tests, and marks for tests that start one: they are slow, and Ray leaves warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from tune_app.engines.ray import private_api

QUIET = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]


@contextmanager
def declared_cluster(cpus: int, gpus: int = 0, **more: Any) -> Iterator[Cluster]:
    """A cluster of one machine that believes in these CPUs and GPUs, for as long as the context lasts."""
    with private_api.lean():
        made = Cluster(
            True, head_node_args={"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False, **more}
        )
    try:
        yield made
    finally:
        made.shutdown()
