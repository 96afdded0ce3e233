"""Packets of several ports from and to pcap files, one file for each port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dpkt

from pytest_kinda.errors import KindaError
from pytest_kinda.p4.files import Frame


def merged(sources: Mapping[int, Path]) -> list[Frame]:
    """The packets of all files in the order of their times; equal times in the order of ports.

    Raises:
        KindaError: A file cannot be read, or its packets are no Ethernet frames.
    """
    found = []
    for port, path in sources.items():
        try:
            with path.open("rb") as file:
                reader = dpkt.pcap.UniversalReader(file)
                if reader.datalink() != dpkt.pcap.DLT_EN10MB:
                    raise KindaError(f"{path}: its packets are no Ethernet frames")
                for number, (time, data) in enumerate(reader):
                    found.append((time, port, number, Frame(port, bytes(data))))
        except (OSError, ValueError, dpkt.Error) as problem:
            raise KindaError(f"{path}: cannot be read as pcap or pcapng: {problem}") from problem
    found.sort(key=lambda one: one[:3])
    return [frame for *_, frame in found]


def write_by_port(folder: Path, frames: Sequence[Frame]) -> Iterator[tuple[Path, int]]:
    """Write ``PORT.pcap`` for each port into a folder, which is made; answer path and count."""
    folder.mkdir(parents=True, exist_ok=True)
    for port in sorted({frame.port for frame in frames}):
        mine = [frame.data for frame in frames if frame.port == port]
        path = folder / f"{port}.pcap"
        with path.open("wb") as file:
            writer = dpkt.pcap.Writer(file, snaplen=65535)
            for number, data in enumerate(mine):
                writer.writepkt(data, ts=number * 1e-6)
        yield path, len(mine)
