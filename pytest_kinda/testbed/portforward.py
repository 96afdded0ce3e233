"""A local port that leads to a pod or service, by ``kubectl port-forward``."""

from __future__ import annotations

import re
import subprocess
import threading
from types import TracebackType

from pytest_kinda.errors import CommandError, WaitTimeoutError
from pytest_kinda.testbed.kubectl import Kubectl


class PortForward:
    """Forwards a port of 127.0.0.1 while its ``with`` block runs.

    ``local_port`` is chosen by the system. Raises CommandError with kubectl's words, and
    WaitTimeoutError when it says nothing.
    """

    def __init__(
        self, kubectl: Kubectl, what: str, port: int, namespace: str, timeout: float
    ) -> None:
        self.what = what
        self.port = port
        self._kubectl = kubectl
        self._namespace = namespace
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._printed: list[str] = []
        self.local_port = 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port for ``socket.create_connection``."""
        return "127.0.0.1", self.local_port

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.local_port}"

    def start(self) -> PortForward:
        """Begin, and wait until the local port listens."""
        argv = ("port-forward", "--address", "127.0.0.1", "-n", self._namespace, self.what)
        self._process = subprocess.Popen(
            self._kubectl.command(*argv, f":{self.port}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._kubectl.environment(),
        )
        listening = threading.Event()
        threading.Thread(target=self._read, args=(listening,), daemon=True).start()
        if not listening.wait(self._timeout):
            self.stop()
            raise WaitTimeoutError(
                f"port-forward to {self.what} did not listen within {self._timeout:g} s; "
                f"it printed: {''.join(self._printed)!r}"
            )
        if not self.local_port:
            rc = self._process.wait(10)
            raise CommandError(
                ("kubectl", *argv, f":{self.port}"), "this machine", rc, "", "".join(self._printed)
            )
        return self

    def _read(self, listening: threading.Event) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with process.stdout:
            for line in process.stdout:
                self._printed.append(line)
                if found := re.search(r"Forwarding from 127\.0\.0\.1:(\d+)", line):
                    self.local_port = int(found.group(1))
                    listening.set()
        listening.set()

    def stop(self) -> None:
        """End it; a second time does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    def __enter__(self) -> PortForward:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
