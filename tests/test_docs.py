"""The documentation: every block of code is run or at least parsed, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from docs_pages import PAGES, ROOT, Block, Page
from PIL import Image

import tune_app
from tune_app import cli, cluster, space
from tune_app.cli import options
from tune_app.report import figures
from tune_app.tasks import task_folder

#: Settings with which a command takes less time.
SMALL = ("--epochs", "5", "--seeds", "2", "--image-size", "8")
#: A third of the built-in grid.
FEW = ("--set", "step_size={grid: [4]}")
#: Where the commands of this installation are.
BIN = str(Path(sys.executable).parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Page) -> None:
    by_path = {each.path: each for each in PAGES}
    for target in page.links:
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.path.parent / file).resolve() if file else page.path
        assert path.exists(), target
        if anchor:
            assert anchor in by_path[path].sections, target


def test_the_index_lists_each_page_once() -> None:
    [index] = [page for page in PAGES if page.name == "docs/index.md"]
    listed = [(index.path.parent / link).resolve() for link in index.links]
    assert sorted(listed) == sorted(
        page.path for page in PAGES if len(page.path.relative_to(ROOT).parts) == 3
    )
    assert len({page.path.stem for page in PAGES}) == len(PAGES), "`tune-app docs PAGE` takes the name alone"


def test_what_the_code_says_of_pages_is_true() -> None:
    files = [*(ROOT / "tune_app").rglob("*.py"), *ROOT.glob("clusters/*"), ROOT / "cluster.yaml"]
    names = {page.path.stem for page in PAGES}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert [file for file in re.findall(r"docs/[\w/-]+\.md", text) if not (ROOT / file).is_file()] == []
        assert set(re.findall(r"tune-app docs ([a-z][\w-]*)", text)) <= names, path


def parse(line: str) -> dict[str, Any]:
    """The parameters that click gives the command of a line."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli.cli
    context: click.Context | None = None
    while isinstance(command, click.Group):
        assert words, line
        assert words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    context = command.make_context(command.name, list(words))
    context.close()
    return context.params


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_in_the_text_exists(page: Page) -> None:
    """Also one with words in its place, as in ``tune-app logs NAME TRIAL``."""
    for span in page.spans:
        if not span.startswith("tune-app ") or span in ("tune-app COMMAND --help", "tune-app --version"):
            continue
        words = re.sub(r"[\[\]]|\.\.\.", "", span).split()[1:]
        command: click.Command = cli.cli
        while isinstance(command, click.Group) and words:
            assert words[0] in command.commands, span
            command, words = command.commands[words[0]], words[1:]
        known = {"--help", *(name for parameter in command.params for name in parameter.opts)}
        assert {word for word in words if word.startswith("--")} <= known, span


def less(words: list[str], given: dict[str, Any]) -> list[str]:
    """What a command takes in addition here, so that it takes less time: few images, seeds and epochs."""
    match words[1]:
        case "run" | "check":
            asked = options.requested_space(given)
            phantom = asked.task == "pneumonia" and given["data"] is None
            grid = phantom and asked.search.algorithm == "grid"
            few = FEW if grid else ()
            return [*SMALL, *few, *(["--data", str(world() / "chest_xray")] if phantom else [])]
        case "confirm":
            return ["--seeds", "2"]
        case _:
            return []


