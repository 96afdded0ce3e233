"""Waiting on conditions: each wait has a limit, and its error says the last state seen."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryError as _RetryError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from pytest_kinda.errors import WaitTimeoutError


def wait_until(
    look: Callable[[], str],
    what: str,
    *,
    limit: float,
    interval: float = 0.1,
    remedy: str = "",
) -> None:
    """Wait until ``look`` answers with an empty string: what is still missing, in words.

    ``limit`` and ``interval`` are seconds. Raises WaitTimeoutError with the last answer, and
    whatever ``look`` raises.

    Example:
        ``wait_until(lambda: "" if path.exists() else "no file yet", "the file", limit=5)``
    """
    retrying = Retrying(
        retry=retry_if_result(bool), stop=stop_after_delay(limit), wait=wait_fixed(interval)
    )
    try:
        retrying(look)
    except _RetryError as error:
        raise WaitTimeoutError(
            f"waited {limit:g} s for {what}; last seen: {error.last_attempt.result()}",
            remedy=remedy,
        ) from None
