"""The Ray Tune Trainable around a trial: one step is one epoch, and its process is used again."""

from __future__ import annotations

import platform
import sys
from typing import Any

import ray
from ray import tune

from tune_app import notices
from tune_app.errors import MachineLeaving
from tune_app.messages import Order
from tune_app.task import Splits


class SweepTrainable(tune.Trainable):
    """Trains one job after the other in one process.

    What Ray's searcher and scheduler see of a step is ``epoch``, ``value`` (the metric's mean over the
    replicates), and ``report`` and ``files``, packed bytes that only our own driver opens: test metrics are
    in there.
    """

    def setup(self, config: dict[str, Any], splits: Splits | None = None, path: str = "") -> None:
        """Put the data on the device once; later jobs of this process find it there.

        Args:
            config: ``{"order": Order}``; a process that is only being warmed up gets none.
            splits: the task's arrays, from the object store.
            path: the driver's working directory, where the user's own task module lies.
        """
        from tune_app.trial import Worker

        if path and path not in sys.path:
            sys.path.insert(0, path)
        self._gpus = ",".join(ray.get_runtime_context().get_accelerator_ids()["GPU"])
        self._worker = Worker(splits, "cuda" if self._gpus and _usable() else "cpu")
        self._begin(config["order"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another job in this process."""
        self._begin(new_config["order"])
        return True

    def _begin(self, order: Order) -> None:
        from tune_app.trial import Trial

        self._order = order
        self._leaving = False
        self._unmade: Exception | None = None
        try:
            self._trial = Trial(order, self._worker)
        except Exception as error:  # noqa: BLE001 - the user's model, say: Ray would only tell that a process died
            self._unmade = error

    def step(self) -> dict[str, Any]:
        """Train one epoch.

        Raises:
            MachineLeaving: the machine is being taken away, and the state after the last epoch has been sent.
            Exception: what the making of the trial has raised.
        """
        if self._unmade:
            raise self._unmade
        if self._leaving:
            raise MachineLeaving(f"{platform.node()} is being taken away: saved, and gone on with elsewhere")
        notice = notices.heard() if self._order.gather else notices.Notice()
        report = self._trial.step(save_now=notice.save)
        self._leaving = notice.leave and report.saved is not None and not report.done
        device = device_name(self._worker.device, self._gpus)
        return {
            "epoch": report.epoch,
            "value": report.value,
            "report": report.pack(),
            "files": report.pack_files(),
            "device": f"{device} on {platform.node()}" if self._order.gather else device,
        }


def _usable() -> bool:
    """Whether torch can use the GPU that this process was given."""
    import torch

    return torch.cuda.is_available()


def device_name(device: str, gpus: str) -> str:
    """``cpu``, or the GPU as Ray counts it on its node: ``cuda:3``.

    ``cpu (gpu 3)`` is a trial that was given GPU 3, which torch did not see.
    """
    if device == "cpu":
        return f"{device} (gpu {gpus})" if gpus else device
    return f"{device}:{gpus}"


def unseen(device: str) -> bool:
    """Whether a trial's device, by its name, was given to it in vain."""
    return device.startswith("cpu (")
