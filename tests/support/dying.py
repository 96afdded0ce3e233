"""``kinda`` that kills itself: ``python -m tests.support.dying STEP ARGUMENTS...``.

SIGKILL strikes before the STEPth thing that a removal changes outside of the process: a process
ended, a Docker object, a link or a rule deleted, a setting written, a file removed. Python's audit
events (PEP 578) tell what is about to happen, so that nothing of the package is replaced.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any


def changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event announces a change outside of this process."""
    if event == "http.client.send":
        return bytes(arguments[1])[:7] == b"DELETE "
    if event == "subprocess.Popen":
        argv = [str(one) for one in arguments[1]]
        return "-D" in argv or "delete" in argv
    if event == "open":
        return "/proc/" in str(arguments[0]) and "w" in str(arguments[1] or "")
    return event in ("os.kill", "os.remove", "os.rmdir")


def main(step: int, argv: list[str]) -> None:
    """Be ``kinda ARGV`` until that step."""
    from pytest_kinda.cli import main as kinda

    left = step
    lock = threading.Lock()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if changes(event, arguments):
            with lock:
                left -= 1
                if left > 0:
                    return
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGKILL)

    sys.argv = ["kinda", *argv]
    sys.addaudithook(hook)
    kinda()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
