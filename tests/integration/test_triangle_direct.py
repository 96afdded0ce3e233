"""The main job without Kathara: the same cluster around routers that netlink alone wires."""

import pytest

from tests.support.topologies import TRIANGLE, on_direct

pytestmark = [pytest.mark.slow, pytest.mark.beside, pytest.mark.topology(on_direct(TRIANGLE))]


@pytest.fixture(scope="module")
def pods(kinda):
    name = kinda.cluster.create_namespace("triangle-direct")
    started = [
        kinda.cluster.run_pod(pod, node=node, namespace=name, wait=False)
        for pod, node in (("client", "w1"), ("server", "w2"))
    ]
    yield [pod.wait_for("Ready") for pod in started]
    kinda.cluster.delete_namespace(name)


def test_every_pair_is_reached_and_nothing_leaks(kinda):
    found = kinda.verify()
    assert found, str(found)
    assert len(kinda.reachability(every_address=True).pairs) == 20


def test_pod_traffic_is_gre_on_the_link_at_the_declared_rate(kinda, pods):
    client, server = pods
    with kinda.capture(kinda.link("r1", "r2"), filter="proto gre") as capture:
        assert kinda.ping(client, server, count=3).received == 3
    assert sum(one.icmp is not None and one.icmp.type == 8 for one in capture.packets) == 3
    assert 50e6 < kinda.iperf(client, server, seconds=3).received_bits_per_second < 105e6


def test_a_worker_is_cut_off_and_heals(kinda, pods):
    # The cable is a veth straight into the node: its routes must come back with it.
    client, server = pods
    routes = kinda.node("w1").exec("ip", "route").stdout
    with kinda.link("w1", "r1").down():
        assert not kinda.ping(client, server, count=1)
        assert client.exec("hostname").lines == ["client"]
    assert kinda.ping(client, server, count=2, wait=2.0)
    assert kinda.node("w1").exec("ip", "route").stdout == routes
