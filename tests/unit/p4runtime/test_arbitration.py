"""Who is primary: the specification's rules, one by one."""

from __future__ import annotations

import pytest

from pytest_kinda.p4runtime.arbitration import LIVE_MOST, Arbitration, Notice
from pytest_kinda.p4runtime.bytestrings import decode, encode
from pytest_kinda.p4runtime.refusal import Code, Refusal

OK, BACKUP, NONE = Code.OK, Code.ALREADY_EXISTS, Code.NOT_FOUND


def told(notices: list[Notice[str]]) -> dict[str, tuple[Code, int | None]]:
    return {one.session: (one.status, one.election_id) for one in notices}


def test_the_highest_election_id_is_primary_and_all_hear_of_a_new_one() -> None:
    board: Arbitration[str] = Arbitration()
    assert told(board.update("a", "", 5)) == {"a": (OK, 5)}
    assert told(board.update("b", "", 3)) == {"b": (BACKUP, 5)}
    board.check("", 5)
    notices = board.update("b", "", 9)
    assert told(notices) == {"a": (BACKUP, 9), "b": (OK, 9)}
    assert notices[-1].session == "b"  # the new primary hears of it last
    with pytest.raises(Refusal, match="expected the primary's, 9") as refused:
        board.check("", 5)
    assert refused.value.code == Code.PERMISSION_DENIED
    assert board.is_primary("b")
    assert not board.is_primary("a")


def test_without_its_primary_a_role_has_none_until_an_id_is_as_high() -> None:
    board: Arbitration[str] = Arbitration()
    board.update("a", "", 5)
    board.update("b", "", 4)
    assert told(board.leave("a")) == {"b": (NONE, 5)}
    with pytest.raises(Refusal, match="no primary"):
        board.check("", 4)
    assert told(board.update("c", "", 4 + 2**64)) == {
        "b": (BACKUP, 4 + 2**64),
        "c": (OK, 4 + 2**64),
    }
    board.leave("c")
    board.forget()
    assert told(board.update("b", "", 1)) == {"b": (OK, 1)}


def test_a_primary_may_step_back_and_an_id_may_be_left_out() -> None:
    board: Arbitration[str] = Arbitration()
    assert told(board.update("a", "", None)) == {"a": (NONE, None)}
    board.update("b", "", 7)
    assert told(board.update("b", "", 6)) == {"a": (NONE, 7), "b": (NONE, 7)}
    assert told(board.update("b", "", 7)) == {"a": (BACKUP, 7), "b": (OK, 7)}


def test_roles_have_primaries_of_their_own() -> None:
    board: Arbitration[str] = Arbitration()
    board.update("a", "", 5)
    assert told(board.update("b", "reader", 5)) == {"b": (OK, 5)}
    assert sorted(board.primaries()) == ["a", "b"]
    with pytest.raises(Refusal, match="this stream has") as refused:
        board.update("a", "reader", 6)
    assert refused.value.code == Code.FAILED_PRECONDITION


def test_what_ends_a_stream() -> None:
    board: Arbitration[int] = Arbitration()
    board.update(0, "", 0)
    with pytest.raises(Refusal, match="by another controller") as refused:
        board.update(1, "", 0)
    assert refused.value.code == Code.INVALID_ARGUMENT
    for number in range(1, LIVE_MOST):
        board.update(number, "", number)
    with pytest.raises(Refusal) as refused:
        board.update(LIVE_MOST, "", LIVE_MOST)
    assert refused.value.code == Code.RESOURCE_EXHAUSTED
    assert board.leave(LIVE_MOST) == []


def test_bytestrings_are_as_short_as_can_be() -> None:
    assert [encode(one) for one in (0, 255, 256)] == [b"\0", b"\xff", b"\1\0"]
    assert decode(b"\0\0\1\xff", 9, "port") == 511
    for data, code in ((b"", Code.INVALID_ARGUMENT), (b"\2\0", Code.OUT_OF_RANGE)):
        with pytest.raises(Refusal, match=r"port: found .* 9 bits") as refused:
            decode(data, 9, "port")
        assert refused.value.code == code
