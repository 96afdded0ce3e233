"""Addresses in a Docker network that containers keep, whoever of them starts first."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from pytest_kinda.build.nodes import docker_addresses, pin_addresses
from pytest_kinda.setup import image

NETWORK = "kinda-test-addresses"
NAMES = (f"{NETWORK}-1", f"{NETWORK}-2")


def docker(*argv: str) -> None:
    subprocess.run(["docker", *argv], check=True, capture_output=True, timeout=60)


@pytest.fixture
def pair() -> Iterator[None]:
    """Two containers in a network of their own."""
    try:
        docker("network", "create", "--subnet", "172.29.251.0/29", NETWORK)
        for name in NAMES:
            docker("run", "-d", "--name", name, "--network", NETWORK, image("base"))
        yield
    finally:
        subprocess.run(["docker", "rm", "-fv", *NAMES], check=False, capture_output=True)
        subprocess.run(["docker", "network", "rm", NETWORK], check=False, capture_output=True)


def test_two_that_were_dead_at_once_do_not_change_places(pair: None) -> None:
    before = {name: docker_addresses(name, NETWORK) for name in NAMES}
    assert all(before.values())
    docker("kill", *NAMES)
    for name in reversed(NAMES):  # left to itself, Docker gives the first one the lower address
        pin_addresses(name, NETWORK, before[name])
        docker("start", name)
    assert {name: docker_addresses(name, NETWORK) for name in NAMES} == before
