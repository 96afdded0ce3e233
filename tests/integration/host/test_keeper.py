"""A real keeper: what it promises to its clients, and what it does when they are gone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host import children
from pytest_kinda.host.client import Keeper
from pytest_kinda.host.journal import Journal
from pytest_kinda.host.keeper import SOCKET
from pytest_kinda.operations import (
    AddAddress,
    AddHub,
    AddVeth,
    End,
    Place,
    SetInterface,
)
from tests.support.places import containers, table

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

UNDO = """
import sys, pathlib
folder = pathlib.Path(sys.argv[1])
print("removing one", flush=True)
print("removing two", flush=True)
if (folder / "stubborn").exists():
    print("left: network x: in use", flush=True)
(folder / "undone").write_text("yes")
sys.exit(1 if (folder / "stubborn").exists() else 0)
"""


@pytest.fixture
def start(tmp_path):
    """Starts keepers with a stand-in for the undo program; ends what a test leaves."""
    program = tmp_path / "undo.py"
    program.write_text(UNDO)
    found = []

    def begin(name="t1", **more):
        keeper = Keeper.start(
            tmp_path / name, name, undo_program=(sys.executable, str(program)), **more
        )
        found.append(keeper.hello()["pid"])
        return keeper

    yield begin
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def wait_until(condition, what, limit=60.0):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit} s: {what}"
        time.sleep(0.01)


def ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


OWNER = """
import sys, time
from pathlib import Path
from pytest_kinda.host.client import Keeper
keeper = Keeper.connect(Path(sys.argv[1]), owner=True)
{more}
print("owner", flush=True)
time.sleep(60)
"""


def owner_process(directory, more=""):
    child = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(more=more), str(directory)], stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"owner\n"
    return child


def test_operations_are_journalled_carried_out_and_reverted(start):
    keeper = start()
    with containers("a", "b") as found:
        numbers = keeper.apply(
            [
                AddVeth(End("a", "eth0"), End("b", "eth0")),
                AddAddress("a", "eth0", "10.9.0.1/30"),
                AddAddress("b", "eth0", "10.9.0.2/30"),
                SetInterface("a", "eth0", mtu=1400),
            ],
            table(found),
        )
        assert found["a"].reaches(found["b"], "10.9.0.2")
        entries = Journal.read(keeper.directory).entries
        assert [one["n"] for one in entries] == list(numbers)
        assert [one["operation"]["is"] for one in entries] == [
            "AddVeth",
            "AddAddress",
            "AddAddress",
        ]
        keeper.revert(numbers[1:])
        assert "10.9.0.1" not in found["a"].run("ip", "addr")
        assert "eth0" in found["a"].run("ip", "link")
        keeper.revert(numbers)
        assert "eth0" not in found["a"].run("ip", "link")
        assert Journal.read(keeper.directory).entries == ()


def test_the_journal_is_on_disk_before_the_act(start):
    keeper = start()
    failure = pytest.raises(HostError, match=r"AddAddress in a .*no interface eth5")
    with containers("a") as found, failure:
        keeper.apply([AddAddress("a", "eth5", "10.9.0.1/30")], table(found))
    assert Journal.read(keeper.directory).entries[-1]["operation"]["interface"] == "eth5"


def test_a_stale_place_is_refused_by_its_kind_of_error(start):
    keeper = start()
    with containers("a") as found:
        place = found["a"].place
        stale = Place(place.container, place.pid, place.started + 5)
        with pytest.raises(GoneError, match="another one has its number"):
            keeper.apply([AddAddress("a", "lo", "10.9.0.1/32")], {"a": stale})


def test_hubs_stand_in_a_namespace_of_the_testbed(start):
    keeper = start()
    with containers("a", "b", "c") as found:
        keeper.apply(
            [AddVeth(End(name, "eth0"), End("@hubs", f"p{name}")) for name in "abc"]
            + [AddHub("@hubs", "hub0", ("pa", "pb", "pc"))]
            + [AddAddress(name, "eth0", f"10.9.0.{ord(name)}/24") for name in "abc"],
            table(found),
        )
        assert found["a"].reaches(found["c"], f"10.9.0.{ord('c')}")
        lines = Path("/proc/net/dev").read_text().splitlines()
        here = {line.partition(":")[0].strip() for line in lines}
        assert not here & {"hub0", "pa", "pb", "pc"}
        keeper.undo()
        wait_until(lambda: "eth0" not in found["a"].run("ip", "link"), "the hubs are gone")


def test_asked_for_the_undo_it_shows_its_lines_and_what_is_left_and_ends(start):
    keeper = start()
    pid = keeper.hello()["pid"]
    (keeper.directory / "stubborn").touch()
    keeper.note(plan="plan.json")
    lines = []
    assert keeper.undo(lines.append) == ("network x: in use",)
    assert lines == ["removing one", "removing two", "left: network x: in use"]
    wait_until(lambda: ended(pid), "the keeper ends")
    notes = Journal.read(keeper.directory).notes
    assert notes["state"] == "left"
    assert notes["plan"] == "plan.json"
    assert not (keeper.directory / SOCKET).exists()
    with pytest.raises(HostError, match=r"(?s)is gone.*remedy: kinda clean t1"):
        keeper.hello()


def test_the_undo_runs_once_for_all_who_ask(start):
    keeper = start()
    seen = [[], []]
    threads = [threading.Thread(target=keeper.undo, args=(one.append,)) for one in seen]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert seen == [["removing one", "removing two"]] * 2


def test_a_killed_owner_starts_the_undo(start, tmp_path):
    keeper = start(owner=False)
    pid = keeper.hello()["pid"]
    owner = owner_process(keeper.directory)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: ended(pid), "undone by itself")
    assert (keeper.directory / "undone").exists()


def test_a_child_that_holds_the_owners_socket_does_not_hold_the_undo_up(start):
    keeper = start(owner=False)
    pid = keeper.hello()["pid"]
    owner = owner_process(
        keeper.directory,
        "import os, subprocess\n"
        "held = keeper._lease.fileno()\n"
        "child = subprocess.Popen(['sleep', '30'], pass_fds=(held,), stdout=subprocess.DEVNULL)\n"
        "Path(sys.argv[1], 'child').write_text(str(child.pid))\n",
    )
    held = int((keeper.directory / "child").read_text())
    try:
        owner.kill()
        owner.wait()
        wait_until(lambda: ended(pid), "undone though the socket is open")
        assert not ended(held)
    finally:
        os.kill(held, signal.SIGKILL)


def test_the_undo_waits_for_the_last_owner_and_not_for_guests(start):
    keeper = start()
    guest = Keeper.connect(keeper.directory)
    second = owner_process(keeper.directory)
    keeper.release()
    assert guest.record([{"undo": "something"}]) == (1,)
    assert not (keeper.directory / "undone").exists()
    pid = guest.hello()["pid"]
    second.kill()
    second.wait()
    wait_until(lambda: ended(pid), "undone after the last")


def test_a_kept_testbed_outlives_its_owners(start):
    keeper = start()
    keeper.keep(True)
    keeper.release()
    guest = Keeper.connect(keeper.directory)
    # It has dealt with the lease's end by the time it answers a call that came later.
    assert guest.hello()["kept"] is True
    assert guest.record([{"undo": "x"}]) == (1,)
    assert not (keeper.directory / "undone").exists()
    pid = guest.hello()["pid"]
    guest.keep(False)
    wait_until(lambda: ended(pid), "not kept any more")


def test_ctrl_c_and_a_hang_up_leave_it_alone_and_it_leads_its_own_session(start):
    keeper = start()
    pid = keeper.hello()["pid"]
    assert os.getsid(pid) not in (os.getsid(0), 0)
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert keeper.record([{"undo": "x"}]) == (1,)
    # What Ctrl-C sends goes to the foreground group, which it is not in.
    assert os.getpgid(pid) != os.getpgid(0)


def test_it_inherits_no_descriptor_so_that_a_pipe_closes(tmp_path):
    program = tmp_path / "undo.py"
    program.write_text(UNDO)
    code = (
        "import sys\nfrom pathlib import Path\nfrom pytest_kinda.host.client import Keeper\n"
        f"keeper = Keeper.start(Path({str(tmp_path / 't')!r}), 't', "
        f"undo_program=({sys.executable!r}, {str(program)!r}))\n"
        "keeper.keep(True)\nprint(keeper.hello()['pid'])\n"
    )
    extra, other = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, pass_fds=(other,)
    )
    os.close(other)
    os.set_inheritable(extra, False)
    assert child.stdout is not None
    pid = int(child.stdout.read())  # ends only when nobody holds the pipe
    child.wait()
    try:
        assert not ended(pid)
        ready, _, _ = select.select([extra], [], [], 5)
        assert ready
        assert os.read(extra, 1) == b""
        opened = set()
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # of a client that has just left
                opened.add(os.readlink(one))
        assert not [one for one in opened if one.startswith("pipe:")] or len(opened) < 12
    finally:
        os.close(extra)
        Keeper.connect(tmp_path / "t").undo()


def test_a_second_keeper_of_the_same_testbed_is_refused(start):
    keeper = start()
    with pytest.raises(HostError, match="another keeper serves this testbed"):
        start()
    assert keeper.hello()


def test_a_new_keeper_goes_on_with_the_journal_of_one_that_died(start):
    first = start()
    first.record([{"undo": "a"}])
    pid = first.hello()["pid"]
    child = first.spawn(["sleep", "60"])
    running = children_of(pid)
    assert len(running) == 1
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(ended(one) for one in (pid, *running)), "its children die with it")
    with pytest.raises(HostError, match="is gone"):
        first.record([{"undo": "b"}])
    second = start()
    assert second.record([{"undo": "b"}]) == (child + 1,)
    assert [one["undo"] for one in Journal.read(second.directory).entries] == ["a", "process", "b"]


def children_of(pid):
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def test_run_gives_back_both_streams_the_status_and_takes_input(start, tmp_path):
    keeper = start()
    script = "cat; echo $EXTRA >&2; exit 3"
    done = keeper.run(["sh", "-c", script], env={"EXTRA": "set"}, stdin=b"\x00in" * 1000)
    assert (done.rc, done.stdout, done.stderr) == (3, b"\x00in" * 1000, b"set\n")
    log = tmp_path / "out.log"
    log.write_text("earlier\n")
    done = keeper.run(["sh", "-c", "echo one; echo two >&2"], log=log)
    assert done.stdout == b"one\ntwo\n"
    assert log.read_text() == "earlier\none\ntwo\n"
    with pytest.raises(HostError, match="'kinda-no-such-program' could not be started"):
        keeper.run(["kinda-no-such-program"])
    assert Journal.read(keeper.directory).entries[-1]["argv"] == ["kinda-no-such-program"]


def test_what_takes_too_long_is_killed_with_all_that_it_started(start, tmp_path):
    keeper = start()
    script = f"setsid sleep 61.25 & echo $! > {tmp_path}/left; echo waiting >&2; exec sleep 61.5"
    with pytest.raises(HostError, match=r"(?s)did not end within 3 s and was killed: waiting"):
        keeper.run(["sh", "-c", script], timeout=3)
    assert ended(int((tmp_path / "left").read_text()))
    assert Journal.read(keeper.directory).entries == ()


def test_calls_are_served_while_another_runs(start, tmp_path):
    keeper = start()
    results = []
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    thread = threading.Thread(target=lambda: results.append(keeper.run(["sh", "-c", script]).rc))
    thread.start()
    wait_until(lambda: keeper.hello()["children"] == 1, "the child runs")
    assert keeper.record([{"undo": "x"}]) == (2,)
    assert results == []
    (tmp_path / "go").touch()
    thread.join()
    assert results == [0]


def test_a_client_that_is_gone_takes_its_run_with_it(start):
    keeper = start()
    client = owner_process(
        keeper.directory,
        "import threading\nthreading.Thread(target=lambda: keeper.run(['sleep', '62'])).start()",
    )
    wait_until(lambda: keeper.hello()["children"] == 1, "the child runs")
    client.kill()
    client.wait()
    wait_until(lambda: keeper.hello()["children"] == 0, "the child is gone")


def test_a_tended_child_is_started_again_and_given_up_at_last(start, tmp_path):
    keeper = start()
    log = tmp_path / "t1" / "x.log"
    keeper.tend(["sh", "-c", "echo begun; exit 3"], name="the talker", log=log)
    wait_until(lambda: keeper.tended()[0]["broken"], "it is given up")
    (talker,) = keeper.tended()
    assert (talker["name"], talker["restarts"]) == ("the talker", 5)
    assert re.fullmatch(
        r"the talker ended after 0\.\d s with status 3 and was not started again, "
        r"after 5 tries in a row",
        talker["broken"],
    )
    assert log.read_text() == "begun\n" * 6
    assert keeper.hello()["children"] == 0
    assert "started again, the 5. time" in (tmp_path / "t1" / "keeper.log").read_text()
    assert Journal.read(keeper.directory).entries == ()


def test_a_tended_child_stays_dead_when_the_testbed_is_undone(start, tmp_path):
    keeper = start()
    keeper.tend(["sleep", "66"], name="the sleeper", log=tmp_path / "x.log")
    (first,) = keeper.tended()
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: keeper.tended()[0]["restarts"] == 1, "it runs again")
    (second,) = keeper.tended()
    assert second["pid"] != first["pid"]
    assert not second["broken"]
    assert keeper.undo() == ()
    wait_until(lambda: ended(second["pid"]), "it is ended")
    assert "started again, the 2." not in (tmp_path / "t1" / "keeper.log").read_text()


def test_spawned_children_are_waited_for_and_killed(start, tmp_path):
    keeper = start()
    log = tmp_path / "child.log"
    quick = keeper.spawn(["sh", "-c", "echo hello; exit 7"], log=log)
    assert keeper.wait(quick) == 7
    assert log.read_text() == "hello\n"
    slow = keeper.spawn(["sleep", "63"])
    with pytest.raises(HostError, match=r"'sleep 63'\) runs still"):
        keeper.wait(slow, 0.05)
    keeper.kill(slow)
    keeper.kill(slow)
    with pytest.raises(HostError, match="no child"):
        keeper.wait(slow)


def test_while_it_undoes_nothing_new_is_made(start, tmp_path):
    keeper = start()
    keeper.spawn(["sleep", "64"])
    refused = []

    def on_line(line):
        with pytest.raises(HostError, match=r"is being undone|is gone") as caught:
            keeper.spawn(["sleep", "65"])
        refused.append(caught.value)

    keeper.undo(on_line)
    assert refused


def test_a_journals_process_entry_is_ended_without_a_keeper(tmp_path):
    child = children.start(["sh", "-c", "setsid sleep 66 & sleep 67"], number=4, mark="test.mark.1")
    other = subprocess.Popen(["sleep", "68"])
    try:
        notes = {"child-4": {"pid": child.pid, "started": child.started}}
        children.end_from_entry({"n": 4, "undo": "process", "mark": "test.mark.1"}, notes)
        # the shell itself, or first what it waited for, whose end it then tells
        assert child.ended in (-signal.SIGKILL, 128 + signal.SIGKILL)
        assert other.poll() is None
        children.end_from_entry({"n": 4, "undo": "process", "mark": "test.mark.1"}, notes)
        # A process that has been given the number since is left alone.
        stale = {"child-5": {"pid": other.pid, "started": 1}}
        children.end_from_entry({"n": 5, "undo": "process", "mark": "none"}, stale)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_directory_with_a_long_path_gets_a_shorter_socket(start):
    keeper = start("x" * 120)
    path = Path(Journal.read(keeper.directory).meta["socket"])
    assert len(str(path)) < 100
    assert path.stat().st_mode & 0o777 == 0o600
    keeper.undo()
    wait_until(lambda: not path.parent.exists(), "the socket and its directory are removed")


def test_a_journal_that_cannot_be_written_stops_the_operation(tmp_path):
    program = tmp_path / "undo.py"
    program.write_text(UNDO)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=True)
    try:
        keeper = Keeper.start(disk / "t", "t", undo_program=(sys.executable, str(program)))
        with containers("a") as found:
            try:
                with open(disk / "filler", "wb", buffering=0) as filler:
                    while True:
                        filler.write(b"x" * 512)
            except OSError:
                pass
            many = [AddAddress("a", "lo", f"10.9.0.{at}/32") for at in range(1, 200)]
            with pytest.raises(HostError, match=r"(?s)No space left.*remedy: free space"):
                keeper.apply(many, table(found))
            assert "10.9.0." not in found["a"].run("ip", "addr")
            (disk / "filler").unlink()
            assert len(keeper.apply(many[:3], table(found))) == 3
        pid = keeper.hello()["pid"]
        keeper.undo()
        wait_until(lambda: ended(pid), "the keeper ends")
    finally:
        # (The last of the keeper's threads may still be on its way out.)
        wait_until(lambda: subprocess.run(["umount", str(disk)]).returncode == 0, "not in use")


def test_errors_that_clients_cause_are_answered_and_do_not_end_it(start):
    keeper = start()
    with pytest.raises(HostError, match="no call 'dance'"):
        keeper._call("dance")
    with pytest.raises(HostError, match="KeyError"):
        keeper._call("apply")
    stream = keeper._open()
    stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        assert stream.recv(10) == b""
    stream.close()
    assert json.dumps(keeper.hello()["children"]) == "0"


def test_a_held_program_lives_no_longer_than_its_holder(start, tmp_path):
    keeper = start()
    log = tmp_path / "held.log"
    held = keeper.hold(["sh", "-c", "echo $WORD; exec sleep 60"], env={"WORD": "x"}, log=log)
    wait_until(lambda: log.read_text() == "x\n" if log.exists() else False, "its output")
    assert held.ended == ""
    assert keeper.hello()["children"] == 1
    held.end()
    assert "its client is gone" in held.ended
    assert keeper.hello()["children"] == 0
    short = keeper.hold(["sh", "-c", "exit 3"], log=log)
    wait_until(lambda: short.ended, "its end")
    assert short.ended == "exit status 3"
    more = "keeper.hold(['sleep', '60'], log=Path(sys.argv[1], 'log'))"
    holder = owner_process(keeper.directory, f"held = {more}")
    wait_until(lambda: keeper.hello()["children"] == 1, "the program")
    keeper.keep(True)
    holder.kill()
    holder.wait()
    wait_until(lambda: keeper.hello()["children"] == 0, "the program to die with its holder")
