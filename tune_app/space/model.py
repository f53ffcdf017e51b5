"""The frozen models of a search-space file, and the rules that span several of its keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from tune_app.errors import SpaceError, nearest
from tune_app.space import arguments, foreign, rules, samplers
from tune_app.space.planning import example, plan
from tune_app.space.problems import RuleError, explain, raise_any, unquote
from tune_app.space.reader import Document, Path, write
from tune_app.space.samplers import Sampler
from tune_app.space.scalars import Scalar, canonical, literal, scalar_fault, show

OPTUNA_SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc", "nsga2")
#: A task or sampler of the user's own: ``module:attribute``.
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def recorded(info: ValidationInfo) -> bool:
    """Whether a space is read from a record, whose names keep to the rules of an earlier version."""
    return bool(info.context and info.context.get("recorded"))


def _value(value: object) -> Scalar:
    if fault := scalar_fault(value):
        raise RuleError(fault)
    assert value is None or isinstance(value, str | int | float | bool)
    return value


def _task(value: str) -> str:
    if not (rules.NAME.fullmatch(value) or REFERENCE.fullmatch(value)):
        raise RuleError(f"{show(value)} names no task: write pneumonia, or module:attribute for your own")
    return value


def _metric_name(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        raise RuleError(f"{show(value)} is not text: write the name of a metric, as in val_accuracy")
    if rules.is_test_metric(value) and not recorded(info):
        raise RuleError(
            f"{show(value)} is a test metric, and the test set is sealed until a trial has ended: "
            f"choose by val_{value[5:] or 'accuracy'}"
        )
    if not rules.NAME.fullmatch(value):
        raise RuleError(
            f"{show(value)} is no name of a metric: write letters, digits and _, as in val_accuracy"
        )
    return value


def _optuna_sampler(value: str) -> str:
    if value not in OPTUNA_SAMPLERS and not REFERENCE.fullmatch(value):
        raise RuleError(
            f"{show(value)} is not one of {', '.join(OPTUNA_SAMPLERS)}, nor module:Class."
            + nearest(value, OPTUNA_SAMPLERS)
        )
    return value


def _gpu_share(value: Any) -> Any:
    if value is None or value == "auto":
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        how = unquote(value) or ", nor auto: write a share such as 0.25, 1, 2 or auto"
        raise RuleError(f"{show(value)} is not a number{how}")
    if not 0 <= value < math.inf:
        raise RuleError(f"{show(value)} is out of range: write 0 for none, or a share such as 0.25, 1 or 2")
    return float(value)


def _checked(check: Callable[[str], str]) -> BeforeValidator:
    """Apply ``check`` to what is text, and refuse the rest by the same words."""

    def validate(value: Any) -> str:
        if not isinstance(value, str):
            raise RuleError(f"{show(value)} is not text: write a name")
        return check(value)

    return BeforeValidator(validate)


Value = Annotated[
    Scalar, PlainValidator(_value), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})
]
Parameter = Annotated[
    Sampler,
    PlainValidator(arguments.sampler),
    WithJsonSchema(samplers.schema()),
]
Point = dict[str, Value]
GpuShare = Annotated[
    float | Literal["auto"],
    PlainValidator(_gpu_share),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"const": "auto"}]}),
]


class Section(BaseModel):
    """What all mappings of the file share: no unknown keys, no value converted, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Metric(Section):
    """What trials are ranked by."""

    name: Annotated[str, BeforeValidator(_metric_name)] = Field(
        description="The metric that ranks configurations; never one of the test set.",
        examples=["val_accuracy", "val_loss"],
    )
    mode: Literal["max", "min"] = Field(
        description="max where more is better, min where less is.",
        examples=["min if less of it is better, else mode: max"],
    )

    @model_validator(mode="before")
    @classmethod
    def _direction(cls, raw: Any) -> Any:
        """Refuse the direction as other tools write it, with ours of the same meaning."""
        if isinstance(raw, str):
            written = f"{{name: {literal(raw)}, mode: min}}"
            rule = f"{show(raw)} is not a mapping: write {written} if less of it is better, else mode: max"
            raise RuleError(rule)
        for key in (*foreign.DIRECTION_KEYS, "mode") if isinstance(raw, dict) else ():
            word = foreign.DIRECTIONS.get(str(raw.get(key)).lower())
            if word is None or raw[key] == word == raw.get("mode"):
                continue
            if key == "mode":
                raise RuleError(f"{show(raw[key])} is not one of max, min: write {word}", ("mode",))
            rule = f'unknown key "{key}": write mode: {word}'
            raise RuleError(
                rule if "mode" not in raw else f'unknown key "{key}": leave it out', (), (key,), True
            )
        return raw

    #: The further metrics of a list of which this is the first.
    _others: tuple[Metric, ...] = PrivateAttr(())

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1


