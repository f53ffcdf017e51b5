"""A search space: the frozen content of a search-space file, with the types and bounds of its values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from tune_app.errors import SpaceError
from tune_app.space import planning
from tune_app.space.fields import Checked, GpuShare, MetricName, Natural, Parameter, Point, Whole, share
from tune_app.space.labelled import Labels, labelled
from tune_app.space.problems import RuleError
from tune_app.space.reader import Document, Path, write
from tune_app.space.scalars import Value, canonical

#: The epochs whose mean chooses, where a file does not say; never more than a quarter of a trial's epochs.
WINDOW = 5

OPTUNA_SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc", "nsga2")
#: A task or sampler of the user's own: ``module:attribute``.
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class Section(BaseModel):
    """The base of every mapping in the file: no unknown keys, no conversion of values, immutable."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Metric(Section):
    """The metric that ranks configurations."""

    name: MetricName = Field(examples=["val_accuracy", "val/loss"])
    """The name of the metric: letters, digits and any of _ . / -. Test metrics are refused."""
    mode: Literal["max", "min"] = Field(examples=["min if less of it is better, else mode: max"])
    """max if more is better, min if less is better."""
    #: The other metrics, if this is the first of a list.
    _others: tuple[Metric, ...] = PrivateAttr(())

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1


_SEVERAL = TypeAdapter(Annotated[tuple[Metric, ...], Field(strict=False)])


def _one_or_several(value: Any, validate: ValidatorFunctionWrapHandler) -> Metric:
    """One metric, or the first of a list, which has the others as ``_others``."""
    if not isinstance(value, list | tuple):
        metric: Metric = validate(value)
        return metric
    if not value:
        raise RuleError("the list is empty: name a metric, as in {name: val_accuracy, mode: max}")
    first, *others = _SEVERAL.validate_python(value)
    first = first.model_copy()
    first._others = tuple(others)
    return first


def _one_or_list(schema: dict[str, Any]) -> None:
    one = {"$ref": schema.pop("$ref")}
    schema["anyOf"] = [one, {"type": "array", "items": one, "minItems": 1}]


Metrics = Annotated[Metric, WrapValidator(_one_or_several)]


class Choose(Section):
    """By how many epochs configurations are chosen."""

    window: Natural = Field(examples=[WINDOW])
    """Configurations are ranked by the mean of the metric over this many epochs, up to the evaluated one."""


