"""A scheduler's configuration and the manifest it runs by: read, completed, and nothing else.

The configuration is Kubernetes' own ``KubeSchedulerConfiguration`` (kubescheduler.config.k8s.io/v1,
``pkg/scheduler/apis/config`` of Kubernetes 1.34). With ``--config`` a scheduler takes only the
flags of leader election and of its own server from the command line, hence the kubeconfig here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda.errors import DeclarationError, Problem
from pytest_kinda.scheduling.choice import DEFAULT
from pytest_kinda.testbed.staticpods import RUN

API = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
_PLACES = ("{config}", "{kubeconfig}")


@dataclass(frozen=True)
class Extender:
    """Where an extender is served, and what it does."""

    url: str
    filters: bool
    scores: bool

    def entry(self) -> dict[str, Any]:
        """It in a configuration. One that fails is an error of the pod, never skipped."""
        found: dict[str, Any] = {
            "urlPrefix": self.url,
            "nodeCacheCapable": True,
            "ignorable": False,
            "httpTimeout": "10s",
        }
        if self.filters:
            found["filterVerb"] = "filter"
        if self.scores:
            found |= {"prioritizeVerb": "prioritize", "weight": 1}
        return found


def read_configuration(
    given: Mapping[str, Any] | str | Path | None, folder: Path
) -> dict[str, Any]:
    """A configuration from a dict, YAML text of several lines, or a file (relative to a folder).

    None is the default one. Raises DeclarationError for what is none.
    """
    where, found = "config", given
    if isinstance(found, Path) or (isinstance(found, str) and "\n" not in found.strip()):
        path = folder / found
        where = f"config {path}"
        try:
            found = path.read_text(encoding="utf-8")
        except OSError as error:
            raise _wrong(where, error.strerror or str(error), "a file that can be read") from error
    if isinstance(found, str):
        try:
            found = yaml.safe_load(found)
        except yaml.YAMLError as error:
            raise _wrong(where, f"no YAML ({error})", f"a {KIND}") from error
    if found is None:
        found = {}
    if not isinstance(found, Mapping):
        raise _wrong(where, type(found).__name__, f"a {KIND}")
    head = {"apiVersion": API, "kind": KIND}
    for key, value in head.items():
        if found.get(key, value) != value:
            raise _wrong(where, f"{key} {found[key]!r}", repr(value))
    return {**head, **copy.deepcopy(dict(found))}


def _wrong(where: str, found: str, expected: str) -> DeclarationError:
    return DeclarationError("scheduler under test", [Problem(where, "", found, expected)])


def complete(
    configuration: Mapping[str, Any],
    *,
    name: str = "",
    kubeconfig: str = "",
    leads: bool = False,
    extender: Extender | None = None,
) -> dict[str, Any]:
    """A configuration with what the place it runs at needs, where its author said nothing.

    ``name`` becomes that of a single profile without one, and must be one of theirs else, or
    DeclarationError is raised.
    Without ``leads`` it does not wait for a lease that it shares with another scheduler.
    """
    found = copy.deepcopy(dict(configuration))
    profiles = found.get("profiles") or [{}]
    unnamed = name if name and len(profiles) == 1 else DEFAULT  # of several each must have one
    found["profiles"] = [{"schedulerName": unnamed, **one} for one in profiles]
    if name and name not in (known := names_of(found)):
        raise _wrong("config: profiles", f"schedulerName {', '.join(known)}", repr(name))
    if kubeconfig:
        found["clientConnection"] = {"kubeconfig": kubeconfig, **found.get("clientConnection", {})}
    if not leads:
        found["leaderElection"] = {"leaderElect": False, **found.get("leaderElection", {})}
    if extender is not None:
        found["extenders"] = [*found.get("extenders", ()), extender.entry()]
    return found


def names_of(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that pods may ask for: those of its profiles, in their order.

    >>> names_of({"profiles": [{}, {"schedulerName": "network"}]})
    ('default-scheduler', 'network')
    """
    profiles = configuration.get("profiles") or [{}]
    return tuple(str(one.get("schedulerName") or DEFAULT) for one in profiles)


def plugins_of(configuration: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each plugin that a profile enables by name, with its arguments there."""
    for profile in configuration.get("profiles") or ():
        arguments = {
            one.get("name"): one.get("args") or {} for one in profile.get("pluginConfig") or ()
        }
        names = {
            one["name"]: None
            for point in (profile.get("plugins") or {}).values()
            for one in (point or {}).get("enabled") or ()
        }
        for name in names:
            yield name, arguments.get(name, {})


def arguments_of(
    argv: Sequence[str], config: str, kubeconfig: str, more: Iterable[str]
) -> list[str]:
    """A command as it is run: ``{config}`` and ``{kubeconfig}`` in it are files.

    One without either is a program that takes kube-scheduler's flags, which are added.

    >>> arguments_of(["my-scheduler"], "/tmp/a.yaml", "/tmp/k", ["--v=4"])
    ['my-scheduler', '--config=/tmp/a.yaml', '--v=4']
    >>> arguments_of(["go", "run", ".", "--kubeconfig={kubeconfig}"], "/tmp/a.yaml", "/tmp/k", [])
    ['go', 'run', '.', '--kubeconfig=/tmp/k']
    """
    if not any(place in word for word in argv for place in _PLACES):
        return [*argv, f"--config={config}", *more]
    return [word.replace("{config}", config).replace("{kubeconfig}", kubeconfig) for word in argv]


def changed_manifest(
    manifest: Mapping[str, Any],
    *,
    run: str,
    config: str,
    image: str = "",
    argv: Sequence[str] = (),
    binary: str = "",
    verbosity: int | None = None,
) -> dict[str, Any]:
    """The manifest of kube-scheduler's static pod with another configuration, image or command.

    ``config`` is the configuration's file on the node, ``binary`` a program there that runs. A
    command of one word takes the place of kube-scheduler's, with its flags; a longer one that of
    all. ``run`` marks the pod. What kubeadm has set else stays: certificates, probes, its place
    in the control plane.
    """
    argv = (binary,) if binary else argv
    found = copy.deepcopy(dict(manifest))
    metadata, spec = found["metadata"], found["spec"]
    metadata["annotations"] = {**metadata.get("annotations", {}), RUN: run}
    container = spec["containers"][0]
    if image:
        container["image"] = image
    before = [*container.get("command", ()), *container.get("args", ())]
    kept = [word for word in before if not word.startswith("--config=")]
    flags = [] if verbosity is None else [f"--v={verbosity}"]
    command = [*argv, *kept[1:]] if len(argv) == 1 else list(argv) or kept
    container.pop("args", None)
    container["command"] = arguments_of(command, config, _kubeconfig(kept), flags)
    mount(spec, container, "kinda-config", config)
    if binary:
        mount(spec, container, "kinda-binary", binary)
    return found


def mount(spec: dict[str, Any], container: dict[str, Any], name: str, path: str) -> None:
    """Let a container of a pod see a file of its node, at the same path, read only."""
    spec["volumes"] = [
        *spec.get("volumes", ()),
        {"name": name, "hostPath": {"path": path, "type": "File"}},
    ]
    container["volumeMounts"] = [
        *container.get("volumeMounts", ()),
        {"name": name, "mountPath": path, "readOnly": True},
    ]


def _kubeconfig(words: Iterable[str]) -> str:
    given = [word.partition("=")[2] for word in words if word.startswith("--kubeconfig=")]
    return given[-1] if given else "/etc/kubernetes/scheduler.conf"
