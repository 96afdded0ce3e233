"""The contracts of ``test_qos.py`` on ten switches and twelve workers of a cluster.

Run by name: ``pytest examples/p4/qos_cluster.py``. It needs about 3 GB of memory.
"""

from __future__ import annotations

import pytest

from examples.p4.test_qos import (
    LIMITED,
    OWN,
    test_a_flow_gets_its_rate_and_no_more,
    test_a_violation_is_mended,
    test_a_violation_is_seen_and_where_it_was,
    tree,
)
from pytest_kinda import ControlPlane, Link, Worker
from pytest_kinda.p4.control import Rate

__all__ = [
    "test_a_flow_gets_its_rate_and_no_more",
    "test_a_violation_is_mended",
    "test_a_violation_is_seen_and_where_it_was",
]

QOS_CLUSTER = tree(
    "qos-cluster",
    widths=(3, 2, 2),
    worker=Worker,
    nodes=[ControlPlane("c1")],
    links=[Link("c1", "s1")],
)

pytestmark = pytest.mark.topology(QOS_CLUSTER, engine="direct")


def test_a_contract_of_two_pods(kinda):
    """What pods send each other is inside GRE; the program knows it by the pods' addresses."""
    sender = kinda.cluster.run_pod("sender", node="w1", command=["sleep", "infinity"])
    receiver = kinda.cluster.run_pod("receiver", node="w12", command=["sleep", "infinity"])
    free = kinda.iperf(sender, receiver, udp=True, rate=4_000_000, seconds=2)
    first, last = kinda.device("s5"), kinda.device("s10")
    committed = Rate(1_000_000 / 8, 15_000)
    first.meter("rates").set(LIMITED, committed, committed)
    first.table("contracts").add(
        {"src": sender.ip, "dst": receiver.ip},
        "contract",
        {"number": LIMITED, "queue": OWN},
        priority=1,
    )
    last.table("bounds").add({"contract": LIMITED}, "at_most", {"bound": 0xFFFFFFFF})
    kept = kinda.iperf(sender, receiver, udp=True, rate=4_000_000, seconds=2)
    rates = [one.received_bits_per_second / 1e6 for one in (free, kept)]
    print(f"4 Mbit/s sent: {rates[0]:.1f} received without a contract, {rates[1]:.1f} with one")
    assert rates[1] < 1.2 < rates[0]
    assert last.counter("delivered").read(LIMITED).packets > 100
