"""Files of runs that were damaged: none gives another result without a word, none a traceback.

Records of four kinds of sweeps have a bit flipped, or a line dropped, doubled or swapped with another; then
``test_scores.bin``, the weights that a run keeps, and a model file have a bit flipped. A record of which the
last lines are missing is that of an earlier moment, and cannot be told from it: the last line is not dropped.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.chaos.sweeps import TASK
from tune_app import cli, results
from tune_app import space as spaces
from tune_app.errors import TrialsFailed, TuneAppError
from tune_app.results import verdict
from tune_app.session import lifecycle, saved_models
from tune_app.session.request import Request, request_for
from tune_app.sweep import Sweep

FLAKY = """

def flaky(config, context):
    for epoch in range(context.epochs):
        if config["x"] == 3 and epoch == 1 and not os.path.exists("repaired"):
            raise ValueError("not yet")
        yield {"val_loss": 1 / (config["x"] + epoch) + 0.01 * context.replicate}
"""

SPACES = {
    "grid": """
task: pneumonia
space: {lr: {grid: [0.003, 0.03]}}
fixed: {nodes: 4, hidden_layers: 1, batch_size: 200}
epochs: 2
seeds: 2
replicates: looped
""",
    "optuna-asha": """
task: damage_task:Task
space: {lr: {choice: [0.01, 0.1, 0.03]}, gamma: {choice: [0.5, 0.9]}}
search: {algorithm: optuna, sampler: tpe, samples: 6}
stop: {scheduler: asha, grace_period: 1, reduction_factor: 2}
epochs: 4
seeds: 2
checkpoint_every: 0
replicates: looped
keep: last
""",
    "function-extended": """
task: damage_task:flaky
space: {x: {grid: [1, 2, 3]}}
epochs: 3
seeds: 2
max_failures: 0
metric: {name: val_loss, mode: min}
""",
    "hyperband-patience": """
task: damage_task:function
space: {lr: {grid: [0.5, 0.1, 0.9, 0.3, 0.2, 0.4]}}
stop: {scheduler: hyperband, reduction_factor: 2, patience: 2}
epochs: 6
seeds: 2
""",
}

#: What came of a case, in words; all but the last two are as they must be.
REFUSED, SAME, OTHER, RAISED = "refused", "the same result", "ANOTHER RESULT", "A TRACEBACK"


@dataclass(frozen=True)
class Outcome:
    """What came of one damaged file."""

    sweep: str
    what: str
    case: str
    outcome: str
    told: str = ""

    @property
    def fault(self) -> str:
        """What is not as it must be; empty where all is well."""
        wrong = self.outcome in (OTHER, RAISED)
        return f"{self.sweep}: {self.case}: {self.outcome} {self.told}" if wrong else ""


# ---------------------------------------------------------------- sound runs


def make(folder: Path) -> None:
    """Train the four sweeps below ``folder``, which is the working directory, and write a model."""
    (folder / "damage_task.py").write_text(TASK + FLAKY, encoding="utf-8")
    for name, text in SPACES.items():
        space = spaces.parse(text, file="my.yaml", name="my")
        data: dict[str, Any] = {"data": "phantom", "image_size": 8} if name == "grid" else {}
        asked = Request(space, name=name, address="inline", **data)
        try:
            lifecycle.run(asked, asked.load()).train()
        except TrialsFailed:
            _repair(name)
    saved_models.export(
        results.load(Sweep.open(Path("runs/grid"))), _best(Path("runs/grid")), Path("model.pt")
    )


def _repair(name: str) -> None:
    Path("repaired").touch()
    sweep = Sweep.open(Path("runs") / name)
    asked = request_for(sweep, address="inline")
    lifecycle.retry(asked, asked.load(sweep), sweep, [3]).train()
    sweep = Sweep.open(Path("runs") / name)
    wider = spaces.extend(sweep.space, seeds="+1", add=["x=4"])
    lifecycle.extend(asked, asked.load(sweep), sweep, wider, "more").train()
    lifecycle.rerun(asked, asked.load(sweep), Sweep.open(Path("runs") / name), 1)


def _best(run: Path) -> int:
    return int(results.ranked(results.load(Sweep.open(run))).iloc[0]["sample"])


# ---------------------------------------------------------------- what readers give


def shown(run: Path) -> list[Any]:
    """All that readers make of a run: tables, ranking, verdict, test scores, space, what is lacking."""
    sweep = Sweep.open(run)
    history, frames = sweep.history, results.load(sweep)
    judged = verdict.judge(frames)
    return [
        *(results.as_texts(frames, each).to_csv() for each in (frames.trials, frames.seeds, frames.curves)),
        results.ranked(frames)["sample"].tolist(),
        (judged.winner, list(judged.best_set)),
        {sample: frames.scores(sample).tobytes() for sample in history.configurations},
        sweep.history.wanted,
        sweep.lacking(),
        (sweep.header, history.openings, history.extensions, history.decisions, history.settlings),
    ]


def _exported(run: Path, sample: int) -> dict[str, Any]:
    """The weights of a run's model; one that is not to be had is refused."""
    path = run / "exported.pt"
    try:
        saved_models.export(results.load(Sweep.open(run)), sample, path)
        return _tensors(torch.load(path, weights_only=True)["weights"])
    finally:
        path.unlink(missing_ok=True)


def _tensors(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in weights.items()}


def _gone_on(run: Path, name: str) -> list[str]:
    """The checkpoints that trials would go on from or that were kept: all undamaged, or told by name."""
    sweep = Sweep.open(run)
    kept = [each for a in sweep.history.attempts.values() for each in (a.saved, a.weights) if each]
    damaged = [each.file for each in kept if not sweep.is_intact(each) and each.file == name]
    if damaged:
        raise TuneAppError(f"{name} is damaged")
    return []


