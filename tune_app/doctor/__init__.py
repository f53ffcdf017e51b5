"""``tune-app doctor``: what of this machine a sweep needs, what is wrong with it, and the mend."""

from __future__ import annotations

from tune_app.doctor.clusters import cluster_checks
from tune_app.doctor.judging import Answer, Check
from tune_app.doctor.looking import ask, checks, exit_code, render

__all__ = ["Answer", "Check", "ask", "checks", "cluster_checks", "exit_code", "render"]
