"""Attach to a testbed that was kept, if it is what the topology says and still healthy."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kinda.errors import BuildError, KindaError
from pytest_kinda.testbed import simulated, staticpods
from pytest_kinda.testbed.helpers import watch_broken
from pytest_kinda.testbed.leaks import Leaks
from pytest_kinda.testbed.left import faults_left
from pytest_kinda.testbed.publishing import FILE, withdraw_left
from pytest_kinda.testbed.testbed import Testbed

if TYPE_CHECKING:
    from pytest_kinda.build.catalogue import Known
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.plan.values import PlanOptions
    from pytest_kinda.topology import Topology

_STEP = "attach"


def attach(topology: Topology, options: PlanOptions, progress: Progress) -> Testbed | None:
    """The kept testbed of an equal topology with equal options; None if there is none to take.

    Its health is checked by packets between all its nodes, between their pod networks, and to the
    services of the cluster. Each one of that name which is not
    taken is named with the reason: stale, damaged, being built, or in use by another process.
    """
    from pytest_kinda.build.catalogue import testbeds
    from pytest_kinda.plan import signature

    wanted = signature(topology, options)
    for known in testbeds():
        if known.topology != topology.name:
            continue
        reason = _unfit(known, wanted)
        if not reason:
            testbed, reason = _opened(known)
            if testbed is not None:
                progress.info(f"reusing testbed {known.id}")
                return testbed
        progress.info(f"testbed {known.id} is {reason}; it is left alone")
    return None


def attach_to(
    topology: Topology,
    options: PlanOptions,
    progress: Progress,
    *,
    which: str,
    kubeconfig: str = "",
) -> Testbed:
    """The standing testbed named by its id, topology or directory, or by its kubeconfig.

    Nothing is built instead: raises BuildError where it is not there, is another topology, is
    damaged, or is in use.
    """
    from pytest_kinda.build.catalogue import testbeds
    from pytest_kinda.plan import signature

    mine = testbeds()
    if kubeconfig:
        given = Path(kubeconfig).resolve()
        found = [one for one in mine if (one.directory / "kubeconfig").resolve() == given]
        named = f"the kubeconfig {kubeconfig}"
    else:
        found = [one for one in mine if which in (one.id, str(one.directory))]
        found = found or [one for one in mine if which == one.topology]
        named = repr(which)
    if len(found) != 1:
        listed = ", ".join(f"{one.id} ({one.topology})" for one in mine) or "none"
        many = "several testbeds" if found else "no testbed of this user"
        raise BuildError(
            _STEP, f"{many} could be {named}; there are {listed}", remedy="kinda ls, then its id"
        )
    (known,) = found
    if known.topology != topology.name:
        raise BuildError(
            _STEP,
            f"testbed {known.id} is of topology {known.topology}; the test wants {topology.name}",
        )
    reason = _unfit(known, signature(topology, options))
    if not reason:
        testbed, reason = _opened(known)
        if testbed is not None:
            progress.info(f"attached to testbed {known.id}")
            return testbed
    raise BuildError(_STEP, f"testbed {known.id} is {reason}; it is left alone")


def _unfit(known: Known, wanted: str) -> str:
    if known.state == "abandoned":
        return f"damaged: its keeper is gone (kinda clean {known.id})"
    if known.state == "building":
        return "being built"
    if known.signature != wanted:
        return f"stale: the topology or the options have changed (kinda clean {known.id})"
    if changed := faults_left(known.directory):
        return f"changed by hand: {', '.join(changed)} (kinda link up {changed[0]})"
    return "" if _taken(known) else "in use by another process"


def _taken(known: Known) -> bool:
    """Whether it could be taken for this process; given back when the process ends."""
    handle = os.open(known.directory / "reuse.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    return True


def _opened(known: Known) -> tuple[Testbed | None, str]:
    """The testbed, or what is damaged in it."""
    try:
        testbed = Testbed.open(known.directory)
        if (known.directory / FILE).exists():
            withdraw_left(testbed.cluster.api, known.directory)
        if (known.directory / simulated.FILE).exists():
            simulated.remove_left(testbed.cluster.api, known.directory)
        if (known.directory / staticpods.FILE).exists():
            staticpods.put_back_left(testbed.cluster.api, known.directory, testbed.node)
        damage = _damage(testbed)
    except KindaError as error:
        return None, f"damaged: {error.message.splitlines()[0]} (kinda clean {known.id})"
    return (None, damage) if damage else (testbed, "")


def _damage(testbed: Testbed) -> str:
    if broken := watch_broken(testbed.standing):
        return f"damaged: {broken} (kinda clean {testbed.id})"
    # what leak guards have counted since it was built says nothing of what it is now
    problems = replace(testbed.verify(), leaks=Leaks(())).problems
    if not problems:
        return ""
    return f"damaged: {', '.join(problems[:3])} (kinda clean {testbed.id})"
