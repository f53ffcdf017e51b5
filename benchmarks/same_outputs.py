"""Whether this version of tune-app gives the same results as another one, from the same commands.

``python -m benchmarks.same_outputs --against COMMIT [--xrays FOLDER]`` gives each version the same commands:
grids (looped, inline; stacked, on Ray), a search by Optuna, a grid with ASHA, and with ``--xrays`` Table 3 on
these images at 64x64. It compares CSV files, study.db, and the text and figures of the report, but for
durations, dates and identities. Then both versions go on with runs that the other version made: one is
extended, one that was cut short is resumed, and a model predicts. The results must agree.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.worktree import ROOT, checked_out

_SMALL = ("--image-size", "28", "--address", "inline", "--set", "replicates=looped", "--seeds", "2")
#: By the name of a run, the arguments of ``tune-app run``.
RUNS = {
    "grid": ("grid", *_SMALL, "--epochs", "4"),
    "best": ("grid", *_SMALL, "--epochs", "4", "--set", "evaluate=best", "--set", "keep=last"),
    "stacked": ("grid", "--image-size", "28", "--set", "replicates=stacked", "--seeds", "3", "--epochs", "4"),
    "optuna": ("optuna", *_SMALL, "--epochs", "9", "--set", "search.samples=12"),
    "asha": ("grid", *_SMALL, "--epochs", "9", "--stop", "asha"),
}
_XRAYS = ("table3", "--image-size", "64", "--seeds", "2", "--epochs", "30", "--set", "replicates=looped")
#: What differs between any two runs of one version: durations, dates, identities, memory.
_VARIES = re.compile(
    r"\b\d+(\.\d+)? ?(s|ms|min|h|MiB|GiB|kB|MB)\b"
    r"|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(\.\d+)?)?|\b[0-9a-f]{7,64}\b"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was compared and what differs; returns 1 where anything does."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.same_outputs",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--against", required=True, metavar="COMMIT")
    parser.add_argument("--xrays", type=Path, help="A folder of X-rays, for Table 3.")
    parser.add_argument(
        "--only", action="append", choices=[*RUNS, "table3", "later"], help="Leave out the others."
    )
    asked = parser.parse_args(argv)
    runs = dict(RUNS)
    if asked.xrays:
        runs["table3"] = (*_XRAYS, "--data", str(asked.xrays.resolve()))
    only = asked.only or [*runs, "later"]
    differing = 0
    with (
        tempfile.TemporaryDirectory(prefix="same-outputs-") as name,
        checked_out(asked.against, Path(name)) as tree,
    ):
        old, new = Version(tree, Path(name) / "old"), Version(ROOT, Path(name) / "new")
        for run, arguments in runs.items():
            if run in only:
                for version in (old, new):
                    version.call("run", *arguments, "--name", run)
                differing += _report(run, old.folder / "runs" / run, new.folder / "runs" / run)
        if "later" in only:
            differing += _later(old, new)
    print("all alike" if not differing else f"{differing} differ")
    return int(differing > 0)


class Version:
    """A version of tune-app and a folder to run its commands in."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._env = {**os.environ, "PYTHONPATH": str(tree), "XDG_STATE_HOME": str(folder / "state")}
        asked = [sys.executable, "-c", "import tune_app; print(tune_app.__file__)"]
        found = subprocess.run(
            asked, cwd=folder, env=self._env, capture_output=True, text=True, check=True
        ).stdout
        if not Path(found).is_relative_to(tree):
            raise RuntimeError(f"{found}: not below {tree}")

    def call(self, *arguments: str, expected: int = 0) -> str:
        """Run a command; returns its output."""
        done = subprocess.run(
            [sys.executable, "-m", "tune_app", *arguments],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
        )
        if done.returncode != expected:
            raise RuntimeError(f"tune-app {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
        return done.stdout


def _later(old: Version, new: Version) -> int:
    """Let both versions go on with runs of the old one."""
    start = ("grid", *_SMALL, "--set", "checkpoint_every=0", "--set", "keep=last", "--name")
    old.call("run", *start, "extended", "--epochs", "4")
    old.call("run", *start, "resumed", "--epochs", "30", "--time-limit", "3s", expected=1)
    old.call("best", "extended", "--model", "model.pt")
    for name in ("runs/extended", "runs/resumed"):
        shutil.copytree(old.folder / name, new.folder / name)
    shutil.copy(old.folder / "model.pt", new.folder)
    image = next(ROOT.rglob("docs/**/*.png"))
    said = {}
    for version in (old, new):
        version.call("extend", "extended", "--epochs", "6", "--address", "inline", "--trust")
        version.call("resume", "resumed", "--address", "inline", "--trust")
        said[version] = version.call("predict", "model.pt", str(image), "--json", "--trust")
    print(f"predict: {'alike' if said[old] == said[new] else f'{said[old]} and {said[new]}'}")
    differing = int(said[old] != said[new])
    return differing + sum(
        _report(name, old.folder / "runs" / name, new.folder / "runs" / name)
        for name in ("extended", "resumed")
    )


def _report(name: str, old: Path, new: Path) -> int:
    """Print which files of two run folders differ; returns how many do."""
    files = sorted(
        {path.relative_to(folder) for folder in (old, new) for path in folder.rglob("*") if _compared(path)}
    )
    differing = [str(file) for file in files if _content(old / file) != _content(new / file)]
    print(f"{name}: {len(files) - len(differing)} files alike", *(f"differs: {each}" for each in differing))
    for file in differing:
        _show(old / file, new / file)
    return len(differing)


def _compared(path: Path) -> bool:
    return path.is_file() and path.suffix in _CONTENT and path.name != "provenance.json"


def _content(path: Path) -> list[str]:
    """The lines that must be alike; none where the file is missing."""
    return _CONTENT[path.suffix](path) if path.exists() else []


def _table(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [str({name: value for name, value in row.items() if name != "duration_s"}) for row in rows]


def _study(path: Path) -> list[str]:
    """All rows of a study but its dates, in order."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        names = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY 1")
        ]
        lines = []
        for name in names:
            rows = database.execute(f'SELECT * FROM "{name}"').fetchall()
            lines += sorted(f"{name}: {_masked(str(row))}" for row in rows)
    return lines


def _text(path: Path) -> list[str]:
    """The words of a page or table."""
    text = re.sub(r"data:image/[^\"')]*", "image", path.read_text(encoding="utf-8"))
    return [_masked(line) for line in text.splitlines() if line.strip()]


def _digest(path: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest()]


def _masked(text: str) -> str:
    return _VARIES.sub("#", text)


_CONTENT: dict[str, Callable[[Path], list[str]]] = {
    ".csv": _table,
    ".db": _study,
    ".html": _text,
    ".tex": _text,
    ".md": _text,
    ".txt": _text,
    ".png": _digest,
    ".svg": _text,
}


def _show(old: Path, new: Path, most: int = 6) -> None:
    """Print the first lines that differ."""
    before, after = _content(old), _content(new)
    shown = 0
    for place in range(max(len(before), len(after))):
        pair = [lines[place] if place < len(lines) else "" for lines in (before, after)]
        if pair[0] != pair[1] and shown < most:
            shown += 1
            print(f"    - {pair[0][:200]}\n    + {pair[1][:200]}")


if __name__ == "__main__":
    sys.exit(main())
