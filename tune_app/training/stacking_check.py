"""Whether the replicates of a configuration can be stacked: found out by trying.

Two replicates take the same step alone and in a stack, on a few of the real inputs. One step cannot show
whether an optimiser treats each element by itself: that is known of the types in ``ELEMENTWISE`` only.
"""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn, optim

from tune_app.errors import describe
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import ProcessState
from tune_app.tasks.task import Task, copied
from tune_app.training.device_data import DeviceSplit, DeviceSplits
from tune_app.training.models import Learner, Stack, first_names
from tune_app.training.task_replicates import make_model

#: Each element of a parameter moves by its own gradients, and by numbers that are the same for all.
ELEMENTWISE = frozenset(
    {
        *(optim.Adadelta, optim.Adagrad, optim.Adam, optim.AdamW, optim.Adamax, optim.ASGD),
        *(optim.NAdam, optim.RAdam, optim.RMSprop, optim.Rprop, optim.SGD),
    }
)

#: Inputs per replicate in the step that is tried.
_INPUTS = 4
#: The largest relative difference of results: rounding to bfloat16 stays below, other models lie above.
_TOLERANCE = 0.05

_DRAWS = "it draws random numbers while it trains"
_BRANCHES = "its course depends on its numbers (an if, a loop or .item())"
#: What vmap says, and what it means to a user.
_VMAP = {
    "random operation": _DRAWS,
    "data-dependent control flow": _BRANCHES,
    "calling .item()": _BRANCHES,
}


def why_not_stackable(spec: TrialSpec, task: Task, data: DeviceSplits) -> str | None:
    """Why the replicates of a configuration cannot be stacked, in a few words; None where they can.

    Whatever fails here is such a reason too. If it also fails when looped, the training reports it.
    """
    with ProcessState(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from operations that vmap runs one replicate after the other
        try:
            return _fault(spec, task, data)
        except Exception as error:  # noqa: BLE001 - whatever user code and vmap come upon
            text = describe(error)
            return next((words for key, words in _VMAP.items() if key in text), f"it raises {text}")


def _fault(spec: TrialSpec, task: Task, data: DeviceSplits) -> str | None:
    models = [make_model(spec, task, data, replicate) for replicate in (0, 1)]
    return (
        _of_structure(*models)
        or _of_modules(models[0])
        or _of_optimizer(task.optimizer(copied(spec.config), models[0].parameters()))
        or _of_step(spec, task, data, models)
    )


def _of_structure(one: nn.Module, other: nn.Module) -> str | None:
    def outline(model: nn.Module) -> list[object]:
        named = [*model.named_parameters(), *model.named_buffers()]
        tensors = [(name, tensor.shape, tensor.dtype) for name, tensor in named]
        return [*((name, type(module)) for name, module in model.named_modules()), *tensors]

    if outline(one) != outline(other):
        return "its replicates are not built alike"
    if one.state_dict().keys() - first_names(one).keys():
        return "its state is more than parameters and buffers (get_extra_state)"
    return None


def _of_modules(model: nn.Module) -> str | None:
    for name, module in model.named_modules():
        where = f"{type(module).__name__} {name}".strip()
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            return f"{where} draws random numbers"
        if getattr(module, "running_mean", None) is not None:
            return f"{where} keeps running statistics of its batches"
    return None


def _of_optimizer(optimizer: optim.Optimizer) -> str | None:
    if type(optimizer) not in ELEMENTWISE:
        return f"{type(optimizer).__name__} is not known to treat each element of a parameter by itself"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "its optimiser has hooks"
    return None


def _of_step(spec: TrialSpec, task: Task, data: DeviceSplits, models: Sequence[nn.Module]) -> str | None:
    x, y = _few(data.train, 2 * _INPUTS)
    x, y = x.view(2, _INPUTS, *x.shape[1:]), y.view(2, _INPUTS)
    val = DeviceSplit(*_few(data.val, _INPUTS))
    drawn, buffers = _generators(x.device), [copy.deepcopy(dict(m.named_buffers())) for m in models]
    singles = [Learner(spec, task, data, [model]) for model in models]
    alone = [_try(single, x[place].clone(), y[place], val) for place, single in enumerate(singles)]
    if drawn != _generators(x.device):
        return _DRAWS
    for model, before in zip(models, buffers, strict=True):
        if not all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers()):
            return "it changes its buffers while it trains"
    stack = Stack(spec, task, data, models)
    if fault := _of_groups(singles[0], stack):
        return fault
    together = _try(stack, x.clone(), y, val)
    stack.clip()
    stack.optimizer.step()
    stack.state(0)
    if drawn != _generators(x.device):
        return _DRAWS
    for place, one in enumerate(alone):
        if not _close(one, [each[place] for each in together]):
            return "in a stack it computes other numbers than by itself"
    return None


def _try(learner: Learner, x: Tensor, y: Tensor, val: DeviceSplit) -> list[Tensor]:
    """Losses, logits, validation scores and loss, and the gradients."""
    learner.module.train()
    losses, logits = learner.forward(x, y)
    losses.mean(dim=-1).sum().backward()
    gradients = [gradient.clone() for gradient in learner.gradients()]
    return [losses, logits, *learner.score(val), *gradients]


def _of_groups(single: Learner, stack: Stack) -> str | None:
    """Whether an optimiser sorts stacked parameters as it does those of one model."""
    if any(name is None for group in single.groups() for name in group):
        return "its optimiser moves other tensors than the parameters of the model"
    options = [
        [{name: value for name, value in group.items() if name != "params"} for group in each.param_groups]
        for each in (single.optimizer, stack.optimizer)
    ]
    if single.groups() != stack.groups() or repr(options[0]) != repr(options[1]):
        return "its optimiser goes by the shapes of the parameters, which a stack has other ones of"
    return None


def _close(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether losses, logits, scores and mean loss agree, and the gradients: all of them by the largest."""
    if len(one) != len(other):
        return False
    largest = max((g.abs().max().item() for g in one[4:] if g.numel()), default=0.0)
    for place, (a, b) in enumerate(zip(one, other, strict=True)):
        scale = largest if place >= 4 else a.abs().max().item()
        if a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=_TOLERANCE * scale, equal_nan=True):
            return False
    return True


def _few(split: DeviceSplit, count: int) -> tuple[Tensor, Tensor]:
    """Some inputs as a model takes them, and their labels; again from the start where there are too few."""
    index = torch.arange(count, device=split.x.device) % len(split.x)
    x = split.x[index]
    return (x if x.is_floating_point() else x.float()), split.y[index]


def _generators(device: torch.device) -> list[bytes]:
    """How the global random generators stand."""
    states = [pickle.dumps(random.getstate()), pickle.dumps(np.random.get_state())]
    states.append(torch.get_rng_state().numpy().tobytes())
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device).numpy().tobytes())
    return states
