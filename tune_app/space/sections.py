"""The sections of a search-space file, metric, stop, search and resources, and the types of its values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
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

from tune_app.errors import nearest
from tune_app.space import arguments, foreign, rules, samplers
from tune_app.space.problems import RuleError, explain, raise_any, unquote
from tune_app.space.samplers import Sampler
from tune_app.space.scalars import Scalar, literal, scalar_fault, show

OPTUNA_SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc", "nsga2")
#: A task or sampler of the user's own: ``module:attribute``.
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def recorded(info: ValidationInfo) -> bool:
    """Whether a space is read from a record, which may have names that only earlier versions allowed."""
    return bool(info.context and info.context.get("recorded"))


def _value(value: Any) -> Any:
    if fault := scalar_fault(value):
        raise RuleError(fault)
    return value


def _task(value: str) -> str:
    if not (rules.NAME.fullmatch(value) or REFERENCE.fullmatch(value)):
        raise RuleError(f"{show(value)} is not a task: write pneumonia, or module:attribute for your own")
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
            f"{show(value)} is not a metric name: write letters, digits and _, as in val_accuracy"
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


def _text(check: Callable[[str], str]) -> BeforeValidator:
    """A validator that refuses all that is not text, and applies ``check`` to text."""

    def validate(value: Any) -> str:
        if not isinstance(value, str):
            raise RuleError(f"{show(value)} is not text: write a name")
        return check(value)

    return BeforeValidator(validate)


Value = Annotated[
    Scalar, PlainValidator(_value), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})
]
Parameter = Annotated[Sampler, PlainValidator(arguments.sampler), WithJsonSchema(samplers.schema())]
Point = dict[str, Value]
TaskName = Annotated[str, _text(_task)]
GpuShare = Annotated[
    float | Literal["auto"],
    PlainValidator(_gpu_share),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"const": "auto"}]}),
]


class Section(BaseModel):
    """The base of every mapping in the file: no unknown keys, no conversion of values, immutable."""

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
        """Refuse the keys and words of other tools for the mode; the message names the right one."""
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
            rule = rule if "mode" not in raw else f'unknown key "{key}": leave it out'
            raise RuleError(rule, spot=(key,), on_key=True)
        return raw

    #: The other metrics, if this is the first of a list.
    _others: tuple[Metric, ...] = PrivateAttr(())

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1


def _one_or_several(value: Any, validate: ValidatorFunctionWrapHandler) -> Metric:
    """One metric, or the first of a list, which has the others as ``_others``."""
    if not isinstance(value, list | tuple):
        metric: Metric = validate(value)
        return metric
    if not value:
        raise RuleError("the list is empty: name a metric, as in {name: val_accuracy, mode: max}")
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


def one_or_list(schema: dict[str, Any]) -> None:
    """Change a JSON schema so that it also accepts a list."""
    one = {"$ref": schema.pop("$ref")}
    schema["anyOf"] = [one, {"type": "array", "items": one, "minItems": 1}]


Metrics = Annotated[Metric, WrapValidator(_one_or_several)]


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
        """Return the epochs below ``epochs`` after which successive halving decides.

        The milestones are ``grace_period * reduction_factor ** k``, as in Ray Tune, rounded up to whole
        epochs. Empty for the schedulers ``none`` and ``median``.
        """
        if self.scheduler in ("none", "median"):
            return []
        if self.reduction_factor <= 1 + 1 / epochs:  # milestones less than an epoch apart
            return list(range(self.grace_period, epochs))
        found: list[int] = []
        rung, k = self.grace_period, 0
        while rung < epochs:
            found.append(rung)
            # the first milestone past this rung; for a factor close to 1, many lie before it
            k = max(k + 1, int(math.log(rung / self.grace_period) / math.log(self.reduction_factor)))
            while (after := math.ceil(self.grace_period * self.reduction_factor**k)) <= rung:
                k += 1
            rung = after
        return found

    def rungs_by_bracket(self, epochs: int) -> list[list[int]]:
        """Return the rungs of each bracket: all rungs for the first, and one fewer for each further bracket.

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
    sampler: Annotated[str, _text(_optuna_sampler)] | None = Field(
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
            found.append(RuleError("a grid tries every combination once: leave samples out", ("samples",)))
        if self.algorithm != "grid" and self.samples is None:
            rule = f"missing: {self.algorithm} needs the number of samples, as in samples: 50"
            found.append(RuleError(rule, ("samples",)))
        if self.algorithm != "optuna" and self.sampler is not None:
            rule = f"only algorithm: optuna has samplers, and this is {self.algorithm}: leave it out"
            found.append(RuleError(rule, ("sampler",)))
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
