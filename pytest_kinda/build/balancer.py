"""The load balancer that kind starts before several control planes: its name and output.

It is no node of the cluster and in no plan: kind makes, names and labels it, and what removes the
cluster's containers by label removes it too.
"""

from __future__ import annotations

from pytest_kinda.build.engine_api import container_logs
from pytest_kinda.plan.values import Plan

NAME = "load balancer"
IMAGE = "load-balancer"
"""What preparing calls its image, which kind would only look for in a registry."""


def is_needed(plan: Plan) -> bool:
    """Whether kind puts a load balancer before this plan's API servers.

    >>> is_needed(plan_of_one_control_plane)                    # doctest: +SKIP
    False
    """
    return len(plan.control_planes) > 1


def container_name(cluster: str) -> str:
    """The name of its container.

    >>> container_name("kinda-1")
    'kinda-1-external-load-balancer'
    """
    return f"{cluster}-external-load-balancer"


def endpoint(plan: Plan, cluster: str) -> str:
    """Where nodes find the API: the balancer, else the only control plane's container.

    Both are names that Docker's DNS resolves.
    """
    host = container_name(cluster) if is_needed(plan) else f"{cluster}-control-plane"
    return f"{host}:6443"


def logs(cluster: str, *, lines: int = 200, timeout: float = 10.0) -> str:
    """The last lines of its output: health checks, servers lost and found. Raises HostError."""
    return container_logs(container_name(cluster), lines=lines, timeout=timeout)
