"""The kind cluster of a testbed: its Docker network, its configuration, its creation."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_kinda.build import kubeadm, pulls
from pytest_kinda.build.docker_network import make_network
from pytest_kinda.build.keeping import KeeperClient
from pytest_kinda.build.labels import TESTBED_LABEL
from pytest_kinda.errors import BuildError
from pytest_kinda.plan.outside import PULL_GROUP
from pytest_kinda.plan.values import Plan
from pytest_kinda.setup.images import image
from pytest_kinda.setup.tools import program

CREATE_LIMIT = 600.0
_STEP = "kind cluster"


def cluster_name(testbed: str) -> str:
    """The kind cluster's name, and that of its Docker network."""
    return f"kinda-{testbed}"


def container_names(plan: Plan, cluster: str) -> dict[str, str]:
    """Which container will be which declared node: kind counts the nodes of each role.

    >>> container_names(plan, "kinda-1")                        # doctest: +SKIP
    {'kinda-1-control-plane': 'c1', 'kinda-1-worker': 'w1', 'kinda-1-worker2': 'w2'}
    """
    seen: dict[str, int] = {}
    found = {}
    for node in plan.kubernetes_nodes:
        count = seen[node.role] = seen.get(node.role, 0) + 1
        found[f"{cluster}-{node.role}{count if count > 1 else ''}"] = node.name
    return found


def configuration(plan: Plan, cluster: str) -> dict[str, Any]:
    """The kind configuration of the plan with the cluster's name and the node image."""
    if plan.cluster is None:
        raise ValueError("a plan without a cluster has no kind configuration")
    found = dict(plan.cluster.kind)
    found["name"] = cluster
    found["nodes"] = [{"image": image("node"), **node} for node in found["nodes"]]
    return found


def make_cluster_network(keeper: KeeperClient, plan: Plan, testbed: str) -> Plan:
    """Create the testbed's own Docker network, which only its kind nodes are in.

    Returns the plan as it was carried out. Raises EngineError, BuildError.
    """
    if plan.cluster is None:
        return plan
    planned, pool = plan.cluster.docker_subnet, plan.options.docker_pool
    subnet = make_network(keeper, testbed, cluster_name(testbed), planned, pool)
    return replace(plan, cluster=replace(plan.cluster, docker_subnet=subnet))


class KindRun:
    """One ``kind create cluster``, a child of the keeper."""

    def __init__(self, keeper: KeeperClient, plan: Plan, testbed: str, directory: Path) -> None:
        self.keeper = keeper
        self.plan = plan
        self.testbed = testbed
        self.cluster = cluster_name(testbed)
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self.log = directory / "kind.log"
        self._child: int | None = None
        self._lock = threading.Lock()
        self._given_up = False

    def start(self) -> None:
        """Start it; its nodes appear in the next seconds. Raises HostError, SetupError."""
        settings = configuration(self.plan, self.cluster)
        files = self.directory / "kubeadm"
        kubeadm.prepare(self.plan, self.cluster, files, {TESTBED_LABEL: self.testbed})
        settings = kubeadm.speed_up(settings, self.plan, files)
        if self.plan.uplink is not None:
            settings = pulls.in_a_group(settings, self.directory, PULL_GROUP)
        config = self.directory / "kind.json"
        config.write_text(json.dumps(settings, indent=1))
        self.keeper.record([{"undo": "kind-cluster", "name": self.cluster}])
        argv = [
            program("kind"),
            *("create", "cluster", "--name", self.cluster, "--config", str(config)),
            *("--kubeconfig", str(self.kubeconfig), "--retain", "--wait", "0s"),
        ]
        with self._lock:
            if self._given_up:
                raise BuildError(_STEP, "the build was given up before kind was started")
            self._child = self.keeper.spawn(argv, env=kind_environment(self.cluster), log=self.log)

    def finish(self) -> None:
        """Wait until it ends. Raises BuildError with what kind said."""
        assert self._child is not None
        if self.keeper.wait(self._child, timeout=CREATE_LIMIT) != 0:
            raise BuildError(
                _STEP, kind_error(self.log.read_text(errors="replace")), remedy="kinda doctor"
            )
        if not self.kubeconfig.is_file() or not self.kubeconfig.read_text().strip():
            raise BuildError(_STEP, "kind ended well but wrote no kubeconfig")

    def kill(self) -> None:
        """End it and its children now; one that has not begun never begins."""
        with self._lock:
            self._given_up = True
            if self._child is not None:
                self.keeper.kill(self._child)


def kind_environment(network: str) -> Mapping[str, str]:
    """The environment of that one kind process."""
    passed = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "TMPDIR", "LANG")
    return {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
        "KIND_EXPERIMENTAL_DOCKER_NETWORK": network,
        # Nothing of ours reads or writes ~/.kube/config.
        "KUBECONFIG": "/dev/null",
    }


def kind_error(log: str) -> str:
    """What kind says went wrong, from its output: its ERROR line and the end of what it ran.

    kubeadm's informational lines, which are most of it, stay in the log.
    """
    plain = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", log)
    lines = [line.rstrip()[:400] for line in plain.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    others = [line for line in lines if line not in errors and not re.match(r"I\d{4} ", line)]
    return "\n".join([*(errors or ["kind failed without an error line"]), *others[-8:]])
