"""Talking to a child of the keeper: a line of JSON there, a line of JSON back.

``{"ok": ...}`` is an answer, ``{"error": ...}`` one of our errors that is raised here again. What
it is told without being asked has no answer.
"""

from __future__ import annotations

import json
import select
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pytest_kinda.errors import HostError
from pytest_kinda.host import protocol
from pytest_kinda.host.children import Child


def ask(
    child: Child, message: Mapping[str, Any], who: str, limit: float | None = None
) -> dict[str, Any]:
    """Its answer; ``who`` names it in errors, ``limit`` is in seconds (None waits).

    Raises HostError where it has ended, says nonsense, or does not answer in time, and whatever
    error it answers with.
    """
    process = child.process
    assert process.stdout is not None
    try:
        tell(child, message)
        if limit is not None and not select.select([process.stdout], [], [], limit)[0]:
            raise HostError(f"no answer within {limit:g} s")
        answer = json.loads(process.stdout.readline() or b"{}")
    except (OSError, ValueError) as error:
        raise HostError(f"{who} does not answer: {error}") from error
    if "error" in answer:
        raise protocol.raised(answer["error"])
    if "ok" not in answer:
        raise HostError(f"{who} has ended: see keeper.log")
    return dict(answer["ok"])


def tell(child: Child, message: Mapping[str, Any]) -> None:
    """Send it a line; one that has ended says why when it is asked. Raises OSError, ValueError."""
    assert child.process.stdin is not None
    with suppress(BrokenPipeError):
        child.process.stdin.write(json.dumps(message).encode() + b"\n")
        child.process.stdin.flush()


def end(child: Child) -> None:
    """Close its streams, which is its sign to end, and end it."""
    for stream in (child.process.stdin, child.process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    child.end()
