"""The image that P4 switches of the ``bmv2`` engine run: the published one, as it is.

Nothing is built in its place: BMv2 is the reference that other engines are compared with. Whoever
cannot pull it names the native engine.
"""

from __future__ import annotations

from urllib.parse import quote

from pytest_kinda.errors import SetupError
from pytest_kinda.setup import engine, images, registry, workshop
from pytest_kinda.setup.steps import Found, Report

INSTEAD = "engine='native' or --kinda-p4-engine=native needs no image"


class Bmv2Image:
    """Step: BMv2's image is in the engine, whoever put it there."""

    name = "bmv2 image"

    def check(self) -> Found:
        """Whether it is there."""
        reference = images.image("bmv2")
        try:
            here = engine.ask(f"/images/{quote(reference, safe='')}/json")
        except OSError:
            return Found(False, "Docker Engine does not answer", "kinda setup")
        if here is None:
            return Found(False, f"{reference} is missing", f"kinda setup --with bmv2; {INSTEAD}")
        return Found(True, reference)

    def do(self, report: Report) -> None:
        """Pull it. Raises SetupError."""
        reference, name = registry.bmv2_reference(), images.image("bmv2")
        try:
            registry.pull(reference, report)
        except SetupError as error:
            remedy = f"`docker pull {reference}` must work; {INSTEAD}"
            raise SetupError(error.message, remedy=remedy) from error
        if reference != name:
            workshop.tag(reference, name)
