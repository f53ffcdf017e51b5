"""What must hold of a sweep that was killed: each function returns what does not, a sentence each."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.chaos import audit
from tune_app import results
from tune_app import space as spaces
from tune_app.sweep import Sweep
from tune_app.sweep.events import Created
from tune_app.sweep.record import read
from tune_app.training import checkpoint

Event = dict[str, Any]

#: Rows of ``seeds.csv`` by sample and replicate.
Rows = dict[tuple[str, str], dict[str, str]]

#: Columns that say when and where, which may differ.
_WHEN_AND_WHERE = {"duration_s", "device"}


def events(record: Path | bytes) -> list[Event]:
    """The events of a record, or of the first bytes of one."""
    content = record.read_bytes() if isinstance(record, Path) else record
    return [json.loads(line) for line in content.splitlines()]


def _replicates(found: Iterable[Event]) -> dict[str, list[tuple[int, int]]]:
    """The (sample, replicate) of each trial."""
    return {e["trial"]: [(e["sample"], r) for r in e["replicates"]] for e in found if e["event"] == "started"}


def decisions_follow(record: Path) -> list[str]:
    """Each recorded decision follows from what was recorded before it."""
    found = [event for _, event in read(record)]
    header = found[0]
    assert isinstance(header, Created)
    return audit.recompute(found, spaces.parse(header.yaml, name=header.space))


def append_only(before: bytes, record: Path) -> list[str]:
    """Whatever was in the record at a kill is in there still."""
    return [] if record.read_bytes().startswith(before) else ["the record before the kill has changed"]


def finished_once(found: list[Event]) -> list[str]:
    """No replicate of a configuration ends twice on the way to the same number of epochs."""
    trials = _replicates(found)
    targets = {e["trial"]: e["target"] for e in found if e["event"] == "started"}
    ends = Counter(
        (pair, targets[e["trial"]])
        for e in found
        if e["event"] in ("finished", "stopped") or (e["event"] == "decision" and e["stop"])
        for pair in trials[e["trial"]]
    )
    return [f"{pair} has ended {count} times" for pair, count in ends.items() if count > 1]


def gone_on_from_checkpoints(found: list[Event]) -> list[str]:
    """Each attempt starts from the last recorded checkpoint, and no epoch before it is trained again."""
    trials = _replicates(found)
    saved: dict[tuple[int, int], int] = {}
    faults = []
    for e in found:
        pairs = trials.get(e.get("trial", ""), [])
        kept = e.get("saved")
        if kept:
            saved |= dict.fromkeys(pairs, kept["epoch"])
        if e["event"] == "started":
            faults += [
                f"{e['trial']} starts from epoch {e['epoch']}, and {saved[pair]} was saved"
                for pair in pairs
                if e["epoch"] != saved.get(pair, 0)
            ]
        if e["event"] == "epoch":
            faults += [
                f"{e['trial']} trains epoch {e['epoch']} again, and {saved[pair]} was saved"
                for pair in pairs
                if e["epoch"] <= saved.get(pair, 0) and not kept
            ]
    return faults


def trained_again(found: list[Event]) -> int:
    """How many epochs of replicates were trained more than once."""
    trials = _replicates(found)
    epochs = Counter(
        (pair, e["epoch"]) for e in found if e["event"] == "epoch" for pair in trials[e["trial"]]
    )
    return sum(count - 1 for count in epochs.values())


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file without times and devices."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in _WHEN_AND_WHERE} for row in csv.DictReader(file)]


def same_tables(run: Path, whole: Path) -> list[str]:
    """All CSV files are those of the undisturbed run, but for times and devices."""
    faults = []
    for name in ("results.csv", "seeds.csv", "curves.csv"):
        ours, theirs = rows(run / name), rows(whole / name)
        if len(ours) != len(theirs):
            faults.append(f"{name}: {len(ours)} rows, and {len(theirs)} undisturbed")
        differing = [(a, b) for a, b in zip(ours, theirs, strict=False) if a != b]
        for a, b in differing[:2]:
            faults.append(f"{name}: { ({k: (a[k], b.get(k)) for k in a if a[k] != b.get(k)}) } in {a}")
    return faults


def same_decisions(found: list[Event], undisturbed: list[Event]) -> list[str]:
    """What was planned and decided is what the undisturbed run planned and decided, in the same order."""
    faults = []
    for kind, fields in (
        ("planned", ("sample", "config", "twin")),
        ("decision", ("sample", "epoch", "rung", "value", "threshold", "stop")),
        ("batch", ("samples", "seeds", "among", "before", "after", "looks", "budget", "within")),
        ("settled", ("why",)),
    ):
        ours, theirs = (
            [tuple(str(e[name]) for name in fields) for e in each if e["event"] == kind]
            for each in (found, undisturbed)
        )
        if ours != theirs:
            first = next(
                (n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                min(len(ours), len(theirs)),
            )
            here = slice(first, first + 1)
            faults.append(f"{kind} {first + 1} is {ours[here]}, and {theirs[here]} undisturbed")
    return faults


def same_scores(run: Path, whole: Path) -> list[str]:
    """The test scores of every finished replicate are those of the undisturbed run."""

    def scores(folder: Path) -> dict[tuple[int, int], bytes]:
        sweep = Sweep.open(folder)
        found = {}
        for attempt in sweep.history.attempts.values():
            if attempt.scores:  # of replicates that a trial trained together, one after the other
                rows, count = sweep.scores.read(attempt.scores), len(attempt.replicates)
                size = len(rows) // count
                for place, replicate in enumerate(attempt.replicates):
                    found[attempt.sample, replicate] = rows[place * size : (place + 1) * size]
        return found

    ours, theirs = scores(run), scores(whole)
    return [f"the test scores of {key} differ" for key in ours | theirs if ours.get(key) != theirs.get(key)]


def wanted(run: Path) -> int:
    """How many epochs are wanted of each trial."""
    return Sweep.open(run).space.epochs


def finished(run: Path) -> Rows:
    """The rows of ``seeds.csv`` that have ended with all epochs that are wanted, as the record stands now."""
    sweep = Sweep.open(run)
    frame = results.load(sweep).seeds
    whole = (frame["status"] == "finished") & (frame["epochs"] == sweep.space.epochs)
    ended = frame[whole | (frame["status"] == "stopped")]
    found = {}
    for row in ended.to_dict("records"):
        kept = {str(name): str(value) for name, value in row.items() if name not in _WHEN_AND_WHERE}
        found[kept["sample"], kept["replicate"]] = kept
    return found


def unchanged(before: Rows, run: Path) -> list[str]:
    """What had finished at a kill stands as it did."""
    now = finished(run)
    faults = []
    for key, row in before.items():
        for name, value in row.items():
            if now.get(key, {}).get(name) != value:
                faults.append(f"{key} had finished with {name} {value}, now {now.get(key, {}).get(name)}")
    return faults


def _of_each_replicate(folder: Path, name: str) -> list[str]:
    """``checkpoints/3-0-000006-state.pt`` with the number of each replicate in it; another file as it is."""
    if not name.endswith(".pt"):
        return [name]
    sample, _, rest = name.split("-", 2)
    return [f"{sample}-{replicate}-{rest}" for replicate in checkpoint.load(folder / name)["replicates"]]


def same_files(run: Path, whole: Path) -> list[str]:
    """No more and no fewer files stay than after the undisturbed run, logs and views of the record aside.

    A checkpoint counts once for each replicate in it: they may have been dealt over several trials.
    """

    def files(folder: Path) -> list[str]:
        kept = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        names = [str(path) for path in kept if path.parts[0] not in ("logs", "study.db", "report")]
        return sorted(each for name in names for each in _of_each_replicate(folder, name))

    ours, theirs = files(run), files(whole)
    faults = [f"{name} is left over" for name in ours if name not in theirs]
    return faults + [f"{name} is missing" for name in theirs if name not in ours]
