"""By what a testbed's Docker objects are known; imports nothing, the undo starts with it."""

from __future__ import annotations

TESTBED_LABEL = "org.pytest-kinda.testbed"
"""The label of Docker objects that a build makes itself; its value is the testbed's id."""

NODE_LABEL = "org.pytest-kinda.node"
"""The label of a device's container; its value is the declared name."""

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
"""kind's own label of its containers; its value is the cluster's name."""


def bridge_name(network: str) -> str:
    """The host bridge that Kathara's plugin makes for a Docker network's id."""
    return f"kt-{network[:12]}"
