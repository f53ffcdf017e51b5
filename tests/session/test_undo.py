"""``extend --undo``: the run is as if what was not trained had never been asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small_task import COSINE, TASK, again, end_after, events, extend, rows

from benchmarks.chaos import audit
from tune_app import results
from tune_app import space as spaces
from tune_app.errors import RunError, TrialsFailed
from tune_app.session import lifecycle
from tune_app.session import undo as undoing
from tune_app.session.request import Request
from tune_app.sweep import Sweep
from tune_app.sweep.events import Extended
from tune_app.sweep.record import read

UserModule = Callable[[str], str]
GRID = "space: {lr: {grid: [0.1, 0.01]}}\nepochs: 3\nseeds: 2\n"
OPTUNA = (
    "space: {lr: {loguniform: [0.001, 0.1]}}\nsearch: {algorithm: optuna, samples: 4}\nepochs: 2\nseeds: 1\n"
)
RANDOM = (
    "space: {lr: {loguniform: [0.001, 0.1]}, b: {grid: [1, 2]}}\n"
    "search: {algorithm: random, samples: 2}\nepochs: 2\nseeds: 1\n"
)


def trained(module: str, text: str, name: str = "run") -> Sweep:
    space = spaces.parse(f"task: {module}:Task\n{text}", file="my.yaml", name="my")
    request = Request(space, name=name, address="inline")
    return lifecycle.run(request, request.load()).train()


def interrupted(monkeypatch: pytest.MonkeyPatch, reports: int, **more: str) -> None:
    """Extend the run, and have it end after so many epochs."""
    with monkeypatch.context() as patch:
        end_after(patch, reports)
        with pytest.raises(TrialsFailed):
            extend("run", **more)


def undo() -> Sweep:
    undoing.undo(Sweep.open("runs/run"))
    return Sweep.open("runs/run")


def resume() -> Sweep:
    request, material, sweep = again("run")
    return lifecycle.resume(request, material, sweep).train()


MORE = [
    (GRID, {"seeds": "+3"}),
    (GRID, {"epochs": "+3"}),
    (GRID, {"add": ("lr=0.02",)}),
    (GRID, {"add": ("{lr: 0.02}",), "seeds": "+1", "epochs": "5"}),
    (OPTUNA, {"samples": "+3"}),
    (RANDOM, {"samples": "+2"}),
]


@pytest.mark.parametrize(("text", "more"), MORE, ids=str)
def test_what_was_not_trained_is_as_if_it_had_never_been_asked_for(
    text: str, more: dict[str, str], user_module: UserModule
) -> None:
    before = trained(user_module(TASK), text)
    frozen, found = before.history.wanted, rows("run")
    wider = spaces.extend(before.space, **more)
    with before.writing():
        before.extend(wider, str(more), from_start=False)
    assert before.outstanding()
    sweep = undo()
    assert (sweep.history.wanted, sweep.outstanding(), sweep.history.extensions) == (frozen, 0, [])
    pd.testing.assert_frame_equal(rows("run"), found)
    assert sweep.paths.space.read_text() == frozen
    with pytest.raises(RunError, match="never extended"):
        undo()


@pytest.mark.parametrize(
    ("case", "stay"),
    [
        (MORE[0], None),
        (MORE[1], (2, 2, 3)),
        (MORE[2], None),
        (MORE[3], (2, 3, 3)),
        (MORE[4], (5, 1, 2)),
        (MORE[5], (6, 1, 2)),
    ],
    ids=str,
)
def test_what_was_trained_of_it_stays_and_the_rest_goes(
    case: tuple[str, dict[str, str]],
    stay: tuple[int, int, int] | None,
    user_module: UserModule,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One epoch of what was added is trained; ``stay`` counts configurations, seeds and epochs."""
    text, more = case
    trained(user_module(TASK), text)
    interrupted(monkeypatch, 1, **more)
    lines = len(events("run", "epoch"))
    if stay is None:
        with pytest.raises(RunError, match="cannot be undone"):
            undo()
        return
    sweep = undo()
    assert (len(sweep.history.configurations), sweep.space.seeds, sweep.space.epochs) == stay
    assert len(events("run", "epoch")) == lines, "nothing that is recorded goes"
    with pytest.raises(RunError, match=r"cannot be undone|never extended"):
        undo()
    sweep = resume()
    assert set(sweep.statuses()) == {"finished"}
    assert sweep.outstanding() == 0
    assert audit.recompute((event for _, event in read(sweep.paths.record)), sweep.space) == []
    assert len(results.load(sweep).seeds) == stay[0] * stay[1]


def test_samples_that_come_after_those_that_were_undone_are_new(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(user_module(TASK), OPTUNA)
    interrupted(monkeypatch, 3, samples="+40")
    assert undo().space.search.samples == 6
    sweep = extend("run", samples="+2")
    assert sweep.statuses() == ["finished"] * 8
    assert len({c.fingerprint for c in sweep.history.configurations.values()}) == 8


def test_epochs_that_were_trained_once_more_in_vain_hide_no_result(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(user_module(TASK), GRID)
    found = rows("run")
    interrupted(monkeypatch, 2, epochs="+100")
    assert "interrupted" in Sweep.open("runs/run").statuses()
    sweep = undo()
    assert (sweep.space.epochs, sweep.outstanding()) == (3, 0)
    pd.testing.assert_frame_equal(rows("run"), found)


def test_epochs_under_a_schedule_that_reads_them_leave_the_checkpoints(user_module: UserModule) -> None:
    before = trained(user_module(COSINE), GRID + "keep: last\n")
    saved = [attempt.saved for attempt in before.history.attempts.values()]
    assert all(saved)
    with before.writing():
        before.extend(spaces.extend(before.space, epochs="+100"), "--epochs +100", from_start=True)
    assert not any(attempt.saved for attempt in before.history.attempts.values())
    sweep = undo()
    assert [attempt.saved for attempt in sweep.history.attempts.values()] == saved
    assert sweep.outstanding() == 0


def test_a_reader_that_looks_on_sees_it(user_module: UserModule) -> None:
    reader = trained(user_module(TASK), GRID)
    with (sweep := Sweep.open("runs/run")).writing():
        sweep.extend(spaces.extend(sweep.space, seeds="+3"), "--seeds +3", from_start=False)
    reader.refresh()
    assert reader.space.seeds == 5
    undo()
    reader.refresh()
    assert (reader.space.seeds, reader.outstanding()) == (2, 0)
    assert Path("runs/run/space.yaml").read_text() == reader.history.wanted


def test_an_extension_beyond_all_bounds_can_only_be_taken_back(user_module: UserModule) -> None:
    """An earlier version recorded such."""
    sweep = trained(user_module(TASK), GRID)
    text = sweep.space.model_copy(update={"seeds": 300_000_000}).dump()
    with sweep.writing():
        sweep.note(Extended(space=text, asked="--seeds +300000000", from_start=False), durable=True)
    with pytest.raises(RunError, match=r"300,000,000 seeds.*tune-app extend run --undo"):
        Sweep.open("runs/run")
    undoing.undo(Sweep.open("runs/run", to_undo=True))
    assert Sweep.open("runs/run").space.seeds == 2
