"""No command shows test figures of other configurations than the chosen one unless it is asked to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import commands
import pandas as pd
import pytest
from commands import INLINE, Tool

from tune_app.sweep import Sweep

tool = commands.tool

#: Test accuracies by configuration. No validation accuracy has their first three digits.
TESTS = {1: (0.62341, 0.62357), 2: (0.53341, 0.53357), 3: (0.44341, 0.44357)}

TASK = f"""
import os
import signal
from pathlib import Path

VALUES = {{1: (0.7, 0.71), 2: (0.9, 0.91), 3: (0.8, 0.81)}}
TESTS = {TESTS}


def task(config, context):
    for epoch in range(context.epochs):
        if config["x"] == 3 and Path("stop").exists():
            Path("stop").unlink()  # a second signal would end this process
            os.kill(os.getpid(), signal.SIGINT)
        values = VALUES[config["x"]], TESTS[config["x"]]
        yield dict(zip(("val_accuracy", "test_accuracy"), [each[context.replicate] for each in values]))
"""

SPACE = "task: 'leaky:task'\nspace: {x: {grid: [1, 2, 3]}}\nepochs: 2\nseeds: 2\n"


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    (tmp_path / "leaky.py").write_text(TASK)
    (tmp_path / "my.yaml").write_text(SPACE)
    return tmp_path / "runs/mine"


def shown(*texts: str) -> set[int]:
    """The configurations of which a test accuracy stands in a text, as a share or in per cent."""
    return {
        sample
        for sample, values in TESTS.items()
        for value in values
        if any(form in text for text in texts for form in (f"{value:.3f}"[:5], f"{100 * value:.1f}"))
    }


def people_see(tool: Tool, run: Path) -> list[str]:
    """What a run shows without being asked for more, but for what was printed while it trained."""
    commands = ("ls", "ls --json", "show mine", "show mine --json", "best mine", "best mine --json")
    texts = [tool(*command.split()) for command in commands]
    tool("report", "mine", "--sort", "test_accuracy", "--columns", "x,test_accuracy")
    texts += [(run / "report/results.md").read_text(), (run / "report/results.tex").read_text()]
    tool("report", "mine")
    kept = (run / "report").rglob("*.*")
    return texts + [path.read_text() for path in kept if path.suffix in (".md", ".tex", ".html")]


def openings(run: Path) -> list[str]:
    return [each.by for each in Sweep.open(run).history.test_openings]


def test_at_the_end_those_of_the_chosen_one_are_shown(tool: Tool, leaky: Path) -> None:
    out = tool("run", "my.yaml", *INLINE, "--name", "mine")
    assert shown(out) == {2}
    for text in people_see(tool, leaky):
        assert shown(text) <= {2}
    assert shown(tool("show", "mine")) == shown(tool("best", "mine")) == {2}
    assert shown((leaky / "report/index.html").read_text()) == {2}
    tool("run", "my.yaml", *INLINE, "--name", "other")
    assert shown(tool("compare", "mine", "other")) == {2}
    assert openings(leaky) == []


def test_scripts_have_all_in_files_and_exports(tool: Tool, leaky: Path) -> None:
    tool("run", "my.yaml", *INLINE, "--name", "mine")
    for name in ("results.csv", "seeds.csv", "report/results.csv"):
        assert shown((leaky / name).read_text()) == {1, 2, 3}
    for form in ("csv", "json", "latex", "markdown"):
        assert shown(tool("export", "mine", "--format", form)) == {1, 2, 3}
    assert openings(leaky) == []
    rows = json.loads(tool("show", "mine", "--json"))["trials"]
    assert set(rows[0]) == set(pd.read_csv(leaky / "results.csv"))


def test_others_are_shown_for_test_and_that_is_recorded(tool: Tool, leaky: Path) -> None:
    tool("run", "my.yaml", *INLINE, "--name", "mine")
    assert shown(tool("show", "mine", "--test")) == {1, 2, 3}
    rows = json.loads(tool("show", "mine", "--json", "--test"))["trials"]
    assert shown(json.dumps(rows)) == {1, 2, 3}
    tool("plot", "mine", "intervals", "--test", "--out", "intervals.svg")
    tool("report", "mine", "--test")
    assert shown((leaky / "report/results.md").read_text()) == {1, 2, 3}
    assert openings(leaky) == ["show", "show", "plot", "report"]
    page = (leaky / "report/index.html").read_text()
    assert "opened 4 times" in page
    assert page.count("opened by show --test") == 2
    assert shown(*people_see(tool, leaky)) == {2}
    assert "everything is trained" in tool("resume", "mine", *INLINE)
    assert openings(leaky) == ["show", "show", "plot", "report"]


def test_before_the_end_none_are_shown_and_the_next_step_is_to_resume(tool: Tool, leaky: Path) -> None:
    stop = leaky.parent.parent / "stop"
    stop.touch()
    out = tool("run", "my.yaml", *INLINE, "--name", "mine", code=130)
    assert shown(out) == set()
    assert re.findall(r"tune-app (\w+ \w+)", out) == ["resume mine"]
    assert shown(*people_see(tool, leaky)) == set()
    assert shown((leaky / "results.csv").read_text()) == {1, 2}
    stop.touch()
    tool("run", "my.yaml", *INLINE, "--name", "other", code=130)
    assert shown(tool("compare", "mine", "other")) == set()
    assert shown(tool("show", "mine", "--test")) == {1, 2}
    assert shown(tool("resume", "mine", *INLINE)) == {2}
    assert openings(leaky) == ["show"]
