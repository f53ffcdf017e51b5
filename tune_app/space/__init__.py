"""A search-space file -> a frozen, validated :class:`SearchSpace`.

`reader` reads YAML 1.2, `files` applies ``--set``, `model` and `samplers` check the values, `rules` checks
keys against each other, `problems` reports each error at its line, and `planning` lists the configurations.
"""

from __future__ import annotations

from tune_app.space.changes import build, changed, difference, extend
from tune_app.space.files import builtin_names, find, load, parse
from tune_app.space.model import Metric, Resources, Search, SearchSpace, Stop, json_schema
from tune_app.space.rules import excess
from tune_app.space.samplers import KINDS, Sampler
from tune_app.space.scalars import Config, Value, canonical, quote

__all__ = [
    "KINDS",
    "Config",
    "Metric",
    "Resources",
    "Sampler",
    "Search",
    "SearchSpace",
    "Stop",
    "Value",
    "build",
    "builtin_names",
    "canonical",
    "changed",
    "difference",
    "excess",
    "extend",
    "find",
    "json_schema",
    "load",
    "parse",
    "quote",
]
