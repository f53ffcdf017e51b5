"""``make bench``: tune-app against its peers."""

from __future__ import annotations

from benchmarks import speed

for what in ("startup", "grid", "table3"):
    speed.main([what])
