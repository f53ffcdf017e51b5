"""The Ray Tune Trainable around a trial: one step is one epoch, and its process is used again."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

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
        import torch

        from tune_app.trial import Worker

        if path and path not in sys.path:
            sys.path.insert(0, path)
        granted = bool(os.environ.get("CUDA_VISIBLE_DEVICES")) and torch.cuda.is_available()
        self._worker = Worker(splits, "cuda" if granted else "cpu")
        self._begin(config["order"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another job in this process."""
        self._begin(new_config["order"])
        return True

    def _begin(self, order: Order) -> None:
        from tune_app.trial import Trial

        self._order = order
        self._trial = Trial(order, self._worker)
        self._leaving = False

    def step(self) -> dict[str, Any]:
        """Train one epoch.

        Raises:
            MachineLeaving: the machine is being taken away, and the state after the last epoch has been sent.
        """
        if self._leaving:
            raise MachineLeaving(f"{platform.node()} is being taken away: saved, and gone on with elsewhere")
        notice = notices.heard() if self._order.gather else notices.Notice()
        report = self._trial.step(save_now=notice.save)
        self._leaving = notice.leave and report.saved is not None and not report.done
        device = _device_name(self._worker.device)
        return {
            "epoch": report.epoch,
            "value": report.value,
            "report": report.pack(),
            "files": report.pack_files(),
            "device": f"{device} on {platform.node()}" if self._order.gather else device,
        }


def _device_name(device: str) -> str:
    """``cpu``, or the GPU as Ray counts it on its node: ``cuda:3``."""
    if device == "cpu":
        return device
    return f"cuda:{os.environ['CUDA_VISIBLE_DEVICES']}"
