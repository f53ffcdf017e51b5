"""Which code results come from, and that results of differing code are not pooled without a word."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small_task
from lines import read, write

from tune_app import report, results
from tune_app import space as spaces
from tune_app.driver.driver import Driver
from tune_app.errors import RunError, TrialsFailed
from tune_app.report import compare
from tune_app.results import verdict
from tune_app.results import warnings as advice
from tune_app.session import lifecycle
from tune_app.session.request import LoadedTask, Request, request_for
from tune_app.sweep import Sweep, code
from tune_app.tasks import task_folder

TASK = """
from lib import first
def train(config, context):
    import local
    for _ in range(context.epochs):
        yield {"val_loss": config["x"] + first.add() + local.ADD}
"""
FILES = {
    "work.py": TASK,
    "lib/__init__.py": "",
    "lib/first.py": "import importlib\nfrom .deep import inner\n\n\n"
    "def add():\n    return inner.ADD + importlib.import_module('lib.late').ADD\n",
    "lib/deep/__init__.py": "",
    "lib/deep/inner.py": "ADD = 0\n",
    "lib/late.py": "ADD = 0\n",
    "local.py": "ADD = 0\n",
    "unused.py": "ADD = 0\n",
    ".venv/site-packages/local2.py": "ADD = 0\n",
}
IMPORTED = {name for name in FILES if "unused" not in name and "venv" not in name}
SPACE = (
    "task: work:train\nspace: {x: {grid: [1, 2]}}\nepochs: 2\nseeds: 2\nmetric: {name: val_loss, mode: min}"
)


def forget() -> None:
    """Forget what was imported, as a new process has."""
    task_folder._folders.clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a task that imports in every way."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield tmp_path
    forget()


def first(name: str = "one", **more: Any) -> tuple[Request, LoadedTask]:
    asked = Request(spaces.parse(SPACE, name="my"), name=name, address="inline", **more)
    return asked, asked.load()


def again(name: str = "one") -> tuple[Request, LoadedTask, Sweep]:
    forget()
    sweep = Sweep.open(Path("runs") / name)
    asked = request_for(sweep, address="inline")
    return asked, asked.load(sweep), sweep


def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the first of two configurations."""
    original = Driver.report

    def ending(self: Driver, *args: Any) -> bool:
        going = original(self, *args)
        if not going:
            self.ending = "a test"
        return going

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "report", ending)
        with pytest.raises(TrialsFailed):
            lifecycle.run(*first()).train()


def extend(more: str, code_changed: bool = False) -> Sweep:
    asked, loaded, sweep = again()
    wider = spaces.extend(sweep.space, **({"seeds": more} if more.startswith("+") else {"add": [more]}))
    return lifecycle.extend(asked, loaded, sweep, wider, more, code_changed=code_changed).train()


def warnings(sweep: Sweep) -> list[str]:
    frames = results.load(Sweep.open(sweep.paths.folder))
    return [each.text for each in advice.check(frames, verdict.judge(frames)) if each.kind == "code"]


def test_files_are_those_that_the_task_imports_in_whatever_way(folder: Path) -> None:
    Request(spaces.parse(SPACE), address="inline").load()
    found = code.collect("work:train")
    assert found.files is not None
    assert set(found.files) == IMPORTED
    assert code.differences(found, code.collect("work:train", ["unused.py"])) == []
    assert code.collect("pneumonia").files == {}
    elsewhere = ["../lib/first.py", "/etc/hosts.py", "lib/../../x.py", ".venv/site-packages/local2.py"]
    assert code.collect("work:train", elsewhere).found == {}
    assert {"torch", "numpy", "ray", "optuna", "python", "tune-app"} <= set(found.versions)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("edit", ["a comment", "line endings", "its time", "removed"])
def test_a_file_that_changed_is_named_and_no_other(folder: Path, name: str, edit: str) -> None:
    def now() -> code.CodeState:
        forget()
        Request(spaces.parse(SPACE), address="inline").load()
        return code.collect("work:train")

    before, path = now(), folder / name
    if edit == "removed":
        if name in ("work.py", "lib/__init__.py", "lib/first.py", "lib/deep/inner.py"):
            return  # the task cannot be imported
        path.unlink()
    else:
        text = path.read_bytes()
        path.write_bytes(text + b"# why\n" if edit == "a comment" else text)
        if edit == "line endings":
            path.write_bytes(text.replace(b"\n", b"\r\n"))
    changed = name in IMPORTED and edit in ("a comment", "removed")
    assert [each.split(" (")[0] for each in code.differences(before, now())] == [name] * changed


