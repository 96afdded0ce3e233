"""Carry out host operations, and undo them.

Operations of one place are carried out in their order by one thread that enters the place's
network namespace; places run side by side. A cable or a tunnel waits until everything before it
in the places that it touches is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from pytest_kinda.errors import GoneError, HostError, KindaError
from pytest_kinda.host import carrier, files, layer3, links, nft, qdiscs, routes, sealing, tunnels
from pytest_kinda.host.holders import Holders
from pytest_kinda.host.namespaces import entered
from pytest_kinda.host.places import OpenPlaces, places_of
from pytest_kinda.host.qdiscs import Holding
from pytest_kinda.jsonvalues import from_json, to_json
from pytest_kinda.operations import (
    HOST,
    AddAddress,
    AddBridgePort,
    AddHub,
    AddRoute,
    AddRule,
    AddTunnel,
    AddVeth,
    AppendLines,
    End,
    IgnoreArrivals,
    LoadNft,
    Operation,
    Place,
    RemoveAddress,
    SetCarrier,
    SetInterface,
    SetShape,
    SetSysctl,
    WriteFile,
    decode,
    encode,
)

_THREADS = 8

Cable = AddVeth | AddBridgePort


def carry_out(
    operations: Sequence[Operation],
    places: Mapping[str, Place],
    holders: Holders | None = None,
) -> None:
    """Carry operations out, in their order within each place.

    ``holders`` start the processes that delay packets where the kernel has no netem.

    Raises HostError that names the operation which failed (GoneError where its container is
    gone); others of the batch may have been carried out by then: all of them have their undo.

    >>> carry_out([AddAddress("w1", "eth1", "10.9.0.1/30")], {"w1": place})   # doctest: +SKIP
    """
    with OpenPlaces(places) as opened, ThreadPoolExecutor(_THREADS, "carry") as pool:
        for name in dict.fromkeys(name for one in operations for name in places_of(one)):
            opened[name]  # a place that is gone is refused before anything is done
        for batch in batches(operations):
            if isinstance(batch[0], AddTunnel):
                _together(pool, [(_tunnels, (batch, opened))])
            elif isinstance(batch[0], Cable):
                _cables(pool, batch, opened)
            else:
                by_place = _grouped((one, places_of(one)[0]) for one in batch)
                _together(
                    pool,
                    [
                        (_local, (name, some, opened, Holding(name, _of(places, name), holders)))
                        for name, some in by_place.items()
                    ],
                )


def undo(
    operation: Operation,
    places: Mapping[str, Place],
    *,
    before: str | None = None,
    holders: Holders | None = None,
) -> None:
    """Undo one operation; idempotent, and nothing to do where its place is gone.

    ``before`` is the old value of a sysctl, from the journal. Raises HostError.
    """
    try:
        with OpenPlaces(places) as opened:
            name = places_of(operation)[0]
            _undo(operation, opened, before, Holding(name, _of(places, name), holders))
    except GoneError:
        return
    except (NetlinkError, OSError) as error:
        raise _failed(operation, error, "undo of ") from error


def undo_entry(operation: Operation, places: Mapping[str, Place]) -> dict[str, Any] | None:
    """The journal's line for an operation; None where there is nothing to undo."""
    if isinstance(operation, (SetInterface, IgnoreArrivals, RemoveAddress, WriteFile, AppendLines)):
        return None
    entry: dict[str, Any] = {"undo": "operation", "operation": encode(operation)}
    if isinstance(operation, SetSysctl):
        if operation.place != HOST:
            return None  # dies with the container
        entry["before"] = layer3.read_sysctl(operation.key)
    named = places if isinstance(operation, SetCarrier) else places_of(operation)
    entry["places"] = {name: to_json(places.get(name, Place())) for name in named}
    return entry


