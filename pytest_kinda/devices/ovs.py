"""Open vSwitch: what ``OvsSwitch`` is declared with, and how its container becomes a switch.

Where the kernel has no openvswitch module, Open vSwitch forwards in its own process (the datapath
"netdev"), which reads whole frames from the interfaces: the plan has those who send to it fill in
the checksums and cut segments themselves, see ``DeviceSpec.user_space``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pytest_kinda.devices import controllers, vlans
from pytest_kinda.devices.device import Device
from pytest_kinda.errors import Problem
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import (
    AttachSpec,
    CommandSpec,
    ControlSpec,
    DeviceSpec,
    FileSpec,
    ReadySpec,
)
from pytest_kinda.topology.declared import declaring_directory
from pytest_kinda.topology.frozen import EMPTY
from pytest_kinda.topology.node import ForwardingRole

BRIDGE = "br0"
VERSIONS = tuple(f"OpenFlow1{number}" for number in range(6))
"""The versions of OpenFlow that Open vSwitch speaks."""

READY_LIMIT = 60.0
FLOWS = "/etc/openvswitch/kinda.flows"

# not /var/run: from outside of the container that link leads into the machine's own /run
CONTROL = (
    ControlSpec("openflow", f"unix:/run/openvswitch/{BRIDGE}.mgmt"),
    ControlSpec("ovsdb", "unix:/run/openvswitch/db.sock"),
)

_DEFAULT_IMAGE = "@base"
_IMAGE = "@ovs"

# 802.1D's own times make a port wait for 30 s; these are the shortest that it allows
_STP = (
    "stp_enable=true",
    "other_config:stp-forward-delay=4",
    "other_config:stp-max-age=6",
    "other_config:stp-hello-time=2",
)

# without it Open vSwitch takes the queue of a link's rate or delay away from its port
_KEEP_QUEUES = ("--id=@own", "create", "QoS", "type=linux-noop", "--")

_START = """\
set -e
mkdir -p /dev/net /var/run/openvswitch /var/log/openvswitch /etc/openvswitch
[ -e /dev/net/tun ] || mknod -m 600 /dev/net/tun c 10 200
database=/etc/openvswitch/conf.db socket=/var/run/openvswitch/db.sock
[ -s $database ] || ovsdb-tool create $database /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server $database --remote=punix:$socket --pidfile --detach --log-file
ovs-vsctl --no-wait --timeout=30 init
ovs-vswitchd unix:$socket --pidfile --detach --log-file
"""

_PORTS_READY = """\
found=$(ovs-vsctl --timeout=5 -f csv -d bare --no-headings \\
    --columns=name,ofport,link_state,error list Interface) || exit 1
for port in "$@"; do
  echo "$found" | grep -q "^$port,up," || missing="$missing ${port%%,*}"
