"""Commands that write reports, tables and figures."""

from __future__ import annotations

import re
from pathlib import Path

import commands
import pandas as pd
from commands import SMALL, Tool

tool, first = commands.tool, commands.first


def test_results_are_written_in_every_format(tool: Tool, first: Path) -> None:
    assert {path.name for path in (first / "report/figures").iterdir()} == {
        *("intervals.svg", "intervals.png", "roc.svg", "roc.png")
    }
    wish = ("--columns", "lr,val_accuracy", "--sort", "lr:desc", "--top", "2")
    lines = tool("export", "first", *wish).splitlines()
    assert lines[0] == "lr,val_accuracy_mean,val_accuracy_ci95,data,data_sha256"
    assert [line.split(",")[0] for line in lines[1:]] == ["3e-05", "3e-05"]
    assert "| 3e-5 |" in tool("export", "first", "--format", "markdown", *wish)
    tool("export", "first", "--format", "parquet", "--of", "curves", "--out", "c.parquet")
    assert len(pd.read_parquet("c.parquet")) == 36
    tool("export", "first", "--format", "xls", code=2)
    assert tool("plot", "first", "intervals", "--out", "x.pdf").split() == ["x.pdf"]
    assert re.search(r"roce.*intervals, roc", tool("plot", "first", "roce", code=2), re.S)
    tool("report", "first", "--no-figures", "--digits", "3", "--top", "1")
    assert re.search(r"\d\d\.\d{3} \(", (first / "report/results.md").read_text())


def test_runs_are_compared(tool: Tool, first: Path) -> None:
    tool("run", "loss", *SMALL, "--set", "loss=bce", "--name", "b")
    assert re.search(r"^  first +lr 3e-5", tool("compare", "first", "b"), re.M)
    tool("run", "loss", *SMALL, "--set", "loss=bce", "--image-size", "8", "--name", "c")
    other = tool("compare", "first", "c", "--format", "markdown")
    assert re.search("data differ", other)
    assert "compare" in tool("compare", "first", code=2)
