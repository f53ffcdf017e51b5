"""The configurations that a space knows in advance, and their fingerprints."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tune_app import space as spaces
from tune_app.data.identity import NO_DATA, DataIdentity
from tune_app.space import SearchSpace
from tune_app.sweep import Sweep
from tune_app.sweep.sweep import fingerprint

DATA = DataIdentity(
    "xrays", "folder", "c0ffee" * 4, 64, "image", {"train": 8, "val": 2, "test": 4}, ("A note.",)
)


def parse(text: str = "space: {lr: {grid: [0.1, 0.2]}}\nseeds: 3", name: str = "my") -> SearchSpace:
    return spaces.parse(f"task: pneumonia\n{text}", file="my.yaml", name=name)


def test_points_that_are_alike_are_duplicates(tmp_path: Path) -> None:
    space = parse(
        "configs: [{lr: 2}, {lr: 2.5}]\nspace: {lr: {choice: [2, 3]}}\n"
        "search: {algorithm: random, samples: 6}\nseed: 1"
    )
    configurations = list(Sweep.create(space, runs_dir=tmp_path).history.configurations.values())
    values = [c.config["lr"] for c in configurations]
    assert set(values) == {2, 2.5, 3}
    first = {value: values.index(value) + 1 for value in values}
    assert [c.duplicate_of for c in configurations] == [
        None if first[v] == sample else first[v] for sample, v in enumerate(values, start=1)
    ]
    assert {job.sample for job in Sweep.open(tmp_path / "my-1").lacking()} == set(first.values())


def test_whole_numbers_make_duplicates_however_they_are_written(tmp_path: Path) -> None:
    space = parse("configs: [{lr: 4.0}]\nspace: {lr: {choice: [4]}}\nsearch: {algorithm: random, samples: 1}")
    assert [
        c.duplicate_of for c in Sweep.create(space, runs_dir=tmp_path).history.configurations.values()
    ] == [
        None,
        1,
    ]


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)


CONFIGS = st.dictionaries(st.text(), SCALARS)


@given(CONFIGS)
def test_a_fingerprint_depends_on_task_parameters_data_and_split_alone(
    config: dict[str, spaces.Value],
) -> None:
    base = fingerprint("pneumonia", config, DATA)
    assert base == fingerprint("pneumonia", dict(reversed(config.items())), DATA)
    shown = dataclasses.replace(DATA, source="elsewhere", kind="arrays", image_size=1, counts=None, notes=())
    assert base == fingerprint("pneumonia", config, shown)
    others = [
        fingerprint("my:task", config, DATA),
        fingerprint("pneumonia", config | {"one more": 1}, DATA),
        fingerprint("pneumonia", config, dataclasses.replace(DATA, fingerprint="other")),
        fingerprint("pneumonia", config, dataclasses.replace(DATA, split="patient")),
    ]
    assert len({base, *others}) == 5


@given(CONFIGS, CONFIGS)
def test_configurations_share_a_fingerprint_exactly_when_alike(
    a: dict[str, spaces.Value], b: dict[str, spaces.Value]
) -> None:
    same = fingerprint("t", a, NO_DATA) == fingerprint("t", b, NO_DATA)
    assert same == (spaces.canonical(a) == spaces.canonical(b))


def test_a_fingerprint_leaves_out_how_much_is_wanted_and_how(tmp_path: Path) -> None:
    variants = [
        "",
        "epochs: 7",
        "seeds: 1",
        "seed: 5",
        "metric: {name: val_loss, mode: min}",
        "evaluate: best",
        "stop: {scheduler: asha}",
        "resources: {max_concurrent: 1}",
        "search: {algorithm: grid}",
    ]
    found = {
        tuple(c.fingerprint for c in sweep.history.configurations.values())
        for variant in variants
        for sweep in [Sweep.create(parse(f"space: {{lr: {{grid: [1, 2]}}}}\n{variant}"), DATA, tmp_path)]
    }
    assert len(found) == 1


def test_the_fingerprint_of_a_known_configuration_never_changes() -> None:
    text = '{"config":{"lr":3e-06,"step_size":4},"data":"%s","split":"image","task":"pneumonia"}'
    known = hashlib.sha256((text % DATA.fingerprint).encode()).hexdigest()
    assert fingerprint("pneumonia", {"step_size": 4.0, "lr": 3e-6}, DATA) == known
