"""Files in a container's root file system, written from outside.

A container may hold symbolic links to anywhere; ``openat2`` with RESOLVE_IN_ROOT makes the kernel
resolve every path as if the container's root were ours, so nothing outside of it is ever touched.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host.namespaces import start_time
from pytest_kinda.operations import AppendLines, Place, WriteFile

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_IN_ROOT = 0x10
_RESOLVE_NO_MAGICLINKS = 0x02


def write_file(operation: WriteFile, place: Place) -> None:
    """Write a whole file so that readers see the old or the new one. Raises HostError.

    What is a mount of its own (Docker's ``/etc/hosts``) cannot be replaced and is overwritten.
    """
    data = operation.content.encode()
    with _errors(operation.path), _root_of(place) as root:
        path = _absolute(operation.path)
        folder = _make_folders(root, path.parent)
        try:
            _replace(folder, path.name, data, operation.mode)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EXDEV):
                raise
            target = open_in_root(root, str(path), os.O_WRONLY | os.O_TRUNC)
            with os.fdopen(target, "wb") as handle:
                handle.write(data)
        finally:
            os.close(folder)


def append_lines(operation: AppendLines, place: Place) -> None:
    """Append the lines that the file does not have; makes the file if need be. Raises HostError."""
    with _errors(operation.path), _root_of(place) as root:
        path = _absolute(operation.path)
        os.close(_make_folders(root, path.parent))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        with os.fdopen(open_in_root(root, str(path), flags, 0o644), "r+b") as handle:
            present = handle.read()
            if operation.instead and (kept := _without(present, operation.lines)) != present:
                # in place: it may be a mount
                handle.truncate(0)
                handle.write(kept)
                present = kept
            there = set(present.decode(errors="replace").splitlines())
            missing = [line for line in dict.fromkeys(operation.lines) if line not in there]
            if missing:
                gap = "\n" if present and not present.endswith(b"\n") else ""
                handle.write((gap + "\n".join(missing) + "\n").encode())


def _without(present: bytes, lines: Sequence[str]) -> bytes:
    """A file without the lines that others of the same last word take the place of."""
    names = {line.split()[-1] for line in lines if line.strip()}
    kept = [
        line
        for line in present.decode(errors="surrogateescape").splitlines(keepends=True)
        if line.strip("\n") in lines or not line.strip() or line.split()[-1] not in names
    ]
    return "".join(kept).encode(errors="surrogateescape")


def open_in_root(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path below a directory that counts as ``/`` for all of it. Raises OSError."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    libc = ctypes.CDLL(None, use_errno=True)
    opened = libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(root),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )
    if opened < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(opened)


@contextmanager
def _root_of(place: Place) -> Iterator[int]:
    path = f"/proc/{place.pid}/root" if place.pid else "/"
    try:
        root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise GoneError(f"process {place.pid} is gone") from error
    try:
        if place.pid and place.started and start_time(place.pid) != place.started:
            raise GoneError(f"process {place.pid} is gone: another one has its number now")
        yield root
    finally:
        os.close(root)


@contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"file {path}: {error.strerror}") from error


def _absolute(path: str) -> PurePosixPath:
    found = PurePosixPath(path)
    if not found.is_absolute() or ".." in found.parts or not found.name:
        raise HostError(f"file {path!r}: expected an absolute path without '..'")
    return found


def _make_folders(root: int, folder: PurePosixPath) -> int:
    """Open a folder, making what is missing of it on the way."""
    here = os.dup(root)
    walked = PurePosixPath("/")
    for part in folder.parts[1:]:
        walked /= part
        try:
            following = open_in_root(root, str(walked), os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            try:
                os.mkdir(part, 0o755, dir_fd=here)
            except FileExistsError:
                pass  # made by another writer, or a link that leads nowhere: the open tells
            try:
                following = open_in_root(root, str(walked), os.O_PATH | os.O_DIRECTORY)
            except OSError:
                os.close(here)
                raise
        except OSError:
            os.close(here)
            raise
        os.close(here)
        here = following
    return here


def _replace(folder: int, name: str, data: bytes, mode: int) -> None:
    temporary = f".{name}.kinda-{os.getpid()}-{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(temporary, dir_fd=folder)
        raise
