"""Chest X-rays from several sources, as checked, split and fingerprinted arrays."""

from __future__ import annotations

from tune_app.data.course import COURSE_DIR
from tune_app.data.fetch import fetch, progress_bar
from tune_app.data.folder import import_folder
from tune_app.data.images import CLASSES, Dataset, Images, decode
from tune_app.data.show import show
from tune_app.data.source import load

__all__ = [
    "CLASSES",
    "COURSE_DIR",
    "Dataset",
    "Images",
    "decode",
    "fetch",
    "import_folder",
    "load",
    "progress_bar",
    "show",
]
