"""The ``kinda_scheduler`` mark: which scheduler a test is to run with, and the fixture of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kinda.errors import DeclarationError

if TYPE_CHECKING:
    from pytest_kinda.scheduling.scheduler import Scheduler
    from pytest_kinda.testbed import Testbed

NAME = "kinda_scheduler"
HELP = (
    "kinda_scheduler(name='', *, mode='profile', config=..., ...): run the test with a scheduler "
    "of its own, the fixture `kinda_scheduler`; arguments are those of kinda.scheduler(...)."
)


def wanted(definition: Any) -> dict[str, Any] | None:
    """The arguments of the nearest mark; None where there is none.

    Raises UsageError for arguments that are wrong.
    """
    mark = definition.get_closest_marker(NAME)
    if mark is None:
        return None
    from pytest_kinda.scheduling.choice import choose

    where = f"{definition.nodeid}: mark {NAME}"
    if len(mark.args) > 1 or not all(isinstance(one, str) for one in mark.args):
        found = ", ".join(map(repr, mark.args))
        raise pytest.UsageError(
            f"{where}: found the arguments {found}; expected the scheduler's name alone, "
            "and the others by their names"
        )
    arguments = {**dict(zip(("name",), mark.args, strict=False)), **mark.kwargs}
    try:
        choose(arguments)
    except DeclarationError as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return arguments


def check(metafunc: pytest.Metafunc) -> None:
    """Refuse at collection what is marked wrongly, or marked and would not be run so."""
    definition = metafunc.definition
    if wanted(definition) is not None and NAME not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{definition.nodeid}: mark {NAME}: the test does not use the fixture {NAME}; "
            f"expected it among its arguments, or @pytest.mark.usefixtures({NAME!r})"
        )


@pytest.fixture
def kinda_scheduler(request: pytest.FixtureRequest, kinda: Testbed) -> Iterator[Scheduler]:
    """The scheduler under test, which works; what was there before is back after the test."""
    arguments = wanted(request.node)
    if arguments is None:
        pytest.fail(
            f"this test uses `{NAME}` but says of no scheduler\n"
            f"  remedy: mark it, its class or its module with @pytest.mark.{NAME}(...)",
            pytrace=False,
        )
    with kinda.scheduler(**arguments, base=request.path.parent) as found:
        yield found
