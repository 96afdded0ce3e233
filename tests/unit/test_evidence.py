"""Evidence: every piece is bounded, and no piece's failure costs another."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.plugin.recording import folder_of
from pytest_kinda.testbed.evidence import AT_ONCE, Piece, collect


def test_answers_go_to_files_and_failures_are_told(tmp_path: Path) -> None:
    def broken() -> str:
        raise HostError("r2 does not run", remedy="start it")

    pieces = collect(
        {"nodes/r1/log.txt": lambda: "hello\udcff", "nodes/r2/log.txt": broken},
        tmp_path / "new",
        limit=5.0,
    )
    assert pieces[0] == Piece("nodes/r1/log.txt")
    assert "HostError: r2 does not run" in pieces[1].problem
    assert (tmp_path / "new/nodes/r1/log.txt").read_text() == "hello?"
    assert not (tmp_path / "new/nodes/r2").exists()


def test_a_question_that_hangs_costs_its_own_piece_and_the_limit(tmp_path: Path) -> None:
    never = threading.Event()
    begun = time.monotonic()

    def hang() -> str:
        never.wait(30)
        return "late"

    pieces = collect({"hangs": hang, "well": lambda: "x"}, tmp_path, limit=0.3)
    assert time.monotonic() - begun < 5
    assert pieces == (Piece("hangs", "no answer within 0.3 s"), Piece("well"))
    never.set()
    for thread in threading.enumerate():
        if thread.name == "evidence hangs":
            thread.join(5)
    assert not (tmp_path / "hangs").exists()  # nothing is written behind the report's back


def test_more_questions_than_turns_are_all_answered(tmp_path: Path) -> None:
    names = [f"{number}" for number in range(3 * AT_ONCE)]
    pieces = collect(dict.fromkeys(names, lambda: "x"), tmp_path, limit=10)
    assert pieces == tuple(Piece(name) for name in names)


@pytest.mark.parametrize("other", ["test_x.py::test_1[a.b]", "test_x.py::test_1[a-b]"])
def test_tests_have_folders_of_their_own(other: str) -> None:
    first = folder_of(Path("x"), "test_x.py::test_1[a/b]")
    assert first.parent == Path("x")
    assert first.name.startswith("test_x.py-test_1-a-b-")
    assert first != folder_of(Path("x"), other)
