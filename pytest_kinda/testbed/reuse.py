"""Attach to a testbed that was kept, if it is what the topology says and still healthy."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from pytest_kinda.errors import KindaError
from pytest_kinda.testbed.left import faults_left
from pytest_kinda.testbed.testbed import Testbed

if TYPE_CHECKING:
    from pytest_kinda.build.catalogue import Known
    from pytest_kinda.build.progress import Progress
    from pytest_kinda.plan.values import PlanOptions
    from pytest_kinda.topology import Topology


def attach(topology: Topology, options: PlanOptions, progress: Progress) -> Testbed | None:
    """The kept testbed of an equal topology with equal options; None if there is none to take.

    Its health is checked by packets between all its nodes. Each one of that name which is not
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
            try:
                testbed = Testbed.open(known.directory)
                reason = _damage(testbed)
            except KindaError as error:
                reason = f"damaged: {error.message.splitlines()[0]}"
            if not reason:
                progress.info(f"reusing testbed {known.id}")
                return testbed
        progress.info(f"testbed {known.id} is {reason}; it is left alone")
    return None


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


def _damage(testbed: Testbed) -> str:
    missing = testbed.reachability().missing
    if not missing:
        return ""
    pairs = ", ".join(f"{one} does not reach {other}" for one, other in missing[:3])
    return f"damaged: {pairs} (kinda clean {testbed.id})"