# ---------------------------------------------------------------- damage


def flipped(content: bytes, bit: int) -> bytes:
    """One bit is another."""
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def relined(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A line is dropped, doubled, or swapped with another."""
    lines = content.splitlines(keepends=True)
    at, other = rng.sample(range(len(lines)), 2)
    match rng.choice(("dropped", "doubled", "swapped")):
        case "dropped":
            at = rng.randrange(len(lines) - 1)
            return f"line {at} dropped", b"".join([*lines[:at], *lines[at + 1 :]])
        case "doubled":
            return f"line {at} doubled", b"".join([*lines[: at + 1], *lines[at:]])
        case _:
            lines[at], lines[other] = lines[other], lines[at]
            return f"lines {at} and {other} swapped", b"".join(lines)


def _tried(read: Callable[[], Any], sound: Any, must_say: str) -> tuple[str, str]:
    """The outcome of reading what is damaged; a refusal says ``must_say``, a regular expression."""
    try:
        found = read()
    except TuneAppError as error:
        told = str(error)
        well = error.exit_code == 2 and re.search(must_say, told)
        return (REFUSED, "") if well else (OTHER, f"{told!r} does not say {must_say}")
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return RAISED, repr(error)[:200]
    return (SAME, "") if found == sound else (OTHER, "")


def records(folder: Path, flips: int, lines: int, seed: int) -> Iterator[Outcome]:
    """Damage the records of all sweeps in turn."""
    for number, name in enumerate(SPACES):
        run, rng = folder / "runs" / name, random.Random(f"{seed} {name}")
        record, sound = run / "record.jsonl", shown(run)
        content = record.read_bytes()
        cases = [
            *(("flip", f"bit {bit}", flipped(content, bit)) for bit in _bits(rng, content, flips, number)),
            *(("line", *relined(content, rng)) for _ in range(_share(lines, number))),
        ]
        try:
            for at, (what, case, damaged) in enumerate(cases):
                if damaged == content:  # two equal lines were swapped
                    continue
                record.write_bytes(damaged)
                outcome, told = _tried(partial(shown, run), sound, r"record\.jsonl: .*\bbyte \d+\b")
                if at % 100 == 0 and outcome == REFUSED:
                    outcome, told = _called(name)
                yield Outcome(name, f"record, {what}", case, outcome, told)
        finally:
            record.write_bytes(content)


def _called(name: str) -> tuple[str, str]:
    """The same by the command line, which must end with exit code 2."""
    output = StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(output):
            cli.main(["show", name])
    except SystemExit as end:
        well = end.code == 2 and "byte" in output.getvalue()
        return (REFUSED, "") if well else (OTHER, f"exit code {end.code}: {output.getvalue()!r}")
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return RAISED, repr(error)[:200]
    return OTHER, "no exit"


def _bits(rng: random.Random, content: bytes, count: int, number: int) -> list[int]:
    return [rng.randrange(8 * len(content)) for _ in range(_share(count, number))]


def _share(count: int, number: int) -> int:
    """What falls to one of the sweeps, by its number."""
    return count // len(SPACES) + (number < count % len(SPACES))


def files(folder: Path, count: int, seed: int) -> Iterator[Outcome]:
    """Damage test scores, weights and a model file."""
    grid, searched, model = folder / "runs/grid", folder / "runs/optuna-asha", folder / "model.pt"
    np.save(folder / "x.npy", np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8))
    best = _best(grid)
    weights = next(grid.glob("checkpoints/*-weights.pt"))
    state = sorted(searched.glob("checkpoints/*-state.pt"))[0]
    predict = partial(saved_models.predict, model, [folder / "x.npy"])
    cases: list[tuple[str, Path, Callable[[], Any], str]] = [
        ("grid", grid / "test_scores.bin", partial(shown, grid), r"test_scores\.bin"),
        ("grid", weights, partial(_exported, grid, best), re.escape(weights.name)),
        ("optuna-asha", state, partial(_gone_on, searched, state.name), re.escape(state.name)),
        ("grid", model, predict, r"model\.pt"),
    ]
    for name, path, read, must_say in cases:
        rng, content, sound = random.Random(f"{seed} {path.name}"), path.read_bytes(), read()
        try:
            for bit in (rng.randrange(8 * len(content)) for _ in range(count)):
                path.write_bytes(flipped(content, bit))
                outcome, told = _tried(read, sound, must_say)
                yield Outcome(name, path.name, f"bit {bit} of {path.name}", outcome, told)
        finally:
            path.write_bytes(content)


def main(argv: list[str]) -> int:
    """Damage files; returns how many gave another result or a traceback."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos damage", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flips", type=int, default=2500, help="Bits flipped in records.")
    parser.add_argument("--lines", type=int, default=600, help="Lines dropped, doubled or swapped.")
    parser.add_argument("--files", type=int, default=200, help="Bits flipped in each other file.")
    asked = parser.parse_args(argv)
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="damage-state-")
    with tempfile.TemporaryDirectory(prefix="damage-") as name, chdir(name):
        folder = Path(name)
        sys.path.insert(0, name)
        with redirect_stdout(StringIO()):
            make(folder)
        found = [
            *records(folder, asked.flips, asked.lines, asked.seed),
            *files(folder, asked.files, asked.seed),
        ]
    for (sweep, what, outcome), number in Counter((o.sweep, o.what, o.outcome) for o in found).items():
        print(f"{sweep:20} {what:24} {number:6} {outcome}")
    faults = [each.fault for each in found if each.fault]
    print(f"{len(found)} damaged files, seed {asked.seed}: {len(faults)} gave another result or a traceback")
    for fault in faults[:40]:
        print(f"  {fault}")
    return len(faults)
