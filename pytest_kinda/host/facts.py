"""Facts of the machine that a plan needs, found by trying: nothing is believed of its kernel."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from pytest_kinda.errors import HostError

_CAP_SYS_RESOURCE = 24


def host_facts() -> Mapping[str, Any]:
    """What this machine is and can.

    ``networks``: IPv4 networks that its routes name, by what names them (Docker's networks are
    added by ``build/``). ``gre``, ``vxlan``, ``bpf``: tunnel drivers that work; ``refusals`` says
    why the others do not (``gre`` is believed to work while its module waits to be loaded).
    ``netem``: the kernel delays and loses packets; ``hold``: we can do it in its place.
    ``bridge_vlans``: bridges keep VLANs apart; ``openvswitch``: Open vSwitch's datapath, also
    where its module waits to be loaded.
    ``ipv6``: it has not been switched off when the machine booted.
    ``restricted``: CAP_SYS_RESOURCE is missing, also for what runs in containers. Raises HostError
    where it may not even try.

    >>> host_facts()["netem"]                                   # doctest: +SKIP
    False
    """
    from pytest_kinda.host.tunnels import DRIVERS, refusal

    refusals = {driver: why for driver in DRIVERS if driver != "gre" and (why := refusal(driver))}
    # Trying gre would load ip_gre, and gre0 then shows in every namespace: only where that has
    # happened already, or where there is nothing else to carry pods' traffic.
    if "bpf" in refusals or not module_waits("ip_gre"):
        refusals |= {"gre": why} if (why := refusal("gre")) else {}
    refusals |= {"hold": why} if (why := holding_refusal()) else {}
    return {
        "networks": routed_networks(),
        "netem": has_netem(),
        "hold": "hold" not in refusals,
        "bridge_vlans": has_bridge_vlans(),
        "openvswitch": has_openvswitch(),
        "ipv6": Path("/proc/sys/net/ipv6/conf").is_dir(),
        "restricted": not has_capability(_CAP_SYS_RESOURCE),
        "refusals": refusals,
        **{driver: driver not in refusals for driver in DRIVERS},
    }


def routed_networks() -> dict[str, str]:
    """IPv4 networks in the machine's main routing table, by "route to NETWORK dev INTERFACE"."""
    from pyroute2 import IPRoute

    found: dict[str, str] = {}
    with IPRoute() as ip:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
        for route in ip.get_routes(family=2, table=254):
            if not route["dst_len"]:
                continue
            network = str(IPv4Network(f"{route.get_attr('RTA_DST')}/{route['dst_len']}"))
            device = names.get(route.get_attr("RTA_OIF"), "?")
            found[f"route to {network} dev {device}"] = network
    return found


def has_bridge_vlans() -> bool:
    """Whether this kernel's bridges filter VLANs; one that cannot passes over the wish in silence.

    Raises HostError where it may not try.
    """

    def attempt() -> bool:
        from pyroute2 import IPRoute, NetlinkError

        from pytest_kinda.host.namespaces import unshare_network

        unshare_network()
        with IPRoute() as ip:
            try:
                ip.link("add", ifname="try0", kind="bridge", br_vlan_filtering=1)
                link = ip.get_links(ifname="try0")[0]
            except NetlinkError:
                return False
            return bool(
                link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_BR_VLAN_FILTERING")
            )

    return _in_a_thread(attempt)


def has_openvswitch() -> bool:
    """Whether this kernel has Open vSwitch's datapath, or would load it when it is needed."""
    if module_waits("openvswitch"):
        return True  # asking the kernel for it would load it
    from pyroute2 import NetlinkError
    from pyroute2.netlink import genlmsg
    from pyroute2.netlink.generic import GenericNetlinkSocket

    with GenericNetlinkSocket() as netlink:
        try:
            netlink.bind("ovs_datapath", genlmsg)
        except (NetlinkError, OSError):
            return False
    return True


def has_netem() -> bool:
    """Whether the kernel has (or loads) the netem queueing discipline."""
    return not _shaping_refusal("netem")


def holding_refusal() -> str:
    """Why this kernel cannot delay and lose packets our way; empty if it can."""
    return _shaping_refusal("hold")


def _shaping_refusal(by: str) -> str:
    from pytest_kinda.host.qdiscs import Holding, set_shape
    from pytest_kinda.operations import Place, Shape

    refusal = ""

    def attempt() -> bool:
        nonlocal refusal
        from pyroute2 import IPRoute, NetlinkError

        from pytest_kinda.host.hold import open_tap
        from pytest_kinda.host.namespaces import unshare_network

        unshare_network()
        # What a tc program does, and whether there could be a TAP: no process is started for it.
        shape = Shape(delay=1_000_000) if by == "netem" else Shape(loss=0.5)
        with IPRoute() as ip:
            ip.link("add", ifname="try0", kind="veth", peer={"ifname": "try1"})
            try:
                set_shape(ip, "try0", shape, Holding("@host", Place(), None), by)
                if by == "hold":
                    os.close(open_tap("try2", offloads=True))
            except (HostError, NetlinkError) as error:
                refusal = error.message if isinstance(error, HostError) else str(error)
        return not refusal

    _in_a_thread(attempt)
    return refusal


def module_waits(
    name: str, loaded: Path = Path("/sys/module"), modules: Path = Path("/lib/modules")
) -> bool:
    """Whether the running kernel has a module that is not loaded and would be when needed."""
    if (loaded / name).exists():
        return False
    listed = modules / os.uname().release / "modules.dep"
    return listed.is_file() and f"/{name}.ko" in listed.read_text()


def has_capability(number: int) -> bool:
    """Whether a capability is in the bounding set of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _in_a_thread(attempt: Callable[[], bool]) -> bool:
    """What an attempt returns in a thread of its own, which may change its namespace.

    Raises what it raises, OSError as HostError.
    """
    outcome: list[bool | Exception] = []

    def run() -> None:
        try:
            outcome.append(attempt())
        except (HostError, OSError) as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="trial")
    thread.start()
    thread.join()
    found = outcome[0] if outcome else HostError("a trial ended without an answer")
    if isinstance(found, HostError):
        raise found
    if isinstance(found, Exception):
        raise HostError(f"a trial failed: {found}", remedy="run as root") from found
    return found
