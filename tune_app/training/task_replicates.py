"""Replicates of a Task: looped, each as a model of its own, or stacked, all of them as one module.

Every random draw is derived from (seed, replicate, epoch) alone, so a replicate has the same results whether
it is trained alone, beside others, or after a resume.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tune_app.stats import metrics
from tune_app.sweep.configurations import LARGEST, TASK, improved_value
from tune_app.sweep.trial_spec import Direction, TrialSpec
from tune_app.tasks.isolation import ProcessState, seed_generators
from tune_app.tasks.task import Task, copied
from tune_app.training.device_data import DeviceSplits
from tune_app.training.models import Learner, Stack, State
from tune_app.training.replicates import Metrics, Replicate, Replicates, ReplicateTest, Stopwatch
from tune_app.training.seeds import BATCH_ORDER, INITIALISATION, NOISE, derive_seed

_DIVERGED = "a loss or a parameter was not finite, or beyond 1e100"


@dataclass
class Best:
    """The weights of a replicate's best epoch so far; of equal epochs the first."""

    value: float = float("nan")
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def offer(
        self, keep: Direction, found: Metrics, epoch: int, weights: Callable[[], dict[str, Tensor]]
    ) -> None:
        """Take the weights of an epoch if its metrics ``found`` are better, by ``keep``."""
        value = improved_value(found, keep, self.value if self.weights else None)
        if value is not None:
            self.value, self.epoch, self.weights = value, epoch, copy.deepcopy(weights())


@dataclass
class _Group:
    """Replicates that are trained at once, by their places; ``models`` are those of the live ones."""

    places: Sequence[int]
    live: Sequence[int]
    process: ProcessState
    models: Learner


