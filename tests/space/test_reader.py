"""A search-space file as YAML 1.2."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parsing import TASK, Case, cases, check_refused, one, parse

from tune_app import space
from tune_app.errors import SpaceError
from tune_app.space.reader import dotted, read
from tune_app.space.scalars import plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-6", 3e-6),
        ("1e5", 1e5),
        ("-.5e2", -50.0),
        ("1.", 1.0),
        ("+3", 3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b11", "0b11"),
        ("2001-01-01", "2001-01-01"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("nan", "nan"),
        ("inf", "inf"),
        ("e5", "e5"),
        (".", "."),
        ("-", "-"),
        ("<<", "<<"),
    ],
)
def test_unquoted_words_follow_the_core_schema(text: str, value: space.Value) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_infinities_are_read_as_numbers() -> None:
    assert [plain(text) for text in (".inf", "-.INF", "+.Inf")] == [math.inf, -math.inf, math.inf]
    number = plain(".NaN")
    assert isinstance(number, float)
    assert math.isnan(number)


def test_a_version_directive_does_not_bring_yaml_1_1_back() -> None:
    tree = read("%YAML 1.1\n---\na: yes\nb: 3e-6\nc: 010\n", "my.yaml").tree
    assert tree == {"a": "yes", "b": 3e-6, "c": 10}


def test_quoted_and_folded_texts_are_texts() -> None:
    tree = read("a: '3'\nb: \"true\"\nc: |\n  3\nd: >-\n  null\n", "my.yaml").tree
    assert tree == {"a": "3", "b": "true", "c": "3\n", "d": "null"}


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
@example("?")
@example("- - -")
@example("{}")
@example("a: &x [*x]")
def test_no_text_whatever_ends_in_anything_but_a_space_or_our_own_error(text: str) -> None:
    told = "my.yaml:"
    try:
        parse(text)
    except SpaceError as error:
        told = str(error)
    assert told.startswith("my.yaml:")


MALFORMED: list[Case] = [
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
]


@pytest.mark.parametrize(("text", "facts"), cases(MALFORMED))
def test_what_is_not_one_yaml_mapping_is_refused(text: str, facts: list[str]) -> None:
    check_refused(text, facts)


def test_a_path_is_written_with_dots_and_indices() -> None:
    assert dotted(("a", 0, "b")) == "a[0].b"
