"""The network as schedulers read it, and what they made of it."""

from pytest_kinda.scheduling.diktyo import app_group, network_topology, pod_labels
from pytest_kinda.scheduling.facts import NetworkFacts, Pair, network_facts
from pytest_kinda.scheduling.forms import FORMS
from pytest_kinda.scheduling.levels import Level
from pytest_kinda.scheduling.records import explained
from pytest_kinda.scheduling.tree import Tree

__all__ = [
    "FORMS",
    "Level",
    "NetworkFacts",
    "Pair",
    "Tree",
    "app_group",
    "explained",
    "network_facts",
    "network_topology",
    "pod_labels",
]
