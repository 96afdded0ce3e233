"""Debian trees for images, made by mmdebstrap, which is unpacked and not installed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup import debian, images, pins
from pytest_kinda.setup.process import run
from pytest_kinda.setup.steps import Report

_LEFT_OUT = ("doc", "man", "locale", "info")


def tree(packages: Sequence[str], report: Report, *, customize: Path | None = None) -> Path:
    """A tar file of a Debian root file system with these packages; made once for each recipe.

    :param customize: a program that is run with the new root's path before it is packed.
    :raises SetupError: not a Debian machine, or mmdebstrap fails (with its last lines).
    """
    parts: list[str | bytes | Path] = [pins.DEBIAN, *sorted(packages)]
    if customize is not None:
        parts.append(customize)
    target = folders.cache("trees") / f"{images.recipe_hash(parts)}.tar"
    if target.exists():
        return target
    if not debian.is_debian():
        raise SetupError(
            "images are built from Debian packages on Debian machines only",
            remedy="let the published parts be used: kinda setup --official",
        )
    program = _mmdebstrap()
    report(f"making a Debian {pins.DEBIAN} tree of {len(packages)} packages (about 60 s)")
    with tempfile.TemporaryDirectory(dir=folders.cache("trees")) as folder:
        made = Path(folder) / "tree.tar"
        options: list[str | Path] = ["--variant=minbase", "--format=tar"]
        options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
        options += [f"--include={','.join(packages)}"]
        if customize is not None:
            hook = Path(folder) / "customize"
            hook.write_bytes(customize.read_bytes())
            hook.chmod(0o755)
            options.append(f"--customize-hook={hook}")
        run(
            ["perl", program, *options, pins.DEBIAN, made, debian.mirror()],
            what="make a Debian tree",
            env={"PATH": f"{program.parent}:{os.environ.get('PATH', '')}"},
            timeout=1200,
        )
        made.replace(target)
    return target


def _mmdebstrap() -> Path:
    folder = folders.cache("mmdebstrap")
    program = folder / "usr/bin/mmdebstrap"
    if not program.exists():
        debian.Apt(pins.DEBIAN).unpack(["mmdebstrap"], folder)
    return program
