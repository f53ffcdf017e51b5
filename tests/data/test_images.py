from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_data import images, noise

from tune_app.data.images import Images, fingerprint, join, patients_shared, pixel_keys


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Images(noise(3), np.zeros(2, dtype=np.int64), ("a", "b", "c"), ("", "", ""))


def test_take_keeps_rows_together() -> None:
    all_of_them = images(6, patients=tuple("abcdef"))
    some = all_of_them.take([4, 1])
    assert some.names == ("train/4", "train/1")
    assert some.patients == ("e", "b")
    np.testing.assert_array_equal(some.x, all_of_them.x[[4, 1]])
    assert len(all_of_them.take([])) == 0
    joined = join([some, all_of_them])
    assert len(joined) == 8
    assert joined.names[:3] == ("train/4", "train/1", "train/0")


def test_fingerprint_is_pinned() -> None:
    """The recipe is part of every recorded sweep: it must not change, nor differ between machines."""
    one = Images(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.array([0, 1]), ("a", "b"), ("", ""))
    assert fingerprint([one]) == "731959b76e8c7a723c349397ab662084d225883a5cea23fdf86efa44875992a1"


@given(st.integers(0, 2), st.integers(0, 3), st.integers(1, 255))
def test_any_pixel_or_label_changes_the_fingerprint(number: int, row: int, by: int) -> None:
    sets = [images(4), images(5), images(6)]
    before = fingerprint(sets)
    assert fingerprint(sets) == before
    sets[number].x[row, 3, 3] ^= np.uint8(by)
    changed = fingerprint(sets)
    assert changed != before
    sets[number].y[row] = 1
    assert fingerprint(sets) not in (before, changed)


def test_fingerprint_sees_shapes_and_not_memory_order_or_names() -> None:
    one = images(4)
    y, names, none = one.y, ("x",) * 4, ("",) * 4
    assert fingerprint([Images(np.asfortranarray(one.x), y.astype(">i8"), names, none)]) == fingerprint([one])
    assert fingerprint([Images(one.x.reshape(4, 4, 16), y, names, none)]) != fingerprint([one])
    assert fingerprint([one.take([0, 1]), one.take([2, 3])]) != fingerprint(
        [one.take([0]), one.take([1, 2, 3])]
    )


@given(st.lists(st.integers(0, 3), max_size=8))
def test_pixel_keys_are_equal_for_equal_images_only(choice: list[int]) -> None:
    x = noise(4)[np.array(choice, dtype=int)]
    assert len(set(pixel_keys(x))) == len(set(choice))
    assert [a == b for a in choice for b in choice] == [a == b for a in pixel_keys(x) for b in pixel_keys(x)]


def test_unknown_patients_are_never_shared() -> None:
    a, b = images(3, patients=("p1", "", "p2")), images(3, patients=("p2", "", "p3"))
    assert patients_shared(a, b) == {"p2"}
