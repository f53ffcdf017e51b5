"""R replicates of a Task as one module: every parameter is (R, ...), and one kernel trains all of them.

The hyperparameters are the same for all replicates, so the task's own optimiser and schedule work on the
stacked parameters as they do on those of one model, as long as the optimiser treats each element by
itself. What can be stacked, ``stackable`` finds out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from tune_app import metrics
from tune_app.evaluation import LARGEST
from tune_app.history import Config
from tune_app.isolation import ProcessState
from tune_app.replicates import NON_FINITE, Metrics, Outcome, Stopwatch
from tune_app.seeds import NOISE, derive_seed
from tune_app.task import Task, clip_norm, copied, make_scheduler
from tune_app.train import (
    Best,
    DeviceSplit,
    DeviceSplits,
    all_finite,
    batch_order,
    clone,
    load_optimizer,
    make_model,
    predict,
    score,
    train_epoch,
)

#: Entries of an optimiser's state that are one number for a whole parameter; all others are of its shape.
_COMMON = {"step", "mu_product", "eta", "mu"}

#: What ``Learner.state`` gives, or a part of it.
State = dict[str, Any]


class Stack:
    """R models of one architecture, with one optimiser and one schedule over all of them.

    Args:
        template: a model of that architecture; its own parameters and buffers do not count.
        tensors: parameters and buffers of each model by name, R mappings.
        epochs: how many the sweep wants, for schedules that hang on it; None for no schedule.
        precision: see Learner.
    """

    def __init__(
        self,
        task: Task,
        config: Config,
        template: nn.Module,
        tensors: Sequence[Mapping[str, Tensor]],
        epochs: int | None = None,
        precision: str = "float32",
    ) -> None:
        self.R = len(tensors)
        self._template = template
        self._turned = {name for name, _ in template.named_parameters() if _of_linear(template, name)}
        self._leaves = {
            name: nn.Parameter(self._turn(name, _stack(tensors, name, own)).contiguous(), own.requires_grad)
            for name, own in template.named_parameters()
        }
        self.buffers = {name: _stack(tensors, name, own) for name, own in template.named_buffers()}
        self.optimizer = task.optimizer(copied(config), list(self._leaves.values()))
        self._scheduler = None if epochs is None else make_scheduler(task, config, self.optimizer, epochs)
        self._max_norm = clip_norm(task, config)
        loss = task.loss(copied(config))

        def single(
            parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], x: Tensor, y: Tensor
        ) -> tuple[Tensor, Tensor]:
            def model(inputs: Tensor) -> Tensor:
                logits: Tensor = functional_call(template, {**parameters, **buffers}, (inputs,))
                return logits

            return predict(model, loss, precision, x, y)

        self._on_own = vmap(single, in_dims=(0, 0, 0, 0), randomness="error")
        self._on_shared = vmap(single, in_dims=(0, 0, None, None), randomness="error")

    @property
    def groups(self) -> list[list[str | None]]:
        """The names of the parameters in each group of the optimiser; None for what is none of them."""
        return names_by_group(self.optimizer, self._leaves)

    def _turn(self, name: str | None, tensor: Tensor) -> Tensor:
        """A parameter, or what is of its shape, from the order of the model to that of its leaf, or back."""
        return tensor.mT if name in self._turned else tensor

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters of the models by name, (R, ...) each, as views of the leaves that are optimised.

        The weight of a Linear comes out of vmap with its gradient transposed, so its leaf is transposed too:
        to put each gradient into the other order would take longer than the step.
        """
        return {name: self._turn(name, leaf) for name, leaf in self._leaves.items()}

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (R, B, *shape) and labels (R, B) to losses (R, B) and logits (R, B, C)."""
        losses, logits = self._on_own(self.parameters, self.buffers, x, y)
        return losses, logits

    def clip(self) -> None:
        """Clip the gradients of each replicate to the norm that the task asks for, as ``clip_grad_norm_``."""
        gradients = [leaf.grad for leaf in self._leaves.values() if leaf.grad is not None]
        if self._max_norm is None or not gradients:
            return
        norms = torch.stack([torch.linalg.vector_norm(g.reshape(self.R, -1), dim=1) for g in gradients])
        scale = (self._max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.to(gradient.dtype).reshape(-1, *[1] * (gradient.dim() - 1)))

    def gradients(self) -> list[Tensor]:
        """The gradients of the parameters that have one, (R, ...) each."""
        leaves = self._leaves.items()
        return [self._turn(name, leaf.grad) for name, leaf in leaves if leaf.grad is not None]

    def train(self, data: DeviceSplits, order: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
        """An epoch, each replicate in its own ``order`` (R, N); mean losses and shares correct, (R,) each."""
        self._template.train()
        found = train_epoch(
            self.forward, self.optimizer, data.train, order, batch_size, data.buffers, self.clip
        )
        if self._scheduler:
            self._scheduler.step()
        return found

    def score(self, data: DeviceSplits, split: DeviceSplit, batch_size: int) -> tuple[Tensor, Tensor]:
        """Logits (R, N, C) and mean losses (R,) of a split."""
        parameters = self.parameters
        self._template.eval()
        return score(
            lambda x, y: self._on_shared(parameters, self.buffers, x, y), split, batch_size, data.buffers
        )

    def finite(self) -> Tensor:
        """Whether all parameters of each replicate are finite, (R,)."""
        return all_finite(self._leaves.values())

    def weights(self, index: int) -> dict[str, Tensor]:
        """The ``state_dict`` of one replicate's model."""
        stacked: dict[str, Tensor] = {**self.parameters, **self.buffers}
        names = first_names(self._template)
        own = {name: stacked[names[name]][index] for name in self._template.state_dict()}
        return {
            name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in own.items()
        }

    def state(self, index: int) -> State:
        """Model, optimiser and schedule of one replicate, as they would be by themselves."""
        stacked, names = self.optimizer.state_dict(), self._optimized()
        return {
            "model": self.weights(index),
            "optimizer": {
                "state": {
                    place: {
                        entry: self._part(names[place], entry, value, index)
                        for entry, value in values.items()
                    }
                    for place, values in stacked["state"].items()
                },
                "param_groups": copy.deepcopy(stacked["param_groups"]),
            },
            "scheduler": copy.deepcopy(self._scheduler.state_dict()) if self._scheduler else None,
        }

    def resume(self, states: Sequence[State]) -> None:
        """Take over optimiser and schedule of R states, all of the same epoch."""
        first, names = states[0], self._optimized()
        values = {
            place: {
                entry: self._whole(
                    names[place], entry, [each["optimizer"]["state"][place][entry] for each in states]
                )
                for entry in entries
            }
            for place, entries in first["optimizer"]["state"].items()
        }
        groups = copy.deepcopy(first["optimizer"]["param_groups"])
        load_optimizer(self.optimizer, {"state": values, "param_groups": groups})
        if self._scheduler:
            self._scheduler.load_state_dict(copy.deepcopy(first["scheduler"]))

    def _optimized(self) -> list[str | None]:
        """The names of the parameters, by their places in the optimiser's state."""
        return [name for group in self.groups for name in group]

    def _part(self, name: str | None, entry: str, value: Any, index: int) -> Any:
        """One replicate's share of an entry in the optimiser's state of a parameter."""
        if not isinstance(value, Tensor):
            return copy.deepcopy(value)
        own = value if entry in _COMMON else self._turn(name, value[index])
        return own.detach().clone(memory_format=torch.contiguous_format)

    def _whole(self, name: str | None, entry: str, values: Sequence[Any]) -> Any:
        """An entry in the optimiser's state of a stacked parameter, from those of all replicates."""
        if not isinstance(values[0], Tensor):
            return copy.deepcopy(values[0])
        return values[0].clone() if entry in _COMMON else self._turn(name, torch.stack(list(values)))


