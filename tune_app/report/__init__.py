"""A run's report: tables as Markdown, CSV and LaTeX, with the paper's figures beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tune_app.report import tables

if TYPE_CHECKING:
    from tune_app.results import Frames

__all__ = ["write"]


def write(frames: Frames, folder: Path) -> list[Path]:
    """Write the report of a run, as far as it is recorded, into ``folder``; returns its files.

    Raises:
        StorageError: the disk refused it.
        RunError: the run's provenance file is damaged.
    """
    return tables.write(frames, folder)
