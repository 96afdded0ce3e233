"""A prepared machine: preparing again does nothing, and what is in the images runs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner

from pytest_kinda.cli.commands import kinda
from pytest_kinda.errors import SetupError
from pytest_kinda.host.facts import has_netem
from pytest_kinda.setup import (
    device_images,
    doctor,
    examine,
    image,
    images,
    node_image,
    pins,
    prepare,
    program,
    workshop,
)


def test_preparing_again_does_nothing_and_is_quick() -> None:
    before = images.local_images()
    lines: list[str] = []
    began = time.monotonic()
    assert prepare(report=lines.append) == 0, lines
    assert time.monotonic() - began < 10
    assert images.local_images() == before
    assert not [line for line in lines if ":   " in line], "a step said that it does something"
    assert not [line for line in lines if line.startswith("registry")], "no registry is asked"


def test_the_doctor_finds_nothing_missing_and_says_so_by_its_status() -> None:
    findings = examine()
    assert not doctor.missing(findings), doctor.as_text(findings)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kinda.setup", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert '"Kathara plugin"' in done.stdout


def test_kind_names_the_balancers_image_as_we_do() -> None:
    assert pins.LOAD_BALANCER.encode() in Path(program("kind")).read_bytes()


def test_the_doctor_says_what_delays_packets() -> None:
    findings = json.loads(CliRunner().invoke(kinda, ["doctor", "--json"]).output)
    (found,) = [one for one in findings if one["name"] == "delay and loss of links"]
    assert found["state"] == "ok"
    assert ("no netem" in found["found"]) == (not has_netem())


NODE = "conntrack curl ethtool ip iperf3 iptables jq kubeadm kubectl nft ping tcpdump traceroute"
PROGRAMS = (
    "arping bash busybox curl dig ethtool ip iperf3 iptables jq nc nft ping tcpdump traceroute"
)


@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("base", PROGRAMS),
        ("router", f"{PROGRAMS} vtysh"),
        ("node", NODE),
    ],
)
def test_an_image_has_its_programs_and_the_libraries_they_need(
    name: images.Name, programs: str
) -> None:
    # A program that is there and lacks a library is found by ldd, not by looking for its file.
    script = (
        'for one in "$@"; do path=$(command -v "$one") || echo "no $one"; '
        'ldd "$path" 2>/dev/null | grep "not found" && echo "$one lacks a library"; done; true'
    )
    client = docker.from_env()
    try:
        output = client.containers.run(
            image(name),
            ["-c", script, "check", *programs.split()],
            entrypoint=["bash"],
            network_mode="none",
            remove=True,
        )
    finally:
        client.close()
    assert output == b""


def test_the_recipes_name_what_the_images_are_made_of() -> None:
    here = images.local_images()
    for recipe in (device_images.base(), device_images.router(), node_image.NodeImage()):
        local = here[image(recipe.name)]
        assert local.origin in ("official", "stand-in")
        assert local.recipe == recipe.recipe(
            "official" if local.origin == "official" else "stand-in"
        )


def test_kind_and_kubectl_are_programs() -> None:
    for name in ("kind", "kubectl"):
        assert subprocess.run([program(name), "help"], capture_output=True, check=False).stdout


def test_a_container_that_does_not_start_is_not_left() -> None:
    client = docker.from_env()
    with tarfile.open(fileobj=(empty := io.BytesIO()), mode="w"):
        pass
    client.api.import_image_from_data(
        empty.getvalue(), "kinda/test-empty", "1", ["USER nobody-here"]
    )
    try:
        with pytest.raises(
            SetupError, match=r"kinda/test-empty:1: the Docker Engine did not start"
        ):
            workshop.Workshop("kinda/test-empty:1").__enter__()
        assert client.containers.list(all=True, filters={"ancestor": "kinda/test-empty:1"}) == []
    finally:
        workshop.remove_image("kinda/test-empty:1")
        client.close()
