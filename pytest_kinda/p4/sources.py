"""P4 sources: compiled to BMv2's JSON by the p4c that is found, and kept by their content."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_kinda import folders
from pytest_kinda.errors import ProgramError

COMPILERS = ("p4c-bm2-ss", "p4c")
LIMIT = 120.0
"""Seconds for one program; the largest measured took 2."""

_INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def compile_source(path: Path) -> str:
    """The JSON text of a P4 program for v1model.

    The compiler is the first of ``p4c-bm2-ss`` and ``p4c`` on PATH. What it made is kept by the
    content of the source and all that it includes by ``"..."``, and by the compiler.

    Raises:
        ProgramError: There is no compiler or no such file, or the compiler refused it.
    """
    found = next((one for name in COMPILERS if (one := shutil.which(name))), None)
    if found is None:
        raise ProgramError(
            f"{path.name}: no P4 compiler: none of {', '.join(COMPILERS)} is on PATH",
            remedy=f"give {path.with_suffix('.json').name}, which `p4c-bm2-ss --p4v 16 -o "
            f"{path.with_suffix('.json').name} {path.name}` writes where there is one",
        )
    compiler = Path(found).stat()
    key = hashlib.sha256(f"{found} {compiler.st_size} {compiler.st_mtime_ns}".encode())
    for content in _contents(path):
        key.update(content)
    kept = folders.cache("p4") / f"{key.hexdigest()[:32]}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix="compiling-") as folder:
            os.replace(_compiled(found, path, Path(folder)), kept)
    return kept.read_text("utf-8")


def _contents(path: Path, seen: frozenset[Path] = frozenset()) -> Iterator[bytes]:
    try:
        content = path.read_bytes()
    except OSError as problem:
        if seen:
            return  # perhaps in another folder, or not meant: the compiler says so
        raise ProgramError(f"{path}: cannot be read: {problem.strerror}") from problem
    yield content
    for name in _INCLUDE.findall(content):
        included = path.parent / name.decode("utf-8", "replace")
        if included not in seen:
            yield from _contents(included, seen | {path})


def _compiled(compiler: str, path: Path, folder: Path) -> Path:
    target = folder / f"{path.stem}.json"
    argv = [compiler, "--p4v", "16", "-o", str(target), str(path)]
    if Path(compiler).name == "p4c":  # the driver names the file itself
        argv = [compiler, "--target", "bmv2", "--arch", "v1model", "-o", str(folder), str(path)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{compiler}: {path.name} not done after {LIMIT:g} s") from None
    except OSError as problem:
        raise ProgramError(f"{compiler}: {problem}") from problem
    if done.returncode or not target.exists():
        end = "\n".join(done.stderr.strip().splitlines()[-20:])
        raise ProgramError(f"{compiler} ended with status {done.returncode}:\n{end}")
    return target
