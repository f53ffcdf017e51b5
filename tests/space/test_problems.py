"""How messages name a fault of a file and its place."""

from __future__ import annotations

import pytest
from facts import lacking
from parsing import TASK, one, parse, refused

from tune_app import space


def test_the_message_shows_the_line_with_a_caret_under_the_fault() -> None:
    text = "# mine\ntask: pneumonia\nspace:\n  lr: {loguniforn: [1e-6, 1e-3]}\n"
    head, source, caret = refused(text).split("\n")
    assert lacking(head, ["my.yaml:4: space.lr: ", '"loguniforn"', '"loguniform"']) == []
    assert source == "    4 |   lr: {loguniforn: [1e-6, 1e-3]}"
    assert caret == "      |        ^"


@pytest.mark.parametrize(
    ("text", "line", "under"),
    [
        (f"{TASK}epochs: x\n", 2, "epochs: x"),
        (f"{TASK}epoch: 3\n", 2, "epoch: 3"),
        (f"{TASK}fixed: {{a: 1, b: .inf}}\n", 2, "b: .inf}"),
        (f"{TASK}space:\n  lr:\n    grid: [1, 2, 1.0]\n", 4, "1.0]"),
        (f"{TASK}stop:\n  grace_period: 1\n", 2, "stop:"),
        (f"{TASK}stop: {{scheduler: asha, grace_period: 99}}\n", 2, "grace_period: 99}"),
        (f'{TASK}fixed: {{"a b": 1}}\n', 2, '"a b": 1}'),
        (f"{TASK}task: x\n", 2, "task: x"),
    ],
)
def test_the_caret_points_at_the_fault(text: str, line: int, under: str) -> None:
    head, source, caret = refused(text).split("\n")[:3]
    assert head.startswith(f"my.yaml:{line}: ")
    assert source[caret.index("^") :] == under


def test_the_caret_counts_wide_letters_twice() -> None:
    source, caret = refused(f"{TASK}description: 肺炎\nfixed: {{a: '肺炎', b: .inf}}\n").split("\n")[1:]
    assert caret.index("^") == source.index("b: .inf") + 2


def test_the_first_fault_of_the_file_is_told_and_the_others_counted() -> None:
    message = refused("stop: {scheduler: x}\nepochs: 0\nseeds: 0\n")
    assert message.startswith("my.yaml:1: ")
    assert lacking(message.splitlines()[-1], ["3"]) == []  # scheduler or task, whichever is first
    assert refused(f"{TASK}seeds: 0\nepochs: 0\n").startswith("my.yaml:2: seeds: 0")


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    message = refused(f'{TASK}evaluate: "\\e[31m"\n')
    assert "\x1b" not in message
    assert '"\\x1b[31m"' in message


def test_an_error_of_a_later_module_points_into_the_file() -> None:
    text = f"{TASK}space:\n  lr: {{grid: [1]}}\nfixed: {{loss: bcee}}\nconfigs:\n  - {{lr: 7}}\n"
    loaded = space.parse(text, ["epochs=7"], file="my.yaml")
    assert str(loaded.error("loss", "no such loss")).startswith(
        "my.yaml:4: fixed.loss: no such loss\n    4 | "
    )
    assert str(loaded.error("space.lr", "too large")).startswith("my.yaml:3: space.lr: too large\n")
    assert str(loaded.error(("configs", 0, "lr"), "too large")).startswith("my.yaml:6: configs[0].lr: ")
    assert str(loaded.error("epochs", "too few")) == "--set epochs=7: epochs: too few"
    built = space.SearchSpace(task="pneumonia")
    assert str(built.error("epochs", "too few")) == "search space: epochs: too few"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("epochs: 1\nstop: {scheduler: asha}", ""),
        ("epochs: 3\nstop: {scheduler: asha, grace_period: 7}", "stop.grace_period=2"),
        ("epochs: 3\nstop: {scheduler: none, min_delta: 0.1}", "stop.patience=1"),
        ("stop: asha", "stop={scheduler: asha}"),
        ("search: grid", "search={algorithm: grid}"),
        ("description: 3", 'description="3"'),
        ("stop: {scheduler: ASHA}", "stop.scheduler=asha"),
    ],
)
def test_the_advised_value_of_a_key_is_accepted(text: str, advice: str) -> None:
    whole = f"task: a:b\n{text}\n"
    message = refused(whole)
    if advice:
        assert advice.partition("=")[2].replace('"', "") in message.replace('"', "")
        parse(whole, advice)
    else:
        assert "less" not in message


@pytest.mark.parametrize("written", ['"1_000"', '"inf"', '".nan"', '"9e999"', '"true"', '"١"'])
def test_quotes_are_in_the_way_of_finite_numbers_alone(written: str) -> None:
    assert "quotes" not in refused(one(f"lr: {{uniform: [0, {written}]}}"))
    assert "quotes" not in refused(f"{TASK}epochs: {written}\n")
