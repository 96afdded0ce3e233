"""Evidence: what a testbed looks like at this moment, in files that explain a failure.

Everything is asked side by side and each question has a limit: a node that hangs costs its own
piece and no other. What could not be had is said in its place.
"""

from __future__ import annotations

import json
import platform
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import KindaError
from pytest_kinda.plan import plan_to_json
from pytest_kinda.versions import version_of

if TYPE_CHECKING:
    from pytest_kinda.testbed.nodes import NodeHandle
    from pytest_kinda.testbed.testbed import Testbed

LIMIT = 10.0
"""Seconds that one piece may take."""
AT_ONCE = 8
_LINES = 200

# A device has what its image has: a command that is not there says so and the next one follows.
_STATE = """
for command in 'ip -d -s link' 'ip -br addr' 'ip route show table all' \
    'ip -6 route show table all' 'ip rule' 'ip neigh' 'tc -s qdisc' 'bridge link' 'bridge fdb'; do
    printf '$ %s\\n' "$command"; $command 2>&1; echo
done
command -v vtysh >/dev/null && for command in 'show ip route' 'show bgp summary' \
    'show ip ospf neighbor'; do
    printf '$ vtysh -c "%s"\\n' "$command"; vtysh -c "$command" 2>&1; echo
done
command -v ovs-vsctl >/dev/null && {
    for command in 'ovs-vsctl show' 'ovs-vsctl list bridge' 'ovs-vsctl list interface' \
        'ovs-vsctl list controller' 'ovs-appctl dpif/show' 'ovs-appctl dpctl/dump-flows'; do
        printf '$ %s\\n' "$command"; timeout 5 $command 2>&1; echo
    done
    for bridge in $(ovs-vsctl --timeout=5 list-br); do
        for command in bridge/dump-flows fdb/show stp/show; do
            printf '$ ovs-appctl %s %s\\n' "$command" "$bridge"
            timeout 5 ovs-appctl "$command" "$bridge" 2>&1; echo
        done
    done
}
command -v nft >/dev/null && nft list ruleset 2>&1
"""


@dataclass(frozen=True)
class Piece:
    """One file of evidence: its path in the folder, and why it is not there, if it is not."""

    name: str
    problem: str = ""


