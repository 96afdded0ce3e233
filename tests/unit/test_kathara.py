"""Kathara labs: read as Kathara's own parser reads them, and what becomes of them here."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import pytest

from pytest_kinda import ControlPlane, Hub, LabDevice, Link, Topology, Worker
from pytest_kinda.errors import LabWarning, Problem, TopologyError
from pytest_kinda.operations import AddAddress, AddRoute, SetInterface
from pytest_kinda.plan import configure_operations, plan
from pytest_kinda.readers import parse, to_yaml
from pytest_kinda.readers.kathara_conf import parse_conf, parse_dep
from pytest_kinda.readers.kathara_lab import read_lab
from pytest_kinda.readers.startup import from_frr, from_script
from tests.support.labs import OWN, labs

EVERYTHING = OWN / "kathara" / "everything"


def read(path: Path, **arguments: object) -> Topology:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabWarning)
        return Topology.from_kathara(path, **arguments)  # type: ignore[arg-type]


def device(topology: Topology, name: str) -> LabDevice:
    node = topology.node(name)
    assert isinstance(node, LabDevice)
    return node


# Kathara's parser is the measure


@pytest.mark.parametrize("path", labs("kathara", "lab.conf"))
def test_a_lab_means_what_kathara_takes_it_to_mean(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from Kathara.parser.netkit.DepParser import DepParser
    from Kathara.parser.netkit.LabParser import LabParser

    monkeypatch.chdir(path)
    theirs = LabParser.parse(str(path))
    ours = read_lab(path)
    assert list(ours.machines) == list(theirs.machines)
    for name, machine in theirs.machines.items():
        mine = ours.machines[name]
        assert mine.interfaces == {
            number: (one.link.name, one.mac_address or "")
            for number, one in machine.interfaces.items()
        }
        known = {key: value for key, value in machine.meta.items() if key != "imagee"}
        volumes = {os.path.abspath(key): one for key, one in mine.meta["volumes"].items()}
        assert mine.meta | {"volumes": volumes} == known
    order = DepParser.parse(str(path)) or []
    for name, before in ours.after.items():
        assert all(order.index(one) < order.index(name) for one in before)


@pytest.mark.parametrize("path", labs("kathara", "lab.conf"))
def test_a_lab_object_is_the_same_topology_as_its_directory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from Kathara.parser.netkit.LabParser import LabParser

    monkeypatch.chdir(path)  # what Kathara's volumes are relative to
    theirs = LabParser.parse(str(path))
    from_object = read_lab(theirs)
    from_directory = read_lab(path)
    assert from_object.files == from_directory.files
    scripts = {
        name: text for name, text in from_directory.scripts.items() if "shutdown" not in name
    }
    scripts.pop("pc9.startup", None)
    assert from_object.scripts == scripts
    assert {link.ends for link in read_object(theirs).links} == {
        link.ends for link in read(path).links
    }


def test_nodes_are_attached_to_a_lab_object_as_to_its_directory() -> None:
    from Kathara.parser.netkit.LabParser import LabParser

    path = OWN / "kathara" / "two-routers"
    arguments = {
        "workers": ["pc_1", "pc_2"],
        "nodes": [ControlPlane("c1"), Worker("w9")],
        "attach": [Link("c1", "A"), Link("w9", "r1")],
    }
    found = read(LabParser.parse(str(path)), **arguments)  # type: ignore[arg-type]
    assert found.with_(name="two-routers") == read(path, **arguments)
    made = plan(found)
    assert made.node("c1").interfaces[0].segment == made.node("pc-1").interfaces[0].segment
    assert made.node("w9").interfaces[0].peers == ("r1",)


def read_object(lab: object) -> Topology:
    return read(lab)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pc1[0]=A B\n",
        "pc1[0]='A\"\n",
        "Pc1[0]=A\n",
        "  # an indented comment\n",
        "shared[0]=A\n",
        "pc1[0]=A/\n",
        "pc1[0]=A/02:00:00:00:00:01/x\n",
        "pc1[0]=A\npc1[0]=B\n",
        "pc1[0]=A\npc1[1]=A\n",
        "pc1[0]=A\npc1[2]=B\n",
        "pc1[sysctl]=kernel.x=1\n",
        "pc1[env]=1 2\n",
        "pc1[ulimit]=nofile\n",
        "pc1[ulimit]=nofile=-1:5\n",
        "pc1[ulimit]=nofile=-2\n",
        "pc1[port]=80/icmp\n",
        "pc1[port]=a:b\n",
        "pc1[volume]=x\n",
        "pc1[volume]=x|y|z\n",
        "pc1[privileged]=perhaps\n",
        "nonsense\n",
    ],
)
def test_what_kathara_refuses_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    from Kathara.parser.netkit.LabParser import LabParser

    (tmp_path / "lab.conf").write_text(text)
    with pytest.raises(Exception):  # noqa: B017 - whatever Kathara raises
        LabParser.parse(str(tmp_path))
    with pytest.raises(TopologyError, match=r"lab\.conf"):
        Topology.from_kathara(tmp_path)


def test_all_mistakes_are_told_at_once() -> None:
    conf = parse_conf("pc1[0]=A\npc1[0]=B\n\npc1[port]=x\nwhat\n", "lab.conf")
    assert [one.where for one in conf.problems] == ["lab.conf:2", "lab.conf:4", "lab.conf:5"]


def test_a_circle_in_lab_dep_is_shown() -> None:
    problems: list[Problem] = []
    parse_dep("a: b\nb: c\nc: a\nd a\n", "lab.dep", problems)
    assert [str(one.found) for one in problems] == [
        "'d a'",
        "a circle: a waits for b waits for c waits for a",
    ]


# what becomes of a lab


def test_what_has_no_effect_is_said() -> None:
    with pytest.warns(LabWarning) as caught:
        Topology.from_kathara(EVERYTHING)
    said = "\n".join(str(one.message).replace(str(EVERYTHING), "LAB") for one in caught)
    assert said.splitlines() == [
        "LAB/lab.conf:36: pc1: option 'imagee' has no effect; did you mean 'image'?",
        "LAB/lab.conf:37: pc1[mem]=96 replaces the earlier '64'",
        "LAB/pc2.shutdown: shutdown scripts are not run",
        "LAB/pc9.startup: no device 'pc9' in lab.conf: it is never run",
        "LAB/gone: no device of that name in lab.conf: it is not used",
        "LAB/lab.dep: no device 'ghost' in lab.conf",
        "LAB/lab.conf: pc2: port has no effect without bridged=true",
    ]
    assert all(one.filename == __file__ for one in caught)


def test_devices_and_domains() -> None:
    topology = read(EVERYTHING)
    assert topology.name == "every-thing"
    assert [one.name for one in topology.nodes] == ["r1", "r2", "pc1", "pc2", "lone", "A", "D_1"]
    assert [type(one) for one in topology.nodes[-2:]] == [Hub, Hub]
    assert {one.name: (one.ends, one.interfaces) for one in topology.links} == {
        "r1--A": (("r1", "A"), ("eth0", "")),
        "pc1--A": (("pc1", "A"), ("eth0", "")),
        "pc2--A": (("pc2", "A"), ("eth0", "")),
        "B": (("r1", "r2"), ("eth1", "eth0")),
        "C": (("r1", "r2"), ("eth2", "eth1")),
        "lone--D_1": (("lone", "D_1"), ("eth0", "")),
    }


def test_options_become_the_devices_fields() -> None:
    topology = read(EVERYTHING)
    r1, r2, pc1 = (device(topology, name) for name in ("r1", "r2", "pc1"))
    assert (r1.image, r1.memory, r1.cpus) == ("@router", 128 * 2**20, 0.5)
    assert dict(r1.env) == {"COLOUR": "blue green", "EMPTY": ""}
    assert r1.ulimits == ("nofile=1024:1024",)
    assert dict(r1.macs) == {"eth1": "02:00:00:00:0b:01"}
    assert r1.sysctls["net.ipv6.conf.all.hop_limit"] == "12"
    assert r1.sysctls["net.ipv6.conf.all.disable_ipv6"] == "0"
    assert r2.sysctls["net.ipv6.conf.all.disable_ipv6"] == "1"
    assert dict(r1.addresses) == {
        "eth0": "10.0.0.1/24 fd00::1/64",
        "eth1": "10.1.0.1/30",
        "eth2": "10.2.0.2/24",
    }
    assert (r2.image, r2.privileged) == ("example/router:7", True)
    assert (r2.entrypoint, r2.command) == (("/usr/bin/tini", "--"), ("sleep", "1000"))
    shared = EVERYTHING / "shared"
    assert r2.mounts == (
        f"{shared}:/shared",
        f"{shared}:/mnt/data",
        f"{EVERYTHING / 'r1'}:/mnt/other:ro",
    )
    assert dict(r2.addresses) == {"eth0": "10.1.0.2/30", "eth1": "10.2.0.1/24"}
    assert (pc1.image, pc1.memory) == ("@base", 96 * 2**20)
    assert pc1.ports == ("8080:80/tcp", "3000:53/udp")
    assert pc1.after == ("r1", "r2")
    assert device(topology, "pc2").ports == ()


def test_files_are_laid_over_the_root_and_programs_stay_programs() -> None:
    node = device(read(EVERYTHING), "r1")
    assert "router ospf" in str(node.files["/etc/frr/frr.conf"])
    assert node.executable[0] == "/usr/local/bin/tool"
    made = plan(read(EVERYTHING)).node("r1").device
    assert made is not None
    modes = {one.path: one.mode for one in made.files}
    assert modes["/usr/local/bin/tool"] == 0o755
    assert modes["/etc/frr/frr.conf"] == 0o644
    # what Kathara's image has and ours have not is only put where ours take its place
    assert "/usr/local/bin/systemctl" in node.files
    assert "/usr/local/bin/systemctl" not in device(read(EVERYTHING), "r2").files


def test_configuration_per_daemon_is_not_hidden_by_the_images_own(tmp_path: Path) -> None:
    (tmp_path / "lab.conf").write_text("r1[0]=A\nr1[image]=kathara/frr\n")
    (tmp_path / "r1" / "etc" / "frr").mkdir(parents=True)
    (tmp_path / "r1" / "etc" / "frr" / "bgpd.conf").write_text("router bgp 1\n")
    node = device(Topology.from_kathara(tmp_path), "r1")
    assert "/hostlab/no-frr.conf" in node.files
    assert "/hostlab/no-frr.conf" not in device(read(EVERYTHING), "r1").files


def test_scripts_lose_windows_marks_and_run_in_order() -> None:
    topology = read(EVERYTHING)
    pc1, r2 = device(topology, "pc1"), device(topology, "r2")
    assert str(pc1.files["/hostlab/pc1.startup"]).startswith("ip addr add")
    assert "\r" not in str(r2.files["/hostlab/r2.startup"])
    ran = [" ".join(one.argv) for one in pc1.startup_commands]  # type: ignore[union-attr]
    assert ["shared.startup" in ran[1], "pc1.startup" in ran[2]] == [True, True]
    assert "ip route add default via 10.0.0.1" in ran[3]
    assert not any(one.check for one in pc1.startup_commands)  # type: ignore[union-attr]


def test_images_can_be_mapped_or_kept() -> None:
    assert device(read(EVERYTHING, images={}), "r1").image == "kathara/frr:latest"
    mapped = read(EVERYTHING, images={"example/router:7": "@router"})
    assert device(mapped, "r2").image == "@router"


def test_the_plan_gives_a_lab_no_address_and_no_route() -> None:
    made = plan(read(EVERYTHING))
    for node in made.devices:
        operations = configure_operations(made, node)
        assert not [one for one in operations if isinstance(one, (AddAddress, AddRoute))]
    r1 = made.node("r1")
    assert [one.name for one in r1.interfaces] == ["eth0", "eth1", "eth2"]
    macs = [one.mac for one in configure_operations(made, r1) if isinstance(one, SetInterface)]
    assert macs[1] == "02:00:00:00:0b:01"
    # but it knows them
    assert r1.interfaces[0].addresses == ("10.0.0.1/24", "fd00::1/64")
    assert made.node("pc1").device.after == ("r1", "r2")  # type: ignore[union-attr]


def test_devices_become_nodes_with_the_addresses_of_their_scripts() -> None:
    topology = read(
        EVERYTHING,
        workers={
            "pc1": Worker("w1", labels={"at": "a"}),
            "pc2": Worker(taints=["slow:NoSchedule"]),
        },
        nodes=[ControlPlane("c1")],
        attach=[Link("c1", "A"), Link("c1", "r2", name="far")],
    )
    assert topology.node("w1") == Worker("w1", labels={"at": "a"})
    # one without a name has the device's
    assert topology.node("pc2") == Worker("pc2", taints=["slow:NoSchedule"])
    made = plan(topology)
    endpoints = {one.name: one.endpoint for one in made.kubernetes_nodes}
    # of what is attached to a domain the plan takes the next free address of its subnet
    assert endpoints == {"w1": "10.0.0.5", "pc2": "10.0.0.6", "c1": "10.0.0.2"}
    assert made.node("w1").interfaces[0].addresses == ("10.0.0.5/24", "fd00::2/64")
    ways = {one.destination: one.hops[0].gateway for one in made.node("w1").routes}
    assert ways["10.2.0.0/24"] == ways["10.1.0.0/30"] == "10.0.0.1"
    # a link attached later is the plan's at both ends, and none of the lab's
    link = next(one for one in made.links if one.name == "far")
    assert (link.b.node, link.b.interface) == ("r2", "eth2")
    assert any(
        isinstance(one, AddAddress) and one.interface == "eth2"
        for one in configure_operations(made, made.node("r2"))
    )


def test_a_device_that_bridges_joins_its_domains(tmp_path: Path) -> None:
    (tmp_path / "lab.conf").write_text("b1[0]=A\nb1[1]=B\npc1[0]=A\nserver_1[0]=B\n")
    (tmp_path / "b1.startup").write_text(
        "ip link add name main type bridge\nip link set dev eth0 master main\n"
    )
    (tmp_path / "server_1.startup").write_text("ifconfig eth0 10.0.0.9/24 up\n")
    topology = Topology.from_kathara(
        tmp_path, workers=["server_1", "pc1"], nodes=[ControlPlane("c1")]
    )
    made = plan(topology)
    endpoints = {one.name: one.endpoint for one in made.kubernetes_nodes}
    assert endpoints == {"c1": "", "pc1": "10.0.0.1", "server-1": "10.0.0.9"}


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="workers: found pc8, pc9; expected of r1, r2"):
        Topology.from_kathara(EVERYTHING, workers=["pc9", "pc8", "r1"])
    with pytest.raises(TopologyError, match=r"lab\.conf"):
        Topology.from_kathara(tmp_path / "none")
    with pytest.raises(TopologyError, match="expected a lab's directory or a Kathara Lab"):
        Topology.from_kathara(7)


def test_a_lab_can_be_written_as_a_file_and_read_again() -> None:
    topology = read(EVERYTHING)
    assert parse(to_yaml(topology)) == topology
    assert hash(read(EVERYTHING)) == hash(topology)


# scripts


@pytest.mark.parametrize(
    ("script", "addresses", "gateway"),
    [
        ("ip address add 10.0.0.1/24 dev eth0", {"eth0": ["10.0.0.1/24"]}, ""),
        ("ip a add dev eth1 10.0.0.1/24 brd +", {"eth1": ["10.0.0.1/24"]}, ""),
        ("/sbin/ifconfig eth0 10.0.0.1/8 up", {"eth0": ["10.0.0.1/8"]}, ""),
        ("ifconfig eth0 192.168.1.1", {"eth0": ["192.168.1.1/24"]}, ""),
        ("ifconfig eth0 inet6 add fd00::1/64", {"eth0": ["fd00::1/64"]}, ""),
        ("#ip addr add 10.0.0.1/24 dev eth0", {}, ""),
        ("ip addr add $A dev eth0", {}, ""),
        ("ip route add default via 10.0.0.9 dev eth0", {}, "10.0.0.9"),
        ("ip r add default via 10.0.0.9", {}, "10.0.0.9"),
        ("route add default gw 10.0.0.9", {}, "10.0.0.9"),
        ("echo 'unfinished\nip addr add 10.0.0.1 dev eth0", {"eth0": ["10.0.0.1/32"]}, ""),
        ("ip addr add fe80::1/64 dev eth0", {"eth0": []}, ""),
    ],
)
def test_addresses_in_scripts(script: str, addresses: dict[str, list[str]], gateway: str) -> None:
    known = from_script(script)
    assert (known.addresses, known.gateway) == (addresses, gateway)


def test_addresses_in_frrs_configuration() -> None:
    known = from_script("")
    from_frr(
        "interface eth1\n ip address 10.0.0.1/24\n!\nrouter ospf\n ip address 1.1.1.1/8", known
    )
    assert known.addresses == {"eth1": ["10.0.0.1/24"]}


@pytest.fixture(autouse=True)
def quiet_kathara() -> None:
    logging.getLogger().setLevel(logging.CRITICAL)


def test_a_relative_path_is_relative_to_the_declaring_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(Path("../data/kathara/two-routers")).name == "two-routers"
