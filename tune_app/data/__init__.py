"""Chest X-rays from several sources, as checked, split and fingerprinted arrays."""

from __future__ import annotations

from tune_app.data.course import COURSE_DIR
from tune_app.data.fetch import FetchResult, fetch, progress_bar
from tune_app.data.images import CLASSES, Dataset, Images, patients_shared
from tune_app.data.importing import ImportResult, import_folder
from tune_app.data.pixels import decode
from tune_app.data.show import DatasetSummary, show
from tune_app.data.source import load

__all__ = [
    "CLASSES",
    "COURSE_DIR",
    "Dataset",
    "DatasetSummary",
    "FetchResult",
    "Images",
    "ImportResult",
    "decode",
    "fetch",
    "import_folder",
    "load",
    "patients_shared",
    "progress_bar",
    "show",
]
