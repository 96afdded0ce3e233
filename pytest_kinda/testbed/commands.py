"""What every place where commands run can do: exec, start, shell, files in and out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_kinda.errors import CommandError
from pytest_kinda.testbed.processes import Execution, Process, run
from pytest_kinda.testbed.results import Result


class CommandPlace:
    """A node, device, pod or container that runs commands."""

    def __init__(
        self, where: str, execution: Execution, remember: Callable[[Process], None] | None = None
    ) -> None:
        self._where = where
        self._execution = execution
        self._remember = remember

    def exec(
        self,
        *argv: str,
        timeout: float | None = 300.0,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        check: bool = True,
    ) -> Result:
        """Run a command to its end, without a shell.

        ``timeout`` in seconds. Raises CommandError for an exit status other than 0 unless
        ``check=False``, and when the command does not end in time. Example::

            kinda.node("w1").exec("ping", "-c", "1", "10.9.0.2").ok
        """
        _not_empty(argv, self._where)
        result = run(
            self._execution,
            argv,
            self._where,
            timeout=timeout,
            stdin=stdin.encode() if isinstance(stdin, str) else stdin,
            env=env,
            workdir=workdir,
        )
        return result.check() if check else result

    run = exec

    def check_output(self, *argv: str, timeout: float | None = 300.0) -> str:
        """The standard output of a command without its last line end (pytest-testinfra's name)."""
        return self.exec(*argv, timeout=timeout).stdout.rstrip("\r\n")

    def shell(
        self,
        script: str,
        *arguments: str,
        timeout: float | None = 300.0,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Result:
        """Run a script of the place's ``sh``; ``arguments`` are its ``$1``, ``$2`` and so on.

        Raises CommandError as ``exec`` does. Example::

            kinda.device("r1").shell("ip route | wc -l").stdout
        """
        return self.exec(
            "sh", "-c", script, "sh", *arguments, timeout=timeout, stdin=stdin, env=env, check=check
        )

    def start(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        stdin: bool = False,
    ) -> Process:
        """Start a command that runs while the test goes on; a context manager.

        It is killed at the end of its ``with`` block, and at the latest at the end of the test.
        """
        _not_empty(argv, self._where)
        process = Process(self._execution, argv, self._where, env=env, workdir=workdir, stdin=stdin)
        if self._remember is not None:
            self._remember(process)
        return process

    def read_file(self, path: str) -> bytes:
        """The bytes of a file there. Raises CommandError where there is none."""
        return self.exec("cat", "--", path).stdout_bytes

    def read_text(self, path: str) -> str:
        """The text of a file there. Raises CommandError where there is none."""
        return self.read_file(path).decode("utf-8", "replace")

    def write_file(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file there; directories on the way are made. Raises CommandError."""
        script = (
            'mkdir -p -- "$(dirname -- "$1")" && cat > "$1.kinda" '
            '&& chmod "$2" "$1.kinda" && mv -f -- "$1.kinda" "$1"'
        )
        data = content.encode() if isinstance(content, str) else content
        if data:
            self.shell(script, path, f"{mode:o}", stdin=data)
        else:
            self.shell(script.replace("cat >", ": >"), path, f"{mode:o}")

    def copy_in(self, source: str | Path, path: str) -> None:
        """Copy a file of this machine there, with its permission bits."""
        source = Path(source)
        self.write_file(path, source.read_bytes(), mode=source.stat().st_mode & 0o777)

    def copy_out(self, path: str, target: str | Path) -> Path:
        """Copy a file from there to this machine and give the path it has here."""
        target = Path(target)
        if target.is_dir():
            target = target / Path(path).name
        target.write_bytes(self.read_file(path))
        return target

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that path."""
        return self.exec("test", "-e", path, check=False).ok


def _not_empty(argv: tuple[str, ...], where: str) -> None:
    wrong = [item for item in argv if not isinstance(item, str)]
    if not argv or wrong:
        found = f"{wrong[0]!r}" if wrong else "nothing"
        raise CommandError(
            argv and [str(i) for i in argv],
            where,
            -1,
            "",
            "",
            note=(
                f"a command is one or more strings, found {found}; "
                f"for a line of shell write shell({shlex.join(map(str, argv))!r})"
            ),
        )
