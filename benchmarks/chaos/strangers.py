"""Run folders and model files that a stranger has made up, each tried with every command that reads it.

No command may read, write or delete what lies outside, import what a folder or file names, show a traceback,
or take much time or memory. It gives an answer, or refuses with exit code 2.
"""

from __future__ import annotations

import argparse
import importlib
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.chaos.forging import read, write
from benchmarks.chaos.hostile_models import MODELS
from benchmarks.chaos.hostile_runs import RUNS, SCRIPT
from benchmarks.chaos.intrusion import Called, Cell

#: Modules that no call may import.
CANARIES = ("evil", "this", "antigravity")
EVIL = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
class Task: pass
class Sampler: pass
"""
SPACE = """
task: pneumonia
space: {lr: {grid: [0.001, 0.0003]}}
epochs: 2
seeds: 2
keep: last
checkpoint_every: 0
"""
_INLINE = ("--address", "inline")
#: What is called of a hostile run ``x``; of those that train none is told ``--trust``.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("show", "x"),
    ("show", "x", "--json"),
    ("best", "x", "--model", "made.pt"),
    ("logs", "x", "1"),
    ("logs", "x", "2"),
    ("export", "x"),
    ("compare", "x", "good"),
    ("report", "x", "--no-figures"),
    ("plot", "x", "panels"),
    ("report", "good", "--no-figures"),
    ("ls",),
    ("stop", "x"),
    ("confirm", "x", "--top", "1", "--seeds", "2", *_INLINE),
    ("rerun", "x", "1", *_INLINE),
    ("retry", "x", *_INLINE),
    ("extend", "x", "--seeds", "+1", *_INLINE),
    ("resume", "x", *_INLINE),
    ("run", "my.yaml", "--name", "x", "--image-size", "16", *_INLINE),
    ("prune", "x"),
)
#: Those that read, import or remove most.
FEW = (("show", "x"), ("logs", "x", "2"), ("resume", "x", *_INLINE), ("prune", "x"))

_MODULES = (
    *("torch", "torch._dynamo", "optuna", "pandas", "scipy.stats", "matplotlib.figure", "tune_app.cli"),
    *(
        "tune_app.session.lifecycle",
        "tune_app.engines.inline",
        "tune_app.training.trial",
        "tune_app.results",
    ),
    *(
        "tune_app.report.figures",
        "tune_app.search.sampler",
        "tune_app.report.terminal",
        "tune_app.session.saved_models",
        "tune_app.storage",
    ),
)


@dataclass(frozen=True)
class Tried:
    """A case and a command, with what came of it."""

    case: str
    command: str
    called: Called

    @property
    def faults(self) -> list[str]:
        """What must not be, a sentence each."""
        return [f"{self.case}: tune-app {self.command}: {fault}" for fault in self.called.faults]


class Strangers:
    """A working directory with a sound run, its model, and room for hostile ones.

    Without ``reports`` a session writes none at its end, which saves most of its time.
    """

    def __init__(self, folder: Path, reports: bool = True) -> None:
        for module in _MODULES:
            importlib.import_module(module)
        self._reports = reports
        self.cell = Cell(folder, CANARIES)
        self._runs, outside = self.cell.work / "runs", self.cell.outside
        (self.cell.work / "evil.py").write_text(EVIL)
        (self.cell.work / "my.yaml").write_text(SPACE)
        Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(self.cell.work / "film.png")
        for name in ("thesis.tex", "secret.txt", "vault/c.pt", "private/train.npy"):
            (outside / name).parent.mkdir(exist_ok=True)
            (outside / name).write_text("mine\n")
        self._must("run", "my.yaml", "--name", "good", "--image-size", "16", *_INLINE)
        shutil.copy(self._runs / "good" / "record.jsonl", outside / "record.jsonl")
        self._must("best", "good", "--model", "good.pt")
        self._begun = folder / "begun"
        self._interrupt()

    def _main(self, args: Sequence[str]) -> None:
        from tune_app import cli, report
        from tune_app.report import figure_processes

        figure_processes.MOST = 0  # what is drawn in another process is not watched
        if not self._reports:
            vars(report)["write"] = lambda *_, **__: []
        cli.main(args)

    def _must(self, *args: str) -> None:
        called = self.cell.call(args, self._main)
        if called.code or called.faults:
            raise RuntimeError(f"tune-app {' '.join(args)}: {called.faults} {called.output}")

    def _interrupt(self) -> None:
        """A run as a crash leaves it in the last epoch of its second configuration."""
        shutil.copytree(self._runs / "good", self._begun)
        shutil.rmtree(self._begun / "report", ignore_errors=True)
        events = read(self._begun)
        last = max(i for i, event in enumerate(events) if event["event"] == "epoch")
        checkpoint = {"event": "checkpoint", "t": events[last]["t"], "trial": events[last]["trial"]}
        saved = next(event["saved"] for event in reversed(events) if event.get("saved"))
        write(self._begun, [*events[: last + 1], {**checkpoint, "saved": saved}])

    def run(self, case: str, commands: Iterable[tuple[str, ...]] = COMMANDS) -> Iterator[Tried]:
        """Try a hostile run, made anew for each command."""
        run = self._runs / "x"
        for command in commands:
            self._clear()
            shutil.copytree(self._begun, run)
            RUNS[case](run)
            yield self._tried(case, *command)

    def model(self, case: str) -> Tried:
        """Try a hostile model."""
        self._clear()
        MODELS[case](self.cell.work / "x.pt", (self.cell.work / "good.pt").read_bytes())
        return self._tried(case, "predict", "x.pt", "film.png")

    def flips(self, count: int, rng: random.Random) -> Iterator[Tried]:
        """Try models of which one bit is another: each is refused, or gives the same answer."""
        sound = (self.cell.work / "good.pt").read_bytes()
        answer = self.cell.call(["predict", "good.pt", "film.png"], self._main).output
        for _ in range(count):
            self._clear()
            data = bytearray(sound)
            place, bit = rng.randrange(len(data)), rng.randrange(8)
            data[place] ^= 1 << bit
            (self.cell.work / "x.pt").write_bytes(data)
            tried = self._tried(f"bit {bit} of byte {place}", "predict", "x.pt", "film.png")
            if tried.called.code != 2 and tried.called.output != answer:
                tried.called.touched.append(f"another answer: {tried.called.output.strip()[-200:]}")
            yield tried

    def _clear(self) -> None:
        for path in (*self._runs.glob("x*"), *self.cell.work.glob("x.pt*"), *self.cell.work.glob("made.pt*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _tried(self, case: str, *command: str) -> Tried:
        called = self.cell.call(command, self._main)
        for mark in (self.cell.work / "imported", self.cell.outside / "executed"):
            if mark.exists():
                called.touched.append(f"code was run: {mark.name}")
                mark.unlink()
        page = self._runs / "x" / "report" / "index.html"
        if page.is_file() and SCRIPT in page.read_text(errors="replace"):
            called.touched.append("a script of the stranger's is in the report")
        if case.startswith(_REFUSED) and command[0] in _TRAINING and called.code != 2:
            called.touched.append(f"not refused: exit code {called.code}")
        if command[0] == "predict" and called.code == 2 and len(called.output.strip().splitlines()) != 1:
            called.touched.append(f"not one line: {called.output}")
        return Tried(case, " ".join(command), called)


#: Cases that need ``--trust``, and the commands that must ask for it.
_REFUSED = ("a task ", "a sampler ", "data elsewhere", "data at", "data under", "a storage ")
_TRAINING = ("resume", "extend", "confirm", "rerun")


def main(argv: list[str]) -> int:
    """Try all cases; returns how many calls broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos strangers", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="Of the flipped bits.")
    parser.add_argument("--flips", type=int, default=200, help="Models of which one bit is flipped.")
    parser.add_argument("--few", action="store_true", help="Only some commands, and no reports.")
    parser.add_argument("--case", action="append", metavar="NAME", help="Only this case; may be repeated.")
    asked = parser.parse_args(argv)
    tried: list[Tried] = []
    with tempfile.TemporaryDirectory(prefix="strangers-") as folder:
        strangers = Strangers(Path(folder), reports=not asked.few)
        for case in (each for each in asked.case or RUNS if each in RUNS):
            tried += _said(strangers.run(case, FEW if asked.few else COMMANDS))
        tried += _said(strangers.model(case) for case in asked.case or MODELS if case in MODELS)
        tried += _said(strangers.flips(asked.flips, random.Random(asked.seed)))
    faults = [fault for each in tried for fault in each.faults]
    codes = Counter((each.command.partition(" ")[0], each.called.code) for each in tried)
    print(f"{len({each.case for each in tried})} cases, {len(tried)} calls; seed {asked.seed}")
    for (command, code), number in sorted(codes.items()):
        print(f"  {command:8} exit code {code}: {number}")
    print(f"{len(faults)} faults" if faults else "nothing outside was touched, and no code was run")
    for fault in faults:
        print(f"  {fault}")
    return len(faults)


def _said(tried: Iterable[Tried]) -> Iterator[Tried]:
    for each in tried:
        for fault in each.faults:
            print(fault, file=sys.stderr, flush=True)
        yield each
