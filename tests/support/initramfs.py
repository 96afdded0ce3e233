"""The root file system of a small virtual machine, as an uncompressed cpio archive.

It holds the Python that runs this, some of its packages, programs of this machine with the
libraries they need, and kernel modules in the order they are loaded in.
"""

from __future__ import annotations

import importlib.metadata
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.compile_bpf import elf_sections

LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
_LEFT_OUT = re.compile(r"(test|tests|idlelib|tkinter|ensurepip|lib2to3|turtledemo|config-.*)")


class Initramfs:
    """Files by their path in the archive, relative to its root."""

    def __init__(self, library_path: str = "") -> None:
        self._files: dict[Path, tuple[int, bytes | Path]] = {}
        self._library_path = library_path

    def add(self, path: str | Path, content: bytes | str | Path, mode: int | None = None) -> None:
        """A file: text, bytes, or the path of one (whose mode it keeps)."""
        target = Path(str(path).lstrip("/"))
        if isinstance(content, str):
            content = content.encode()
        if mode is None:
            mode = content.stat().st_mode & 0o777 if isinstance(content, Path) else 0o644
        self._files[target] = (stat.S_IFREG | mode, content)

    def add_link(self, path: str, target: str) -> None:
        self._files[Path(path)] = (stat.S_IFLNK | 0o777, target.encode())

    def add_tree(self, source: Path, target: str | Path, *, leave_out: re.Pattern[str]) -> None:
        """A directory; names that ``leave_out`` matches whole are not taken."""
        for directory, names, files in os.walk(source):
            names[:] = [name for name in names if not leave_out.fullmatch(name)]
            for name in files:
                path = Path(directory, name)
                if not leave_out.fullmatch(name) and path.is_file():
                    self.add(Path(target, path.relative_to(source)), path)

    def add_program(self, source: Path, target: str | Path) -> None:
        """A program and the shared libraries it is linked with, those at their own places."""
        self.add(target, source.resolve(), 0o755)
        self.add_libraries(source)

    def add_libraries(self, source: Path) -> None:
        """The shared libraries that a program or library is linked with."""
        environment = dict(os.environ)
        if self._library_path:
            environment["LD_LIBRARY_PATH"] = self._library_path
        done = subprocess.run(["ldd", str(source)], capture_output=True, text=True, env=environment)
        for found in re.findall(r"(/\S+) \(0x", done.stdout):
            path = Path(found)
            inside = str(path.parent) in self._library_path.split(":")
            self.add(LIBRARIES / path.name if inside else path, path.resolve(), 0o755)

    def add_python(self, distributions: Iterable[str], target: str = "opt/site-packages") -> None:
        """This interpreter, its standard library, and distributions with all they require."""
        self.add_program(Path(sys.executable).resolve(), "usr/bin/python3")
        library = Path(sysconfig.get_path("stdlib"))
        leave_out = re.compile(rf"{_LEFT_OUT.pattern}|site-packages|dist-packages")
        self.add_tree(library, library, leave_out=leave_out)
        for extension in (library / "lib-dynload").glob("*.so"):
            self.add_libraries(extension)
        done: set[str] = set()
        todo = list(distributions)
        while todo:
            name = todo.pop()
            if name in done:
                continue
            done.add(name)
            distribution = importlib.metadata.distribution(name)
            for file in distribution.files or ():
                path = Path(str(distribution.locate_file(file)))
                if ".." not in file.parts and path.is_file():
                    self.add(Path(target, *file.parts), path)
            for text in distribution.requires or ():
                requirement = Requirement(text)
                if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                    todo.append(requirement.name)

    def add_modules(self, kernel: Path, names: Iterable[str]) -> None:
        """Kernel modules and those they depend on; ``/modules/order`` lists them to be loaded."""
        there = {
            path.name.partition(".ko")[0].replace("-", "_"): path for path in kernel.rglob("*.ko*")
        }
        builtin = {
            Path(line).stem.replace("-", "_")
            for line in (kernel / "modules.builtin").read_text().splitlines()
        }
        order: list[str] = []

        def need(name: str) -> None:
            name = name.replace("-", "_")
            if name in builtin or name in order:
                return
            data = there[name].read_bytes()
            if there[name].suffix == ".xz":  # from Debian 13 on
                data = lzma.decompress(data)
            for entry in elf_sections(data)[".modinfo"].split(b"\0"):
                if entry.startswith(b"depends=") and (others := entry[8:].decode()):
                    for other in others.split(","):
                        need(other)
            order.append(name)
            self.add(f"modules/{name}.ko", data)

        for name in names:
            need(name)
        self.add("modules/order", "\n".join(order) + "\n")

    def write(self, path: Path) -> int:
        """Write the archive; its size in bytes."""
        with path.open("wb") as out:
            number = 0

            def entry(
                name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0), time: int = 0
            ) -> None:
                nonlocal number
                number += 1
                numbers = (number, mode, 0, 0, 1, time, len(data), 0, 0, *device, len(name) + 1, 0)
                head = b"070701" + b"".join(b"%08x" % one for one in numbers)
                for part in (head + name.encode() + b"\0", data):
                    out.write(part + b"\0" * (-len(part) % 4))

            folders = {parent for file in self._files for parent in file.parents}
            folders |= {Path(name) for name in ("proc", "sys", "dev", "tmp", "run", "root", "etc")}
            for folder in sorted(folders - {Path(".")}):
                entry(str(folder), stat.S_IFDIR | 0o755, b"")
            entry("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1))
            for target, (mode, content) in self._files.items():
                if isinstance(content, Path):
                    # Its time too: Python compares it with that in the compiled file.
                    time = int(content.stat().st_mtime)
                    entry(str(target), mode, content.read_bytes(), time=time)
                else:
                    entry(str(target), mode, content)
            entry("TRAILER!!!", 0, b"")
        return path.stat().st_size


def program(name: str, *roots: Path) -> Path | None:
    """A program of this machine, else of an unpacked root."""
    if found := shutil.which(name):
        return Path(found)
    for root in roots:
        for folder in ("usr/sbin", "usr/bin", "sbin", "bin"):
            if (path := root / folder / name).is_file():
                return path
    return None
