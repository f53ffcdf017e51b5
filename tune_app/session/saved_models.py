"""Exporting the best model of a run to a file, and predicting with such a file.

A model file may be damaged or come from a stranger.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from tune_app.data import CLASSES, decode
from tune_app.errors import DataError, RunError, StorageError, TaskError, TrialError, describe
from tune_app.results import Frames
from tune_app.space.model import REFERENCE
from tune_app.space.scalars import show
from tune_app.status import Status
from tune_app.sweep import trust as trusting
from tune_app.sweep.configurations import Attempt
from tune_app.sweep.opened_folder import replacing
from tune_app.sweep.paths import open_plain
from tune_app.tasks import task
from tune_app.training import checkpoint

if TYPE_CHECKING:
    import torch

FORMAT = "tune-app model 1"
UNKNOWN = "unknown"
#: An image whose shorter side is less than this share of the model's input is enlarged too much.
_SMALLEST = 0.5
#: An image whose longer side is more than this multiple of the shorter is distorted too much as a square.
_LONGEST = 2.0
#: An input whose numbers span less than this share of the span in training shows almost nothing.
_FLAT = 0.05
#: How deep the lists and mappings in a configuration may lie within each other.
_DEEPEST = 50

_Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]


class Origin(msgspec.Struct, kw_only=True):
    """What a model was trained on; ``unknown`` or None where its file, of an earlier version, does not say.

    ``kind`` is the kind of the data's identity, ``shape`` the shape of one input, ``extent`` the smallest and
    largest number of the training inputs.
    """

    task: str
    data: str | None = None
    kind: str | None = msgspec.field(name="data_kind", default=None)
    fingerprint: str = msgspec.field(name="data_sha256", default="")
    shape: tuple[Annotated[int, Meta(gt=0)], ...]
    classes: tuple[str, ...] | None = None
    extent: tuple[_Finite, _Finite] | None = None

    def __post_init__(self) -> None:
        # A file of an earlier version has no kind, but the data of phantoms is always called "phantom".
        self.kind = self.kind or ("phantom" if self.data == "phantom" else UNKNOWN)
        self.data = "data of its own" if self.kind == "arrays" else self.data or f"{UNKNOWN} data"

    @property
    def line(self) -> str:
        """The model in one line."""
        which = f" (sha256 {self.fingerprint[:12]})" if self.fingerprint else ""
        drawn = ", images drawn by code" if self.kind == "phantom" else ""
        sides = " x ".join(map(str, self.shape)) or "one number"
        return f"task {self.task}, trained on {self.data}{drawn}{which}; inputs of {sides}"

    @property
    def warning(self) -> str:
        """A warning about every prediction of the model; empty if there is none."""
        if self.kind == "phantom":
            return "trained on images drawn by code: what it says of a real X-ray means nothing"
        if self.kind == UNKNOWN:
            return "its file does not say what it was trained on: do not rely on its predictions"
        return ""


class ModelFile(msgspec.Struct, kw_only=True):
    """What a file holds beside the origin of its model; ``weights`` are tensors by name."""

    format: Literal["tune-app model 1"]
    config: dict[str, str | bool | int | _Finite | list[Any] | dict[str, Any] | None]
    weights: dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """A prediction for one input: the most probable class, and the probability of each class, (C,)."""

    name: str
    label: str
    probabilities: dict[str, float]
    #: Why this input is unlike the training inputs, one sentence each.
    warnings: tuple[str, ...] = ()


def export(frames: Frames, sample: int, path: Path) -> dict[str, Any]:
    """Write the model of a configuration's best replicate, by the space's metric, to ``path``.

    The file holds only tensors and plain values, so it can be read as weights only. Returns its content
    without the weights.

    Raises:
        RunError: the run has no weights of that configuration.
        StorageError: the disk refused the file.
    """
    import torch

    sweep = frames.sweep
    seeds = frames.seeds[(frames.seeds["sample"] == sample) & (frames.seeds["status"] == Status.FINISHED)]
    metric = sweep.space.metric
    chosen = seeds.sort_values(metric.name, ascending=metric.mode == "min", kind="stable").iloc[0]
    replicate = int(chosen["replicate"])
    configuration = sweep.history.configurations[sample]
    content = _kept(frames, configuration.last(replicate))
    found = {
        "format": FORMAT,
        "run": sweep.name,
        "task": sweep.space.task,
        "config": dict(configuration.config),
        "shape": list(content["shape"]),
        "replicate": replicate,
        "epoch": int(chosen["evaluated"]),
        "metric": {"name": metric.name, "value": float(chosen[metric.name])},
        "data": sweep.data.source,
        "data_kind": sweep.data.kind,
        "data_sha256": sweep.data.fingerprint,
        "classes": list(CLASSES) if sweep.space.task in task.BUILTIN else None,
        "extent": content.get("extent"),
    }
    names = trusting.of_task(sweep.space.task)
    try:
        with replacing(path) as partial:
            torch.save(found | {"weights": _weights(content, replicate)}, partial)
        if trusting.trusted(sweep.identity, names):
            with path.open("rb") as file:
                trusting.remember(hashlib.file_digest(file, "sha256").hexdigest(), names)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError if the folder is missing
        raise StorageError(f"{path}: cannot be written: {error}. Give another path with --model.") from error
    return found


def _kept(frames: Frames, attempt: Attempt | None) -> dict[str, Any]:
    sweep = frames.sweep
    kept = attempt and (attempt.weights or attempt.saved)
    path = sweep.paths.checkpoints / (kept.file if kept else "")
    if not kept or not path.exists():
        raise RunError(
            f"{sweep.name}: has no weights of its best configuration: keep is {sweep.space.keep}, or they "
            f"were pruned.\n  Train it again with: tune-app confirm {sweep.name} --top 1"
        )
    if not sweep.is_intact(kept):
        raise RunError(
            f"{path}: is damaged: its content is not what was recorded. Restore it from a copy, or train the "
            f"configuration again with: tune-app confirm {sweep.name} --top 1"
        )
    try:
        return checkpoint.load(path)
    except TrialError as error:
        raise RunError(str(error)) from error


def _weights(content: dict[str, Any], replicate: int) -> Any:
    if "weights" in content:
        return checkpoint.select(content, "weights", [replicate])[0]
    state = checkpoint.select(content, "state", [replicate])[0]
    return state["best"]["weights"] or state["model"]


def read(path: Path) -> tuple[Origin, ModelFile, str]:
    """The origin and content of a model file, and the identity of the file for `trust`.

    Raises:
        DataError: it is no model file, or it is damaged.
    """
    make = "Make one with: tune-app best NAME --model FILE"
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a model file. {make}")
    try:
        with open_plain(path.resolve()) as file:
            identity = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = file.tell()
            content = checkpoint.deserialize(file)
        model, origin = msgspec.convert(content, ModelFile), msgspec.convert(content, Origin)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged file may cause any error
        raise DataError(f"{path}: is not a model file, or is damaged ({describe(error)}). {make}") from error
    texts = (origin.task, str(origin.data), str(origin.kind), origin.fingerprint, *(origin.classes or ()))
    if not all(text.isprintable() for text in (*texts, *model.config)):
        raise DataError(f"{path}: holds text that cannot be printed. {make}")
    if _entangled(model.config):
        raise DataError(f"{path}: its configuration holds one list several times, or lists too deep. {make}")
    if ":" in origin.task and not REFERENCE.fullmatch(origin.task):
        raise DataError(f"{path}: its task {origin.task} is not module:Name. {make}")
    if why := _unusable(model.weights, size_bytes):
        raise DataError(f"{path}: its weights cannot be used: {why}. {make}")
    return origin, model, identity


def _entangled(config: Mapping[str, Any]) -> bool:
    """Whether a copy of a configuration could be far larger than its file."""
    seen, level = set[int](), [*config.values()]
    for _ in range(_DEEPEST):
        inner = [each for each in level if isinstance(each, list | dict)]
        if len({*map(id, inner)} - seen) < len(inner):
            return True
        seen |= {*map(id, inner)}
        level = [value for each in inner for value in (each.values() if isinstance(each, dict) else each)]
    return bool(level)


def _unusable(weights: dict[str, Any], size_bytes: int) -> str:
    """Why no model can have these weights, read from a file of ``size_bytes``; empty if one can."""
    import torch

    tensors = {name: each for name, each in weights.items() if isinstance(each, torch.Tensor)}
    if others := [name for name in weights.keys() - tensors.keys() if not name.endswith("_extra_state")]:
        return f"{min(others)!r} is not a tensor"
    if any(each.layout != torch.strided or each.device.type != "cpu" for each in tensors.values()):
        return "their memory layout is not the one that tune-app writes"
    if sum(each.numel() * each.element_size() for each in tensors.values()) > size_bytes:
        return "they claim to be larger than the file"
    return next((f"{name!r} holds NaN" for name, each in tensors.items() if each.isnan().any()), "")


def predict(path: Path, inputs: Sequence[Path], trust: bool = False) -> list[Prediction]:
    """The predictions of a model file for each input: an image, or a ``.npy`` array of inputs.

    Images are converted to grey and to the size of the training images. ``trust`` says that the task which
    the file names may be imported, though the file may come from a stranger.

    Raises:
        DataError: the file is not a model file, or an input does not fit it.
        TrustError: the file names a task that this user has not named for it.
        TaskError: the model's task cannot be found here, or it raised.
    """
    origin, content, identity = read(path)
    trusting.require(path, identity, trusting.of_task(origin.task), trust)
    try:
        made = task.load(origin.task)
        if not isinstance(made, task.Task):
            raise DataError(f"{path}: its task {origin.task} is a function, which has no model.")
        model = _model(path, made, origin, content)
    except TaskError as error:
        raise TaskError(f"{path}: {_one_line(error)}") from error
    found = []
    for each in inputs:
        for name, x, warnings in _inputs(each, origin):
            shown = _shares(origin.task, made, model, name, x)
            found.append(Prediction(name, max(shown, key=lambda label: shown[label]), shown, tuple(warnings)))
    return found


def _model(path: Path, made: task.Task, origin: Origin, content: ModelFile) -> torch.nn.Module:
    """The task's model with the weights of the file."""
    import torch

    builtin = origin.task in task.BUILTIN
    for name, parameter in (task.parameters(made) or {}).items() if builtin else ():
        if name in content.config and not parameter.accepts(content.config[name]):
            shown = show(content.config[name])
            raise DataError(f"{path}: its {name} is {shown}, and must be {parameter.rule}.")
    # On the device "meta" a model takes no memory, however large the file claims it to be.
    with torch.device("meta") if builtin else nullcontext(), task.calling(origin.task, "model()"):
        model = made.model(task.copied(content.config), origin.shape)
    try:
        model.load_state_dict(content.weights, assign=builtin)
    except Exception as error:  # the code of a model may raise anything
        raise DataError(
            f"{path}: its weights do not fit the model that {origin.task} makes now: {describe(error)}"
        ) from error
    return model.eval()


