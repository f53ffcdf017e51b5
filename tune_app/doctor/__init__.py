"""``tune-app doctor``: checks this machine or a cluster, and says how to fix what is wrong."""

from __future__ import annotations

from tune_app.doctor.checks import Check, Probe, check_machine, exit_code, render, run_probe
from tune_app.doctor.clusters import check_cluster

__all__ = ["Check", "Probe", "check_cluster", "check_machine", "exit_code", "render", "run_probe"]
