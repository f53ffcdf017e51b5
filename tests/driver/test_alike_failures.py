from __future__ import annotations

import pytest

from tune_app.driver.alike_failures import ALIKE_FAILURES, AlikeFailures
from tune_app.training.protocol import Failure

BUG = Failure("ValueError: no", "", "ValueError", "task.py:3")


def last(failures: AlikeFailures, *each: Failure, training: tuple[int, ...] = ()) -> str | None:
    """What the last failure says, each being of another configuration."""
    return [failures.count(failure, sample, training) for sample, failure in enumerate(each, start=1)][-1]


def test_failures_of_several_configurations_at_one_line_end_the_sweep() -> None:
    others = [Failure(f"ValueError: no {n}", "", "ValueError", "task.py:3") for n in range(ALIKE_FAILURES)]
    assert last(AlikeFailures(), *others[1:]) is None
    why = last(AlikeFailures(), *others)
    assert why
    assert why.startswith(f"{ALIKE_FAILURES} configurations")
    assert why.endswith(f"ValueError: no {ALIKE_FAILURES - 1} (task.py:3)")


def test_one_configuration_that_fails_again_and_again_counts_once() -> None:
    failures = AlikeFailures()
    assert [failures.count(BUG, 1, ()) for _ in range(2 * ALIKE_FAILURES)] == [None] * 2 * ALIKE_FAILURES


@pytest.mark.parametrize(
    "other",
    [
        Failure("ValueError: no", "", "ValueError", "task.py:4"),
        Failure("TypeError: no", "", "TypeError", "task.py:3"),
        Failure("ValueError: no", "", "ValueError", "task.py:3", moved=True),
    ],
)
def test_what_is_not_alike_or_no_failure_does_not_count(other: Failure) -> None:
    assert last(AlikeFailures(), *[BUG] * (ALIKE_FAILURES - 1), other) is None


@pytest.mark.parametrize(("kind", "place"), [("MemoryError", "task.py:3"), ("ProcessDied", "")])
def test_the_message_counts_where_the_line_says_too_little(kind: str, place: str) -> None:
    sizes = [Failure(f"{kind}: {size}", "", kind, place) for size in range(ALIKE_FAILURES)]
    assert last(AlikeFailures(), *sizes) is None
    assert last(AlikeFailures(), *[sizes[0]] * ALIKE_FAILURES)


def test_the_sweep_goes_on_where_one_has_ended_well_or_another_trains() -> None:
    failures = AlikeFailures()
    assert last(failures, *[BUG] * ALIKE_FAILURES, training=(9,)) is None
    assert last(failures, *[BUG] * ALIKE_FAILURES, training=(1,)), "that one has failed itself"
    failures.one_ended_well = True
    assert last(failures, *[BUG] * ALIKE_FAILURES) is None
