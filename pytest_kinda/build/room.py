"""What is looked at before anything is made: whether there is room, and whether the name is free.

What a testbed needs was measured (31 nodes took 3.3 GB); a refusal here is a sentence, while a
cluster that runs out of memory, disk or inotify instances fails minutes later with a puzzle.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pytest_kinda.build.directories import testbeds_directory
from pytest_kinda.build.engine_api import containers_of, docker_address, docker_request, networks_of
from pytest_kinda.build.kathara import lab_hash
from pytest_kinda.build.kind import cluster_name
from pytest_kinda.build.labels import CLUSTER_LABEL, TESTBED_LABEL
from pytest_kinda.errors import BuildError
from pytest_kinda.plan.values import Plan

STEP = "room"
_MB = 10**6
_CONTROL_PLANE_MEMORY = 700 * _MB
_WORKER_MEMORY = 110 * _MB
_BALANCER_MEMORY = 60 * _MB
_DEVICE_MEMORY = 6 * _MB
_NODE_DISK = 300 * _MB
"""Docker copies the node image's /var into each node's volume."""
_DEVICE_DISK = 2 * _MB
_STATE_DISK = 20 * _MB
INOTIFY_A_NODE = 18
"""inotify instances of a Kubernetes node (55 were counted of three): 128, most machines' limit, end
at 7 nodes."""


@dataclass(frozen=True)
class Room:
    """Memory and disk in bytes, inotify instances; None where it could not be found out."""

    memory: int | None = None
    disk: int | None = None
    state_disk: int | None = None
    inotify: int | None = None
    docker_directory: str = ""
    state_directory: str = ""


def needed(plan: Plan) -> Room:
    """What a plan's testbed takes, about."""
    nodes = plan.kubernetes_nodes
    controls = len(plan.control_planes)
    devices = len(plan.devices)
    return Room(
        controls * _CONTROL_PLANE_MEMORY
        + (len(nodes) - controls) * _WORKER_MEMORY
        + devices * _DEVICE_MEMORY
        + (_BALANCER_MEMORY if controls > 1 else 0),
        len(nodes) * _NODE_DISK + devices * _DEVICE_DISK,
        _STATE_DISK,
        len(nodes) * INOTIFY_A_NODE,
    )


def found(instances: int = 0) -> Room:
    """What this machine has; ``instances`` of inotify are tried. Raises HostError."""
    state = testbeds_directory()
    docker = ""
    if urlsplit(docker_address()).scheme == "unix":
        docker = str(docker_request("GET", "/info").get("DockerRootDir", ""))
    return Room(
        _available_memory(),
        _free(docker),
        _free(str(state)),
        free_instances(instances) if instances else None,
        docker,
        str(state),
    )


def check(plan: Plan) -> None:
    """Refuse a plan that this machine has no room for. Raises BuildError with all that it lacks."""
    wants = needed(plan)
    lacking = shortages(plan, wants, found(wants.inotify or 0))
    if lacking:
        raise BuildError(
            STEP,
            "; ".join(text for text, _ in lacking),
            remedy="; ".join(dict.fromkeys(remedy for _, remedy in lacking)),
        )


def shortages(plan: Plan, wants: Room, has: Room) -> list[tuple[str, str]]:
    """What is lacking and what to do about it, one pair each."""
    nodes, devices = len(plan.kubernetes_nodes), len(plan.devices)
    size = f"{nodes} Kubernetes nodes and {devices} devices take about"
    lacking = []

    def look(want: int | None, have: int | None, text: str, remedy: str) -> None:
        if want and have is not None and have < want:
            lacking.append((text, remedy))

    look(
        wants.memory,
        has.memory,
        f"memory: {size} {_told(wants.memory)}, available are {_told(has.memory)}",
        "end other programs, kinda clean old testbeds, or declare fewer nodes",
    )
    look(
        wants.disk,
        has.disk,
        f"disk: {size} {_told(wants.disk)}, {has.docker_directory} has {_told(has.disk)} free",
        f"free space on the file system of {has.docker_directory}",
    )
    look(
        wants.state_disk,
        has.state_disk,
        f"disk: {has.state_directory} has {_told(has.state_disk)} free, "
        f"expected {_told(wants.state_disk)}",
        f"free space on the file system of {has.state_directory}, or set XDG_STATE_HOME",
    )
    look(
        wants.inotify,
        has.inotify,
        f"inotify: {nodes} Kubernetes nodes take about {wants.inotify} instances, "
        f"{has.inotify} are left (fs.inotify.max_user_instances)",
        "kinda setup --only limits raises the limit",
    )
    return lacking


def check_unclaimed(testbed: str) -> None:
    """Refuse an id that Docker objects bear already, be they of another user or state directory.

    The undo removes by id: without this a failing build would remove what is not its own. Raises
    BuildError.
    """
    labels = (
        f"{TESTBED_LABEL}={testbed}",
        f"{CLUSTER_LABEL}={cluster_name(testbed)}",
        f"lab_hash={lab_hash(testbed)}",
    )
    bearing = [one["Names"][0].lstrip("/") for each in labels for one in containers_of(each)]
    bearing += [one["Name"] for each in labels for one in networks_of(each)]
    if bearing:
        raise BuildError(
            STEP,
            f"the name {testbed} is taken: {', '.join(sorted(set(bearing))[:5])} bear it, and no "
            "testbed of this user does",
            remedy="choose another name, or remove those if they are yours",
        )


def free_instances(most: int) -> int | None:
    """How many more inotify instances this user may have, up to ``most``; None if others' count.

    Found by making them: what is in use is nowhere to be read. Nodes' processes are root's, so for
    another user only the limit itself says anything.
    """
    if os.geteuid() != 0:
        try:
            return int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
        except (OSError, ValueError):
            return None
    libc = ctypes.CDLL(None, use_errno=True)
    made: list[int] = []
    # The kernel's answer is the same when this process may open no more files.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - len(os.listdir("/proc/self/fd")) - 64
    tried = max(0, min(most, files))
    try:
        while len(made) < tried:
            descriptor = libc.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                break
            made.append(descriptor)
    finally:
        for descriptor in made:
            os.close(descriptor)
    return most if len(made) == tried else len(made)


def _available_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass  # a kernel that does not say is not refused
    return None


def _free(directory: str) -> int | None:
    try:
        return shutil.disk_usage(directory).free if directory else None
    except OSError:
        return None  # an Engine whose files are elsewhere, as Docker Desktop's


def _told(amount: int | None) -> str:
    return (
        f"{(amount or 0) / 1e9:.1f} GB" if (amount or 0) >= 10**9 else f"{(amount or 0) // _MB} MB"
    )
