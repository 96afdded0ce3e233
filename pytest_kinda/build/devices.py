"""From a device's running container to a device that works: files, start-up commands, readiness."""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.drivers import driver_of
from pytest_kinda.build.engine_api import docker_request
from pytest_kinda.build.execution import ContainerExecution, Finished
from pytest_kinda.build.programs import files_of
from pytest_kinda.errors import BuildError, KindaError, WaitTimeoutError
from pytest_kinda.plan.values import DeviceSpec, FileSpec, NodePlan, ReadySpec

STEP = "devices"
_AT_ONCE = 8
_STARTUP_LIMIT = 120.0
_NOT_YET = 99  # status of a start with its look where the device is not ready yet
_LOOK_LIMIT = 10.0  # one look on a busy machine may take longer than there is to wait

# Kathara runs a script of its own in each device, and returns before it has ended. It unmounts and
# writes /etc/hosts and changes the owner of FRR's files, so that ours must come after it.
_KATHARA_ENDED = "/tmp/EOS"

KATHARA_NAMING = '[ "$(hostname)" = "$1" ] || hostname "$1" 2>/dev/null || :'
"""What gives a device the name that its author gave it; Kathara takes fewer letters for names."""


def start_devices(
    nodes: Sequence[NodePlan], containers: Mapping[str, str], *, kathara: bool
) -> dict[str, list[str]]:
    """Make every device ready, side by side; notes on what was found, and on which devices.

    All are started before one is waited for: a router is ready when it has heard of all others.
    Raises BuildError that names the device.
    """
    notes: dict[str, list[str]] = {}
    running: dict[str, Future[bool]] = {}

    def start(node: NodePlan, before: list[Future[bool]]) -> bool:
        for one in before:
            one.result()
        return start_device(node, containers[node.name], kathara)

    with ThreadPoolExecutor(_AT_ONCE, "device") as pool:
        for node in in_order(nodes):
            # those it waits for have been handed to the pool before: one of them always runs
            after = node.device.after if node.device else ()
            before = [running[name] for name in after if name in running]
            running[node.name] = pool.submit(start, node, before)
        for one in running.values():
            one.result()
        waiting = [
            pool.submit(await_device, one, containers[one.name], seen=running[one.name].result())
            for one in nodes
        ]
        for node, said in zip(nodes, waiting, strict=True):
            for note in said.result():
                notes.setdefault(note, []).append(node.name)
    return notes


def in_order(nodes: Sequence[NodePlan]) -> list[NodePlan]:
    """The nodes so that each comes after those it waits for."""
    by_name = {one.name: one for one in nodes}
    found: dict[str, NodePlan] = {}

    def visit(node: NodePlan, path: tuple[str, ...]) -> None:
        if node.name in found:
            return
        if node.name in path:
            circle = " waits for ".join((*path, node.name))
            raise BuildError(STEP, f"devices wait for each other: {circle}")
        for name in node.device.after if node.device else ():
            if name in by_name:
                visit(by_name[name], (*path, node.name))
        found[node.name] = node

    for one in nodes:
        visit(one, ())
    return list(found.values())


def start_device(node: NodePlan, container: str, kathara: bool) -> bool:
    """Files, then start-up commands in their order; whether its first readiness was seen.

    A compiled program is started and looked at in one exec: each costs the Engine about 0.07 s of
    processor, which is what many switches wait for. Raises BuildError.
    """
    device = node.device or DeviceSpec()
    execution = ContainerExecution(container, node.name)
    # the direct engine has put them there before the start
    if kathara and (files := files_of(device)):
        docker_request("PUT", f"/containers/{container}/archive?path=/", archive(files))
    looks = bool(device.programs and device.ready) and len(device.startup) == 1
    finished = Finished(0, b"", b"")
    for command in device.startup:
        argv = _with_look(command.argv, device.ready[0].argv) if looks else command.argv
        finished = execution.run(argv, timeout=_STARTUP_LIMIT)
        started = finished.rc == 0 or (looks and finished.rc == _NOT_YET)
        if command.check and not started:
            raise BuildError(
                STEP,
                f"{node.name}: start-up command {' '.join(command.argv)!r} ended with status "
                f"{finished.rc}: {said(finished)}",
            )
    return looks and finished.rc == 0


def _with_look(start: Sequence[str], look: Sequence[str]) -> Sequence[str]:
    script = f"{shlex.join(start)} || exit; {shlex.join(look)} || exit {_NOT_YET}"
    return ("/bin/sh", "-c", script)


def await_device(node: NodePlan, container: str, *, seen: bool = False) -> Sequence[str]:
    """Wait until the device says that it is ready; what its driver has to note.

    ``seen``: what it says first has been seen as it was started. Raises BuildError with its last
    answer.
    """
    device = node.device or DeviceSpec()
    for ready in device.ready[seen:]:
        _await_ready(ContainerExecution(container, node.name), node.name, ready)
    if (driver := driver_of(node, container)) is None:
        return ()
    try:
        return driver.start()
    except KindaError as error:
        raise BuildError(STEP, error.message, remedy=error.remedy) from error


def await_kathara(nodes: Sequence[NodePlan], containers: Mapping[str, str]) -> None:
    """Wait until Kathara's own script has ended in every device. Raises BuildError."""
    with ThreadPoolExecutor(_AT_ONCE, "kathara") as pool:
        waiting = [
            pool.submit(_await_script, ContainerExecution(containers[one.name], one.name), one.name)
            for one in nodes
        ]
        for one in waiting:
            one.result()


def _await_script(execution: ContainerExecution, name: str) -> None:
    script = f"until [ -e {_KATHARA_ENDED} ]; do sleep 0.02; done; {KATHARA_NAMING}"
    try:
        finished = execution.run(["/bin/sh", "-c", script, "await", name], timeout=30)
    except WaitTimeoutError as error:
        raise BuildError(
            STEP,
            f"{name}: Kathara's start-up script did not end within 30 s; its output is in the "
            f"device's /var/log/startup.log",
        ) from error
    if finished.rc != 0:
        raise BuildError(
            STEP,
            f"{name}: the image has no usable /bin/sh: {said(finished)}",
            remedy="use an image with a shell and sleep, which Kathara needs too",
        )


def _await_ready(execution: ContainerExecution, name: str, ready: ReadySpec) -> None:
    def look() -> str:
        finished = execution.run(ready.argv, timeout=max(ready.timeout, _LOOK_LIMIT))
        return "" if finished.rc == 0 else f"status {finished.rc}, {said(finished)}"

    what = ready.what or " ".join(ready.argv)
    try:
        wait_until(look, f"{name}: {what}", limit=ready.timeout, interval=ready.interval)
    except WaitTimeoutError as error:
        raise BuildError(STEP, error.message, remedy=error.remedy) from error


def archive(files: Sequence[FileSpec]) -> bytes:
    """Files as the tar archive that the Docker API unpacks at the container's root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for one in files:
            content = base64.b64decode(one.base64) if one.base64 else one.text.encode()
            member = tarfile.TarInfo(one.path.lstrip("/"))
            member.size, member.mode = len(content), one.mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def said(finished: Finished) -> str:
    """The end of what a command printed, on one line."""
    text = (finished.stderr.strip() or finished.stdout.strip()).decode(errors="replace")
    return " / ".join(text.splitlines()[-3:]) or "(it printed nothing)"
