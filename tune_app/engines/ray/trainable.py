"""The Ray Tune Trainable around a trial: one step is one epoch, and its process is used again."""

from __future__ import annotations

import pickle
import platform
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from tune_app.engines.ray import preemption
from tune_app.engines.ray.warm import Surroundings
from tune_app.errors import MachineLeaving, TrialError
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.task import Splits
from tune_app.training.protocol import EpochReport, Failure

if TYPE_CHECKING:
    from tune_app.training.trial import Worker


class SweepTrainable(tune.Trainable):
    """Trains one trial after the other in one process.

    What Ray's searcher and scheduler see of a step is ``epoch``, and ``report`` and ``files``, packed bytes
    that only our own driver opens: metrics are in there. ``failure``, packed likewise, stands alone.
    """

    def setup(
        self,
        config: dict[str, Any],
        splits: Splits | None = None,
        surroundings: Surroundings = Surroundings(""),  # noqa: B008 - it is frozen
    ) -> None:
        """Put the data on the device once; later trials of this process find it there.

        Args:
            config: ``{"spec": TrialSpec}``; a process that is only being warmed up gets none.
            splits: the task's arrays, from the object store.
            surroundings: what this process takes over from the driver.
        """
        surroundings.enter()
        self._splits = splits
        self._gpus = ",".join(ray.get_runtime_context().get_accelerator_ids()["GPU"])
        self._close: Callable[[], None] = lambda: None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial in this process."""
        from tune_app.training.trial import GuardedTrial

        self.cleanup()
        self._spec: TrialSpec = new_config["spec"]
        self._failure: Failure | None = None
        self._leaving = False
        self._trial = GuardedTrial(self._spec, lambda: self._worker)
        self._close = self._trial.close
        return True

    @cached_property
    def _worker(self) -> Worker:
        from tune_app.training.trial import Worker

        if not self._gpus:
            return Worker(self._splits, "cpu")
        import torch  # which a function task on the CPU may do without

        return Worker(self._splits, "cuda" if torch.cuda.is_available() else "cpu")

    def cleanup(self) -> None:
        """Close the trial before its process trains another or ends."""
        self._close()

    def step(self) -> dict[str, Any]:
        """Train one epoch. If that fails, return the failure, and raise in the next step to end this process.

        Raises:
            TrialError: the last step has failed. An exception may have left this process in any state, so no
                other trial may use it.
        """
        if self._failure:
            raise TrialError(self._failure.reason)
        result = self._step()
        if isinstance(result, Failure):
            self._failure = result
            return {"failure": pickle.dumps(result)}
        device = device_name(self._worker.device, self._gpus)
        return {
            "epoch": result.epoch,
            "report": result.pack(),
            "files": result.pack_files(),
            "device": f"{device} on {platform.node()}" if self._spec.files.gather else device,
        }

    def _step(self) -> EpochReport | Failure:
        if self._leaving:
            text = (
                f"{platform.node()} is being taken back: the trial is saved and continues on another machine"
            )
            return Failure.of(MachineLeaving(text))
        notice = preemption.read_notice() if self._spec.files.gather else preemption.Notice()
        result = self._trial.step(save_now=notice.save)
        if isinstance(result, EpochReport):
            self._leaving = notice.leave and result.saved is not None and not result.done
        return result


def device_name(device: str, gpus: str) -> str:
    """``cpu``, or the GPU as Ray counts it on its node: ``cuda:3``.

    ``cpu (gpu 3)`` is a trial that was given GPU 3, which torch did not see.
    """
    if device == "cpu":
        return f"{device} (gpu {gpus})" if gpus else device
    return f"{device}:{gpus}"
