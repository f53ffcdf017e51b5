"""What the commands print before training."""

from __future__ import annotations

import pytest

from tune_app import space as spaces
from tune_app.data.identity import DataIdentity
from tune_app.session import preview

DATA = DataIdentity(
    "xrays", "folder", "c0ffee" * 10, 64, "image", {"train": 3, "val": 2, "test": 1}, ("Old.",)
)
ESTIMATE = preview.Estimate(2.0, 3, 5 << 20, 1 << 20, "looped: as asked")


def parse(text: str) -> spaces.SearchSpace:
    return spaces.parse(
        f"task: pneumonia\nspace: {{lr: {{grid: [1, 2, 3]}}}}\nseeds: 2\nepochs: 4\n{text}", name="my"
    )


def test_the_headline_names_the_work_and_the_data() -> None:
    first, second, note = preview.headline(parse(""), DATA).splitlines()
    assert first == "my: 3 configurations × 2 seeds × 4 epochs"
    assert DATA.label() in second
    assert note.endswith("Old.")


def test_the_plan_counts_and_estimates() -> None:
    said = preview.plan(parse(""), ESTIMATE)
    assert "3   replicates: 6   epochs in all: 24" in said
    assert "about 16.0 s" in said, "24 epochs of 2 s, 3 trials at a time"
    assert "replicates: looped: as asked" in said
    assert "GPUs" not in said


@pytest.mark.parametrize(("keep", "kept"), [("none", "none"), ("best", "2 MiB"), ("last", "30 MiB")])
def test_the_disk_space_depends_on_what_is_kept(keep: str, kept: str) -> None:
    [disk] = [line for line in preview.plan(parse(f"keep: {keep}"), ESTIMATE).splitlines() if "disk" in line]
    assert "30 MiB of checkpoints" in disk, "2 seeds of 3 trials at a time"
    assert kept in disk.partition(";")[2]


def test_a_function_has_no_checkpoints() -> None:
    assert "disk: no checkpoints" in preview.plan(parse(""), preview.Estimate(1.0, 1, 0, 0))
