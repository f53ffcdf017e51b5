"""The command line as a whole: help, exit codes, signals, and the commands for spaces and data."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import commands
import pandas as pd
import pytest
from click.testing import CliRunner
from commands import POINT, SMALL, Tool

from tune_app import cli

tool = commands.tool

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["grid", "table3", "loss", "optuna"])
def test_the_shipped_spaces_are_sound(tool: Tool, name: str) -> None:
    assert f"{name}: " in tool("check", name, "--image-size", "16")
    assert re.search(rf"^ +{name} ", tool("spaces"), re.M)


def test_schema_is_json(tool: Tool) -> None:
    assert json.loads(tool("schema"))["properties"]["space"]


def test_data_commands(tool: Tool, tmp_path: Path) -> None:
    out = tool("data", "show", "phantom", "--image-size", "16")
    assert "contact sheet: contact_sheet.png" in out
    assert (tmp_path / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def test_import_then_run_on_real_images(tool: Tool, tmp_path: Path, xrays: Path) -> None:
    out = tool("data", "import", str(xrays), "--out", "x16", "--image-size", "16")
    assert "x16/train/normal.npy: 1,000 images of 16x16" in out
    tool("run", "table3", "--data", "x16", *SMALL[:4], "--address", "inline")
    table = pd.read_csv(tmp_path / "runs/table3-1/report/table3.csv")
    assert list(table["published"]) == [0.83, 0.8025, 0.77, 0.7475, 0.7525]
    assert table["mean"].notna().all()
    assert set(table["inside"]) <= {"yes", "no"}
    assert (table["data"] == "x16").all()
    text = (tmp_path / "runs/table3-1/report/table3.md").read_text()
    assert "share a patient with training" in text
    assert "Differs from the paper" in text
    exists = tool("data", "import", str(xrays), "--out", "x16", code=2)
    assert "exists" in exists


def test_every_command_says_what_it_does() -> None:
    def walk(command: click.Command) -> Iterator[click.Command]:
        yield command
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                yield from walk(inner)

    for command in walk(cli.cli):
        assert command.help, command.name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (command.name, parameter.name)


def test_help_lists_each_command_once_in_a_line_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(itertools.chain(*cli.GROUPS.values())) == sorted(cli.cli.commands)
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(cli.cli, ["--help"]).output.splitlines()
    for name, command in cli.cli.commands.items():
        [line] = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.split(maxsplit=1)[1] == command.get_short_help_str(limit=200)
        assert line.endswith("."), "a whole sentence"
        assert len(line) <= 80


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_within_a_callback_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    class Collected:
        pass

    def command(**_: object) -> None:
        collected = Collected()
        reference = weakref.ref(collected, lambda _: signal.raise_signal(number))
        del collected  # what the signal's handler raises is ignored here
        assert reference() is None
        time.sleep(20)

    monkeypatch.setattr(cli.cli, "main", command)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
        cli.main(["ls"])
    assert ended.type is KeyboardInterrupt or ended.value.code == code  # type: ignore[attr-defined]


def test_an_interrupt_while_a_class_is_made_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Attribute:
        def __set_name__(self, *_: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", lambda **_: type("Made", (), {"attribute": Attribute()}))
    with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
        cli.main(["ls"])
    assert ended.type is KeyboardInterrupt or ended.value.code == 130  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_wheel_carries_spaces_and_documentation(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("tune_app-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def tool(*argv: str) -> str:
        called = [sys.executable, "-m", "tune_app", *argv]
        done = subprocess.run(called, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    tool("run", "grid", *SMALL, *POINT)
    assert (empty / "runs/grid-1/results.csv").is_file()
    page = tmp_path / "site/tune_app/docs/reference/columns.md"
    assert tool("docs", "columns") == page.read_text(encoding="utf-8")
