"""``tune-app doctor``: checks this machine or a cluster, and says how to fix what is wrong."""

from __future__ import annotations

from tune_app.doctor.checks import Check, Probe
from tune_app.doctor.clusters import check_cluster
from tune_app.doctor.probes import ask, check_machine, exit_code, render

__all__ = ["Check", "Probe", "ask", "check_cluster", "check_machine", "exit_code", "render"]
