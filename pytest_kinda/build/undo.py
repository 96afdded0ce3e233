"""Undo a testbed from its journal: ``python -m pytest_kinda.build.undo DIRECTORY``.

Run by the keeper as a child, and by ``kinda clean`` without one. It needs nothing from the process
that built. Each step may find its work done already, or half done, and an error in one stops none
of the others; what could not be removed is printed as ``left: ...`` lines, and the directory with
the journal then stays for another try.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.engine_api import (
    EngineError,
    containers_of,
    docker_request,
    networks_of,
)
from pytest_kinda.build.labels import CLUSTER_LABEL, TESTBED_LABEL, bridge_name
from pytest_kinda.errors import GoneError, HostError, KindaError, WaitTimeoutError
from pytest_kinda.host.children import end_from_entry
from pytest_kinda.host.journal import Journal
from pytest_kinda.host.namespaces import start_time

LEFT = "left: "
"""What a line of the output starts with that names something which could not be removed."""

Report = Callable[[str], None]
Entry = Mapping[str, Any]
_LIMIT = 120.0


def undo_testbed(directory: Path, report: Report) -> tuple[str, ...]:
    """Remove everything that the journal in ``directory`` knows of, then the directory.

    ``report`` is called with a line per step. Returns what could not be removed, in words; a
    directory that is gone is a testbed that is gone. Raises nothing of what a step raises.
    """
    with _alone(directory) as there:
        if not there:
            return ()
        undoing = _Undoing(directory, report)
        undoing.run()
        if not undoing.left:
            shutil.rmtree(directory, ignore_errors=True)
            if directory.exists():
                undoing.left.append(f"directory {directory}")
        return tuple(undoing.left)


@contextmanager
def _alone(directory: Path) -> Iterator[bool]:
    """Only one process undoes a testbed at a time; whether there is still something to do."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield directory.exists()
    finally:
        os.close(handle)


class _Undoing:
    def __init__(self, directory: Path, report: Report) -> None:
        self.directory = directory
        self.report = report
        self.left: list[str] = []
        self.bridges: set[str] = set()
        try:
            journal = Journal.read(directory)
            self.entries: Sequence[Entry] = journal.entries
            self.left += journal.damaged
            self.notes: Mapping[str, Any] = journal.notes
            self.complete = journal.notes.get("state") == "complete"
        except HostError:
            # Killed before the first line was written: nothing has been made yet.
            self.entries = ()
            self.notes = {}
            self.complete = True

    def run(self) -> None:
        self._try("processes", self._end_children)
        self._try("tunnels", self._remove_tunnels)
        self._try("containers and networks", self._remove_objects)
        self._try("bridges", self._remove_bridges)
        self._try("host operations", self._revert_operations)

    def _of(self, *kinds: str) -> list[Entry]:
        return [one for one in reversed(self.entries) if one["undo"] in kinds]

    def _try(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            # The next step must still have its turn; this one is named at the end.
            text = error.message if isinstance(error, KindaError) else repr(error)
            self.left.append(f"{what}: {text}")

    def _end_children(self) -> None:
        errors = []
        for one in self._of("process"):
            try:
                end_from_entry(one, self.notes)
            except HostError as error:
                errors.append(error.message)
        self.left += errors

    def _labels(self) -> list[str]:
        found = [f"{CLUSTER_LABEL}={one['name']}" for one in self._of("kind-cluster")]
        found += [f"lab_hash={one['lab_hash']}" for one in self._of("kathara-lab")]
        found += [str(one["label"]) for one in self._of("docker-network", "docker-container")]
        found.append(f"{TESTBED_LABEL}={self.directory.name}")
        return list(dict.fromkeys(found))

    def _remove_objects(self) -> None:
        """By label, until two listings in a row are empty.

        The Engine may finish a create whose client died a moment ago; a testbed that was complete
        has no such create under way.
        """
        if not self._of("kind-cluster", "kathara-lab", "docker-network", "docker-container"):
            return
        labels = self._labels()
        empty = 1 if self.complete else 0

        def look() -> str:
            nonlocal empty
            containers = {one["Id"]: one["Names"] for each in labels for one in containers_of(each)}
            networks = {one["Id"]: one for each in labels for one in networks_of(each)}
            self.bridges |= {
                bridge_name(one["Id"]) for one in networks.values() if "kathara" in one["Driver"]
            }
            errors = self._delete("containers", containers, "?force=1&v=1")
            errors += self._delete("networks", networks, "")
            if containers or networks:
                empty = 1 if self.complete and not errors else 0
                return "; ".join(errors) or f"{len(containers) + len(networks)} objects, removed"
            empty += 1
            return "" if empty >= 2 else "nothing, looked once"

        try:
            # What is made while this looks is another matter for a build that was broken off.
            interval = 0.02 if self.complete else 0.25
            wait_until(look, "an empty listing", limit=_LIMIT, interval=interval)
        except WaitTimeoutError as error:
            self.left.append(f"Docker objects: {error.message}")

    def _delete(self, kind: str, found: Mapping[str, Any], query: str) -> list[str]:
        if not found:
            return []
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda one: _deleted(f"/{kind}/{one}{query}"), found))
        errors = [one for one in answers if one]
        self.report(f"removed {len(answers) - len(errors)} {kind}")
        return errors

    def _remove_bridges(self) -> None:
        """What Kathara's plugin leaves when it was restarted: it knows its networks by memory."""
        self.bridges |= {str(one["name"]) for one in self._of("bridge")}
        if not self.bridges:
            return
        for bridge in sorted(self.bridges):
            if Path("/sys/class/net", bridge).exists():
                _delete_bridge(bridge)
                self.report(f"removed bridge {bridge}")
        for tables in ("iptables", "ip6tables"):
            if shutil.which(tables):
                for rule in forward_rules(_run([tables, "-w", "-S", "FORWARD"]), self.bridges):
                    _delete_rule(tables, rule)
                    self.report(f"removed a FORWARD rule of {rule[2]} ({tables})")

    def _remove_tunnels(self) -> None:
        # While their namespaces stand: the kernel keeps a namespace, with the tunnel's device and
        # program in it, for minutes after its container while a dead process's TCP connection is
        # still waiting for an answer.
        self._revert([one for one in self._of("operation") if is_tunnel(one)])

    def _revert_operations(self) -> None:
        self._revert(self._of("operation"))

    def _revert(self, operations: Sequence[Entry]) -> None:
        # Most operations were in containers that are gone; for them pyroute2, which takes as long
        # to import as the removal of twenty containers, is not needed.
        entries = [one for one in operations if stands(one)]
        if not entries:
            return
        from pytest_kinda.host.carry import undo_from_entry

        errors = []
        for one in entries:
            try:
                undo_from_entry(one)
            except HostError as error:
                errors.append(error.message)
        self.left += errors


