"""Docker networks of a testbed: made in a subnet that is free, and found again by their label."""

from __future__ import annotations

import ipaddress
from itertools import islice

from pytest_kinda.build.engine_api import EngineError, docker_request
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.labels import TESTBED_LABEL
from pytest_kinda.errors import BuildError


def make_network(
    keeper: KeeperClient, testbed: str, name: str, planned: str, pool: str, bridge: str = ""
) -> str:
    """Create a network; the subnet that it got. Docker gives the machine its first address.

    The planned subnet may have been taken since the plan was made (by another testbed's build,
    most often): then the next free one of the pool is used. ``bridge`` names its interface on the
    machine; otherwise Docker does. Raises EngineError, BuildError.
    """
    keeper.record([{"undo": "docker-network", "name": name, "label": f"{TESTBED_LABEL}={testbed}"}])
    for subnet in subnets(planned, pool):
        body = {
            "Name": name,
            "Driver": "bridge",
            "CheckDuplicate": True,
            "IPAM": {"Config": [{"Subnet": subnet}]},
            "Options": {"com.docker.network.bridge.name": bridge} if bridge else {},
            "Labels": {TESTBED_LABEL: testbed},
        }
        try:
            docker_request("POST", "/networks/create", body)
        except EngineError as error:
            if "overlap" not in error.message.lower():
                raise
            continue
        return subnet
    raise BuildError(
        "Docker network",
        f"no subnet of {pool} is free for {name}",
        remedy="kinda clean removes old testbeds; PlanOptions(docker_pool=...) names another pool",
    )


def subnets(planned: str, pool: str, most: int = 64) -> list[str]:
    """Subnets to try: the planned one, then others of its size from the pool.

    >>> subnets("172.30.1.0/24", "172.30.0.0/23")
    ['172.30.1.0/24', '172.30.0.0/24']
    """
    wanted = ipaddress.ip_network(planned)
    every = ipaddress.ip_network(pool).subnets(new_prefix=wanted.prefixlen)
    return [planned, *(str(one) for one in islice(every, most) if one != wanted)]
