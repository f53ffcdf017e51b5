from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from facts import lacking

from tune_app import space
from tune_app.errors import SpaceError

TASK = "task: pneumonia\n"


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(SpaceError) as caught:
        space.parse(text, overrides, file="my.yaml")
    return str(caught.value)


def one(parameter: str) -> str:
    """A file whose third line is the parameter in question."""
    return f"{TASK}space:\n  {parameter}\nsearch: {{algorithm: random, samples: 3}}\n"


MALFORMED: list[tuple[str, str, list[str]]] = [
    # the file as YAML
    ("empty", "", ["my.yaml: ", "empty", "task: pneumonia"]),
    ("only a comment", "# nothing\n", ["my.yaml: ", "empty"]),
    ("a list", "- 1\n", ["my.yaml:1: ", "mapping", "not [1]"]),
    ("a word", "pneumonia\n", ["my.yaml:1: ", "mapping", 'not "pneumonia"']),
    ("null", "~\n", ["my.yaml: ", "empty"]),
    ("tab", f"{TASK}fixed:\n\tlr: 1\n", ["my.yaml:3: ", "tab", "spaces"]),
    ("unclosed", f"{TASK}space: {{lr: [1, 2\n", ["my.yaml:2: ", "YAML"]),
    ("two colons", f"{TASK}epochs: 3: 4\n", ["my.yaml:2: ", "YAML", "mapping"]),
    ("unclosed quote", 'task: "pneumonia\n', ["my.yaml:1: ", "YAML", "quoted"]),
    ("control character", f"{TASK}description: a\x07b\n", ["my.yaml:2: ", "control", "U+0007"]),
    ("two documents", f"{TASK}---\n{TASK}", ["my.yaml:2: ", "document"]),
    ("anchor", f"{TASK}fixed: &all {{lr: 1}}\n", ["my.yaml:2: ", "anchors"]),
    ("alias", f"{TASK}fixed: *all\n", ["my.yaml:2: ", "anchors"]),
    ("tag", f"{TASK}epochs: !!int 3\n", ["my.yaml:2: ", "tags"]),
    ("too deep", f"{TASK}fixed: {'[' * 5000}\n", ["my.yaml:2: ", "nested"]),
    ("too many digits", f"{TASK}seed: {'9' * 5000}\n", ["my.yaml:2: ", "5000"]),
    ("duplicate key", f"{TASK}epochs: 3\nepochs: 4\n", ["my.yaml:3: epochs: ", "twice", "line 2"]),
    ("duplicate parameter", one("lr: {grid: [1]}\n  lr: {grid: [2]}"), ["my.yaml:4: space.lr: ", "line 3"]),
    ("number as key", f"{TASK}fixed: {{3: 4}}\n", ["my.yaml:2: ", "3"]),
    ("null as key", f"{TASK}fixed:\n  null: 4\n", ["my.yaml:3: ", "null"]),
    ("list as key", f"{TASK}fixed:\n  ? [a]\n  : 4\n", ["my.yaml:3: "]),
    # keys
    ("no task", "epochs: 3\n", ["my.yaml:1: task: ", "missing", "task: pneumonia"]),
    ("unknown key", f"{TASK}epoch: 3\n", ["my.yaml:2: ", '"epoch"', '"epochs"']),
    ("parameter at the top", f"{TASK}lr: 3\n", ["my.yaml:2: ", '"lr"', "fixed"]),
    (
        "unknown inner key",
        f"{TASK}stop:\n  scheduler: asha\n  grace_perid: 3\n",
        ["my.yaml:4: stop: ", '"grace_perid"', '"grace_period"'],
    ),
    ("far inner key", f"{TASK}stop: {{scheduler: asha, zzz: 3}}\n", ["scheduler"]),
    (
        "missing inner key",
        f"{TASK}metric:\n  name: auc\n",
        ["my.yaml:2: metric.mode: ", "mode: max"],
    ),
    ("empty section", f"{TASK}fixed:\nepochs: 3\n", ["my.yaml:2: fixed: ", "{}"]),
    ("section is a word", f"{TASK}stop: asha\n", ["my.yaml:2: stop: ", '"asha"', "mapping"]),
    # values of keys
    ("task is no name", "task: a b\n", ["my.yaml:1: task: ", '"a b"', "module:attribute"]),
    ("task is a number", "task: 3\n", ["my.yaml:1: task: ", "3", "text"]),
    ("quoted epochs", f'{TASK}epochs: "3"\n', ["my.yaml:2: epochs: ", '"3"', "quotes away"]),
    ("true epochs", f"{TASK}epochs: true\n", ["my.yaml:2: epochs: ", "true"]),
    ("float epochs", f"{TASK}epochs: 4.0\n", ["my.yaml:2: epochs: ", "4.0"]),
    ("no epochs", f"{TASK}epochs: 0\n", ["my.yaml:2: epochs: ", "0", "1"]),
    ("no seeds", f"{TASK}seeds: 0\n", ["my.yaml:2: seeds: ", "0", "1"]),
    ("seeds without end", f"{TASK}seeds: 300000000\n", ["my.yaml:2: seeds: ", "300,000,000", "1000000"]),
    ("seeds of many", one("a: {grid: [1, 3]}") + "seeds: 500001\n", [": seeds: ", "500,001", "166666"]),
    ("epochs without end", f"{TASK}epochs: 300000000\n", ["my.yaml:2: epochs: ", "1000000"]),
    ("epochs of many", f"{TASK}epochs: 20000\nseeds: 100000\n", ["my.yaml:2: epochs: ", "20,000", "10000"]),
    (
        "samples without end",
        f"{TASK}space: {{lr: {{uniform: [0, 1]}}}}\nsearch: {{algorithm: optuna, samples: 300000000}}\n",
        ["my.yaml:3: search.samples: ", "1,000,000"],
    ),
    ("negative seed", f"{TASK}seed: -1\n", ["my.yaml:2: seed: ", "-1", "0"]),
    ("huge seed", f"{TASK}seed: 4294967296\n", ["my.yaml:2: seed: ", "4294967296", "4294967295"]),
    (
        "mode",
        f"{TASK}metric: {{name: auc, mode: maxx}}\n",
        ["metric.mode: ", "max", "min", '"max"?'],
    ),
    ("sealed", f"{TASK}metric: {{name: test_auc, mode: max}}\n", ["metric.name: ", "sealed", "val_auc"]),
    ("metric name", f"{TASK}metric: {{name: a-b, mode: max}}\n", ["metric.name: ", " _"]),
    (
        "no metrics",
        f"{TASK}metric: []\n",
        ["my.yaml:2: metric: ", "empty", "list", "{name: val_accuracy, mode: max}"],
    ),
    ("metrics of words", f"{TASK}metric: [auc]\n", ["my.yaml:2: metric[0]: ", '"auc"', "mapping"]),
    (
        "a second metric",
        f"{TASK}metric:\n  - {{name: auc, mode: max}}\n  - {{name: loss, mode: low}}\n",
        ["my.yaml:4: metric[1].mode: ", '"low"', "max", "min"],
    ),
    (
        "a second metric's key",
        f"{TASK}metric: [{{name: auc, mode: max}}, {{name: loss, mode: min, goal: 3}}]\n",
        ["my.yaml:2: metric[1]: ", '"goal"'],
    ),
    (
        "a second sealed metric",
        f"{TASK}metric: [{{name: auc, mode: max}}, {{name: test_loss, mode: min}}]\n",
        ["my.yaml:2: metric[1].name: ", "sealed", "val_loss"],
    ),
    (
        "a metric twice",
        f"{TASK}metric:\n  - {{name: auc, mode: max}}\n  - {{name: auc, mode: min}}\n",
        ["my.yaml:4: metric[1].name: ", '"auc"', "list", "twice"],
    ),
    *(
        (
            f"{sampler} for two metrics",
            one("a: {uniform: [1, 3]}").replace("random", f"optuna, sampler: '{sampler}'")
            + "metric: [{name: auc, mode: max}, {name: loss, mode: min}]\n",
            ["my.yaml:4: search.sampler: several metrics are searched by tpe, nsga2, random or qmc", sampler],
        )
        for sampler in ("gp", "cmaes", "mine:Sampler")
    ),
    (
        "stop by another metric",
        f"{TASK}stop: {{scheduler: asha, metric: val_acuracy}}\n",
        ["my.yaml:2: stop.metric: ", '"val_acuracy"', '"val_accuracy"'],
    ),
    (
        "stop by no metric of these",
        f"{TASK}metric: [{{name: auc, mode: max}}, {{name: loss, mode: min}}]\n"
        "stop: {scheduler: asha, metric: z}\n",
        ["my.yaml:3: stop.metric: ", "auc", "loss"],
    ),
    (
        "stop by a test metric",
        f"{TASK}stop: {{scheduler: asha, metric: test_auc}}\n",
        ["stop.metric: ", "sealed"],
    ),
    ("evaluate", f"{TASK}evaluate: lst\n", ["my.yaml:2: evaluate: ", '"lst"', '"last"?']),
    ("scheduler", f"{TASK}stop: {{scheduler: asah}}\n", ["stop.scheduler: ", '"asha"']),
    ("no reduction", f"{TASK}stop: {{scheduler: asha, reduction_factor: 1}}\n", ["1"]),
    ("infinite reduction", f"{TASK}stop: {{scheduler: asha, reduction_factor: .inf}}\n", ["not finite"]),
    (
        "unreachable rung",
        f"{TASK}epochs: 3\nstop:\n  scheduler: asha\n  grace_period: 3\n",
        ["my.yaml:5: stop.grace_period: ", "epochs, 3"],
    ),
    (
        "unreachable median",
        f"{TASK}space: {{lr: {{grid: [1, 2, 3, 4]}}}}\nepochs: 3\nstop:\n"
        "  scheduler: median\n  grace_period: 3\n",
        ["my.yaml:6: stop.grace_period: ", "epochs, 3", "scheduler: none"],
    ),
    (
        "unreachable hyperband",
        f"{TASK}epochs: 3\nstop:\n  grace_period: 4\n  scheduler: hyperband\n  brackets: 2\n",
        ["my.yaml:4: stop.grace_period: ", "4", "epochs", "3"],
    ),
    (
        "unreachable patience",
        f"{TASK}epochs: 5\nstop:\n  scheduler: none\n  patience: 5\n",
        ["my.yaml:5: stop.patience: ", "1", "5", "epochs", "3"],
    ),
    (
        "patience for one epoch less",
        f"{TASK}epochs: 5\nstop:\n  scheduler: none\n  patience: 4\n",
        ["my.yaml:5: stop.patience: ", "1", "4", "3"],
    ),
    (
        "patience without any epoch",
        f"{TASK}epochs: 2\nstop: {{scheduler: none, patience: 1}}\n",
        ["my.yaml:3: stop.patience: ", "epochs"],
    ),
    ("no patience", f"{TASK}stop: {{scheduler: none, patience: 0}}\n", ["stop.patience: ", "0", "1"]),
    (
        "negative delta",
        f"{TASK}stop: {{scheduler: none, min_delta: -1}}\n",
        ["stop.min_delta: ", "-1", "0"],
    ),
    (
        "delta without patience",
        f"{TASK}stop:\n  scheduler: asha\n  min_delta: 0.1\n",
        ["my.yaml:4: stop.min_delta: ", "patience: 5"],
    ),
    (
        "too many brackets",
        f"{TASK}stop:\n  scheduler: hyperband\n  brackets: 5\n",
        ["my.yaml:4: stop.brackets: ", "4", "[1, 3, 9, 27]"],
    ),
    (
        "brackets of asha",
        f"{TASK}stop:\n  scheduler: asha\n  brackets: 3\n",
        ["my.yaml:4: stop.brackets: ", "bracket", "scheduler: hyperband"],
    ),
    (
        "median of too few",
        f"{TASK}space: {{lr: {{grid: [1, 2]}}}}\nconfigs: [{{lr: 3}}]\nstop:\n  scheduler: median\n"
        "  min_samples_required: 3\n",
        ["my.yaml:6: stop.min_samples_required: ", "3", "2", "min_samples_required: 2"],
    ),
    (
        "median of nobody",
        f"{TASK}configs: [{{lr: 3}}]\nstop: {{scheduler: median}}\n",
        ["my.yaml:3: stop.min_samples_required: ", "0", "scheduler: none"],
    ),
    ("no CPU", f"{TASK}resources: {{cpus_per_trial: 0}}\n", ["resources.cpus_per_trial: ", "0"]),
    ("GPU and a half", f"{TASK}resources: {{gpus_per_trial: 1.5}}\n", ["1.5", "2"]),
    ("quoted GPU", f"{TASK}resources: {{gpus_per_trial: '1'}}\n", ['"1"', "quotes away"]),
    ("no trial", f"{TASK}resources: {{max_concurrent: 0}}\n", ["resources.max_concurrent: ", "0"]),
    # search
    ("algorithm", f"{TASK}search: {{algorithm: rndom, samples: 1}}\n", ["search.algorithm: ", '"random"?']),
    ("samples of a grid", f"{TASK}search: {{algorithm: grid, samples: 3}}\n", ["search.samples: ", "leave"]),
    ("no samples", f"{TASK}search:\n  algorithm: random\n", ["my.yaml:2: search.samples: ", "missing"]),
    (
        "sampler of random",
        one("a: {randint: [1, 3]}").replace("random", "random, sampler: tpe"),
        ["my.yaml:4"],
    ),
    (
        "optuna's sampler",
        one("a: {randint: [1, 3]}").replace("random", "optuna, sampler: tpa"),
        ["my.yaml:4: search.sampler: ", '"tpa"', "tpe", "gp", '"tpe"'],
    ),
    ("nothing for optuna", f"{TASK}search: {{algorithm: optuna, samples: 3}}\n", ["optuna"]),
    ("nothing random", one("a: {grid: [1, 3]}"), ["my.yaml:4: search.algorithm: "]),
    (
        "no search",
        f"{TASK}space:\n  lr: {{uniform: [0, 1]}}\n",
        ["my.yaml:3: space.lr: ", "search: ", "{algorithm: random, samples: 50}"],
    ),
    ("grid of optuna", one("a: {grid: [1, 3]}").replace("random", "optuna"), ["{choice: [1, 3]}"]),
    (
        "optuna's randn",
        one("a: {randn: [1, 3]}").replace("random", "optuna"),
        ["{uniform: [-8.0, 10.0]}"],
    ),
    (
        "optuna's qloguniform",
        one("a: {qloguniform: [1, 3, 1]}").replace("random", "optuna"),
        ["{quniform: [1.0, 3.0, 1.0]}"],
    ),
    (
        "a slip of the pen",
        one("a: {randint: [1, 9]}").replace("3}", "9999999}"),
        ["1,000,000 configurations"],
    ),
    # samplers
    (
        "unknown sampler",
        one("lr: {loguniforn: [1e-6, 1e-3]}"),
        ["my.yaml:3: space.lr: ", '"loguniforn"', '"loguniform"'],
    ),
    ("far sampler", one("lr: {zzz: [1, 2]}"), ["my.yaml:3", "grid", "choice"]),
    ("bare value", one("lr: 3e-6"), ["my.yaml:3: space.lr: ", "{grid: [3e-06]}", "fixed:"]),
    ("bare list", one("lr: [1, 2]"), ["my.yaml:3: space.lr: ", "{grid: [1, 2]}"]),
    ("nothing", one("lr:"), ["my.yaml:3: space.lr: ", "fixed:"]),
    ("no sampler", one("lr: {}"), ["my.yaml:3: space.lr: "]),
    ("two samplers", one("lr: {grid: [1], choice: [2]}"), ["grid", "choice"]),
    ("no list", one("lr: {grid: 3}"), ["my.yaml:3: space.lr: ", "grid", "list", "not 3"]),
    ("empty grid", one("lr: {grid: []}"), ["my.yaml:3: space.lr: ", "empty", "grid"]),
    ("empty choice", one("lr: {choice: []}"), ["empty", "choice"]),
    ("list in grid", one("lr: {grid: [[1]]}"), ["[1]", "list"]),
    ("infinite in grid", one("lr: {grid: [.inf]}"), [".inf", "finite"]),
    ("4 and 4.0", one("lr: {grid: [4, 4.0]}"), ["4.0", "grid", "twice"]),
    ("twice", one("lr: {choice: [a, b, a]}"), ['"a"', "choice", "twice"]),
    ("three bounds", one("lr: {uniform: [1, 2, 3]}"), ["uniform", "[min, max]", "[1, 2, 3]", "3"]),
    ("no q", one("lr: {quniform: [1, 2]}"), ["quniform", "[min, max, q]"]),
    ("word as bound", one("lr: {uniform: [a, 2]}"), ['"a"']),
    ("quoted bound", one("lr: {uniform: ['1', 2]}"), ["quotes away"]),
    ("true as bound", one("lr: {uniform: [true, 2]}"), ["true"]),
    ("nan as bound", one("lr: {uniform: [.nan, 2]}"), [".nan", "finite"]),
    ("beyond", one("lr: {uniform: [0, 1e200]}"), ["1e+200", "1e100"]),
    ("int beyond", one("lr: {randint: [0, 9007199254740993]}"), ["beyond 2**53"]),
    ("float for randint", one("lr: {randint: [1.0, 3]}"), ["1.0", "write 1"]),
    ("min above max", one("lr: {uniform: [2, 1]}"), ["min", "2.0", "max", "1.0", "[1.0, 2.0]"]),
    ("min is max", one("lr: {randint: [2, 2]}"), ["min", "2", "max"]),
    ("log of 0", one("lr: {loguniform: [0, 1]}"), ["0.0", "logarithm", "use uniform"]),
    ("log of -1", one("lr: {lograndint: [-1, 5]}"), ["-1", "logarithm", "use randint"]),
    ("q of 0", one("lr: {quniform: [0, 1, 0]}"), ["0.0", "step"]),
    ("q of -2", one("lr: {qrandint: [0, 4, -2]}"), ["-2"]),
    ("q of 1", one("lr: {qrandint: [0, 4, 1]}"), ["{randint: [0, 5]}"]),
    ("q too fine", one("lr: {quniform: [0, 1e50, 1]}"), ["step"]),
    ("q misses", one("lr: {qrandint: [4, 5, 3]}"), ["3"]),
    (
        "not a multiple",
        one("lr: {quniform: [0, 1, 0.3]}"),
        ["1.0", "0.3", "0.9", "1.2"],
    ),
    ("no spread", one("lr: {randn: [0, 0]}"), ["0.0"]),
    # when
    ("when is a word", one("a: {randint: [1, 3], when: b}"), ["my.yaml:3: space.a: ", "mapping"]),
    ("when nothing", one("a: {randint: [1, 3], when: {b: []}}"), []),
    ("when twice", one("a: {randint: [1, 3], when: {b: [1, 1]}}"), ["1", "list", "twice"]),
    ("when a mapping", one("a: {randint: [1, 3], when: {b: {c: 1}}}"), ["mapping"]),
    (
        "when whom",
        one("loss: {choice: [bce]}\n  a: {randint: [1, 3], when: {los: bce}}"),
        ["my.yaml:4: space.a: when: ", '"los"', '"loss"'],
    ),
    ("when itself", one("a: {randint: [1, 3], when: {a: 1}}"), ["itself"]),
    (
        "circle",
        one(
            "a: {choice: [1], when: {b: 1}}\n  b: {choice: [1], when: {c: 1}}\n"
            "  c: {choice: [1], when: {a: 1}}"
        ),
        ["my.yaml:3: space.a: when: ", "2"],
    ),
    ("never", one("a: {choice: [1]}\n  b: {choice: [1], when: {a: 2}}"), ["my.yaml:4", "never", "2"]),
    ("never drawn", one("a: {randint: [1, 4]}\n  b: {choice: [1], when: {a: 4}}"), ["never", "4"]),
    ("off the steps", one("a: {quniform: [0, 1, 0.1]}\n  b: {choice: [1], when: {a: 0.15}}"), ["never 0.15"]),
    ("true is not 1", one("a: {choice: [1]}\n  b: {choice: [1], when: {a: true}}"), ["never", "true"]),
    ("continuous", one("a: {uniform: [0, 1]}\n  b: {choice: [1], when: {a: 0.5}}"), ["continuous range"]),
    (
        "fixed otherwise",
        f"{TASK}space:\n  b: {{grid: [1], when: {{a: 2}}}}\nfixed: {{a: 1}}\n",
        ["my.yaml:3: space.b: when: ", "fixed", "1", "never"],
    ),
    # names, fixed, configs
    (
        "both",
        f"{TASK}space: {{lr: {{grid: [1]}}}}\nfixed: {{lr: 1}}\n",
        ["my.yaml:3: fixed.lr: "],
    ),
    ("list in fixed", f"{TASK}fixed: {{lr: [1]}}\n", ["my.yaml:2: fixed.lr: ", "[1]", "list"]),
    ("nan in fixed", f"{TASK}fixed: {{lr: .nan}}\n", ["fixed.lr: ", ".nan", "finite"]),
    ("half a character", f'{TASK}fixed: {{lr: "\\ud800"}}\n', ['"\\ud800"']),
    ("dot in a name", f"{TASK}fixed: {{a.b: 1}}\n", ["my.yaml:2: fixed: ", '"a.b"']),
    ("a column", f"{TASK}fixed: {{status: 1}}\n", ["my.yaml:2: fixed: ", '"status"', "column"]),
    ("configs is a mapping", f"{TASK}configs: {{lr: 1}}\n", ["my.yaml:2: configs: ", "{lr: 1}", "list"]),
    ("a point is a number", f"{TASK}configs:\n  - 3\n", ["my.yaml:3: configs[0]: ", "3", "mapping"]),
    ("a point's list", f"{TASK}configs:\n  - {{lr: [3]}}\n", ["my.yaml:3: configs[0].lr: ", "[3]", "list"]),
    (
        "a point names what is fixed",
        f"{TASK}fixed: {{lr: 1}}\nconfigs:\n  - {{lr: 3}}\n",
        ["my.yaml:4: configs[0].lr: ", "fixed", "1"],
    ),
    (
        "a point twice",
        f"{TASK}configs:\n  - {{lr: 3}}\n  - {{lr: 3.0}}\n",
        ["my.yaml:4: configs[1]: ", "configs[0]"],
    ),
    (
        "a point lacks a parameter",
        f"{TASK}space: {{lr: {{grid: [1]}}}}\nconfigs:\n  - {{ls: 3}}\n",
        ["my.yaml:4: configs[0]: ", "lr", "missing"],
    ),
    (
        "a point has what cannot exist",
        f"{TASK}space:\n  a: {{grid: [1, 2]}}\n  b: {{grid: [1], when: {{a: 2}}}}\n"
        "configs:\n  - {a: 1, b: 1}\n",
        ["my.yaml:6: configs[0].b: ", "2"],
    ),
]