def collect(
    questions: Mapping[str, Callable[[], str]], folder: Path, *, limit: float
) -> tuple[Piece, ...]:
    """Ask every question and write its answer to the file of its name under ``folder``.

    ``limit`` in seconds is for all of them together; what has not come by then is left out and
    its thread is not waited for. No question's failure is raised. Raises OSError if the folder
    cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    turns = threading.Semaphore(AT_ONCE)
    lock = threading.Lock()
    found: dict[str, Piece] = {}
    closed = threading.Event()

    def ask(name: str, question: Callable[[], str]) -> None:
        problem = text = ""
        with turns:
            if closed.is_set():
                return
            try:
                text = question()
            # Whatever is wrong with one piece is told in its place and costs no other.
            except Exception as error:
                message = error.message if isinstance(error, KindaError) else str(error)
                problem = f"{type(error).__name__}: {message}"
        with lock:
            if closed.is_set():
                return
            try:
                if not problem:
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, errors="replace")
            except OSError as error:
                problem = str(error)
            found[name] = Piece(name, problem)

    # Daemons: one that hangs must not hold the process up at its end.
    threads = [
        threading.Thread(target=ask, args=one, name=f"evidence {one[0]}", daemon=True)
        for one in questions.items()
    ]
    deadline = time.monotonic() + limit
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    with lock:
        closed.set()
        return tuple(
            found.get(name, Piece(name, f"no answer within {limit:g} s")) for name in questions
        )


def questions_of(testbed: Testbed, *, limit: float = LIMIT) -> dict[str, Callable[[], str]]:
    """What is asked of a testbed, by the files that the answers go to; ``limit`` s for each."""
    found: dict[str, Callable[[], str]] = {
        "summary.txt": partial(summary, testbed),
        "plan.json": lambda: json.dumps(plan_to_json(testbed.plan), indent=2) + "\n",
        "versions.txt": versions,
    }
    for node in testbed.nodes:
        if node.name not in testbed.standing.containers:
            continue  # a hub is a wire
        found[f"nodes/{node.name}/network.txt"] = partial(_state, node, limit)
        found[f"nodes/{node.name}/log.txt"] = partial(_log, testbed, node.name, limit)
    real = testbed.standing.has_data_path
    for log in () if real else sorted(testbed.directory.glob("*.log")):
        found[f"lab/{log.name}"] = partial(log.read_text, errors="replace")
    for node in testbed.kubernetes_nodes if real else ():
        for unit in ("kubelet", "containerd"):
            found[f"nodes/{node.name}/{unit}.txt"] = partial(
                _journal, node, unit, testbed.test_began, limit
            )
    if testbed.kubeconfig is not None:
        if real:
            found["leaks.txt"] = lambda: f"{testbed.leaks()}\n"
        for name, argv in {
            "nodes": ("get", "nodes", "-o", "wide"),
            "pods": ("get", "pods", "-A", "-o", "wide"),
            "events": ("get", "events", "-A", "--sort-by=.lastTimestamp"),
            "describe": ("describe", "pods"),
            "describe-nodes": ("describe", "nodes"),
        }.items():
            found[f"cluster/{name}.txt"] = partial(_kubectl, testbed, argv, limit)
        if real:
            found["cluster/logs.txt"] = partial(_pod_logs, testbed, limit)
        if real and len(testbed.plan.control_planes) > 1:
            found["cluster/load-balancer.txt"] = partial(_balancer, testbed, limit)
    return found


def summary(testbed: Testbed) -> str:
    """The testbed on a page: nodes, addresses, links, and the faults that are in force."""
    lines = [f"testbed {testbed.id} of topology {testbed.plan.topology}", "", "nodes"]
    for node in testbed.plan.nodes:
        ends = "  ".join(f"{one.name} {' '.join(one.addresses)}" for one in node.interfaces)
        lines.append(f"  {node.name}  {node.kind}  {node.endpoint}  {ends}".rstrip())
        lines += [f"    {note}" for note in (node.device.notes if node.device else ())]
    lines += ["", "links"]
    for link in testbed.plan.links:
        ends = f"{link.a.node}:{link.a.interface}  {link.b.node}:{link.b.interface}"
        lines.append(f"  {link.name}  {ends}")
    lines += ["", "faults that are not healed"]
    lines += [f"  {fault.what}" for fault in testbed.faults] or ["  none"]
    return "\n".join(lines) + "\n"


def _state(node: NodeHandle, limit: float) -> str:
    own = node.planned.device.state if node.planned.device else ""
    return node.shell(f"{_STATE}{own}\ntrue", timeout=limit, check=False).stdout


def versions() -> str:
    """What took part: this package, what it stands on, Python and the kernel."""
    lines = [f"python {platform.python_version()}", f"linux {platform.release()}"]
    for name in ("pytest-kinda", "pytest", "kathara", "docker", "kubernetes", "pyroute2"):
        lines.append(f"{name} {version_of(name) or 'not installed'}")
    return "\n".join(lines) + "\n"


def _pod_logs(testbed: Testbed, limit: float) -> str:
    """What every pod's containers have printed since the test began, each under its name."""
    since = datetime.fromtimestamp(testbed.test_began, timezone.utc)
    pods = testbed.kubectl("get", "pods", "-A", json=True, timeout=limit)["items"]
    flags = ("--all-containers", "--prefix", "--timestamps", f"--since-time={since.isoformat()}")

    def ask(pod: Mapping[str, Any]) -> str:
        space, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        said = _kubectl(testbed, ("logs", "-n", space, name, *flags), limit)
        return f"== {space}/{name}\n{said}"

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="logs") as pool:
        return "\n".join(pool.map(ask, pods))


def _journal(node: NodeHandle, unit: str, since: float, limit: float) -> str:
    argv = ("journalctl", "--no-pager", "-u", unit, "--since", f"@{int(since)}")
    result = node.exec(*argv, timeout=limit, check=False)
    return result.stdout + result.stderr


def _log(testbed: Testbed, node: str, limit: float) -> str:
    from pytest_kinda.build.engine_api import container_logs

    return container_logs(testbed.standing.containers[node], lines=_LINES, timeout=limit)


def _balancer(testbed: Testbed, limit: float) -> str:
    from pytest_kinda.build import balancer
    from pytest_kinda.build.kind import cluster_name

    return balancer.logs(cluster_name(testbed.id), lines=_LINES, timeout=limit)


def _kubectl(testbed: Testbed, argv: tuple[str, ...], limit: float) -> str:
    result = testbed.kubectl.run(*argv, timeout=limit, check=False)
    return result.stdout + result.stderr
