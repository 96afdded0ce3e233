"""BMv2's simple_switch in file mode, to compare with: where one is installed, or by recordings.

``SIMPLE_SWITCH`` names the program where it is not on PATH. Its control plane (Thrift) is not
needed: entries are written into the program's JSON, where the program may declare them.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_kinda.p4 import Frame
from pytest_kinda.p4.program import MatchValue, Program, Table

LIMIT = 60.0
_GLOBAL = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


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
    cli: Sequence[str] = (),
) -> dict[int, list[bytes]]:
    """What BMv2 sends, by port. ``commands`` go through ``cli`` (simple_switch_CLI) before."""
    switch = find_simple_switch()
    assert switch, "no simple_switch"
    for port in ports:
        mine = [(i, frame.data) for i, frame in enumerate(frames) if frame.port == port]
        write_pcap(folder / f"p{port}_in.pcap", mine)
        (folder / f"p{port}_out.pcap").unlink(missing_ok=True)
    words = [switch, "--use-files", "4" if commands else "0", "--thrift-port", "19090"]
    for port in ports:
        words += ["-i", f"{port}@p{port}"]
    with open(folder / "bmv2.log", "wb") as log:
        process = subprocess.Popen(
            [*words, str(program.resolve())], cwd=folder, stdout=log, stderr=log
        )
        try:
            if commands:
                time.sleep(1.5)
                done = subprocess.run(
                    [*cli, "--thrift-port", "19090"],
                    input=commands,
                    text=True,
                    capture_output=True,
                    check=False,
                )
                assert "Error" not in done.stdout, done.stdout
                assert done.returncode == 0, done.stderr
            _until_still(process, [folder / f"p{port}_out.pcap" for port in ports])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)
    return {port: found for port in ports if (found := read_pcap(folder / f"p{port}_out.pcap"))}


def _until_still(process: subprocess.Popen[bytes], outputs: Sequence[Path]) -> None:
    """It reads its files and then waits for ever: done when nothing grows for some seconds."""
    sizes, since, start = (0,), time.monotonic(), time.monotonic()
    while time.monotonic() - start < LIMIT:
        now = tuple(path.stat().st_size if path.exists() else 0 for path in outputs)
        if now != sizes:
            sizes, since = now, time.monotonic()
        if time.monotonic() - since > 6:
            return
        assert process.poll() is None, "simple_switch ended"
        time.sleep(0.1)
    raise AssertionError("simple_switch goes on writing")


# ---- entries ----


def with_entries(
    source: Path,
    program: Program,
    entries: Mapping[str, Sequence[tuple[Sequence[MatchValue], str, Sequence[int], int]]],
    target: Path,
) -> Path:
    """A copy of a program's JSON that declares entries: table -> (match, action, values, priority)."""
    content = json.loads(source.read_text())
    for pipeline in content["pipelines"]:
        for table in pipeline["tables"]:
            if table["name"] in entries:
                found = next(one for one in program.tables if one.name == table["name"])
                table["entries"] = [_entry(program, found, *one) for one in entries[found.name]]
    target.write_text(json.dumps(content))
    return target


def _entry(
    program: Program,
    table: Table,
    match: Sequence[MatchValue],
    action: str,
    values: Sequence[int],
    priority: int,
) -> dict[str, object]:
    keys = []
    for key, wanted in zip(table.keys, match, strict=True):
        one: dict[str, object] = {"match_type": key.match}
        if key.match == "range":
            one |= {"start": _hex(wanted.value, key.width), "end": _hex(wanted.other, key.width)}
        else:
            one["key"] = _hex(wanted.value, key.width)
        if key.match == "lpm":
            one["prefix_length"] = wanted.other
        if key.match == "ternary":
            one["mask"] = _hex(wanted.other, key.width)
        keys.append(one)
    found = next(program.actions_by_id[i] for i in table.actions
                 if program.actions_by_id[i].name == action)
    data = [_hex(v, p.width) for v, p in zip(values, found.parameters, strict=True)]
    return {
        "match_key": keys,
        "action_entry": {"action_id": found.id, "action_data": data},
        "priority": priority,
    }


def _hex(value: int, width: int) -> str:
    return f"0x{value:0{(width + 7) // 8 * 2}x}"


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
