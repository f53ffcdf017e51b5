"""How the numbers of a sweep are computed, which is fixed when it is planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True)
class Numerics:
    """What decides whether equal work gives equal numbers; fixed when a sweep is planned.

    ``replicates`` is ``stacked`` or ``looped``; the replicates of a job are looped in any case where there
    is only one, or its configuration cannot be stacked. ``precision`` is as in a search-space file.
    """

    replicates: Annotated[str, Meta(pattern=r"\A(looped|stacked)\Z")] = "looped"
    threads: Annotated[int, Meta(ge=1, le=4096)] = 1
    precision: Annotated[str, Meta(pattern=r"\A(float32|tf32|bf16)\Z")] = "float32"
