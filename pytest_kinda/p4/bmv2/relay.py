"""Bytes to BMv2's Thrift port and back, over a command in its container.

The port is open on the loopback of the switch's own network namespace, which has no interface but
the program's: a relay there reaches it, and nobody else does. It needs ``bash`` and coreutils.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from pytest_kinda.errors import HostError, P4ControlError

THRIFT_PORT = 9090
LIMIT = 30.0
"""Seconds that a switch may take for what it sends next."""

# It waits for the port as long as the process lives. Each direction is a cat; when one has ended
# there is nothing more to carry.
_RELAY = """\
cd "$1" || exit
ended() {
    [ ! -e "/proc/$(cat pid 2>/dev/null || echo 0)/exe" ] || return 1
    echo "no P4 switch answers in $1: BMv2 has ended; its log ends with:" \\
        "$(tail -c 500 log | tr '\\n' ' ')" >&2
}
for _ in {1..500}; do
    { exec 3<>"/dev/tcp/127.0.0.1/$2"; } 2>/dev/null && break
    ended "$1" && exit 1
    sleep 0.02
done
exec 4<&0
cat <&4 >&3 &
up=$!
cat <&3 &
down=$!
wait -n
ended "$1"
kill $up $down 2>/dev/null
true
"""


class Session(Protocol):
    """A command that runs, and its streams."""

    def read(self) -> tuple[int, bytes] | None:
        """The next piece of stream 1 or 2; None at the end."""

    def write(self, data: bytes) -> None:
        """Send to its standard input."""

    def close(self) -> None:
        """Let go of it."""


class Execution(Protocol):
    """Where commands are started."""

    def start(self, argv: Sequence[str], *, stdin: bool = False) -> Session:
        """Start a command. Raises HostError."""


class RelayStream:
    """The Thrift port of the BMv2 whose folder in the container is ``folder``.

    Raises P4ControlError where no command can be started there.
    """

    def __init__(self, execution: Execution, folder: str, port: int = THRIFT_PORT) -> None:
        try:
            self._session = execution.start(
                ("bash", "-c", _RELAY, "relay", folder, str(port)), stdin=True
            )
        except HostError as error:
            raise P4ControlError(f"no relay to its control port: {error.message}") from error
        self._said = bytearray()

    def send(self, data: bytes) -> None:
        """Send all of it; that it has ended is told by what it said, which ``receive`` reads."""
        with suppress(OSError):
            self._session.write(data)

    def receive(self) -> bytes:
        """The next piece. Raises P4ControlError with what was said instead of an answer."""
        timer = threading.Timer(LIMIT, self._session.close)
        timer.daemon = True
        timer.start()
        try:
            while (piece := self._session.read()) is not None:
                if piece[0] == 1:
                    return piece[1]
                self._said += piece[1]
        except (OSError, HostError) as error:
            raise P4ControlError(f"its control port is gone: {error}") from error
        finally:
            timer.cancel()
        said = self._said.decode("utf-8", "replace").strip()
        raise P4ControlError(said or f"its control port gave no answer within {LIMIT:g} s")

    def close(self) -> None:
        """End the relay."""
        self._session.close()
