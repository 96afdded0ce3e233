"""``kinda`` on a testbed that stands: two hosts and a router, built by ``kinda up``."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_kinda import Topology
from pytest_kinda.build.display import Lines
from pytest_kinda.build.progress import Silent
from pytest_kinda.errors import BuildError
from pytest_kinda.plan import PlanOptions
from pytest_kinda.testbed import reuse
from pytest_kinda.testbed.reuse import attach_to
from tests.support.topologies import LAN, PAIR

ROOT = Path(__file__).parents[2]
KINDA = [sys.executable, "-c", "from pytest_kinda.cli import main; main()"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    state = tmp_path_factory.mktemp("state")
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT)}
    environment.pop("KINDA_TESTBED", None)

    def call(*arguments: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*KINDA, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == rc, done.stdout + done.stderr
        return done

    call.environment = environment  # type: ignore[attr-defined]
    return call


@pytest.fixture(scope="module")
def testbed(run: Run) -> Iterator[str]:
    """Two of them, so that the one that is meant has to be named once."""
    up = ("up", "tests.support.topologies:PAIR", "--engine", "direct", "--json")
    try:
        built = json.loads(run(*up).stdout)
        assert built["nodes"] == ["h1", "r1", "h2"]
        yield built["id"]
    finally:
        removed = json.loads(run("clean", "--all", "--json").stdout)
        assert all(one["removed"] for one in removed)


def answers(run: Run) -> bool:
    """Whether a ping crosses both links."""
    address = json.loads(run("h2", "ip", "-j", "addr", "show", "eth0").stdout)[0]
    local = address["addr_info"][0]["local"]
    code = f"ping -c1 -W1 {local} >/dev/null && echo well || echo not"
    return run("h1", "sh", "-c", code).stdout.strip() == "well"


def test_who_and_reverse_are_each_others_inverse(run: Run, testbed: str) -> None:
    where = json.loads(run("reverse", "r1", "--json").stdout)
    for name in (where["name"], where["container"], where["container"][:12]):
        owner = json.loads(run("who", name, "--json").stdout)
        assert (owner["node"], owner["testbed"], owner["topology"]) == ("r1", testbed, "pair")
    inside = run("r1", "readlink", "/proc/self/ns/net").stdout.strip()
    assert os.readlink(where["network_namespace"]) == inside


def test_who_names_the_nearest_and_what_is_nobodys(run: Run, testbed: str) -> None:
    name = json.loads(run("reverse", "r1", "--json").stdout)["name"]
    assert f"did you mean {name}" in run("who", name[:-1] + "x", rc=1).stderr
    made = subprocess.run(
        ["docker", "create", "--label", "org.pytest-kinda.testbed=other0", "kinda/base:1"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    try:
        said = run("who", made, rc=1).stderr
    finally:
        subprocess.run(["docker", "rm", "-f", made], capture_output=True, check=True)
    assert "belongs to no testbed of this user; its label names testbed other0" in said


def test_a_command_on_a_node_is_told_as_json(run: Run, testbed: str) -> None:
    said = json.loads(run("exec", "--json", "h1", "--", "sh", "-c", "echo a; exit 3", rc=3).stdout)
    argv = ["sh", "-c", "echo a; exit 3"]
    assert said == {"node": "h1", "argv": argv, "rc": 3, "stdout": "a\n", "stderr": ""}
    assert run("exec", "h1", "echo", "--json").stdout == "--json\n"


@pytest.mark.parametrize("command", ["exec", "reverse", "logs"])
def test_an_unknown_node_lists_the_nearest(run: Run, testbed: str, command: str) -> None:
    said = run(command, "h11", rc=1).stderr
    assert "has no node 'h11'; it has " in said
    assert "did you mean h1" in said
    assert "Traceback" not in said


def test_a_link_goes_down_stays_down_and_comes_up(run: Run, testbed: str) -> None:
    assert answers(run)
    assert json.loads(run("link", "down", "r1--h2", "--json").stdout)["state"] == "down"
    assert not answers(run)
    assert json.loads(run("show", "--json").stdout)["changed_links"] == ["r1--h2"]
    # the other order of the same ends
    assert run("link", "up", "h2--r1").stdout == "r1--h2: up\n"
    assert answers(run)
    assert json.loads(run("show", "--json").stdout)["changed_links"] == []
    assert "nothing was done to it" in run("link", "up", "r1--h2").stdout


def test_a_link_is_impaired_and_gets_its_declared_rate_back(run: Run, testbed: str) -> None:
    def queueing() -> str:
        return run("r1", "tc", "qdisc", "show", "dev", "eth1").stdout

    declared = queueing()
    assert "rate 50Mbit" in declared
    run("link", "impair", "r1--h2", "--rate", "5mbit")
    assert "rate 5Mbit" in queueing()
    run("link", "impair", "r1--h2", "--rate", "8mbit", "--direction", "r1->h2")
    assert "rate 8Mbit" in queueing()
    assert "rate 50Mbit" in run("h2", "tc", "qdisc", "show", "dev", "eth0").stdout
    run("link", "up", "r1--h2")
    assert queueing() == declared


def test_a_wrong_value_and_an_unknown_link_are_one_clear_error(run: Run, testbed: str) -> None:
    assert "links: h1--r1, r1--h2" in run("link", "down", "r1--h3", rc=1).stderr
    said = run("link", "impair", "r1--h2", "--rate", "fast", rc=1).stderr
    assert "fast" in said
    assert "Traceback" not in said
    assert json.loads(run("show", "--json").stdout)["changed_links"] == []


def test_logs_of_a_node_and_of_the_testbed(run: Run, testbed: str) -> None:
    run("h1", "sh", "-c", "echo said by the test > /proc/1/fd/1")
    assert any(
        "said by the test" in one for one in json.loads(run("logs", "h1", "--json").stdout)["h1"]
    )
    assert "keeper of" in run("logs").stdout


def test_the_short_form_gives_a_terminal_only_on_a_terminal(run: Run, testbed: str) -> None:
    assert "not a tty" in run("h1", "sh", "-c", "tty || true").stdout
    master, slave = pty.openpty()
    environment = run.environment  # type: ignore[attr-defined]
    with subprocess.Popen(
        [*KINDA, "h1", "bash"], env=environment, stdin=slave, stdout=slave, stderr=slave
    ) as shell:
        os.close(slave)
        os.write(master, b"tty; echo size $(stty size | wc -w); exit 7\n")
        said = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            said += piece
        os.close(master)
        assert shell.wait(30) == 7
    assert b"/dev/pts/" in said
    assert b"size 2" in said


def test_a_name_of_ones_own_that_is_taken_is_told_as_such(run: Run, testbed: str) -> None:
    said = run("up", "tests.support.topologies:PAIR", "--name", testbed, rc=1).stderr
    assert f"a testbed named {testbed} is there already" in said
    assert f"remedy: kinda clean {testbed}, or choose another name" in said


def test_images_are_listed_with_their_origin(run: Run) -> None:
    found = {one["name"]: one for one in json.loads(run("images", "--json").stdout)}
    assert {"node", "base", "router"} <= set(found)
    assert found["base"]["origin"] in ("official", "stand-in")
    assert found["base"]["size"] > 10_000_000


SUITE = """
import pytest
from tests.support.topologies import PAIR

