"""The Optuna sampler of a space. A new one goes here, and into ``OPTUNA_SAMPLERS`` of the rules of spaces."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import partial

from optuna import samplers
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from tune_app.errors import describe
from tune_app.space import SearchSpace
from tune_app.tasks import task_folder

_SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "tpe": partial(samplers.TPESampler, multivariate=True, group=True, constant_liar=True),
    "gp": partial(samplers.GPSampler, warn_independent_sampling=False),
    "cmaes": partial(samplers.CmaEsSampler, warn_independent_sampling=False),
    "random": samplers.RandomSampler,
    "qmc": partial(
        samplers.QMCSampler, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
    ),
    "nsga2": samplers.NSGAIISampler,
}


def make_sampler(space: SearchSpace) -> BaseSampler:
    """The sampler that ``search.sampler`` names, seeded with the space's seed.

    Raises:
        SpaceError: a ``module:Class`` cannot be imported or instantiated, or is not a sampler.
    """
    name = str(space.search.sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the user chose this sampler
        return _SAMPLERS[name](seed=space.seed) if name in _SAMPLERS else _user_sampler(space, name)


def _user_sampler(space: SearchSpace, reference: str) -> BaseSampler:
    module, _, attribute = reference.partition(":")
    try:
        with task_folder.current().code(module):
            made = getattr(importlib.import_module(module), attribute)(seed=space.seed)
    except Exception as error:
        raise space.error(
            "search.sampler", f"{reference}(seed={space.seed}) raised {describe(error)}"
        ) from error
    if not isinstance(made, BaseSampler):
        raise space.error(
            "search.sampler", f"{reference} makes a {type(made).__name__}; it must make an optuna BaseSampler"
        )
    return made
