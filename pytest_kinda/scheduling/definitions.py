"""Custom resources' definitions that a scheduler needs: published and served before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import KindaError

if TYPE_CHECKING:
    from pytest_kinda.testbed.publishing import Publication
    from pytest_kinda.testbed.testbed import Testbed

_SERVED_LIMIT = 30.0


def publish_definitions(
    testbed: Testbed, crds: Sequence[Mapping[str, Any]], what: str
) -> Publication:
    """Publish them, and wait until the API server serves their kinds.

    Raises ClusterError, WaitTimeoutError.
    """
    made = testbed.publish(crds, what)
    api = testbed.cluster.api
    for one in crds:
        group, kind = one["spec"]["group"], one["spec"]["names"]["plural"]
        versions = [str(each["name"]) for each in one["spec"]["versions"] if each["served"]]

        def served(path: str = f"/apis/{group}/{versions[0]}/{kind}", kind: str = kind) -> str:
            try:
                api.get(path)
            except KindaError as error:
                return f"{kind}: {error.message}"
            return ""

        wait_until(served, f"the kind {kind} to be served", limit=_SERVED_LIMIT)
    return made
