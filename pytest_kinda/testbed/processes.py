"""Commands that run: to their end, or in the background while a test goes on.

A *session* is one running command and its three streams, whoever carries it (Docker's exec, the
API server's websocket, a local process). Everything else is the same for nodes, devices and pods.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol

from pytest_kinda.errors import CommandError, HostError, WaitTimeoutError
from pytest_kinda.testbed.results import Result, Stopwatch

STDOUT = 1
STDERR = 2


class Session(Protocol):
    """One running command."""

    def read(self) -> tuple[int, bytes] | None:
        """The next piece of stream 1 or 2; None when the command has ended."""
        ...

    def write(self, data: bytes) -> None:
        """Send to standard input."""
        ...

    def close_stdin(self) -> None:
        """End standard input."""
        ...

    def status(self) -> int:
        """The exit status, once ``read`` gave None."""
        ...

    def kill(self) -> None:
        """Kill the command, where that can be done from outside."""
        ...

    def close(self) -> None:
        """Let go of the streams; a ``read`` that waits returns None."""
        ...


class Execution(Protocol):
    """Where commands run."""

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: bool = False,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
    ) -> Session:
        """Start a command."""
        ...


# A shell tells its process id and becomes the command: what runs in a container can only be
# killed from within, and an exec there leads a process group of its own (runc calls setsid).
_TELL_PID = 'echo "$$" >&2; exec "$@"'
# The group while it lives, else the process alone.
_KILL = 'kill -s "$1" -- "-$2" 2>/dev/null || kill -s "$1" "$2" 2>/dev/null || true'


class Process:
    """A command that runs in the background; it is killed when its ``with`` block ends.

    Example::

        with kinda.node("w2").start("iperf3", "-s") as server:
            server.wait_for_output("listening")
            ...
        assert "iperf3" in server.stdout
    """

    def __init__(
        self,
        execution: Execution,
        argv: Sequence[str],
        where: str,
        *,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        stdin: bool = False,
        on_end: Callable[[Process], None] | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self.where = where
        self._execution = execution
        self._watch = Stopwatch()
        self._on_end = on_end
        self._changed = threading.Condition()
        self._out = bytearray()
        self._err = bytearray()
        self._pid: int | None = None
        self._rc: int | None = None
        self._duration = 0.0
        self._session = execution.start(
            ("sh", "-c", _TELL_PID, "sh", *argv), stdin=stdin, env=env, workdir=workdir
        )
        self._reader = threading.Thread(
            target=self._read, name=f"{where}: {self.argv[0]}", daemon=True
        )
        self._reader.start()

    def _read(self) -> None:
        try:
            while (piece := self._session.read()) is not None:
                stream, data = piece
                with self._changed:
                    (self._out if stream == STDOUT else self._err).extend(data)
                    if self._pid is None and b"\n" in self._err:
                        first, _, rest = bytes(self._err).partition(b"\n")
                        self._pid = int(first) if first.strip().isdigit() else 0
                        self._err = bytearray(rest if self._pid else self._err)
                    self._changed.notify_all()
            status = self._session.status()
        except (OSError, ValueError, HostError) as error:
            status = 255
            with self._changed:
                self._err.extend(f"\n(connection lost: {error})".encode())
        with self._changed:
            self._rc = status
            self._duration = self._watch.seconds
            self._changed.notify_all()

    @property
    def stdout(self) -> str:
        """What it has printed until now."""
        with self._changed:
            return self._out.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """What it has printed to standard error until now."""
        with self._changed:
            return "" if self._pid is None else self._err.decode("utf-8", "replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        with self._changed:
            return self._rc is None

    def write(self, text: str | bytes) -> None:
        """Send to its standard input; it must have been started with ``stdin=True``."""
        self._session.write(text.encode() if isinstance(text, str) else text)

    def close_stdin(self) -> None:
        """End its standard input."""
        self._session.close_stdin()

    def wait_for_output(self, pattern: str, *, timeout: float = 30.0) -> re.Match[str]:
        """Wait until a regular expression is found in either stream.

        ``timeout`` in seconds. Raises WaitTimeoutError with what was printed, and CommandError
        when the command ends without it.
        """
        watch = Stopwatch()
        with self._changed:
            while True:
                for stream in (self._out, self._err):
                    if found := re.search(pattern, stream.decode("utf-8", "replace")):
                        return found
                if self._rc is not None:
                    raise self._result().error(f"it ended before printing {pattern!r}")
                left = timeout - watch.seconds
                if left <= 0:
                    printed = (self._out + self._err).decode("utf-8", "replace")[-1000:]
                    raise WaitTimeoutError(
                        f"{self.where}: {' '.join(self.argv)!r} did not print {pattern!r} "
                        f"within {timeout:g} s; it printed: {printed!r}"
                    )
                self._changed.wait(left)

    def lines(self, *, timeout: float | None = None) -> Iterator[str]:
        """The lines of standard output as they come, until the command ends.

        ``timeout`` in seconds bounds the wait for each line: WaitTimeoutError.
        """
        place = 0
        while True:
            with self._changed:
                came = self._changed.wait_for(partial(self._has_line_at, place), timeout)
                if not came:
                    raise WaitTimeoutError(
                        f"{self.where}: {' '.join(self.argv)!r} printed no line for {timeout:g} s"
                    )
                end = self._out.find(b"\n", place)
                line = bytes(self._out[place : end if end >= 0 else len(self._out)])
            if end < 0:
                if line:
                    yield line.decode("utf-8", "replace")
                return
            place = end + 1
            yield line.decode("utf-8", "replace").rstrip("\r")

    def _has_line_at(self, place: int) -> bool:
        return self._rc is not None or self._out.find(b"\n", place) >= 0

    def _result(self) -> Result:
        rc = 255 if self._rc is None else self._rc
        return Result(rc, bytes(self._out), bytes(self._err), self._duration, self.argv, self.where)

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Result:
        """Wait for its end.

        ``timeout`` in seconds: WaitTimeoutError, and it goes on running. Raises CommandError for
        an exit status other than 0 unless ``check=False``.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._rc is not None, timeout):
                printed = (self._out + self._err)[-500:].decode("utf-8", "replace")
                raise WaitTimeoutError(
                    f"{self.where}: {' '.join(self.argv)!r} still runs after {timeout:g} s; "
                    f"its last output: {printed!r}"
                )
            result = self._result()
        self._ended()
        return result.check() if check else result

    def signal(self, name: str = "TERM") -> None:
        """Send a signal, by name without SIG, to it and to what it has started."""
        with self._changed:
            known = self._changed.wait_for(
                lambda: self._pid is not None or self._rc is not None, 10.0
            )
            pid, rc = self._pid, self._rc
        if rc is not None or not known or not pid:
            return
        run(self._execution, ("sh", "-c", _KILL, "sh", name, str(pid)), self.where, timeout=10.0)

    def stop(self, *, grace: float = 2.0) -> Result:
        """End it: TERM, then KILL after ``grace`` seconds. What it had printed is the result."""
        try:
            for name, patience in (("TERM", grace), ("KILL", 5.0)):
                if not self.running:
                    break
                self.signal(name)
                with self._changed:
                    self._changed.wait_for(lambda: self._rc is not None, patience)
        finally:
            self._session.close()
            self._reader.join(5.0)
            self._ended()
        with self._changed:
            return self._result()

    def _ended(self) -> None:
        if self._on_end is not None:
            self._on_end(self)
            self._on_end = None

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def run(
    execution: Execution,
    argv: Sequence[str],
    where: str,
    *,
    timeout: float | None = 300.0,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    workdir: str | None = None,
) -> Result:
    """Run a command to its end and give its result, whatever its status.

    Raises CommandError when it did not end within ``timeout`` seconds; it is killed
    then, and the error shows what had been printed.
    """
    watch = Stopwatch()
    session = execution.start(argv, stdin=bool(stdin), env=env, workdir=workdir)
    out, err = bytearray(), bytearray()
    late = threading.Event()

    def give_up() -> None:
        late.set()
        try:
            session.kill()
        finally:
            session.close()

    timer = threading.Timer(timeout, give_up) if timeout is not None else None
    writer: threading.Thread | None = None
    try:
        if timer is not None:
            timer.daemon = True
            timer.start()
        if stdin:
            writer = threading.Thread(target=_feed, args=(session, stdin), daemon=True)
            writer.start()
        lost = ""
        try:
            while (piece := session.read()) is not None:
                (out if piece[0] == STDOUT else err).extend(piece[1])
            rc = -1 if late.is_set() else session.status()
        except (OSError, ValueError, HostError) as error:
            rc, lost = -1, f"connection lost: {error}"
    finally:
        if timer is not None:
            timer.cancel()
        session.close()
        if writer is not None:
            writer.join(5.0)
    if late.is_set():
        lost = f"it did not end within {timeout:g} s; pass timeout= for more"
    result = Result(rc, bytes(out), bytes(err), watch.seconds, tuple(argv), where)
    if lost:
        raise CommandError(argv, where, rc, result.stdout, result.stderr, note=lost)
    return result


def _feed(session: Session, data: bytes) -> None:
    try:
        session.write(data)
        session.close_stdin()
    except (OSError, ValueError):
        return  # a command that does not read its input ends by itself; its status tells
