"""The Optuna sampler of a space. A new one goes here, and into ``OPTUNA_SAMPLERS`` of its rules."""

from __future__ import annotations

import importlib
import warnings

import optuna
from optuna.samplers import BaseSampler

from tune_app.errors import describe
from tune_app.space import SearchSpace
from tune_app.tasks import task_folder


def make_sampler(space: SearchSpace) -> BaseSampler:
    """The sampler that ``search.sampler`` names, seeded with the space's seed.

    Raises:
        SpaceError: a ``module:Class`` cannot be imported or instantiated, or is not a sampler.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the user chose this sampler
        return _sampler(space, str(space.search.sampler), space.seed)


def _sampler(space: SearchSpace, name: str, seed: int) -> BaseSampler:
    samplers = optuna.samplers
    match name:
        case "tpe":
            return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
        case "gp":
            return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "random":
            return samplers.RandomSampler(seed=seed)
        case "qmc":
            return samplers.QMCSampler(
                seed=seed, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
            )
        case "nsga2":
            return samplers.NSGAIISampler(seed=seed)
        case _:
            return _user_sampler(space, name)


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
