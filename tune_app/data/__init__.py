"""Chest X-rays from several sources, as checked, split and fingerprinted arrays."""

from __future__ import annotations

from tune_app.data.course import COURSE_DIR
from tune_app.data.fetch import Fetched, fetch, progress_bar
from tune_app.data.images import CLASSES, Dataset, Images, patients_shared
from tune_app.data.importing import Imported, import_folder
from tune_app.data.pixels import decode
from tune_app.data.show import Shown, show
from tune_app.data.source import load

__all__ = [
    "CLASSES",
    "COURSE_DIR",
    "Dataset",
    "Fetched",
    "Images",
    "Imported",
    "Shown",
    "decode",
    "fetch",
    "import_folder",
    "load",
    "patients_shared",
    "progress_bar",
    "show",
]
