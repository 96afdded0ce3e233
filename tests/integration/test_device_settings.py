"""Whatever is declared of a device is so in its container, on both engines; its name everywhere."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda import Device, Link, Router, Topology
from pytest_kinda.build.engine_api import inspect
from pytest_kinda.devices import Command
from pytest_kinda.errors import CommandError
from tests.support.topologies import on_direct

PORT = 38472

TOPOLOGY = Topology(
    name="device-settings",
    nodes=[
        Device(
            "d-1",
            env={"COLOUR": "light blue"},
            files={
                "/srv/text": "from the declaration\n",
                "/srv/bytes": b"\xff\x00",
                "/srv/lab": Path("../data/kathara/two-routers"),
            },
            mounts=["../data:/lab-data:ro"],
            startup_commands=[
                "cat /srv/text > /srv/order; ip -br -4 addr show eth0 >> /srv/order",
                ["sh", "-c", "echo second >> /srv/order"],
                Command("false", check=False),
                "echo third >> /srv/order",
                "mkdir /tmp/www; hostname > /tmp/www/index.html; busybox httpd -h /tmp/www",
                "(sleep 2; touch /srv/healthy) > /dev/null 2>&1 &",
            ],
            sysctls={"net.ipv4.ip_default_ttl": "77"},
            cpus=0.5,
            memory="64MiB",
            ports=[f"{PORT}:80"],
            healthcheck="test -e /srv/healthy",
        ),
        Device("d-2", image="@router", privileged=True),
        Router(
            "r-1",
            image="@router",
            routing=None,
            files={
                "/etc/frr/frr.conf": Path("../data/frr/frr.conf"),
                "/etc/frr/daemons": "ospfd=yes\nvtysh_enable=yes\n",
            },
            startup_commands=["/usr/lib/frr/frrinit.sh start"],
            healthcheck="ip route show 10.71.3.0/24 | grep -q 'proto ospf'",
        ),
        Router(
            "r-2",
            image="@router",
            routing=None,
            mounts=["../data/frr/quagga:/etc/frr:ro"],
            startup_commands=["/usr/lib/frr/frrinit.sh start"],
            healthcheck=["sh", "-c", "ip route show 10.71.1.0/24 | grep -q 'proto ospf'"],
        ),
    ],
    links=[
        Link("d-1", "r-1", ipv4=("10.71.1.1/24", "10.71.1.2/24")),
        Link("r-1", "r-2", ipv4=("10.71.2.1/24", "10.71.2.2/24")),
        Link("d-2", "r-2", ipv4=("10.71.3.1/24", "10.71.3.2/24")),
    ],
)
"""A device of which everything is declared, and two routers with configurations of their own."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.topology(TOPOLOGY, on_direct(TOPOLOGY)),
]


def declared(kinda: Any, name: str) -> Any:
    """What the Docker Engine was told of a device."""
    return inspect(kinda.standing.containers[name])["HostConfig"]


def test_environment_files_and_mounts_are_there(kinda: Any) -> None:
    node = kinda.device("d-1")
    assert node.exec("printenv", "COLOUR").stdout == "light blue\n"
    assert node.read_file("/srv/bytes") == b"\xff\x00"
    assert "pc_1" in node.exec("cat", "/srv/lab/lab.conf").stdout
    assert "kathara" in node.exec("ls", "/lab-data").lines
    assert not node.exec("touch", "/lab-data/x", check=False).ok


def test_commands_have_run_in_their_order_once_addresses_were_there(kinda: Any) -> None:
    first, second, *others = kinda.device("d-1").exec("cat", "/srv/order").lines
    assert first == "from the declaration"
    assert second.split()[0].startswith("eth0")
    assert second.split()[2] == "10.71.1.1/24"
    assert others == ["second", "third"]  # and not the end of the build at the one that fails


def test_a_build_has_waited_for_what_says_whether_it_is_healthy(kinda: Any) -> None:
    stamps = kinda.device("d-1").exec("stat", "-c", "%Y", "/srv/order", "/srv/healthy").lines
    assert int(stamps[1]) - int(stamps[0]) >= 1  # it was touched after the last command


def test_limits_and_privileges_are_the_containers(kinda: Any) -> None:
    found = declared(kinda, "d-1")
    assert found["Memory"] == 64 * 2**20
    # Kathara says cores as a quota
    half = found["NanoCpus"] == 500_000_000 or found["CpuQuota"] * 2 == found["CpuPeriod"] > 0
    assert half, found
    assert [declared(kinda, name)["Privileged"] for name in ("d-1", "d-2")] == [False, True]
    settings = kinda.device("d-1").exec("cat", "/proc/sys/net/ipv4/ip_default_ttl")
    assert settings.stdout == "77\n"


def test_a_published_port_leads_into_it(kinda: Any) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=9) as answer:
        assert answer.read().decode() == "d-1\n"


def test_routers_speak_what_their_own_files_say(kinda: Any) -> None:
    assert kinda.ping("d-1", "d-2", count=1)
    for name, said in (("r-1", "router-id 1.1.1.1"), ("r-2", "router-id 2.2.2.2")):
        assert said in kinda.device(name).exec("vtysh", "-c", "show running-config").stdout
    seen = kinda.device("r-1").exec("vtysh", "-c", "show ip ospf neighbor").stdout
    assert "2.2.2.2" in seen


def test_it_is_called_as_its_author_calls_it(kinda: Any) -> None:
    """Kathara, which takes no hyphen, has been told another name."""
    for name in ("d-1", "r-2"):
        assert kinda.device(name).exec("hostname").stdout == f"{name}\n"
    with pytest.raises(CommandError, match=r"\bd-1\b") as caught:
        kinda.device("d-1").exec("false")
    assert "d_1" not in str(caught.value)
    assert "d_1" not in str(kinda.reachability())
    kinda.device("d-2").restart()
    assert kinda.device("d-2").exec("hostname").stdout == "d-2\n"
