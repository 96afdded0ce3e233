"""``python -m pytest_kinda.setup``: the same as ``kinda setup`` and ``kinda doctor``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_kinda.errors import KindaError
from pytest_kinda.setup import doctor, prepare, step_names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pytest_kinda.setup", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["setup", "doctor"], default="setup")
    parser.add_argument("--official", action="store_true", help="take published parts only")
    parser.add_argument("--offline", action="store_true", help="build every part here")
    parser.add_argument("--install", action="store_true", help="system packages may be installed")
    parser.add_argument("--only", metavar="A,B", default="", help="only these steps")
    parser.add_argument("--with", dest="beside", metavar="A,B", default="", help="these as well")
    parser.add_argument("--json", action="store_true", help="doctor: print a JSON list")
    given = parser.parse_args(arguments)
    if given.command == "doctor":
        findings = doctor.examine()
        print(doctor.as_json(findings) if given.json else doctor.as_text(findings))
        return 1 if doctor.missing(findings) else 0
    try:
        return prepare(
            official=given.official,
            offline=given.offline,
            install=given.install,
            only=step_names(given.only) or None,
            beside=step_names(given.beside),
            report=lambda line: print(line, flush=True),
        )
    except KindaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
