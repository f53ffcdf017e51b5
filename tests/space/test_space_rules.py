"""Rules between keys of a file."""

from __future__ import annotations

import pytest
from parsing import TASK, Case, cases, check_refused, one

MALFORMED: list[Case] = [
    ("seeds without end", f"{TASK}seeds: 300000000\n", ["my.yaml:2: seeds: ", "300,000,000", "1000000"]),
    ("seeds of many", one("a: {grid: [1, 3]}") + "seeds: 500001\n", [": seeds: ", "500,001", "166666"]),
    ("epochs without end", f"{TASK}epochs: 300000000\n", ["my.yaml:2: epochs: ", "1000000"]),
    ("epochs of many", f"{TASK}epochs: 20000\nseeds: 100000\n", ["my.yaml:2: epochs: ", "20,000", "10000"]),
    (
        "samples without end",
        f"{TASK}space: {{lr: {{uniform: [0, 1]}}}}\nsearch: {{algorithm: optuna, samples: 300000000}}\n",
        ["my.yaml:3: search.samples: ", "1,000,000"],
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
    ("nothing for optuna", f"{TASK}search: {{algorithm: optuna, samples: 3}}\n", ["optuna"]),
    ("nothing random", one("a: {grid: [1, 3]}"), ["my.yaml:4: search.algorithm: "]),
    (
        "no search",
        f"{TASK}space:\n  lr: {{uniform: [0, 1]}}\n",
        ["my.yaml:3: space.lr: ", "search: ", "{algorithm: random, samples: 50}"],
    ),
    ("grid of optuna", one("a: {grid: [1, 3]}").replace("random", "optuna"), ["{choice: [1, 3]}"]),
    (
        "a slip of the pen",
        one("a: {randint: [1, 9]}").replace("3}", "9999999}"),
        ["1,000,000 configurations"],
    ),
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
    (
        "both",
        f"{TASK}space: {{lr: {{grid: [1]}}}}\nfixed: {{lr: 1}}\n",
        ["my.yaml:3: fixed.lr: "],
    ),
    ("space in a name", f"{TASK}fixed: {{a b: 1}}\n", ["my.yaml:2: fixed: ", '"a b"']),
    ("no letter in a name", f"{TASK}fixed: {{../: 1}}\n", ["my.yaml:2: fixed: ", '"../"']),
    (
        "unseen letter in a name",
        f'{TASK}fixed: {{"a\u200bb": 1}}\n',
        ["my.yaml:2: fixed: ", "cannot be a name"],
    ),
    ("accent in two ways", f"{TASK}fixed: {{\u00e9: 1, e\u0301: 1}}\n", ["my.yaml:2: fixed: ", "encoded"]),
    ("a column", f"{TASK}fixed: {{status: 1}}\n", ["my.yaml:2: fixed: ", '"status"', "column"]),
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


@pytest.mark.parametrize(("text", "facts"), cases(MALFORMED))
def test_keys_that_contradict_each_other_are_refused(text: str, facts: list[str]) -> None:
    check_refused(text, facts)
