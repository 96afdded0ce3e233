"""What ``controller`` of an ``OvsSwitch`` may be, and what Open vSwitch is told of it.

A controller that is a node of the topology or a pod is reached by a relay that listens on the
switch's own loopback: the switch needs no address, and no frame of its links is the controller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_kinda.errors import Problem
from pytest_kinda.plan.relays import LOOPBACK
from pytest_kinda.plan.values import RelaySpec

PORT = 6653
"""Where controllers listen unless it is said: the number that is registered for OpenFlow."""

FIELD = "controller"
EXPECTED = (
    "a node (c1, c1:6653), a pod (pod:NAMESPACE/NAME, pod:NAMESPACE/LABEL=VALUE:6653) or Open "
    "vSwitch's own (tcp:10.0.0.1:6653; tcp, ssl, unix, ptcp, pssl, punix)"
)

_FIRST = 16653  # of the ports on the switch: nobody else's, and a controller in it may have its own
_TARGET = re.compile(r"(tcp|ssl|unix|ptcp|pssl|punix):.+")
_NAME = r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?"
_LABEL = r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?=[A-Za-z0-9._-]*"
_POD = re.compile(rf"pod:(?P<pod>{_NAME}/({_LABEL}|{_NAME}))(:(?P<port>\d+))?")
_NODE = re.compile(r"(?P<node>[A-Za-z0-9_-]+)(:(?P<port>\d+))?")

# In band, Open vSwitch would look for the controller behind its ports; and it would ask for one
# that is away every 8 s at last.
_SETTINGS = ("connection_mode=out-of-band", "max_backoff=1000")


def problems(where: str, controllers: Sequence[str]) -> Iterator[Problem]:
    """What is none of the forms."""
    for number, one in enumerate(controllers):
        relay = None if _TARGET.fullmatch(str(one)) else _relay(str(one), number)
        if not _TARGET.fullmatch(str(one)) and (relay is None or not 0 < relay.port < 65536):
            yield Problem(where, FIELD, repr(one), EXPECTED)


def relays(controllers: Sequence[str]) -> tuple[RelaySpec, ...]:
    """The relays that lead to those which are nodes or pods.

    >>> relays(["tcp:10.0.0.1:6653", "c1"])
    (RelaySpec(what='controller', listen=16654, port=6653, node='c1', pod=''),)
    """
    found = (
        None if _TARGET.fullmatch(one) else _relay(one, number)
        for number, one in enumerate(controllers)
    )
    return tuple(one for one in found if one is not None)


def targets(controllers: Sequence[str]) -> tuple[str, ...]:
    """What Open vSwitch is told to connect to, in the order of the controllers.

    >>> targets(["tcp:10.0.0.1:6653", "c1"])
    ('tcp:10.0.0.1:6653', 'tcp:127.0.0.1:16654')
    """
    by_relay = {one.listen - _FIRST: relayed(one.listen) for one in relays(controllers)}
    return tuple(by_relay.get(number, one) for number, one in enumerate(controllers))


def relayed(port: int) -> str:
    """The target that is a relay's port on the switch."""
    return f"tcp:{LOOPBACK}:{port}"


def arguments(bridge: str, controllers: Sequence[str]) -> list[str]:
    """The part of an ``ovs-vsctl`` command that gives a bridge these targets and no others."""
    found: list[str] = []
    for number, one in enumerate(controllers):
        settings = _SETTINGS if one.startswith(f"tcp:{LOOPBACK}:") else ()
        found += ["--", f"--id=@c{number}", "create", "Controller", f'target="{one}"', *settings]
    names = ",".join(f"@c{number}" for number in range(len(controllers)))
    return [*found, "--", "set", "bridge", bridge, f"controller=[{names}]"]


def _relay(text: str, number: int) -> RelaySpec | None:
    match = _POD.fullmatch(text) or _NODE.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    port = int(parts["port"] or PORT)
    node, pod = parts.get("node") or "", parts.get("pod") or ""
    return RelaySpec(FIELD, _FIRST + number, port, node=node, pod=pod)
