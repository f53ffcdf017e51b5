"""Records with right checksums, of events that are none, or that cannot follow those before them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lines import read, sealed

from benchmarks.recorder import Recorder
from tune_app import space as spaces
from tune_app.errors import RunError
from tune_app.sweep import Sweep
from tune_app.sweep.events import EventError, Finished, Opened, Started

TEXT = "task: pneumonia\nspace: {lr: {grid: [0.1, 0.2]}}\nepochs: 3\nseeds: 2\n"


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"event": kind, "t": 1.5, **fields}


SAVED = {"epoch": 1, "file": "1-0-000001-state.pt", "size_bytes": 10, "crc32": 5}
STARTED = event("started", trial="1.1", sample=1, replicates=[0, 1], epoch=0, target=3, node="here")
EPOCH = event("epoch", trial="1.1", epoch=1, metrics={"val_accuracy": [0.5, None]}, durations_s=[0.5, 0.25])
NEXT = {**EPOCH, "epoch": 2}
CHECKPOINT = event("checkpoint", trial="1.1", saved=SAVED)
DECISION = event("decision", trial="1.1", sample=1, epoch=1, rung=1, value=0.5, threshold=None, stop=False)
DIVERGED = event("diverged", trial="1.1", epoch=1, replicates=[1])
ENDED = event("ended", trial="1.1", epoch=1, replicates=[0], by="task")
SCORES = {"offset": 0, "shape": [2, 4], "crc32": 7}
FINISHED = event(
    "finished", trial="1.1", epoch=1, evaluated=[1, 1], test={"test_a": [0.5, None]}, scores=SCORES
)
FAILED = event("failed", trial="1.1", reason="ValueError: no", log="logs/1.1.log", sample=1)
PLANNED = event("planned", sample=3, fingerprint="f", config={"lr": 0.3}, twin=None)
OPENED = event("opened", provenance={"started": "now", "versions": {"torch": None}})
RERUN = event("rerun", sample=1, compared=1, differing=0, device="cpu")
EXTENDED = event("extended", space=TEXT, asked="--seeds +1", from_start=False)
CODE = event("code", trial="1.1", files={"a.py": "0" * 64}, versions={"torch": None})
SOUND = [OPENED, STARTED, EPOCH, CHECKPOINT, CODE, DECISION, DIVERGED, ENDED, NEXT, FAILED, PLANNED, RERUN]


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A run, and the first events of its record."""
    sweep = Sweep.create(spaces.parse(TEXT, name="my"), runs_dir=tmp_path)
    return sweep.paths.folder, [each for _, each in read(sweep.paths.record)]


def refused(begun: tuple[Path, list[dict[str, Any]]], *more: dict[str, Any]) -> str:
    """How a record with these events at its end is refused, which is at the byte of the last of them."""
    folder, first = begun
    content = sealed([*first, *more])
    (folder / "record.jsonl").write_bytes(content)
    with pytest.raises(RunError) as told:
        Sweep.open(folder)
    at = content[:-1].rindex(b"\n") + 1
    assert f"record.jsonl: damaged at byte {at}: " in str(told.value)
    return str(told.value)


