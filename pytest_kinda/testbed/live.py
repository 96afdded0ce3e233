"""Live captures: packets go to a stream as they come, through a pipe with a name.

The keeper's child writes to the pipe as to a file. A reader that is slow makes it wait, and then
the kernel's ring may overflow: those packets are counted, as for every capture.
"""

from __future__ import annotations

import os
import select
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from pytest_kinda.testbed.capture import Capture

_TICK_MS = 200


def stream(make: Callable[[Path], Capture], out: int, over: threading.Event) -> Capture:
    """Copy a capture to a descriptor until ``over`` is set or nobody reads it any more.

    ``make`` gives the capture for a path. It is stopped when this returns, and all of it has been
    copied unless the reader is gone. Raises CaptureError, HostError. Example::

        stream(lambda path: kinda.capture("w1:eth1", path=path), 1, threading.Event())
    """
    with tempfile.TemporaryDirectory(prefix="kinda-capture-") as folder:
        path = Path(folder) / "live.pcapng"
        os.mkfifo(path, 0o600)
        capture = make(path)
        # Opened before the writer, who would wait for a reader else.
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        ended, gone = threading.Event(), threading.Event()
        copier = threading.Thread(target=_copy, args=(source, out, ended, gone), daemon=True)
        copier.start()
        closed = False
        try:
            capture.start()
            while not over.wait(_TICK_MS / 1000) and not _reader_gone(out) and copier.is_alive():
                pass
            capture.stop()
            closed = True
        finally:
            ended.set()
            # The writer has closed the pipe, so that the copy ends when the reader has taken it.
            while closed and copier.is_alive() and not _reader_gone(out):
                copier.join(_TICK_MS / 1000)
            gone.set()
            copier.join(1.0)
            os.close(source)
        return capture


def _copy(source: int, out: int, ended: threading.Event, gone: threading.Event) -> None:
    """Read until the writer has closed; what comes when the reader is gone is thrown away."""
    waiting = select.poll()
    waiting.register(source, select.POLLIN)
    open_end = True
    while True:
        if not waiting.poll(_TICK_MS):
            if gone.is_set() and ended.is_set():
                return
            continue
        try:
            data = os.read(source, 1 << 16)
        except BlockingIOError:
            continue
        if not data:
            return
        while open_end and data:
            try:
                data = data[os.write(out, data) :]
            except OSError:  # a broken pipe, or a full disk: the capture itself goes on to its end
                open_end = False
                gone.set()


def _reader_gone(out: int) -> bool:
    """Whether what reads a pipe has closed it; never true of a file."""
    looking = select.poll()
    looking.register(out, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in looking.poll(0))
