"""Running other programs: one function, one error that says which program failed and why."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_kinda.errors import SetupError


def run(
    arguments: Sequence[str | Path],
    *,
    what: str,
    timeout: float = 900.0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    :param what: what it is run for, used in the error ("download Docker Engine").
    :param timeout: seconds.
    :param env: variables added to this process's own.
    :raises SetupError: it is missing, fails, or takes longer; holds the last lines it wrote.

    >>> run(["echo", "ready"], what="say it")
    'ready\\n'
    """
    command = [str(argument) for argument in arguments]
    shown = shlex.join(command[:12]) + (" ..." if len(command) > 12 else "")
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except FileNotFoundError:
        raise SetupError(
            f"could not {what}: the program {command[0]!r} is not on this machine",
            remedy=f"install {command[0]} and run `kinda setup` again",
        ) from None
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"could not {what}: `{shown}` did not end within {timeout:.0f} s",
            remedy="see whether the machine or its network is unusually slow, then try again",
        ) from None
    if done.returncode != 0:
        output = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
        tail = "\n".join([line for line in output.splitlines() if line.strip()][-12:])
        raise SetupError(
            f"could not {what}: `{shown}` exited with {done.returncode}\n{tail}",
            remedy="the lines above are the program's own; repair that, then run `kinda setup`",
        )
    return done.stdout.decode(errors="replace")


def succeeds(arguments: Sequence[str | Path], *, timeout: float = 10.0) -> bool:
    """Whether a program exists and ends with 0 within ``timeout`` seconds."""
    try:
        return (
            subprocess.run(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
