"""Preparing a machine: what a testbed needs, found, built or pulled; and saying what is missing.

Importing this needs the standard library only; Docker's package is imported where it is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Sequence

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup.doctor import Finding, examine
from pytest_kinda.setup.images import ON_DEMAND as IMAGES_ON_DEMAND
from pytest_kinda.setup.images import image
from pytest_kinda.setup.steps import Policy, Step, carry_out
from pytest_kinda.setup.tools import program

__all__ = [
    "ON_DEMAND", "Finding", "Policy", "examine", "image", "prepare", "program", "step_names",
    "steps_of",
]  # fmt: skip

ON_DEMAND: frozenset[str] = IMAGES_ON_DEMAND | {"scheduling", "kueue", "lab"}
"""Steps for what few tests need: done by name, or when first needed; never missing."""


def steps_of(policy: Policy, report: Callable[[str], None] = lambda line: None) -> dict[str, Step]:
    """The steps of preparing, in order, by the names that ``--only`` takes."""
    from pytest_kinda.setup import (
        bmv2_image,
        capture_library,
        device_images,
        engine,
        lab,
        limits,
        load_balancer_image,
        node_image,
        parts,
        plugin_image,
        registry,
        scheduling,
        tools,
    )

    choice = registry.Choice(policy.official, report)
    return {
        "engine": engine.Engine(install=policy.install),
        "libpcap": capture_library.CaptureLibrary(install=policy.install),
        "limits": limits.Limits(),
        "kind": tools.Kind(),
        "node": parts.ImageStep("node image", node_image.NodeImage(), policy, choice),
        "kubectl": tools.Kubectl(),
        "plugin": plugin_image.Plugin(policy, choice),
        "base": parts.ImageStep("base image", device_images.base(), policy, choice),
        "router": parts.ImageStep("router image", device_images.router(), policy, choice),
        "ovs": parts.ImageStep("ovs image", device_images.ovs(), policy, choice),
        "load-balancer": load_balancer_image.LoadBalancerStep(policy, choice),
        "bmv2": bmv2_image.Bmv2Image(),
        scheduling.NAME: scheduling.SCHEDULING,
        scheduling.KUEUE_NAME: scheduling.KUEUE,
        lab.NAME: lab.LabPrograms(),
    }


def prepare(
    *,
    official: bool | None = None,
    offline: bool | None = None,
    install: bool = False,
    only: Sequence[str] | None = None,
    beside: Sequence[str] = (),
    report: Callable[[str], None] = print,
) -> int:
    """Prepare this machine; 0 when everything is ready, 1 when something is left to do.

    :param official: take published parts, and replace stand-ins by them.
    :param offline: build every part here, whatever a registry says.
    :param install: system packages may be installed beside an engine that is here.
    :param only: names of steps (:func:`steps_of`); None does all but those of ``ON_DEMAND``.
    :param beside: names of steps that are done beside these.
    :param report: takes one line at a time: what was found, is done, and how long it took.
    :raises SetupError: the arguments contradict each other or name no step.

    >>> prepare(only=["limits"])                              # doctest: +SKIP
    inotify limits: 8192, 1048576 are enough  [0.0 s]
    0
    """
    if official and offline:
        raise SetupError(
            "official and offline exclude each other", remedy="give one of them, or neither"
        )
    began = time.monotonic()
    policy = Policy(True if official else False if offline else None, install)
    known = steps_of(policy, report)
    unknown = sorted({*(only or ()), *beside} - set(known))
    if unknown:
        raise SetupError(
            f"no step is called {', '.join(unknown)}", remedy=f"the steps are {', '.join(known)}"
        )
    wanted = {*(only or (name for name in known if name not in ON_DEMAND)), *beside}
    with _alone(report):
        status = carry_out([step for name, step in known.items() if name in wanted], report)
    report(f"{'prepared' if status == 0 else 'not prepared'} in {time.monotonic() - began:.1f} s")
    return status


def step_names(text: str) -> list[str]:
    """The steps that an option names, with commas between.

    >>> step_names("kind, node,")
    ['kind', 'node']
    """
    return [one for one in (part.strip() for part in text.split(",")) if one]


@contextlib.contextmanager
def _alone(report: Callable[[str], None]) -> Iterator[None]:
    """Two preparations at once would build the same things: the second waits, then finds them."""
    with (folders.state() / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting: another `kinda setup` is at work")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