def _shares(
    reference: str, made: task.Task, model: torch.nn.Module, name: str, x: NDArray[Any]
) -> dict[str, float]:
    """The probability of each class, by name, for one input."""
    import torch

    with torch.no_grad(), task.calling(reference, f"the model, given {name},"):
        logits = model(torch.from_numpy(x)[None])
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or not logits.numel():
            raise TaskError(f"the model of {reference} does not return logits (1, C) for one input.")
        shares = torch.softmax(logits[0], 0)
        if len(shares) == 1:  # the logit of the second of two classes
            second = torch.sigmoid(logits[0, 0])
            shares = torch.stack([1 - second, second])
    if not shares.isfinite().all():
        raise DataError(f"{name}: the model returned NaN or infinity.")
    names = [str(each) for each in getattr(made, "classes", None) or range(len(shares))]
    if len(set(names)) != len(shares):
        raise TaskError(
            f"the task {reference} names {len(set(names))} classes, but its model has {len(shares)}."
        )
    return dict(zip(names, shares.tolist(), strict=True))


def _inputs(path: Path, origin: Origin) -> Iterator[tuple[str, NDArray[Any], list[str]]]:
    """Each input of a file as float32, with its name and warnings about it."""
    shape = origin.shape
    if path.is_dir():
        raise DataError(f"{path}: is a folder. Name the images in it, as in {path}/*.png")
    if path.suffix != ".npy" and (len(shape) != 2 or shape[0] != shape[1]):
        raise DataError(f"{path}: the model takes inputs of shape {shape}. Give them as a .npy array.")
    if not path.is_file():
        raise DataError(f"{path}: cannot be read: {'it is not a file' if path.exists() else 'No such file'}.")
    if path.suffix != ".npy":
        yield _image(path, origin)
        return
    array = _array(path, shape)
    single = array.shape == shape
    for index, x in enumerate([array] if single else array):
        with np.errstate(over="ignore"):
            numbers = np.array(x, np.float32)
        if not np.isfinite(numbers).all():
            raise DataError(f"{path}: holds NaN, infinity, or a number beyond float32.")
        yield str(path) if single else f"{path}[{index}]", numbers, _odd_numbers(numbers, origin)