@pytest.mark.topology(PAIR)
def test_it(kinda):
    assert kinda.id == "{testbed}"
"""


def attach(run: Run, folder: Path, testbed: str, *arguments: str) -> str:
    """What a pytest of its own prints that was told to use the testbed that stands."""
    (folder / "test_inner.py").write_text(SUITE.format(testbed=testbed))
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null"]
    done = subprocess.run(
        [*argv, "--rootdir", str(folder), "--kinda-engine=direct", *arguments, "test_inner.py"],
        cwd=folder,
        env=run.environment,  # type: ignore[attr-defined]
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_run_attaches_to_what_another_process_built(
    run: Run, testbed: str, tmp_path: Path
) -> None:
    said = attach(run, tmp_path, testbed, f"--kinda-attach={testbed}")
    assert "1 passed" in said, said
    assert f"attached to testbed {testbed}" in said
    # It stands as before, and for as long as kinda up meant it to.
    assert answers(run)


def test_what_cannot_be_attached_to_is_refused_and_left_alone(
    run: Run, testbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = run.environment  # type: ignore[attr-defined]
    monkeypatch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])

    def refusal(
        which: str, topology: Topology = PAIR, pool: str = "10.9.0.0/16", **more: str
    ) -> str:
        options = PlanOptions(engine="direct", pool=pool)
        with pytest.raises(BuildError) as told:
            attach_to(topology, options, Silent(), which=which, **more)
        return told.value.cause

    assert refusal("nothing") == (
        f"no testbed of this user could be 'nothing'; there are {testbed} (pair)"
    )
    assert refusal(testbed, LAN) == (f"testbed {testbed} is of topology pair; the test wants lan")
    assert f"testbed {testbed} is stale: " in refusal("pair", pool="10.77.0.0/16")
    foreign = tmp_path / "config"
    foreign.write_text("apiVersion: v1\n")
    assert f"could be the kubeconfig {foreign}" in refusal("", kubeconfig=str(foreign))
    run("link", "down", "h1--r1")
    assert refusal(testbed) == (
        f"testbed {testbed} is changed by hand: h1--r1 (kinda link up h1--r1); it is left alone"
    )
    run("link", "up", "h1--r1")
    assert answers(run)
    lock = Path(environment["XDG_STATE_HOME"], "pytest-kinda", "testbeds", testbed, "reuse.lock")
    with lock.open("w") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        assert (
            refusal(testbed) == f"testbed {testbed} is in use by another process; it is left alone"
        )


def test_damage_is_found_by_packets(
    run: Run,
    testbed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = run.environment  # type: ignore[attr-defined]
    monkeypatch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])
    local = run("h1", "sh", "-c", "ip -br -4 addr show eth0 | awk '{print $3}'").stdout.strip()
    run("h1", "ip", "addr", "del", local, "dev", "eth0")
    try:
        refused = attach(run, tmp_path, testbed, "--kinda-attach=pair")
        # Reuse builds another one instead.
        shown = Lines(sys.stdout, "kinda")
        assert reuse.attach(PAIR, PlanOptions(engine="direct"), shown) is None
    finally:
        route = "ip addr add $0 dev eth0 && ip route replace default via $1"
        gateway = local.rsplit(".", 1)[0] + f".{int(local.rsplit('.', 1)[1].split('/')[0]) + 1}"
        run("h1", "sh", "-c", route, local, gateway)
    for said in (refused, capsys.readouterr().out):
        assert f"testbed {testbed} is damaged: " in said
        assert "does not reach" in said
