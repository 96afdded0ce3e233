"""The client's side of the keeper: what build, testbed, plugin and command line use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kinda.errors import HostError
from pytest_kinda.host import protocol
from pytest_kinda.host.held import Held
from pytest_kinda.host.journal import Journal
from pytest_kinda.jsonvalues import from_json, to_json
from pytest_kinda.operations import Operation, Place, encode

_START = 60.0  # seconds for a keeper to answer
_LONGEST_HOLD = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Finished:
    """How a child of the keeper ended. With a ``log`` both streams are in ``stdout``."""

    rc: int
    stdout: bytes
    stderr: bytes


class Keeper:
    """A connection to the keeper of one testbed; threads may share it.

    Made by :meth:`start` and :meth:`connect`. An *owner* holds a lease: when the last owner's
    process is gone and the testbed is not kept, the keeper undoes it. All calls raise HostError.
    """

    def __init__(self, directory: Path, path: Path) -> None:
        self.directory = directory
        self._path = path
        self._lease: socket.socket | None = None

    @classmethod
    def start(
        cls,
        directory: Path,
        testbed: str,
        *,
        owner: bool = True,
        undo_program: Sequence[str] = (),
    ) -> Keeper:
        """Start a keeper for a new testbed and wait until it answers.

        ``undo_program`` takes the place of the real one (for tests).

        >>> keeper = Keeper.start(directory, "t4f2")            # doctest: +SKIP
        """
        directory = Path(directory).resolve()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = [sys.executable, "-m", "pytest_kinda.host", str(directory)]
        argv += ["--testbed", testbed] if testbed else []
        argv += ["--starter", str(os.getpid())] if owner else []
        argv += [f"--undo-program={one}" for one in undo_program]
        package = Path(__file__).resolve().parents[2]
        paths = dict.fromkeys(
            [str(package), *(str(Path(one).resolve()) for one in sys.path if one)]
        )
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                cwd=directory,
                start_new_session=True,
                timeout=_START,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HostError(f"the keeper of {directory} could not be started: {error}") from error
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip()
            raise HostError(
                f"the keeper of {directory} could not be started: {said}",
                remedy=f"see {directory}/keeper.log",
            )
        return cls.connect(directory, owner=owner)

    @classmethod
    def connect(cls, directory: Path, *, owner: bool = False) -> Keeper:
        """The keeper that serves a directory. Raises HostError if there is none (any more)."""
        directory = Path(directory).resolve()
        meta = Journal.read(directory).meta
        if "socket" not in meta:
            raise HostError(f"{directory}: its journal names no keeper")
        keeper = cls(directory, Path(meta["socket"]))
        if owner:
            keeper.lease()
        else:
            keeper.hello()
        return keeper

    def lease(self) -> None:
        """Become an owner; this process's end ends the lease, :meth:`release` too."""
        if self._lease is None:
            stream = self._open()
            try:
                protocol.send(stream, {"call": "lease"})
                answer = protocol.receive(stream)
            except OSError as error:
                stream.close()
                raise self._gone(error) from error
            if answer is None or "error" in answer:
                stream.close()
                raise protocol.raised((answer or {}).get("error", {"message": "no answer"}))
            self._lease = stream

    def release(self) -> None:
        """Be no owner any more; if it was the last one, the undo starts."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def hello(self) -> Mapping[str, Any]:
        """Facts of the keeper: ``pid``, ``kept``, number of ``children``."""
        return dict(self._call("hello"))

    def record(self, entries: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """Journal how to undo what is about to be made (one sync); the entries' numbers.

        An entry has an ``undo`` (what kind of thing) and what its undo needs to know.
        """
        return tuple(self._call("record", entries=list(entries)))

    def undone(self, numbers: Sequence[int]) -> None:
        """Journal that these entries need no undo any more."""
        self._call("undone", numbers=list(numbers))

    def note(self, **facts: Any) -> None:
        """Journal facts of the testbed; later ones win."""
        self._call("note", facts=facts)

    def apply(
        self, operations: Sequence[Operation], places: Mapping[str, Place]
    ) -> tuple[int, ...]:
        """Journal operations' undo and carry them out; the journal's numbers, for :meth:`revert`.

        Operations without an undo of their own have no number. Raises HostError that names the
        operation, GoneError where its place is gone.
        """
        return tuple(
            self._call(
                "apply",
                operations=[encode(one) for one in operations],
                places={name: to_json(one) for name, one in places.items()},
            )
        )

    def rewire(
        self, node: str, operations: Sequence[Operation], places: Mapping[str, Place]
    ) -> None:
        """Wire a node whose container has started again, while no other operation is carried out.

        ``places`` are from now on what everyone's operations in them mean. The journal's places
        are brought up to date. Shapes that faults have set, and cuts, are made again.
        """
        self._call(
            "rewire",
            node=node,
            operations=[encode(one) for one in operations],
            places={name: to_json(one) for name, one in places.items()},
        )

    def places(self, known: Mapping[str, Place]) -> dict[str, Place]:
        """Every place as it is now: nodes that have started again have others than ``known``."""
        told = {name: to_json(one) for name, one in known.items()}
        found = self._call("places", places=told)
        return {str(name): from_json(Place, one) for name, one in found.items()}

    def restarted(self, node: str, **facts: Any) -> None:
        """Tell what has become of a node since its container started again."""
        self._call("restarted", node=node, facts=facts)

    def restarts(self) -> Mapping[str, Mapping[str, Any]]:
        """The last restart of each node that has had one, as :meth:`restarted` told it."""
        return dict(self._call("restarts"))

    def revert(self, sequence_numbers: Sequence[int]) -> None:
        """Undo operations of :meth:`apply`, newest first; goes on past errors, raises the first."""
        self._call("revert", numbers=list(sequence_numbers))

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float = 60.0,
        log: Path | None = None,
    ) -> Finished:
        """Run a program as a child of the keeper, in a session of its own, to its end.

        ``env`` is added to the keeper's environment. With ``log`` both outputs go to that file as
        they come. After ``timeout`` seconds, or when this client is gone, it is killed with all
        that it started. A status other than 0 is no error here.
        """
        found = self._call(
            "run",
            argv=list(argv),
            env=dict(env or {}),
            stdin=protocol.pack(stdin),
            timeout=timeout,
            log=str(log.resolve()) if log else None,
        )
        return Finished(
            found["rc"], protocol.unpack(found["stdout"]), protocol.unpack(found["stderr"])
        )

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> int:
        """Start a program that runs on; the child's number, for :meth:`wait` and :meth:`kill`."""
        where = str(log.resolve()) if log else None
        return int(self._call("spawn", argv=list(argv), env=dict(env or {}), log=where))

    def hold(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log: Path,
        limit: float = _LONGEST_HOLD,
    ) -> Held:
        """Start a program that lives no longer than this process, nor than ``limit`` seconds.

        ``env`` is added to the keeper's environment; both its outputs go to ``log``.

        Example: ``held = keeper.hold(["sleep", "60"], log=path); held.end()``
        """
        stream = self._open()
        asked = {"argv": list(argv), "env": dict(env or {}), "timeout": limit}
        try:
            protocol.send(stream, {"call": "run", **asked, "log": str(log.resolve())})
        except OSError as error:
            stream.close()
            raise self._gone(error) from error
        return Held(stream)

    def tend(self, argv: Sequence[str], *, name: str, log: Path) -> None:
        """Start a program that must not be missing: one that ends is started again.

        Five times in a row at most; ``name`` says in :meth:`tended` and in the log what it is.
        """
        self._call("tend", argv=list(argv), name=name, log=str(log.resolve()))

    def tended(self) -> tuple[Mapping[str, Any], ...]:
        """The programs of :meth:`tend`: ``name``, ``pid``, ``restarts``.

        ``broken`` says why one does not run any more; empty: it runs.
        """
        return tuple(self._call("tended"))

    def wait(self, child: int, timeout: float = 60.0) -> int:
        """The exit status of a child (negative: the signal). Raises HostError after ``timeout``."""
        return int(self._call("wait", child=child, timeout=timeout))

    def ended(self, child: int) -> int | None:
        """The exit status of a child (negative: the signal); None while it runs."""
        found = self._call("ended", child=child)
        return None if found is None else int(found)

    def kill(self, child: int, *, grace: float = 0.0) -> None:
        """End a child and all that it started: SIGTERM, ``grace`` seconds, SIGKILL."""
        self._call("kill", child=child, grace=grace)

    def capture_start(
        self,
        name: str,
        points: Sequence[tuple[str, str]],
        expression: str,
        path: Path,
        snaplen: int = 262144,
        *,
        places: Mapping[str, Place] | None = None,
    ) -> str:
        """Begin to write the packets of interfaces (place, interface) to a pcapng file; its id.

        ``expression`` is a filter in tcpdump's language, empty for everything. ``places`` need
        hold only those that :meth:`apply` has not told the keeper. Every packet after the return
        is taken. Raises CaptureError for a bad filter, HostError.
        """
        return str(
            self._call(
                "capture_start",
                name=name,
                points=[list(one) for one in points],
                filter=expression,
                path=str(Path(path).resolve()),
                snaplen=snaplen,
                places={one: to_json(place) for one, place in (places or {}).items()},
            )
        )

    def capture_flush(self, capture: str) -> Mapping[str, Any]:
        """Have every packet that came until now in the file; the counters so far."""
        return dict(self._call("capture_flush", capture=capture))

    def capture_stop(self, capture: str) -> Mapping[str, Any]:
        """End a capture: ``packets`` written, ``drops``, and both by ``interfaces``."""
        return dict(self._call("capture_stop", capture=capture))

    def open_socket(
        self,
        place: str,
        family: int,
        kind: int,
        protocol_number: int = 0,
        *,
        places: Mapping[str, Place] | None = None,
    ) -> socket.socket:
        """A new socket in the network of a place; it is this process's, and stays in that network.

        The arguments are those of ``socket.socket``. Raises GoneError, HostError.
        """
        given: list[socket.socket] = []
        self._call(
            "open_socket",
            given=given,
            place=place,
            family=int(family),
            kind=int(kind),
            protocol=int(protocol_number),
            places={one: to_json(where) for one, where in (places or {}).items()},
        )
        return given[0]

    def relay_open(
        self,
        name: str,
        place: str,
        port: int,
        to: Mapping[str, Any] | None,
        *,
        places: Mapping[str, Place] | None = None,
    ) -> int:
        """Lead a port (0: any) of a place's loopback elsewhere until the testbed ends; the port.

        ``to`` has ``place``, ``addresses`` (tried in turn) and ``port``, as seen from that place;
        None leads nowhere yet. It follows nodes that start again. Raises HostError, GoneError.
        """
        told = {one: to_json(where) for one, where in (places or {}).items()}
        return int(self._call("relay_open", name=name, place=place, port=port, to=to, places=told))

    def relay_aim(self, name: str, to: Mapping[str, Any] | None, why: str = "") -> None:
        """Lead a relay elsewhere, or nowhere and say ``why``; its connections are closed."""
        self._call("relay_aim", name=name, to=to, why=why)

    def relay_close(self, name: str) -> None:
        """Give a relay up; one that is not there is no error."""
        self._call("relay_close", name=name)

    def relays(self) -> Mapping[str, Mapping[str, Any]]:
        """Every relay by name: ``place``, ``port``, ``listening``, ``connections``, ``error``.

        ``error`` is why the last connection did not get there, or it does not listen.
        """
        return dict(self._call("relays"))

    def holders(self) -> tuple[Mapping[str, Any], ...]:
        """The processes that delay packets where the kernel has no netem.

        Each has ``place``, ``interface``, ``broken`` (what is wrong with it; empty: nothing) and
        the packets ``taken``, ``released``, ``held`` now, ``lost`` for want of room, and ``late``
        by more than 0.2 ms; ``latest`` is the worst of them in nanoseconds.
        """
        return tuple(self._call("holders"))

    def keep(self, keep: bool) -> None:
        """Whether the testbed outlives its owners. Only for one that is complete."""
        self._call("keep", keep=keep)

    def undo(self, on_line: Callable[[str], None] = lambda line: None) -> tuple[str, ...]:
        """Undo the testbed; what could not be removed. ``on_line`` sees the progress.

        The keeper ends afterwards.
        """
        left = tuple(self._call("undo", on_line))
        self.release()
        return left

    def _call(
        self,
        call: str,
        on_line: Callable[[str], None] | None = None,
        given: list[socket.socket] | None = None,
        **arguments: Any,
    ) -> Any:
        with self._open() as stream:
            try:
                protocol.send(stream, {"call": call, **arguments})
                while (answer := protocol.receive(stream, given)) is not None:
                    if "line" in answer:
                        if on_line is not None:
                            on_line(answer["line"])
                    elif "error" in answer:
                        raise protocol.raised(answer["error"])
                    else:
                        return answer.get("ok")
            except OSError as error:
                raise self._gone(error) from error
        raise self._gone(None)

    def _open(self) -> socket.socket:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(str(self._path))
        except OSError as error:
            stream.close()
            raise self._gone(error) from error
        return stream

    def _gone(self, error: OSError | None) -> HostError:
        why = f" ({error.strerror})" if error and error.strerror else ""
        return HostError(
            f"the keeper of {self.directory} is gone{why}",
            remedy=f"kinda clean {self.directory.name}",
        )