def test_what_follows_is_read(begun: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, first = begun
    retried = event("retried", samples=[1])
    again = {**STARTED, "trial": "1.2", "epoch": 1, "start": SAVED}
    ends = [{**NEXT, "trial": "1.2"}, {**FINISHED, "trial": "1.2"}, event("stopped", trial="1.1", reason="")]
    for events in (SOUND, [*SOUND, EXTENDED, retried, OPENED, again, *ends]):
        (folder / "record.jsonl").write_bytes(sealed([*first, *events]))
        history = Sweep.open(folder).history
    assert history.configurations[1].attempts[1].end == "finished"
    assert history.attempts["1.2"].saved == history.attempts["1.1"].saved


WRONG: dict[str, tuple[dict[str, Any], ...]] = {
    # no events, or with other fields
    "an unknown kind": (event("mirrored"),),
    "a kind of another type": ({"event": ["epoch"], "t": 1},),
    "no time": ({k: v for k, v in OPENED.items() if k != "t"},),
    "a time of text": ({**OPENED, "t": "now"},),
    "a time that is no date": ({**OPENED, "t": 1e300},),
    "an unknown field": ({**OPENED, "by": "me"},),
    "no replicates": ({k: v for k, v in STARTED.items() if k != "replicates"},),
    "an empty list of replicates": ({**STARTED, "replicates": []},),
    "a replicate that is no number": ({**STARTED, "replicates": [True]},),
    "a replicate below 0": ({**STARTED, "replicates": [-1]},),
    "a replicate twice": ({**STARTED, "replicates": [0, 0]},),
    "an epoch of text": (STARTED, {**EPOCH, "epoch": "1"}),
    "an epoch that is a truth value": (STARTED, {**EPOCH, "epoch": True}),
    "an epoch with a fraction": (STARTED, {**EPOCH, "epoch": 1.5}),
    "epoch 0": (STARTED, {**EPOCH, "epoch": 0}),
    "metrics in a list": (STARTED, {**EPOCH, "metrics": [0.5]}),
    "a metric of text": (STARTED, {**EPOCH, "metrics": {"a": ["0.5", None]}}),
    "a metric of truth values": (STARTED, {**EPOCH, "metrics": {"a": [True, None]}}),
    "seconds below 0": (STARTED, {**EPOCH, "durations_s": [-1, 0.5]}),
    "a configuration in a list": ({**PLANNED, "config": [0.1]},),
    "a file elsewhere": (STARTED, EPOCH, {**CHECKPOINT, "saved": {**SAVED, "file": "../a.pt"}}),
    "a hidden file": (STARTED, EPOCH, {**CHECKPOINT, "saved": {**SAVED, "file": ".lock"}}),
    "a file with a newline": (STARTED, EPOCH, {**CHECKPOINT, "saved": {**SAVED, "file": "a.pt\n"}}),
    "no file": (STARTED, EPOCH, {**CHECKPOINT, "saved": {**SAVED, "file": ""}}),
    "a checkpoint that is null": (STARTED, EPOCH, {**CHECKPOINT, "saved": None}),
    "an unknown field of a file": (STARTED, EPOCH, {**CHECKPOINT, "saved": {**SAVED, "mode": 7}}),
    "a log elsewhere": (STARTED, {**FAILED, "log": "/etc/passwd"}),
    "a log above": (STARTED, {**FAILED, "log": "logs/../record.jsonl"}),
    "scores before the file": (STARTED, EPOCH, {**FINISHED, "scores": {**SCORES, "offset": -4}}),
    "code of lists": (STARTED, {**CODE, "files": []}),
    "provenance of other types": ({**OPENED, "provenance": {"versions": 1}},),
    "code in the provenance of other types": ({**OPENED, "provenance": {"code": {"files": [1]}}},),
    # events that cannot follow
    "a second header": (event("created"),),
    "a trial that has not started": (EPOCH,),
    "the next but one trial": ({**STARTED, "trial": "1.2"},),
    "a trial that is a path": ({**STARTED, "trial": "../1"},),
    "the same trial twice": (STARTED, STARTED),
    "a configuration that is not planned": ({**STARTED, "sample": 9, "trial": "9.1"},),
    "a gap in the configurations": ({**PLANNED, "sample": 4},),
    "a configuration twice": ({**PLANNED, "sample": 1},),
    "a duplicate of itself": ({**PLANNED, "twin": 3},),
    "a duplicate of none": ({**PLANNED, "twin": 9},),
    "a duplicate of a duplicate": ({**PLANNED, "twin": 1}, {**PLANNED, "sample": 4, "twin": 3}),
    "a duplicate that is trained": ({**PLANNED, "twin": 1}, {**STARTED, "sample": 3, "trial": "3.1"}),
    "a start from an epoch that was not trained": ({**STARTED, "epoch": 1},),
    "a start from another epoch than that of its checkpoint": ({**STARTED, "start": SAVED},),
    "an epoch again": (STARTED, EPOCH, EPOCH),
    "an epoch that is left out": (STARTED, {**EPOCH, "epoch": 2}),
    "an epoch far ahead": (STARTED, {**EPOCH, "epoch": 10**12}),
    "a metric of one replicate": (STARTED, {**EPOCH, "metrics": {"val_accuracy": [0.5]}}),
    "seconds of three replicates": (STARTED, {**EPOCH, "durations_s": [0.1] * 3}),
    "a decision on another configuration": (STARTED, EPOCH, {**DECISION, "sample": 2}),
    "a failure of another configuration": (STARTED, {**FAILED, "sample": 2}),
    "a divergence of another replicate": (STARTED, {**DIVERGED, "replicates": [2]}),
    "an end after no epoch": (STARTED, ENDED),
    "an end far ahead": (STARTED, EPOCH, {**ENDED, "epoch": 10**12}),
    "one evaluated epoch": (STARTED, EPOCH, {**FINISHED, "evaluated": [1]}),
    "a test metric of one replicate": (STARTED, EPOCH, {**FINISHED, "test": {"test_a": [0.5]}}),
    "scores of three replicates": (STARTED, EPOCH, {**FINISHED, "scores": {**SCORES, "shape": [3, 4]}}),
    "scores of no shape": (STARTED, EPOCH, {**FINISHED, "scores": {**SCORES, "shape": []}}),
    "a retry of nothing": (event("retried", samples=[9]),),
    "a rerun of nothing": ({**RERUN, "sample": 9},),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_event_or_cannot_follow_is_refused_with_its_byte(
    what: str, begun: tuple[Path, list[dict[str, Any]]]
) -> None:
    refused(begun, *WRONG[what])


def test_without_checksums_it_is_refused_as_well(begun: tuple[Path, list[dict[str, Any]]]) -> None:
    """A record of version 1 may have fields that are known no more, and nothing else of that."""
    folder, first = begun
    plain = [{k: v for k, v in {**each, "of_old": 1}.items() if k != "crc"} for each in first]
    plain[0]["version"] = 1

    def write(*more: dict[str, Any]) -> None:
        text = "".join(f"{json.dumps(each)}\n" for each in (*plain, *more))
        (folder / "record.jsonl").write_text(text)

    write(*SOUND)
    assert Sweep.open(folder).history.attempts["1.1"].end == "failed"
    for what in set(WRONG) - {"an unknown field"}:
        write(*WRONG[what])
        with pytest.raises(RunError, match=r"damaged at byte \d+"):
            Sweep.open(folder)


def test_what_could_not_be_read_again_is_not_recorded(begun: tuple[Path, list[dict[str, Any]]]) -> None:
    sweep = Sweep.open(begun[0])
    with sweep.writing():
        sweep.note(Opened())
        before = sweep.paths.record.read_bytes()
        with pytest.raises(EventError, match=r"next one is 1\.1"):
            sweep.note(Started(trial="1.2", sample=1, replicates=[0], epoch=0, target=3, node=""))
        with pytest.raises(EventError):
            sweep.history.check(Finished(trial="1.1", epoch=1, evaluated=[], test={}, scores=None))
        assert sweep.paths.record.read_bytes() == before


def test_a_run_that_is_written_twice_by_one_process_is_taken_in_once(
    begun: tuple[Path, list[dict[str, Any]]],
) -> None:
    sweep = Sweep.open(begun[0])
    for number in (1, 2):
        with sweep.writing():
            sweep.note(Opened())
            Recorder.of(sweep).start(1)
        assert len(sweep.history.openings) == number
        assert [a.trial for a in sweep.history.configurations[1].attempts] == ["1.1", "1.2"][:number]
