from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.training.protocol import EpochReport, TestOutcome

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.dictionaries(st.text(), st.lists(st.none() | NUMBERS))
OUTCOMES = st.builds(
    TestOutcome, VALUES, st.lists(st.integers()), st.binary(), st.lists(st.integers()).map(tuple)
)


@given(st.builds(EpochReport, st.integers(), VALUES, st.lists(NUMBERS), test=OUTCOMES))
def test_a_report_passes_through_the_engine_as_bytes(report: EpochReport) -> None:
    packed = report.pack()
    assert type(packed) is bytes
    assert EpochReport.unpack(packed) == report


def test_nothing_else_is_taken_for_a_report() -> None:
    with pytest.raises(TypeError, match="not a report: dict"):
        EpochReport.unpack(pickle.dumps({"epoch": 1}))
