"""The image of the balancer that kind puts before several control planes.

kind names it in its code, so here it has kind's name: the published Envoy where a registry is
reached, else haproxy under that name, led by the same files. No other testbed needs it, so it is
made when a topology first asks for it, or by ``kinda setup --with load-balancer``.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from pytest_kinda.setup import engine, images, pins, registry, rootfs, workshop
from pytest_kinda.setup.parts import ImageStep
from pytest_kinda.setup.steps import Found, Policy, Report

PACKAGES = ("haproxy", "python3-yaml", "tini")
"""What the stand-in is made of, beside the smallest Debian and our ``envoy``."""

_CHANGES = (
    # kind starts a shell that starts envoy: tini hands it the signal to end
    f"ENTRYPOINT {workshop.as_json(['/usr/bin/tini', '-g', '--'])}",
    f"CMD {workshop.as_json(['envoy', '-c', '/home/envoy/envoy.yaml'])}",
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)


class LoadBalancerImage:
    """The recipe of the balancer's image, for either origin."""

    name: images.Name = "load-balancer"

    def recipe(self, origin: images.Origin) -> str:
        """The hash that an image made from this recipe carries; the published one carries none."""
        if origin == "official":
            return ""
        folder = images.recipes() / "load-balancer"
        return images.recipe_hash([pins.DEBIAN, ",".join(PACKAGES), repr(_CHANGES), folder])

    def pull(self, report: Report) -> None:
        """Take the published image as it is, under the name that kind knows."""
        reference = registry.load_balancer_reference()
        registry.pull(reference, report)
        if reference != images.image(self.name):
            workshop.tag(reference, images.image(self.name))

    def build(self, report: Report) -> None:
        """Make a small Debian with haproxy and our ``envoy``."""
        tree = rootfs.tree(PACKAGES, report)
        report("importing the tree")
        workshop.import_tree(
            tree,
            images.image(self.name),
            add=[(images.recipes() / "load-balancer", ".", False)],
            changes=[
                *_CHANGES,
                f"LABEL {images.RECIPE_LABEL}={self.recipe('stand-in')}",
                f"LABEL {images.ORIGIN_LABEL}=stand-in",
            ],
        )


class LoadBalancerStep(ImageStep):
    """Step: the balancer's image is in the engine."""

    def __init__(self, policy: Policy, use_official: registry.Choice) -> None:
        super().__init__("load balancer image", LoadBalancerImage(), policy, use_official)

    def check(self) -> Found:
        """Whether it is there; one without our label is the published one, whoever pulled it."""
        found = super().check()
        if not found.ok and self.policy.official is not False and self._published():
            return Found(True, f"{images.image('load-balancer')}, official")
        return replace(found, remedy=_named(found.remedy), warning=_named(found.warning))

    def _published(self) -> bool:
        try:
            here = engine.ask(f"/images/{quote(images.image('load-balancer'), safe='')}/json")
        except OSError:
            return False
        labels = ((here or {}).get("Config") or {}).get("Labels") or {}
        return here is not None and images.ORIGIN_LABEL not in labels


def _named(remedy: str) -> str:
    """A remedy that prepares this image too."""
    return remedy.replace("kinda setup", "kinda setup --with load-balancer")
