"""The real kubectl, on the testbed's own kubeconfig."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda.errors import CommandError
from pytest_kinda.testbed.results import Result, Stopwatch


def _program() -> str:
    from pytest_kinda.setup.tools import program

    return program("kubectl")


_READS = frozenset(
    [
        "api-resources",
        "api-versions",
        "auth",
        "cluster-info",
        "config",
        "describe",
        "events",
        "explain",
        "get",
        "logs",
        "top",
        "version",
        "wait",
    ]
)


def surroundings(kubeconfig: Path) -> dict[str, str]:
    """The variables with which kubectl acts on a testbed's cluster and leaves nothing elsewhere.

    What it remembers of an API server, else a folder of ``~/.kube/cache``, goes with the testbed.
    """
    return {
        "KUBECONFIG": str(kubeconfig),
        "KUBECACHEDIR": str(kubeconfig.with_name("kubectl-cache")),
    }


class Kubectl:
    """Runs kubectl. ``namespace(reads)`` is the one that commands without ``-n`` act in.

    Nothing in ~/.kube is read or written. Example::

        kinda.kubectl("get", "pods", "-A").lines
        kinda.kubectl("get", "nodes", json=True)["items"]
    """

    def __init__(
        self,
        kubeconfig: Path,
        namespace: Callable[[bool], str] = lambda reads: "default",
        program: Callable[[], str] = _program,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._program = program
        self._configured: dict[str, Path] = {}
        self._lock = threading.Lock()

    def _config(self, verb: str = "") -> Path:
        """A kubeconfig whose context has the namespace: ``--namespace`` would refuse manifests."""
        namespace = self._namespace(verb in _READS)
        if namespace in ("", "default"):
            return self._kubeconfig
        with self._lock:  # two calls at once must not both write it
            return self._config_for(namespace)

    def _config_for(self, namespace: str) -> Path:
        if namespace not in self._configured:
            data = yaml.safe_load(self._kubeconfig.read_text())
            for context in data["contexts"]:
                context["context"]["namespace"] = namespace
            path = self._kubeconfig.with_name(f"{self._kubeconfig.name}-{namespace}")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                yaml.safe_dump(data, file)
            self._configured[namespace] = path
        return self._configured[namespace]

    def environment(self, verb: str = "") -> dict[str, str]:
        """The environment that kubectl, helm and the like need to act on this cluster.

        A kubectl ``verb`` that only reads needs no namespace to be made first.
        """
        return {**os.environ, **surroundings(self._config(verb))}

    def command(self, *argv: str) -> list[str]:
        """The whole command line of a kubectl call. Raises SetupError where there is no kubectl."""
        return [self._program(), *argv]

    def run(
        self,
        *argv: str,
        stdin: str | bytes = b"",
        timeout: float = 120.0,
        check: bool = True,
    ) -> Result:
        """Run it to its end. ``timeout`` in seconds. Raises CommandError, SetupError."""
        watch = Stopwatch()
        data = stdin.encode() if isinstance(stdin, str) else stdin
        shown = ("kubectl", *argv)
        try:
            done = subprocess.run(
                self.command(*argv),
                input=data,
                capture_output=True,
                timeout=timeout,
                env=self.environment(argv[0] if argv else ""),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                shown,
                "this machine",
                -1,
                (error.stdout or b"").decode("utf-8", "replace"),
                (error.stderr or b"").decode("utf-8", "replace"),
                note=f"it did not end within {timeout:g} s",
            ) from None
        result = Result(
            done.returncode, done.stdout, done.stderr, watch.seconds, shown, "this machine"
        )
        return result.check() if check else result

    def __call__(
        self,
        *argv: str,
        json: bool = False,
        stdin: str | bytes = b"",
        timeout: float = 120.0,
        check: bool = True,
    ) -> Any:
        """Run kubectl: a Result, or with ``json=True`` what its ``-o json`` says."""
        if json:
            return self.run(*argv, "-o", "json", stdin=stdin, timeout=timeout).json()
        return self.run(*argv, stdin=stdin, timeout=timeout, check=check)
