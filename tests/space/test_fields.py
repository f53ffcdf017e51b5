"""The types of single values in a file."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from tune_app.space.fields import Checked, GpuShare, MetricName


@pytest.mark.parametrize("name", ["val_loss", "val/loss", "../x", "größe", "n" * 64, "_", "a.b-c"])
def test_names_of_metrics(name: str) -> None:
    assert TypeAdapter(MetricName).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "../", "-a", "1a", "a b", "a,b", "a:b", "a=b", "n" * 65, "a\u200bb"])
def test_what_is_no_name_of_a_metric(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be a name"):
        TypeAdapter(MetricName).validate_python(name)


def test_values_and_shares() -> None:
    assert TypeAdapter(Checked).validate_python([{"a": [1, None]}]) == [{"a": [1, None]}]
    assert TypeAdapter(GpuShare).validate_python(1) == 1.0
    with pytest.raises(ValidationError, match="neither a share nor a whole number"):
        TypeAdapter(GpuShare).validate_python(1.5)
