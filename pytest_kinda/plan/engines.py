"""What the chosen network engine cannot carry out of what is declared of devices."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kinda.errors import Problem
from pytest_kinda.plan.layout import Layout
from pytest_kinda.plan.values import DeviceSpec
from pytest_kinda.topology import KubernetesNode

KATHARA_CAPABILITIES = frozenset(
    ("NET_ADMIN", "NET_RAW", "NET_BROADCAST", "NET_BIND_SERVICE", "SYS_ADMIN")
)
"""What Kathara gives to each device, neither more nor less, unless it is privileged."""

_INSTEAD = "(or engine='direct')"


def engine_problems(layout: Layout, engine: str) -> list[Problem]:
    """What is wrong with devices' interfaces: Kathara numbers them from eth0."""
    if engine != "kathara":
        return []
    problems: list[Problem] = []
    for name, node in layout.nodes.items():
        if isinstance(node, KubernetesNode):
            continue
        ports = layout.ports.get(name, [])
        found = sorted(one.name for one in ports)
        wanted = sorted(f"eth{index}" for index in range(len(ports)))
        if found != wanted:
            expected = f"{', '.join(wanted)}, as Kathara names them {_INSTEAD}"
            problems.append(Problem(f"node {name}", "interfaces", ", ".join(found), expected))
    return problems


def container_problems(where: str, spec: DeviceSpec, engine: str) -> Iterator[Problem]:
    """What is wrong with a device's container; the direct engine has no limits but Docker's.

    Kathara publishes ports on all of the machine's addresses, sets the network's settings only,
    and gives every device the same capabilities. What a kind adds by itself counts too.
    """
    if engine != "kathara":
        return
    for port in spec.ports:
        if port.count(":") > 1:
            expected = f"HOST:CONTAINER: Kathara publishes on all addresses {_INSTEAD}"
            yield Problem(where, "ports", port, expected)
    for key in spec.sysctls:
        if not key.startswith("net."):
            expected = f"those of the network, net.…: Kathara takes no others {_INSTEAD}"
            yield Problem(where, "sysctls", key, expected)
    more = sorted(set(spec.capabilities) - KATHARA_CAPABILITIES)
    if more and not spec.privileged:
        given = ", ".join(sorted(KATHARA_CAPABILITIES))
        expected = f"of {given}, which Kathara gives to each, or privileged=True {_INSTEAD}"
        yield Problem(where, "capabilities", ", ".join(more), expected)
