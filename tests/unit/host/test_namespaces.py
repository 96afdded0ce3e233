from __future__ import annotations

import os
import subprocess

import pytest

from pytest_kinda.errors import GoneError, HostError
from pytest_kinda.host.namespaces import Namespace, entered, start_time


def test_a_process_is_known_by_its_start_time():
    with Namespace.open(os.getpid(), start_time(os.getpid())) as own, Namespace.open(0) as host:
        assert own.inode == host.inode
    with pytest.raises(GoneError, match="another one has its number"):
        Namespace.open(os.getpid(), start_time(os.getpid()) + 1)


def test_a_process_that_ended_is_gone():
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(GoneError, match="is gone"):
        Namespace.open(child.pid)
    with pytest.raises(GoneError):
        start_time(child.pid)


def test_a_closed_namespace_says_so():
    own = Namespace.open(0)
    own.close()
    own.close()
    with pytest.raises(HostError, match="closed"):
        own.fileno()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_only_the_block_is_inside():
    child = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout
        child.stdout.readline()
        before = os.readlink("/proc/thread-self/ns/net")
        with Namespace.open(child.pid, start_time(child.pid)) as place:
            with entered(place):
                inside = os.readlink("/proc/thread-self/ns/net")
            assert inside == f"net:[{place.inode}]" != before
            with pytest.raises(ZeroDivisionError), entered(place):
                1 / 0  # noqa: B018
        assert os.readlink("/proc/thread-self/ns/net") == before
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()