class Player:
    """Plays the blocks of a page in its folder, in their order."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def play(self, block: Block) -> None:
        match block.language:
            case "sh" | "console":
                for line in block.commands:
                    self.command(line, block)
            case "zsh" | "fish":
                if shutil.which(block.language):
                    subprocess.run([block.language, "-c", block.content], check=True, timeout=60)
            case "yaml":
                self.keep(block)
                if re.search(r"^(task|space|configs):", block.content, re.M):
                    assert space.parse(block.content).size() >= 1
                else:
                    Path("part.yaml").write_text(block.content, encoding="utf-8")
                    assert cluster.check(Path("part.yaml")) is not None
            case "python":
                self.keep(block)
                code = compile(block.content, block.where, "exec", dont_inherit=True)
                if block.runs and not block.file:
                    exec(code, self.names)
            case _:
                assert block.language == "text", f"{block.where}: of which language?"

    def keep(self, block: Block) -> None:
        """Save a block whose first line names a file."""
        if block.file:
            Path(block.file).write_text(block.content, encoding="utf-8")

    def command(self, line: str, block: Block) -> None:
        words = shlex.split(line, comments=True)
        match words[0]:
            case "tune-app":
                given = parse(line)
                if block.runs:
                    self.main([*words[1:], *less(words, given)], line)
            case "make":
                assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), line
            case "pip" | ".venv/bin/pip":
                assert words[1] == "install", line
                assert "-c" not in words or (ROOT / words[words.index("-c") + 1]).is_file(), line
            case "ray":
                from ray.scripts import scripts

                scripts.cli.commands[words[1]].make_context(words[1], words[2:]).close()
            case "python" if words[1] == "-m":
                assert find_spec(words[2]), line
            case _ if block.runs:
                environment = {**os.environ, "HOME": str(Path.cwd()), "PATH": f"{BIN}:{os.environ['PATH']}"}
                subprocess.run(["bash", "-ec", line], check=True, env=environment, timeout=60)
            case word:
                assert word in ("python3", "source", "optuna-dashboard", ".venv/bin/pytest"), line

    def main(self, argv: list[str], line: str) -> None:
        with pytest.raises(SystemExit) as ended:
            cli.main(argv)
        assert ended.value.code in (0, None), line


@cache
def world() -> Path:
    """A folder with what the pages take for granted: a trained run, images, arrays, cluster files."""
    folder = Path(tempfile.mkdtemp(prefix="tune-app-docs-"))
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 10)):
        for label, place in enumerate(("NORMAL", "PNEUMONIA")):
            (folder / "chest_xray" / split / place).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 128, (20, 24), np.uint8) + np.uint8(100 * label)
                name = f"person{label}{number // 2}_{split}_{number}.png"
                Image.fromarray(pixels).save(folder / "chest_xray" / split / place / name)
    np.save(folder / "x.npy", rng.integers(0, 256, (600, 8, 8), np.uint8))
    np.save(folder / "y.npy", rng.integers(0, 10, 600))
    shutil.copy(ROOT / "cluster.yaml", folder)
    shutil.copy(ROOT / "constraints.txt", folder)
    shutil.copytree(ROOT / "clusters", folder / "clusters")
    [text] = [block.content for page in PAGES for block in page.blocks if block.file == "my.yaml"][:1]
    (folder / "my.yaml").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(figures, "KINDS", {})
        Player().main(["run", "my.yaml", "--address", "inline", "--data", "chest_xray", *SMALL, *FEW], "run")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Page], Path]:
    """Makes the folder in which a page is played; a tutorial begins with an empty one."""

    def make(page: Page) -> Path:
        if page.path.parent.name != "tutorial":
            shutil.copytree(world(), tmp_path, dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("RAY_ADDRESS", "inline")
        defaults = {**(tune_app.run.__kwdefaults__ or {}), "address": "inline"}
        monkeypatch.setattr(tune_app.run, "__kwdefaults__", defaults)
        drawn = ["intervals"] if "tune-app plot" in page.text else []
        monkeypatch.setattr(figures, "KINDS", {kind: figures.KINDS[kind] for kind in drawn})
        monkeypatch.setattr(sys, "argv", ["tune-app"])
        task_folder._folders.clear()  # as a new process begins
        return tmp_path

    return make


@pytest.mark.parametrize("page", [page for page in PAGES if page.blocks], ids=lambda page: page.name)
def test_each_block_of_code_works(page: Page, folder: Callable[[Page], Path]) -> None:
    folder(page)
    player = Player()
    for block in page.blocks:
        player.play(block)