@pytest.mark.parametrize(
    ("text", "facts"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_every_malformed_file_is_refused_in_a_plain_sentence(text: str, facts: list[str]) -> None:
    message = refused(text)
    assert lacking(message, facts) == [], message
    # nothing of the libraries underneath, and a place in the file
    assert not re.search(r"pydantic|Traceback|validation error|Input should|ruamel", message)
    assert message.startswith("my.yaml:")


def test_the_message_shows_the_line_with_a_caret_under_the_fault() -> None:
    text = "# mine\ntask: pneumonia\nspace:\n  lr: {loguniforn: [1e-6, 1e-3]}\n"
    head, source, caret = refused(text).split("\n")
    assert lacking(head, ["my.yaml:4: space.lr: ", '"loguniforn"', '"loguniform"']) == []
    assert source == "    4 |   lr: {loguniforn: [1e-6, 1e-3]}"
    assert caret == "      |        ^"


@pytest.mark.parametrize(
    ("text", "line", "under"),
    [
        (f"{TASK}epochs: x\n", 2, "x"),
        (f"{TASK}epoch: 3\n", 2, "epoch: 3"),
        (f"{TASK}fixed: {{a: 1, b: [2]}}\n", 2, "[2]}"),
        (f"{TASK}space:\n  lr:\n    grid: [1, 2, 1.0]\n", 4, "1.0]"),
        (f"{TASK}stop:\n  grace_period: 1\n", 2, "stop:"),
        (f"{TASK}stop: {{scheduler: asha, grace_period: 99}}\n", 2, "99}"),
        (f'{TASK}fixed: {{"a b": 1}}\n', 2, '"a b": 1}'),
        (f"{TASK}task: x\n", 2, "task: x"),
    ],
)
def test_the_caret_points_at_the_fault(text: str, line: int, under: str) -> None:
    head, source, caret = refused(text).split("\n")[:3]
    assert head.startswith(f"my.yaml:{line}: ")
    assert source[caret.index("^") :] == under


def test_the_caret_counts_wide_letters_twice() -> None:
    source, caret = refused(f"{TASK}description: 肺炎\nfixed: {{a: '肺炎', b: []}}\n").split("\n")[1:]
    assert caret.index("^") == source.index("[]") + 2


def test_the_first_fault_of_the_file_is_told_and_the_others_counted() -> None:
    message = refused("stop: {scheduler: x}\nepochs: 0\nseeds: 0\n")
    assert message.startswith("my.yaml:1: ")
    assert lacking(message.splitlines()[-1], ["3"]) == []  # scheduler or task, whichever is first
    assert refused(f"{TASK}seeds: 0\nepochs: 0\n").startswith("my.yaml:2: seeds: 0")


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    message = refused(f'{TASK}evaluate: "\\e[31m"\n')
    assert "\x1b" not in message
    assert '"\\x1b[31m"' in message


GRID = f"{TASK}space:\n  lr: {{grid: [3e-6, 3e-5]}}\nfixed: {{gamma: 0.4}}\n"


@pytest.mark.parametrize(
    ("override", "facts"),
    [
        ("nonsense", ["no key=value", "--set epochs=5"]),
        ("=3", ["no key=value"]),
        ("fixed.=3", ["no key=value"]),
        ("epochs=x", ["epochs: ", '"x"']),
        ("epochs=", ["epochs: ", "null"]),
        ("epochs=4.0", ["epochs: ", "4.0"]),
        ("epoch=4", ['called "epoch"', '"epochs"']),
        ("gama=4", ['called "gama"', '"gamma"']),
        ("zzz=4", ['called "zzz"', "lr", "gamma"]),
        ("stopp.grace_period=4", ['"stopp"', '"stop"']),
        (
            "stop={scheduler: asha, grace_perid: 4}",
            ["stop: ", '"grace_perid"', '"grace_period"'],
        ),
        ("stop.grace_period=4", ["stop.scheduler: missing"]),
        ("epochs.x=4", ["epochs: ", "{x: 4}"]),
        ("task.x=4", ['"pneumonia"']),
        ("lr=[1, 2]", ["{grid: [1, 2]}"]),
        ("lr={grid: [1, 2}", ["YAML"]),
        ("lr={a: 1, a: 2}", ["twice"]),
        ("lr=!!str 1", ["tags"]),
        ("lr={loguniforn: [1, 2]}", ['"loguniforn"', '"loguniform"']),
        ("lr={grid: [1, 1]}", ["1", "grid", "twice"]),
        ("fixed.lr=4", ["fixed.lr: "]),
        ("space.gamma={grid: [1]}", ["fixed.gamma: "]),
    ],
)
def test_a_wrong_override_is_named_as_it_was_typed(override: str, facts: list[str]) -> None:
    message = refused(GRID, override)
    assert lacking(message, facts) == [], message
    if override != "space.gamma={grid: [1]}":  # there it is the file's own line that now is in the way
        assert message.startswith(f"--set {override}: ")


def test_overrides_are_told_after_the_faults_of_the_file() -> None:
    message = refused(f"{TASK}seeds: 0\n", "epochs=0")
    assert message.startswith("my.yaml:2: seeds: 0")
    assert lacking(message.splitlines()[-1], ["1"]) == []


def test_a_point_by_point_parameter_has_no_shorthand() -> None:
    message = refused(f"{TASK}configs:\n  - {{lr: 1}}\n", "lr=2")
    assert lacking(message, ["--set lr=2: ", '"lr"', "configs"]) == []


def test_a_conditional_parameter_is_not_silently_made_unconditional() -> None:
    text = f"{TASK}space:\n  a: {{grid: [1, 2]}}\n  b: {{grid: [1, 2], when: {{a: 2}}}}\n"
    message = refused(text, "b=2")
    mend = "b={grid: [2], when: {a: 2}}"
    assert f"--set '{mend}'" in message
    assert len(space.parse(text, [mend]).planned()) == 2


class TestFinding:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def refused(self, ref: str | Path) -> str:
        with pytest.raises(SpaceError) as caught:
            space.load(ref)
        return str(caught.value)

    def test_an_unknown_name_says_where_it_looked(self) -> None:
        places = ["./grd", "./search_spaces/grd.yaml", "grid, loss, optuna, table3"]
        assert lacking(self.refused("grd"), ['"grd"', '"grid"', *places]) == []

    def test_a_near_file_is_suggested(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(TASK)
        assert '"mine.yaml"' in self.refused("mime.yaml")
        assert f": {tmp_path}/nothing.yaml, " in self.refused(tmp_path / "nothing.yaml")

    def test_a_path_a_local_name_and_a_built_in_one(self, tmp_path: Path) -> None:
        assert space.find("grid").name == "grid.yaml"
        assert len(space.load("grid").planned()) == 9
        local = tmp_path / "search_spaces"
        local.mkdir()
        (local / "grid.yml").write_text(TASK)
        assert space.find("grid") == Path("search_spaces/grid.yml")  # before the built-in one
        (local / "grid.yaml").write_text(TASK)
        assert space.find("grid") == Path("search_spaces/grid.yaml")
        (tmp_path / "grid").write_text(TASK)
        assert space.find("grid") == Path("grid")
        assert space.load("./grid").name == "grid"

    def test_a_folder_of_the_name_does_not_hide_the_space(self, tmp_path: Path) -> None:
        (tmp_path / "grid").mkdir()
        assert len(space.load("grid").planned()) == 9
        (tmp_path / "other").mkdir()
        assert lacking(self.refused("other"), ["other: ", "folder"]) == []

    @pytest.mark.parametrize("ref", ["x" * 5000, "a\x00b"])
    def test_what_can_be_no_path_is_no_space(self, ref: str) -> None:
        assert ref[:1] in self.refused(ref)

    def test_what_is_no_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "latin.yaml").write_bytes(b"task: pneumonia\ndescription: caf\xe9\n")
        assert lacking(self.refused("latin.yaml"), ["latin.yaml", "32", "0xe9", "UTF-8"]) == []

    def test_a_byte_order_mark_is_no_fault(self, tmp_path: Path) -> None:
        (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbftask: pneumonia\r\nepochs: 3\r\n")
        assert space.load("bom.yaml").epochs == 3

    def test_an_unreadable_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "secret.yaml"
        path.write_text(TASK)
        path.chmod(0)
        if os.geteuid() == 0:  # root reads everything: let the system refuse as it would for others

            def denied(_: Path) -> bytes:
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr(Path, "read_bytes", denied)
        assert lacking(self.refused("secret.yaml"), ["secret.yaml: ", "Permission denied"]) == []


def test_an_error_of_a_later_module_points_into_the_file() -> None:
    text = f"{TASK}space:\n  lr: {{grid: [1]}}\nfixed: {{loss: bcee}}\nconfigs:\n  - {{lr: 7}}\n"
    loaded = space.parse(text, ["epochs=7"], file="my.yaml")
    assert str(loaded.error("loss", "no such loss")).startswith(
        "my.yaml:4: fixed.loss: no such loss\n    4 | "
    )
    assert str(loaded.error("space.lr", "too large")).startswith("my.yaml:3: space.lr: too large\n")
    assert str(loaded.error("configs[0].lr", "too large")).startswith("my.yaml:6: configs[0].lr: ")
    assert str(loaded.error("epochs", "too few")) == "--set epochs=7: epochs: too few"
    built = space.SearchSpace(task="pneumonia")
    assert str(built.error("epochs", "too few")) == "search space: epochs: too few"
