"""Live captures: all that is written reaches the reader, and a reader that goes ends them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_kinda.errors import CaptureError
from pytest_kinda.testbed.capture import Capture
from pytest_kinda.testbed.live import stream

HEAD, TAIL = b"head", b"t" * 300_000  # the tail is more than two pipes hold


class Writer:
    """A capturer that writes as the keeper's child does: a head, and the rest when stopped."""

    def __init__(self) -> None:
        self.stopped = False

    def capture_start(
        self,
        name: str,
        points: Sequence[tuple[str, str]],
        expression: str,
        path: Path,
        snaplen: int,
    ) -> str:
        if expression == "bad":
            raise CaptureError("capture filter 'bad'")
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(self.file, HEAD)
        return "1"

    def capture_flush(self, identity: str) -> Mapping[str, Any]:
        return {}

    def capture_stop(self, identity: str) -> Mapping[str, Any]:
        rest = memoryview(TAIL)
        while rest:
            rest = rest[os.write(self.file, rest) :]
        os.close(self.file)
        self.stopped = True
        return {"packets": 7, "drops": 2}


def capture(writer: Writer, path: Path, expression: str = "") -> Capture:
    return Capture(writer, [("w1", "eth1")], path, expression=expression, allow_drops=True)


def test_everything_reaches_the_reader() -> None:
    source, out = os.pipe()
    over, got = threading.Event(), bytearray()

    def read() -> None:
        while data := os.read(source, 4096):
            got.extend(data)
            over.set()  # the user's Ctrl-C, when the head is there: it did not wait for the end

    reader = threading.Thread(target=read)
    reader.start()
    taken = stream(lambda path: capture(Writer(), path), out, over)
    os.close(out)
    reader.join(10)
    os.close(source)
    assert bytes(got) == HEAD + TAIL
    assert (taken.taken, taken.drops) == (7, 2)
    assert not taken.path.exists()


def test_a_reader_that_is_gone_ends_it() -> None:
    source, out = os.pipe()
    os.close(source)
    writer = Writer()
    taken = stream(lambda path: capture(writer, path), out, threading.Event())
    os.close(out)
    assert writer.stopped
    assert not taken.running


def test_a_bad_filter_is_told() -> None:
    source, out = os.pipe()
    with pytest.raises(CaptureError, match="bad"):
        stream(lambda path: capture(Writer(), path, "bad"), out, threading.Event())
    os.close(source)
    os.close(out)