def _one_or_several(value: Any, validate: ValidatorFunctionWrapHandler) -> Metric:
    """One metric, or the first of a list, which knows the others."""
    if not isinstance(value, list | tuple):
        metric: Metric = validate(value)
        return metric
    if not value:
        raise RuleError("an empty list: name a metric, as in {name: val_accuracy, mode: max}")
    found, problems = list[Metric](), list[RuleError]()
    for index, item in enumerate(value):
        try:
            found.append(validate(item))
        except ValidationError as error:
            problems += [problem.under((index,)) for problem in explain(error, Metric)]
    raise_any(problems)
    first = found[0].model_copy()
    first._others = tuple(found[1:])
    return first


def _schema_of_several(schema: dict[str, Any]) -> None:
    """Let a JSON schema of one thing take a list of such things too."""
    one = {"$ref": schema.pop("$ref")}
    schema["anyOf"] = [one, {"type": "array", "items": one, "minItems": 1}]


class Stop(Section):
    """Early stopping: which scheduler, at which epochs (rungs) it decides, and when patience runs out."""

    scheduler: Literal["none", "asha", "median", "hyperband"] = Field(
        description="none, asha (asynchronous successive halving), median or hyperband.", examples=["asha"]
    )
    grace_period: int = Field(
        default=1, ge=1, description="Epochs that every trial gets before the first decision."
    )
    reduction_factor: float = Field(
        default=3.0, gt=1, description="One trial in this many survives each rung (asha and hyperband)."
    )
    brackets: int | None = Field(
        default=None,
        ge=1,
        description="How many brackets hyperband has, each starting a rung later; one a rung if left out.",
    )
    min_samples_required: int = Field(
        default=3, ge=1, description="How many others median needs at an epoch before it decides there."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Epochs without improvement after which a replicate has converged and ends, finished.",
        examples=[5],
    )
    min_delta: float = Field(
        default=0.0, ge=0, description="Improvements of the metric up to this size do not count for patience."
    )
    metric: Annotated[str, BeforeValidator(_metric_name)] | None = Field(
        default=None,
        description="The metric it goes by, where the space has several; the first unless said.",
        examples=["val_accuracy"],
    )

    def rungs(self, epochs: int) -> list[int]:
        """Return the epochs, below ``epochs``, after which a successive-halving decision falls.

        The milestones are ``grace_period * reduction_factor ** k``, as in Ray Tune; where one is no whole
        number, the first epoch at or past it counts. Empty for the schedulers ``none`` and ``median``.
        """
        if self.scheduler in ("none", "median"):
            return []
        if self.reduction_factor <= 1 + 1 / epochs:  # milestones less than an epoch apart
            return list(range(self.grace_period, epochs))
        found: list[int] = []
        rung, k = self.grace_period, 0
        while rung < epochs:
            found.append(rung)
            # the first milestone past this rung: there may be many before it, for a factor close to 1
            k = max(k + 1, int(math.log(rung / self.grace_period) / math.log(self.reduction_factor)))
            while (after := math.ceil(self.grace_period * self.reduction_factor**k)) <= rung:
                k += 1
            rung = after
        return found

    def ladders(self, epochs: int) -> list[list[int]]:
        """Return the rungs of each bracket: all of them for the first, one fewer for each that follows.

        ``asha`` has one bracket; ``none`` and ``median`` have none.
        """
        rungs = self.rungs(epochs)
        count = min(1, len(rungs))
        if self.scheduler == "hyperband":
            count = len(rungs) if self.brackets is None else self.brackets
        return [rungs[skipped:] for skipped in range(count)]


