"""The programs of a lab: those of the node image's control plane, as files of this machine.

One program does all of them, by the name that it is called by. What the set-up has compiled for the
node image is used as it is; else the program is taken out of that image, which is not run for it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup import golang, images, pins
from pytest_kinda.setup.compiling import KUBERNETES_FLAGS, compiled, kept
from pytest_kinda.setup.steps import Found, Report

NAME = "lab"
"""The step's name for ``kinda setup --with``."""
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_IN_THE_IMAGE = "/usr/local/bin/kubernetes"
_REMEDY = f"kinda setup --with {NAME}    (compiles them: 5 to 8 minutes on 2 cores)"


def programs(report: Report = lambda line: None) -> Path:
    """The folder with a lab's programs, made if it is not here.

    :raises SetupError: they were not compiled here, and no node image of ours is here either.

    >>> sorted(one.name for one in programs().iterdir())          # doctest: +SKIP
    ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler']
    """
    made = _compiled()
    return _named(made if made.exists() else _from_image(report))


class LabPrograms:
    """Step: a lab's programs are here, without Docker."""

    name = NAME

    def check(self) -> Found:
        """Whether they are compiled: with them a lab needs no Docker, not even its images."""
        path = _compiled()
        if path.exists():
            return Found(True, f"Kubernetes {pins.KUBERNETES} at {path}")
        return Found(False, "not compiled here; a node image of ours has them", _REMEDY)

    def do(self, report: Report) -> None:
        """Compile them. Raises SetupError."""
        go = golang.toolchain(report)
        takes = "5 to 8 minutes on 2 cores"
        compiled(go, _module(), KUBERNETES_FLAGS, _place(), report, takes=takes)


def _from_image(report: Report) -> Path:
    """Our node image's program; the published image has several, within its own images."""
    target = folders.cache(NAME) / _compiled().name
    if target.exists():
        return target
    from pytest_kinda.setup import node_image, workshop

    reference = images.image("node")
    try:
        here = images.local_images().get(reference)
    except OSError:
        raise SetupError(
            "the programs of labs were not compiled here, and the Docker Engine, which has them in "
            "the node image, does not answer",
            remedy=_REMEDY,
        ) from None
    what = ""
    if here is None:
        what = "is not here"
    elif here.origin != "stand-in":
        what = "is the published one, which has no such program"
    elif here.recipe != node_image.NodeImage().recipe("stand-in"):
        what = "is of another recipe"
    if what:
        raise SetupError(
            f"the programs of labs were not compiled here, and {reference} {what}", remedy=_REMEDY
        )
    report(f"taking the programs of a lab out of {reference}")
    workshop.copy_out(reference, _IN_THE_IMAGE, target)
    return target


def _named(program: Path) -> Path:
    """A folder of links to a program, by the names that it is called by."""
    folder = folders.cache(NAME, f"as-{program.name}")
    for name in PROGRAMS:
        link = folder / name
        if link.is_symlink() and os.readlink(link) == str(program):
            continue
        # Another process may look for it at any time: a rename leaves it no moment without one.
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / name
            made.symlink_to(program)
            made.replace(link)
    return folder


def _compiled() -> Path:
    return kept(_module(), KUBERNETES_FLAGS, _place())


def _module() -> Path:
    return images.recipes() / "node" / "kubernetes"


def _place() -> Path:
    return folders.cache("node") / "kubernetes"
