"""Run folders and a model that the last version without checksums wrote, and the numbers that it gave.

``version_1/runs`` holds a grid of the built-in task, a search with early stopping, and a grid that was killed
in its second configuration; ``version_1/expected`` what became of them when that version went on.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lines import read

from tune_app import cli, results
from tune_app import space as spaces
from tune_app.session import lifecycle, saved_models
from tune_app.session.request import request_for
from tune_app.sweep import Sweep
from tune_app.tasks import task_folder

HERE = Path(__file__).parents[1] / "version_1"
TABLES = ("results", "seeds", "curves")


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the runs, their task, and the model."""
    shutil.copytree(HERE, tmp_path / "v", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "v")
    task_folder._folders.clear()  # as a new process begins
    yield tmp_path / "v"
    sys.modules.pop("earlier_task", None)


def again(name: str) -> tuple[Any, Any, Sweep]:
    sweep = Sweep.open(f"runs/{name}")
    asked = request_for(sweep, address="inline", trust=True)
    return asked, asked.load(sweep), sweep


def extend(name: str, **more: Any) -> Sweep:
    asked, material, sweep = again(name)
    wider = spaces.extend(sweep.space, **more)
    return lifecycle.extend(asked, material, sweep, wider, str(more), code_changed=True).train()


def assert_as_before(sweep: Sweep, expected: str, exact: bool = True) -> None:
    """All that the earlier version wrote into its tables is there now, but for the seconds."""
    results.write(results.load(sweep))
    for table in TABLES:
        old = pd.read_csv(f"expected/{expected}-{table}.csv")
        new = pd.read_csv(sweep.paths.folder / f"{table}.csv")[old.columns]
        drop = [name for name in ("duration_s",) if name in old]
        pd.testing.assert_frame_equal(
            new.drop(columns=drop), old.drop(columns=drop), check_exact=exact, rtol=1e-4
        )


def lines(name: str) -> list[bytes]:
    return Path(f"runs/{name}/record.jsonl").read_bytes().splitlines()


def assert_goes_on_without_checksums(name: str, before: list[bytes]) -> None:
    now = lines(name)
    assert now[: len(before)] == before
    assert len(now) > len(before)
    assert not any("crc" in event for _, event in read(Path(f"runs/{name}/record.jsonl")))


@pytest.mark.parametrize("name", ["grid", "search"])
def test_an_earlier_run_is_read_with_the_same_numbers(earlier: Path, name: str) -> None:
    sweep = Sweep.open(f"runs/{name}")
    assert_as_before(sweep, name)
    assert sweep.header.version == 1
    assert sweep.space.choose.window == 1
    frames = results.load(sweep)
    metric = sweep.space.metric.name
    assert frames.trials[f"{metric}_choice"].equals(frames.trials[f"{metric}_mean"])
    scores = [a.scores for a in sweep.history.attempts.values() if a.scores]
    assert {place.crc32 for place in scores} == ({None} if name == "grid" else set())


def test_an_earlier_run_that_was_killed_is_resumed_and_reported(earlier: Path) -> None:
    before = lines("interrupted")
    asked, material, sweep = again("interrupted")
    sweep = lifecycle.resume(asked, material, sweep).train()
    assert [a.start_epoch for a in sweep.history.configurations[2].attempts] == [0, 2]
    assert_as_before(Sweep.open("runs/interrupted"), "interrupted-resumed", exact=False)
    assert_goes_on_without_checksums("interrupted", before)
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", "interrupted"])
    assert ended.value.code == 0
    assert Path("runs/interrupted/report/index.html").is_file()


def test_an_earlier_grid_is_extended(earlier: Path) -> None:
    before = lines("grid")
    sweep = extend("grid", seeds="+1", add=["lr=0.01"])
    assert_as_before(sweep, "grid-extended", exact=False)
    assert Sweep.open("runs/grid").space.choose.window == 1
    assert_goes_on_without_checksums("grid", before)


def test_an_earlier_search_is_extended(earlier: Path) -> None:
    before = lines("search")
    assert_as_before(extend("search", samples="+3"), "search-extended")
    assert_goes_on_without_checksums("search", before)


def test_an_earlier_model_gives_the_same_predictions(earlier: Path) -> None:
    expected = json.loads(Path("predictions.json").read_text())
    found = saved_models.predict(Path("model.pt"), [Path("inputs.npy")])
    assert [(each.name, each.label) for each in found] == [(each["name"], each["label"]) for each in expected]
    for new, old in zip(found, expected, strict=True):
        assert new.probabilities == pytest.approx(old["probabilities"], rel=1e-5)
    exported = saved_models.export(results.load(Sweep.open("runs/grid")), 1, Path("again.pt"))
    assert exported["epoch"] == 2
