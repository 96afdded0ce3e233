"""VLANs of a switch's links (IEEE 802.1Q): what authors write, and what it means for each port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_kinda.errors import Problem
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import InterfacePlan
from pytest_kinda.topology.frozen import EMPTY, FrozenMap

VIDS = range(1, 4095)
"""The VLANs there are: 0 and 4095 are reserved."""

_EXPECTED = "a VLAN from 1 to 4094"


@dataclass(frozen=True)
class PortVlans:
    """The VLANs of one port.

    ``tag`` is that of untagged frames, ``trunks`` those whose frames carry a tag. A port with
    neither passes them all, and untagged frames as they are.
    """

    tag: int | None = None
    trunks: tuple[int, ...] = ()


def settled_tag(given: Mapping[str, Any]) -> FrozenMap[Any]:
    """``tag`` with numbers for their texts; what cannot be read stays and is reported."""
    return FrozenMap({key: _number(one) for key, one in given.items()}) if given else EMPTY


def settled_trunks(given: Mapping[str, Any]) -> FrozenMap[Any]:
    """``trunks`` with one text for each list, sorted: a form that files can hold.

    >>> settled_trunks({"s2": [20, 10]})
    {'s2': '10,20'}
    """
    found = {}
    for key, one in given.items():
        if isinstance(one, str):
            parts: Sequence[Any] = one.split(",")
        else:
            parts = one if isinstance(one, Sequence) else [one]
        numbers = [_number(part) for part in parts]
        whole = all(isinstance(number, int) for number in numbers)
        found[key] = ",".join(map(str, sorted(set(numbers)) if whole else numbers))
    return FrozenMap(found) if found else EMPTY


def problems(where: str, tag: Mapping[str, Any], trunks: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong with them by themselves."""
    for key, one in tag.items():
        if not _is_vlan(one):
            yield Problem(where, f"tag[{key}]", repr(one), _EXPECTED)
    for key, text in trunks.items():
        for part in text.split(","):
            if not _is_vlan(_number(part)):
                yield Problem(where, f"trunks[{key}]", repr(part), _EXPECTED)


def problems_at(
    context: DeviceContext, tag: Mapping[str, Any], trunks: Mapping[str, str]
) -> Iterator[Problem]:
    """Keys that name no link of the switch, or several."""
    for field, given in (("tag", tag), ("trunks", trunks)):
        for key in given:
            found = [one for one in context.interfaces if _is_meant(key, one)]
            if len(found) == 1:
                continue
            if found:
                names = ", ".join(one.name for one in found)
                yield Problem(
                    f"node {context.name}",
                    f"{field}[{key}]",
                    f"several links ({names})",
                    "the name of one link, or of its interface here",
                )
            else:
                known = dict.fromkeys(peer for one in context.interfaces for peer in one.peers)
                yield Problem(
                    f"node {context.name}",
                    f"{field}[{key}]",
                    "no link of that name",
                    f"a neighbour ({', '.join(known)}), or the name of a link or interface",
                )


def of_ports(
    context: DeviceContext, tag: Mapping[str, Any], trunks: Mapping[str, str]
) -> dict[str, PortVlans]:
    """The VLANs of each interface, by its name."""
    found = {}
    for one in context.interfaces:
        own_tag = next((vid for key, vid in tag.items() if _is_meant(key, one)), None)
        own = next((text for key, text in trunks.items() if _is_meant(key, one)), "")
        found[one.name] = PortVlans(own_tag, tuple(int(part) for part in own.split(",") if part))
    return found


def _is_meant(key: str, one: InterfacePlan) -> bool:
    return key in (one.name, one.segment, *one.peers)


def _is_vlan(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in VIDS


def _number(value: Any) -> Any:
    text = str(value).strip()
    return int(text) if text.isdecimal() and not isinstance(value, bool) else value
