"""Models of one architecture, each with its loss, optimiser and schedule: one by itself, or R as one module.

The hyperparameters are the same for all models of a stack, so the task's own optimiser and schedule work on
the stacked parameters, (R, ...) each, as they do on those of one model, as long as the optimiser treats each
element by itself. `stacking_check` finds out what can be stacked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.task import Loss, Task, clip_norm, copied, make_scheduler
from tune_app.training import compiler
from tune_app.training.device_data import DeviceSplit, DeviceSplits

compiler.load_only_when_used()  # before the first optimiser is made

#: Entries of an optimiser's state that are one number for a whole parameter; all others are of its shape.
_COMMON = {"step", "mu_product", "eta", "mu"}

#: A ``state_dict`` of a model.
Weights = Mapping[str, Tensor]
#: Model, optimiser and schedule of one replicate, and whatever else is in its checkpoint.
State = dict[str, Any]


class Learner:
    """A model with its loss, optimiser and schedule.

    Its tensors have the dimensions ``lead`` first: () here, and (R,) in a `Stack`.
    """

    lead: tuple[int, ...] = ()

    def __init__(self, spec: TrialSpec, task: Task, data: DeviceSplits, models: Sequence[nn.Module]) -> None:
        config = spec.config
        self.module, self._data = models[0], data
        self._precision = spec.settings.numerics.precision
        self._batch_size, self._eval_batch_size = task.batch_sizes(copied(config))
        self._loss, self._max_norm = task.loss(copied(config)), clip_norm(task, config)
        self.optimizer = task.optimizer(copied(config), iter(self.leaves().values()))
        self._scheduler = make_scheduler(task, config, self.optimizer, spec.settings.epochs)

    def leaves(self) -> dict[str, nn.Parameter]:
        """What is optimised, by the names in ``module``."""
        return dict(self.module.named_parameters())

    def turned(self, name: str | None, tensor: Tensor) -> Tensor:
        """A tensor of a parameter's shape, from the layout of the model to that of the leaf, or back."""
        return tensor

    def gradients(self) -> list[Tensor]:
        """The gradients of the parameters that have one, (..., *shape) each."""
        leaves = self.leaves().items()
        return [self.turned(name, leaf.grad) for name, leaf in leaves if leaf.grad is not None]

    def groups(self) -> list[list[str | None]]:
        """The names of what the optimiser moves, one list for each group; None for what is no parameter."""
        names = {id(leaf): name for name, leaf in self.leaves().items()}
        return [[names.get(id(each)) for each in group["params"]] for group in self.optimizer.param_groups]

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (..., B, *shape) and labels (..., B) to losses (..., B) and logits (..., B, C)."""
        return _predict(self.module, self._loss, self._precision, x, y)

    def forward_shared(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The same for inputs (B, *shape) and labels (B,) that all models share."""
        return self.forward(x, y)

    def clip(self) -> None:
        """Clip the gradients of each model to the norm that the task asks for, as ``clip_grad_norm_``."""
        if self._max_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self._max_norm)

    def train(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """An epoch, each model in its own ``order`` (R, N); nothing waits for the device.

        Returns:
            The mean loss and the share of correct predictions on the way, (...) each.
        """
        self.module.train()
        split, order = self._data.train, order.reshape(*self.lead, -1)
        rows = min(self._batch_size, order.shape[-1]) * order[..., 0].numel()
        gather, y = self._data.buffers.gatherer(split.x, rows), split.y[order]
        losses, correct = [], []
        batches = (each.split(self._batch_size, dim=-1) for each in (order, y))
        for index, target in zip(*batches, strict=True):
            self.optimizer.zero_grad(set_to_none=True)
            found, logits = self.forward(gather(index), target)
            found.mean(dim=-1).sum().backward()
            self.clip()
            self.optimizer.step()
            losses.append(found.detach())
            correct.append(_classes(logits.detach()) == target)
        if self._scheduler:
            self._scheduler.step()
        return _mean(losses), _mean(correct)

    @torch.no_grad()
    def score(self, split: DeviceSplit) -> tuple[Tensor, Tensor]:
        """Logits (..., N, C) and mean losses (...) of a split."""
        self.module.eval()
        size, count = self._eval_batch_size, len(split.x)
        gather = self._data.buffers.gatherer(split.x, min(size, count))
        losses, logits = [], []
        for index in torch.arange(count, device=split.x.device).split(size):
            found, out = self.forward_shared(gather(index), split.y[index])
            losses.append(found)
            logits.append(out)
        return torch.cat(logits, dim=-2), _mean(losses)

    def scored(
        self, split: DeviceSplit, places: Sequence[int], weights: Sequence[Weights]
    ) -> tuple[Tensor, Tensor]:
        """As ``score``, for the models at these places of the first stack, with these weights."""
        before = copy.deepcopy(self.weights(0))
        self.module.load_state_dict(weights[0])
        found = self.score(split)
        self.module.load_state_dict(before)
        return found

    def finite(self) -> Tensor:
        """Whether every number in the parameters of each model is finite, (R,) on the device.

        The extremes are NaN or infinite where any number is. They take one pass each and no memory.
        """
        count = self.lead[0] if self.lead else 1
        rows = [p.detach().reshape(count, -1) for p in self.leaves().values() if p.numel()]
        return torch.stack([end for row in rows for end in (row.amax(1), row.amin(1))]).isfinite().all(dim=0)

    def weights(self, index: int) -> dict[str, Tensor]:
        """The ``state_dict`` of one model."""
        return self.module.state_dict()

    def state(self, index: int) -> State:
        """Model, optimiser and schedule of one model."""
        return {
            "model": self.weights(index),
            "optimizer": self._optimizer_state(index),
            "scheduler": copy.deepcopy(self._scheduler.state_dict()) if self._scheduler else None,
        }

    def _optimizer_state(self, index: int) -> State:
        return self.optimizer.state_dict()

    def resumed(self, places: Sequence[int], states: Sequence[State]) -> Self:
        """The models at these places of the first stack, from their states, all of the same epoch."""
        self.module.load_state_dict(states[0]["model"])
        return self._load(states[0]["optimizer"], states)

    def _load(self, optimizer: State, states: Sequence[State]) -> Self:
        load_optimizer(self.optimizer, optimizer)
        if self._scheduler:
            self._scheduler.load_state_dict(copy.deepcopy(states[0]["scheduler"]))
        return self


class Stack(Learner):
    """R models as one module: every parameter is (R, ...), and one kernel trains all of them.

    Args:
        models: of one architecture; the first one's own parameters and buffers do not count.
        tensors: parameters and buffers of each model by name, R mappings, if not those of ``models``.
    """

    def __init__(
        self,
        spec: TrialSpec,
        task: Task,
        data: DeviceSplits,
        models: Sequence[nn.Module],
        tensors: Sequence[Weights] = (),
    ) -> None:
        module = models[0]
        #: The buffers of each model of the first stack: some are part of no state.
        self._drawn = [dict(model.named_buffers()) for model in models]
        tensors = tensors or [
            {**dict(model.named_parameters()), **own} for model, own in zip(models, self._drawn, strict=True)
        ]
        self._turned = {name for name, _ in module.named_parameters() if _of_linear(module, name)}
        self._leaves = {
            name: nn.Parameter(self.turned(name, _stack(tensors, name, own)).contiguous(), own.requires_grad)
            for name, own in module.named_parameters()
        }
        self._buffers = {name: _stack(tensors, name, own) for name, own in module.named_buffers()}
        self.lead = (len(tensors),)
        super().__init__(spec, task, data, models)
        self._made_of = spec, task, data
        loss, precision = self._loss, self._precision  # the stack itself would keep its memory in a cycle

        def single(parameters: Weights, buffers: Weights, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            def model(inputs: Tensor) -> Tensor:
                logits: Tensor = functional_call(module, {**parameters, **buffers}, (inputs,))
                return logits

            return _predict(model, loss, precision, x, y)

        self._on_own = vmap(single, in_dims=(0, 0, 0, 0), randomness="error")
        self._on_shared = vmap(single, in_dims=(0, 0, None, None), randomness="error")

    def leaves(self) -> dict[str, nn.Parameter]:
        """See Learner."""
        return self._leaves

    def turned(self, name: str | None, tensor: Tensor) -> Tensor:
        """See Learner.

        vmap gives the gradient of a Linear's weight transposed, so its leaf is transposed too: to change the
        layout of each gradient would take longer than the step.
        """
        return tensor.mT if name in self._turned else tensor

    def _parameters(self) -> dict[str, Tensor]:
        return {name: self.turned(name, leaf) for name, leaf in self._leaves.items()}

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See Learner."""
        losses, logits = self._on_own(self._parameters(), self._buffers, x, y)
        return losses, logits

    def forward_shared(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """See Learner."""
        losses, logits = self._on_shared(self._parameters(), self._buffers, x, y)
        return losses, logits

    def clip(self) -> None:
        """See Learner."""
        gradients = [leaf.grad for leaf in self._leaves.values() if leaf.grad is not None]
        if self._max_norm is None or not gradients:
            return
        rows = [gradient.reshape(*self.lead, -1) for gradient in gradients]
        norms = torch.stack([torch.linalg.vector_norm(row, dim=1) for row in rows])
        scale = (self._max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.to(gradient.dtype).reshape(-1, *[1] * (gradient.dim() - 1)))

    def scored(
        self, split: DeviceSplit, places: Sequence[int], weights: Sequence[Weights]
    ) -> tuple[Tensor, Tensor]:
        """See Learner."""
        return self._of(places, weights).score(split)

    def _of(self, places: Sequence[int], weights: Sequence[Weights]) -> Self:
        tensors = [{**self._drawn[place], **own} for place, own in zip(places, weights, strict=True)]
        other = type(self)(*self._made_of, [self.module], tensors)
        other._drawn = self._drawn
        return other

    def weights(self, index: int) -> dict[str, Tensor]:
        """See Learner."""
        stacked: dict[str, Tensor] = {**self._parameters(), **self._buffers}
        names = first_names(self.module)
        return {name: _own(stacked[names[name]][index]) for name in self.module.state_dict()}

    def _optimizer_state(self, index: int) -> State:
        stacked, names = self.optimizer.state_dict(), list(chain(*self.groups()))

        def part(name: str | None, entry: str, value: Any) -> Any:
            if not isinstance(value, Tensor):
                return copy.deepcopy(value)
            return _own(value if entry in _COMMON else self.turned(name, value[index]))

        return {
            "state": {
                place: {entry: part(names[place], entry, value) for entry, value in values.items()}
                for place, values in stacked["state"].items()
            },
            "param_groups": copy.deepcopy(stacked["param_groups"]),
        }

    def resumed(self, places: Sequence[int], states: Sequence[State]) -> Self:
        """See Learner."""
        other = self._of(places, [state["model"] for state in states])
        optimizers, names = [state["optimizer"] for state in states], list(chain(*other.groups()))

        def whole(name: str | None, entry: str, values: list[Any]) -> Any:
            if not isinstance(values[0], Tensor):
                return copy.deepcopy(values[0])
            return values[0].clone() if entry in _COMMON else self.turned(name, torch.stack(values))

        stacked = {
            place: {
                entry: whole(names[place], entry, [each["state"][place][entry] for each in optimizers])
                for entry in entries
            }
            for place, entries in optimizers[0]["state"].items()
        }
        groups = copy.deepcopy(optimizers[0]["param_groups"])
        return other._load({"state": stacked, "param_groups": groups}, states)


def _predict(
    model: Callable[[Tensor], Tensor], loss: Loss, precision: str, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Inputs (B, *shape) and labels (B,) to losses (B,) and logits (B, C); losses are never of bfloat16."""
    with autocast(precision, x.device):
        logits = model(x)
    if precision == "bf16":
        logits = logits.float()
    return loss(logits, y), logits


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """What a model runs in: under ``bf16``, matrix products and convolutions are of bfloat16."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def first_names(model: nn.Module) -> dict[str, str]:
    """Each parameter's and buffer's name, to the first name of the same tensor: tied ones have several."""
    first: dict[int, str] = {}
    named = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}


def load_optimizer(optimizer: torch.optim.Optimizer, state: State) -> None:
    """``load_state_dict`` with each tensor laid out in memory as its parameter, which fused steps require."""
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _mean(batches: list[Tensor]) -> Tensor:
    """The mean over all batches, (..., B) each, summed in double precision."""
    return torch.cat(batches, dim=-1).mean(dim=-1, dtype=torch.float64)


def _classes(logits: Tensor) -> Tensor:
    return logits[..., 0] > 0 if logits.shape[-1] == 1 else logits.argmax(dim=-1)


def _stack(tensors: Sequence[Weights], name: str, like: Tensor) -> Tensor:
    return torch.stack([each[name].detach().to(like.device, like.dtype) for each in tensors])


def _own(tensor: Tensor) -> Tensor:
    """A copy that shares no memory with the stack."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _of_linear(model: nn.Module, name: str) -> bool:
    module, _, own = name.rpartition(".")
    return own == "weight" and isinstance(model.get_submodule(module), nn.Linear)
