"""How a build is shown: a live tree of steps on a terminal, a line for each elsewhere."""

from __future__ import annotations

import io
import re

from rich.console import Console

from pytest_kinda.build.display import Lines, Live, display


def drawn(live: Live) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(live)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_terminal_gets_a_tree_whose_steps_run_and_end() -> None:
    stream = io.StringIO()
    with display(stream, "kinda triangle", terminal=True) as shown:
        assert isinstance(shown, Live)
        shown.start("network")
        shown.start("kind cluster")
        shown.info("reusing nothing")
        # Both run at the same time, each with its own clock.
        running = drawn(shown).splitlines()
        assert re.fullmatch(r"kinda triangle +\d+\.\d s *", running[0])
        assert re.fullmatch(r"  … network +\d+\.\d s *", running[1])
        assert re.fullmatch(r"  … kind cluster +\d+\.\d s *", running[2])
        assert running[3].strip() == "reusing nothing"
        shown.done("network", 4.25)
        shown.failed("kind cluster", "no room in [/x] :cd:")
    assert "\x1b[2K" in stream.getvalue()  # drawn over and over at the same place
    last = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", stream.getvalue())
    assert re.search(r"^  ok network +4\.2 s", last, re.MULTILINE)
    assert re.search(r"^  failed kind cluster +0\.\d s +no room in \[/x\] :cd:", last, re.MULTILINE)


def test_elsewhere_each_step_has_its_lines() -> None:
    stream = io.StringIO()
    with display(stream, "kinda triangle", terminal=False) as shown:
        assert isinstance(shown, Lines)
        shown.start("network")
        shown.done("network", 4.25)
        shown.failed("wiring", "no such interface")
    assert stream.getvalue().splitlines() == [
        "kinda triangle: network ...",
        "kinda triangle: network 4.2 s",
        "kinda triangle: wiring FAILED: no such interface",
    ]
