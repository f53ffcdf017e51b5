"""``tune-app cluster check``: the files that are shipped, and each mistake with its fix."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from tune_app import cli, cluster
from tune_app.cluster import ray_up
from tune_app.errors import ClusterError

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "cluster.yaml", *sorted((ROOT / "clusters").glob("*.yaml"))]
LOCAL, AWS = ROOT / "clusters/local.yaml", ROOT / "cluster.yaml"
GCP, KUBERAY = ROOT / "clusters/gcp.yaml", ROOT / "clusters/kuberay.yaml"

Edit = tuple[str, str]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # file_mounts are seen from there


@pytest.fixture
def errors(tmp_path: Path) -> Callable[..., list[str]]:
    """The errors of a shipped file after edits (pattern, replacement), each of which must change it."""

    def of(file: Path, *edits: Edit, warnings: bool = False) -> list[str]:
        text = file.read_text()
        for pattern, replacement in edits:
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE | re.DOTALL)
            assert count, pattern
        edited = tmp_path / file.name
        edited.write_text(text)
        problems = cluster.check(edited)
        return [f"{p.line}: {p.key}: {p.text}" for p in problems if p.warning == warnings]

    return of


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_shipped_file_has_no_mistake_and_says_what_is_yours_to_set(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["cluster", "check", str(file)])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    marks = file.read_text().count("# CHANGE:")
    assert marks > 2
    assert out.count("set this line") == marks
    assert out.count("warning: ") - marks == out.count("Python 3.12, but") <= 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_shipped_file_pins_the_ray_of_the_constraints(file: Path) -> None:
    text = file.read_text()
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    found = [version for _, version in ray_up.ray_pins(text)] + re.findall(r'rayVersion: "(.+)"', text)
    assert found
    assert set(found) == {pinned[1]}
    assert pinned[1] == metadata.version("ray")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_shipped_file_is_safe_and_quiet(file: Path) -> None:
    text = file.read_text()
    assert "0.0.0.0" not in text
    assert "RAY_USAGE_STATS_ENABLED" in text


def test_the_scripts_for_slurm_is_a_script() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "clusters/slurm.sh")], check=True)


WRONG: dict[str, tuple[Path, tuple[Edit, ...], str]] = {
    "unknown key": (AWS, ((r"^max_workers", "max_worker"),), r'max_worker: .*Did you mean "max_workers"\?'),
    "no region": (AWS, (("  region:.*?$", ""),), "provider: region is missing.*us-west-2"),
    "unknown provider": (
        AWS,
        (("type: aws", "type: asw"),),
        r'"asw" is not a provider. Did you mean "aws"\?',
    ),
    "workers at the top": (
        AWS,
        (("^upscaling", "min_workers: 1\nupscaling"),),
        "min_workers: Ray ignores it",
    ),
    "no type": (AWS, (("InstanceType: g5.xlarge", "EbsOptimized: true"),), "InstanceType is missing"),
    "no image": (AWS, ((r"ImageId: \*image", "EbsOptimized: true"),), "ImageId is missing.*Ubuntu 18.04"),
    "unknown head": (
        AWS,
        (("head_node_type: head", "head_node_type: haed"),),
        r'"haed" is not a node type. Did you mean',
    ),
    "a typo of a type": (AWS, (("min_workers: 0", "min_worker: 0"),), r'gpu.min_worker: .*"min_workers"\?'),
    "another Ray": (AWS, ((r"==2[\d.]+", "==2.9.0"),), "Ray ==2.9.0 cannot work with .* Ray 2"),
    "any Ray": (AWS, ((r"==2[\d.]+", ">=2.9"),), "Ray >=2.9 cannot work"),
    "a nightly Ray": (AWS, (("^setup_commands:.*(?=^head_setup)", ""),), "a nightly build"),
    "no boto3": (AWS, (("boto3", "six"),), "without boto3 the head starts no worker"),
    "an open dashboard": (
        AWS,
        (("ray start --head", "ray start --head --dashboard-host=0.0.0.0"),),
        "head_start_ray_commands: anyone who reaches the dashboard can run code",
    ),
    "default start commands": (
        AWS,
        (("^head_start.*(?=^worker_start)", ""),),
        "Ray's default command sends usage statistics and opens the dashboard",
    ),
    "statistics": (
        LOCAL,
        (("RAY_USAGE_STATS_ENABLED=0 ", ""),),
        "worker_start_ray_commands: Ray would send usage statistics.*RAY_USAGE_STATS_ENABLED=0",
    ),
    "no autoscaling": (AWS, ((" --autoscaling-config=[^\n]*", ""),), "--autoscaling-config= is missing"),
    "workers alone": (AWS, ((r"--address=\$RAY_HEAD_IP:6379", ""),), r"\$RAY_HEAD_IP is missing"),
    "no such folder": (AWS, ((": \\.    #", ": nowhere  #"),), "nowhere does not exist"),
    "the second autoscaler": (
        LOCAL,
        ((" RAY_enable_autoscaler_v2=0$", ""),),
        "starts too few workers.*RAY_enable_autoscaler_v2=0",
    ),
    "types of one's own": (
        LOCAL,
        (("^auth:", "available_node_types: {a: {}}\nauth:"),),
        "have no node types",
    ),
    "no workers": (LOCAL, (("  worker_ips:[^\n]*", ""),), "worker_ips is missing"),
    "what Ray finds": (
        LOCAL,
        (("idle_timeout_minutes: 5", "idle_timeout_minutes: -1"),),
        "ray up refuses it",
    ),
    "a wrong type": (
        LOCAL,
        (("cluster_name: tune-app", "cluster_name: [1]"),),
        "cluster_name: ray up refuses it",
    ),
    "a GPU that moves": (GCP, (("- onHostMaintenance: TERMINATE", ""),), "Add: onHostMaintenance: TERMINATE"),
    "a GPU unseen": (GCP, ((', "GPU": 1', ""),), "does not tell Ray of the GPU"),
    "CPUs unseen": (GCP, (('resources: {"CPU": 8, "GPU": 1}', "resources: {}"),), "Google does not tell Ray"),
    "no project": (GCP, (("  project_id:[^\n]*", ""),), "project_id is missing"),
    "another kind": (
        KUBERAY,
        (("kind: RayJob", "kind: RayJbo"),),
        r'"RayJbo" cannot train a sweep. Did you mean "RayJob"\?',
    ),
    "another rayVersion": (
        KUBERAY,
        (('rayVersion: "[^"]+"', 'rayVersion: "2.9.0"'),),
        "rayVersion is 2.9.0, but .* has Ray 2",
    ),
    "another image": (
        KUBERAY,
        ((r"registry.example.com/tune-app:\S+", "rayproject/ray:2.9.0"),),
        "the image has Ray 2.9.0",
    ),
    "autoscaling is off": (KUBERAY, (("maxReplicas: 2", "maxReplicas: 4"),), "enableInTreeAutoscaling: true"),
    "a range upside down": (KUBERAY, (("minReplicas: 2", "minReplicas: 3"),), "minReplicas 3 <= replicas 2"),
    "open to the world": (
        KUBERAY,
        (("ClusterIP", "LoadBalancer"),),
        "serviceType: anyone who reaches the dashboard",
    ),
    "statistics in pods": (
        KUBERAY,
        (("RAY_USAGE_STATS_ENABLED, value", "OTHER, value"),),
        "would send usage statistics",
    ),
    "no entrypoint": (KUBERAY, (("  entrypoint:[^\n]*", ""),), "entrypoint is missing"),
    "no head": (KUBERAY, (("headGroupSpec", "headGroup"),), "headGroupSpec is missing"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_found_at_its_line_with_the_mend(mistake: str, errors: Callable[..., list[str]]) -> None:
    file, edits, expected = WRONG[mistake]
    found = errors(file, *edits)
    assert [each for each in found if re.search(expected, each)], found


TYPOS: dict[str, tuple[Path, str, str]] = {
    "of the provider": (AWS, "region", "regoin"),
    "for EC2": (AWS, "InstanceType", "InstancType"),
    "for EC2, deep": (AWS, "VolumeSize", "VolumSize"),
    "of the market": (AWS, "MarketType", "MarktType"),
    "for Google": (GCP, "machineType", "machineTyp"),
    "of KubeRay's": (KUBERAY, "minReplicas", "minReplica"),
    "of a container's": (KUBERAY, "volumeMounts", "volumeMount"),
}


@pytest.mark.parametrize("case", TYPOS)
def test_a_typo_of_a_key_that_only_its_cloud_knows_is_a_warning_where_it_stands(
    case: str, errors: Callable[..., list[str]]
) -> None:
    file, name, typo = TYPOS[case]
    found = errors(file, (rf"{name}:", f"{typo}:"), warnings=True)
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if f"{name}:" in text)
    assert [each for each in found if re.match(rf'{line}: .*{typo}: .*Did you mean "{name}"\?', each)], found


REGRETTED: dict[str, tuple[Path, Edit, str]] = {
    "disks that stay": (AWS, ("  cache_stopped_nodes: false", "  # none"), "Set cache_stopped_nodes: false"),
    "a small disk": (AWS, ("VolumeSize: 150", "VolumeSize: 40"), "40 GB of disk may be too small"),
    "a busy head": (AWS, ('resources: {"CPU": 0}', "resources: {}"), 'Set resources: {"CPU": 0}'),
    "another Python": (AWS, ("python 3.12", "python 3.9"), "Python 3.9, but 3.1. on this"),
    "ulimit": (AWS, ("ulimit -n 65536;", "ulimit -n 65536 &&"), "Write ; instead of &&"),
    "no Ray": (LOCAL, ("^setup_commands:.*?(?=^#)", ""), "no command installs Ray: every machine needs 2"),
    "idle machines": (LOCAL, ("min_workers: 2", "min_workers: 1"), "only 1 of the 2 worker_ips join"),
    "no driver": (GCP, ("key: install-nvidia-driver", "key: other"), "finds no GPU"),
    "a cluster that stays": (KUBERAY, ("shutdownAfterJobFinishes: true", ""), "Set shutdownAfterJobFinishes"),
    "no limits": (KUBERAY, ('limits: {cpu: "4"', 'claims: {cpu: "4"'), "counts the whole node as its own"),
    "a busy head in a pod": (KUBERAY, ('num-cpus: "0"', 'num-cpus: "1"'), 'Set num-cpus: "0"'),
}


@pytest.mark.parametrize("case", REGRETTED)
def test_what_would_be_regretted_is_a_warning(case: str, errors: Callable[..., list[str]]) -> None:
    file, edit, expected = REGRETTED[case]
    assert errors(file, edit) == []
    assert re.search(expected, "\n".join(errors(file, edit, warnings=True)))


def test_a_mistake_ends_with_code_2_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(AWS.read_text().replace("region:", "regoin:"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["cluster", "check", str(file)])
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 2
    assert re.fullmatch(r".*my.yaml: 1 error, \d+ warnings", lines[-1])
    assert "warning" not in lines[0]
    assert "warning" in lines[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("a: 1\na: 2", "not valid YAML: .*duplicate key"),
        ("", "is not a cluster file"),
        ("- 1", "is not a cluster file"),
        ("a: 1\n---\nb: 2", "reads one document"),
        ("apiVersion: v1\nkind: ConfigMap", "no RayCluster or RayJob"),
    ],
)
def test_what_is_no_clusters_file_is_said(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ClusterError, match=message):
        cluster.check(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="cannot be read: No such file"):
        cluster.check(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "provider: 3",
        "provider: {type: [1]}\n3: 4",
        "provider: {type: aws}\nsetup_commands: 3",
        "provider: {type: gcp}\navailable_node_types: {1: {node_config: 3}, b: [], 2001-01-01: 1}",
        "provider: {type: aws}\nhead_node_type: [1]\navailable_node_types: {1: {node_config: {A: [1]}}}",
        "a: {b: [1]}",
        "apiVersion: ray.io/v1\nkind: [1]",
        "apiVersion: ray.io/v1\nkind: RayCluster\nspec: {headGroupSpec: [1], workerGroupSpecs: [1, {}]}",
    ],
)
def test_nonsense_has_errors_and_no_traceback(text: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    assert [problem for problem in cluster.check(file) if not problem.warning]


@pytest.mark.parametrize(
    ("command", "pins"),
    [
        ("pip install 'ray[tune]==2.60.0' torch", [("==", "2.60.0")]),
        ("pip install ray>=2.50", [(">=", "2.50")]),
        ("pip install raylib==1.0 array==2", []),
        ("pip install ray", []),
    ],
)
def test_pins_of_ray_are_found(command: str, pins: list[tuple[str, str]]) -> None:
    assert ray_up.ray_pins(command) == pins


@pytest.mark.parametrize(
    "command", ["python=3.9", "apt install python3.9-venv", "conda create -n x Python 3.9"]
)
def test_another_version_of_python_is_found(command: str, errors: Callable[..., list[str]]) -> None:
    found = errors(AWS, ("^setup_commands:", f"setup_commands:\n  - {command}"), warnings=True)
    assert "Python 3.9, but" in "\n".join(found)
