"""``cni="none"``: nodes wait for the network that their author brings, and pods are in that."""

from __future__ import annotations

import ipaddress
import json

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology

ALONE = Topology(name="own-cni", nodes=[ControlPlane("c1"), Router("r1")], links=[Link("c1", "r1")])
OWN = ipaddress.ip_network("10.66.0.0/24")
CONFLIST = {
    "cniVersion": "0.4.0",
    "name": "own",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": str(OWN)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.topology(ALONE, cni="none", engine="direct"),
]


def test_a_node_is_ready_with_the_network_that_its_author_brings(kinda):
    status = kinda.cluster.get("node/c1")["status"]
    (ready,) = (one for one in status["conditions"] if one["type"] == "Ready")
    assert ready["status"] == "False"
    assert "cni" in ready["message"].lower()
    c1 = kinda.node("c1")
    assert c1.exec("ls", "/etc/cni/net.d").lines == []
    assert not c1.exec("ip", "link", "show", "kgre", check=False).ok
    # pods' networks are Kubernetes' to hand out
    assert kinda.cluster.get("node/c1")["spec"]["podCIDR"] == "10.244.0.0/24"
    c1.write_file("/etc/cni/net.d/10-own.conflist", json.dumps(CONFLIST).encode())
    kinda.kubectl("wait", "node/c1", "--for=condition=Ready", "--timeout=60s")
    pod = kinda.cluster.run_pod("first", node="c1")
    assert ipaddress.ip_address(pod.ip) in OWN
    assert kinda.ping("r1", "c1", count=1)
