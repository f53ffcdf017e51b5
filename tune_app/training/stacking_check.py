"""Whether the replicates of a configuration can be stacked: found out by trying.

Two replicates take the same step alone and in a stack, on a few of the real inputs. One step cannot show
whether an optimiser treats each element by itself: that is known of the types in ``ELEMENTWISE`` only.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn, optim

from tune_app.errors import describe
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.isolation import ProcessState, drawn
from tune_app.tasks.task import Task
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
_BRANCHES = "its code depends on the values of tensors (an if, a loop or .item())"
#: What vmap says, and what it means to a user.
_VMAP = {
    "random operation": _DRAWS,
    "data-dependent control flow": _BRANCHES,
    "calling .item()": _BRANCHES,
}


class _Unfit(Exception):
    """It cannot be stacked; the message says why."""


def why_not_stackable(spec: TrialSpec, task: Task, data: DeviceSplits) -> str | None:
    """Why the replicates of a configuration cannot be stacked, in a few words; None where they can.

    Whatever fails here is such a reason too. If it also fails when looped, the training reports it.
    """
    with ProcessState(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from operations that vmap runs one replicate after the other
        try:
            models = [make_model(spec, task, data, replicate) for replicate in (0, 1)]
            _check_models(*models)
            _check_step(spec, task, data, models)
        except _Unfit as unfit:
            return str(unfit)
        except Exception as error:  # noqa: BLE001 - whatever user code and vmap come upon
            text = describe(error)
            return next((words for key, words in _VMAP.items() if key in text), f"it raises {text}")
    return None


def _check_models(one: nn.Module, other: nn.Module) -> None:
    def outline(model: nn.Module) -> list[object]:
        named = [*model.named_parameters(), *model.named_buffers()]
        tensors = [(name, tensor.shape, tensor.dtype) for name, tensor in named]
        return [*((name, type(module)) for name, module in model.named_modules()), *tensors]

    if outline(one) != outline(other):
        raise _Unfit("its replicates are not built alike")
    if one.state_dict().keys() - first_names(one).keys():
        raise _Unfit("its state is more than parameters and buffers (get_extra_state)")
    for name, module in one.named_modules():
        where = f"{type(module).__name__} {name}".strip()
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise _Unfit(f"{where} draws random numbers")
        if getattr(module, "running_mean", None) is not None:
            raise _Unfit(f"{where} keeps running statistics of its batches")


def _check_step(spec: TrialSpec, task: Task, data: DeviceSplits, models: Sequence[nn.Module]) -> None:
    x, y = _few(data.train, 2 * _INPUTS)
    x, y = x.view(2, _INPUTS, *x.shape[1:]), y.view(2, _INPUTS)
    val = DeviceSplit(*_few(data.val, _INPUTS))
    before, buffers = _generators(), [copy.deepcopy(dict(m.named_buffers())) for m in models]
    singles = [Learner(spec, task, data, [model]) for model in models]
    _check_optimizer(singles[0].optimizer)
    alone = [_try(single, x[place].clone(), y[place], val) for place, single in enumerate(singles)]
    if before != _generators():
        raise _Unfit(_DRAWS)
    for model, own in zip(models, buffers, strict=True):
        if not all(torch.equal(buffer, own[name]) for name, buffer in model.named_buffers()):
            raise _Unfit("it changes its buffers while it trains")
    stack = Stack(spec, task, data, models)
    _check_groups(singles[0], stack)
    together = _try(stack, x.clone(), y, val)
    stack.clip()
    stack.optimizer.step()
    stack.state(0)
    if before != _generators():
        raise _Unfit(_DRAWS)
    for place, one in enumerate(alone):
        if not _close(one, [each[place] for each in together]):
            raise _Unfit("it computes other numbers when stacked than alone")


def _check_optimizer(optimizer: optim.Optimizer) -> None:
    if type(optimizer) not in ELEMENTWISE:
        name = type(optimizer).__name__
        raise _Unfit(f"{name} is not known to treat each element of a parameter by itself")
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        raise _Unfit("its optimiser has hooks")


def _check_groups(single: Learner, stack: Stack) -> None:
    """An optimiser must sort stacked parameters as it does those of one model."""
    if any(name is None for group in single.groups() for name in group):
        raise _Unfit("its optimiser changes other tensors than the parameters of the model")
    options = [
        [{name: value for name, value in group.items() if name != "params"} for group in each.param_groups]
        for each in (single.optimizer, stack.optimizer)
    ]
    if single.groups() != stack.groups() or repr(options[0]) != repr(options[1]):
        raise _Unfit("its optimiser uses the shapes of the parameters, which stacking changes")


def _try(learner: Learner, x: Tensor, y: Tensor, val: DeviceSplit) -> list[Tensor]:
    """Losses, logits, validation scores and loss, and the gradients."""
    learner.module.train()
    losses, logits = learner.forward(x, y)
    losses.mean(dim=-1).sum().backward()
    gradients = [gradient.clone() for gradient in learner.gradients()]
    return [losses, logits, *learner.score(val), *gradients]


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


def _generators() -> list[object]:
    """How the global random generators stand."""
    states = drawn()
    of_torch = (states["torch"], *states.get("cuda", ()))
    return [states["python"], *map(str, states["numpy"]), *(state.tolist() for state in of_torch)]