class Search(Section):
    """Which configurations are tried, beyond ``configs``."""

    algorithm: Literal["grid", "random", "optuna"] = Field(
        description="grid: every combination; random: independent draws; optuna: what a sampler suggests.",
        examples=["random"],
    )
    sampler: Annotated[str, _checked(_optuna_sampler)] | None = Field(
        default=None,
        description="Optuna's sampler: tpe, gp, cmaes, random, qmc, nsga2 or module:Class.",
        examples=["tpe"],
    )
    samples: int | None = Field(
        default=None, ge=1, description="How many draws (random) or suggestions (optuna).", examples=[50]
    )

    @model_validator(mode="before")
    @classmethod
    def _default_sampler(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("algorithm") == "optuna":
            return {"sampler": "tpe", **raw}
        return raw

    @model_validator(mode="after")
    def _rules(self) -> Search:
        found: list[RuleError] = []
        if self.algorithm == "grid" and self.samples is not None:
            found.append(
                RuleError(
                    "a grid tries every combination once: leave samples out",
                    ("samples",),
                )
            )
        if self.algorithm != "grid" and self.samples is None:
            found.append(
                RuleError(
                    f"missing: {self.algorithm} needs to know how many, as in samples: 50", ("samples",)
                )
            )
        if self.algorithm != "optuna" and self.sampler is not None:
            found.append(
                RuleError(
                    f"only algorithm: optuna has samplers, and this is {self.algorithm}: leave it out",
                    ("sampler",),
                )
            )
        raise_any(found)
        return self


class Resources(Section):
    """What one trial occupies; whatever is left out, tune-app decides from the machines it finds."""

    cpus_per_trial: float | None = Field(default=None, gt=0, description="CPUs that one trial occupies.")
    gpus_per_trial: GpuShare | None = Field(
        default=None,
        description="GPUs that one trial occupies: a whole number, a share such as 0.25, or auto: as small a "
        "share as still trains faster, which is measured.",
    )
    max_concurrent: int | None = Field(default=None, ge=1, description="How many trials may run at a time.")

    @model_validator(mode="after")
    def _rules(self) -> Resources:
        for key in ("cpus_per_trial", "gpus_per_trial"):
            value = getattr(self, key)
            if isinstance(value, float) and value > 1 and not value.is_integer():
                raise RuleError(
                    f"{show(value)} is neither a share nor a whole number: "
                    f"write {math.floor(value)} or {math.ceil(value)}",
                    (key,),
                )
        return self


class SearchSpace(Section):
    """What is wanted of a sweep: frozen, validated, and knowing nothing of the engine that runs it.

    Two spaces are equal if they ask for the same: their names, descriptions and files do not count.
    """

    task: Annotated[str, _checked(_task)] = Field(
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
    metric: Annotated[Metric, WrapValidator(_one_or_several)] = Field(
        default=Metric(name="val_accuracy", mode="max"),
        description="What configurations are ranked by; of a list, the first ranks.",
        json_schema_extra=_schema_of_several,
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
        """The name of its file, without the ending."""
        return self._name

    @property
    def file(self) -> str:
        """What its errors call the file that it was read from."""
        return self._origin.file

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self._asked() == other._asked()

    def __hash__(self) -> int:
        return hash(self._asked())

    def _asked(self) -> str:
        # the order of parameters and values is the order of the trials, and of the draws, so it counts
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
        """Return the configurations that are known in advance, ``fixed`` merged in.

        First ``configs`` in the order of the file, then the product of the grids, its first parameter
        changing slowest; for ``random``, that product once for each of the draws; nothing for ``optuna``.
        A parameter is absent where its ``when:`` does not hold. Draw i depends on ``seed`` and i alone.
        """
        return plan(
            self.space, self.fixed, self.configs, self.search.algorithm, self.search.samples, self.seed
        )

    def example(self) -> dict[str, Scalar]:
        """Return a configuration such as will be tried: the first that is planned, or one drawn at random."""
        planned = self.planned()
        return planned[0] if planned else example(self.space, self.fixed, self.seed)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric that is optimised; the first is ``metric``, by which configurations are ranked."""
        return (self.metric, *self.metric._others)

    @property
    def stop_metric(self) -> Metric:
        """The metric that early stopping goes by."""
        return next((metric for metric in self.metrics if metric.name == self.stop.metric), self.metric)

    @property
    def replicate_numbers(self) -> range:
        """The numbers of the replicates of each configuration."""
        return range(self.first_replicate, self.first_replicate + self.seeds)

    def size(self) -> int:
        """Return how many configurations will be tried, those that Optuna is yet to suggest included."""
        suggested = self.search.samples or 0 if self.search.algorithm == "optuna" else 0
        return len(self.planned()) + suggested

    def dump(self) -> str:
        """Return YAML that reads back to an equal space, with every default written out."""
        return write(self.plain())

    def error(self, key: str, message: str) -> SpaceError:
        """Return an error at ``key`` of the file, for rules that only later modules know.

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
        raise_any(rules.broken(self, recorded(info)))
        return self


def difference(a: SearchSpace, b: SearchSpace) -> list[str]:
    """Say which keys differ, ``a`` being what is recorded and ``b`` what is asked for; empty if equal."""
    old, new = _flat(a), _flat(b)
    found = [
        f"{key}: {old.get(key, 'nothing')} recorded, {new.get(key, 'nothing')} asked"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    if not found and a != b:
        found.append("the order of the parameters: configurations would be planned in another order")
    return found


def _flat(space: SearchSpace) -> dict[str, str]:
    """Return the dotted keys of a space, each with its value as text in which 4 and 4.0 are alike."""
    flat: dict[str, Any] = {}
    for key, value in space.plain().items():
        if key == "description":
            continue
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return {key: show(_short(value), limit=120) for key, value in flat.items()}


def _short(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    return {key: _short(item) for key, item in value.items()} if isinstance(value, dict) else value


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a search-space file, from which an editor completes and checks it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SearchSpace.model_json_schema()}
