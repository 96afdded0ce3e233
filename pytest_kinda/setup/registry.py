"""Published parts: which they are, whether they can be reached, and pulling them by the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pytest_kinda.errors import SetupError
from pytest_kinda.setup import debian, engine, pins
from pytest_kinda.setup.steps import Report

VARIABLE = "KINDA_REGISTRY"
"""Names another registry (``host:port``) that holds the same names, for mirrors and tests."""

ANSWER_LIMIT = 3.0
"""Seconds a registry has to answer before the parts are built here instead."""


def published(repository: str, environ: Mapping[str, str] | None = None) -> str:
    """A published repository's name, in the registry that ``KINDA_REGISTRY`` names if it does.

    >>> published("kindest/node", {"KINDA_REGISTRY": "mirror:5000"})
    'mirror:5000/kindest/node'
    """
    host = (os.environ if environ is None else environ).get(VARIABLE, "").strip("/")
    return f"{host}/{repository}" if host else repository


def node_reference() -> str:
    """The official node image, by digest: a moved tag changes nothing here."""
    return f"{published('kindest/node')}@{pins.KIND_NODE_DIGEST}"


def debian_reference() -> str:
    """The published Debian image that device images start from."""
    return published(f"{pins.DEBIAN_IMAGE}")


def load_balancer_reference() -> str:
    """The balancer before several control planes."""
    return published(pins.LOAD_BALANCER)


def bmv2_reference() -> str:
    """The published BMv2."""
    return published(pins.BMV2)


def plugin_reference() -> str:
    """Kathara's network plugin for this machine's architecture."""
    return published(f"{pins.KATHARA_PLUGIN}:{debian.architecture()}")


def reachable(reference: str = "") -> bool:
    """Whether a registry that has the published node image (or another reference) answers.

    One request, made by the engine, which knows its own mirrors and proxies. A registry without
    it, or that refuses it, is as good as none: what is taken from it would be missing.
    """
    name = reference or node_reference()
    try:
        return engine.ask(f"/distribution/{name}/json", timeout=ANSWER_LIMIT) is not None
    except (OSError, SetupError):
        return False


def pull(reference: str, report: Report) -> None:
    """Let the engine pull an image.

    :raises SetupError: the registry does not have it or cannot be reached; says which.
    """
    import docker
    import docker.errors

    report(f"pulling {reference}")
    client = docker.from_env()
    try:
        for line in client.api.pull(reference, stream=True, decode=True):
            if "error" in line:
                raise SetupError(
                    f"could not pull {reference}: {line['error']}", remedy=_remedy(reference)
                )
    except docker.errors.DockerException as error:
        raise SetupError(
            f"could not pull {reference}: {error}", remedy=_remedy(reference)
        ) from None
    finally:
        client.close()


def _remedy(reference: str) -> str:
    return (
        f"`docker pull {reference}` must work; behind no registry `kinda setup --offline` builds "
        "the same here"
    )


class Choice:
    """Whether published parts are taken: as the caller says, else asked once, when first needed."""

    def __init__(self, official: bool | None, report: Report) -> None:
        self._answer = official
        self._report = report

    def __call__(self) -> bool:
        """True: take published parts."""
        if self._answer is None:
            self._answer = reachable()
            self._report(
                "registry: answers, published parts are taken"
                if self._answer
                else "registry: does not answer, parts are built here"
            )
        return self._answer
