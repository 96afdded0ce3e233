"""Make the instruction files of ``pytest_kinda/host/programs`` from their C.

``python tests/support/compile_bpf.py`` writes them; a test compiles and compares. Needs clang.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = Path(__file__).parents[2] / "pytest_kinda" / "host" / "programs"
CLANG_MAJOR = 14
"""The version that made the files; others choose other instructions."""


def clang() -> tuple[str, int] | None:
    """The compiler to use and its major version, the pinned one first."""
    for name in (f"clang-{CLANG_MAJOR}", "clang"):
        if found := shutil.which(name):
            text = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
            if match := re.search(r"version (\d+)\.", text):
                return found, int(match.group(1))
    return None


def compile_programs(compiler: str, source: Path) -> dict[str, bytes]:
    """Each program's instructions by the name of its section."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "program.o"
        subprocess.run(
            [compiler, "-O2", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v2", "-c"]
            + [str(source), "-o", str(target)],
            check=True,
        )
        sections = elf_sections(target.read_bytes())
    assert not any(name.startswith(".rel") for name in sections), "the loader knows no relocations"
    return {name: data for name, data in sections.items() if name.startswith(source.stem)}


def elf_sections(data: bytes) -> dict[str, bytes]:
    """The sections of a 64-bit little-endian ELF file by name."""
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names_at = struct.unpack_from("<3H", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", data, table + size * i) for i in range(count)]
    contents = [data[at : at + length] for _, _, _, _, at, length in headers]
    names = contents[names_at]
    return {
        names[start : names.index(0, start)].decode(): content
        for (start, *_), content in zip(headers, contents, strict=True)
    }


if __name__ == "__main__":
    found = clang()
    if not found:
        sys.exit("clang is not installed")
    for source in PROGRAMS.glob("*.c"):
        for name, instructions in compile_programs(found[0], source).items():
            (PROGRAMS / f"{name}.bin").write_bytes(instructions)
            print(f"{name}.bin: {len(instructions) // 8} instructions")
