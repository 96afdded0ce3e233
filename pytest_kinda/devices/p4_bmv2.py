"""How the container of a P4 switch becomes BMv2, and how that is held from outside."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from pytest_kinda.devices.p4_entries import told
from pytest_kinda.errors import HostError, P4ControlError
from pytest_kinda.p4.bmv2 import Bmv2Channel, Client
from pytest_kinda.p4.bmv2.client import Call
from pytest_kinda.p4.bmv2.controller import Ends
from pytest_kinda.p4.bmv2.notifications import PORT as NOTIFICATIONS_PORT
from pytest_kinda.p4.bmv2.packet_end import PAIR, Opener
from pytest_kinda.p4.bmv2.relay import THRIFT_PORT, Execution, RelayStream
from pytest_kinda.p4.program import Program
from pytest_kinda.p4.reading import parse_program
from pytest_kinda.plan.values import CommandSpec, DeviceSpec, NodePlan

Made = TypeVar("Made")

FOLDER = "/var/lib/kinda-p4"
SOURCE = f"{FOLDER}/program.json"
DECLARED = f"{FOLDER}/declared"
MESSAGES = f"{FOLDER}/messages"
"""Where ``log=`` writes, with ``.txt`` behind; BMv2 keeps 4 files of 5 MB."""

LOG_LEVELS = ("trace", "debug", "info", "warn", "error")
DRIVER = "pytest_kinda.devices.p4_bmv2:Bmv2Driver"
PORTS_LIMIT = 5.0
"""Seconds for the carriers of ports: a switch that answers has opened them already."""

SLOW = (
    "this build of BMv2 has its logging macros, which makes it 2 to 12 times slower: one that is "
    "made for speed has -O3 and --disable-logging-macros, see docs/p4.md"
)

NOTIFICATIONS = f"tcp://127.0.0.1:{NOTIFICATIONS_PORT}"

_FIND = """\
for one in simple_switch simple_switch_grpc; do
    command -v "$one" >/dev/null && break
    one=
done
[ -n "$one" ] || {
    echo "neither simple_switch nor simple_switch_grpc is on the image's PATH ($PATH)" >&2
    exit 1
}
"""
_START = f"""\
{_FIND}cd "$1" || exit
shift
# of the other it is the default, and no option; nor has that notifications
[ "$one" != simple_switch ] || swap=--enable-swap
case $("$one" --help 2>&1) in
    *--notifications-addr*) set -- --notifications-addr {NOTIFICATIONS} "$@" ;;
