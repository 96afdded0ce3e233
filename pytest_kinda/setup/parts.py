"""The step that makes one of our images, from whichever origin the policy and the network allow."""

from __future__ import annotations

from typing import Protocol

from pytest_kinda.errors import SetupError
from pytest_kinda.setup import images, registry, workshop
from pytest_kinda.setup.steps import Found, Policy, Report


class Recipe(Protocol):
    """How one image is made from published parts (pull) or from Debian and Go (build)."""

    name: images.Name

    def recipe(self, origin: images.Origin) -> str:
        """The hash of what it is made from."""
        ...

    def pull(self, report: Report) -> None:
        """Make it from published parts. Raises SetupError."""
        ...

    def build(self, report: Report) -> None:
        """Make it here. Raises SetupError."""
        ...


def judge(
    reference: str, here: images.Local | None, wanted: dict[str, str], official: bool | None
) -> Found:
    """What an image in the engine is worth.

    :param here: what the engine has under that reference, if anything.
    :param wanted: the present recipe's hash for each origin.
    :param official: the policy: True and False force an origin, None takes either.
    """
    if here is None:
        return Found(False, f"{reference} is missing", "kinda setup")
    if here.origin not in wanted:
        return Found(False, f"{reference} was not made by kinda setup", "kinda setup")
    if official is not None and here.origin != ("official" if official else "stand-in"):
        flag = "--official" if official else "--offline"
        return Found(False, f"{reference} is {_article(here.origin)}", f"kinda setup {flag}")
    if here.recipe != wanted[here.origin]:
        return Found(False, f"{reference} is of another recipe", "kinda setup")
    warning = "kinda setup --official    (replaces the stand-in by the published one)"
    return Found(
        True, f"{reference}, {here.origin}", warning=warning if here.origin == "stand-in" else ""
    )


def _article(origin: str) -> str:
    return "the official one" if origin == "official" else "a stand-in"


class ImageStep:
    """Step: one image is in the engine, made from the present recipe."""

    def __init__(
        self, name: str, recipe: Recipe, policy: Policy, use_official: registry.Choice
    ) -> None:
        self.name = name
        self.recipe = recipe
        self.policy = policy
        self.use_official = use_official

    def check(self) -> Found:
        """Whether it is there, of an accepted origin and of the present recipe."""
        try:
            here = images.local_images()
        except OSError:
            return Found(False, "Docker Engine does not answer", "kinda setup")
        reference = images.image(self.recipe.name)
        wanted = {
            "official": self.recipe.recipe("official"),
            "stand-in": self.recipe.recipe("stand-in"),
        }
        return judge(reference, here.get(reference), wanted, self.policy.official)

    def do(self, report: Report) -> None:
        """Pull or build it.

        :raises SetupError: the forced origin does not give it, or neither does, or there is no
            engine to put it into.
        """
        try:
            before = images.local_images().get(images.image(self.recipe.name))
        except OSError as error:
            raise SetupError(
                f"Docker Engine does not answer: {error}",
                remedy="what the step before says of the engine, then `kinda setup`",
            ) from error
        self._make(report)
        after = images.local_images().get(images.image(self.recipe.name))
        if before is not None and after is not None and before.id != after.id:
            # Hundreds of megabytes without a name; one that a testbed runs on stays until then.
            workshop.remove_image(before.id)

    def _make(self, report: Report) -> None:
        if self.use_official():
            try:
                self.recipe.pull(report)
                return
            except SetupError as error:
                if self.policy.official:
                    raise
                report(f"{error.message.splitlines()[0]}: building it here")
        self.recipe.build(report)
