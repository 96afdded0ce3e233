"""Kathara labs as topologies: deployed as they are, with some devices turned into nodes."""

from __future__ import annotations

import dataclasses
import re
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_kinda.devices import Command, LabDevice
from pytest_kinda.devices.switch import Hub
from pytest_kinda.errors import LabWarning, Problem, TopologyError
from pytest_kinda.readers.kathara_conf import Machine, boolean, cores, memory
from pytest_kinda.readers.kathara_lab import Lab, read_lab
from pytest_kinda.readers.startup import Known, from_frr, from_script
from pytest_kinda.topology import KubernetesNode, Link, Node, Topology, Worker
from pytest_kinda.topology.node import ForwardingRole

DEFAULT_IMAGE = "kathara/base"
IMAGES = {"kathara/base": "@base", "kathara/frr": "@router", "kathara/quagga": "@router"}
"""Kathara's images and ours that take their place, unless ``images`` says otherwise."""

NodeGiven = KubernetesNode | str | Callable[[str], KubernetesNode] | None

_SYSTEMCTL = """\
#!/bin/sh
# systemctl as labs use it, where no systemd runs
case "$1" in -*) shift ;; esac
verb=$1; shift
for unit in "$@"; do
  case "${unit%.service}" in
    frr|quagga|zebra) /usr/lib/frr/frrinit.sh "$verb" ;;
    *) service "${unit%.service}" "$verb" ;;
  esac || exit
done
"""
_QUAGGA = '#!/bin/sh\nexec /usr/lib/frr/frrinit.sh "$@"\n'
_SHELL = '[ -x "$0" ] && s=$0 || s=/bin/sh; "$s"'
_NO_FRR_CONF = "/hostlab/no-frr.conf"
_FRR_FILES = (
    f"[ -e {_NO_FRR_CONF} ] && rm -f /etc/frr/frr.conf;"
    " for d in frr quagga; do [ -d /etc/$d ] || continue;"
    " chown -R $d:$d /etc/$d 2>/dev/null; chmod 640 /etc/$d/* 2>/dev/null; done; true"
)


