"""Which data a sweep trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DataIdentity:
    """Which data a sweep trains on: part of every fingerprint, named on every table.

    ``kind`` is ``phantom``, ``course``, ``folder``, ``arrays`` (a task's own) or ``none``;
    ``fingerprint`` a SHA-256 in hex over all arrays, empty for ``none``; ``image_size`` in pixels a
    side; ``counts`` the images a split; ``notes`` what a reader of a table must know, a sentence each.
    """

    source: str
    kind: str
    fingerprint: str
    image_size: int = 0
    split: str = ""
    counts: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()

    def same(self, other: DataIdentity) -> bool:
        """Whether the images are the same, split the same way, wherever they were found."""
        return (self.fingerprint, self.split) == (other.fingerprint, other.split)

    def label(self) -> str:
        """One line for tables and pages."""
        if self.kind == "none":
            return "no data (the task computes its metrics itself)"
        words, counts = {"train": "train", "val": "validation", "test": "test"}, self.counts or {}
        numbers = ", ".join(f"{counts[key]} {word}" for key, word in words.items() if key in counts)
        return f"{self.source} ({numbers}; sha256 {self.fingerprint[:12]})"


NO_DATA = DataIdentity("none", "none", "")
