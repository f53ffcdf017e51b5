"""What a run or a model names is used where this user has named it before, or says that it may be."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_task import GRID, TASK, request, run

from tune_app import results
from tune_app.cli import main
from tune_app.errors import RunError, TrustError
from tune_app.session import saved_models, undo
from tune_app.session.request import request_for
from tune_app.session.session import Session
from tune_app.space import Search
from tune_app.sweep import Sweep, trust
from tune_app.sweep.events import Source

UserModule = Callable[[str], str]
SHORT = GRID.replace("epochs: 4", "epochs: 1")


def strange(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, this is another user's machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("state-of-another").absolute()))


def code(args: list[str]) -> Any:
    with pytest.raises(SystemExit) as end:
        main(
            [*args, "--address", "inline"]
            if args[0] in ("resume", "extend", "confirm", "rerun", "retry")
            else args
        )
    return end.value.code


@pytest.fixture
def task(user_module: UserModule) -> str:
    """A run ``one`` of a task of one's own, all of it trained."""
    name = f"{user_module(TASK)}:Task"
    run(request(name, SHORT))
    return name


def test_a_run_of_ones_own_goes_on_without_a_word_wherever_it_lies(task: str) -> None:
    Path("runs/one").rename("elsewhere")
    sweep = Sweep.open("elsewhere")
    assert request_for(sweep).space.task == task
    assert code(["extend", "elsewhere", "--seeds", "+1"]) == 0


@pytest.mark.parametrize(
    "command", [["extend", "one", "--seeds", "+1"], ["rerun", "one", "1"], ["confirm", "one"]]
)
def test_code_of_a_stranger_is_imported_only_when_asked(
    command: list[str], task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strange(monkeypatch)
    module = task.partition(":")[0]
    Path(f"{module}.py").write_text("raise SystemExit('was imported')\n")
    sys.modules.pop(module, None)
    assert code(command) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    for word in (task, str(Path("runs/one")), "--trust"):
        assert word in said


def test_what_was_trusted_once_is_not_asked_for_again(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strange(monkeypatch)
    sweep = Sweep.open("runs/one")
    with pytest.raises(TrustError):
        request_for(sweep)
    assert request_for(sweep, trust=True).space.task == task
    assert request_for(sweep).space.task == task


def test_naming_the_code_oneself_is_trust(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strange(monkeypatch)
    asked = request(task, SHORT)
    Session(asked, asked.load(), Sweep.open("runs/one"), lambda _: None).train()
    assert request_for(Sweep.open("runs/one")).space.task == task


@pytest.mark.parametrize("key", ["task", "sampler"])
def test_an_extension_names_no_other_code(key: str, user_module: UserModule) -> None:
    module = user_module(TASK + SAMPLER)
    text = "space: {lr: {loguniform: [0.01, 0.1]}}\nepochs: 1\nseeds: 1\n"
    search = f"search: {{algorithm: optuna, samples: 1, sampler: '{module}:Sampler'}}\n"
    sweep = run(request(f"{module}:Task", text + search))
    others: dict[str, dict[str, Any]] = {
        "task": {"task": f"{user_module(TASK)}:Task"},
        "sampler": {"search": search_of("tpe")},
    }
    assert len(trust.named(sweep.space, None, None)) == 2
    reader = Sweep.open("runs/one")
    with sweep.writing():
        sweep.extend(sweep.space.model_copy(update=others[key]), "--samples +1", from_start=False)
    with pytest.raises(RunError, match=rf"{key}: "):
        Sweep.open("runs/one")
    with pytest.raises(RunError, match=rf"{key}: "):
        reader.refresh()


def search_of(sampler: str) -> Search:
    return Search(algorithm="optuna", samples=2, sampler=sampler)


SAMPLER = """
    import optuna

    class Sampler(optuna.samplers.RandomSampler):
        pass
"""


def test_data_and_storage_of_a_stranger_are_left_alone(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    del user_module  # it moves to an empty folder
    Path("store").mkdir()
    text = "space: {lr: {grid: [0.001]}}\nepochs: 1\nseeds: 1\n"
    sweep = run(request("pneumonia", text, image_size=16, storage=str(Path("store").absolute())))
    Path("phantom").mkdir()  # a folder of that name is not what is loaded, and yet it is named
    asked = request_for(sweep)
    strange(monkeypatch)
    with pytest.raises(TrustError, match=r"the storage .*store"):
        request_for(sweep)
    with pytest.raises(TrustError, match=r"the storage .*store"):
        undo.undo(sweep)
    assert request_for(sweep, storage="none").storage is None
    assert request_for(sweep, storage=asked.storage).storage == asked.storage

    monkeypatch.setattr(sweep.history, "openings", [])
    for source in (Source("xrays", None, None, "", False), Source("phantom", "/xrays", None, "", False)):
        names = trust.named(sweep.space, source, None)
        assert names == [f"the data {source.path or source.data}"]
    assert trust.named(sweep.space, Source("course", None, None, "", False), None) == []


def test_a_model_of_ones_own_needs_no_trust_and_a_strangers_does(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = results.load(Sweep.open("runs/one"))
    saved_models.export(frames, 1, Path("own.pt"))
    Path("own.pt").rename("moved.pt")
    assert saved_models.predict(Path("moved.pt"), []) == []
    strange(monkeypatch)
    saved_models.export(frames, 1, Path("strange.pt"))  # of a run that is not this user's
    for name in ("moved.pt", "strange.pt"):
        with pytest.raises(TrustError, match=rf"^{name}: .*{task}.*--trust"):
            saved_models.predict(Path(name), [])
        assert saved_models.predict(Path(name), [], trust=True) == []
        assert saved_models.predict(Path(name), []) == []


def test_whatever_shows_results_imports_no_code(
    task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strange(monkeypatch)
    module = task.partition(":")[0]
    Path(f"{module}.py").write_text("raise SystemExit('was imported')\n")
    sys.modules.pop(module, None)
    shutil.copytree("runs/one", "runs/two")
    for command in (
        ["show", "one"],
        ["best", "one", "--model", "m.pt"],
        ["export", "one"],
        ["compare", "one", "two"],
        ["report", "one", "--no-figures"],
        ["ls"],
        ["resume", "one"],  # which lacks nothing
        ["prune", "one"],
    ):
        assert code(command) == 0, command
    assert module not in sys.modules
    assert "was imported" not in "".join(capsys.readouterr())


def test_without_a_folder_of_the_users_own_trust_is_asked_for_each_time(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("file").absolute()))
    sweep = Sweep.open("runs/one")
    for _ in range(2):
        assert request_for(sweep, trust=True).space.task == task
        with pytest.raises(TrustError):
            request_for(sweep)


def test_a_changed_header_is_another_run(task: str) -> None:
    record = Path("runs/one/record.jsonl")
    first, rest = record.read_text().split("\n", 1)
    header = json.loads(first)
    before = trust.identity_of_run(record)
    record.write_text(json.dumps({**header, "seed": header["seed"] + 1}) + "\n" + rest)
    assert trust.identity_of_run(record) != before
    assert not trust.trusted(trust.identity_of_run(record), trust.of_task(task))
