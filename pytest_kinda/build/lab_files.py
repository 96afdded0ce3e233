"""What the processes of a lab are told: secrets, configurations, command lines.

Who may use a lab is whoever can read its directory (mode 0700, its secrets 0600): etcd is a socket
in it, and the API server on 127.0.0.1 wants the token that is in the kubeconfig there. The API
server makes its own certificate in that directory, which is what the kubeconfig trusts.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEDULER = "kube-scheduler"
# Nodes of a lab have no kubelet whose heartbeats could fail to come.
_GRACE = "876000h"
# Of no use without machines, addresses of pods, or a cloud; that of TTLs tells each kubelet how
# long it may remember a secret.
_WITHOUT = "*,-node-ipam-controller,-node-route-controller,-service-lb-controller,-ttl-controller"

# Sockets in the lab's directory; etcd wants "host:port" and makes it the file's name.
_CLIENT, _PEER = "unix://etcd:1", "unix://etcd:2"


@dataclass(frozen=True)
class LabFiles:
    """The files of one lab, and what its programs are started with.

    ``directory`` is the testbed's, ``programs`` the folder of the programs.
    """

    directory: Path
    programs: Path

    @property
    def kubeconfig(self) -> Path:
        """For whoever acts on the lab's cluster, as cluster-admin."""
        return self.directory / "kubeconfig"

    @property
    def certificate(self) -> Path:
        """What the API server shows, made by itself; its own authority is in it."""
        return self._pki / "apiserver.crt"

    @property
    def scheduler_certificate(self) -> Path:
        """What the scheduler shows, made by itself."""
        return self._pki / "kube-scheduler.crt"

    @property
    def _pki(self) -> Path:
        return self.directory / "pki"

    @property
    def _tokens(self) -> Path:
        return self._pki / "tokens.csv"

    @property
    def _key(self) -> Path:
        return self._pki / "apiserver.key"

    def _in_directory(self, program: str) -> list[str]:
        """A program that finds etcd's sockets, by names that are short wherever the lab is."""
        return ["env", "-C", str(self.directory), str(self.programs / program)]

    def log(self, program: str) -> Path:
        """Where a program's outputs go."""
        return self.directory / f"{program}.log"

    def write_secrets(self) -> str:
        """Make the token of the lab's only user; the token. Raises OSError."""
        self._pki.mkdir(mode=0o700)
        token = secrets.token_urlsafe(32)
        write_secret(self._tokens, f'{token},lab,lab,"system:masters"\n')
        return token

    def write_kubeconfig(self, server: str, token: str) -> None:
        """Write the kubeconfig. Raises OSError."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "clusters": [
                {
                    "name": "lab",
                    "cluster": {"server": server, "certificate-authority": str(self.certificate)},
                }
            ],
            "users": [{"name": "lab", "user": {"token": token}}],
        }
        write_secret(self.kubeconfig, json.dumps(content, indent=1))

    def etcd(self) -> list[str]:
        """etcd's command line; it keeps nothing that is worth an fsync."""
        return [
            *self._in_directory("etcd"),
            "--data-dir=etcd",
            f"--listen-client-urls={_CLIENT}",
            f"--advertise-client-urls={_CLIENT}",
            f"--listen-peer-urls={_PEER}",
            f"--initial-advertise-peer-urls={_PEER}",
            f"--initial-cluster=default={_PEER}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def apiserver(self, port: int, service_cidr: str) -> list[str]:
        """The API server's command line."""
        return [
            *self._in_directory("kube-apiserver"),
            f"--etcd-servers={_CLIENT}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self._pki}",
            f"--token-auth-file={self._tokens}",
            f"--service-cluster-ip-range={service_cidr}",
            "--service-account-issuer=https://kubernetes.default.svc",
            # the key that it has made for its certificate, so that there is one secret less to make
            f"--service-account-key-file={self._key}",
            f"--service-account-signing-key-file={self._key}",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            # its address is no node's, and nobody finds it through a service
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            # a node is as Ready as it says from its first moment on
            "--disable-admission-plugins=TaintNodesByCondition",
            "--max-requests-inflight=0",
            "--max-mutating-requests-inflight=0",
            "--enable-priority-and-fairness=false",
        ]

    def controllers(self) -> list[str]:
        """The controller manager's command line."""
        return [
            str(self.programs / "kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={self._key}",
            f"--controllers={_WITHOUT}",
            f"--node-monitor-grace-period={_GRACE}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]

    def scheduler(
        self, configuration: Path, port: int, verbosity: int = 2, program: Path | None = None
    ) -> list[str]:
        """A scheduler's command line in the place of the lab's own."""
        return [
            str(program or self.programs / SCHEDULER),
            f"--config={configuration}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
            "--authentication-skip-lookup=true",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self._pki}",
            f"--secure-port={port}",
            f"--v={verbosity}",
        ]

    def own_configuration(self) -> Mapping[str, Any]:
        """That of the lab's own scheduler: the default one of a cluster that asks nobody to wait.

        A client that may send 50 requests a second would be the scheduler's only limit here.
        """
        return {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": str(self.kubeconfig), **UNLIMITED},
        }


UNLIMITED: Mapping[str, Any] = {"qps": 5000, "burst": 10000}
"""What a scheduler's client may send a second, in a lab."""


def write_secret(path: Path, text: str) -> None:
    """Write a file that is its user's alone from its first moment on. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
