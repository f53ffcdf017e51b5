"""What the shell completes, driven as a shell does it: through the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import commands
import pytest

from tune_app import cli, space
from tune_app.cli.installation import find_pages
from tune_app.report import comparing, exporting, figures
from tune_app.sweep.paths import RunPaths

tool, first = commands.tool, commands.first
#: All kinds of figures; the fixture `tool` leaves only two.
KINDS = list(figures.KINDS)


def completed(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is told at the end of a line."""
    monkeypatch.setenv("_TUNE_APP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
    capsys.readouterr()
    commands.call()
    return [each.partition(",")[2] for each in capsys.readouterr().out.split()]


def test_names_are_completed(
    first: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").touch()
    Path("search_spaces").mkdir()
    Path("search_spaces/local.yaml").touch()

    def after(line: str) -> list[str]:
        return completed(line, monkeypatch, capsys)

    assert set(after("tune-app ")) == set(cli.cli.commands)
    assert after("tune-app exp") == ["export"]
    assert {*space.builtin_names(), "mine.yaml", "local"} == set(after("tune-app run "))
    assert after("tune-app check gr") == ["grid"]
    assert after("tune-app show ") == after("tune-app resume fi") == ["first"]
    assert after("tune-app show --runs-dir none ") == []
    assert after("tune-app logs first ") == [str(number) for number in range(1, 10)]
    assert after("tune-app retry first 1 2") == ["2"]
    assert after("tune-app logs none ") == []
    assert after("tune-app plot first ") == KINDS
    assert after("tune-app docs sam") == ["samplers"]
    assert after("tune-app docs ") == list(find_pages())
    assert after("tune-app run grid --stop ") == ["asha", "halving", "hyperband", "median", "none"]
    assert after("tune-app export first --format ") == list(exporting.FORMATS)
    assert after("tune-app compare first --format ") == list(comparing.FORMATS)
    assert "--no-figures" in after("tune-app report first --")


@pytest.mark.parametrize("damage", [None, b'{"event":"planned", damaged\n', b'{"event":"planned"}\n'])
def test_what_cannot_be_completed_prints_nothing(
    damage: bytes | None, first: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "none"
    if damage:
        name = first.name
        RunPaths(first).record.write_bytes(damage)
    monkeypatch.setenv("_TUNE_APP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"tune-app logs {name} ")
    monkeypatch.setenv("COMP_CWORD", "3")
    capsys.readouterr()
    assert commands.call() == 0
    found = capsys.readouterr()
    assert (found.out.strip(), found.err) == ("", "")


def test_a_completion_loads_nothing_heavy(first: Path) -> None:
    code = (
        "import sys\nfrom tune_app.cli import main\ntry:\n    main()\nexcept SystemExit:\n"
        "    heavy = {'torch', 'ray', 'pandas', 'optuna', 'scipy', 'matplotlib'}\n"
        "    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    for line, answer in (("tune-app logs first 9", "9"), ("tune-app run grid", "grid")):
        asked = {"_TUNE_APP_COMPLETE": "bash_complete", "COMP_WORDS": line}
        asked["COMP_CWORD"] = str(len(line.split()) - 1)
        argv = [sys.executable, "-c", code]
        ran = subprocess.run(argv, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
        assert (ran.stdout, ran.stderr) == (f"plain,{answer}\n", "[]\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_a_script(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_TUNE_APP_COMPLETE", f"{shell}_source")
    commands.call()
    assert re.search(rf"_TUNE_APP_COMPLETE={shell}_complete", capsys.readouterr().out)
