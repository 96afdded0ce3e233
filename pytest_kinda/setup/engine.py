"""Docker Engine: found, started if it is stopped, installed only where nothing can be broken."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup import debian, pins
from pytest_kinda.setup.process import run
from pytest_kinda.setup.steps import Found, NotAllowed, Report

DESKTOP = Path("/opt/docker-desktop")
DESKTOP_SOCKET = "unix://$HOME/.docker/desktop/docker.sock"
"""Where Docker Desktop for Linux is, and where its engine listens once somebody has started it."""

START_LIMIT = 30.0
"""Seconds in which a started engine must answer (measured: 5)."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def socket_path(environ: Mapping[str, str] | None = None) -> str | None:
    """The engine's Unix socket, or None when ``DOCKER_HOST`` names another kind of address."""
    host = (os.environ if environ is None else environ).get("DOCKER_HOST", "")
    if not host:
        return "/var/run/docker.sock"
    return host.removeprefix("unix://") if host.startswith("unix://") else None


def ask(path: str, *, timeout: float = 10.0) -> Any:
    """GET from the engine's API over its socket, without the docker package (it takes 0.3 s).

    :raises OSError: nobody listens (ConnectionRefusedError, FileNotFoundError) or no right to
        (PermissionError).
    """
    where = socket_path()
    if where is None:
        return _ask_by_package(path)
    connection = _UnixConnection(where, timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status == 404:
        return None
    if answer.status >= 400:
        raise SetupError(f"Docker answered {answer.status} to {path}: {body[:300]!r}")
    return json.loads(body)


def _ask_by_package(path: str) -> Any:
    import docker
    import docker.errors

    try:
        api = docker.from_env().api
        answer = api.get(f"{api.base_url}{path}")
    except docker.errors.DockerException as error:
        raise OSError(str(error)) from error
    return None if answer.status_code == 404 else answer.json()


@dataclass(frozen=True)
class Situation:
    """The facts on which it depends whether an engine may be installed or started."""

    answers: bool = False
    version: str = ""
    forbidden: bool = False
    remote: bool = False
    other_engine: str = ""
    desktop: bool = False
    daemon: str = ""
    root: bool = False
    debian: bool = False
    systemd: bool = False


def decide(now: Situation, *, install: bool) -> str:
    """What to do: ``nothing``, ``start``, ``install``, or the command a person has to give.

    Installing without being asked happens only as root, on Debian, with no engine of any kind:
    nothing that exists can break there.
    """
    if now.answers:
        return "nothing"
    if now.remote:
        return "see why the engine that DOCKER_HOST names does not answer, or unset DOCKER_HOST"
    if now.forbidden:
        return "sudo usermod -aG docker $USER    (then log in again)"
    if now.daemon:
        if now.root:
            return "start"
        return "sudo systemctl start docker" if now.systemd else f"sudo {now.daemon}"
    if (now.desktop or now.other_engine) and now.root and now.debian and install:
        return "install"
    if now.desktop:
        return f"systemctl --user start docker-desktop && export DOCKER_HOST={DESKTOP_SOCKET}"
    if now.other_engine:
        return (
            f"kinda setup --install    (as root; {now.other_engine} is here, "
            "Docker Engine would be put beside it)"
        )
    if now.root and now.debian:
        return "install"
    if now.debian:
        return "sudo kinda setup --install    (or: sudo apt install docker.io)"
    return "install Docker Engine as your distribution does it, then run `kinda setup` again"


def look() -> Situation:
    """The facts of this machine."""
    where = socket_path()
    answers = forbidden = False
    version = ""
    try:
        version = str(ask("/version")["Version"])
        answers = True
    except PermissionError:
        forbidden = True
    except OSError:
        pass
    others = ("podman", "nerdctl", "containerd", "orbctl", "colima")
    return Situation(
        answers=answers,
        version=version,
        forbidden=forbidden,
        remote=where is None,
        other_engine=next((name for name in others if shutil.which(name)), ""),
        desktop=DESKTOP.is_dir(),
        daemon=shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin") or "",
        root=os.geteuid() == 0,
        debian=debian.is_debian(),
        systemd=Path("/run/systemd/system").is_dir(),
    )


class Engine:
    """Step: Docker Engine answers."""

    name = "Docker Engine"

    def __init__(self, *, install: bool = False) -> None:
        self.install = install

    def check(self) -> Found:
        """Whether it answers; if not, what is to be done about it."""
        now = look()
        if now.answers:
            return Found(True, f"{now.version} answers")
        plan = decide(now, install=self.install)
        if plan == "start":
            return Found(False, "installed, not running", "kinda setup")
        if plan == "install":
            return Found(False, "no container engine on this machine", "kinda setup")
        return Found(False, "does not answer" if not now.forbidden else "no right to use it", plan)

    def do(self, report: Report) -> None:
        """Start it, or install it where that is allowed.

        :raises NotAllowed: only the person may; the remedy is the exact command.
        """
        now = look()
        plan = decide(now, install=self.install)
        if plan == "install":
            install_engine(report)
            now = look()
            plan = decide(now, install=False)
        if plan == "start":
            start(report, systemd=now.systemd, daemon=now.daemon)
        elif plan != "nothing":
            raise NotAllowed(
                "Docker Engine is needed and is not for this program to change", remedy=plan
            )


def install_engine(report: Report) -> None:
    """Install Docker Engine from Debian :data:`pins.DEBIAN`; its helpers come from this release."""
    own = debian.os_release().get("VERSION_CODENAME", pins.DEBIAN)
    report(f"installing {', '.join(pins.ENGINE_SUPPORT)} from Debian {own}")
    debian.Apt(own).install(pins.ENGINE_SUPPORT)
    report(f"installing {', '.join(pins.ENGINE_PACKAGES)} from Debian {pins.DEBIAN}")
    files = debian.Apt(pins.DEBIAN).download(pins.ENGINE_PACKAGES)
    run(
        ["dpkg", "-i", *files],
        what="install Docker Engine",
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )


def start(report: Report, *, systemd: bool, daemon: str) -> None:
    """Start the engine and wait until it answers, at most :data:`START_LIMIT` seconds.

    :raises SetupError: it does not answer in time; names its log.
    """
    if systemd:
        report("starting docker.service")
        run(["systemctl", "start", "docker"], what="start Docker Engine")
        process = None
        log = "journalctl -u docker"
    else:
        path = folders.state("engine") / "dockerd.log"
        log = str(path)
        report(f"starting {daemon} (log: {log})")
        # A session of its own and no descriptor of ours: it outlives this program and terminal.
        with path.open("ab") as stream:
            process = subprocess.Popen(
                [daemon],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                cwd="/",
            )
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        try:
            ask("/version", timeout=2)
            return
        except OSError as error:
            last = str(error)
        if process is not None and process.poll() is not None:
            raise SetupError(f"dockerd ended with {process.returncode}", remedy=f"read {log}")
        _pause(0.2)
    raise SetupError(
        f"Docker Engine did not answer within {START_LIMIT:.0f} s (last: {last})",
        remedy=f"read {log}",
    )


def _pause(seconds: float) -> None:
    """Between two looks at a condition that has a limit; nothing else may wait by time."""
    time.sleep(seconds)