def test_what_changed_is_said_at_a_resume_refused_for_seeds_and_told_in_the_report(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    half(monkeypatch)
    lifecycle.resume(*again()).train()  # nothing has changed
    assert "code" not in capsys.readouterr().out
    assert warnings(again()[2]) == []
    for name in ("work.py", "lib/deep/inner.py"):
        (folder / name).write_text(FILES[name].replace("ADD = 0", "ADD = 100") + "# edited\n")
    version = code.version
    monkeypatch.setattr(code, "version", lambda name: "9.9.9" if name == "numpy" else version(name))
    monkeypatch.setattr(code, "versions", code.versions.__wrapped__)  # as in a new process
    with pytest.raises(RunError) as refused:
        extend("+1")
    assert refused.value.exit_code == 2
    changed = ("work.py", "lib/deep/inner.py", f"numpy {version('numpy')} -> 9.9.9")
    for part in (*changed, "--code-changed", "configurations 1, 2"):
        assert part in str(refused.value)
    assert Sweep.open("runs/one").history.extensions == []
    extend("{x: 3}")  # new configurations are compared, and pooled with nothing
    said = capsys.readouterr().out
    assert all(part in said for part in changed)
    assert "means" not in said
    mixed = extend("+1", code_changed=True)
    assert "means of configurations 1, 2" in capsys.readouterr().out
    told = warnings(mixed)
    assert "configurations 1, 2 " in told[0]
    assert all(part in " ".join(told[1:]) for part in (*changed, "session 3"))
    report.write(results.load(mixed), folder / "report", figures=False)
    for name in ("index.html", "report.md"):
        assert "lib/deep/inner.py" in (folder / "report" / name).read_text()


def test_a_resume_goes_on_with_other_code_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    half(monkeypatch)
    (folder / "local.py").rename(folder / "moved.py")
    (folder / "work.py").write_text(TASK.replace("import local", "import moved as local"))
    capsys.readouterr()
    sweep = lifecycle.resume(*again()).train()
    said = capsys.readouterr().out
    assert all(name in said for name in ("work.py", "local.py", "moved.py"))
    assert set(sweep.statuses()) == {"finished"}
    assert "compared" in warnings(sweep)[0]
    with pytest.raises(RunError, match="configuration 1:"):
        extend("+1")
    configs = [c.config for c in sweep.history.configurations.values()]
    capsys.readouterr()
    lifecycle.note_changed_code(sweep, configs[1:])
    assert capsys.readouterr().out == ""
    lifecycle.note_changed_code(sweep, configs)
    assert "configuration 1: " in capsys.readouterr().out
    other = lifecycle.run(*first("two", confirms="one")).train()
    assert warnings(other) == []
    (folder / "moved.py").write_text("ADD = 5\n")
    forget()
    other = lifecycle.run(*first("three", confirms="one")).train()
    assert len(warnings(other)) == 1
    for said in (warnings(other)[0], " ".join(compare([results.load(sweep), results.load(other)]).about)):
        assert "moved.py" in said
        assert "one" in said


def test_epochs_of_one_seed_that_come_from_differing_code_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = textwrap.dedent(small_task.TASK)
    (folder / "work.py").write_text(source)
    with monkeypatch.context() as patch:
        reports, original = [0], Driver.report

        def report(self: Driver, *args: Any) -> bool:
            going = original(self, *args)
            reports[0] += 1
            if reports[0] == 2:
                self.ending = "a test"
                return False
            return going

        patch.setattr(Driver, "report", report)
        with pytest.raises(TrialsFailed):
            small_task.run(small_task.request("work:Task"))
    (folder / "work.py").write_text(f"{source}# edited\n")
    capsys.readouterr()
    with pytest.raises(RunError, match="configuration 1:"):
        extend("+1")
    sweep = lifecycle.resume(*again()).train()
    assert [a.start_epoch for a in sweep.history.configurations[1].attempts] == [0, 2]
    assert "means of configuration 1." in capsys.readouterr().out
    assert "configuration 1 " in warnings(sweep)[0]


def test_an_older_record_says_nothing_of_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    half(monkeypatch)
    path = Path("runs/one/record.jsonl")
    found = [event for _, event in read(path) if event["event"] != "code"]
    for event in found:
        event.get("provenance", {}).pop("code", None)
    write(path, found)
    (folder / "work.py").write_text(TASK + "# edited\n")
    capsys.readouterr()
    assert warnings(lifecycle.resume(*again()).train()) == []
    assert "code" not in capsys.readouterr().out
    assert warnings(extend("+1")) == []


def test_a_process_with_other_code_than_its_session_is_recorded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unrecorded: Callable[..., dict[str, Any]] = code.unrecorded

    def elsewhere(reference: str, known: code.CodeState) -> dict[str, Any]:
        other = {"files": {"local.py": "0" * 64, "plugin.py": "1" * 64}, "versions": {"torch": "0.1"}}
        return other if context["sample"] == 2 else unrecorded(reference, known)

    start, context = Driver.start, {"sample": 0}

    def started(self: Driver, job: Any, **more: Any) -> str:
        context["sample"] = job.sample
        return start(self, job, **more)

    monkeypatch.setattr(code, "unrecorded", elsewhere)
    monkeypatch.setattr(Driver, "start", started)
    sweep = lifecycle.run(*first()).train()
    events = [event for _, event in read(sweep.paths.record) if event["event"] == "code"]
    assert [event["trial"] for event in events] == ["2.1"]
    told = warnings(sweep)
    for said in (capsys.readouterr().out, " ".join(told)):
        assert all(part in said for part in ("local.py", "torch", "0.1"))
        assert "plugin.py" not in said
