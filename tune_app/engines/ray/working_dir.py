"""What of a folder travels to other machines with a sweep: the user's code and settings; no data, no runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tune_app.errors import TaskError

#: Text that a task may read; images, arrays and models go by ``file_mounts``.
SUFFIXES = (".py", ".yaml", ".yml", ".json", ".toml", ".txt", ".csv")
LARGEST_BYTES = 20 << 20

#: Folders of other people's code, of results and of tune-app itself, which is installed over there.
_LEFT = {"runs", "data", "node_modules", "site-packages", "__pycache__", "build", "dist", "tune_app"}


def pack(source: Path, target: Path) -> list[Path]:
    """Copy what travels of ``source`` to ``target``; returns the copied paths, relative to both.

    Raises:
        TaskError: it is more than anybody writes by hand.
    """
    found: list[Path] = []
    size_bytes = 0
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not _stays(Path(folder) / name))
        for path in (Path(folder) / name for name in sorted(names) if name.endswith(SUFFIXES)):
            size_bytes += path.stat().st_size
            if size_bytes > LARGEST_BYTES:
                raise TaskError(
                    f"{source}: its code and settings ({', '.join(SUFFIXES)}) are more than "
                    f"{LARGEST_BYTES >> 20} MiB, which is what travels to a cluster. Start from a folder "
                    "that holds your task alone; give data to the cluster by file_mounts."
                )
            found.append(path.relative_to(source))
    for path in found:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)
    return found


def _stays(folder: Path) -> bool:
    """Whether a folder is none of the user's own: hidden, an environment, results, or tune-app."""
    return folder.name.startswith(".") or folder.name in _LEFT or (folder / "pyvenv.cfg").exists()
