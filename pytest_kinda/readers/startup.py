"""What a device's startup script and FRR configuration say of its addresses.

Not a shell: only the plain lines that nearly every lab has are understood. Nothing is refused;
where a script is cleverer than this, its addresses are simply not known to the plan.
"""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass, field


@dataclass
class Known:
    """Addresses by interface, the default gateway, and whether it makes a bridge."""

    addresses: dict[str, list[str]] = field(default_factory=dict)
    gateway: str = ""
    bridges: bool = False

    def add(self, interface: str, address: str) -> None:
        """Note an address, if it is one."""
        try:
            found = ipaddress.ip_interface(address)
        except ValueError:
            return
        each = self.addresses.setdefault(interface, [])
        if not found.is_link_local and str(found) not in each:
            each.append(str(found))


def from_script(text: str) -> Known:
    """What a script's ``ip``, ``ifconfig``, ``route`` and ``brctl`` lines say."""
    known = Known()
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.replace("&&", ";").split(";"):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            if words:
                _command(known, words)
    return known


def _command(known: Known, words: list[str]) -> None:
    program = words[0].rpartition("/")[2]
    if program == "ip":
        _ip(known, [one for one in words[1:] if one not in ("-4", "-6")])
    elif program == "ifconfig":
        _ifconfig(known, words[1:])
    elif program == "route" and words[1:2] == ["add"] and "default" in words and "gw" in words:
        known.gateway = _after(words, "gw")
    elif program == "brctl" and words[1:2] == ["addbr"]:
        known.bridges = True


def _after(words: list[str], word: str) -> str:
    return words[words.index(word) + 1] if word in words[:-1] else ""


def _is(word: str, *names: str) -> bool:
    """Whether a word abbreviates one of iproute2's."""
    return any(one.startswith(word) for one in names)


def _ip(known: Known, words: list[str]) -> None:
    if len(words) < 3:
        return
    what, verb = words[0], words[1]
    if _is(what, "address") and _is(verb, "add", "replace") and "dev" in words:
        address = next((one for one in words[2:] if one[0].isdigit() or ":" in one), "")
        if address:
            known.add(_after(words, "dev"), address)
    elif what.startswith("r") and _is(what, "route") and _is(verb, "add", "replace"):
        if words[2] in ("default", "0.0.0.0/0") and "via" in words:
            known.gateway = _after(words, "via")
    elif _is(what, "link") and verb == "add" and _after(words, "type") == "bridge":
        known.bridges = True


def _ifconfig(known: Known, words: list[str]) -> None:
    if len(words) < 2:
        return
    if words[1] in ("add", "inet6") and len(words) > 2:
        address = words[3] if words[1:3] == ["inet6", "add"] and len(words) > 3 else words[2]
        known.add(words[0], address)
    elif words[1][0].isdigit():
        mask = _after(words, "netmask")
        known.add(words[0], f"{words[1]}/{mask}" if mask else _classful(words[1]))


def _classful(address: str) -> str:
    """ifconfig's own default: the network class of the address."""
    if "/" in address:
        return address
    first = int(address.partition(".")[0])
    return f"{address}/{8 if first < 128 else 16 if first < 192 else 24}"


def from_frr(text: str, known: Known) -> None:
    """Add the ``ip address`` lines of an FRR or Quagga configuration."""
    interface = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["interface"] and len(words) > 1:
            interface = words[1]
        elif interface and words[:2] in (["ip", "address"], ["ipv6", "address"]) and words[2:]:
            known.add(interface, words[2])
        elif words and not line[0].isspace():
            interface = ""
