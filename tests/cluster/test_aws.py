"""``cluster.yaml`` as far as moto plays EC2: what is launched, on what, and who may knock."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tune_app.cluster.reading import read

ROOT = Path(__file__).parents[2]

if importlib.util.find_spec("moto") is None or importlib.util.find_spec("boto3") is None:
    pytest.skip("needs moto and boto3: pip install 'moto[ec2,iam]' boto3", allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    import moto

    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    monkeypatch.setenv("HOME", str(tmp_path))  # the key pair is written there
    (tmp_path / ".ssh").mkdir()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.chdir(ROOT)
    with moto.mock_aws():
        yield


def test_cluster_yaml_launches_a_head_and_spot_workers(cloud: None) -> None:
    import boto3
    from ray.autoscaler._private import util
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    [content] = read(ROOT / "cluster.yaml")
    values = content.values
    ec2 = boto3.client("ec2", region_name=values["provider"]["region"])
    image = ec2.describe_images()["Images"][0]["ImageId"]
    for kind in values["available_node_types"].values():
        kind["node_config"]["ImageId"] = image
    config = util.prepare_config(values)
    util.validate_config(config)
    config = AWSNodeProvider.fillout_available_node_types_resources(bootstrap_aws(config))
    types: dict[str, Any] = config["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["gpu"]["resources"].items() >= {"CPU": 4, "GPU": 1}.items()

    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name in ("head", "gpu"):
        tags = {
            "ray-node-type": name,
            "ray-node-name": name,
            "ray-launch-config": "0",
            "ray-node-status": "0",
        }
        provider.create_node(types[name]["node_config"], {**tags, "ray-user-node-type": name}, 1)
    found = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    by_type = {each["InstanceType"]: each for each in found}
    assert {name: each.get("InstanceLifecycle") for name, each in by_type.items()} == {
        "m6i.large": None,
        "g5.xlarge": "spot",
    }
    for each in found:
        [disk] = [d for d in each["BlockDeviceMappings"] if d["DeviceName"] == "/dev/sda1"]
        [volume] = ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"]
        assert volume["Size"] >= 100
        groups = [group["GroupId"] for group in each["SecurityGroups"]]
        [group] = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
        open_to_the_world = [p for p in group["IpPermissions"] if p["IpRanges"]]
        assert [p["FromPort"] for p in open_to_the_world] == [22]
