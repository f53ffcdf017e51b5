"""A sweep's best model as a file of its own, and what it says of new images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_app import task
from tune_app.errors import DataError, RunError, StorageError, TrialError
from tune_app.history import Attempt
from tune_app.results import Frames

FORMAT = "tune-app model 1"


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input: the class it names, and its probability of each, (C,)."""

    name: str
    label: str
    probabilities: dict[str, float]


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
        "data_sha256": sweep.data.fingerprint,
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
        TaskError: the model's task is not to be found here.
    """
    import torch

    content = _read(path)
    made = task.load(content["task"])
    if not isinstance(made, task.Task):
        raise DataError(f"{path}: its task {content['task']} is a function, which has no model.")
    shape = tuple(content["shape"])
    arrays = [found for each in inputs for found in _inputs(each, shape)]
    with task.code(content["task"]), torch.no_grad():
        model = made.model(task.copied(content["config"]), shape)
        try:
            model.load_state_dict(content["weights"])
        except RuntimeError as error:
            raise DataError(
                f"{path}: its weights do not fit the model that {content['task']} makes now: {error}"
            ) from error
        model.eval()
        logits = [model(torch.tensor(x)[None].float())[0] for _, x in arrays]
    found = []
    for (name, _), each in zip(arrays, logits, strict=True):
        shares = torch.softmax(each, 0) if len(each) > 1 else _both(torch.sigmoid(each[0]))
        names = _names(made, len(shares))
        label = names[int(shares.argmax())]
        found.append(Prediction(name, label, dict(zip(names, shares.tolist(), strict=True))))
    return found


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
    return content


def _inputs(path: Path, shape: tuple[int, ...]) -> list[tuple[str, NDArray[Any]]]:
    from tune_app import data

    if path.suffix != ".npy":
        if len(shape) != 2 or shape[0] != shape[1]:
            raise DataError(f"{path}: the model takes inputs of shape {shape}: give a .npy array of those.")
        return [(str(path), data.decode(path, shape[0]))]
    try:
        array = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}") from error
    if array.shape == shape:
        return [(str(path), array)]
    if array.shape[1:] != shape:
        raise DataError(
            f"{path}: its shape is {array.shape}; the model takes {shape}, one input or a stack of them."
        )
    return [(f"{path}[{index}]", x) for index, x in enumerate(array)]


def _both(share: Any) -> Any:
    import torch

    return torch.stack([1 - share, share])


def _names(made: task.Task, classes: int) -> list[str]:
    """The names of the classes where the task tells them, else their numbers."""
    names = getattr(made, "classes", None) or range(classes)
    return [str(name) for name in names]