def _image(path: Path, origin: Origin) -> tuple[str, NDArray[Any], list[str]]:
    from tune_app.data.images import check_size

    check_size(origin.shape[0])
    try:
        x = decode(path, origin.shape[0]).astype(np.float32)
    except DataError as error:
        raise DataError(_one_line(error)) from error
    return str(path), x, [*_odd_image(path, origin.shape[0]), *_odd_numbers(x, origin)]


def _array(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """One input or a stack of them."""
    try:
        # memory-mapped: the header is checked against the file's length, and nothing is unpickled
        array = np.load(path, mmap_mode="r")
    except Exception as error:  # a damaged file may cause any error
        raise DataError(f"{path}: cannot be read as an array: {describe(error)}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: cannot be read as an array: it is an archive of several arrays.")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {array.dtype}, which is not a number.")
    if not array.size or shape not in (array.shape, array.shape[1:]):
        raise DataError(
            f"{path}: its shape is {array.shape}; the model takes {shape}, one input or a stack of them."
        )
    return array


def _odd_image(path: Path, size: int) -> Iterator[str]:
    from PIL import Image

    from tune_app.data.images import FORMATS

    with Image.open(path, formats=FORMATS) as image:
        short, long = sorted(image.size)
        if short < _SMALLEST * size:
            yield f"is {image.width} x {image.height}, enlarged to {size} x {size}"
        elif long > _LONGEST * short:
            yield f"is {image.width} x {image.height}, squeezed to {size} x {size}"
        colours = np.asarray(image.convert("RGB").resize((size, size)), np.int16)
        if np.abs(colours - colours.mean(axis=2, keepdims=True)).mean() > 255 * _FLAT:
            yield "is in colour, and was made grey"


def _odd_numbers(x: NDArray[Any], origin: Origin) -> list[str]:
    """Warnings about an input whose numbers are far from those in training."""
    if origin.extent is None or not x.size:
        return []
    low, high = origin.extent
    least, most = float(x.min()), float(x.max())
    trained = f"those in training from {low:g} to {high:g}"
    if least < low - (high - low) or most > high + (high - low):
        return [f"its numbers lie from {least:g} to {most:g}, {trained}"]
    if most - least < _FLAT * (high - low):
        return [f"its numbers lie from {least:g} to {most:g} only, {trained}"]
    return []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
