"""Compiles translated programs, and keeps what was compiled by its content."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.errors import ProgramError

COMPILERS = ("gcc", "cc", "clang")
FLAGS = ("-std=gnu11", "-O2", "-s", "-static", "-Wall", "-Wno-unused-function")
LIMIT = 120.0
"""Seconds for one program; the largest measured took 5."""


def find_compiler() -> str:
    """The host's C compiler: ``$CC``, else the first of gcc, cc, clang on PATH.

    Raises:
        ProgramError: There is none.
    """
    named = os.environ.get("CC")
    for name in (named, *COMPILERS) if named else COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise ProgramError(
        f"no C compiler: none of {', '.join(COMPILERS)} is on PATH",
        remedy="install gcc and the C library's static part (Debian: gcc libc6-dev)",
    )


def compile_program(
    source: str,
    cache: Path | None = None,
    *,
    flags: Sequence[str] = FLAGS,
    compiler: str | None = None,
) -> Path:
    """Compile C source into a static program, or find it in the cache.

    The name in the cache is the SHA-256 of source, flags and compiler. Two processes may compile
    the same at once: each writes its own file, and the last rename wins with equal content.

    Args:
        source: What ``translate`` made.
        cache: A directory that exists; the package's own otherwise.
        flags: The compiler's flags.
        compiler: Its path; ``find_compiler`` looks for it otherwise.

    Returns:
        The path of the program.

    Raises:
        ProgramError: There is no compiler, or it refused the source.
    """
    chosen = compiler or find_compiler()
    cache = cache or folders.cache("p4")
    content = "\0".join((chosen, *flags, source))
    target = cache / hashlib.sha256(content.encode()).hexdigest()[:32]
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix="compiling-") as folder:
        file, made = Path(folder, "program.c"), Path(folder, "program")
        file.write_text(source, "utf-8")
        try:
            done = subprocess.run(
                [chosen, *flags, "-o", str(made), str(file)],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ProgramError(f"{chosen}: not done after {LIMIT:g} s") from None
        except OSError as problem:
            raise ProgramError(f"{chosen}: {problem}") from problem
        if done.returncode:
            kept = cache / "refused.c"
            shutil.copy(file, kept)
            end = "\n".join(done.stderr.strip().splitlines()[:20])
            raise ProgramError(
                f"{chosen} ended with status {done.returncode}:\n{end}",
                remedy=f"the source is kept in {kept}; a static C library (libc6-dev) is needed",
            )
        made.chmod(0o755)
        os.replace(made, target)
    return target
