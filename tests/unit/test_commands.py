"""exec, start, shell and files, on this machine through the protocol of nodes and pods."""

import os
import time

import pytest

from pytest_kinda.errors import CommandError, WaitTimeoutError
from pytest_kinda.testbed.commands import CommandPlace
from tests.support.local import LocalExecution


@pytest.fixture
def place():
    return CommandPlace("this machine", LocalExecution())


def test_exec_gives_both_streams_and_the_status(place):
    result = place.exec("sh", "-c", "echo out; echo err >&2; exit 4", check=False)
    assert (result.rc, result.stdout, result.stderr) == (4, "out\n", "err\n")
    assert result.where == "this machine"
    assert 0 < result.duration < 5


def test_a_failing_command_raises(place):
    with pytest.raises(CommandError, match="status 4"):
        place.exec("sh", "-c", "exit 4")


def test_input_larger_than_a_pipe_goes_through(place):
    data = b"x" * 1_000_000
    assert place.exec("cat", stdin=data).stdout_bytes == data


def test_env_reaches_the_command(place):
    assert place.exec("printenv", "COLOUR", env={"COLOUR": "blue"}).lines == ["blue"]


def test_a_command_that_hangs_is_given_up_with_what_it_printed(place):
    with pytest.raises(CommandError, match=r"did not end within 3 s") as caught:
        place.exec("sh", "-c", "echo begun; exec sleep 30", timeout=3)
    assert caught.value.stdout == "begun\n"


def test_shell_takes_pipes_and_arguments(place):
    assert place.shell('printf "%s\\n" "$@" | sort', "b", "a c").lines == ["a c", "b"]


def test_a_line_of_shell_given_as_a_list_is_explained(place):
    with pytest.raises(CommandError, match="one or more strings"):
        place.exec(["ls", "-l"])


def test_files_go_in_and_out_with_their_mode(place, tmp_path):
    path = tmp_path / "deep" / "file.bin"
    place.write_file(str(path), b"\x00\xff", mode=0o640)
    assert place.read_file(str(path)) == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o640
    assert place.exists(str(path))
    assert not place.exists(str(tmp_path / "no"))
    place.write_file(str(path), "")
    assert path.read_bytes() == b""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    place.copy_in(script, str(tmp_path / "copy"))
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o755
    assert place.copy_out(str(path), tmp_path).read_bytes() == b""


def test_a_background_process_streams_and_is_killed_with_its_children(place):
    with place.start("sh", "-c", "echo ready; sleep 300 & echo $!; wait") as process:
        process.wait_for_output("ready")
        child = int(process.wait_for_output(r"^\d+$|\n(\d+)\n").group(1))
        assert process.running
        assert process.stderr == ""
    assert not process.running
    assert gone(child)


def gone(pid, patience=5.0):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().split(") ")[1][0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return not os.path.exists(f"/proc/{pid}")


def test_a_process_that_ignores_term_is_killed(place):
    with place.start(
        "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    ) as process:
        process.wait_for_output("ready")
        result = process.stop(grace=0.3)
    assert result.rc != 0


def test_a_process_that_ends_gives_its_result(place):
    process = place.start("sh", "-c", "echo done; echo why >&2; exit 3")
    with pytest.raises(CommandError, match="status 3"):
        process.wait(10)
    result = process.wait(10, check=False)
    assert (result.rc, result.stdout, result.stderr) == (3, "done\n", "why\n")
    assert process.signal("TERM") is None


def test_waiting_has_a_limit_and_says_what_was_printed(place):
    with place.start("sh", "-c", "echo something else; exec sleep 30") as process:
        with pytest.raises(WaitTimeoutError, match="something else"):
            process.wait_for_output("ready", timeout=0.3)
        with pytest.raises(WaitTimeoutError, match="still runs"):
            process.wait(0.1)


def test_output_that_never_comes_from_an_ended_process_is_an_error(place):
    with place.start("sh", "-c", "echo no") as process, pytest.raises(CommandError, match="ready"):
        process.wait_for_output("ready")


def test_lines_come_while_it_runs_and_input_goes_in(place):
    with place.start("cat", stdin=True) as process:
        lines = process.lines(timeout=10)
        process.write("one\n")
        assert next(lines) == "one"
        process.write("two\nend")
        assert next(lines) == "two"
        process.close_stdin()
        assert list(lines) == ["end"]
        assert process.wait(10).ok
