"""What clients may ask of the keeper: one method a call."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_kinda.errors import HostError, KindaError
from pytest_kinda.host import children, protocol
from pytest_kinda.host.children import Child
from pytest_kinda.host.holders import Holders
from pytest_kinda.host.journal import Journal
from pytest_kinda.host.places import OpenPlaces, places_of
from pytest_kinda.host.recordings import Recordings
from pytest_kinda.host.relays import Relays
from pytest_kinda.host.standing import StandingState
from pytest_kinda.host.tending import Tending
from pytest_kinda.jsonvalues import from_json, to_json
from pytest_kinda.operations import Operation, Place, SetInterface, decode

if TYPE_CHECKING:
    from pytest_kinda.host.keeper import KeeperServer

HUBS = "@hubs"
"""The place of a testbed's hubs; the keeper makes it when an operation first names it."""

_LOG_TAIL = 1 << 20  # bytes of a log that an answer carries

log = logging.getLogger("calls")


class Calls:
    """Answers requests; each by a method named ``call_NAME``, in the thread of its connection."""

    def __init__(self, keeper: KeeperServer) -> None:
        self._keeper = keeper
        self._children: dict[int, Child] = {}
        self._entries: dict[int, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        self._hubs: Place | None = None
        self._hubs_lock = threading.Lock()
        self._standing = StandingState()
        self._restarts: dict[str, Mapping[str, Any]] = {}
        self._recordings = Recordings(self.start_child, self._forget)
        self._holders = Holders(self.start_child, self._forget)
        self._tending = Tending(self._forget)
        self._relays = Relays(self.start_child, self._tending, self._standing.places)

    def answer(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Carry a request out; its JSON answer. Raises HostError, OSError, ValueError, KeyError."""
        name = str(request.get("call"))
        method: Callable[[Mapping[str, Any], socket.socket], Any] | None
        method = getattr(self, f"call_{name}", None)
        if method is None:
            raise HostError(f"the keeper has no call {name!r}: it is of another version")
        if self._keeper.undoing.begun and name in _MAKING:
            raise HostError("the testbed is being undone: nothing new is made in it")
        return method(request, stream)

    def call_hello(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Who this is."""
        return {"pid": os.getpid(), "kept": self._keeper.kept, "children": len(self._children)}

    def call_record(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Journal entries; their numbers."""
        return self._record(request["entries"])

    def call_note(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Journal facts."""
        self._keeper.journal.append([{"note": request["facts"]}])

    def call_undone(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Journal that entries need no undo any more."""
        self._no_more({"undone": list(request["numbers"])})

    def call_keep(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Whether the testbed outlives its owners."""
        self._keeper.keep(bool(request["keep"]))

    def call_apply(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Journal how to undo operations, then carry them out; the journal's numbers.

        A place that has been re-wired since its client looked is the newest one of that name.
        """
        operations = [decode(one) for one in request["operations"]]
        with self._standing.acting():
            places = self._standing.places(_places(request))
            self._standing.heard(operations)
            return self._carry_out(operations, places)

    def call_rewire(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Wire a node whose container has started again; what faults did to it comes back too."""
        log.info("wiring %s, which has started again", request["node"])
        with self._standing.rewiring():
            places = self._standing.places(_places(request))
            operations = self._standing.as_it_was([decode(one) for one in request["operations"]])
            for one in operations:
                if isinstance(one, SetInterface):
                    # it may have gone with the old interface, which is no failure
                    self._holders.end(one.place, one.interface)
            numbers = self._carry_out(operations, places)
            self._recordings.follow(places)
            self._relays.follow()
            table = {one: to_json(place) for one, place in places.items()}
            self._keeper.journal.append([{"note": {"places": table}}])
            return numbers

    def call_places(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Every place as it is now; the request says what its client knows."""
        places = self._standing.places(_places(request))
        return {name: to_json(one) for name, one in places.items()}

    def call_restarted(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """What has become of a node since its container started again."""
        with self._lock:
            self._restarts[str(request["node"])] = dict(request["facts"])
        log.info("%s restarted: %s", request["node"], request["facts"])

    def call_restarts(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """The last restart of each node that has had one."""
        with self._lock:
            return dict(self._restarts)

    def call_revert(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Undo operations by their numbers, newest first; goes on past errors."""
        from pytest_kinda.host import carry

        errors: list[KindaError] = []
        for number in sorted(request["numbers"], reverse=True):
            try:
                if (entry := self._entry(number)) is None:
                    continue
                with self._standing.acting():
                    carry.undo_from_entry(self._standing.as_of_now(entry), self._holders)
                    self._standing.taken_back(entry)
            except KindaError as error:
                errors.append(error)
            else:
                self._no_more({"reverted": number})
                self._entries.pop(number, None)
        if errors:
            raise errors[0]

    def call_run(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Run a child to its end; ends it when its time is over or the client hangs up."""
        timeout = float(request["timeout"])
        with ExitStack() as stack:
            given = stack.enter_context(tempfile.TemporaryFile())
            given.write(protocol.unpack(request.get("stdin", "")))
            given.seek(0)
            out, err, begin = _outputs(stack, request.get("log"))
            child = self._start(request, stdin=given, stdout=out, stderr=err)
            try:
                rc = child.wait(timeout, stream)
                if rc is None:
                    child.end()
                    why = f"did not end within {timeout:g} s and was killed"
                    if _hung_up(stream):
                        why = "was killed because its client is gone"
                    said = _read_back(err, begin)[-2000:].decode(errors="replace").strip()
                    raise HostError(
                        f"{' '.join(child.argv)!r} {why}" + (f": {said}" if said else "")
                    )
            finally:
                self._forget(child)
            same = err is out
            return {
                "rc": rc,
                "stdout": protocol.pack(_read_back(out, begin)),
                "stderr": protocol.pack(b"" if same else _read_back(err, begin)),
            }

    def call_spawn(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Start a child that runs on; its number."""
        with ExitStack() as stack:
            log_file = request.get("log")
            out: Any = subprocess.DEVNULL
            if log_file:
                out = stack.enter_context(Path(log_file).open("ab"))
            child = self._start(request, stdout=out, stderr=out)
        return child.number

    def call_tend(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Start a child that is started again when it ends; its name says what it is for."""
        log_file = Path(request["log"])

        def start() -> Child:
            with log_file.open("ab") as out:
                return self._start(request, stdout=out, stderr=out)

        self._tending.begin(str(request["name"]), start)

    def call_tended(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """The children that are started again when they end, and whether they run."""
        return self._tending.states()

    def call_wait(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Wait for the end of a child; its exit status."""
        child = self._child(request["child"])
        rc = child.wait(float(request["timeout"]), stream)
        if rc is None:
            raise HostError(
                f"child {child.number} ({' '.join(child.argv)!r}) runs still "
                f"after {request['timeout']:g} s"
            )
        self._forget(child)
        return rc

    def call_ended(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """The exit status of a child; None while it runs."""
        return self._child(request["child"]).ended

    def call_kill(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """End a child and all that it started; one that has ended is no error."""
        with self._lock:
            child = self._children.get(request["child"])
        if child is not None:
            child.grace = float(request.get("grace", 0.0))
            child.end()
            self._forget(child)

    def call_capture_start(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Begin a capture; its id. Places that the request does not hold are as last heard of."""
        return self._recordings.start(
            request["points"],
            self._standing.places(_places(request)),
            expression=str(request["filter"]),
            path=str(request["path"]),
            snaplen=int(request["snaplen"]),
            comment=str(request["name"]),
        )

    def call_capture_flush(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Have all that came until now in the file; the counters."""
        return self._recordings.flush(str(request["capture"]))

    def call_capture_stop(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """End a capture; the counters."""
        return self._recordings.stop(str(request["capture"]))

    def call_open_socket(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """A socket in the network of a place, which goes to the client with the answer."""
        name = str(request["place"])
        with OpenPlaces(self._standing.places(_places(request))) as places, places.enter(name)():
            return socket.socket(request["family"], request["kind"], request["protocol"])

    def call_relay_open(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Lead a port of a place's loopback to a port seen from another place; the port."""
        self._standing.places(_places(request))
        name, place = str(request["name"]), str(request["place"])
        return self._relays.open(name, place, int(request["port"]), request["to"])

    def call_relay_aim(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Lead a relay to another port, or for now nowhere."""
        self._relays.aim(str(request["name"]), request["to"], str(request["why"]))

    def call_relay_close(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Give a relay up."""
        self._relays.close(str(request["name"]))

    def call_relays(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """All relays, and what has become of their connections."""
        return self._relays.states()

    def call_holders(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """The processes that delay packets, and whether they do."""
        return self._holders.states()

    def call_undo(self, request: Mapping[str, Any], stream: socket.socket) -> Any:
        """Undo the testbed (or join the undo that runs), its lines sent as they come."""
        undoing = self._keeper.undoing
        undoing.begin()
        for line in undoing.lines():
            protocol.send(stream, {"line": line})
        undoing.finished.wait()
        return list(undoing.left)

    def end_children(self) -> list[str]:
        """End all children; what did not go."""
        left = []
        self._tending.stop()
        with self._lock:
            ending = list(self._children.values())
        for child in ending:
            try:
                child.end()
                self._forget(child)
            except (HostError, OSError) as error:
                left.append(f"{child.argv[0]}: {error}")
        return left

    def start_child(self, argv: Sequence[str], **more: Any) -> Child:
        """Journal a child, then start it (by the main thread); ``more`` as children.start."""
        keeper = self._keeper
        mark = f"{keeper.directory.name}.{os.getpid()}.{os.urandom(6).hex()}"
        entry = {"undo": "process", "mark": mark, "argv": list(argv)}
        (number,) = self._record([entry])
        child = keeper.on_main(lambda: children.start(argv, number=number, mark=mark, **more))
        with self._lock:
            self._children[number] = child
        known = {"pid": child.pid, "started": child.started}
        keeper.journal.append([{"note": {f"child-{number}": known}}])
        if keeper.undoing.begun:  # it came too late for end_children
            child.end()
            raise HostError("the testbed is being undone: nothing new is started in it")
        return child

    def _start(self, request: Mapping[str, Any], **streams: Any) -> Child:
        argv = [str(one) for one in request["argv"]]
        return self.start_child(argv, env=request.get("env"), **streams)

    def _forget(self, child: Child) -> None:
        """A child that has ended: what it left behind goes too."""
        if child.ended is None:
            return
        children.end_processes(child.pid, child.started, child.mark)
        with self._lock:
            self._children.pop(child.number, None)
        self._no_more({"undone": child.number})
        self._entries.pop(child.number, None)

    def _no_more(self, line: Mapping[str, Any]) -> None:
        """Journal that something is gone. Where the disk is full that is no failure of its end.

        Its entry then stays, and an undo of what is gone does nothing.
        """
        try:
            self._keeper.journal.append([line])
        except HostError as error:
            log.warning("%s", error.message)

    def _child(self, number: int) -> Child:
        with self._lock:
            child = self._children.get(number)
        if child is None:
            raise HostError(f"there is no child {number} (any more)")
        return child

    def _carry_out(
        self, operations: Sequence[Operation], places: dict[str, Place]
    ) -> tuple[int, ...]:
        from pytest_kinda.host import carry

        named = {name for one in operations for name in places_of(one)}
        if HUBS not in places and (self._hubs is not None or HUBS in named):
            # also where nothing is done in it: the other end of a cable may be there
            places[HUBS] = self._place_of_hubs()
        made = [carry.undo_entry(one, places) for one in operations]
        numbers = self._record([one for one in made if one is not None])
        carry.carry_out(operations, places, self._holders)
        return numbers

    def _record(self, entries: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        numbers = self._keeper.journal.record(entries)
        with self._lock:
            self._entries.update(zip(numbers, entries, strict=True))
        return numbers

    def _entry(self, number: int) -> Mapping[str, Any] | None:
        """An entry of the journal; None for one that has been reverted. Raises HostError."""
        with self._lock:
            entry = self._entries.get(number)
        if entry is not None:
            return entry
        journal = Journal.read(self._keeper.directory)
        for one in journal.entries:
            if one["n"] == number:
                return one
        if number in journal.reverted:
            return None
        raise HostError(f"the journal has no entry {number}")

    def _place_of_hubs(self) -> Place:
        with self._hubs_lock:
            if self._hubs is None:
                child = self.start_child(("sleep", "infinity"), own_network=True)
                self._hubs = Place(container=HUBS, pid=child.pid, started=child.started)
            return self._hubs


_MAKING = (
    "record",
    "apply",
    "rewire",
    "run",
    "spawn",
    "tend",
    "keep",
    "capture_start",
    "open_socket",
    "relay_open",
)


def _places(request: Mapping[str, Any]) -> dict[str, Place]:
    return {name: from_json(Place, one) for name, one in request["places"].items()}


def _outputs(stack: ExitStack, log_file: str | None) -> tuple[IO[bytes], IO[bytes], int]:
    """Where a child's output goes, and from which byte on it is this child's."""
    if log_file is None:
        out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))  # noqa: SIM115
        return out, err, 0
    both = stack.enter_context(Path(log_file).open("a+b"))  # noqa: SIM115
    return both, both, os.fstat(both.fileno()).st_size


def _read_back(file: IO[bytes], begin: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if begin:
        begin = max(begin, size - _LOG_TAIL)
    file.seek(begin)
    return file.read()


def _hung_up(stream: socket.socket) -> bool:
    try:
        return stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
