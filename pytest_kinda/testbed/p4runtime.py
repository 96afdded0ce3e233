"""The P4Runtime server of a testbed: started where it is first asked for, one for all switches.

It is a child of the keeper, who starts it again where it dies; its port stays the same. It ends
with the testbed. What it says of itself is in ``p4runtime.json`` in the testbed's directory.
"""

from __future__ import annotations

import fcntl
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import P4RuntimeError
from pytest_kinda.plan.values import Plan
from pytest_kinda.testbed.notes import read_note

if TYPE_CHECKING:
    from pytest_kinda.build.standing import Standing
    from pytest_kinda.testbed.testbed import Testbed

NAME = "p4runtime"
PROGRAM = "pytest_kinda.testbed.p4runtime_server"
START_LIMIT = 60.0
"""Seconds for the server to begin."""

_LOG_TAIL = 1000


@dataclass(frozen=True)
class P4Runtime:
    """A server that runs: its ``address`` (HOST:PORT) and each switch's device id."""

    address: str
    devices: Mapping[str, int]

    def device_id(self, switch: str) -> int:
        """The id of a switch. Raises P4RuntimeError for one that it does not serve."""
        if switch not in self.devices:
            raise P4RuntimeError(
                f"the P4Runtime server has no switch {switch!r}; it has {', '.join(self.devices)}"
            )
        return self.devices[switch]


def p4runtime(kinda: Testbed) -> P4Runtime:
    """Have the testbed's P4Runtime server run, and say where a controller reaches it.

    Raises P4RuntimeError without the extra ``p4runtime``, and where no switch is native.
    Example::

        server = kinda.p4runtime()
        start_controller(server.address, device_id=server.device_id("s1"))
    """
    return serving(kinda.standing)


def device_ids(plan: Plan) -> dict[str, int]:
    """The device ids of the native P4 switches: from 1, in the order of the plan."""
    switches = [
        one.name
        for one in plan.nodes
        if one.device and any(each.protocol == "kinda-p4" for each in one.device.control)
    ]
    return {name: number for number, name in enumerate(switches, 1)}


def running(standing: Standing) -> P4Runtime | None:
    """The server of a testbed where it has been started, else None."""
    note = read_note(note_file(standing.directory))
    if note is None:
        return None
    return P4Runtime(f"127.0.0.1:{note['port']}", device_ids(standing.plan))


def serving(standing: Standing) -> P4Runtime:
    """``p4runtime``, of what stands."""
    if not device_ids(standing.plan):
        raise P4RuntimeError(
            f"testbed {standing.id} has no native P4 switch, which are those that its P4Runtime "
            "server has",
            remedy="P4Switch(..., engine='native')",
        )
    require()
    with _alone(standing.directory):
        keeper: Any = standing.keeper
        log = standing.directory / "p4runtime.log"
        if not any(one["name"] == NAME for one in keeper.tended()):
            argv = [sys.executable, "-m", PROGRAM, str(standing.directory)]
            keeper.tend(argv, name=NAME, log=log)
        return _answering(standing, keeper, log)


def client_of(standing: Standing, switch: str, options: Mapping[str, Any]) -> Any:
    """See ``P4SwitchHandle.p4runtime``."""
    server = serving(standing)
    import finsy

    given = {"device_id": server.device_id(switch), "fail_fast": True, **options}
    return finsy.Switch(switch, server.address, finsy.SwitchOptions(**given))


def require() -> None:
    """Raise P4RuntimeError where the extra is not installed."""
    if lacking := [one for one in ("finsy", "grpc") if find_spec(one) is None]:
        raise P4RuntimeError(
            f"P4Runtime needs {' and '.join(lacking)}, which is not installed",
            remedy="pip install 'pytest-kinda[p4runtime]'",
        )


def note_file(directory: Path) -> Path:
    """Where the server says which port it has."""
    return directory / "p4runtime.json"


def _answering(standing: Standing, keeper: Any, log: Path) -> P4Runtime:
    # the room for waiting belongs to the build, and is loaded where somebody waits
    from pytest_kinda.build.awaiting import wait_until

    def look() -> str:
        said = _end_of(log)
        for one in keeper.tended():
            if one["name"] == NAME and one["broken"]:
                raise P4RuntimeError(f"{one['broken']}: {said}")
        found = running(standing)
        if found is None:
            return f"it has no port yet; {said or 'it has said nothing'}"
        host, _, port = found.address.partition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
        except OSError as error:
            return f"{found.address}: {error}; {said or 'it has said nothing'}"
        return ""

    wait_until(look, "the P4Runtime server", limit=START_LIMIT, interval=0.05)
    found = running(standing)
    assert found is not None
    return found


def _end_of(log: Path) -> str:
    try:
        return log.read_text("utf-8", "replace")[-_LOG_TAIL:].strip()
    except OSError:
        return ""


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two processes of one testbed do not both start it."""
    with (directory / "p4runtime.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