class _TaskReplicates(Replicates):
    """Replicates of a Task, trained group by group.

    The NaNs of one that diverges reach no other replicate. It leaves its group at the end of the epoch.
    """

    _models: type[Learner]

    def __init__(self, spec: TrialSpec, task: Task, data: DeviceSplits) -> None:
        self._seed, self._keep_best, self._data = spec.settings.seed, spec.settings.keep_best, data
        self.all = [Replicate(number) for number in spec.replicates]
        self._best = [Best() for _ in self.all]
        #: The last state of each replicate that is live no longer, by its place.
        self._frozen: dict[int, State] = {}
        everyone = range(len(self.all))
        groups = [everyone] if self._models is Stack else [[place] for place in everyone]
        self._groups = [self._group(spec, task, places) for places in groups]

    def _group(self, spec: TrialSpec, task: Task, places: Sequence[int]) -> _Group:
        numbers = [spec.replicates[place] for place in places]
        process = ProcessState(derive_seed(self._seed, INITIALISATION, numbers[0]))
        with process:
            made = [make_model(spec, task, self._data, number) for number in numbers]
            return _Group(places, places, process, self._models(spec, task, self._data, made))

    def step(self) -> list[Metrics]:
        """See Replicates."""
        found: list[Metrics] = [{} for _ in self.all]
        for group in self._groups:
            watch, live = Stopwatch(), group.live
            if live:
                with self._drawing(group):
                    for place, row in zip(live, self._train(group), strict=True):
                        found[place] = row
                    self._keep(group, found)
            each_s = watch.seconds() / max(len(live), 1)
            for place in group.places:
                self.all[place].duration_s = each_s if place in live else 0.0
        self.epoch += 1
        return found

    def _drawing(self, group: _Group) -> ProcessState:
        """Random draws depend on the epoch alone, so a resumed replicate draws the same."""
        first = self.all[group.places[0]]
        return group.process.reseed(derive_seed(self._seed, NOISE, first.number, first.epoch))

    def _train(self, group: _Group) -> list[Metrics]:
        """An epoch of the live replicates of a group: metrics of each, none where it has just diverged."""
        data, models = self._data, group.models
        train, count = data.train, len(group.live)
        orders = [self._order(self.all[place].number, len(train.x)) for place in group.live]
        train_loss, correct = models.train(torch.stack(orders).to(train.x.device))
        sound = models.finite() & (train_loss.abs() <= LARGEST)
        if not sound.any():
            return [{}] * count
        logits, val_loss = models.score(data.val)
        sound = sound & (val_loss.abs() <= LARGEST)
        numbers = torch.stack([sound.double(), *(n.expand(count) for n in (correct, train_loss, val_loss))])
        own, y = logits.reshape(count, *logits.shape[-2:]).cpu().numpy(), data.val.y.cpu().numpy()
        return [
            {"train_accuracy": share, "train_loss": loss}
            | metrics.evaluate("val", metrics.scores(scores), validation, y)
            if finite
            else {}
            for scores, (finite, share, loss, validation) in zip(own, numbers.T.tolist(), strict=True)
        ]

    def _order(self, number: int, n: int) -> Tensor:
        """The order of the ``n`` training inputs in an epoch, (n,): drawn on the CPU for every device."""
        order = torch.Generator().manual_seed(derive_seed(self._seed, BATCH_ORDER, number, self.epoch))
        return torch.randperm(n, generator=order)

    def _keep(self, group: _Group, found: Sequence[Metrics]) -> None:
        """Remember the best weights so far, and take the diverged replicates out of the group."""
        for index, place in enumerate(group.live):
            each, best = self.all[place], self._best[place]
            each.epoch = self.epoch + 1
            each.diverged = "" if found[place] else _DIVERGED
            if self._keep_best:
                best.offer(self._keep_best, found[place], each.epoch, partial(group.models.weights, index))
            each.evaluated = best.epoch if self._keep_best else each.epoch
        self._shrink(group)

    def _shrink(self, group: _Group) -> None:
        """Train on without those that are live no longer; their states are kept."""
        gone = [place for place in group.live if not self.all[place].live]
        if gone:
            states = self._states(group)
            self._frozen |= {place: states[place] for place in gone}
            self._resume(group, states)

    def _resume(self, group: _Group, states: Mapping[int, State]) -> None:
        """Train the live replicates of a group, from these states by place."""
        group.live = [place for place in group.places if self.all[place].live]
        if group.live:
            group.models = group.models.resumed(group.live, [states[place] for place in group.live])

    def _leave(self, place: int) -> None:
        for group in self._groups:
            self._shrink(group)

    def test(self) -> list[ReplicateTest | None]:
        """See Replicates."""
        outcomes: list[ReplicateTest | None] = [None] * len(self.all)
        weights, y = self._evaluated(), self._data.test.y.cpu().numpy()
        for group in self._groups:
            places = [place for place in group.places if place in weights]
            if not places:
                continue
            with self._drawing(group):
                logits, losses = group.models.scored(
                    self._data.test, places, [weights[place] for place in places]
                )
            own = logits.reshape(len(places), *logits.shape[-2:]).cpu().numpy()
            for place, row, loss in zip(places, own, losses.reshape(-1).tolist(), strict=True):
                scores = metrics.scores(row)
                outcomes[place] = ReplicateTest(metrics.evaluate("test", scores, loss, y), scores)
        return outcomes

    def _evaluated(self) -> dict[int, Mapping[str, Tensor]]:
        """The ``state_dict`` that ``test`` looks at, by place, of the replicates that have not diverged."""
        found: dict[int, Mapping[str, Tensor]]
        if self._keep_best:
            found = {place: best.weights for place, best in enumerate(self._best)}
        else:
            found = {place: state["model"] for place, state in self._frozen.items()}
            for group in self._groups:
                found |= {place: group.models.weights(index) for index, place in enumerate(group.live)}
        return {place: found[place] for place, each in enumerate(self.all) if not each.diverged}

    def state(self) -> list[Any]:
        """See Replicates; looped and stacked replicates take each other's."""
        states = dict(self._frozen)
        for group in self._groups:
            states |= self._states(group)
        return [states[place] for place in range(len(self.all))]

    def _states(self, group: _Group) -> dict[int, State]:
        states = {}
        for index, place in enumerate(group.live):
            each = self.all[place]
            where = {"epoch": each.epoch, "diverged": bool(each.diverged)}
            states[place] = where | group.models.state(index) | {"best": {**vars(self._best[place])}}
        return states

    def load(self, states: Sequence[Any]) -> None:
        """See Replicates."""
        self.epoch = max(state["epoch"] for state in states)
        self._best = [Best(**state["best"]) for state in states]
        for each, state, best in zip(self.all, states, self._best, strict=True):
            each.epoch, each.diverged = state["epoch"], _DIVERGED if state["diverged"] else ""
            each.ended = TASK if each.epoch < self.epoch and not each.diverged else ""
            each.evaluated = best.epoch if self._keep_best else each.epoch
        self._frozen = {place: state for place, state in enumerate(states) if not self.all[place].live}
        for group in self._groups:
            self._resume(group, dict(enumerate(states)))

    def weights(self) -> list[Any]:
        """See Replicates."""
        found = {
            place: {name: tensor.detach().cpu() for name, tensor in own.items()}
            for place, own in self._evaluated().items()
        }
        return [found.get(place) for place in range(len(self.all))]


class Looped(_TaskReplicates):
    """Replicates of a Task, trained one after the other in each epoch."""

    _models = Learner


class Stacked(_TaskReplicates):
    """Replicates of a Task, trained at once as one module; each gets the results that it gets alone."""

    _models = Stack


def make_model(spec: TrialSpec, task: Task, data: DeviceSplits, replicate: int) -> nn.Module:
    """A replicate's new model, drawn on the CPU so that it is the same for every device.

    Seeds the generators of this process: call it within a `ProcessState`.
    """
    seed_generators(derive_seed(spec.settings.seed, INITIALISATION, replicate))
    x = data.train.x
    return task.model(copied(spec.config), tuple(x.shape[1:])).to(x.device)
