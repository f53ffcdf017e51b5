"""A sweep's best model as a file of its own, and what it says of new images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_app import task
from tune_app.data import CLASSES
from tune_app.errors import DataError, RunError, StorageError, TrialError
from tune_app.history import Attempt
from tune_app.results import Frames

FORMAT = "tune-app model 1"
UNKNOWN = "unknown"
#: An image whose sides are shorter than this share of the model's inputs is enlarged beyond recognition.
_SMALLEST = 0.5
#: The longer side of an image, of the shorter: beyond it a square is no picture of it.
_LONGEST = 2.0
#: Numbers of an input span less than this share of those in training: almost nothing is to be seen.
_FLAT = 0.05


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input: the class it names, and its probability of each, (C,)."""

    name: str
    label: str
    probabilities: dict[str, float]
    #: Why this input is not like those that the model was trained on, a sentence each.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """What a model was trained on; ``unknown`` or None where its file does not say, as of an earlier version.

    ``kind`` is that of the data's identity; ``shape`` that of one input; ``extent`` the smallest and largest
    number in the training inputs.
    """

    task: str
    data: str
    kind: str
    fingerprint: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] | None
    extent: tuple[float, float] | None

    @property
    def line(self) -> str:
        """The model in a line."""
        which = f" (sha256 {self.fingerprint[:12]})" if self.fingerprint else ""
        drawn = ", images drawn by code" if self.kind == "phantom" else ""
        return f"task {self.task}, trained on {self.data}{drawn}{which}; inputs of {_by(self.shape)}"

    @property
    def warning(self) -> str:
        """What must be known of all that the model says; empty where there is nothing."""
        if self.kind == "phantom":
            return "trained on images drawn by code: what it says of a real X-ray means nothing"
        if self.kind == UNKNOWN:
            return "its file does not say what it was trained on: do not rely on what it says"
        return ""


def export(frames: Frames, sample: int, path: Path) -> dict[str, Any]:
    """Write the model of a configuration to ``path``: that of its best replicate by the space's metric.

    The file holds tensors and plain values alone, so that it can be read as weights only. Returns what
    it says of itself, without the weights.

    Raises:
        RunError: the run keeps no weights of that configuration.
        StorageError: the disk refused the file.
    """
    import torch

    sweep = frames.sweep
    seeds = frames.seeds[(frames.seeds["sample"] == sample) & (frames.seeds["status"] == "finished")]
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
    partial = path.with_name(path.name + ".part")
    try:
        torch.save(found | {"weights": _weights(content, replicate)}, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError where a folder is missing
        raise StorageError(f"{path}: cannot be written: {error}. Give another path with --model.") from error
    return found


def _kept(frames: Frames, attempt: Attempt | None) -> dict[str, Any]:
    from tune_app import checkpoint

    sweep = frames.sweep
    kept = attempt and (attempt.weights or attempt.saved)
    if not kept or not sweep.whole(kept):
        raise RunError(
            f"{sweep.name}: there are no weights of its best configuration: keep is {sweep.space.keep}, or "
            "they were pruned, or are damaged.\n"
            f"  Train it again with: tune-app confirm {sweep.name} --top 1"
        )
    try:
        return checkpoint.load(sweep.paths.checkpoints / kept.file)
    except TrialError as error:
        raise RunError(str(error)) from error


def _weights(content: dict[str, Any], replicate: int) -> Any:
    from tune_app import checkpoint

    if "weights" in content:
        return checkpoint.of(content, "weights", [replicate])[0]
    state = checkpoint.of(content, "state", [replicate])[0]
    return state["best"]["weights"] or state["model"]


def predict(path: Path, inputs: Sequence[Path]) -> list[Prediction]:
    """What the model of a file says of each input: an image, or a ``.npy`` array of inputs.

    Images are made grey and of the size that the model was trained on.

    Raises:
        DataError: the file holds no model of ours, or an input does not fit it.
        TaskError: the model's task is not to be found here, or it raised.
    """
    import torch

    content = _read(path)
    known = _origin(content)
    made = task.load(known.task)
    if not isinstance(made, task.Task):
        raise DataError(f"{path}: its task {known.task} is a function, which has no model.")
    with task.calling(known.task, "model()"):
        model = made.model(content["config"], known.shape)
    try:
        model.load_state_dict(content["weights"])
    except (RuntimeError, TypeError) as error:
        raise DataError(
            f"{path}: its weights do not fit the model that {known.task} makes now: {error}"
        ) from error
    model.eval()
    found = []
    for each in inputs:
        for name, x, warnings in _inputs(each, known):
            with torch.no_grad(), task.calling(known.task, f"the model, given {name},"):
                logits = model(torch.tensor(x)[None].float())[0]
                shares = torch.softmax(logits, 0) if len(logits) > 1 else _both(torch.sigmoid(logits[0]))
            names = _names(made, len(shares))
            label = names[int(shares.argmax())]
            shown = dict(zip(names, shares.tolist(), strict=True))
            found.append(Prediction(name, label, shown, tuple(warnings)))
    return found


def origin(path: Path) -> Origin:
    """What the model of a file was trained on.

    Raises:
        DataError: the file holds no model of ours.
    """
    return _origin(_read(path))


def _origin(content: dict[str, Any]) -> Origin:
    data = content.get("data")
    # A file of an earlier version has no kind, but phantoms are always called so.
    kind = content.get("data_kind") or ("phantom" if data == "phantom" else UNKNOWN)
    extent, classes = content.get("extent"), content.get("classes")
    return Origin(
        str(content["task"]),
        "data of its own" if kind == "arrays" else str(data or f"{UNKNOWN} data"),
        kind,
        str(content.get("data_sha256") or ""),
        tuple(content["shape"]),
        tuple(classes) if classes else None,
        (float(extent[0]), float(extent[1])) if extent else None,
    )


def _read(path: Path) -> dict[str, Any]:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # whatever the damage happens to cause
        raise DataError(
            f"{path}: is no model file. Make one with: tune-app best NAME --model FILE"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(
            f'{path}: is not of the format "{FORMAT}"; tune-app best NAME --model FILE makes one.'
        )
    if lacking := [key for key in ("task", "config", "shape", "weights") if key not in content]:
        raise DataError(
            f"{path}: lacks {', '.join(lacking)}; tune-app best NAME --model FILE makes a whole one."
        )
    return content


def _inputs(path: Path, known: Origin) -> Iterator[tuple[str, NDArray[Any], list[str]]]:
    """Each input of a file with its name and what is odd about it."""
    from tune_app import data

    shape = known.shape
    if path.is_dir():
        raise DataError(f"{path}: is a folder: name the images in it, as in {path}/*.png")
    if path.suffix != ".npy":
        if len(shape) != 2 or shape[0] != shape[1]:
            raise DataError(f"{path}: the model takes inputs of shape {shape}: give a .npy array of those.")
        x = data.decode(path, shape[0])
        yield str(path), x, [*_odd_image(path, shape[0]), *_odd_numbers(x, known)]
        return
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {array.dtype}, which is no number.")
    if array.shape != shape and array.shape[1:] != shape:
        raise DataError(
            f"{path}: its shape is {array.shape}; the model takes {shape}, one input or a stack of them."
        )
    if not np.isfinite(array).all():
        raise DataError(f"{path}: holds NaN or infinity.")
    if array.shape == shape:
        yield str(path), array, _odd_numbers(array, known)
        return
    for index, x in enumerate(array):
        yield f"{path}[{index}]", x, _odd_numbers(x, known)


def _odd_image(path: Path, size: int) -> Iterator[str]:
    from PIL import Image

    with Image.open(path) as image:
        short, long = sorted(image.size)
        if short < _SMALLEST * size:
            yield f"is {image.width} x {image.height}, enlarged to {size} x {size}"
        elif long > _LONGEST * short:
            yield f"is {image.width} x {image.height}, squeezed to {size} x {size}"
        colours = np.asarray(image.convert("RGB").resize((size, size)), np.int16)
        if np.abs(colours - colours.mean(axis=2, keepdims=True)).mean() > 255 * _FLAT:
            yield "is in colour, and was made grey"


def _odd_numbers(x: NDArray[Any], known: Origin) -> list[str]:
    """Whether the numbers of an input lie where those in training lay."""
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


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _both(share: Any) -> Any:
    import torch

    return torch.stack([1 - share, share])


def _names(made: task.Task, classes: int) -> list[str]:
    """The names of the classes where the task tells them, else their numbers."""
    names = getattr(made, "classes", None) or range(classes)
    return [str(name) for name in names]
