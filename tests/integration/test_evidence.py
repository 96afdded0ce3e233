"""What a failed test leaves of a real network of devices; live captures of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

import pytest_kinda.plugin
from pytest_kinda.testbed.pcapng import read_packets
from tests.support.topologies import PAIR, PAIR_DIRECT

CAPTURE = (sys.executable, "-c", "from pytest_kinda.cli import main; main()", "capture")


@pytest.mark.topology(PAIR, PAIR_DIRECT)
def test_evidence_shows_the_fault(kinda, tmp_path):
    with kinda.link("r1", "h2").down():
        pieces = kinda.evidence(tmp_path / "e")
    assert [piece for piece in pieces if piece.problem] == []
    assert {piece.name for piece in pieces} == {
        "summary.txt",
        "plan.json",
        "versions.txt",
        *(f"nodes/{node}/{file}.txt" for node in ("h1", "r1", "h2") for file in ("network", "log")),
    }
    summary = (tmp_path / "e/summary.txt").read_text()
    assert "r1--h2" in summary.partition("faults that are not healed")[2]
    network = (tmp_path / "e/nodes/r1/network.txt").read_text()
    end = kinda.link("r1", "h2").a.name
    (flags,) = re.findall(rf"^\d+: {end}@\S+: <(.*?)>", network, re.MULTILINE)
    assert "LOWER_UP" not in flags
    assert "$ tc -s qdisc" in network
    assert str(kinda.node("r1").interfaces[0].address) in network


@pytest.mark.topology(PAIR, PAIR_DIRECT)
def test_a_node_that_is_paused_costs_its_own_pieces(kinda, tmp_path):
    kinda.node("h2").pause()
    pieces = {piece.name: piece.problem for piece in kinda.evidence(tmp_path, limit=15.0)}
    assert pieces["nodes/h2/network.txt"]
    assert not pieces["nodes/r1/network.txt"]


@pytest.mark.topology(PAIR, PAIR_DIRECT)
def test_a_live_capture_ends_well_at_ctrl_c(kinda, tmp_path):
    where = f"r1:{kinda.link('r1', 'h2').end('r1').name}"
    command = [*CAPTURE, where, "-t", kinda.id, "-f", "icmp", "-w", "-"]
    live = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        head = os.read(live.stdout.fileno(), 65536)  # the capture has begun
        kinda.ping("h1", "h2", count=3)
        while len(head) < 600:  # live: packets come while it goes on
            more = os.read(live.stdout.fileno(), 65536)
            assert more, live.stderr.read()
            head += more
        live.send_signal(signal.SIGINT)
        rest, said = live.communicate(timeout=30)
    finally:
        live.kill()
    (tmp_path / "live.pcapng").write_bytes(head + rest)
    assert live.returncode == 0, said
    assert b"6 packets taken, 0 lost" in said
    packets = list(read_packets(tmp_path / "live.pcapng"))
    assert len(packets) == 6


@pytest.mark.topology(PAIR, PAIR_DIRECT)
def test_a_live_capture_ends_when_nobody_reads(kinda):
    command = [*CAPTURE, "h1", "-t", kinda.id, "-w", "-"]
    live = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        os.read(live.stdout.fileno(), 65536)
        live.stdout.close()
        assert live.wait(30) == 0
        assert b"packets taken" in live.stderr.read()
    finally:
        live.kill()


INNER = """
import pytest
from tests.support.topologies import PAIR

@pytest.mark.topology(PAIR)
def test_well(kinda):
    kinda.ping("h1", "h2", count=1)

@pytest.mark.topology(PAIR)
def test_wrong(kinda):
    kinda.ping("h1", "h2", count=2)
    assert False
"""


def test_a_run_captures_and_keeps_what_failed(tmp_path, request):
    (tmp_path / "test_inner.py").write_text(INNER)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    found = [str(request.config.rootpath), os.environ.get("PYTHONPATH", "")]
    # Where the package is not installed, this run was given the plugin by -p, and so is that one.
    name = request.config.pluginmanager.get_name(pytest_kinda.plugin)
    given = ["-p", name] if name == pytest_kinda.plugin.__name__ else []
    options = [*given, "--kinda-pcap=r1--h2", "--kinda-engine=direct", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    (folder,) = (one for one in (tmp_path / ".kinda").iterdir() if one.is_dir())
    assert "test_wrong" in folder.name
    kept = list(read_packets(folder / "capture.pcapng"))
    assert len([one for one in kept if one.data[12:14] == b"\x08\x00"]) == 4
    assert (folder / "nodes/r1/network.txt").exists()
