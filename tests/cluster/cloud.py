"""EC2 and IAM as moto plays them, on the laptop's address; writes down which instances there are.

Run within the laptop's namespaces: cloud.py FILE, which gets, as JSON, of each instance its type, lifecycle,
state, address, largest disk, and the ports of its security groups that are open to the world.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse
from moto.server import ThreadedMotoServer

REGION = "us-west-2"


class Whole(InstanceResponse):
    """Launches as many instances as may be, as EC2 does where it has them; moto launches the fewest."""

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:
        return super()._get_param("MaxCount" if param_name == "MinCount" else param_name, if_none)


def main(file: Path) -> None:
    EC2Response.__bases__ = tuple(
        Whole if each is InstanceResponse else each for each in EC2Response.__bases__
    )
    server = ThreadedMotoServer("10.77.0.254", 5000, verbose=False)
    server.start()
    while True:
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][REGION]
        found = {
            each.id: {
                "type": each.instance_type,
                "lifecycle": each.lifecycle,
                "state": each.state,
                "ip": each.private_ip,
                "disk_gb": max(
                    [int(disk.size or 0) for disk in each.block_device_mapping.values()], default=0
                ),
                "open_to_the_world": sorted(
                    str(rule.from_port)
                    for group in each.security_groups
                    for rule in group.ingress_rules
                    if rule.ip_range
                ),
            }
            for reservation in list(backend.reservations.values())
            for each in reservation.instances
        }
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(found))
        partial.replace(file)
        time.sleep(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
