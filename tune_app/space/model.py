"""A search space: the frozen, validated content of a search-space file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from tune_app.errors import SpaceError
from tune_app.space import rules
from tune_app.space.planning import example, plan
from tune_app.space.problems import raise_any
from tune_app.space.reader import Document, Path, write
from tune_app.space.scalars import Scalar, canonical
from tune_app.space.sections import (
    Metric,
    Metrics,
    Parameter,
    Point,
    Resources,
    Search,
    Section,
    Stop,
    TaskName,
    Value,
    one_or_list,
    recorded,
)


class SearchSpace(Section):
    """What a sweep is to train, independent of the engine that runs it. Frozen and validated.

    Spaces that differ only by name, description or file are equal.
    """

    task: TaskName = Field(
        description="What to train: pneumonia, or module:attribute of your own.", examples=["pneumonia"]
    )
    description: str | None = Field(default=None, description="Free text, for people.")
    space: Mapping[str, Parameter] = Field(
        default_factory=dict, description="The parameters that are searched, each with one sampler."
    )
    fixed: Mapping[str, Value] = Field(
        default_factory=dict, description="Parameters that are the same in every configuration."
    )
    configs: Annotated[tuple[Point, ...], Field(strict=False)] = Field(
        default=(), description="Exact configurations that are tried first, whatever the search."
    )
    epochs: int = Field(default=30, ge=1, description="Epochs that a trial is trained for.")
    seeds: int = Field(
        default=5, ge=1, description="Replicates of each configuration, each with its own seed."
    )
    first_replicate: int = Field(
        default=0,
        ge=0,
        description="Number of the first replicate; beyond the last of another sweep, all seeds are new.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="The seed that every other one is derived from."
    )
    metric: Metrics = Field(
        default=Metric(name="val_accuracy", mode="max"),
        description="What configurations are ranked by; of a list, the first ranks.",
        json_schema_extra=one_or_list,
    )
    evaluate: Literal["last", "best"] = Field(
        default="last",
        description="The epoch whose metrics stand in the results: the last, or the best by the metric.",
    )
    stop: Stop = Field(default=Stop(scheduler="none"), description="Early stopping; none unless asked for.")
    search: Search = Field(
        default=Search(algorithm="grid"), description="How the space is searched; grid unless said."
    )
    checkpoint_every: float = Field(
        default=30.0,
        ge=0,
        description="Seconds between a trial's checkpoints, or 20 times what writing one takes if that is "
        "more; 0 writes one after every epoch.",
    )
    keep: Literal["none", "best", "last"] = Field(
        default="best",
        description="What stays of finished trials: none; best, the weights of the best configuration; or "
        "last, the last checkpoint of each, from which it can be trained on.",
        examples=["last"],
    )
    max_failures: int = Field(
        default=2, ge=0, description="How often a failed trial is tried again, from its last checkpoint."
    )
    replicates: Literal["auto", "looped", "stacked"] = Field(
        default="auto",
        description="How the seeds of a configuration are trained: looped, one after the other; stacked, at "
        "once as one module; auto, whichever is measured to be faster.",
        examples=["stacked"],
    )
    precision: Literal["float32", "tf32", "bf16"] = Field(
        default="float32",
        description="Of matrix products and convolutions: tf32 is for GPUs that have it; bf16 is torch's "
        "autocast to bfloat16. Weights are float32 always.",
        examples=["bf16"],
    )
    resources: Resources = Field(default=Resources(), description="What one trial occupies.")

    _name: str = PrivateAttr("space")
    _origin: Document = PrivateAttr(default_factory=lambda: Document("search space"))

    @property
    def name(self) -> str:
        """The name of its file, without the suffix."""
        return self._name

    @property
    def file(self) -> str:
        """Its file, as error messages name it."""
        return self._origin.file

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> str:
        # the order of parameters and values matters: trials and draws follow it
        return canonical([self.plain() | {"description": None}, list(self.space)])

    def plain(self) -> dict[str, Any]:
        """Return the mapping that a file would have, with every default written out."""
        tree: dict[str, Any] = {}
        for key in type(self).model_fields:
            value = getattr(self, key)
            if key == "space":
                value = {name: sampler.plain() for name, sampler in self.space.items()}
            elif key == "metric" and len(self.metrics) > 1:
                value = [metric.model_dump() for metric in self.metrics]
            elif isinstance(value, Section):
                value = value.model_dump(exclude_none=True)
            if value is not None:
                tree[key] = value
        return tree

    def planned(self) -> list[dict[str, Scalar]]:
        """Return the configurations that are known before training, with ``fixed``.

        First ``configs`` in the order of the file, then the product of the grids, its first parameter
        changing slowest; for ``random``, that product once for each draw; nothing for ``optuna``.
        A parameter is absent where its ``when:`` does not hold. Draw i depends on ``seed`` and i only.
        """
        return plan(
            self.space, self.fixed, self.configs, self.search.algorithm, self.search.samples, self.seed
        )

    def example(self) -> dict[str, Scalar]:
        """Return an example of a configuration: the first that is planned, or a random draw."""
        planned = self.planned()
        return planned[0] if planned else example(self.space, self.fixed, self.seed)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that are optimised; the first is ``metric``, which ranks configurations."""
        return (self.metric, *self.metric._others)

    @property
    def stop_metric(self) -> Metric:
        """The metric that early stopping compares."""
        return next((metric for metric in self.metrics if metric.name == self.stop.metric), self.metric)

    @property
    def replicate_numbers(self) -> range:
        """The numbers of the replicates of each configuration."""
        return range(self.first_replicate, self.first_replicate + self.seeds)

    def size(self) -> int:
        """Return the number of configurations, including those that Optuna will suggest."""
        suggested = self.search.samples or 0 if self.search.algorithm == "optuna" else 0
        return len(self.planned()) + suggested

    def dump(self) -> str:
        """Return YAML that reads back to an equal space, with every default written out."""
        return write(self.plain())

    def error(self, key: str, message: str) -> SpaceError:
        """Return an error at ``key`` of the file, for rules of other packages.

        ``key`` is dotted (``stop.grace_period``, ``configs[0].lr``) or the name of a parameter.
        """
        path: Path = tuple(int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", key))
        if path and path[0] not in type(self).model_fields:
            for part in ("space", "fixed"):
                if path[0] in getattr(self, part):
                    path = (part, *path)
                    break
        return SpaceError(self._origin.message(path, message))

    @model_validator(mode="after")
    def _rules(self, info: ValidationInfo) -> SearchSpace:
        raise_any(rules.violations(self, recorded(info)))
        return self


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a search-space file, for completion and checks in an editor."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SearchSpace.model_json_schema()}
