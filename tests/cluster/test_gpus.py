"""GPUs that are declared, not there: how many trials run at a time, on which GPU each, as the record has it.

One Ray for each number of GPUs. Torch sees none of them, so the trials train on the CPU.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from lines import read
from ray_marks import QUIET, declared_cluster

from tune_app import results
from tune_app import space as spaces
from tune_app.session import lifecycle
from tune_app.session.request import Request
from tune_app.sweep import Sweep

pytestmark = QUIET

#: Each trial waits until as many have begun as are to run at a time.
TASK = """
    import os
    import time
    from pathlib import Path

    def task(config, context):
        begun = Path(config["begun"])
        (begun / str(config["level"])).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        deadline = time.monotonic() + 60
        while len(list(begun.iterdir())) < config["together"] and time.monotonic() < deadline:
            time.sleep(0.02)
        yield {"val_accuracy": 1.0}
"""

UserModule = Callable[[str], str]


@pytest.fixture(scope="module")
def declared() -> Iterator[Callable[[int], str]]:
    """By a number of GPUs, the address of a Ray that believes in them; started once."""
    with ExitStack() as stack:
        yield cache(lambda gpus: str(stack.enter_context(declared_cluster(2, gpus)).address))


@dataclass(frozen=True)
class Case:
    """What is asked, how many trials must then run at a time, and how many of them each GPU must have."""

    gpus: int
    each: float
    together: int
    at_most: int | None = None
    brief: bool = False  # every trial at a time is a process, which takes two seconds to start

    def __str__(self) -> str:
        return f"{self.gpus} GPUs, {self.each:g} each, {self.together} at a time"

    @property
    def trials(self) -> int:
        """Those of a grid, and at least one that has to wait."""
        return max(9, self.together + 1)

    @property
    def spread(self) -> list[int]:
        """How many trials each GPU has, the busiest first; a trial with two GPUs counts for both."""
        most, busier = divmod(round(self.together * max(1, self.each)), self.gpus)
        return sorted([most + 1] * busier + [most] * (self.gpus - busier), reverse=True)


CASES = [
    Case(1, 1, 1),
    Case(1, 0.5, 2),
    Case(1, 0.25, 4, brief=True),
    Case(4, 1, 4),
    Case(4, 0.5, 8),
    Case(4, 0.25, 16),
    Case(4, 2, 2, brief=True),
    Case(4, 0.25, 4, at_most=4),
    Case(4, 0.5, 6, at_most=6, brief=True),
    Case(8, 1, 8),
    Case(8, 0.5, 16),
    Case(8, 0.25, 32),
    Case(8, 2, 4),
    Case(8, 0.25, 9, at_most=9),
]
THOROUGH = "TUNE_APP_ALL_GPUS"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_many_trials_at_a_time_as_fit_and_no_gpu_left_out(
    case: Case, declared: Callable[[int], str], user_module: UserModule
) -> None:
    if not case.brief and not os.environ.get(THOROUGH):
        pytest.skip(f"a process a trial takes a while; with {THOROUGH}=1 it is tried too")
    sweep = train(case, declared(case.gpus), user_module(TASK))
    assert sweep.statuses() == ["finished"] * case.trials
    assert most_at_a_time(sweep) == case.together
    first = list(sweep.history.attempts.values())[: case.together]
    named = [re.fullmatch(rf"cpu \(gpu ([\d,]+)\) on {platform.node()}", each.device) for each in first]
    gpus = [found[1] for found in named if found]
    assert gpus == [Path(f"begun/{each.sample - 1}").read_text() for each in first], "what torch may see"
    used = Counter(gpu for each in gpus for gpu in each.split(","))
    assert set(used) == {str(gpu) for gpu in range(case.gpus)}
    assert sorted(used.values(), reverse=True) == case.spread
    written = results.load(sweep).trials.set_index("sample")["device"]
    assert [written[each.sample] for each in first] == [each.device for each in first]


def train(case: Case, address: str, name: str) -> Sweep:
    """More trials than may run at a time, each of one epoch."""
    Path("begun").mkdir()
    levels = ", ".join(map(str, range(case.trials)))
    resources = {"gpus_per_trial": case.each, "max_concurrent": case.at_most}
    asked = "".join(f"  {key}: {value}\n" for key, value in resources.items() if value)
    space = spaces.parse(
        f"task: {name}:task\nepochs: 1\nseeds: 1\nspace: {{level: {{grid: [{levels}]}}}}\n"
        f"fixed: {{together: {case.together}, begun: {Path('begun').absolute()}}}\nresources:\n{asked}",
        file="my.yaml",
        name="my",
    )
    request = Request(space, address=address)
    return lifecycle.run(request, request.load()).train()


def most_at_a_time(sweep: Sweep) -> int:
    """The most trials that ran at once, by the times at which the record has them begin and end."""
    steps = {"started": 1, "finished": -1}
    events = [event for _, event in read(sweep.paths.record) if event["event"] in steps]
    return max(itertools.accumulate(steps[event["event"]] for event in sorted(events, key=lambda e: e["t"])))
