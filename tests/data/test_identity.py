"""Which data a sweep trains on."""

from __future__ import annotations

from dataclasses import replace

from tune_app.data.identity import NO_DATA, DataIdentity

DATA = DataIdentity("xrays", "folder", "c0ffee" * 10, 64, "image", {"train": 8, "val": 2, "test": 4})


def test_the_same_images_split_the_same_way_are_the_same_data() -> None:
    assert DATA.same(replace(DATA, source="elsewhere", notes=("A note.",)))
    assert not DATA.same(replace(DATA, split="patient"))
    assert not DATA.same(replace(DATA, fingerprint="ab" * 32))


def test_a_label_names_source_counts_and_fingerprint() -> None:
    assert DATA.label() == "xrays (8 train, 2 validation, 4 test; sha256 c0ffeec0ffee)"
    assert "no data" in NO_DATA.label()