def from_kathara(
    path: Any,
    *,
    workers: Mapping[str, NodeGiven] | Iterable[str] = (),
    attach: Iterable[Link] = (),
    nodes: Iterable[Node] = (),
    images: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Topology:
    """The topology of a Kathara lab; see ``Topology.from_kathara``. Raises TopologyError."""
    lab = read_lab(path)
    made = _Maker(lab, workers, IMAGES if images is None else images).topology(
        name, list(nodes), list(attach)
    )
    for note in lab.notes:
        warnings.warn(note, LabWarning, stacklevel=3)
    return made


class _Maker:
    """One lab on its way to a topology."""

    def __init__(
        self,
        lab: Lab,
        workers: Mapping[str, NodeGiven] | Iterable[str],
        images: Mapping[str, str],
    ) -> None:
        self.lab = lab
        self.images = images
        given = dict(workers) if isinstance(workers, Mapping) else dict.fromkeys(workers)
        unknown = sorted(set(given) - set(lab.machines))
        if unknown:
            problem = Problem(
                lab.source, "workers", ", ".join(unknown), f"of {', '.join(lab.machines)}"
            )
            raise TopologyError(lab.name, [problem])
        self.cluster = {one: _kubernetes(one, what) for one, what in given.items()}
        self.known = {one: self._known(one) for one in lab.machines}

    def topology(self, name: str | None, nodes: list[Node], attach: list[Link]) -> Topology:
        """The topology, with what is attached to it."""
        found: list[Node] = [
            self.cluster.get(one) or self._device(machine)
            for one, machine in self.lab.machines.items()
        ]
        ends: dict[str, list[tuple[str, int]]] = {}
        for one, machine in self.lab.machines.items():
            for number, (domain, _) in machine.interfaces.items():
                ends.setdefault(domain, []).append((one, number))
        wanted = {end for link in attach for end in link.ends}
        taken = {one.name for one in (*found, *nodes)}
        links: list[Link] = []
        for domain, at in ends.items():
            if len(at) == 2 and domain not in (wanted - taken):
                links.append(self._wire(domain, at, taken))
                continue
            hub = domain if domain not in taken else f"{domain}-domain"
            found.append(Hub(hub))
            links += [self._end(one, number, hub) for one, number in at]
        title = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", self.lab.name).strip("-_.")[:63]
        return Topology(title or "lab", [*found, *nodes], [*links, *attach])

    # links

    def _wire(self, domain: str, at: list[tuple[str, int]], taken: set[str]) -> Link:
        (a, first), (b, second) = at
        return Link(
            self._name(a),
            self._name(b),
            name=None if domain in taken else domain,
            interfaces=(self._interface(a, first), self._interface(b, second)),
            ipv4=self._pair(at, 4),
            ipv6=self._pair(at, 6),
        )

    def _end(self, one: str, number: int, hub: str) -> Link:
        return Link(
            self._name(one),
            hub,
            interfaces=(self._interface(one, number), None),
            ipv4=self._pair([(one, number)], 4),
            ipv6=self._pair([(one, number)], 6),
        )

    def _name(self, one: str) -> str:
        node = self.cluster.get(one)
        return node.name if node is not None else one

    def _interface(self, one: str, number: int) -> str | None:
        return None if one in self.cluster else f"eth{number}"

    def _pair(self, at: list[tuple[str, int]], version: int) -> tuple[str | None, ...] | None:
        """The addresses of those ends that are nodes of the cluster: theirs the plan must set."""
        found: list[str | None] = []
        for one, number in at:
            known = self.known[one].addresses.get(f"eth{number}", [])
            mine = [each for each in known if (":" in each) == (version == 6)]
            found.append(mine[0] if mine and one in self.cluster else None)
        found += [None] * (2 - len(found))
        return tuple(found) if any(found) else None

    # nodes

    def _known(self, one: str) -> Known:
        scripts = [self.lab.scripts.get(f"{each}.startup", "") for each in ("shared", one)]
        commands = self.lab.machines[one].meta["exec_commands"]
        known = from_script("\n".join([*scripts, *commands]))
        for path, content in self.lab.files.get(one, {}).items():
            if re.fullmatch(r"/etc/(frr|quagga)/(frr|zebra|Quagga)\.conf", path):
                from_frr(content if isinstance(content, str) else "", known)
        return known

    def _device(self, machine: Machine) -> LabDevice:
        one, meta, known = machine.name, machine.meta, self.known[machine.name]
        files = dict(self.lab.files.get(one, {}))
        executable = list(self.lab.executable.get(one, ()))
        wanted = str(meta.get("image") or DEFAULT_IMAGE)
        image = self.images.get(wanted) or self.images.get(wanted.partition(":")[0]) or wanted
        if image.startswith("@"):
            self._stand_in(files, executable, quagga="quagga" in wanted)
        for each in ("shared", one):
            script = self.lab.scripts.get(f"{each}.startup")
            if script is not None:
                files[f"/hostlab/{each}.startup"] = script
        role: ForwardingRole = "router" if len(machine.interfaces) > 1 else "end"
        if known.bridges and not any(known.addresses.get(f"eth{n}") for n in machine.interfaces):
            role = "switch"
        return LabDevice(
            one,
            image=image,
            env={key: str(value) for key, value in meta["envs"].items()},
            files=files,
            executable=executable,
            mounts=self._mounts(machine),
            startup_commands=self._startup(machine),
            sysctls=_sysctls(meta),
            privileged=bool(meta.get("privileged", False)),
            cpus=cores(meta["cpus"]) if meta.get("cpus") is not None else None,
            memory=memory(meta["mem"]) if meta.get("mem") else None,
            ports=self._ports(machine),
            addresses={
                f"eth{n}": " ".join(known.addresses.get(f"eth{n}", ())) for n in machine.interfaces
            },
            macs={f"eth{n}": mac.lower() for n, (_, mac) in machine.interfaces.items() if mac},
            after=[
                each
                for each in self.lab.after.get(one, ())
                if each in self.lab.machines and each not in self.cluster
            ],
            ulimits=[f"{key}={v['soft']}:{v['hard']}" for key, v in meta["ulimits"].items()],
            entrypoint=_words(meta.get("entrypoint")),
            command=_words(meta.get("args")),
            forwarding=role,
        )

    def _stand_in(
        self, files: dict[str, str | bytes], executable: list[str], *, quagga: bool
    ) -> None:
        """What labs expect of Kathara's images and ours have in another way."""
        for path in list(files):
            if quagga and path.startswith("/etc/quagga/"):
                target = path.replace("quagga", "frr", 1)
                files.setdefault(target.replace("Quagga.conf", "frr.conf"), files[path])
        given = [
            one for one in files if re.fullmatch(r"/etc/frr/\w+d\.conf|/etc/frr/zebra\.conf", one)
        ]
        if given and "/etc/frr/frr.conf" not in files:
            # a file per daemon is read only where there is no frr.conf, which Debian's FRR has
            files.setdefault("/etc/frr/vtysh.conf", "no service integrated-vtysh-config\n")
            files[_NO_FRR_CONF] = ""
        shims = {"/usr/local/bin/systemctl": _SYSTEMCTL, "/etc/init.d/frr": _QUAGGA}
        if quagga:
            shims["/etc/init.d/quagga"] = _QUAGGA
        for path, text in shims.items():
            if path not in files:
                files[path] = text
                executable.append(path)

    def _startup(self, machine: Machine) -> list[Command]:
        """What Kathara runs once a device's interfaces are there; it goes on past failures."""
        shell = str(machine.meta.get("shell") or "/bin/bash")
        scripts = [
            (f"/hostlab/{name}.startup", log)
            for name, log in (("shared", "shared"), (machine.name, "startup"))
            if f"{name}.startup" in self.lab.scripts
        ]
        found = [Command("/bin/sh", "-c", _FRR_FILES, check=False)]
        found += [
            Command(
                "/bin/sh", "-c", f"{_SHELL} -x {path} >/var/log/{log}.log 2>&1", shell, check=False
            )
            for path, log in scripts
        ]
        found += [
            Command(
                "/bin/sh",
                "-c",
                f'{_SHELL} -c "$1" >>/var/log/startup.log 2>&1',
                shell,
                one,
                check=False,
            )
            for one in machine.meta["exec_commands"]
        ]
        return found

    def _mounts(self, machine: Machine) -> list[str]:
        found = [f"{self.lab.shared}:/shared"] if self.lab.shared is not None else []
        base = self.lab.directory or Path.cwd()
        for source, one in machine.meta["volumes"].items():
            mode = "" if one["mode"] == "rw" else ":ro"
            found.append(f"{(base / source).resolve()}:{one['guest_path']}{mode}")
        return found

    def _ports(self, machine: Machine) -> list[str]:
        ports = [
            f"{host}:{guest}/{protocol}"
            for (host, protocol), guest in machine.meta["ports"].items()
        ]
        bridged = bool(machine.meta.get("bridged", False))
        if ports and not bridged:
            self.lab.notes.append(
                f"{self.lab.source}: {machine.name}: port has no effect without bridged=true"
            )
            return []
        if bridged and not ports:
            self.lab.notes.append(
                f"{self.lab.source}: {machine.name}: bridged without a port: the device gets no"
                " interface to the outside"
            )
        return ports


def _kubernetes(name: str, given: NodeGiven) -> KubernetesNode:
    """The node of the cluster that a device becomes; Kubernetes knows no ``_`` in a name."""
    if isinstance(given, str):
        return Worker(given)
    allowed = name.replace("_", "-").strip("-")
    if isinstance(given, KubernetesNode):
        return given if given.name else dataclasses.replace(given, name=allowed)
    return (given or Worker)(allowed)


def _words(given: Any) -> tuple[str, ...]:
    return tuple(shlex.split(given)) if isinstance(given, str) else tuple(given or ())


def _sysctls(meta: Mapping[str, Any]) -> dict[str, str]:
    """Kathara's own settings of every device, and the lab's over them."""
    found = {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.icmp_ratelimit": "0",
        "net.ipv4.conf.all.rp_filter": "0",
        "net.ipv4.conf.default.rp_filter": "0",
    }
    ipv6 = boolean(meta.get("ipv6", False))
    for scope in ("all", "default"):
        found[f"net.ipv6.conf.{scope}.disable_ipv6"] = "0" if ipv6 else "1"
    if ipv6:
        found["net.ipv6.conf.all.forwarding"] = "1"
        found["net.ipv6.conf.all.accept_ra"] = "0"
    return found | {key: str(value) for key, value in meta["sysctls"].items()}
