"""The P4Runtime server: ``python -m pytest_kinda.testbed.p4runtime_server DIRECTORY``.

A child of the keeper. It holds each switch as a test does, over an exec in its container; it has
no interface in any device, and listens on 127.0.0.1 only.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from pytest_kinda.devices.p4 import P4INFO
from pytest_kinda.devices.p4_bmv2 import SOURCE
from pytest_kinda.devices.p4_handle import P4SwitchHandle
from pytest_kinda.p4.control import Channel
from pytest_kinda.p4runtime.device import Device
from pytest_kinda.p4runtime.service import listen
from pytest_kinda.testbed.notes import read_note, write_note
from pytest_kinda.testbed.p4runtime import device_ids, note_file
from pytest_kinda.testbed.testbed import Testbed


class HeldSwitch:
    """A native switch of the testbed, for the server; see ``p4runtime.device.Switch``."""

    def __init__(self, handle: P4SwitchHandle) -> None:
        self._handle = handle
        self.name = handle.name
        self.cpu_port = handle.cpu_port
        device = handle.planned.device
        files = {one.path: one.text for one in device.files} if device else {}
        self.program = files[SOURCE]
        self.p4info = files.get(P4INFO, "")

    @property
    def channel(self) -> Channel:
        """Its control channel."""
        return self._handle.channel

    def load(self, text: str) -> None:
        """Run another program. Raises KindaError."""
        self._handle.load(text, "p4_device_config")


def main(argv: list[str]) -> int:
    """Serve until the keeper ends this."""
    directory = Path(argv[0])
    kinda = Testbed.open(directory)
    devices: dict[int, Device] = {}
    for name, number in device_ids(kinda.plan).items():
        handle: Any = kinda.device(name)
        devices[number] = Device(number, HeldSwitch(handle))
    before = read_note(note_file(directory))
    server, port = listen(devices, before["port"] if before else 0)
    write_note(note_file(directory), {"port": port})
    print(f"P4Runtime on 127.0.0.1:{port} for {', '.join(device_ids(kinda.plan))}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(None))
    server.wait_for_termination()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
