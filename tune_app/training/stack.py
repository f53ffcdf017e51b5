"""R models of one architecture as one module: every parameter is (R, ...), and one kernel trains all of them.

The hyperparameters are the same for all models, so the task's own optimiser and schedule work on the
stacked parameters as they do on those of one model, as long as the optimiser treats each element by
itself. `stacking_check` finds out what can be stacked.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.task import Task, clip_norm, copied, make_scheduler
from tune_app.training.learner import (
    DeviceSplit,
    DeviceSplits,
    all_finite,
    load_optimizer,
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
        scheduled: whether the task's schedule is needed.
    """

    def __init__(
        self,
        spec: TrialSpec,
        task: Task,
        template: nn.Module,
        tensors: Sequence[Mapping[str, Tensor]],
        scheduled: bool = True,
    ) -> None:
        config, precision = spec.config, spec.settings.numerics.precision
        self.R = len(tensors)
        self._template = template
        self._turned = {name for name, _ in template.named_parameters() if _of_linear(template, name)}
        self._leaves = {
            name: nn.Parameter(self._turn(name, _stack(tensors, name, own)).contiguous(), own.requires_grad)
            for name, own in template.named_parameters()
        }
        self.buffers = {name: _stack(tensors, name, own) for name, own in template.named_buffers()}
        self.optimizer = task.optimizer(copied(config), list(self._leaves.values()))
        self._scheduler = None
        if scheduled:
            self._scheduler = make_scheduler(task, config, self.optimizer, spec.settings.epochs)
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
        """A tensor of a parameter's shape, from the layout of the model to that of the leaf, or back."""
        return tensor.mT if name in self._turned else tensor

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters of the models by name, (R, ...) each, as views of the leaves that are optimised.

        vmap gives the gradient of a Linear's weight transposed, so its leaf is transposed too: to change the
        layout of each gradient would take longer than the step.
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
        """Model, optimiser and schedule of one replicate, as `Learner.state` has them."""
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
        """Load optimiser and schedule from R states, all of the same epoch."""
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


def _stack(tensors: Sequence[Mapping[str, Tensor]], name: str, like: Tensor) -> Tensor:
    return torch.stack([each[name].detach().to(like.device, like.dtype) for each in tensors])


def _of_linear(model: nn.Module, name: str) -> bool:
    """Whether a parameter is the weight of a Linear."""
    module, _, own = name.rpartition(".")
    return own == "weight" and isinstance(model.get_submodule(module), nn.Linear)
