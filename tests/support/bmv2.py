"""BMv2's simple_switch in file mode, to compare with: where one is installed, or by recordings.

``SIMPLE_SWITCH`` and ``SIMPLE_SWITCH_CLI`` name the programs where they are not on PATH.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from pytest_kinda.build.engine_api import EngineError, docker_request
from pytest_kinda.p4 import Frame
from pytest_kinda.setup import pins

LIMIT = 60.0
_GLOBAL = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def has_image() -> bool:
    """Whether the engine has the published image, under its name."""
    try:
        docker_request("GET", f"/images/{quote(pins.BMV2, safe='')}/json")
    except (EngineError, OSError):
        return False
    return True


def find_simple_switch() -> str | None:
    return shutil.which(os.environ.get("SIMPLE_SWITCH", "simple_switch"))


def by_port(frames: Iterable[Frame]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for frame in frames:
        found.setdefault(frame.port, []).append(frame.data)
    return found


def write_pcap(path: Path, packets: Sequence[tuple[int, bytes]]) -> None:
    """Packets with the number of each in the order of all ports, which is their time."""
    parts = [_GLOBAL]
    for number, data in packets:
        head = struct.pack("<IIII", number // 1000000, number % 1000000, len(data), len(data))
        parts += [head, data]
    path.write_bytes(b"".join(parts))


def read_pcap(path: Path) -> list[bytes]:
    content = path.read_bytes() if path.exists() else b""
    found, at = [], len(_GLOBAL)
    while at + 16 <= len(content):
        size = struct.unpack_from("<IIII", content, at)[2]
        if at + 16 + size > len(content):
            break
        found.append(content[at + 16 : at + 16 + size])
        at += 16 + size
    return found


def run_bmv2(
    program: Path,
    frames: Sequence[Frame],
    ports: Sequence[int],
    folder: Path,
    *,
    commands: str = "",
    start: int = 15,
    still: float = 20,
    control: int = 19090,
) -> dict[int, list[bytes]]:
    """What BMv2 sends, by port. ``commands`` go through simple_switch_CLI before.

    It begins to read ``start`` seconds after its start, and is done when it has written nothing
    for ``still`` seconds; ``control`` is the port of its control channel.

    Raises:
        TooSlow: The commands took longer than ``start``.
    """
    switch, cli = find_simple_switch(), os.environ.get("SIMPLE_SWITCH_CLI", "simple_switch_CLI")
    assert switch, "no simple_switch"
    for port in ports:
        mine = [(i, frame.data) for i, frame in enumerate(frames) if frame.port == port]
        write_pcap(folder / f"p{port}_in.pcap", mine)
        (folder / f"p{port}_out.pcap").unlink(missing_ok=True)
    # a queue of 64 packets loses what comes from a file: there is nothing that slows it down
    lines = [f"set_queue_depth {len(frames) * 16 + 64}", *commands.splitlines()]
    # without empty lines, for which the CLI does the last command again
    commands = "".join(f"{line}\n" for line in lines if line.strip())
    words = [switch, "--use-files", str(start), "--thrift-port", str(control)]
    for port in ports:
        words += ["-i", f"{port}@p{port}"]
    with open(folder / "bmv2.log", "wb") as log:
        process = subprocess.Popen(
            [*words, str(program.resolve())], cwd=folder, stdout=log, stderr=log
        )
        began = time.monotonic()
        try:
            _until_open(process, control)
            done = subprocess.run(
                [cli, "--thrift-port", str(control)],
                input=commands,
                text=True,
                capture_output=True,
                check=False,
                timeout=LIMIT,
            )
            assert not {"Error", "Invalid"} & set(re.findall(r"\w+", done.stdout)), done.stdout
            assert done.returncode == 0, done.stderr
            if time.monotonic() - began > start:
                raise TooSlow
            _until_still(
                process, [folder / f"p{port}_out.pcap" for port in ports], began + start, still
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)
    return {port: found for port in ports if (found := read_pcap(folder / f"p{port}_out.pcap"))}


class TooSlow(Exception):
    """BMv2 began to read its files before it had all its entries."""


def _until_open(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 10
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "simple_switch ended"
        assert time.monotonic() < end, "simple_switch does not listen"
        time.sleep(0.05)


def _until_still(
    process: subprocess.Popen[bytes], outputs: Sequence[Path], begins: float, still: float
) -> None:
    """It reads its files and then waits for ever: done when nothing grows for some seconds."""
    sizes: tuple[int, ...] = (0,)
    since = begins
    while time.monotonic() - begins < LIMIT:
        now = tuple(path.stat().st_size if path.exists() else 0 for path in outputs)
        if now != sizes:
            sizes, since = now, max(begins, time.monotonic())
        if time.monotonic() - since > still:
            return
        assert process.poll() is None, "simple_switch ended"
        time.sleep(0.1)
    raise AssertionError("simple_switch goes on writing")


# ---- packets ----


def bytes_of(dice: random.Random, size: int) -> bytes:
    """Random bytes with many of the values at which programs turn."""
    style = dice.randrange(4)
    if style == 0:
        return bytes(dice.choice((0, 1, 2, 255, 128)) for _ in range(size))
    return bytes(dice.getrandbits(8) for _ in range(size))


# ---- recordings ----


def save(path: Path, frames: Sequence[Frame], outputs: Mapping[int, Sequence[bytes]]) -> None:
    lines = [f"in {frame.port} {frame.data.hex()}" for frame in frames]
    lines += [f"out {port} {data.hex()}" for port in sorted(outputs) for data in outputs[port]]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))


def load(path: Path) -> tuple[list[Frame], dict[int, list[bytes]]]:
    frames: list[Frame] = []
    outputs: dict[int, list[bytes]] = {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        way, port, data = (line.split(" ") + [""])[:3]
        if way == "in":
            frames.append(Frame(int(port), bytes.fromhex(data)))
        else:
            outputs.setdefault(int(port), []).append(bytes.fromhex(data))
    return frames, outputs
