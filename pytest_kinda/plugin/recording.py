"""``--kinda-pcap``: one capture for each test, without a line of code in it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.errors import KindaError
from pytest_kinda.plugin.options import Options

if TYPE_CHECKING:
    from pytest_kinda.topology import Topology

FILE = "capture.pcapng"


def folder_of(root: Path, nodeid: str) -> Path:
    """The folder of a test's artifacts: its name as file names go, and a digest that keeps two
    tests apart whose names differ in other characters.
    """
    name = re.sub(r"[^\w.]+", "-", nodeid).strip("-.")[-100:]
    return root / f"{name}-{hashlib.sha256(nodeid.encode()).hexdigest()[:6]}"


def prepare(root: Path, nodeid: str) -> Path:
    """Make the folder of a test's artifacts and give it. Raises OSError.

    The directory of all ignores itself in git, as pytest's cache does.
    """
    folder = folder_of(root, nodeid)
    folder.mkdir(parents=True, exist_ok=True)
    ignored_by_git(root)
    return folder


def ignored_by_git(root: Path) -> None:
    """Have a directory ``.kinda`` ignore itself; it is made for that. Raises OSError."""
    ignore = root / ".gitignore"
    if root.name == ".kinda" and not ignore.exists():
        root.mkdir(parents=True, exist_ok=True)
        ignore.write_text("*\n")


class Recorder:
    """The capture of the test that runs, if ``--kinda-pcap`` asks for one."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._where = None if "all" in options.pcap else list(options.pcap)
        self._capture: Any = None
        self.path: Path | None = None
        self.drops = 0
        self.problem = ""

    @property
    def asked(self) -> bool:
        """Whether tests are captured at all."""
        return bool(self._options.pcap)

    def check(self, topology: Topology) -> None:
        """Fail the test if its topology has nothing of a name that is to be captured."""
        links = [link.name for link in topology.links]
        nodes = [node.name for node in topology.nodes]
        for name in self._where or ():
            node, colon, _ = name.partition(":")
            if (node not in nodes) if colon else (name not in links + nodes):
                pytest.fail(
                    f"--kinda-pcap: found {name!r}, which topology {topology.name} has not; "
                    f"expected all, a link ({', '.join(links) or 'none'}), a node "
                    f"({', '.join(nodes)}) or NODE:INTERFACE",
                    pytrace=False,
                )

    def begin(self, testbed: Any, nodeid: str) -> None:
        """Capture from now on, into the test's folder; a capture that runs already goes on."""
        if not self.asked or self._capture is not None or not hasattr(testbed, "capture"):
            return
        self.drops, self.problem = 0, ""
        try:
            path = prepare(self._options.artifacts, nodeid) / FILE
            capture = testbed.capture(self._where, path=path, allow_drops=True)
            capture.start()
        except (KindaError, OSError) as error:
            pytest.fail(f"--kinda-pcap {' '.join(self._options.pcap)}: {error}", pytrace=False)
        self._capture, self.path = capture, path

    def end(self) -> None:
        """Close the file. That it could not be closed well is kept for the test's report."""
        capture, self._capture = self._capture, None
        if capture is None:
            return
        try:
            capture.stop()
            self.drops = int(getattr(capture, "drops", 0))
        except (KindaError, OSError) as error:
            self.problem = str(error)