def is_tunnel(entry: Entry) -> bool:
    """Whether an operation made a tunnel; a damaged line did not."""
    operation = entry["operation"]
    return isinstance(operation, Mapping) and operation.get("is") == "AddTunnel"


def stands(entry: Entry) -> bool:
    """Whether one of the places of an operation is still there; the machine always is."""
    places: Sequence[Mapping[str, Any]] = list(entry.get("places", {}).values())
    for one in places:
        pid, started = int(one.get("pid", 0)), int(one.get("started", 0))
        try:
            if pid == 0 or start_time(pid) == started or not started:
                return True
        except GoneError:
            continue
    return not places


def _delete_bridge(name: str) -> None:
    """Delete a bridge; the plugin may do so at the same moment, for a client that died."""
    try:
        _run(["ip", "link", "delete", name])
    except HostError:
        if Path("/sys/class/net", name).exists():
            raise


def _delete_rule(tables: str, rule: Sequence[str]) -> None:
    """Delete a rule; the plugin may do so at the same moment, for a client that died."""
    try:
        _run([tables, "-w", "-D", *rule])
    except HostError:
        if _run([tables, "-w", "-S", "FORWARD"]).count(" ".join(rule)):
            raise


def _deleted(path: str) -> str:
    """Delete a Docker object; what is wrong, or empty. One that is gone, or going, is no error."""
    try:
        docker_request("DELETE", path, timeout=60)
    except EngineError as error:
        return "" if error.status in (404, 409) else error.message
    return ""


def forward_rules(listing: str, bridges: set[str]) -> list[list[str]]:
    """The rules of ``iptables -S FORWARD`` about one of the bridges, as arguments of ``-D``.

    >>> forward_rules("-P FORWARD DROP\\n-A FORWARD -i kt-1 -o kt-1 -j ACCEPT\\n", {"kt-1"})
    [['FORWARD', '-i', 'kt-1', '-o', 'kt-1', '-j', 'ACCEPT']]
    """
    found = []
    for line in listing.splitlines():
        words = line.split()
        if words[:1] == ["-A"] and bridges.intersection(words):
            found.append(words[1:])
    return found


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise HostError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def main(argv: Sequence[str]) -> int:
    """The program: 0 if nothing is left, 1 if something is, 2 for wrong arguments."""
    if len(argv) != 1:
        print("usage: python -m pytest_kinda.build.undo DIRECTORY", file=sys.stderr)
        return 2
    left = undo_testbed(Path(argv[0]), lambda line: print(line, flush=True))
    for one in left:
        print(LEFT + " / ".join(one.splitlines()), flush=True)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
