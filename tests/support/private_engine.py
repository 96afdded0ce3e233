"""A Docker Engine of a test's own, which may be killed: no bridge, no firewall rules, one image."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from pytest_kinda.setup import image
from tests.support.builds import await_true


class PrivateEngine:
    """A ``dockerd`` on a socket in a folder of its own; for devices of the direct engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # What one that was killed has left would keep the next from starting.
        (self.folder / "pid").unlink(missing_ok=True)
        # In a network namespace of its own: with --bridge=none an engine removes "docker0" from the
        # one it is in, although it belongs to the machine's engine.
        argv = ["unshare", "--net", "dockerd"]
        argv += [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec"]
        argv += [f"--pidfile={self.folder}/pid", "-H", self.address, "--bridge=none"]
        argv += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        await_true(self.answers, f"{self.address}, see {self.folder}/log", 60)

    def answers(self) -> bool:
        """Whether it does."""
        return self.docker("version", check=False).returncode == 0

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Docker's own client on it."""
        return subprocess.run(
            ["docker", "-H", self.address, *arguments], capture_output=True, check=check
        )

    def load(self) -> None:
        """Give it the devices' image from the machine's engine."""
        saved = self.folder / "image.tar"
        environment = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
        argv = ["docker", "save", "-o", str(saved), image("base")]
        subprocess.run(argv, check=True, env=environment)
        self.docker("load", "-i", str(saved))
        saved.unlink()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, as an upgrade does or (SIGKILL) as a crash does."""
        assert self._process is not None
        containerd = self._containerd()
        self._process.send_signal(number)
        self._process.wait(60)
        if number == signal.SIGKILL and containerd:
            # its child; systemd ends it with the unit
            with contextlib.suppress(ProcessLookupError):
                os.kill(containerd, signal.SIGKILL)

    def _containerd(self) -> int:
        try:
            return int((self.folder / "exec" / "containerd" / "containerd.pid").read_text())
        except (OSError, ValueError):
            return 0

    def remove(self) -> None:
        """End it if it runs, and remove all that it had."""
        if self._process is not None and self._process.poll() is None:
            self.end()
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for one in reversed([one for one in mounts if one.startswith(f"{self.folder}/")]):
            subprocess.run(
                ["umount", "-l", one], check=True
            )  # its own data root, mounted on itself
        shutil.rmtree(self.folder)
