"""The types of single values in a search-space file, with their JSON schemas."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from tune_app.space import samplers
from tune_app.space.problems import RuleError, unquote
from tune_app.space.rules import LONGEST_NAME, NAME, name_fault
from tune_app.space.samplers import Sampler
from tune_app.space.scalars import Value, show, value_fault


def _value(value: Any) -> Any:
    if fault := value_fault(value):
        raise RuleError(fault)
    if isinstance(value, dict) and (kind := samplers.kind_of(value)):
        raise RuleError(f"{show(value)} is a sampler, {kind}: move it to space:")
    if isinstance(value, dict) and (value.keys() == {"value"} or {"values", "distribution"} & value.keys()):
        rule = "is written as another tool writes a parameter"
        raise RuleError(f"{show(value)} {rule}: write the value itself here, or a sampler below space:")
    return value


def share(value: float) -> float:
    """Refuse a number above 1 that is not whole."""
    if value > 1 and not value.is_integer():
        fix = f"write {math.floor(value)} or {math.ceil(value)}"
        raise RuleError(f"{show(value)} is neither a share nor a whole number: {fix}")
    return value


def _gpu_share(value: Any) -> Any:
    if value == "auto":
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        fix = unquote(value) or ": write 0, a share such as 0.25, 1, 2 or auto"
        raise RuleError(f"{show(value)} is not a number of GPUs{fix}")
    return share(float(value))


def _metric_name(name: str) -> str:
    if fault := name_fault(name, "metric"):
        raise RuleError(fault)
    return name


MetricName = Annotated[
    str,
    AfterValidator(_metric_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$", "maxLength": LONGEST_NAME}),
]
Checked = Annotated[Value, PlainValidator(_value), WithJsonSchema(samplers.VALUE_SCHEMA)]
Parameter = Annotated[Sampler, PlainValidator(samplers.read_sampler), WithJsonSchema(samplers.schema())]
Point = dict[str, Checked]
GpuShare = Annotated[
    float | Literal["auto"],
    PlainValidator(_gpu_share),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"const": "auto"}]}),
]
Natural = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
