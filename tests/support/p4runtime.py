"""Devices for tests of P4Runtime: real programs of the native engine, without interfaces."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_kinda.p4 import FileSwitch
from tests.support import p4_programs as p4

DATA = Path(__file__).parents[1] / "data" / "p4"
KINDS = {"exact": 2, "lpm": 3, "ternary": 4, "range": 5, "optional": 6}


class FileTarget:
    """A switch whose packets come from a test: ``file`` is what runs."""

    name = "s1"
    cpu_port = None

    def __init__(self, program: str, p4info: str = "") -> None:
        self.program = program
        self.p4info = p4info
        self.file: FileSwitch
        self.loads = 0
        self._start(program)

    @property
    def channel(self) -> FileSwitch:
        return self.file

    def load(self, text: str) -> None:
        self.file.close()
        self.loads += 1
        self._start(text)

    def _start(self, text: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(text)
            file.flush()
            self.file = p4.started(Path(file.name))


class Told:
    """A controller's stream: what was sent to it."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any, *, urgent: bool = True) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[-1].arbitration.status.code)


@contextmanager
def device_of(program: str, p4info: str = "") -> Iterator[Any]:
    """A device whose pipeline is set where a p4info is given; ``device.switch`` is the target."""
    from pytest_kinda.p4runtime.device import Device

    target = FileTarget(program, p4info)
    device = Device(1, target)
    try:
        yield device
    finally:
        for stream in list(device._streams):
            device.leave(stream)
        target.file.close()


def matching(keys: Mapping[str, str], table_match: str) -> tuple[str, str]:
    """A program of one table ``t`` with 16-bit fields of these match kinds, and its p4info.

    Its action ``go`` sends a packet to a port; the table counts.
    """
    target = p4.field("standard_metadata", "egress_spec")
    port = p4.assign(target, {"type": "runtime_data", "value": 0})
    go = p4.action(1, "go", [port], port=9)
    nothing = p4.action(2, "NoAction", [])
    table = p4.table(
        "t",
        [go, nothing],
        match_type=table_match,
        with_counters=True,
        key=[
            {"match_type": kind, "name": f"h.{name}", "target": ["h", name], "mask": None}
            for name, kind in keys.items()
        ],
    )
    made = p4.program({"h": [[name, 16, False] for name in keys]}, [go, nothing], [table])
    fields = "".join(
        f'match_fields {{ id: {number} name: "h.{name}" bitwidth: 16 match_type: {kind.upper()} }}'
        for number, (name, kind) in enumerate(keys.items(), 1)
    )
    info = f"""
        tables {{ preamble {{ id: 11 name: "t" alias: "t" }} {fields}
            action_refs {{ id: 21 }} action_refs {{ id: 22 }} direct_resource_ids: 31 size: 1024 }}
        actions {{ preamble {{ id: 21 name: "go" alias: "go" }}
            params {{ id: 1 name: "port" bitwidth: 9 }} }}
        actions {{ preamble {{ id: 22 name: "NoAction" alias: "NoAction" }} }}
        direct_counters {{ preamble {{ id: 31 name: "c" }} direct_table_id: 11 }}
    """
    return json.dumps(made), info
