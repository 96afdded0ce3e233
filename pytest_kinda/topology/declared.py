"""Where a topology is declared: what the relative file names in it are relative to."""

from __future__ import annotations

import contextlib
import contextvars
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_directory: contextvars.ContextVar[Path | None] = contextvars.ContextVar("directory", default=None)


def declaring_directory() -> Path:
    """The directory of the file that is constructing a node right now.

    A reader that builds nodes for a file names it by :func:`declared_in`; else it is that of the
    nearest calling module outside this package; else the current directory.
    """
    named = _directory.get()
    if named is not None:
        return named
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        # "<string>" is where dataclasses generate their constructors
        if not name.startswith("<") and not name.startswith(_PACKAGE):
            return Path(name).resolve().parent
        frame = frame.f_back
    return Path.cwd()


@contextlib.contextmanager
def declared_in(directory: Path) -> Iterator[None]:
    """Resolve relative file names against this directory while nodes are made."""
    token = _directory.set(directory)
    try:
        yield
    finally:
        _directory.reset(token)
