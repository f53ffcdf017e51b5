"""Clusters: their files checked before anything is started, sweeps sent to them and brought home."""

from __future__ import annotations

from tune_app.cluster.checking import check
from tune_app.cluster.cluster_file import render

__all__ = ["check", "render"]
