"""libpcap, which compiles the filters of captures."""

from __future__ import annotations

import ctypes
import ctypes.util
import os

from pytest_kinda.setup import debian, pins
from pytest_kinda.setup.steps import Found, NotAllowed, Report


class CaptureLibrary:
    """Step: libpcap can be loaded. It comes with the engine where set-up installs that.

    :param install: it may be installed on a machine that had a container engine.
    """

    name = "libpcap"

    def __init__(self, *, install: bool = False) -> None:
        self.install = install

    def check(self) -> Found:
        """Whether a capture will find it."""
        # find_library alone needs ldconfig or a compiler; the names are those that captures try.
        for name in ("libpcap.so.0.8", "libpcap.so.1", ctypes.util.find_library("pcap")):
            if name:
                try:
                    ctypes.CDLL(name)
                except OSError:
                    continue
                return Found(True, f"{name} is here")
        return Found(False, "not installed", self._command())

    def do(self, report: Report) -> None:
        """Install it, where that is allowed.

        :raises NotAllowed: only the person may; the remedy is the exact command.
        """
        if not (self.install and os.geteuid() == 0 and debian.is_debian()):
            raise NotAllowed(
                "captures need libpcap for their filters, and system packages are not for this "
                "program to install here",
                remedy=self._command(),
            )
        report(f"installing {pins.CAPTURE_PACKAGE}")
        own = debian.os_release().get("VERSION_CODENAME", pins.DEBIAN)
        debian.Apt(own).install((pins.CAPTURE_PACKAGE,))

    @staticmethod
    def _command() -> str:
        if debian.is_debian():
            return f"sudo apt install {pins.CAPTURE_PACKAGE}    (or: kinda setup --install)"
        return "install libpcap as your distribution does it"
