import pytest

from pytest_kinda.errors import CommandError
from pytest_kinda.testbed.results import Result


def test_a_result_reads_like_testinfra():
    result = Result(0, b"one\ntwo\n", b"", 0.5, ("ls",), "node w1")
    assert result.ok
    assert result.succeeded
    assert not result.failed
    assert result.exit_status == 0
    assert result.lines == ["one", "two"]
    assert result.check() is result


def test_bytes_that_are_no_text_survive():
    result = Result(0, b"\xff\x00", b"")
    assert result.stdout == "\ufffd\x00"
    assert result.stdout_bytes == b"\xff\x00"


def test_a_failure_shows_command_place_status_and_both_streams():
    result = Result(3, b"out\n", b"it is broken\n", 0.1, ("cmd", "-x"), "device r1")
    with pytest.raises(CommandError) as caught:
        result.check()
    text = str(caught.value)
    for part in ("device r1", "cmd -x", "status 3", "out", "it is broken"):
        assert part in text
    assert caught.value.rc == 3


def test_json_that_is_none_shows_the_output():
    assert Result(0, b'{"a": [1]}', b"").json() == {"a": [1]}
    with pytest.raises(CommandError, match="no JSON"):
        Result(0, b"<html>", b"", argv=("curl",), where="pod p").json()
