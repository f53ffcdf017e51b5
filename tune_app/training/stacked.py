"""Replicates of a Task, trained at once as one `Stack`; each gets the results that it gets alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tune_app.stats import metrics
from tune_app.sweep.evaluation import LARGEST
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import ProcessState
from tune_app.tasks.task import Task, copied
from tune_app.training.learner import Best, DeviceSplits, batch_order, clone, make_model
from tune_app.training.replicates import Metrics, Replicates, ReplicateTest, Stopwatch
from tune_app.training.seeds import NOISE, derive_seed
from tune_app.training.stack import Stack, State


class Stacked(Replicates):
    """Replicates of a Task, trained at once as one module.

    The NaNs of one that diverges reach no other replicate. It leaves the stack at the end of the epoch.
    """

    def __init__(self, spec: TrialSpec, task: Task, data: DeviceSplits) -> None:
        super().__init__(spec)
        self._spec, self._task, self._data = spec, task, data
        self._seed, self._keep_best = spec.settings.seed, spec.settings.keep_best
        self._batch_size, self._eval_batch_size = task.batch_sizes(copied(spec.config))
        self._process = ProcessState(self._seed)
        with self._process:
            models = [make_model(spec, task, data, replicate) for replicate in spec.replicates]
        self._template = models[0]
        #: Of each replicate, what is drawn with the model and is no part of any state.
        self._unsaved = [_unsaved(model) for model in models]
        self._best = [Best() for _ in models]
        #: The last state of each replicate that has diverged, by its place.
        self._frozen: dict[int, State] = {}
        drawn = {place: {"model": model.state_dict()} for place, model in enumerate(models)}
        with self._process:
            self._live, self._stack = self._assemble(drawn)

    def _assemble(self, states: Mapping[int, State]) -> tuple[list[int], Stack | None]:
        """The places of these replicates, and a stack of them; None if there are none."""
        places, own = list(states), list(states.values())
        if not places:
            return [], None
        tensors = [{**self._unsaved[place], **state["model"]} for place, state in states.items()]
        stack = Stack(self._spec, self._task, self._template, tensors)
        if "optimizer" in own[0]:
            stack.resume(own)
        return places, stack

    def step(self) -> list[Metrics]:
        """See Replicates."""
        watch = Stopwatch()
        live, found = self._live, [dict[str, float]() for _ in self._spec.replicates]
        with self._process.reseed(derive_seed(self._seed, NOISE, self._spec.replicates[0], self.epoch)):
            if self._stack:
                for place, metrics_ in zip(live, self._train(self._stack), strict=True):
                    found[place] = metrics_
            self.epoch += 1
            self._keep(found)
        each_s = watch.seconds() / max(len(live), 1)
        self.durations_s = [each_s if place in live else 0.0 for place in range(len(found))]
        return list(found)

    def _train(self, stack: Stack) -> list[dict[str, float]]:
        """An epoch of the live replicates: metrics of each, none where it has just diverged."""
        data, y = self._data, self._data.val.y.cpu().numpy()
        orders = [
            batch_order(self._seed, self._spec.replicates[place], self.epoch, len(data.train.x))
            for place in self._live
        ]
        order = torch.stack(orders).to(data.train.x.device)
        train_loss, correct = stack.train(data, order, self._batch_size)
        logits, val_loss = stack.score(data, data.val, self._eval_batch_size)
        sound = stack.finite() & (train_loss.abs() <= LARGEST) & (val_loss.abs() <= LARGEST)
        numbers = torch.stack([sound.double(), correct, train_loss, val_loss]).T.tolist()
        return [
            {"train_accuracy": share, "train_loss": loss}
            | metrics.evaluate("val", metrics.scores(own), validation, y)
            if finite
            else {}
            for own, (finite, share, loss, validation) in zip(logits.cpu().numpy(), numbers, strict=True)
        ]

    def _keep(self, found: Sequence[Metrics]) -> None:
        """Remember the best weights so far, and take the diverged replicates out of the stack."""
        stack = self._stack
        if stack is None:
            return
        for index, place in enumerate(self._live):
            weights = partial(stack.weights, index)
            self._best[place].offer(self._keep_best, found[place], self.epoch, weights)
        if all(found[place] for place in self._live):
            return
        self._take_out([place for place in self._live if not found[place]], stack, diverged=True)

    def _take_out(self, places: Sequence[int], stack: Stack, diverged: bool) -> None:
        """Continue with a smaller stack, without the replicates at these places; their states are kept."""
        states = {place: self._state_of(index, stack) for index, place in enumerate(self._live)}
        for place in places:
            self._frozen[place] = {**states.pop(place), "diverged": diverged}
        self._live, self._stack = self._assemble(states)

    def _state_of(self, index: int, stack: Stack) -> State:
        """The state of the replicate at this index of the stack."""
        best = self._best[self._live[index]]
        return {"epoch": self.epoch, "diverged": False, **stack.state(index), "best": {**vars(best)}}

    def diverged(self) -> list[int | None]:
        """See Replicates."""
        return self._frozen_at(diverged=True)

    def _frozen_at(self, diverged: bool) -> list[int | None]:
        out = {
            place: state["epoch"] for place, state in self._frozen.items() if state["diverged"] == diverged
        }
        return [out.get(place) for place in range(len(self._spec.replicates))]

    def end(self, index: int) -> None:
        """See Replicates."""
        if self._stack and index in self._live:
            self._take_out([index], self._stack, diverged=False)

    def ended(self) -> list[int | None]:
        """See Replicates."""
        return self._frozen_at(diverged=False)

    def evaluated(self) -> list[int]:
        """See Replicates."""
        if self._keep_best:
            return [best.epoch for best in self._best]
        return [
            self._frozen[place]["epoch"] if place in self._frozen else self.epoch
            for place in range(len(self._spec.replicates))
        ]

    def test(self) -> list[ReplicateTest | None]:
        """See Replicates."""
        outcomes: list[ReplicateTest | None] = [None] * len(self._spec.replicates)
        sound = {place: model for place, model in enumerate(self._evaluated_models()) if model is not None}
        if not sound:
            return outcomes
        data, y = self._data, self._data.test.y.cpu().numpy()
        tensors = [{**self._unsaved[place], **model} for place, model in sound.items()]
        stack = Stack(self._spec, self._task, self._template, tensors, scheduled=False)
        logits, losses = stack.score(data, data.test, self._eval_batch_size)
        for place, own, loss in zip(sound, logits.cpu().numpy(), losses.tolist(), strict=True):
            found = metrics.scores(own)
            outcomes[place] = ReplicateTest(metrics.evaluate("test", found, loss, y), found)
        return outcomes

    def _evaluated_models(self) -> list[dict[str, Tensor] | None]:
        """The ``state_dict`` that ``test`` looks at, of each replicate; None for one that diverged."""
        if self._keep_best:
            found = [best.weights for best in self._best]
        else:
            stack = self._stack
            own = {place: stack.weights(index) for index, place in enumerate(self._live)} if stack else {}
            frozen = {place: state["model"] for place, state in self._frozen.items()}
            found = [(own | frozen)[place] for place in range(len(self._spec.replicates))]
        return [
            None if gone is not None else weights
            for gone, weights in zip(self.diverged(), found, strict=True)
        ]

    def state(self) -> list[Any]:
        """See Replicates; each is what ``Learner.load`` takes too."""
        states = dict(self._frozen)
        if self._stack:
            states |= {place: self._state_of(index, self._stack) for index, place in enumerate(self._live)}
        return [states[place] for place in range(len(self._spec.replicates))]

    def load(self, states: Sequence[Any]) -> None:
        """See Replicates; from whatever stacks, or from ``Learner.state``."""
        self.epoch = max(state["epoch"] for state in states)
        live = {
            place: state
            for place, state in enumerate(states)
            if not state["diverged"] and state["epoch"] == self.epoch
        }
        self._frozen = {place: state for place, state in enumerate(states) if place not in live}
        self._best = [Best(**state["best"]) for state in states]
        self._live, self._stack = self._assemble(live)

    def weights(self) -> list[Any]:
        """See Replicates."""
        return [
            None if model is None else {name: tensor.cpu() for name, tensor in model.items()}
            for model in self._evaluated_models()
        ]


def _unsaved(model: nn.Module) -> dict[str, Tensor]:
    saved = model.state_dict()
    return clone({name: buffer for name, buffer in model.named_buffers() if name not in saved})
