"""Two profiles of kube-scheduler on a thousand nodes: in a lab, without a cluster.

Twenty applications of ten pods each come to 1,000 nodes behind 40 leaves and 4 spines. Their pods
prefer to be at one leaf (pod affinity), which is a score among others. One profile does not read
it; the other lets it weigh more than all else. What is that worth in the network, and what does it
cost the scheduler? Judged by the published costs between the pods of an application, by how many
leaves it uses, and by the time until all pods have nodes.

    pytest examples/scheduling/thousand_nodes.py --kinda-lab
"""

from __future__ import annotations

import time
from itertools import combinations

import pytest

from pytest_kinda import ControlPlane, Link, Router, Topology, Worker
from pytest_kinda.build.awaiting import wait_until


def fabric(leaves, each, spines=2):
    """A leaf-spine whose workers say by a label at which leaf they are."""
    at = {f"w{number}": f"leaf{number // each + 1}" for number in range(leaves * each)}
    routers = [f"spine{number + 1}" for number in range(spines)]
    below = sorted({*at.values()})
    return Topology(
        name=f"fabric-{len(at)}",
        nodes=[
            ControlPlane("c1"),
            *(Worker(name, labels={"leaf": leaf}) for name, leaf in at.items()),
            *(Router(name) for name in (*below, *routers)),
        ],
        links=[
            Link("c1", below[0], delay="100us"),
            *(Link(name, leaf, delay="100us") for name, leaf in at.items()),
            *(Link(leaf, spine, delay="1ms") for leaf in below for spine in routers),
        ],
    )


THOUSAND = fabric(leaves=40, each=25, spines=4)


def profile(weight):
    """kube-scheduler's own plugins, pod affinity with another weight, and no node left out."""
    affinity = {"name": "InterPodAffinity"}
    score = {"disabled": [affinity]}
    if weight:
        score["enabled"] = [{**affinity, "weight": weight}]
    return {"percentageOfNodesToScore": 100, "profiles": [{"plugins": {"score": score}}]}


def deployment(name, pods):
    """An application: its pods ask for two processors each, and to be at one leaf."""
    labels = {"app": name, "trial": "yes"}
    term = {"labelSelector": {"matchLabels": {"app": name}}, "topologyKey": "leaf"}
    prefer = [{"weight": 100, "podAffinityTerm": term}]
    spec = {
        "containers": [{"name": "main", "image": "none", "resources": {"requests": {"cpu": "2"}}}],
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": prefer}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def run_applications(kinda, trial, applications, pods):
    """One trial: all applications come at once; what their placement is worth."""
    names = [f"app-{number}" for number in range(applications)]
    with kinda.scheduler(config=profile(trial.value)):
        began = time.monotonic()
        kinda.cluster.apply([deployment(name, pods) for name in names])

        def missing():
            found = [one for one in kinda.placements("trial=yes") if one.node]
            left = applications * pods - len(found)
            return f"{left} pods have no node" if left else ""

        wait_until(missing, "nodes for all pods", limit=120)
        took = time.monotonic() - began
    placed = kinda.placements("trial=yes")
    nodes = [one["metadata"] for one in kinda.cluster.get("node")["items"]]
    leaf = {one["name"]: one["labels"].get("leaf") for one in nodes}
    facts = kinda.network_facts()
    where = [[one.node for one in placed.of(name)] for name in names]
    pairs = [pair for mine in where for pair in combinations(mine, 2)]
    cost = sum(facts.cost(*pair) for pair in pairs) / len(pairs)
    leaves = sum(len({leaf[node] for node in mine}) for mine in where) / applications
    trial.record("cost of a pair", cost, facts.scale.unit, better="lower")
    trial.record("leaves of an application", leaves, better="lower")
    trial.record("all on nodes", took, "s")
    return placed


@pytest.mark.topology(THOUSAND, pod_cidr="10.128.0.0/9")
@pytest.mark.kinda_experiment(arms={"blind": 0, "leaf": 100}, bound="10%")
def test_two_profiles(kinda, trial):
    run_applications(kinda, trial, applications=20, pods=10)
