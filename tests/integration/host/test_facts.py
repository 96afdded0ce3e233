from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_kinda.host.facts import host_facts, routed_networks
from tests.support.places import containers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def tc_takes(place, *qdisc):
    done = place.call(
        lambda: subprocess.run(
            ["tc", "qdisc", "add", "dev", "eth0", "root", *qdisc], capture_output=True, check=False
        )
    )
    return done.returncode == 0


def test_facts_agree_with_what_other_tools_can_do_and_nothing_is_left():
    before = Path("/proc/net/dev").read_text().count(":")
    facts = host_facts()
    with containers("a") as found:
        found["a"].run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        assert facts["netem"] == tc_takes(found["a"], "netem", "delay", "1ms")
    assert {driver: facts[driver] for driver in ("gre", "bpf", "vxlan")} == {
        driver: driver not in facts["refusals"] for driver in ("gre", "bpf", "vxlan")
    }
    assert facts["netem"] or facts["hold"], facts["refusals"]
    assert facts["hold"] == ("hold" not in facts["refusals"])
    assert facts["bpf"] or facts["gre"], facts["refusals"]
    # (gre0 and its like may have come with ip_gre, in every namespace.)
    known = ("gre0", "gretap0", "erspan0", "tunl0", "sit0")
    now = [name for name in Path("/proc/net/dev").read_text().split(":") if name]
    assert len(now) - 1 - before <= len(known)


def test_networks_are_those_of_the_routes():
    with containers("a") as found:
        found["a"].run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        found["a"].run("ip", "addr", "add", "10.77.1.1/24", "dev", "eth0")
        found["a"].run("ip", "link", "set", "eth0", "up")
        found["a"].run("ip", "route", "add", "default", "via", "10.77.1.2")
        found["a"].run("ip", "route", "add", "10.78.0.0/15", "via", "10.77.1.2")
        assert found["a"].call(routed_networks) == {
            "route to 10.77.1.0/24 dev eth0": "10.77.1.0/24",
            "route to 10.78.0.0/15 dev eth0": "10.78.0.0/15",
        }
