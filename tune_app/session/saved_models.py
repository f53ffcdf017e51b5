"""Exporting the best model of a run to a file, and predicting with such a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tune_app.data import CLASSES, decode
from tune_app.errors import DataError, RunError, StorageError, TaskError, TrialError, describe
from tune_app.results import Frames
from tune_app.session import model_file
from tune_app.session.model_file import Origin
from tune_app.space.scalars import show
from tune_app.status import Status
from tune_app.sweep import trust as trusting
from tune_app.sweep.configurations import Attempt
from tune_app.sweep.opened_folder import replacing
from tune_app.tasks import task
from tune_app.training import checkpoint

if TYPE_CHECKING:
    import torch

#: An image whose shorter side is less than this share of the model's input is enlarged too much.
_SMALLEST = 0.5
#: An image whose longer side is more than this multiple of the shorter is distorted too much as a square.
_LONGEST = 2.0
#: An input whose numbers span less than this share of the span in training shows almost nothing.
_FLAT = 0.05


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
        "format": model_file.FORMAT,
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
    path = sweep.paths.checkpoints / kept.file if kept else None
    if not kept or not path or not path.exists():
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


def predict(path: Path, inputs: Sequence[Path], trust: bool = False) -> list[Prediction]:
    """The predictions of a model file for each input: an image, or a ``.npy`` array of inputs.

    Images are converted to grey and to the size of the training images. ``trust`` says that the task which
    the file names may be imported, though the file may come from a stranger.

    Raises:
        DataError: the file is not a model file, or an input does not fit it.
        TrustError: the file names a task that this user has not named for it.
        TaskError: the model's task cannot be found here, or it raised.
    """
    content, known, identity = model_file.read(path)
    trusting.require(path, identity, trusting.of_task(known.task), trust)
    try:
        made = task.load(known.task)
    except TaskError as error:
        raise TaskError(f"{path}: {_one_line(error)}") from error
    if not isinstance(made, task.Task):
        raise DataError(f"{path}: its task {known.task} is a function, which has no model.")
    model = _model(path, made, known, content)
    found = []
    for each in inputs:
        for name, x, warnings in _inputs(each, known):
            shown = _shares(known.task, made, model, name, x)
            found.append(Prediction(name, max(shown, key=lambda label: shown[label]), shown, tuple(warnings)))
    return found


def _model(path: Path, made: task.Task, known: Origin, content: dict[str, Any]) -> torch.nn.Module:
    """The task's model with the weights of the file."""
    import torch

    config, weights = content["config"], content["weights"]
    builtin = known.task in task.BUILTIN
    for name, parameter in (task.parameters(made) or {}).items() if builtin else ():
        if name in config and not parameter.accepts(config[name]):
            raise DataError(f"{path}: its {name} is {show(config[name])}, and must be {parameter.rule}.")
    try:
        # On the device "meta" a model takes no memory, however large the file claims it to be.
        with torch.device("meta") if builtin else nullcontext(), task.calling(known.task, "model()"):
            model = made.model(dict(config), known.shape)
    except TaskError as error:
        raise TaskError(f"{path}: {_one_line(error)}") from error
    try:
        model.load_state_dict(weights, assign=builtin)
    except Exception as error:  # the code of a model may raise anything
        raise DataError(
            f"{path}: its weights do not fit the model that {known.task} makes now: {describe(error)}"
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
        logits = logits[0]
        shares = torch.softmax(logits, 0) if len(logits) > 1 else _both(torch.sigmoid(logits[0]))
    if not shares.isfinite().all():
        raise DataError(f"{name}: the model returned NaN or infinity.")
    names = [str(each) for each in getattr(made, "classes", None) or range(len(shares))]
    if len(set(names)) != len(shares):
        raise TaskError(
            f"the task {reference} names {len(set(names))} classes, but its model has {len(shares)}."
        )
    return dict(zip(names, shares.tolist(), strict=True))


def origin(path: Path) -> Origin:
    """What the model of a file was trained on.

    Raises:
        DataError: the file is not a model file.
    """
    return model_file.read(path)[1]


def _inputs(path: Path, known: Origin) -> Iterator[tuple[str, NDArray[Any], list[str]]]:
    """Each input of a file as float32, with its name and warnings about it."""
    from tune_app.data.images import check_size

    shape = known.shape
    if path.is_dir():
        raise DataError(f"{path}: is a folder. Name the images in it, as in {path}/*.png")
    if path.suffix != ".npy" and (len(shape) != 2 or shape[0] != shape[1]):
        raise DataError(f"{path}: the model takes inputs of shape {shape}. Give them as a .npy array.")
    if not path.is_file():
        raise DataError(f"{path}: cannot be read: {'it is not a file' if path.exists() else 'No such file'}.")
    if path.suffix != ".npy":
        check_size(shape[0])
        try:
            x = decode(path, shape[0])
        except DataError as error:
            raise DataError(_one_line(error)) from error
        yield str(path), x.astype(np.float32), [*_odd_image(path, shape[0]), *_odd_numbers(x, known)]
        return
    try:
        # memory-mapped: the header is checked against the file's length, and nothing is unpickled
        array = np.load(path, mmap_mode="r")
    except Exception as error:  # a damaged file may cause any error
        raise DataError(f"{path}: cannot be read as an array: {describe(error)}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: cannot be read as an array: it is an archive of several arrays.")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {array.dtype}, which is not a number.")
    if array.shape != shape and array.shape[1:] != shape:
        raise DataError(
            f"{path}: its shape is {array.shape}; the model takes {shape}, one input or a stack of them."
        )
    if not array.size:
        raise DataError(f"{path}: is empty.")
    single = array.shape == shape
    for index, x in enumerate([array] if single else array):
        with np.errstate(over="ignore"):
            numbers = np.array(x, np.float32)
        if not np.isfinite(numbers).all():
            raise DataError(f"{path}: holds NaN, infinity, or a number beyond float32.")
        yield str(path) if single else f"{path}[{index}]", numbers, _odd_numbers(numbers, known)


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


def _odd_numbers(x: NDArray[Any], known: Origin) -> list[str]:
    """Warnings about an input whose numbers are far from those in training."""
    if known.extent is None or not x.size:
        return []
    low, high = known.extent
    least, most = float(x.min()), float(x.max())
    trained = f"those in training from {low:g} to {high:g}"
    if least < low - (high - low) or most > high + (high - low):
        return [f"its numbers lie from {least:g} to {most:g}, {trained}"]
    if most - least < _FLAT * (high - low):
        return [f"its numbers lie from {least:g} to {most:g} only, {trained}"]
    return []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _both(share: Any) -> Any:
    import torch

    return torch.stack([1 - share, share])
