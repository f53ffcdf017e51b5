"""Values of parameters: canonical and quoted forms."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tune_app import space
from tune_app.space.reader import read
from tune_app.space.scalars import quote


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example('\u2028\x85\ufeff\x00\n\t\\"')
def test_a_quoted_text_reads_back(text: str) -> None:
    assert read(f"a: {quote(text)}\n", "my.yaml").tree == {"a": text}


def test_canonical_json() -> None:
    assert space.canonical({"b": 4.0, "a": [True, None, 3e-6]}) == '{"a":[true,null,3e-06],"b":4}'
    assert space.canonical(-0.0) == space.canonical(0)
    assert space.canonical((1,)) == "[1]"
    with pytest.raises(ValueError, match="JSON"):
        space.canonical(math.inf)
    with pytest.raises(TypeError):
        space.canonical(object())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_canonical_json_is_its_own_canonical_form(value: Any) -> None:
    text = space.canonical(value)
    assert json.loads(text) == value
    assert space.canonical(json.loads(text)) == text
