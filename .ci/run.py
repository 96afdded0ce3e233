"""Run every part of the checks, watch the clock, and say at the end what was seen.

The parts in order: the virtual environment, lint, ``make test`` and ``make demo`` (the README's
commands), tox's oldest pytest and wheel, then the tests marked ``slow``: those of which two may run
at once, and one part for each file that holds others. Each part's output goes to a log of its own,
whose end is printed when the part fails.
No slow part starts after minute 65; what still runs at minute 85 is interrupted. Whatever was left
out is printed.

Failed tests are run once more, in a fresh pytest process with the testbed built anew; one that
passes then is reported as FLAKY and does not fail the run. More than a dozen failures are not
flakes and get no second try. A skipped test fails the run unless ``tests/skips.txt`` lists it with
its reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "ci"
PYTHON = str(ROOT / ".venv" / "bin" / "python")
LAST_START = 65 * 60.0
INTERRUPT = 85 * 60.0
HEARTBEAT = 60.0
MOST_FLAKES = 12
SLOW = "slow tests"
BARS = {"make test": 12 * 60.0, "make demo": 90.0, SLOW: 40 * 60.0}
BROKEN = "testbed broken"
BESIDE = "slow and beside"
ALONE = "slow and not beside"
STARTED = time.monotonic()


def clock() -> float:
    """Seconds since the run began."""
    return time.monotonic() - STARTED


def say(text: str) -> None:
    """One line with the minute in front."""
    minutes, seconds = divmod(int(clock()), 60)
    print(f"[{minutes:02d}:{seconds:02d}] {text}", flush=True)


def bold(text: str) -> str:
    """The text as terminals and most CI pages show it bold."""
    return f"\033[1m{text}\033[0m"


@dataclass
class Tests:
    """What the recorder of ``tests/support/record.py`` wrote during one part."""

    durations: dict[str, float] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    sessions: int = 0
    statuses: list[int] = field(default_factory=list)
    warnings: int = 0

    @classmethod
    def read(cls, path: Path) -> Tests:
        """Read the record; a file that is not there is a part without tests."""
        tests = cls()
        for line in path.read_text().splitlines() if path.exists() else ():
            tests._take(json.loads(line))
        return tests

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "begin":
            self.sessions += 1
        elif event["event"] == "end":
            self.statuses.append(event["status"])
        else:
            name = event["nodeid"]
            self.durations[name] = self.durations.get(name, 0.0) + event["duration"]
            if event["outcome"] == "failed":
                self.failed[name] = event["text"]
            elif event["outcome"] == "skipped":
                self.skipped[name] = event["text"]
            elif event["when"] == "call":
                self.passed.add(name)

    @property
    def complete(self) -> bool:
        """Whether every pytest process came to its end and none ended for another reason."""
        return len(self.statuses) == self.sessions and set(self.statuses) <= {0, 1, 5}

    def again(self) -> list[str]:
        """The tests that are worth a second try, with those that a broken testbed kept from it."""
        if not 0 < len(self.failed) <= MOST_FLAKES:
            return []
        broken = [name for name, reason in self.skipped.items() if BROKEN in reason]
        return sorted({*self.failed, *broken})


@dataclass
class Part:
    """One command of the run, and what came of it."""

    name: str
    argv: list[str]
    slow: bool = False
    seconds: float = 0.0
    state: str = "not run"
    log: Path = Path()
    tests: Tests = field(default_factory=Tests)


class Run:
    """The parts that ran, in order."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.flaky: dict[str, str] = {}
        self.left_out: list[str] = []

    def do(self, name: str, *argv: str, slow: bool = False) -> Part:
        """Run one part to its end, its limit or its failure."""
        part = Part(name, list(argv), slow)
        self.parts.append(part)
        if slow and clock() > LAST_START:
            part.state = "left out"
            self.left_out.append(f"{name}: the clock was past minute {LAST_START / 60:.0f}")
            return part
        say(f"== {name}: {' '.join(argv)}")
        code, interrupted = self._execute(part)
        if interrupted and slow and not part.tests.failed:
            part.state = "left out"
            self.left_out.append(f"{name}: interrupted at minute {INTERRUPT / 60:.0f}")
        elif interrupted:
            part.state = "failed"
        else:
            part.state = "passed" if code in (0, 5) and part.tests.complete else "failed"
        if part.state == "failed":
            self._explain(part, code)
            if not interrupted:
                self._retry(part)
        say(f"   {name}: {part.state} in {part.seconds:.1f} s")
        return part

    def _execute(self, part: Part) -> tuple[int, bool]:
        number = f"{len(self.parts):02d}-{part.name.replace('/', '.').replace(' ', '-')}"
        part.log = LOGS / f"{number}.log"
        record = LOGS / f"{number}.jsonl"
        environment = {**os.environ, "CI": "true", "KINDA_TEST_RECORD": str(record)}
        begun = time.monotonic()
        with part.log.open("wb") as log:
            process = subprocess.Popen(
                part.argv,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                interrupted = not self._await(process, part)
            except BaseException:
                # Whoever ends this run ends what it started.
                end(process)
                raise
        part.seconds = time.monotonic() - begun
        part.tests = Tests.read(record)
        return process.returncode, interrupted

    def _await(self, process: subprocess.Popen[bytes], part: Part) -> bool:
        while clock() < INTERRUPT:
            try:
                process.wait(max(0.1, min(HEARTBEAT, INTERRUPT - clock())))
            except subprocess.TimeoutExpired:
                lines = part.log.read_bytes()[-2000:].decode(errors="replace").splitlines()
                say(f"   … {lines[-1][-120:] if lines else ''}")
            else:
                return True
        end(process)
        return False

    def _explain(self, part: Part, code: int) -> None:
        say(bold(f"   {part.name} ended with status {code}; the end of {part.log.name}:"))
        lines = part.log.read_text(errors="replace").splitlines()
        print("\n".join("    | " + line for line in lines[-100:]), flush=True)
        for name, text in list(part.tests.failed.items())[:12]:
            print(bold(f"    failed: {name}"))
            print("\n".join("    | " + line for line in text.splitlines()[-50:]), flush=True)

    def _retry(self, part: Part) -> None:
        names = part.tests.again()
        if not names or not part.tests.complete:
            return
        second = Part(f"{part.name} again", [PYTHON, "-m", "pytest", *names])
        self.parts.append(second)
        say(f"== {second.name}: {len(names)} tests in a fresh process")
        code, interrupted = self._execute(second)
        if code == 0 and not interrupted and set(names) <= second.tests.passed:
            second.state = "passed"
            part.state = "flaky"
            self.flaky.update({name: part.tests.failed.get(name, BROKEN) for name in names})
            for name in names:
                part.tests.skipped.pop(name, None)
            return
        second.state = "failed"
        self._explain(second, code)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a part and all it started: as Ctrl-C does, so that testbeds are undone, then harder."""
    for number, patience in ((signal.SIGINT, 90), (signal.SIGTERM, 20), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def listed_skips() -> list[tuple[str, str]]:
    """The allowed skips: node id (a test, a file or a folder) and a part of the reason."""
    path = ROOT / "tests" / "skips.txt"
    entries = []
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition("  ")
            entries.append((name.strip(), reason.strip()))
    return entries


def covers(entry: tuple[str, str], name: str, reason: str) -> bool:
    """Whether this entry allows that test to be skipped for that reason."""
    same = name == entry[0] or name.startswith((entry[0] + "[", entry[0] + "::", entry[0] + "/"))
    return same and bool(entry[1]) and entry[1].lower() in reason.lower()


def files_of(marks: str) -> list[str]:
    """The files that hold tests of such marks, in the order pytest finds them."""
    answer = subprocess.run(
        [PYTHON, "-m", "pytest", "--collect-only", "-q", "-m", marks, "tests", "examples"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if answer.returncode not in (0, 5):
        raise SystemExit(f"the slow tests cannot be collected:\n{answer.stdout}{answer.stderr}")
    names = [line.split("::")[0] for line in answer.stdout.splitlines() if "::" in line]
    return list(dict.fromkeys(names))


def bars(parts: list[Part]) -> list[str]:
    """Seconds of what has a limit on a prepared machine, beside it."""
    taken = dict.fromkeys(BARS, 0.0)
    for part in parts:
        # tox is no test of ours, only slow enough to be left out late
        name = SLOW if part.slow and not part.name.startswith("tox ") else part.name
        if name in taken:
            taken[name] += part.seconds
    return [
        f"{taken[name]:8.1f} s  {name} (bar {bar:.0f} s: "
        f"{'met' if taken[name] <= bar else 'missed'})"
        for name, bar in BARS.items()
    ]


def summary(run: Run) -> bool:
    """Print what was seen; whether all of it is well."""
    print("\n" + bold("parts"))
    for part in run.parts:
        count = f"{len(part.tests.passed)} passed" if part.tests.sessions else ""
        for word, some in (("failed", part.tests.failed), ("skipped", part.tests.skipped)):
            count += f", {len(some)} {word}" if some else ""
        print(f"  {part.seconds:8.1f} s  {part.state:9} {part.name:32} {count}")
    print(f"  {clock():8.1f} s  in all")
    for line in bars(run.parts):
        print(f"  {line}")
    durations: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for part in run.parts:
        durations.update(part.tests.durations)
        skipped.update(part.tests.skipped)
    print(bold("slowest tests"))
    for name, seconds in sorted(durations.items(), key=lambda one: -one[1])[:15]:
        print(f"  {seconds:8.1f} s  {name}")
    print(bold(f"skipped: {len(skipped)}"))
    entries = listed_skips()
    unlisted = []
    for name, reason in sorted(skipped.items()):
        known = any(covers(entry, name, reason) for entry in entries)
        print(f"  {'' if known else 'NOT LISTED in tests/skips.txt: '}{name}  {reason}")
        if not known:
            unlisted.append(name)
    for line in run.left_out:
        print(bold(f"left out: {line}"))
    for name, text in sorted(run.flaky.items()):
        last = text.strip().splitlines()[-1] if text.strip() else ""
        print(bold(f"FLAKY (failed, then passed in a fresh process): {name}: {last}"))
    bad = [
        part.name
        for part in run.parts
        if part.state == "failed" and not part.name.endswith(" again")
    ]
    for name in bad:
        print(bold(f"FAILED: {name}"))
    well = not bad and not unlisted
    print(bold("all is well" if well else "NOT well"), flush=True)
    return well


def main() -> int:
    """Run all parts; the exit status says whether all is well."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.iterdir():
        old.unlink()
    run = Run()
    if run.do("environment", "make", "venv").state == "passed":
        run.do("lint", "make", "lint")
        # -k: a flake among the unit tests does not keep the integration tests from running.
        run.do("make test", "make", "-k", "test")
        run.do("make demo", "make", "demo")
        for name in ("unit-oldest", "build"):
            run.do(f"tox {name}", PYTHON, "-m", "tox", "run", "-e", name, slow=True)
        pytest = (PYTHON, "-m", "pytest", "-m")
        two = ("-n", "2", "--dist", "loadgroup")
        run.do("slow, two at once", *pytest, BESIDE, *two, "tests", slow=True)
        for name in files_of(ALONE):
            run.do(name, *pytest, ALONE, name, slow=True)
    return 0 if summary(run) else 1


if __name__ == "__main__":
    sys.exit(main())
