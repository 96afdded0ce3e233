"""A program for schedulers' research that is compiled from a Go module, with its definitions.

One recipe each: a folder with ``go.mod`` and ``main.go``. What is made is kept by the hash of that
recipe; its custom resources' definitions are those of the module that the recipe names.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_kinda import folders
from pytest_kinda.setup import golang, images
from pytest_kinda.setup.compiling import KUBERNETES_FLAGS, compiled, kept
from pytest_kinda.setup.steps import Found, Report


@dataclass
class FromModule:
    """Step: a program is compiled from the recipe of that name.

    ``name`` is the step's, ``module`` the Go module that has the definitions, ``definitions_at``
    patterns of files in it, ``takes`` says how long compiling takes.
    """

    name: str
    recipe: str
    module: str
    definitions_at: tuple[str, ...]
    takes: str

    @property
    def program(self) -> Path:
        """Where it is, or will be, as one static program."""
        return kept(self.source, KUBERNETES_FLAGS, self._place)

    @property
    def version(self) -> str:
        """The module's version, as the recipe's go.mod names it."""
        lines = (self.source / "go.mod").read_text().splitlines()
        words = [line.split() for line in lines if f"{self.module} v" in line]
        return words[0][1]

    def definitions(self) -> list[dict[str, Any]]:
        """The definitions (CRDs) that it needs; they are there once the step is done."""
        texts = [path.read_text() for path in sorted(self._definitions.glob("*.yaml"))]
        return [one for text in texts for one in yaml.safe_load_all(text) if one]

    def check(self) -> Found:
        """Whether it is compiled, from the present recipe."""
        if self.program.exists() and self._definitions.is_dir():
            return Found(True, f"{self.recipe} {self.version} at {self.program}")
        return Found(
            False, f"{self.recipe} {self.version} is missing", f"kinda setup --with {self.name}"
        )

    def do(self, report: Report) -> None:
        """Compile it. Raises SetupError."""
        go = golang.toolchain(report)
        compiled(go, self.source, KUBERNETES_FLAGS, self._place, report, takes=self.takes)
        target = self._definitions
        if target.is_dir():
            return
        made = go.folder_of(f"{self.module}@{self.version}")
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            (folder := Path(scratch) / "definitions").mkdir()
            found = [path for pattern in self.definitions_at for path in sorted(made.glob(pattern))]
            for number, path in enumerate(found):
                (folder / f"{number:02}-{path.parent.name}-{path.name}").write_text(
                    path.read_text()
                )
            folder.replace(target)

    @property
    def source(self) -> Path:
        """The recipe: a module of Go."""
        return images.recipes() / self.recipe

    @property
    def _definitions(self) -> Path:
        return folders.cache("scheduling") / f"{self.recipe}-definitions-{self.version}"

    @property
    def _place(self) -> Path:
        return folders.cache("scheduling") / self.recipe
