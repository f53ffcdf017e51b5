"""Labels of values, taken from a file and written back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import TASK, parse
from space_trees import VALUES

from tune_app import space
from tune_app.space.labelled import written
from tune_app.space.labels import Labels


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=3), VALUES, min_size=1), st.data())
def test_labels_are_written_back_and_leave_the_values(named: dict[str, Any], data: st.DataObject) -> None:
    values = list({space.canonical(value): value for value in named.values()}.values())
    labels = {space.canonical(value): f"label {label}" for label, value in named.items()}
    given_as: list[Any] = [
        {"label": labels[space.canonical(value)], "value": value} if data.draw(st.booleans()) else value
        for value in values
    ]
    tree = {"task": "a:b", "space": {"x": {"grid": given_as}}, "configs": [{"x": values[0]}]}
    tree["fixed"] = {"y": given_as[-1]}
    parsed = space.build(tree)
    assert [point["x"] for point in parsed.planned()] == values
    assert parsed.plain()["space"]["x"]["grid"] == given_as
    assert parsed.plain()["fixed"]["y"] == given_as[-1]
    again = space.parse(parsed.dump(), name="space")
    assert (again, again.labels) == (parsed, parsed.labels)
    shown = Labels(parsed.planned(), given=parsed.labels).values("x")
    assert len(set(shown.values())) == len(values)


def test_a_table_has_the_label_or_json() -> None:
    labels = {"[1]": "one"}
    assert [written(value, labels) for value in ([1.0], [2], {"a": None}, "b", 3)] == [
        "one",
        "[2]",
        '{"a": null}',
        "b",
        3,
    ]


@pytest.mark.parametrize("when", ["small", "[small]", "[[32, 32]]", "[small, 3]"])
def test_a_condition_may_name_the_label(when: str) -> None:
    parsed = parse(
        f"{TASK}space:\n  sizes: {{grid: [{{label: small, value: [32, 32]}}, 3]}}\n"
        f"  b: {{grid: [1], when: {{sizes: {when}}}}}\n"
    )
    assert parsed.planned()[0] == {"sizes": [32, 32], "b": 1}
    assert space.parse(parsed.dump(), name="my") == parsed