def undo_from_entry(entry: Mapping[str, Any], holders: Holders | None = None) -> None:
    """Undo what a journal line of :func:`undo_entry` says. Raises HostError."""
    try:
        operation = decode(entry["operation"])
        places = {name: from_json(Place, one) for name, one in entry.get("places", {}).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise HostError(f"journal entry {entry.get('n')}: no operation: {error}") from error
    undo(operation, places, before=entry.get("before"), holders=holders)


def batches(operations: Sequence[Operation]) -> list[list[Operation]]:
    """Operations in an order that keeps that of each place, in runs of what can go together.

    A run is of cables, of tunnels (which then share one map) or of operations within places.
    """
    queues: dict[str, deque[int]] = {}
    for at, operation in enumerate(operations):
        for name in places_of(operation):
            queues.setdefault(name, deque()).append(at)
    found: list[list[Operation]] = []
    kinds: tuple[Callable[[Operation], bool], ...] = (
        lambda one: not isinstance(one, (Cable, AddTunnel)),
        lambda one: isinstance(one, Cable),
        lambda one: isinstance(one, AddTunnel),
    )
    while any(queues.values()):
        for wanted in kinds:
            if run := _take(operations, queues, wanted):
                found.append(run)
                break
    return found


def _take(
    operations: Sequence[Operation],
    queues: Mapping[str, deque[int]],
    wanted: Callable[[Operation], bool],
) -> list[Operation]:
    taken: list[int] = []
    moved = True
    while moved:
        moved = False
        for queue in queues.values():
            while queue and wanted(operations[queue[0]]):
                at = queue[0]
                touched = [queues[name] for name in places_of(operations[at])]
                if any(other[0] != at for other in touched):
                    break
                for other in touched:
                    other.popleft()
                taken.append(at)
                moved = True
    return [operations[at] for at in sorted(taken)]


def _cables(pool: ThreadPoolExecutor, batch: Sequence[Operation], opened: OpenPlaces) -> None:
    cables = [one for one in batch if isinstance(one, Cable)]
    making = _grouped((one, places_of(one)[0]) for one in cables)
    _together(pool, [(_make_cables, (name, some, opened)) for name, some in making.items()])
    raising = _grouped((one, _far_end(one).place) for one in cables)
    _together(pool, [(_raise_far_ends, (name, some, opened)) for name, some in raising.items()])


def _near_end(cable: Cable) -> End:
    if isinstance(cable, AddVeth):
        return cable.a
    return End(HOST, cable.port, mtu=cable.end.mtu)


def _far_end(cable: Cable) -> End:
    return cable.b if isinstance(cable, AddVeth) else cable.end


def _make_cables(name: str, cables: Sequence[Cable], opened: OpenPlaces) -> None:
    with entered(opened[name]), IPRoute() as ip:
        for cable in cables:
            with _Naming(cable):
                near, far = _near_end(cable), _far_end(cable)
                links.add_cable(ip, near, far, opened[far.place])
                if isinstance(cable, AddBridgePort):
                    links.set_quiet(cable.port)
                    links.enslave(ip, cable.port, cable.bridge)


def _raise_far_ends(name: str, cables: Sequence[Cable], opened: OpenPlaces) -> None:
    with entered(opened[name]), IPRoute() as ip:
        for cable in cables:
            with _Naming(cable):
                links.bring_up(ip, _far_end(cable).interface)


def _tunnels(batch: Sequence[Operation], opened: OpenPlaces) -> None:
    found = [one for one in batch if isinstance(one, AddTunnel)]
    tunnels.add_tunnels([(one, opened.enter(one.place)) for one in found])


def _local(
    name: str,
    operations: Sequence[Operation],
    opened: OpenPlaces,
    holding: Holding,
) -> None:
    with entered(opened[name]), IPRoute() as ip:
        for of_routes, run in groupby(operations, lambda one: isinstance(one, AddRoute)):
            if of_routes:
                _routes([one for one in run if isinstance(one, AddRoute)])
                continue
            for operation in run:
                with _Naming(operation):
                    _one(ip, operation, opened, holding)


def _routes(found: Sequence[AddRoute]) -> None:
    try:
        routes.add_routes(found)
    except routes.RouteRefused as error:
        raise _failed(error.route, error) from error


def _of(places: Mapping[str, Place], name: str) -> Place:
    return places.get(name, Place())


def _one(ip: IPRoute, operation: Operation, opened: OpenPlaces, holding: Holding) -> None:
    """One operation within its place, which the calling thread is in."""
    if isinstance(operation, AddAddress):
        layer3.add_address(ip, operation)
    elif isinstance(operation, RemoveAddress):
        layer3.remove_address(ip, operation)
    elif isinstance(operation, AddRule):
        layer3.add_rule(ip, operation)
    elif isinstance(operation, SetSysctl):
        layer3.write_sysctl(operation)
    elif isinstance(operation, SetInterface):
        links.set_interface(ip, operation)
    elif isinstance(operation, IgnoreArrivals):
        sealing.ignore_arrivals(ip, links.index_of(operation.interface))
    elif isinstance(operation, AddHub):
        links.add_hub(ip, operation)
    elif isinstance(operation, SetShape):
        qdiscs.set_shape(ip, operation.interface, operation.shape, holding, operation.by)
    elif isinstance(operation, WriteFile):
        files.write_file(operation, holding.place)
    elif isinstance(operation, AppendLines):
        files.append_lines(operation, holding.place)
    elif isinstance(operation, LoadNft):
        nft.load(operation, opened[operation.place])
    elif isinstance(operation, SetCarrier):
        carrier.set_carrier(operation, opened[operation.place], opened.all_present())
    else:
        raise HostError(f"{type(operation).__name__} is not carried out within one place")


def _undo(operation: Operation, opened: OpenPlaces, before: str | None, holding: Holding) -> None:
    if isinstance(operation, AddVeth):
        # Either end will do, and one of the places may be gone with its end.
        for end in (operation.a, operation.b):
            try:
                with entered(opened[end.place]), IPRoute() as ip:
                    links.remove(ip, end.interface)
            except GoneError:
                continue
        return
    if isinstance(operation, SetCarrier):
        back = replace(operation, up=not operation.up)
        carrier.set_carrier(back, opened[operation.place], opened.all_present())
        return
    name = places_of(operation)[0]
    with entered(opened[name]), IPRoute() as ip:
        if isinstance(operation, AddBridgePort):
            links.remove(ip, operation.port)
        elif isinstance(operation, AddHub):
            links.remove(ip, operation.bridge)
        elif isinstance(operation, AddAddress):
            layer3.remove_address(ip, operation)
        elif isinstance(operation, AddRoute):
            routes.remove_route(ip, operation)
        elif isinstance(operation, AddRule):
            layer3.remove_rule(ip, operation)
        elif isinstance(operation, SetShape):
            qdiscs.restore(ip, operation, holding)
        elif isinstance(operation, AddTunnel):
            tunnels.remove_tunnel(operation)
        elif isinstance(operation, LoadNft):
            nft.unload(operation, opened[name])
        elif isinstance(operation, SetSysctl) and before is not None:
            layer3.write_sysctl(replace(operation, value=before))


class _Naming:
    """Makes the errors of a block say which operation they belong to."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (HostError, NetlinkError, OSError)):
            raise _failed(self.operation, error) from error


def _failed(operation: Operation, error: BaseException, what: str = "") -> HostError:
    if isinstance(error, NetlinkError):
        text = str(error.args[1] if len(error.args) > 1 else error)
    elif isinstance(error, KindaError):
        text = error.message
    else:
        text = str(error)
    kind = GoneError if isinstance(error, GoneError) else HostError
    remedy = error.remedy if isinstance(error, KindaError) else ""
    return kind(f"{what}{describe(operation)}: {text}", remedy=remedy)


def describe(operation: Operation) -> str:
    """An operation on one line, for errors: its places and its first fields."""
    data = encode(operation)
    shown = {
        key: value
        for key, value in data.items()
        if key not in ("is", "place", "content", "ruleset", "lines")
    }
    fields = ", ".join(f"{key}={value}" for key, value in islice(shown.items(), 4))
    return f"{data['is']} in {' and '.join(places_of(operation))} ({fields})"


def _grouped(pairs: Iterable[tuple[Any, str]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one, name in pairs:
        found.setdefault(name, []).append(one)
    return found


def _together(
    pool: ThreadPoolExecutor, calls: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]
) -> None:
    """Run calls side by side; all end before the first error is raised."""
    running = [pool.submit(call, *arguments) for call, arguments in calls]
    errors = [error for one in running if (error := one.exception()) is not None]
    if errors:
        raise errors[0]
