"""A switch answers for a store's hot keys. Where should the pod that asks now be?

The store runs on w3. A pod that asks it can be on w2, 4 ms away, or on w1, which is 10 ms away but
directly at a switch with NetCache's program (examples/p4/cache.p4). Without the switch's help w2 is
the place. With it nine of ten requests go no further than the switch, and w1 is: a scheduler that
knows links only is wrong then. What it has to know is one more cost: a request from a node costs
the way to the store, or, for the share of it that the switch answers, the way to the switch.

    pytest examples/scheduling/offload.py -s
"""

from __future__ import annotations

import statistics
import time

import pytest

from examples.p4.network import ROUTES
from examples.p4.test_cache import COLD, HOT, Store
from pytest_kinda import ControlPlane, Link, P4Entry, P4Switch, Router, Topology, Worker

SHARE = 0.9  # of the requests that are for hot keys
PROGRAM = "../p4/cache.json"


def network(node=Worker, *, more=()):
    """The links and the switch; ``node`` is what w1, w2 and w3 are."""
    return Topology(
        name="offload",
        nodes=[
            *(node(name) for name in ("w1", "w2", "w3")),
            P4Switch(
                "cache",
                program=PROGRAM,
                engine="native",
                forwarding=ROUTES,
                entries=[P4Entry("hot_keys", {"key": HOT}, "is_hot", {"slot": 0})],
            ),
            Router("r1"),
            *more,
        ],
        links=[
            Link("w1", "cache", delay="100us"),
            Link("cache", "r1", delay="10ms"),
            Link("w2", "r1", delay="4ms"),
            Link("w3", "r1", delay="100us"),
            *(Link(one.name, "r1", delay="1ms") for one in more),
        ],
    )


OFFLOAD = network(more=[ControlPlane("c1")])


def cost_of_a_request(facts, node, share):
    """The published cost, if ``share`` of the requests go no further than the switch."""
    whole = facts[node, "w3"]
    if "cache" not in whole.path:
        return whole.cost
    crossed = whole.links[: whole.path.index("cache")]
    delays = {link.name: link.delay for link in OFFLOAD.links}
    nearer = sum(delays[name] for name in crossed) / whole.delay * whole.cost
    return share * nearer + (1 - share) * whole.cost


def place(kinda, share):
    """Where an extender that knows of the switch's share puts the pod that asks."""
    facts = kinda.network_facts(unit="100us")

    def score(pod, nodes):
        costs = {node: cost_of_a_request(facts, node, share) for node in nodes}
        return {node: 10 * (1 - cost / max(costs.values())) for node, cost in costs.items()}

    if not kinda.cluster.pods("app=store"):
        kinda.cluster.run_pod("store", node="w3")
    apart = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["store"]}]}
    term = {"labelSelector": apart, "topologyKey": "kubernetes.io/hostname"}
    rule = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    with kinda.scheduler(mode="extender", score=score):
        client = kinda.cluster.run_pod("client", spec={"affinity": rule})
        node = client.node
        client.delete()
    return node, {one: cost_of_a_request(facts, one, share) for one in ("w1", "w2")}


def ask(kinda, node, helped):
    """Ten requests from a node, nine of them for a hot key: milliseconds each, and how many of
    them the store has answered.
    """
    table = kinda.device("cache").table("hot_keys")
    table.clear()
    if helped:
        table.add({"key": HOT}, "is_hot", {"slot": 0})
    store = Store(kinda, client=node, server="w3")
    store.get(HOT, served=True)  # the switch sees the answer, if it comes by
    store.served, times = 0, []
    for key in [HOT] * 9 + [COLD]:
        began = time.perf_counter()
        store.get(key, served=not (helped and node == "w1" and key == HOT))
        times.append(1000 * (time.perf_counter() - began))
    return times, store.served


@pytest.mark.topology(OFFLOAD)
def test_where_the_client_should_be(kinda):
    for share in (0, SHARE):
        node, costs = place(kinda, share)
        assert node == min(costs, key=costs.get)
        means = {}
        for one in costs:
            times, served = ask(kinda, one, helped=bool(share))
            means[one] = statistics.mean(times)
            print(
                f"{share:.0%} answered by the switch: from {one} cost {costs[one]:5.1f}, "
                f"{means[one]:5.1f} ms a request, {served} of 10 reached the store"
            )
        print(f"the client was placed on {node}")
        assert means[node] == min(means.values()), means