def _default_choice(known: dict[str, Any]) -> Choose:
    return Choose(window=max(1, min(WINDOW, known.get("epochs", 1) // 4)))


class Stop(Section):
    """Early stopping: the scheduler, the epochs (rungs) at which it decides, and the patience."""

    scheduler: Literal["none", "asha", "halving", "median", "hyperband"] = Field(examples=["asha"])
    """none, asha (asynchronous successive halving), halving (rungs decided together), median or hyperband."""
    type: Literal["stopping", "promotion"] | None = None
    """asha stops the worst of a rung (stopping), or pauses all and promotes the best. Default: stopping."""
    grace_period: Natural = 1
    """Epochs of every trial before the first decision. Default: 1; where trials wait, a tenth of all."""
    reduction_factor: float = Field(default=3.0, gt=1)
    """One trial in this many survives each rung (asha, halving and hyperband)."""
    brackets: Natural | None = None
    """Number of hyperband brackets, each starting one rung later. Default: one for each rung."""
    min_samples_required: Natural = 3
    """How many other trials must have reached an epoch before median decides there."""
    patience: Natural | None = None
    """Epochs without improvement after which a replicate ends as converged."""
    min_delta: float = Field(default=0.0, ge=0)
    """Improvements of the metric up to this size do not count for patience."""
    metric: str | None = None
    """The metric that early stopping compares, if the space has several. Default: the first."""
    by: Metric | None = None
    """A metric that early stopping compares though it ranks no results, such as the validation loss."""
    window: Natural | None = None
    """Rungs where trials wait rank by the mean over this many epochs, up to the rung. Default: 1."""
    ties: Annotated[float, Field(ge=0)] | None = None
    """halving also keeps what is worse than the last one kept by up to this many paired standard errors."""

    def rungs(self, epochs: int) -> list[int]:
        """Return the epochs below ``epochs`` after which successive halving decides.

        The milestones are ``grace_period * reduction_factor ** k``, as in Ray Tune, rounded up to whole
        epochs. Empty for the schedulers ``none`` and ``median``.
        """
        grace, factor = self.grace_period, self.reduction_factor
        if self.scheduler in ("none", "median"):
            return []
        if factor <= 1 + 1 / epochs:  # milestones less than an epoch apart
            return list(range(grace, epochs))
        powers = range(2 + int(math.log(max(epochs / grace, 1)) / math.log(factor)))
        milestones = dict.fromkeys(math.ceil(grace * factor**k) for k in powers)
        return [rung for rung in milestones if rung < epochs]

    @property
    def promotes(self) -> bool:
        """Whether this is ``asha`` of type ``promotion``."""
        return self.scheduler == "asha" and self.type == "promotion"

    def waiting_rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs at which trials may have to wait: the rungs of ``halving`` and of promotions."""
        return tuple(self.rungs(epochs)) if self.scheduler == "halving" or self.promotes else ()

    def rungs_by_bracket(self, epochs: int) -> list[list[int]]:
        """Return the rungs of each bracket: all rungs for the first, and one fewer for each further bracket.

        ``asha`` and ``halving`` have one bracket; ``none`` and ``median`` have none.
        """
        rungs = self.rungs(epochs)
        asked = (self.brackets or len(rungs)) if self.scheduler == "hyperband" else 1
        return [rungs[skipped:] for skipped in range(min(asked, len(rungs)))]


class Search(Section):
    """How configurations are found, in addition to ``configs``."""

    algorithm: Literal["grid", "random", "optuna"] = Field(examples=["random"])
    """grid: every combination; random: independent draws; optuna: what a sampler suggests."""
    sampler: str | None = Field(
        default=None,
        pattern=f"^({'|'.join(OPTUNA_SAMPLERS)}|{REFERENCE.pattern})$",
        examples=list(OPTUNA_SAMPLERS),
    )
    """Optuna's sampler: tpe, gp, cmaes, random, qmc, nsga2 or module:Class."""
    samples: Natural | None = None
    """Number of draws (random) or suggestions (optuna)."""

    @model_validator(mode="before")
    @classmethod
    def _default_sampler(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("algorithm") == "optuna":
            return {"sampler": "tpe", **raw}
        return raw


class Resources(Section):
    """CPUs and GPUs of one trial. tune-app chooses keys that are left out from the machines it finds."""

    cpus_per_trial: Annotated[float, Field(gt=0), AfterValidator(share)] | None = None
    """CPUs that one trial occupies."""
    gpus_per_trial: GpuShare | None = None
    """GPUs of one trial: a number, a share such as 0.25, or auto to measure the best share."""
    max_concurrent: Natural | None = None
    """The largest number of trials at a time."""


class SearchSpace(Section):
    """What a sweep trains, independent of the engine that runs it. Frozen, and validated by `parse`.

    Spaces that differ only by name, description or file are equal.
    """

    task: str = Field(pattern=rf"^([A-Za-z_]\w{{0,63}}|{REFERENCE.pattern})$", examples=["pneumonia"])
    """What to train: pneumonia, or your own module:attribute."""
    description: str | None = None
    """Free text, for people."""
    space: Mapping[str, Parameter] = {}
    """The parameters that are searched, each with one sampler."""
    fixed: Mapping[str, Checked] = {}
    """Parameters that are the same in every configuration."""
    configs: Annotated[tuple[Point, ...], Field(strict=False)] = ()
    """Exact configurations that are tried first, before any search."""
    epochs: Natural = 30
    """Epochs of each trial."""
    seeds: Natural = 5
    """Replicates of each configuration, each with its own seed."""
    first_replicate: Whole = 0
    """Number of the first replicate. A number beyond the last of another sweep gives only new seeds."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """The seed from which all other seeds and random draws derive."""
    metric: Metrics = Field(default=Metric(name="val_accuracy", mode="max"), json_schema_extra=_one_or_list)
    """The metric that ranks configurations. Of a list, the first one ranks them."""
    evaluate: Literal["last", "best"] = "last"
    """The epoch whose metrics are in the results: the last, or the best by the metric."""
    choose: Choose = Field(default_factory=_default_choice)
    """By how many epochs configurations are chosen. Default: 5, but at most a quarter of the epochs."""
    stop: Stop = Stop(scheduler="none")
    """Early stopping. Default: none."""
    search: Search = Search(algorithm="grid")
    """How the space is searched. Default: grid."""
    checkpoint_every: float = Field(default=30.0, ge=0)
    """Seconds between a trial's checkpoints; at least 20 times the time to write one. 0: every epoch."""
    keep: Literal["none", "best", "last"] = "best"
    """What is kept of finished trials: nothing, the weights of the best, or the last checkpoint of each."""
    max_failures: Whole = 2
    """How often a failed trial is tried again, from its last checkpoint."""
    replicates: Literal["auto", "looped", "stacked"] = "auto"
    """How seeds are trained: looped, one after the other; stacked, as one module; auto, the faster one."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Precision of matrix products and convolutions: bf16 is torch's autocast, tf32 needs a GPU."""
    resources: Resources = Resources()
    """CPUs and GPUs of one trial."""

    @model_validator(mode="before")
    @classmethod
    def _default_grace(cls, raw: Any) -> Any:
        """Where trials wait at rungs, the default chooses well by ``benchmarks.stopping``."""
        match raw:
            case {"stop": {"scheduler": "halving"} | {"type": "promotion"}}:
                epochs = raw.get("epochs", cls.model_fields["epochs"].default)
                if isinstance(epochs, int):
                    return raw | {"stop": {"grace_period": max(1, epochs // 10), **raw["stop"]}}
        return raw

    _labels: Labels = PrivateAttr(default_factory=dict)
    _name: str = PrivateAttr("space")
    _origin: Document = PrivateAttr(default_factory=lambda: Document("search space"))

    @property
    def name(self) -> str:
        """The name of its file, without the suffix."""
        return self._name

    @property
    def labels(self) -> Labels:
        """What the file calls its values, by parameter and the value's ``canonical`` form."""
        return self._labels

    def labelled(self, point: Mapping[str, Value]) -> dict[str, Any]:
        """The point as a file would have it, with the labels of its values."""
        return {name: labelled(value, self.labels.get(name, {})) for name, value in point.items()}

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
                value = {name: each.plain(self.labels.get(name)) for name, each in self.space.items()}
            elif key == "fixed":
                value = self.labelled(value)
            elif key == "configs":
                value = [self.labelled(point) for point in value]
            elif key == "metric" and len(self.metrics) > 1:
                value = [metric.model_dump() for metric in self.metrics]
            elif isinstance(value, Section):
                value = value.model_dump(exclude_none=True)
            if value is not None:
                tree[key] = value
        return tree

    def planned(self) -> list[dict[str, Value]]:
        """Return the configurations that are known before training, with ``fixed``.

        First ``configs`` in the order of the file, then the product of the grids, its first parameter
        changing slowest; for ``random``, that product once for each draw; nothing for ``optuna``.
        A parameter is absent where its ``when:`` does not hold. Draw i depends on ``seed`` and i only.
        """
        return planning.plan(self)

    def example(self) -> dict[str, Value]:
        """Return an example of a configuration: the first that is planned, or a random draw."""
        planned = self.planned()
        return planned[0] if planned else planning.example(self)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that are optimised; the first is ``metric``, which ranks configurations."""
        return (self.metric, *self.metric._others)

    @property
    def choosing_epochs(self) -> str:
        """The epochs that choose, in words: ``last 5 epochs``; empty for the evaluated epoch alone."""
        window = self.choose.window
        if window == 1:
            return ""
        return f"last {window} epochs" if self.evaluate == "last" else f"{window} epochs up to the best"

    def chosen_by(self, metric: str, short: bool = False) -> str:
        """What configurations are chosen by, in words: ``val_accuracy (mean of the last 5 epochs)``.

        ``metric`` is what the metric is called; ``short`` is for headings: ``val_accuracy (last 5 epochs)``.
        """
        epochs = self.choosing_epochs
        return f"{metric} ({'' if short else 'mean of the '}{epochs})" if epochs else metric

    @property
    def stop_metric(self) -> Metric:
        """The metric that early stopping compares."""
        return self.stop.by or next(
            (metric for metric in self.metrics if metric.name == self.stop.metric), self.metric
        )

    def size(self) -> int:
        """Return the number of configurations, including those that Optuna will suggest."""
        suggested = self.search.samples or 0 if self.search.algorithm == "optuna" else 0
        return len(self.planned()) + suggested

    def dump(self) -> str:
        """Return YAML that reads back to an equal space, with every default written out."""
        return write(self.plain())

    def error(self, key: str | Path, message: str) -> SpaceError:
        """Return an error at ``key`` of the file, for rules of other packages.

        ``key`` is the path of a key, a dotted one (``stop.grace_period``), or the name of a parameter.
        """
        if isinstance(key, str):
            own = [part for part in ("space", "fixed") if key in getattr(self, part)]
            key = (own[0], key) if own and key not in type(self).model_fields else tuple(key.split("."))
        return SpaceError(self._origin.message(key, message))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a search-space file, for completion and checks in an editor."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SearchSpace.model_json_schema()}
