"""A cluster's file as it is read, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_app.cluster.cluster_file import ClusterFile, Problem, marks, read, render
from tune_app.errors import ClusterError

TEXT = """\
name: one  # CHANGE: your own name
nodes:
  head: {cpus: 2, image: 010}
  workers: [a, b]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def cluster(file: Path) -> ClusterFile:
    [found] = read(file)
    return found


def test_values_are_plain_and_as_rays_reader_has_them(cluster: ClusterFile) -> None:
    assert cluster.get("nodes", "head") == {"cpus": 2, "image": 8}
    assert type(cluster.get("nodes", "head", "cpus")) is int
    assert cluster.get("nodes", "workers", 1) == "b"
    assert cluster.get("nodes", "workers", 2) is cluster.get("name", "x") is cluster.get("none") is None


def test_a_problem_has_the_line_of_its_key(cluster: ClusterFile) -> None:
    cluster.error(("nodes", "head", "cpus"), "too few")
    cluster.warn(("nodes", "workers"), "many")
    cluster.require(("nodes", "head"), "cpus", "cpus: 2")
    cluster.require(("nodes", "head"), "gpus", "gpus: 1")
    assert cluster.problems == [
        Problem(3, "nodes.head.cpus", "too few"),
        Problem(4, "nodes.workers", "many", warning=True),
        Problem(3, "nodes.head", "gpus is missing. Add it, as in gpus: 1"),
    ]


def test_a_key_that_is_nearly_a_known_one_is_warned_of(cluster: ClusterFile) -> None:
    cluster.warn_of_typos((), ["worker", "cpus", "imagePullPolicy"])
    [problem] = cluster.problems
    assert (problem.line, problem.key, problem.warning) == (4, "nodes.workers", True)
    assert 'Did you mean "worker"?' in problem.text


def test_marks_wait_for_their_user(file: Path) -> None:
    [mark] = marks(file)
    assert (mark.line, mark.key, mark.warning) == (1, "name", True)
    assert "your own name" in mark.text


def test_errors_come_before_warnings_and_are_counted(file: Path) -> None:
    found = [Problem(1, "a", "later", warning=True), Problem(0, "", "first"), Problem(2, "b", "second")]
    assert render(file, found).splitlines() == [
        f"{file}:1: first",
        f"{file}:2: b: second",
        f"{file}:1: warning: a: later",
        f"{file}: 2 errors, 1 warning",
    ]
    assert render(file, []) == f"{file}: no mistake found"


@pytest.mark.parametrize("content", [b"\xff", b"a: [1", b"- 1", b""])
def test_what_is_no_clusters_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ClusterError, match=r"c\.yaml"):
        read(file)


@pytest.mark.parametrize("text", ["a: &x\n  b: *x\n", "a: &x [1, *x]\n", "&x {a: {b: *x}}\n"])
def test_a_value_that_contains_itself_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ClusterError, match=r"c\.yaml.*alias"):
        read(file)


def test_an_alias_may_be_used_twice(file: Path) -> None:
    file.write_text("a: &x {b: 1}\nc: *x\nd: *x\n")
    [found] = read(file)
    assert found.get("c") == found.get("d") == {"b": 1}