done
[ -z "$missing" ] || { echo "ports not up:$missing; there are:" $found; exit 1; }
"""

_STP_READY = """\
found=$(ovs-vsctl --timeout=5 --bare --columns=name,status list Port) || exit 1
case "$found" in *stp_state=learning*|*stp_state=listening*) echo $found; exit 1 ;; esac
"""


@dataclass(frozen=True, repr=False)
class OvsSwitch(Device):
    """A switch that is Open vSwitch: learning, VLANs, OpenFlow.

    Its links are ports of the bridge ``br0``, numbered from 1 in the order of the topology's links.

    - ``controller``: a node of the topology (``"c1"``, ``"c1:6653"``), a pod
      (``"pod:sdn/controller"``, ``"pod:sdn/app=controller:6653"``), or a target of Open vSwitch
      such as ``"tcp:10.0.0.1:6653"``; several of them. ``fail_mode`` is what it does
      without one: ``"standalone"`` (it switches by itself, Open vSwitch's default) or
      ``"secure"`` (nothing but its flows). ``protocols``: versions such as ``"OpenFlow13"``.
    - ``flows``: lines as ``ovs-ofctl add-flows`` takes them, or a ``pathlib.Path`` of a file of
      them, which is read now. They are added to what ``fail_mode`` has put there.
    - ``tag`` gives a link's untagged frames a VLAN, ``trunks`` lists those whose frames carry a
      tag; keys are neighbours, links or interfaces. A link with neither passes everything.
    - ``stp`` runs the spanning tree protocol, needed where switches form a circle; the build
      waits for it.
    - ``datapath``: ``"system"`` (the kernel's openvswitch module), ``"netdev"`` (in user space),
      or ``"auto"``: the kernel's where there is one.

    >>> OvsSwitch("s1", tag={"h1": 10, "h2": 20}, trunks={"s2": [10, 20]})
    OvsSwitch(name='s1', tag={'h1': 10, 'h2': 20}, trunks={'s2': '10,20'})
    """

    kind: ClassVar[str] = "ovs-switch"
    forwarding: ClassVar[ForwardingRole] = "switch"

    _: KW_ONLY
    controller: Sequence[str] = ()
    fail_mode: Literal["standalone", "secure"] | None = None
    protocols: Sequence[str] = ()
    flows: Sequence[str] | Path = ()
    stp: bool = False
    tag: Mapping[str, int | str] = EMPTY
    trunks: Mapping[str, Sequence[int] | str] = EMPTY
    datapath: Literal["auto", "system", "netdev"] = "auto"

    def __post_init__(self) -> None:
        flows: Any = self.flows
        if isinstance(flows, Path):
            flows = _read(flows)
        for name, value in (
            ("flows", _lines(flows)),
            ("controller", _lines(self.controller)),
            ("protocols", _lines(self.protocols)),
            ("tag", vlans.settled_tag(self.tag)),
            ("trunks", vlans.settled_trunks(self.trunks)),
        ):
            object.__setattr__(self, name, value)
        super().__post_init__()

    def problems(self) -> Iterator[Problem]:
        """All that is wrong with this switch by itself."""
        yield from super().problems()
        if isinstance(self.flows, Path):
            yield Problem(self.where, "flows", str(self.flows), "a file that can be read")
        yield from controllers.problems(self.where, self.controller)
        for one in self.protocols:
            if one not in VERSIONS:
                yield Problem(self.where, "protocols", repr(one), f"of {', '.join(VERSIONS)}")
        if self.fail_mode not in (None, "standalone", "secure"):
            found = repr(self.fail_mode)
            yield Problem(self.where, "fail_mode", found, "'standalone', 'secure' or None")
        if self.datapath not in ("auto", "system", "netdev"):
            yield Problem(self.where, "datapath", repr(self.datapath), "auto, system or netdev")
        yield from vlans.problems(self.where, self.tag, self._trunks)

    def problems_at(self, context: DeviceContext) -> Iterator[Problem]:
        """What is wrong with it at its place in the plan, on this machine."""
        yield from vlans.problems_at(context, self.tag, self._trunks)
        if self.datapath == "system" and not context.facts.openvswitch:
            found = "a kernel without the openvswitch module"
            yield Problem(self.where, "datapath", found, "'netdev', or modprobe openvswitch")

    def specification(self, context: DeviceContext) -> DeviceSpec:
        """The container: database and switch started, then the bridge, its ports and flows."""
        spec = super().specification(context)
        datapath, why = self._chosen(context)
        ports = {one.name: number for number, one in enumerate(context.interfaces, start=1)}
        of_ports = vlans.of_ports(context, self.tag, self._trunks)
        adding = {name: _port(name, number, of_ports[name]) for name, number in ports.items()}
        commands = [
            ("sh", "-c", _START),
            _vsctl(
                *self._bridge(datapath, context), *(one for each in adding.values() for one in each)
            ),
        ]
        files = list(spec.files)
        if self.flows:
            files.insert(0, FileSpec(FLOWS, text="".join(f"{one}\n" for one in self.flow_lines)))
            commands.append(("ovs-ofctl", "-O", ",".join(VERSIONS), "add-flows", BRIDGE, FLOWS))
        wanted = [f"{name},{number}" for name, number in ports.items()]
        ready = [ReadySpec(("sh", "-c", _PORTS_READY, "ports", *wanted), READY_LIMIT, "ports")]
        if self.stp:
            argv = ("sh", "-c", _STP_READY)
            ready.append(ReadySpec(argv, READY_LIMIT, "spanning tree", interval=0.5))
        return dataclasses.replace(
            spec,
            image=_IMAGE if spec.image == _DEFAULT_IMAGE else spec.image,
            files=tuple(files),
            startup=(*(CommandSpec(one) for one in commands), *spec.startup),
            attach=tuple(
                AttachSpec(
                    name,
                    # in two steps: Open vSwitch would keep what it has opened already
                    tuple(
                        CommandSpec(one)
                        for one in (
                            _vsctl("--if-exists", "del-port", BRIDGE, name),
                            _vsctl(*_KEEP_QUEUES, *add),
                        )
                    ),
                )
                for name, add in adding.items()
            ),
            capabilities=tuple(dict.fromkeys(("NET_ADMIN", "NET_RAW", *spec.capabilities))),
            ready=(*ready, *spec.ready),
            user_space=datapath == "netdev",
            handle="pytest_kinda.devices.ovs_handle:OvsSwitchHandle",
            notes=(f"datapath {datapath} ({why})",),
            port_numbers=tuple(ports.values()),
            control=CONTROL,
            relays=controllers.relays(self.controller),
            about={
                "bridge": BRIDGE,
                "datapath_id": _datapath_id(context),
                "openflow": list(self.protocols or VERSIONS),
                "controllers": list(self.controller),
                "fail_mode": self.fail_mode or "standalone",
            },
        )

    @property
    def flow_lines(self) -> tuple[str, ...]:
        """The flows, one a line."""
        return () if isinstance(self.flows, Path) else tuple(self.flows)

    @property
    def _trunks(self) -> dict[str, str]:
        return {key: str(one) for key, one in self.trunks.items()}

    def _chosen(self, context: DeviceContext) -> tuple[str, str]:
        """The datapath, and why it is that one."""
        if self.datapath != "auto":
            return self.datapath, "as declared"
        if context.facts.openvswitch:
            return "system", "the kernel's openvswitch module"
        return "netdev", "in user space: this kernel has no openvswitch module"

    def _bridge(self, datapath: str, context: DeviceContext) -> list[str]:
        found = ["--may-exist", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE]
        found.append(f"datapath_type={datapath}")
        if context.interfaces:
            found.append(f"other_config:datapath-id={_datapath_id(context)}")
        if self.fail_mode:
            found.append(f"fail_mode={self.fail_mode}")
        if self.protocols:
            found.append(f"protocols={','.join(self.protocols)}")
        if self.stp:
            found += _STP
        if self.controller:
            found += controllers.arguments(BRIDGE, controllers.targets(self.controller))
        return [*found, "--", *_KEEP_QUEUES]


def _datapath_id(context: DeviceContext) -> str:
    """What controllers know it by: the same in every build."""
    if not context.interfaces:
        return ""
    return "0000" + context.interfaces[0].mac.replace(":", "")


def _vsctl(*arguments: str) -> tuple[str, ...]:
    """The command; it waits until the switch has done what the database says."""
    given = arguments[:-1] if arguments[-1] == "--" else arguments
    return ("ovs-vsctl", "--timeout=60", *given)


def _port(name: str, number: int, own: vlans.PortVlans) -> list[str]:
    """The part of a command that makes an interface a port, ended by ``--``."""
    found = ["--may-exist", "add-port", BRIDGE, name]
    if own.tag is not None:
        found.append(f"tag={own.tag}")
    if own.trunks:
        found.append(f"trunks={','.join(map(str, own.trunks))}")
        if own.tag is not None:
            found.append("vlan_mode=native-untagged")
    found += ["--", "set", "Port", name, "qos=@own"]
    return [*found, "--", "set", "Interface", name, f"ofport_request={number}", "--"]


def _lines(given: Any) -> Any:
    """One text stands for a list of it alone; empty lines and comments are left out of flows."""
    if isinstance(given, str):
        return tuple(one.strip() for one in given.splitlines() if one.strip())
    return given if isinstance(given, Path) else tuple(given)


def _read(path: Path) -> Any:
    source = path if path.is_absolute() else declaring_directory() / path
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return source  # problems() reports it with the other things that are wrong
    return tuple(
        one.strip() for one in text.splitlines() if one.strip() and not one.lstrip().startswith("#")
    )
