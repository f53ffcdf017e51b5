"""How many trials share a GPU: the rule, the processes that measure it, and a sweep that goes by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from facts import lacking
from hypothesis import given
from hypothesis import strategies as st
from ray_marks import QUIET, declared_cluster
from small_task import TASK
from specs import make_spec

from tune_app import progress
from tune_app import space as spaces
from tune_app.driver import gpu_sharing
from tune_app.driver.gpu_sharing import ProcessFailed, Sharing, Throughput, share
from tune_app.driver.resources import plan, room
from tune_app.errors import SpaceError
from tune_app.session import lifecycle, preview
from tune_app.session.request import Request
from tune_app.space import Resources
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task
from tune_app.tasks.task import Splits, Task

pytestmark = QUIET

UserModule = Callable[[str], str]
AUTO = Resources(gpus_per_trial="auto")


class Simulated:
    """A GPU that trains ``knee`` trials at full speed and no more together, each with ``used_bytes``."""

    def __init__(self, knee: float, used_bytes: int = 0, total_bytes: int = 0) -> None:
        self.knee, self.used_bytes, self.total_bytes = knee, used_bytes, total_bytes

    def __call__(self, trials: int) -> Throughput:
        used = trials * self.used_bytes
        if self.total_bytes and used > self.total_bytes:
            raise ProcessFailed("CUDA out of memory")
        return Throughput(trials, min(trials, self.knee), used, self.total_bytes)


@given(knee=st.integers(1, 40), most=st.integers(1, 40))
def test_as_many_as_train_faster_and_no_more(knee: int, most: int) -> None:
    found = share(Simulated(knee), most)
    tried = [each.trials for each in found.measured]
    assert tried == sorted(set(tried))
    assert found.trials in tried
    assert found.trials <= min(most, gpu_sharing._MOST)
    # Twice as many would not have been clearly faster, or were not there.
    rate = min(found.trials, knee)
    beyond = min(2 * found.trials, most, gpu_sharing._MOST)
    assert min(beyond, knee) < 1.15 * rate or beyond == found.trials
    assert min(found.trials, knee) >= min(most, gpu_sharing._MOST, knee) / 2


@pytest.mark.parametrize(
    ("simulated", "most", "trials", "facts"),
    [
        (Simulated(4), 16, 4, ["8", "1.00"]),
        (Simulated(99), 6, 6, ["6"]),
        (Simulated(99), 1, 1, ["1"]),
        (Simulated(99, 3 << 30, 16 << 30), 16, 4, ["8", "24.0", "16.0 GiB"]),
        (Simulated(99, 5 << 30, 4 << 30), 16, 1, ["CUDA out of memory"]),
    ],
)
def test_the_reason_is_said(simulated: Simulated, most: int, trials: int, facts: list[str]) -> None:
    found = share(simulated, most)
    assert (found.trials, lacking(found.why, facts)) == (trials, [])
    assert lacking(found.line, [f"{trials} trial{'s' if trials > 1 else ''}", found.why]) == []


def test_what_fails_with_more_is_left_at_fewer() -> None:
    class Fragile(Simulated):
        def __call__(self, trials: int) -> Throughput:
            if trials > 2:
                raise ProcessFailed("no more handles")
            return super().__call__(trials)

    found = share(Fragile(99), 16)
    assert (found.trials, lacking(found.why, ["4", "no more handles"])) == (2, [])


# ---------------------------------------------------------------- the plan


@pytest.mark.parametrize(
    ("asked", "cpus", "gpus", "trials", "expected"),
    [
        (AUTO, 16, 1, 20, 16),
        (AUTO, 16, 2, 20, 8),
        (AUTO, 16, 1, 3, 3),
        (AUTO, 16, 4, 4, 1),
        (AUTO, 2, 4, 100, 1),
        (AUTO, 16, 0, 20, 0),
        (Resources(gpus_per_trial="auto", cpus_per_trial=4.0), 16, 1, 20, 4),
        (Resources(gpus_per_trial="auto", max_concurrent=2), 16, 1, 20, 2),
        (Resources(gpus_per_trial=0.5), 16, 1, 20, 0),
        (Resources(), 16, 1, 20, 0),
    ],
)
def test_there_is_room_for_as_many_as_have_a_core_and_a_use(
    asked: Resources, cpus: int, gpus: int, trials: int, expected: int
) -> None:
    assert room(asked, cpus, gpus, trials) == expected


@given(
    cpus=st.integers(1, 128), gpus=st.integers(0, 8), trials=st.integers(1, 500), sharing=st.integers(1, 16)
)
def test_so_many_share_a_gpu_and_no_gpu_is_left_out(cpus: int, gpus: int, trials: int, sharing: int) -> None:
    planned = plan(AUTO, cpus, gpus, trials, sharing=sharing)
    if not gpus:
        assert planned == plan(Resources(), cpus, 0, trials)
        return
    assert planned.gpus_per_trial >= int(10_000 / sharing) / 10_000
    assert planned.concurrent <= gpus * sharing
    if cpus >= gpus * sharing:
        assert planned.concurrent == min(trials, gpus * int(1 / planned.gpus_per_trial + 1e-9))
        assert planned.concurrent >= min(trials, gpus)


# ---------------------------------------------------------------- for real


def spec(reference: str) -> TrialSpec:
    return make_spec({"lr": 0.01}, (0, 1), task=reference, tested=False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_sharing, "_WINDOW_S", 0.3)


def splits(reference: str) -> Splits:
    loaded = task.load(reference)
    assert isinstance(loaded, Task)
    return loaded.splits(None)


def test_processes_train_together_for_longer_than_a_trial_has_epochs(
    user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    window_s = 1.5  # long enough for more than three epochs on a loaded machine
    monkeypatch.setattr(gpu_sharing, "_WINDOW_S", window_s)
    reference = f"{user_module(TASK)}:Task"
    found = gpu_sharing.measure(spec(reference), splits(reference), 2)
    assert [each.trials for each in found.measured] == [1, 2]
    assert found.trials in (1, 2)
    assert all(each.per_second * window_s > 3 for each in found.measured), "more epochs than a trial has"
    assert found.measured[0].total_bytes == 0, "no GPU here"


@pytest.mark.usefixtures("quick")
def test_a_task_that_prints_or_raises_is_measured_or_said(user_module: UserModule) -> None:
    loud = TASK.replace(
        "def loss(self, config):", "def loss(self, config):\n            print('loud', flush=True)"
    )
    reference = f"{user_module(loud)}:Task"
    assert gpu_sharing.measure(spec(reference), splits(reference), 1).measured
    broken = TASK.replace(
        "def loss(self, config):", "def loss(self, config):\n            raise RuntimeError('a\\nb')"
    )
    reference = f"{user_module(broken)}:Task"
    found = gpu_sharing.measure(spec(reference), splits(reference), 1)
    assert (found.trials, found.why) == (1, "measuring failed: RuntimeError: a")


@pytest.fixture(scope="module")
def one_gpu() -> Iterator[str]:
    with declared_cluster(2, gpus=1) as cluster:
        yield str(cluster.address)


def test_a_sweep_goes_by_what_was_measured(
    one_gpu: str, user_module: UserModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(progress, "note", told.append)
    text = (
        f"task: {user_module(TASK)}:Task\nspace: {{lr: {{grid: [0.01, 0.02, 0.03]}}}}\nepochs: 2\nseeds: 1\n"
        "resources: {gpus_per_trial: auto}\n"
    )
    request = Request(spaces.parse(text, file="my.yaml", name="my"), name="one", address=one_gpu)
    sweep = lifecycle.run(request, request.load()).train()
    assert sweep.statuses() == ["finished"] * 3
    recorded = sweep.history.openings[0].sharing or {}
    assert [each["trials"] for each in recorded["measured"]] == [1, 2], "of three trials, two have a core"
    assert Sharing(recorded["trials"], recorded["why"]).line in told
    assert plan(AUTO, 2, 1, 3, sharing=recorded["trials"]).concurrent == recorded["trials"]


# ---------------------------------------------------------------- mistakes


def test_a_function_cannot_be_measured(user_module: UserModule) -> None:
    name = user_module("def task(config, context):\n    yield {'val_accuracy': 1.0}\n")
    text = f"task: {name}:task\nspace: {{a: {{grid: [1]}}}}\nresources: {{gpus_per_trial: auto}}\n"
    space = spaces.parse(text, file="my.yaml", name="my")
    with pytest.raises(SpaceError, match=r"my.yaml:3: resources.gpus_per_trial: auto"):
        Request(space).load()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("lots", "lots.*auto"),
        ("true", "true.*auto"),
        ("-1", r"-1 .*\b0\b"),
        (".inf", r"\.inf .*GPUs"),
        ("1.5", r"1\.5 .*\b1 or 2\b"),
    ],
)
def test_what_is_no_share_is_refused(value: str, message: str) -> None:
    text = f"task: pneumonia\nresources: {{gpus_per_trial: {value}}}\n"
    with pytest.raises(SpaceError, match=message):
        spaces.parse(text, file="my.yaml", name="my")


def test_without_a_gpu_auto_is_the_cpu() -> None:
    assert plan(AUTO, 4, 0, 9).gpus_per_trial == 0
    assert room(AUTO, 4, 0, 9) == 0


def test_check_says_that_it_will_be_measured() -> None:
    text = "task: pneumonia\nfixed: {lr: 1e-5}\nresources: {gpus_per_trial: auto}\n"
    said = preview.plan(spaces.parse(text, file="my.yaml", name="my"), preview.Estimate(1.0, 1, 10, 5))
    [line] = [line for line in said.splitlines() if line.startswith("GPUs: ")]
    assert "measure" in line
