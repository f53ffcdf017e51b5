"""A search-space file -> a frozen, validated :class:`SearchSpace`.

Read as YAML 1.2 (`reader`), changed by ``--set`` (`overrides`), checked by strict models (`model`,
`samplers`), with every fault told at its line (`problems`); `planning` lists the configurations.
"""

from __future__ import annotations

from tune_app.space.extending import build, changed, extend
from tune_app.space.files import builtin_names, find, load, parse
from tune_app.space.model import Metric, Resources, Search, SearchSpace, Stop, difference, json_schema
from tune_app.space.rules import excess
from tune_app.space.samplers import KINDS, Sampler
from tune_app.space.scalars import Config, Scalar, canonical, quote

__all__ = [
    "KINDS",
    "Config",
    "Metric",
    "Resources",
    "Sampler",
    "Scalar",
    "Search",
    "SearchSpace",
    "Stop",
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