esac
"$one" "$@" $swap >log 2>&1 </dev/null &
echo "$!" >pid
"""
# It says what is compiled out before it looks at the folder, and ends there.
_LOOK = f"""\
{_FIND}"$one" --no-p4 --log-console --log-level trace --pcap /nonexistent 2>&1
true
"""


def device_id(name: str) -> int:
    """What a switch calls itself: another number for each name.

    >>> device_id("s1") == device_id("s2")
    False
    """
    return zlib.crc32(name.encode())


def start_command(
    name: str,
    numbers: Sequence[tuple[int, str]],
    log: str | None,
    priority_queues: int,
    cpu_port: int | None = None,
) -> CommandSpec:
    """What starts BMv2 in the background, with each interface at the port of its number."""
    words = ["--device-id", str(device_id(name)), "--thrift-port", str(THRIFT_PORT)]
    controller = [] if cpu_port is None else [(cpu_port, PAIR[0])]
    for number, interface in (*numbers, *controller):
        words += ["-i", f"{number}@{interface}"]
    if log:
        words += ["--log-file", MESSAGES, "--log-level", log, "--log-flush"]
    words += [SOURCE, "--"]
    if priority_queues > 1:
        words += ["--priority-queues", str(priority_queues)]
    return CommandSpec(("sh", "-c", _START, "start", FOLDER, *words))


class Bmv2Connection:
    """Commands to the BMv2 of a device, over one relay that stays until it is closed.

    Its packets and digests come over sockets of ``opener``; without one it has neither.
    """

    def __init__(self, node: NodePlan, execution: Execution, opener: Opener | None = None) -> None:
        self._node = node
        self._execution = execution
        self._client: Client | None = None
        self._lock = threading.Lock()
        device = node.device or DeviceSpec()
        self._files = {one.path: one.text for one in device.files}
        self._ends = Ends(opener, has_cpu_port=bool(device.pair))
        self._swapped: tuple[Program, str] | None = None

    @cached_property
    def program(self) -> Program:
        """The program that it was declared with. Raises ProgramError."""
        return parse_program(self._files[SOURCE].encode(), self._node.name)

    def ask(self, lines: Sequence[str]) -> list[list[str]]:
        """Carry out commands; see ``Control``. Raises P4ControlError where the switch is gone."""
        return self._carried(lambda channel: channel.ask(lines))

    def listen(self) -> None:
        """Have packets and digests wait from now on; where they cannot, a call for them tells."""
        self._ends.renew(digests=bool(self.program.digests))

    def swap(self, program: Program | None, source: str = "") -> None:
        """Have it run another program, of this JSON text, with nothing declared; None: its own.

        Raises P4ControlError.
        """
        self._swapped = None if program is None else (program, source)
        self.__dict__.pop("_standing", None)
        ((*_, answer),) = self.ask(["reset"])
        if not answer.startswith("ok"):
            raise P4ControlError(f"{self._node.name}: the program was not exchanged: {answer}")

    def declare(self) -> None:
        """Carry out what was declared. Raises P4ControlError."""
        answer = self._carried(Bmv2Channel.declare)[-1]
        if answer != "ok":
            raise P4ControlError(f"{self._node.name}: {answer}")

    def call(self, name: str) -> Any:
        """A call of the standard service without arguments. Raises P4ControlError."""
        return self._carried(lambda channel: channel.client.one(Call("standard", name)))

    def _carried(self, act: Callable[[Bmv2Channel], Made]) -> Made:
        with self._lock:
            fresh = self._client is None
            try:
                return act(self._channel())
            except P4ControlError as error:
                self._end()
                if fresh:
                    raise self._named(error) from error
            try:  # it may have started again since
                return act(self._channel())
            except P4ControlError as error:
                self._end()
                raise self._named(error) from error

    def close(self) -> None:
        """End the relay and what waits beside it; the switch goes on."""
        with self._lock:
            self._end()
            self._ends.close()

    def _channel(self) -> Bmv2Channel:
        if self._client is None:
            self._client = Client(RelayStream(self._execution, FOLDER))
        self._standing.client = self._client
        return self._standing

    @cached_property
    def _standing(self) -> Bmv2Channel:
        assert self._client is not None
        if self._swapped is not None:
            return Bmv2Channel(self._swapped[0], self._client, self._swapped[1], ends=self._ends)
        lines = self._files[DECLARED].splitlines()
        source = self._files[SOURCE]
        return Bmv2Channel(self.program, self._client, source, lines, ends=self._ends)

    def _named(self, error: P4ControlError) -> P4ControlError:
        ports = told(self._node.interfaces, self._node.port_numbers)
        return P4ControlError(
            f"{self._node.name}: {error.message}; {ports}",
            remedy=error.remedy or f"kinda exec {self._node.name} -- cat {FOLDER}/log",
        )

    def _end(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


class Bmv2Driver:
    """Makes the BMv2 that start-up commands have begun the switch that was declared."""

    def __init__(self, node: NodePlan, execution: Execution) -> None:
        self._node = node
        self._execution = execution

    def start(self) -> Sequence[str]:
        """Wait until it answers, is ours, runs the program and has each port up; tell it entries.

        Raises P4ControlError at once where it has ended, is another's, or lacks an interface.
        """
        connection = Bmv2Connection(self._node, self._execution)
        try:
            self._look_at(connection)
            connection.declare()
        finally:
            connection.close()
        return [SLOW] if _is_slow(self._execution) else []

    def attach(self, interface: str) -> None:
        """Give the port of an interface the new one of that name. Raises P4ControlError."""
        connection = Bmv2Connection(self._node, self._execution)
        try:
            number = self._node.port_numbers[interface]
            ((*_, answer),) = connection.ask([f"attach {number} {interface}"])
        finally:
            connection.close()
        if answer != "ok":
            raise P4ControlError(f"{self._node.name}: {answer}")

    def _look_at(self, connection: Bmv2Connection) -> None:
        name, ours = self._node.name, device_id(self._node.name)
        if (found := connection.call("bm_mgmt_get_info").get(1)) != ours:
            raise P4ControlError(
                f"{name}: found device {found} at its control port; expected {ours}: another "
                "process listens there"
            )
        ((loaded,),) = connection.ask(["program"])
        if loaded != f"ok {connection.program.digest}":
            raise P4ControlError(f"{name}: found {loaded}, which is another program than declared")
        wanted = {f"- {number} {one}" for one, number in self._node.port_numbers.items()}
        about = self._node.device.about if self._node.device is not None else None
        if (cpu_port := (about or {}).get("cpu_port")) is not None:
            wanted.add(f"- {cpu_port} {PAIR[0]}")

        def down() -> str:
            ((*rows, _),) = connection.ask(["ports"])
            states = dict(row.rsplit(" ", 1) for row in rows)
            if lacking := sorted(wanted - set(states)):
                raise P4ControlError(
                    f"{name}: BMv2 has not taken {', '.join(one[2:] for one in lacking)}: found "
                    f"{', '.join(one[2:] for one in rows) or 'no port'}; "
                    + told(self._node.interfaces, self._node.port_numbers),
                    remedy="the interface must be there before BMv2 starts",
                )
            return ", ".join(sorted(one[2:] for one in wanted if states[one] != "up"))

        retrying = Retrying(
            retry=retry_if_result(bool), stop=stop_after_delay(PORTS_LIMIT), wait=wait_fixed(0.05)
        )
        try:
            retrying(down)
        except RetryError as error:
            still = error.last_attempt.result()
            raise P4ControlError(f"{name}: ports not up after {PORTS_LIMIT:g} s: {still}") from None


def _is_slow(execution: Execution) -> bool:
    """Whether the BMv2 of an image has its logging macros; no where it does not say."""
    said = bytearray()
    try:
        session = execution.start(("sh", "-c", _LOOK))
        try:
            while (piece := session.read()) is not None:
                said += piece[1]
        finally:
            session.close()
    except (OSError, HostError):
        return False  # it runs all the same: nothing is wrong with it
    return b"/nonexistent" in said and b"disabled logging macros" not in said
