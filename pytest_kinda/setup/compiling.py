"""Programs compiled from Go modules of ours, kept by the hash of what they are made from."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pytest_kinda.setup import golang, images, pins
from pytest_kinda.setup.steps import Report

KUBERNETES_FLAGS = (
    "-s -w"
    f" -X k8s.io/component-base/version.gitVersion=v{pins.KUBERNETES}"
    f" -X k8s.io/component-base/version.gitMajor={pins.KUBERNETES.split('.')[0]}"
    f" -X k8s.io/component-base/version.gitMinor={pins.KUBERNETES.split('.')[1]}"
    " -X k8s.io/component-base/version.gitTreeState=clean"
    f" -X k8s.io/client-go/pkg/version.gitVersion=v{pins.KUBERNETES}"
)
"""The linker's flags for programs of Kubernetes: which version they say that they are."""


def kept(module: Path, flags: str, path: Path) -> Path:
    """Where a program is once it is compiled: ``path`` with the hash of what it is made from."""
    return path.with_name(f"{path.name}-{images.recipe_hash([module, flags])}")


def compiled(
    go: golang.Go, module: Path, flags: str, path: Path, report: Report, *, takes: str = ""
) -> Path:
    """Compile a program unless it is kept; where it is. ``takes`` says how long, in words.

    :raises SetupError: it does not compile or its modules cannot be fetched.
    """
    target = kept(module, flags, path)
    if not target.exists():
        report(f"compiling {path.name}" + (f" ({takes})" if takes else ""))
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            # A copy: the package may be installed where nothing may be written.
            copy = Path(scratch) / "module"
            shutil.copytree(module, copy, copy_function=shutil.copyfile)
            made = Path(scratch) / path.name
            go.build(copy, made, ldflags=flags)
            made.replace(target)
    return target
