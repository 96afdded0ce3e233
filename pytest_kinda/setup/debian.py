"""Debian packages without touching the machine's own package lists.

A private apt configuration has its own lists, cache and sources file; where to download from is
taken from the machine's own sources, so a local mirror or proxy goes on being used. Only Debian
machines (ID=debian) can do this; everyone else gets the official parts or a printed command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup.process import run

LOCK_LIMIT = 300
"""Seconds that apt waits for another program which installs packages."""

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """The fields of os-release; empty when there is no such file."""
    if not path.is_file():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {key.strip(): value.strip().strip('"') for key, value in pairs}


def is_debian() -> bool:
    """Whether this machine is Debian itself (not a derivative) with apt."""
    return os_release().get("ID") == "debian" and Path("/usr/bin/apt-get").exists()


def mirror(folder: Path = Path("/etc/apt")) -> str:
    """The URI that the machine's own sources give for Debian's main archive.

    :raises SetupError: no enabled source names Debian's archive.
    """
    for file in sorted((folder / "sources.list.d").glob("*.sources")):
        for uri in re.findall(r"^URIs:\s*(\S+)", file.read_text(), re.MULTILINE):
            if re.search(r"/debian/?$", uri):
                return str(uri).rstrip("/")
    lists = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    for file in lists:
        text = file.read_text() if file.is_file() else ""
        for uri in re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)", text, re.MULTILINE):
            if re.search(r"/debian/?$", uri):
                return str(uri).rstrip("/")
    raise SetupError(
        f"no source under {folder} names Debian's archive (a URI ending in /debian)",
        remedy="add one, or install the missing part yourself",
    )


def architecture() -> str:
    """Debian's name of this machine's architecture (``amd64``, ``arm64``)."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


class Apt:
    """apt for one release, with lists and cache of its own.

    :param release: ``trixie``, ``sid``, or the machine's own code name.

    >>> Apt("trixie").download(["docker.io"])        # doctest: +SKIP
    [PosixPath('.../archives/docker.io_26.1.5_amd64.deb')]
    """

    def __init__(self, release: str) -> None:
        self.release = release
        self.root = folders.cache("apt", release)
        for part in ("lists/partial", "archives/partial", "parts"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        self.sources = self.root / "sources.list"
        self.sources.write_text(f"deb [signed-by={_KEYRING}] {mirror()} {release} main\n")
        self.configuration = self.root / "apt.conf"
        self.configuration.write_text(
            f'Dir::State::Lists "{self.root}/lists";\n'
            f'Dir::Cache::Archives "{self.root}/archives";\n'
            f'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
            f'Dir::Etc::SourceList "{self.sources}";\n'
            f'Dir::Etc::SourceParts "{self.root}/parts";\n'
            'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        )
        self._updated = False

    def update(self) -> None:
        """Fetch this release's package list once in this process."""
        if not self._updated:
            run(["apt-get", *self._options, "update"], what=f"read Debian {self.release}'s list")
            self._updated = True

    def download(self, packages: Sequence[str]) -> list[Path]:
        """The named packages (not what they depend on) as files; cached ones are not fetched."""
        self.update()
        folder = self.root / "archives"
        run(
            ["apt-get", *self._options, "download", *packages],
            what=f"download {', '.join(packages)} of Debian {self.release}",
            cwd=folder,
        )
        return [self._newest(folder, package) for package in packages]

    def install(self, packages: Sequence[str]) -> None:
        """Install packages on this machine, with what they depend on."""
        self.update()
        # a machine that has just started may be updating itself
        wait = ("-o", f"DPkg::Lock::Timeout={LOCK_LIMIT}")
        run(
            [
                *("apt-get", *self._options, *wait),
                *("install", "-y", "--no-install-recommends", *packages),
            ],
            what=f"install {', '.join(packages)}",
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )

    def unpack(self, packages: Sequence[str], folder: Path) -> None:
        """Unpack packages into a folder; nothing is installed."""
        for file in self.download(packages):
            run(["dpkg", "-x", file, folder], what=f"unpack {file.name}")

    def dependencies(self, packages: Sequence[str], *, without: Iterable[str] = ()) -> list[str]:
        """The named packages and everything they need that this machine has not installed."""
        self.update()
        out = run(
            ["apt-get", *self._options, "install", "-s", "--no-install-recommends", *packages],
            what=f"see what {', '.join(packages)} needs",
        )
        found = re.findall(r"^Inst (\S+)", out, re.MULTILINE)
        return [name for name in found if name not in set(without)]

    @property
    def _options(self) -> list[str]:
        return ["-qq", "-c", str(self.configuration)]

    @staticmethod
    def _newest(folder: Path, package: str) -> Path:
        files = sorted(folder.glob(f"{package}_*.deb"), key=lambda file: file.stat().st_mtime)
        if not files:
            raise SetupError(
                f"apt downloaded no file for {package} into {folder}",
                remedy="empty that folder and run `kinda setup` again",
            )
        return files[-1]