class Stacked:
    """Replicates of a Task, trained at once as one module; the arguments are those of ``Looped``.

    One that diverges keeps its NaNs to itself to the end of the epoch, and is then taken out of the stack.
    """

    savable = True

    def __init__(
        self,
        task: Task,
        config: Config,
        splits: DeviceSplits,
        seed: int,
        replicates: Sequence[int],
        epochs: int,
        keep_best: tuple[str, int] | None = None,
        precision: str = "float32",
    ) -> None:
        self._task, self._config, self._splits = task, config, splits
        self._seed, self._replicates, self._epochs = seed, list(replicates), epochs
        self._keep_best, self._precision = keep_best, precision
        self._batch_size, self._eval_batch_size = task.batch_sizes(copied(config))
        self._process = ProcessState(seed)
        with self._process:
            models = [make_model(task, config, splits, seed, r) for r in replicates]
        self._template = models[0]
        #: Of each replicate, what is drawn with the model and is no part of any state.
        self._unsaved = [_unsaved(model) for model in models]
        self._best = [Best() for _ in models]
        #: The last state of each replicate that has diverged, by its place.
        self._frozen: dict[int, State] = {}
        self.epoch = 0
        self.durations_s = [0.0] * len(models)
        drawn = {place: {"model": model.state_dict()} for place, model in enumerate(models)}
        with self._process:
            self._live, self._stack = self._assemble(drawn)

    def _assemble(self, states: Mapping[int, State]) -> tuple[list[int], Stack | None]:
        """A stack of the replicates at these places, and the places; no stack where there are none."""
        places, own = list(states), list(states.values())
        if not places:
            return [], None
        tensors = [{**self._unsaved[place], **state["model"]} for place, state in states.items()]
        stack = Stack(self._task, self._config, self._template, tensors, self._epochs, self._precision)
        if "optimizer" in own[0]:
            stack.resume(own)
        return places, stack

    def step(self) -> list[Metrics]:
        """See Replicates."""
        watch = Stopwatch()
        live, found = self._live, [dict[str, float]() for _ in self._replicates]
        with self._process.reseed(derive_seed(self._seed, NOISE, self._replicates[0], self.epoch)):
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
        data, y = self._splits, self._splits.val.y.cpu().numpy()
        orders = [
            batch_order(self._seed, self._replicates[place], self.epoch, len(data.train.x))
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
        """Remember the weights that are best so far, and take what has diverged out of the stack."""
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
        """Go on with a smaller stack, without the replicates at these places: their states stay."""
        states = {place: self._state_of(index, stack) for index, place in enumerate(self._live)}
        for place in places:
            self._frozen[place] = {**states.pop(place), "diverged": diverged}
        self._live, self._stack = self._assemble(states)

    def _state_of(self, index: int, stack: Stack) -> State:
        """The state of the replicate that is so far up in the stack."""
        best = self._best[self._live[index]]
        return {"epoch": self.epoch, "diverged": False, **stack.state(index), "best": {**vars(best)}}

    def diverged(self) -> list[int | None]:
        """See Replicates."""
        return self._frozen_at(diverged=True)

    def _frozen_at(self, diverged: bool) -> list[int | None]:
        out = {
            place: state["epoch"] for place, state in self._frozen.items() if state["diverged"] == diverged
        }
        return [out.get(place) for place in range(len(self._replicates))]

    def why(self, index: int) -> str:
        """See Replicates."""
        return NON_FINITE

    def end(self, index: int) -> None:
        """See Replicates."""
        if self._stack and index in self._live:
            self._take_out([index], self._stack, diverged=False)

    def ended(self) -> list[int | None]:
        """See Replicates."""
        return self._frozen_at(diverged=False)

    def close(self) -> None:
        """See Replicates."""

    def evaluated(self) -> list[int]:
        """See Replicates."""
        if self._keep_best:
            return [best.epoch for best in self._best]
        return [
            self._frozen[place]["epoch"] if place in self._frozen else self.epoch
            for place in range(len(self._replicates))
        ]

    def test(self) -> list[Outcome | None]:
        """See Replicates."""
        outcomes: list[Outcome | None] = [None] * len(self._replicates)
        sound = {place: model for place, model in enumerate(self._evaluated_models()) if model is not None}
        if not sound:
            return outcomes
        data, y = self._splits, self._splits.test.y.cpu().numpy()
        _, stack = self._assemble({place: {"model": model} for place, model in sound.items()})
        assert stack is not None  # it has replicates
        logits, losses = stack.score(data, data.test, self._eval_batch_size)
        for place, own, loss in zip(sound, logits.cpu().numpy(), losses.tolist(), strict=True):
            found = metrics.scores(own)
            outcomes[place] = Outcome(metrics.evaluate("test", found, loss, y), found)
        return outcomes

    def _evaluated_models(self) -> list[dict[str, Tensor] | None]:
        """The ``state_dict`` that ``test`` looks at, of each replicate; None for one that diverged."""
        if self._keep_best:
            found = [best.weights for best in self._best]
        else:
            stack = self._stack
            own = {place: stack.weights(index) for index, place in enumerate(self._live)} if stack else {}
            frozen = {place: state["model"] for place, state in self._frozen.items()}
            found = [(own | frozen)[place] for place in range(len(self._replicates))]
        return [
            None if gone is not None else weights
            for gone, weights in zip(self.diverged(), found, strict=True)
        ]

    def state(self) -> list[Any]:
        """See Replicates; each is what ``Learner.load`` takes too."""
        states = dict(self._frozen)
        if self._stack:
            states |= {place: self._state_of(index, self._stack) for index, place in enumerate(self._live)}
        return [states[place] for place in range(len(self._replicates))]

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


def names_by_group(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]
) -> list[list[str | None]]:
    """The names of what an optimiser moves, a list a group; None for what is not among ``parameters``."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    return [[names.get(id(each)) for each in group["params"]] for group in optimizer.param_groups]


def first_names(model: nn.Module) -> dict[str, str]:
    """Each parameter's and buffer's name, to the first name of the same tensor: tied ones have several."""
    first: dict[int, str] = {}
    named = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}


def _unsaved(model: nn.Module) -> dict[str, Tensor]:
    saved = model.state_dict()
    return clone({name: buffer for name, buffer in model.named_buffers() if name not in saved})


def _stack(tensors: Sequence[Mapping[str, Tensor]], name: str, like: Tensor) -> Tensor:
    return torch.stack([each[name].detach().to(like.device, like.dtype) for each in tensors])


def _of_linear(model: nn.Module, name: str) -> bool:
    """Whether a parameter is the weight of a Linear."""
    module, _, own = name.rpartition(".")
    return own == "weight" and isinstance(model.get_submodule(module), nn.Linear)
