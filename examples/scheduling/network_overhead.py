"""What is it worth that a scheduler knows the network? Measured by the pods that it places.

A leaf-spine with one slow uplink: what runs at leaf3 is 5 ms and 10 Mbit/s away from all else. A
store runs at leaf1, and three pods that send it 30 Mbit/s each are to be placed. The default
scheduler spreads them over the emptiest nodes, of which two are at leaf3. Those that are told what
the links cost do not: NetworkOverhead of scheduler-plugins, and an extender of a few lines.

    pytest examples/scheduling/network_overhead.py -k overhead    # its first run compiles plugins
    pytest examples/scheduling/network_overhead.py -k extender    # needs nothing but a cluster
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.scheduling import app_group, pod_labels
from pytest_kinda.testbed.quantities import amount_of

SLOW_UPLINK = Topology(
    name="slow-uplink",
    nodes=[
        ControlPlane("c1"),
        *(Worker(f"w{number}") for number in range(1, 6)),
        *(Router(f"leaf{number}") for number in range(1, 4)),
        Router("spine1"),
    ],
    links=[
        *(Link(one, "leaf1", delay="100us", rate="1gbit") for one in ("c1", "w1", "w2")),
        Link("w3", "leaf2", delay="100us", rate="1gbit"),
        *(Link(one, "leaf3", delay="100us", rate="1gbit") for one in ("w4", "w5")),
        *(Link(one, "spine1", delay="500us", rate="1gbit") for one in ("leaf1", "leaf2")),
        Link("leaf3", "spine1", delay="5ms", rate="10mbit"),
    ],
)
EDGES = [("web", "store"), ("cart", "store"), ("search", "store")]
PODS = "app in (web, cart, search, store)"

# No pod beside the store: else packing everything onto one node needs no network at all.
APART = {
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "labelSelector": {"matchLabels": {"app": "store"}},
                    "topologyKey": "kubernetes.io/hostname",
                }
            ]
        }
    }
}

NETWORK_OVERHEAD = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
profiles:
- schedulerName: network-overhead
  plugins:
    queueSort:
      disabled: [{name: "*"}]
      enabled: [{name: TopologicalSort}]
    multiPoint:
      enabled: [{name: NetworkOverhead, weight: 10}]
  pluginConfig:
  - {name: NetworkOverhead, args: {namespaces: [default]}}
  - {name: TopologicalSort, args: {namespaces: [default]}}
"""


@contextmanager
def default(kinda):
    """The cluster's own scheduler, as it is."""
    yield "default-scheduler"


@contextmanager
def extender(kinda):
    """A second kube-scheduler, which asks a function that reads what the links cost."""
    facts = kinda.network_facts()

    def score(pod, nodes):
        mine = pod["metadata"]["labels"]["app"]
        peers = [one.node for one in kinda.placements(PODS) if (mine, one.workload) in EDGES]
        costs = {name: sum(facts.cost(name, peer) for peer in peers if peer) for name in nodes}
        most = max(costs.values()) or 1
        return {name: 10 * (1 - cost / most) for name, cost in costs.items()}

    with kinda.scheduler("extender", mode="second", score=score) as scheduler:
        yield scheduler.name


@contextmanager
def network_overhead(kinda):
    """kube-scheduler with scheduler-plugins, which reads what the links cost from the cluster."""
    tables = ("diktyo", {"zone": "node", "name": "nt-default"})
    plugins = {"binary": "@scheduler-plugins", "crds": "@scheduler-plugins"}
    with (
        kinda.scheduler(mode="process", config=NETWORK_OVERHEAD, **plugins) as scheduler,
        kinda.network_facts().apply(tables, [app_group("shop", EDGES)]),
    ):
        yield scheduler.name


def run_shop(kinda, trial, store, bandwidth, seconds=2):
    """One trial: the shop is placed by the arm's scheduler, and says what it got."""
    cpu = amount_of(kinda.cluster.get(f"node/{store}")["status"]["allocatable"]["cpu"])
    with trial.value(kinda) as scheduler:
        trial.scheduler = scheduler
        shop = kinda.app_graph(
            EDGES,
            bandwidth=bandwidth,
            nodes={"store": store},
            scheduler=scheduler,
            labels={one: pod_labels("shop", one) for one in ("web", "cart", "search", "store")},
            requests={"cpu": f"{int(cpu * 1000 / 8)}m"},  # an eighth of a node, whatever that has
            spec=APART,
        )
        placed = kinda.placements(PODS)
    with trial.watch(kinda, PODS):
        found = shop.measure(seconds)
    trial.record("carried", found.rate, "bit/s")
    trial.record("round trip", found.worst_latency_ms, "ms")
    trial.record("cost", placed.cost(EDGES), better="lower")
    return placed, found


@pytest.mark.topology(SLOW_UPLINK)
@pytest.mark.kinda_experiment(arms={"default": default, "network-overhead": network_overhead})
def test_network_overhead(kinda, trial):
    run_shop(kinda, trial, store="w1", bandwidth="30mbit")


@pytest.mark.topology(SLOW_UPLINK)
@pytest.mark.kinda_experiment(arms={"default": default, "extender": extender})
def test_extender(kinda, trial):
    run_shop(kinda, trial, store="w1", bandwidth="30mbit")
