from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.training.protocol import Report, Sealed

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.dictionaries(st.text(), st.lists(st.none() | NUMBERS))
SEALED = st.builds(Sealed, VALUES, st.lists(st.integers()), st.binary(), st.lists(st.integers()).map(tuple))


@given(st.builds(Report, st.integers(), st.none() | NUMBERS, VALUES, st.lists(NUMBERS), sealed=SEALED))
def test_a_report_passes_through_the_engine_as_bytes(report: Report) -> None:
    packed = report.pack()
    assert type(packed) is bytes
    assert Report.unpack(packed) == report


def test_nothing_else_is_taken_for_a_report() -> None:
    with pytest.raises(TypeError, match="not a report: dict"):
        Report.unpack(pickle.dumps({"epoch": 1}))
