"""What the torch of a machine may answer."""

from __future__ import annotations

from tune_app.doctor import Probe


def torch(cuda: str | None = "12.6", devices: int = 2) -> Probe:
    return Probe({"version": "2.9.0", "cuda": cuda, "available": devices > 0, "devices": devices})
